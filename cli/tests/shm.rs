//! Commands over memory that two processes share.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a peer is killed after a while")]

mod common;

use std::process::{Output, Stdio};

use common::{Running, assert_refused, command, file_path, smolsmc, socket_path, text};
use serde_json::Value;

/// A node that listens for its peer on a wire named `path`, once it says so.
fn listening(arguments: &[&str], path: &str, more: &[&str]) -> Running {
    let link = format!("shm-listen:{path}");
    let mut started = command(arguments);
    started.args(["--link", &link, "--ip", "10.9.0.1/24"]).args(more);
    let mut running = Running::start(&mut started);
    assert_eq!(running.line(), format!("{link}: no peer has connected yet\n"));
    running
}

fn connecting(arguments: &[&str], path: &str, more: &[&str]) -> Output {
    let link = format!("shm:{path}");
    let mut started = command(arguments);
    started.args(["--link", &link, "--ip", "10.9.0.2/24"]).args(more);
    started.stdin(Stdio::null()).output().expect("it starts")
}

#[test]
fn ping_and_echo_speak_smcr_over_shared_memory_between_two_processes() {
    for mode in ["interrupt", "busy"] {
        let path = socket_path(&format!("shm-{mode}"));
        let echo = listening(&["echo", "5000"], &path, &["--json", "--mode", mode]);
        let options = ["--size", "100000", "--count", "20", "--json", "--strict", "--mode", mode];
        let ping = connecting(&["ping", "10.9.0.1:5000"], &path, &options);
        assert!(ping.status.success(), "{}", text(&ping.stderr));
        let report: Value = serde_json::from_slice(&ping.stdout).expect("one object");
        assert_eq!((&report["smcr"], &report["rounds"]), (&true.into(), &20.into()));
        let ended = echo.end();
        assert!(ended.success, "a peer that leaves is no failure: {}", ended.stderr);
        assert!(
            ended.stderr.contains("the peer closed the socket; connections served: 1"),
            "{}",
            ended.stderr
        );
        assert!(text(&ended.stdout).contains("\"octets\":2000000"));
    }
}

#[test]
fn a_capture_of_shared_memory_has_the_frames_and_no_rdma() {
    let (path, pcap) = (socket_path("shm-pcap"), file_path("shm.pcap"));
    let echo = listening(&["echo", "5000"], &path, &[]);
    let ping = connecting(&["ping", "10.9.0.1:5000"], &path, &["--strict", "--pcap", &pcap]);
    assert!(ping.status.success() && echo.end().success, "{}", text(&ping.stderr));
    let decoded = text(&smolsmc(&["decode", &pcap]).stdout);
    assert!(decoded.contains("CLC Confirm"), "{decoded}");
    assert!(decoded.contains("0 LLC, 0 CDC, 0 WRITE packets"), "{decoded}");
}

#[test]
fn ss_and_stats_tell_of_a_node_over_shared_memory() {
    let (path, control) = (socket_path("shm-ss"), socket_path("shm-control"));
    let mut echo = listening(&["echo", "5000"], &path, &["--control", &control]);
    let link = format!("shm:{path}");
    let mut ping = command(&["ping", "10.9.0.1:5000", "--link", &link, "--ip", "10.9.0.2/24"]);
    let ping = Running::start(ping.args(["--count", "100000", "--interval", "10"]));
    assert!(echo.line().contains("SMC-R v2.1, server"));
    for (what, words) in [("ss", "SMCR"), ("stats", "SMC-R")] {
        let told = smolsmc(&[what, "--control", &control]);
        let out = text(&told.stdout);
        assert!(told.status.success() && out.contains(words), "{what}: {out}{}", text(&told.stderr));
    }
    ping.interrupt();
    ping.end();
    echo.end();
}

#[test]
fn conform_refuses_shared_memory_before_it_opens_it() {
    let wire = ["conform", "10.9.0.1:5000", "--link", "shm:/nonexistent", "--ip", "10.9.0.2/24"];
    assert_refused(&wire, "a wire of shared memory ends with its stack");
}

#[test]
fn check_finds_smcr_over_shared_memory() {
    let path = socket_path("shm-check");
    let echo = listening(&["echo", "5000"], &path, &[]);
    let found = connecting(&["check", "10.9.0.1:5000"], &path, &[]);
    assert_eq!(found.status.code(), Some(0), "{}", text(&found.stderr));
    assert!(text(&found.stdout).contains("SMC-R v2.1"), "{}", text(&found.stdout));
    echo.interrupt();
    echo.end();
}

#[test]
fn an_echo_whose_peer_is_killed_over_shared_memory_fails_with_a_sentence() {
    let path = socket_path("shm-killed");
    let mut echo = listening(&["echo", "5000"], &path, &[]);
    let link = format!("shm:{path}");
    let mut ping = command(&["ping", "10.9.0.1:5000", "--link", &link, "--ip", "10.9.0.2/24"]);
    let mut ping = Running::start(ping.args(["--count", "100000", "--interval", "10"]));
    assert!(echo.line().contains("SMC-R v2.1, server"));
    // Both asleep between two rounds: the connection ends before the port is looked at.
    std::thread::sleep(std::time::Duration::from_secs(1));
    ping.child.kill().expect("it runs");
    ping.end();
    let ended = echo.end();
    assert!(!ended.success, "{}", ended.stderr);
    let last = ended.stderr.lines().last().unwrap_or_default();
    assert_eq!(last, format!("smolsmc: shm-listen:{path}: the peer closed the socket"));
}

#[test]
fn a_ping_whose_peer_is_killed_over_shared_memory_fails_with_a_sentence() {
    let path = socket_path("shm-orphan");
    let mut echo = listening(&["echo", "5000"], &path, &[]);
    let link = format!("shm:{path}");
    let mut ping = command(&["ping", "10.9.0.1:5000", "--link", &link, "--ip", "10.9.0.2/24"]);
    let mut ping = Running::start(ping.args(["--count", "100000", "--interval", "10"]));
    assert!(ping.line().contains("SMC-R v2.1, client"));
    echo.child.kill().expect("it runs");
    echo.end();
    let ended = ping.end();
    assert!(!ended.success, "{}", ended.stderr);
    // The rounds that were over by then are told of.
    assert!(ended.stdout.is_empty() || text(&ended.stdout).contains("all as sent"), "{:?}", ended.stdout);
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    assert!(ended.stderr.starts_with("smolsmc: "), "{}", ended.stderr);
}

#[test]
fn who_waits_for_a_peer_over_shared_memory_can_be_interrupted() {
    let path = socket_path("shm-alone");
    let echo = listening(&["echo", "5000"], &path, &[]);
    echo.interrupt();
    let ended = echo.end();
    assert!(!ended.success);
    assert_eq!(ended.stderr, format!("smolsmc: shm-listen:{path}: interrupted before a peer came\n"));
    assert!(!std::path::Path::new(&path).exists(), "its name is gone with it");
}

#[test]
fn links_of_shared_memory_that_cannot_be_are_refused() {
    let ping = |link| ["ping", "10.9.0.1:5000", "--link", link, "--ip", "10.9.0.2/24"];
    assert_refused(&ping("shm:/nonexistent"), "nothing listens there yet");
    assert_refused(&ping("shm:"), "nothing follows the colon");
    let mixed = ["--link", "tap:none", "--ip", "10.9.1.2/24"];
    assert_refused(&[&ping("shm:/nonexistent")[..], &mixed[..]].concat(), "all of shared memory");
}
