//! `smolsmc demo` as a user runs it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::PathBuf;
use std::process::{Command, Output};

fn smolsmc(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_smolsmc")).args(arguments).output().expect("it starts")
}

fn text(octets: &[u8]) -> String {
    String::from_utf8(octets.to_vec()).expect("UTF-8")
}

fn path(name: &str) -> String {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name).to_str().expect("UTF-8").to_owned()
}

#[test]
fn demo_shows_both_transports_and_a_capture_that_decode_explains() {
    let pcap = path("demo.pcap");
    let demo = smolsmc(&["demo", "--pcap", &pcap]);
    let out = text(&demo.stdout);
    assert!(demo.status.success(), "{}", text(&demo.stderr));
    for words in [
        "client: SMC-R v2.1, link group 1, link 1, first contact",
        "200000 octets each way at the same time, verified",
        "half closed by the client; 1000 more octets from the server, verified",
        "server: SMC-R v2.1, link group 1, link 1, subsequent contact",
        "16 times 1000 octets there and back, verified",
        "client: TCP (we: 0x05000000 peer declined; peer: 0x03030000 no SMC device (R or D))",
        "── TCP SYN + SMC option ─",
        "◀─ LLC CONFIRM LINK request, link 1 ─",
        "◀─ CLC Decline v2 0x03030000 (no SMC device (R or D)) ─",
        " 0 violations, 0 not understood",
    ] {
        assert!(out.contains(words), "no {words:?} in\n{out}");
    }
    let last = out.lines().last().expect("the command");
    assert!(last.ends_with(&format!(" decode {pcap}")), "{last}");
    let decoded = text(&smolsmc(&["decode", "--summary", &pcap]).stdout);
    assert!(decoded.contains("200000 octets to the server, 201000 to the client"), "{decoded}");
    assert!(decoded.contains("TCP (the server declined with 0x03030000"), "{decoded}");
    assert_eq!(text(&smolsmc(&["demo", "--pcap", &pcap]).stdout), out, "the same each time");
}

#[test]
fn demo_verifies_its_octets_over_a_cable_that_loses_frames() {
    let pcap = path("lossy.pcap");
    for seed in ["1", "2", "3"] {
        let demo = smolsmc(&["demo", "--loss", "50", "--seed", seed, "--pcap", &pcap]);
        let out = text(&demo.stdout);
        assert!(demo.status.success(), "{}", text(&demo.stderr));
        assert!(out.contains("sent again"), "{out}");
        assert!(out.contains("200000 octets each way at the same time, verified"), "{out}");
    }
}

#[test]
fn bad_input_gives_one_sentence_and_a_status() {
    for (arguments, words) in [
        (["demo", "--pcap", "/does/not/exist"], "/does/not/exist: No such file or directory"),
        (["demo", "--eid", "lower"], "invalid value 'lower' for '--eid <EID>'"),
        (["demo", "--size", "0"], "invalid value '0' for '--size <N>'"),
        (["demo", "--loss", "1000"], "invalid value '1000' for '--loss <N>'"),
    ] {
        let output = smolsmc(&arguments);
        let said = text(&output.stderr);
        assert!(!output.status.success() && output.stdout.is_empty(), "{arguments:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.starts_with("smolsmc: ") && said.contains(words), "{said}");
    }
}

#[test]
fn help_has_examples() {
    assert!(text(&smolsmc(&["demo", "--help"]).stdout).contains("Examples:"));
}
