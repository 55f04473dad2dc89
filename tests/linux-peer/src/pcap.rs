//! Writes captures: classic pcap, Ethernet, microseconds.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::SystemTime;

use crate::{Error, Result};

/// A capture file in the making.
#[derive(Debug)]
pub struct Pcap(BufWriter<File>);

impl Pcap {
    /// Begins a file.
    ///
    /// # Errors
    ///
    /// If it cannot be made.
    pub fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).map_err(Error::io(path.display().to_string()))?;
        let mut out = BufWriter::new(file);
        let header = [0xa1b2_c3d4_u32, 2 | 4 << 16, 0, 0, 262_144, 1];
        let octets: Vec<u8> = header.iter().flat_map(|word| word.to_le_bytes()).collect();
        out.write_all(&octets).map_err(Error::io(path.display().to_string()))?;
        Ok(Self(out))
    }

    /// Appends a frame as of now, and puts it on the disk: whoever reads the file
    /// after a failure wants the last frames most.
    ///
    /// # Errors
    ///
    /// What the file says.
    pub fn frame(&mut self, frame: &[u8]) -> io::Result<()> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let len = frame.len() as u32;
        for word in [now.as_secs() as u32, now.subsec_micros(), len, len] {
            self.0.write_all(&word.to_le_bytes())?;
        }
        self.0.write_all(frame)?;
        self.0.flush()
    }
}
