//! `nc` as a user runs it: two processes over a socket, pipes of any size.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "pipes are fed by threads")]

mod common;

use std::io::{Read, Write};
use std::process::{ChildStdin, ChildStdout};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use common::{Running, assert_refused, command, smolsmc, socket_path, text};
use serde_json::Value;

/// Octets of a stream, which repeat nowhere soon.
fn octets(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let mut octets = Vec::with_capacity(len + 8);
    while octets.len() < len {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        octets.extend_from_slice(&(state ^ (state >> 29)).to_le_bytes());
    }
    octets.truncate(len);
    octets
}

/// FNV-1a, so that a difference is told without printing both.
fn checksum(octets: &[u8]) -> u64 {
    octets
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum, octet| (sum ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3))
}

fn feed(mut into: ChildStdin, octets: Vec<u8>) -> JoinHandle<()> {
    thread::spawn(move || into.write_all(&octets).expect("it is read"))
}

fn drain(mut from: ChildStdout) -> JoinHandle<(usize, u64)> {
    thread::spawn(move || {
        let mut octets = Vec::new();
        from.read_to_end(&mut octets).expect("readable");
        (octets.len(), checksum(&octets))
    })
}

/// `there` octets to the listening end and `back` from it, at the same time.
fn both_ways(name: &str, there: usize, back: usize, options: &[&str]) {
    let link = socket_path(name);
    let mut server = Running::listening(&["nc", "-l", "5000"], &link, options);
    let mut client = Running::connecting(&["nc", "10.9.0.1", "5000"], &link, options);
    let (out, home) = (octets(1, there), octets(2, back));
    let expected = ((there, checksum(&out)), (back, checksum(&home)));
    let drains = (
        drain(server.child.stdout.take().expect("piped")),
        drain(client.child.stdout.take().expect("piped")),
    );
    let feeds = [
        feed(client.child.stdin.take().expect("piped"), out),
        feed(server.child.stdin.take().expect("piped"), home),
    ];
    for feed in feeds {
        feed.join().expect("fed");
    }
    let came = (drains.0.join().expect("drained"), drains.1.join().expect("drained"));
    let (server, client) = (server.end(), client.end());
    assert_eq!(came, expected, "{} {}", client.stderr, server.stderr);
    assert!(client.success, "{}", client.stderr);
    assert!(server.success, "{}", server.stderr);
}

#[test]
fn pipes_of_0_1_and_many_octets_pass_both_ways() {
    for (number, sizes) in [(0, 0), (1, 0), (0, 1), (1, 1), (100_000, 65_536)].into_iter().enumerate() {
        both_ways(&format!("nc-sizes-{number}"), sizes.0, sizes.1, &["--strict"]);
    }
}

#[test]
fn pipes_of_64_mib_pass_both_ways_at_once() {
    both_ways("nc-64", 64 << 20, 64 << 20, &["--strict", "--mtu", "9000"]);
}

#[test]
fn tcp_carries_a_pipe_as_well() {
    let link = socket_path("nc-tcp");
    let server = Running::listening(&["nc", "-l", "5000"], &link, &["--eid", "OTHER"]);
    let mut client = Running::connecting(&["nc", "10.9.0.1:5000"], &link, &["--json"]);
    let out = octets(3, 1 << 20);
    let feed = feed(client.child.stdin.take().expect("piped"), out.clone());
    // Its standard input ends first: the other direction must go on.
    let server = server.end();
    feed.join().expect("fed");
    let client = client.end();
    assert!(client.success && server.success, "{} {}", client.stderr, server.stderr);
    assert_eq!(checksum(&server.stdout), checksum(&out));
    let reasons =
        "10.9.0.1:5000: TCP (we: 0x05000000 peer declined; peer: 0x03030000 no SMC device (R or D))";
    let mut said = client.stderr.lines();
    assert_eq!(said.next(), Some(reasons));
    let report: Value = serde_json::from_str(said.next().expect("a report")).expect("an object");
    assert_eq!((&report["sent"], &report["received"]), (&(1 << 20).into(), &0.into()));
    assert_eq!((&report["smcr"], &report["error"]), (&false.into(), &Value::Null));
}

