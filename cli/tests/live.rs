//! `decode --link` as a user runs it: frames explained as they pass.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::io::{BufRead, BufReader, Read};

use common::{Running, assert_refused, command, socket_path, text};
use serde_json::Value;

/// Between two hosts: what passes is unchanged, and is told as it passes.
#[test]
fn cable_between_two_hosts_is_looked_at() {
    let (left, right) = (socket_path("live-left"), socket_path("live-right"));
    let server = Running::listening(&["echo", "5000"], &left, &[]);
    let links = [format!("unix:{left}"), format!("unix-listen:{right}")];
    let mut looking = Running::start(
        command(&["decode", "--json", "--smc"]).args(links.iter().flat_map(|link| ["--link", link])),
    );
    assert!(looking.line().ends_with("no peer has connected yet\n"));
    let mut told = BufReader::new(looking.child.stdout.take().expect("piped"));

    let client = Running::connecting(&["nc", "10.9.0.1", "5000"], &right, &["--strict"]);
    // The connection stands and has not ended: all of this is told live.
    let mut kinds = Vec::new();
    while kinds.last().is_none_or(|kind| kind != "llc") {
        let mut line = String::new();
        told.read_line(&mut line).expect("UTF-8");
        let object: Value = serde_json::from_str(&line).expect("an object");
        kinds.push(object["kind"].as_str().expect("a kind").to_owned());
    }
    assert_eq!(kinds[..2], ["tcp-option", "tcp-option"]);
    assert_eq!(kinds.iter().filter(|kind| *kind == "clc").count(), 3, "{kinds:?}");
    assert!(client.end().success);
    let mut rest = String::new();
    told.read_to_string(&mut rest).expect("UTF-8");
    let objects: Vec<Value> =
        rest.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    let end = objects.iter().find(|object| object["kind"] == "connection").expect("a summary");
    assert_eq!(
        (&end["transport"], &end["end"]),
        (&"SMC-R".into(), &"client DC, server C, client FIN, server FIN".into())
    );
    let all = objects.last().expect("the capture");
    assert_eq!((&all["violations"], &all["unknown"]), (&0.into(), &0.into()), "{all}");
    let looked = looking.end();
    assert!(looked.success && looked.stderr.ends_with("the peer closed the socket\n"), "{}", looked.stderr);
    assert!(server.end().success);
}

#[test]
fn one_port_is_listened_to_for_so_many_frames() {
    let link = socket_path("live-one");
    let listened = format!("unix-listen:{link}");
    let mut looking = Running::start(&mut command(&["decode", "--link", &listened, "--count", "2"]));
    assert!(looking.line().ends_with("no peer has connected yet\n"));
    let client = Running::connecting(&["ping", "10.9.0.1:5000"], &link, &["--timeout", "20"]);
    let looked = looking.end();
    let out = text(&looked.stdout);
    assert!(looked.success, "{}", looked.stderr);
    assert_eq!(out.matches("arp").count(), 2, "{out}");
    assert!(out.contains("\n2 frames, 0 violations, 0 not understood"), "{out}");
    assert!(!client.end().success, "nobody has answered");
}

#[test]
fn signal_ends_it_with_the_summary() {
    let link = socket_path("live-signal");
    let listened = format!("unix-listen:{link}");
    let mut looking = Running::start(&mut command(&["decode", "--link", &listened, "--summary"]));
    assert!(looking.line().ends_with("no peer has connected yet\n"));
    looking.interrupt();
    let looked = looking.end();
    assert!(looked.success && text(&looked.stdout).contains("0 frames"), "{}", text(&looked.stdout));
}

#[test]
fn bad_input_gives_one_sentence_and_a_status() {
    let refused = |more: &[&str], words: &str| assert_refused(&[&["decode"], more].concat(), words);
    refused(&["--link", "eth0"], "is no port: write unix:PATH");
    refused(&["--link", "packet:does-not-exist-at-all"], "the name of an interface has 1 to 15 octets");
    refused(&["--link", "packet:nosuch0"], "packet:nosuch0: ");
    refused(&["--link", "unix:/does/not/exist"], "nothing listens there yet");
    refused(&["--link", "unix:/x", "file.pcap"], "cannot be used with");
    refused(&["--link", "unix:/x", "--count", "0"], "invalid value '0' for '--count <N>'");
    refused(&["--count", "1"], "--link <PORT>");
    refused(&["--link", "unix:/x", "--link", "unix:/y", "--link", "unix:/z"], "a cable has two ends");
    refused(&[], "<FILE>...");
}
