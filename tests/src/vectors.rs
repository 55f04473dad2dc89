//! The captures of real kernels; see `tests/vectors/linux612/ORIGIN.md`.

use std::fs;
use std::path::{Path, PathBuf};

use smolsmc_decode::{Capture, Frame};

/// The captures between Linux 6.12 kernels, sorted by name.
///
/// # Panics
/// If the folder cannot be read or holds no capture: the tests would prove
/// nothing.
#[must_use]
pub fn linux612() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/linux612");
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "pcap"));
    files.sort();
    assert!(!files.is_empty(), "no captures in {}", folder.display());
    files
}

/// Calls `f` with each frame of the capture at `path`; returns how many.
///
/// # Panics
/// If the capture cannot be read to its end.
pub fn each_frame(path: &Path, mut f: impl FnMut(&Frame<'_>)) -> u64 {
    let octets = fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut capture = Capture::new(&octets[..]).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut frames = 0;
    while let Some(frame) = capture.next_frame().unwrap_or_else(|e| panic!("{}: {e}", path.display())) {
        f(&frame);
        frames += 1;
    }
    frames
}