/// A request that ends with standard input, and its answer afterwards.
#[test]
fn half_close_lets_the_answer_pass() {
    let link = socket_path("nc-half");
    let mut server = Running::listening(&["nc", "-l", "10.9.0.1", "5000"], &link, &["--strict"]);
    let mut client = Running::connecting(&["nc", "10.9.0.1", "5000"], &link, &["--strict"]);
    let mut out = client.child.stdin.take().expect("piped");
    out.write_all(b"what is the answer?").expect("it reads");
    drop(out);
    let mut question = String::new();
    server.child.stdout.take().expect("piped").read_to_string(&mut question).expect("an end");
    assert_eq!(question, "what is the answer?");
    let mut back = server.child.stdin.take().expect("piped");
    back.write_all(b"42").expect("it reads");
    drop(back);
    let mut answer = String::new();
    client.child.stdout.take().expect("piped").read_to_string(&mut answer).expect("an end");
    assert_eq!(answer, "42");
    assert!(client.end().success && server.end().success);
}

/// What has come is written at once, to a reader who was waiting for it and to
/// one who comes later. (A splice that waited for more kept it from both.)
#[test]
fn octets_are_written_while_more_is_awaited() {
    let link = socket_path("nc-dialogue");
    let server = Running::listening(&["echo", "5000"], &link, &[]);
    let mut client = Running::connecting(&["nc", "10.9.0.1", "5000"], &link, &["--strict"]);
    let mut into = client.child.stdin.take().expect("piped");
    let mut out = client.child.stdout.take().expect("piped");
    let (told, heard) = std::sync::mpsc::channel();
    thread::spawn(move || {
        for round in 0..10 {
            into.write_all(&[round; 1000]).expect("it reads");
            thread::sleep(Duration::from_millis(if round % 2 == 0 { 0 } else { 100 }));
            let mut back = [0; 1000];
            out.read_exact(&mut back).expect("it comes back");
            assert_eq!(back, [round; 1000]);
            told.send(()).expect("it is heard");
        }
    });
    for round in 0..10 {
        assert!(heard.recv_timeout(Duration::from_secs(30)).is_ok(), "round {round}");
    }
    assert!(client.end().success && server.end().success);
}

/// Nothing grows while nobody reads, and all of it comes once somebody does.
#[test]
fn reader_that_does_not_read_stops_the_writer() {
    let link = socket_path("nc-slow");
    let server = Running::listening(&["nc", "-l", "5000"], &link, &["--strict"]);
    let mut client = Running::connecting(&["nc", "10.9.0.1", "5000"], &link, &["--strict"]);
    let mut into = client.child.stdin.take().expect("piped");
    let (told, taken) = std::sync::mpsc::channel();
    let feed = thread::spawn(move || {
        for _ in 0..64 {
            into.write_all(&[7; 1 << 20]).expect("it reads");
            told.send(()).expect("it is heard");
        }
    });
    let mut mib = 0;
    while taken.recv_timeout(Duration::from_secs(2)).is_ok() {
        mib += 1;
    }
    assert!(mib < 8, "{mib} MiB were taken, and nobody has read a single octet");
    let memory = std::fs::read_to_string(format!("/proc/{}/statm", client.child.id())).expect("it lives");
    let pages: u64 = memory.split(' ').nth(1).expect("resident").parse().expect("a number");
    assert!(pages * 4 < 64 << 10, "{pages} pages resident");
    let server = server.end();
    feed.join().expect("fed");
    assert_eq!(server.stdout.len(), 64 << 20);
    assert!(server.stdout.iter().all(|octet| *octet == 7));
    assert!(client.end().success && server.success, "{}", server.stderr);
}

/// `nc … | head`: whoever writes is told, and does not go on for ever.
#[test]
fn reader_that_leaves_ends_both_with_an_error() {
    let link = socket_path("nc-leave");
    let mut server = Running::listening(&["nc", "-l", "5000"], &link, &["--strict"]);
    let mut client = Running::connecting(&["nc", "10.9.0.1", "5000"], &link, &["--strict"]);
    let mut into = client.child.stdin.take().expect("piped");
    let feed = thread::spawn(move || while into.write_all(&[7; 1 << 16]).is_ok() {});
    let mut some = [0; 10];
    let mut out = server.child.stdout.take().expect("piped");
    out.read_exact(&mut some).expect("octets come");
    drop(out);
    let server = server.end();
    assert!(!server.success);
    assert!(
        server.stderr.ends_with("smolsmc: standard output: Broken pipe (os error 32)\n"),
        "{}",
        server.stderr
    );
    feed.join().expect("it ended");
    let client = client.end();
    assert!(!client.success);
    assert!(client.stderr.ends_with("10.9.0.1:5000: connection aborted by the peer\n"), "{}", client.stderr);
}

