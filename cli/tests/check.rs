//! `check` as a user runs it, against every kind of peer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::process::Output;

use common::{Running, assert_refused, command, smolsmc, socket_path, text};
use serde_json::Value;

/// What `check` finds, in words and as an object, at a peer that runs `echo` on
/// port 5000 with these options.
fn check(name: &str, peer: &[&str], remote: &str, options: &[&str]) -> [Output; 2] {
    [("words", &[][..]), ("json", &["--json"][..])].map(|(kind, more)| {
        let link = socket_path(&format!("{name}-{kind}"));
        let peer = Running::listening(&["echo", "5000"], &link, peer);
        let link = format!("unix:{link}");
        let found = command(&["check", remote, "--link", &link, "--ip", "10.9.0.2/24"])
            .args(options)
            .args(more)
            .output()
            .expect("it starts");
        peer.interrupt();
        peer.end();
        found
    })
}

fn object(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("one object")
}

fn assert_says(output: &Output, words: &[&str]) {
    let out = text(&output.stdout);
    for words in words {
        assert!(out.contains(words), "{words:?} is not in\n{out}");
    }
}

#[test]
fn smcr_is_found_with_version_and_eid() {
    let eids = ["--eid", "FIRST", "--eid", "SECOND"];
    let [words, json] = check("check-smcr", &["--eid", "SECOND"], "10.9.0.1:5000", &eids);
    assert_eq!(words.status.code(), Some(0), "{}", text(&words.stderr));
    assert_says(&words, &["10.9.0.1:5000: SMC-R v2.1, client of link group 1", "version          2.1\n"]);
    assert_says(
        &words,
        &["enterprise id    SECOND (ours: FIRST, SECOND)\n", "RoCE GID         ::ffff:10.9.0.1\n"],
    );
    assert_says(&words, &["RDMA MTU         1024 octets\n", "255 connections, 1 links at most\n"]);
    assert!(!text(&words.stdout).contains("what to do") && words.stderr.is_empty());
    let found = object(&json);
    assert_eq!(
        (&found["smcr"], &found["version"], &found["eid"]),
        (&true.into(), &"2.1".into(), &"SECOND".into())
    );
    assert_eq!((&found["advice"], &found["error"]), (&Value::Null, &Value::Null));
    assert_eq!((&found["accept"]["qpn"].is_u64(), &found["violations"]), (&true, &Value::Array(vec![])));
}

#[test]
fn eid_mismatch_is_told_with_both_reasons() {
    let [words, json] = check("check-eid", &["--eid", "OTHER"], "10.9.0.1:5000", &["--eid", "MINE"]);
    assert_eq!(words.status.code(), Some(1));
    let said = text(&words.stderr);
    let sentence =
        "10.9.0.1:5000 is reached, but not by SMC-R: TCP (we: 0x05000000 peer declined; peer: 0x03030000";
    assert!(said.starts_with(&format!("smolsmc: {sentence}")) && said.lines().count() == 1, "{said}");
    assert_says(&words, &["we proposed      CLC Proposal v2: SMC-R in v2, nothing in v1, EIDs \"MINE\"\n"]);
    assert_says(
        &words,
        &[
            "peer said        CLC Decline v2 0x03030000",
            "what to do       the peer knows none of our enterprise ids (MINE)",
        ],
    );
    let found = object(&json);
    assert_eq!((&found["reached"], &found["smcr"]), (&true.into(), &false.into()));
    assert_eq!(found["local_reason"]["code"], "0x05000000");
    assert_eq!(found["peer_reason"]["code"], "0x03030000");
    assert_eq!(found["eid"], Value::Null, "none was agreed on");
}

#[test]
fn peer_without_smc_is_told() {
    let [words, json] = check("check-tcp", &["--tcp"], "10.9.0.1:5000", &[]);
    assert_eq!(words.status.code(), Some(1));
    assert_says(
        &words,
        &["TCP (we: 0x03010000 peer did not signal SMC)", "SYN-ACK          without the SMC option\n"],
    );
    assert_says(&words, &["start the program with smc_run"]);
    let found = object(&json);
    assert_eq!(found["syn_ack_option"], false);
    assert_eq!((&found["local_reason"]["code"], &found["peer_reason"]), (&"0x03010000".into(), &Value::Null));
}

#[test]
fn nothing_listening_is_told() {
    let [words, json] = check("check-refused", &[], "10.9.0.1:5001", &[]);
    assert_eq!(words.status.code(), Some(1));
    assert_eq!(text(&words.stderr), "smolsmc: 10.9.0.1:5001 is not reached: connection refused\n");
    assert_says(&words, &["what to do       the host is there, and nothing listens on this port"]);
    let found = object(&json);
    assert_eq!((&found["reached"], &found["error"]), (&false.into(), &"connection refused".into()));
}

#[test]
fn nobody_there_is_told() {
    let [words, json] = check("check-nobody", &[], "10.9.0.7:5000", &["--timeout", "1"]);
    assert_eq!(text(&words.stderr), "smolsmc: 10.9.0.7:5000 is not reached: nothing in 1 s\n");
    assert_says(&words, &["what to do       not a single frame came: check the --link"]);
    assert_eq!(object(&json)["reached"], false);
    let [far, _] = check("check-far", &[], "10.10.0.7:5000", &["--timeout", "1"]);
    assert_says(&far, &["no connection: no route to the host", "give an --ip in its subnet, or a --gateway"]);
}

#[test]
fn bad_input_gives_one_sentence_and_a_status() {
    let link = ["--link", "unix:/does/not/exist", "--ip", "10.9.0.2/24"];
    assert_refused(&[&["check", "10.9.0.1:5000"], &link[..]].concat(), "nothing listens there yet");
    assert_refused(&[&["check", "10.9.0.1"], &link[..]].concat(), "an address with a port is wanted");
    assert_refused(&[&["check"], &link[..]].concat(), "<HOST:PORT>");
    let both = [&["check", "10.9.0.1:5000", "--tcp", "--strict"], &link[..]].concat();
    assert_refused(&both, "'--tcp' cannot be used with '--strict'");
    assert!(text(&smolsmc(&["check", "--help"]).stdout).contains("Examples:"));
}
