//! Every file of the fuzz corpus, and every input that once found a bug, through
//! the body of its target: what fuzzing found stays found without a fuzzer.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use smolsmc_tests::fuzzing::{Body, TARGETS};

/// What is committed stays small enough to be cloned without a thought.
const CORPUS_LEN_MAX: u64 = 2 << 20;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace").join("fuzz")
}

/// The files or folders in `folder`, sorted.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a directory entry").path()).collect();
    paths.sort();
    paths
}

fn stem(path: &Path) -> String {
    path.file_stem().expect("a name").to_string_lossy().into_owned()
}

/// Prints the name of the input should its body panic.
struct Running<'p>(&'p Path);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the input is {}", self.0.display());
        }
    }
}

/// Runs every file in `folder`; returns how many there are, and their length.
fn replay(folder: &Path, body: Body) -> (usize, u64) {
    let inputs = entries(folder);
    let mut len = 0;
    for input in &inputs {
        let _running = Running(input);
        let octets = fs::read(input).unwrap_or_else(|e| panic!("{}: {e}", input.display()));
        body(&octets);
        len += octets.len() as u64;
    }
    (inputs.len(), len)
}

#[test]
fn every_target_has_a_body_and_a_corpus_and_nothing_else_has() {
    let targets: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    for (folder, what) in [("fuzz_targets", "fuzz targets"), ("corpus", "corpora")] {
        let found: BTreeSet<_> = entries(&fuzz().join(folder)).iter().map(|path| stem(path)).collect();
        assert_eq!(found, targets, "{what}, and the bodies in tests/src/fuzzing");
    }
    let manifest: toml::Table =
        fs::read_to_string(fuzz().join("Cargo.toml")).expect("a manifest").parse().expect("TOML");
    let bins = manifest["bin"].as_array().expect("a list of targets");
    let bins: BTreeSet<_> = bins.iter().map(|bin| bin["name"].as_str().expect("a name").to_owned()).collect();
    assert_eq!(bins, targets, "bins in fuzz/Cargo.toml");
}

#[test]
fn corpus_replays() {
    let mut total = 0;
    for (name, body) in TARGETS {
        let (inputs, len) = replay(&fuzz().join("corpus").join(name), *body);
        assert!(inputs > 0, "the corpus of {name} is empty");
        println!("{name}: {inputs} inputs, {len} octets");
        total += len;
    }
    assert!(total <= CORPUS_LEN_MAX, "the corpus has {total} octets, the limit is {CORPUS_LEN_MAX}");
}

/// Each file is named after the bug it found.
#[test]
fn bugs_found_by_fuzzing_stay_fixed() {
    let folder = fuzz().join("regressions");
    if !folder.exists() {
        return;
    }
    for found in entries(&folder) {
        let name = stem(&found);
        let target = TARGETS.iter().find(|(target, _)| *target == name);
        let (_, body) = target.unwrap_or_else(|| panic!("{} belongs to no target", found.display()));
        assert!(replay(&found, *body).0 > 0, "{} is empty", found.display());
    }
}
