//! The rules of the house, held as a test: who may depend on whom, how long a
//! file may be, and which words never enter it.

use std::fs;
use std::path::{Path, PathBuf};

/// What each room may import: (room, its allowed workspace dependencies, whether
/// it may know smoltcp). One direction only, and siblings never import each
/// other. A room that is not listed may not exist.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("verbs", &["wire"]),
    ("clc", &["wire"]),
    ("llc", &["wire"]),
    ("cdc", &["wire"]),
    ("roce", &["wire", "verbs"]),
    ("rmb", &["wire", "verbs"]),
    ("stack", &["wire", "verbs", "clc", "llc", "cdc", "rmb"]),
    ("smolsmc", &["wire", "verbs", "clc", "cdc", "roce", "stack"]),
    ("decode", &["wire", "clc", "llc", "cdc", "roce"]),
    ("ethernet", &[]),
    ("shm", &["wire", "verbs"]),
    ("ibv", &["wire", "verbs"]),
    ("drive", &["wire", "verbs", "stack", "ethernet", "roce", "shm", "ibv"]),
    ("threads", &["wire", "verbs", "stack", "drive"]),
    ("tasks", &["wire", "verbs", "stack", "drive"]),
    ("perf", &["wire", "verbs", "shm", "drive", "threads", "tasks"]),
    ("cli", &["smolsmc", "decode", "ethernet", "perf", "roce", "ibv", "shm", "verbs", "wire"]),
    ("tests", &["wire", "verbs", "clc", "llc", "cdc", "roce", "decode", "rmb", "shm", "smolsmc"]),
    ("tests/linux-peer", &["wire", "verbs", "linux-agent", "ethernet", "ibv", "drive", "perf"]),
    ("tests/linux-peer/agent", &[]),
    ("benches", &["wire", "verbs", "cdc", "roce", "smolsmc", "ethernet", "perf"]),
];

/// Rooms that are `no_std`, forbid unsafe code and read no clock.
const PROTOCOL_ROOMS: &[&str] = &["wire", "verbs", "clc", "llc", "cdc", "roce", "rmb", "stack", "smolsmc"];

/// External crates a protocol room may use.
const PROTOCOL_CRATES: &[&str] = &[
    "aligned-vec",
    "bitflags",
    "thiserror",
    "crc32fast",
    "foldhash",
    "hashbrown",
    "rand_chacha",
    "rand_core",
    "slotmap",
    "smoltcp",
    "embedded-io",
];

/// Lines a source file may have; see ARCHITECTURE.md.
const LINES_MAX: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace").to_path_buf()
}

fn manifest(path: &Path) -> toml::Table {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.parse().unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn members() -> Vec<String> {
    let manifest = manifest(&root().join("Cargo.toml"));
    let members = manifest["workspace"]["members"].as_array().expect("members is a list");
    members.iter().map(|m| m.as_str().expect("a path").to_owned()).collect()
}

/// Names of a manifest's `[dependencies]` (not the dev ones: tests may know more).
fn dependencies(room: &str) -> Vec<String> {
    let manifest = manifest(&root().join(room).join("Cargo.toml"));
    match manifest.get("dependencies").and_then(|d| d.as_table()) {
        Some(table) => table.keys().cloned().collect(),
        None => Vec::new(),
    }
}

fn rust_files(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
        let path = entry.expect("a directory entry").path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            rust_files(&path, out);
        } else if name.ends_with(".rs") {
            out.push(path);
        }
    }
}

fn all_rust_files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    rust_files(&root(), &mut files);
    assert!(files.len() > 20, "the walk found the sources");
    files
}

#[test]
fn dependencies_point_one_way() {
    for room in members() {
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == room) else {
            panic!("room {room} has no rule: add it to MAY_IMPORT and ARCHITECTURE.md");
        };
        for dependency in dependencies(&room) {
            if let Some(other) = dependency.strip_prefix("smolsmc-") {
                assert!(allowed.contains(&other), "{room} must not import {other}");
            }
        }
    }
}

#[test]
fn every_rule_names_a_room_that_exists() {
    let members = members();
    for (room, _) in MAY_IMPORT {
        assert!(members.iter().any(|m| m == room), "MAY_IMPORT names {room}, which is no member");
    }
}

#[test]
fn protocol_rooms_use_few_crates_and_no_std() {
    for room in PROTOCOL_ROOMS {
        for dependency in dependencies(room).iter().filter(|d| !d.starts_with("smolsmc-")) {
            assert!(PROTOCOL_CRATES.contains(&dependency.as_str()), "{room} uses {dependency}");
        }
        let lib = fs::read_to_string(root().join(room).join("src/lib.rs")).expect("a lib.rs");
        assert!(lib.contains("#![no_std]"), "{room} is not no_std");
        assert!(lib.contains("#![forbid(unsafe_code)]"), "{room} does not forbid unsafe code");
    }
}

#[test]
fn nostd_proof_covers_every_protocol_room() {
    let manifest = manifest(&root().join("nostd/Cargo.toml"));
    let dependencies = manifest["dependencies"].as_table().expect("a table");
    for room in PROTOCOL_ROOMS {
        let package = if *room == "smolsmc" { "smolsmc".to_owned() } else { format!("smolsmc-{room}") };
        assert!(dependencies.contains_key(&package), "nostd does not link {room}");
    }
}

#[test]
fn one_binary_only() {
    let with_main: Vec<_> =
        members().into_iter().filter(|room| root().join(room).join("src/main.rs").exists()).collect();
    assert_eq!(with_main, ["cli"], "`cargo run` at the root must find exactly one binary");
}

/// A method with a body of its own in the contract is forgotten without an error.
#[test]
fn whoever_forwards_the_verbs_forwards_all_of_them() {
    let methods = |path: &str, from: &str| -> Vec<String> {
        let text = fs::read_to_string(root().join(path)).expect("readable");
        let (_, inside) = text.split_once(from).unwrap_or_else(|| panic!("{path} has no {from:?}"));
        let inside = inside.split("\n}").next().unwrap_or_default().lines();
        let names = inside.filter_map(|line| line.strip_prefix("    fn ")?.split(['(', '<']).next());
        names.map(str::to_owned).collect()
    };
    let all = methods("verbs/src/provider.rs", "pub trait Provider {");
    assert!(all.len() > 20, "the contract was found: {all:?}");
    let forwarded = methods("cli/src/node/nic.rs", "impl Provider for Nic {");
    let missing: Vec<_> = all.iter().filter(|name| !forwarded.contains(name)).collect();
    assert!(missing.is_empty(), "cli/src/node/nic.rs does not forward {missing:?}");
}

#[test]
fn files_stay_readable() {
    for path in all_rust_files() {
        let lines = fs::read_to_string(&path).expect("readable").lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines, the limit is {LINES_MAX}", path.display());
    }
}

#[test]
fn no_test_is_ignored_and_nothing_is_left_to_do() {
    // Spelled in two parts, so that this file does not find itself.
    let banned = [concat!("#[", "ignore"), concat!("todo", "!("), concat!("unimplemented", "!(")];
    for path in all_rust_files() {
        let text = fs::read_to_string(&path).expect("readable");
        for word in banned {
            assert!(!text.contains(word), "{} contains {word}", path.display());
        }
    }
}

#[test]
fn rooms_have_no_vague_names() {
    for path in all_rust_files() {
        let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
        for vague in ["util", "utils", "mgr", "manager", "helper", "helpers", "misc", "common"] {
            assert_ne!(stem, vague, "{}", path.display());
        }
    }
}