/// What could not be read must not look like the end of the stream.
#[test]
fn unreadable_input_is_no_end_of_the_stream() {
    let link = socket_path("nc-input");
    let server = Running::listening(&["nc", "-l", "5000"], &link, &["--strict"]);
    let directory = std::fs::File::open("/").expect("readable");
    let link = format!("unix:{link}");
    let client = command(&["nc", "10.9.0.1", "5000", "--link", &link, "--ip", "10.9.0.2/24"])
        .stdin(directory)
        .output()
        .expect("it starts");
    assert_eq!(client.status.code(), Some(1));
    let said = text(&client.stderr);
    assert!(said.ends_with("smolsmc: standard input: Is a directory (os error 21)\n"), "{said}");
    let server = server.end();
    assert!(!server.success && server.stderr.contains("connection aborted by the peer"), "{}", server.stderr);
}

#[test]
fn interruption_ends_both_and_is_no_success() {
    let link = socket_path("nc-signal");
    let mut server = Running::listening(&["nc", "-l", "5000"], &link, &["--strict"]);
    let mut client = Running::connecting(&["nc", "10.9.0.1", "5000"], &link, &["--strict"]);
    assert!(client.line().contains("SMC-R v2.1"));
    assert!(server.line().ends_with("the port is up\n") && server.line().contains("SMC-R v2.1"));
    let before = Instant::now();
    client.interrupt();
    let client = client.end();
    assert_eq!((client.success, client.stderr.as_str()), (false, "smolsmc: interrupted\n"));
    let server = server.end();
    assert!(!server.success && server.stderr.contains("aborted by the peer"), "{}", server.stderr);
    assert!(before.elapsed() < Duration::from_secs(20));
}

#[test]
fn two_links_carry_on_when_one_is_given_more() {
    let (first, second) = (socket_path("nc-two-a"), socket_path("nc-two-b"));
    let links = |kind: &str, host: u8| {
        [
            "--strict".to_owned(),
            format!("--link={kind}:{first}"),
            format!("--link={kind}:{second}"),
            format!("--ip=10.9.0.{host}/24"),
            format!("--ip=10.9.1.{host}/24"),
        ]
    };
    let mut server = Running::start(command(&["nc", "-l", "5000"]).args(links("unix-listen", 1)));
    for _ in 0..2 {
        assert!(server.line().ends_with("no peer has connected yet\n"));
    }
    let mut client = Running::start(command(&["nc", "10.9.1.1", "5000"]).args(links("unix", 2)));
    let out = octets(9, 3 << 20);
    let feed = feed(client.child.stdin.take().expect("piped"), out.clone());
    let server = server.end();
    feed.join().expect("fed");
    assert_eq!(checksum(&server.stdout), checksum(&out), "{}", server.stderr);
    let client = client.end();
    assert!(client.success && server.success, "{} {}", client.stderr, server.stderr);
}

#[test]
fn bad_input_gives_one_sentence_and_a_status() {
    let link = ["--link", "unix:/does/not/exist", "--ip", "10.9.0.2/24"];
    let refused = |place: &[&str], words: &str| assert_refused(&[&["nc"], place, &link].concat(), words);
    refused(&["10.9.0.1", "many"], "invalid value 'many': a port is wanted, 1 to 65535");
    refused(&["10.9.0.1", "0"], "invalid value '0': a port is wanted");
    refused(&["localhost", "5000"], "invalid value 'localhost': an address is wanted, such as 10.9.0.1");
    refused(&["10.9.0.1"], "an address with a port is wanted");
    refused(&["-l", "10.9.0.1", "no"], "a port is wanted");
    refused(&["1", "2", "3"], "unexpected value '3'");
    refused(&["10.9.0.1", "5000"], "nothing listens there yet");
    refused(
        &["10.9.0.1", "5000", "--link", "unix:/nor/this"],
        "2 links need an --ip each, in the same order; there are 1",
    );
    assert_refused(&[&["nc"], &link[..]].concat(), "<HOST> [PORT]...");
    let help = text(&smolsmc(&["nc", "--help"]).stdout);
    assert!(help.contains("Examples:"));
}
