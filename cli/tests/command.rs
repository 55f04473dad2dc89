//! The command as a user runs it: what it prints, and how it ends.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn smolsmc(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smolsmc"));
    command.args(arguments).output().expect("it starts")
}

fn capture(name: &str) -> String {
    let path = format!("{}/../tests/vectors/linux612/linux612-{name}.pcap", env!("CARGO_MANIFEST_DIR"));
    assert!(fs::exists(&path).expect("readable"), "{path}");
    path
}

/// A file with these octets, named after the test.
fn file(name: &str, octets: &[u8]) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, octets).expect("writable");
    path.to_str().expect("UTF-8").to_owned()
}

fn text(octets: &[u8]) -> String {
    String::from_utf8(octets.to_vec()).expect("UTF-8")
}

/// One sentence on standard error, and a status that is not zero.
fn assert_refused(arguments: &[&str], words: &str) {
    let output = smolsmc(arguments);
    let said = text(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains(words), "{said}");
}

#[test]
fn bad_input_gives_one_sentence_and_a_status() {
    assert_refused(&["decode", &file("empty", b"")], "is empty");
    assert_refused(&["decode", &file("foreign", b"#!/bin/sh\necho this is a script\n")], "not a capture");
    assert_refused(&["decode", "/does/not/exist"], "No such file");
    assert_refused(&["decode", env!("CARGO_MANIFEST_DIR")], "is a directory");
    let whole = fs::read(capture("no-ueid")).expect("readable");
    assert_refused(&["decode", &file("short-header", &whole[..10])], "truncated");
    assert_refused(&["decode", "--json", &file("cut", &whole[..1000])], "truncated");
    let mut linux_cooked = whole.clone();
    linux_cooked[20] = 113;
    assert_refused(&["decode", &file("cooked", &linux_cooked)], "link type 113");
    let mut endless = whole;
    endless[24 + 8..24 + 12].fill(0xff); // the first record's length
    assert_refused(&["decode", &file("endless", &endless)], "truncated");
}

#[test]
fn truncated_capture_is_explained_up_to_its_end() {
    let whole = fs::read(capture("no-ueid")).expect("readable");
    let output = smolsmc(&["decode", "--json", &file("half", &whole[..1000])]);
    let objects: Vec<Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(objects.iter().any(|object| object["frame"] == 1));
    assert_eq!(objects.last().expect("a summary")["kind"], "capture");
}

#[test]
fn json_is_one_object_a_line_each_with_a_kind() {
    let output = smolsmc(&["decode", "--json", &capture("two-links-eth0")]);
    assert!(output.status.success());
    let out = text(&output.stdout);
    let kinds: Vec<String> = out
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).expect("JSON")["kind"].as_str().expect("kind").to_owned()
        })
        .collect();
    for kind in ["tcp-option", "clc", "llc", "cdc", "rdma-write", "ack", "connection", "group", "capture"] {
        assert!(kinds.iter().any(|k| k == kind), "no {kind} in {kinds:?}");
    }
}

#[test]
fn standard_input_is_read() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_smolsmc"))
        .args(["decode", "--summary", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let octets = fs::read(capture("eid-mismatch-fallback")).expect("readable");
    child.stdin.take().expect("piped").write_all(&octets).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success());
    assert!(text(&output.stdout).contains("TCP (the server declined with 0x03030000"));
}

#[test]
fn verbose_shows_all_fields() {
    let output = smolsmc(&["decode", "--verbose", &capture("two-links-eth0")]);
    let out = text(&output.stdout);
    for field in ["alert_token: 1", "host_name: ", "producer_count: 1000", "syndrome: 31", "feature_mask: 1"]
    {
        assert!(out.contains(field), "no {field}");
    }
}

#[test]
fn help_has_examples() {
    for arguments in [&["--help"][..], &["decode", "--help"]] {
        let output = smolsmc(arguments);
        assert!(output.status.success());
        assert!(text(&output.stdout).contains("Examples:"));
    }
    assert!(!smolsmc(&[]).status.success(), "without a command there is nothing to do");
}
