//! `ss` and `stats` as a user runs them: what they print is what the node did.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

use common::{Running, assert_refused, command, smolsmc, socket_path, text};
use serde_json::Value;

fn object(arguments: &[&str]) -> Value {
    let output = smolsmc(arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one object")
}

fn table(arguments: &[&str]) -> Vec<Vec<String>> {
    let output = smolsmc(arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let out = text(&output.stdout);
    out.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

/// The line of `stats` that begins so, and what follows the name.
fn counted(out: &str, name: &str) -> String {
    let line = out.lines().find(|line| line.trim_start().starts_with(name));
    line.unwrap_or_else(|| panic!("no {name} in\n{out}")).trim_start()[name.len()..].trim().to_owned()
}

/// An echo, and an `nc` that has sent 1000 octets and had them back.
fn talking(name: &str, echo: &[&str], nc: &[&str]) -> (Running, Running, [String; 2]) {
    let link = socket_path(name);
    let controls = ["echo", "nc"].map(|node| socket_path(&format!("{name}-{node}")));
    let echo = [&["--control", controls[0].as_str()], echo].concat();
    let server = Running::listening(&["echo", "5000"], &link, &echo);
    let nc = [&["--control", controls[1].as_str()], nc].concat();
    let mut client = Running::connecting(&["nc", "10.9.0.1", "5000"], &link, &nc);
    client.child.stdin.as_mut().expect("piped").write_all(&[7; 1000]).expect("it reads");
    let mut back = [0; 1000];
    client.child.stdout.as_mut().expect("piped").read_exact(&mut back).expect("it comes back");
    (server, client, controls)
}

#[test]
fn both_ends_of_a_connection_show_the_same() {
    let (server, client, [echo, nc]) = talking("ss-smcr", &[], &[]);
    let [theirs, ours] = [&echo, &nc].map(|control| object(&["ss", "--control", control, "--json"]));
    let (there, here) = (&theirs["connections"][0], &ours["connections"][0]);
    assert_eq!(
        (&here["state"], &here["mode"], &here["role"]),
        (&"ACTIVE".into(), &"SMCR".into(), &"client".into())
    );
    assert_eq!((&here["local"], &here["remote"]), (&there["remote"], &there["local"]));
    assert_eq!(here["remote"], "10.9.0.1:5000");
    for end in [here, there] {
        let stats = &end["stats"];
        assert_eq!((&stats["octets_sent"], &stats["octets_received"]), (&1000.into(), &1000.into()));
        assert_eq!(end["rings"]["own"], 65_536);
        assert_eq!((&end["rings"]["readable"], &end["rings"]["waiting"]), (&0.into(), &0.into()));
    }
    assert_eq!(here["stats"]["cdc_sent"], there["stats"]["cdc_heard"]);
    // What one end has written the other has seen come, and the other way round.
    for (writer, reader) in [(here, there), (there, here)] {
        let (writer, reader) = (&writer["rings"]["cursors"], &reader["rings"]["cursors"]);
        assert_eq!(writer["tx_producer"], "0000:000003e8", "{writer}");
        assert_eq!(writer["tx_producer"], reader["rx_producer"]);
        assert_eq!(writer["tx_prepared"], writer["tx_sent"]);
        assert_eq!(reader["tx_consumer"], "0000:000003e8");
        assert_eq!((&writer["tx_flags"], &reader["rx_flags"]), (&"00:00".into(), &"00:00".into()));
    }
    let (our_group, their_group) = (&ours["groups"][0], &theirs["groups"][0]);
    assert_eq!(our_group["links"][0]["gid"], their_group["links"][0]["peer_gid"]);
    assert_eq!(theirs["node"]["command"], "echo");
    assert_eq!(theirs["node"]["pid"], server.child.id());

    let rows = table(&["ss", "--control", &echo, "--all", "-R", "-D"]);
    let at = |row: &[String], name: &str| {
        // Two names have a blank in them.
        let names = rows[0].join(" ").replace("Local Address", "Local").replace("Peer Address", "Peer");
        let column = names.split(' ').position(|column| column == name).expect("a column");
        row[column].clone()
    };
    let uid = theirs["node"]["uid"].to_string();
    for (name, want) in [
        ("State", "ACTIVE"),
        ("UID", &uid),
        ("Local", "10.9.0.1:5000"),
        ("Intf", "1"),
        ("Mode", "SMCR"),
        ("Role", "SERV"),
        ("Linkid", "1"),
        ("GID", "::ffff:10.9.0.1"),
        ("Peer-GID", "::ffff:10.9.0.2"),
        ("Sndbuf", "65536"),
        ("rxprod-Cursor", "0000:000003e8"),
        ("txsent-Cursor", "0000:000003e8"),
        ("rxFlags", "00:00"),
        ("Recv-Q", "0"),
        ("Sent", "1000"),
        ("Received", "1000"),
    ] {
        assert_eq!(at(&rows[1], name), want, "{name}");
    }
    assert_eq!((rows[2][0].as_str(), rows[2][3].as_str()), ("LISTEN", "0.0.0.0:5000"));
    let groups = table(&["ss", "--control", &nc, "--groups"]);
    assert_eq!(groups[1][..4], ["1", "CLNT", "SINGLE", "1"]);
    assert_eq!((groups[1][5].as_str(), groups[1][6].as_str()), ("1", "ACTIVE"));
    assert!(client.end().success && server.end().success);
}

#[test]
fn stats_count_what_the_node_did_and_remember_it() {
    let (server, client, [echo, nc]) = talking("stats-smcr", &[], &[]);
    let out = text(&smolsmc(&["stats", "--control", &nc]).stdout);
    let (rx, tx) = out.split_once("\nTX Stats").expect("both parts");
    assert_eq!(counted(rx, "SMC connections"), "1 (client 1, server 0)");
    assert_eq!(counted(rx, "TCP fallback"), "0 (client 0, server 0)");
    assert_eq!(counted(rx, "Data transmitted (Bytes)"), "1000 (1.000K)");
    assert_eq!(counted(tx, "Data transmitted (Bytes)"), "1000 (1.000K)");
    assert_eq!(
        counted(tx, "Total requests"),
        object(&["stats", "--control", &nc, "--json"])["stats"]["smcr"]["sends"].to_string()
    );
    assert_eq!(counted(tx, "Link groups ever"), "1");
    assert_eq!(
        counted(tx, "Bufs").split_whitespace().collect::<Vec<_>>(),
        ["0", "0", "0", "1", "0", "0", "0", "0"]
    );
    let requests = counted(rx, "Reqs");
    assert_eq!(
        requests.split_whitespace().next(),
        Some(counted(rx, "Total requests").as_str()),
        "all are small"
    );
    assert!(client.end().success);
    // The echo's port has ended and so has the echo; nobody is there to be asked.
    assert!(server.end().success);
    assert_refused(&["stats", "--control", &echo], "is a node running with this --control?");
}

#[test]
fn fallback_is_in_the_mode_column_and_among_the_reasons() {
    let (server, client, [echo, nc]) = talking("ss-tcp", &["--eid", "OTHER"], &[]);
    let rows = table(&["ss", "--control", &nc]);
    assert_eq!(rows[1][6..], ["TCP", "0x05000000/0x03030000"]);
    let rows = table(&["ss", "--control", &echo]);
    assert_eq!(rows[1][6..], ["TCP", "0x03030000"]);
    let out = text(&smolsmc(&["stats", "--control", &nc]).stdout);
    assert_eq!(counted(&out, "TCP fallback"), "1 (client 1, server 0)");
    assert_eq!(counted(&out, "0x05000000/0x03030000"), "1 (peer declined)");
    assert_eq!(counted(&out, "SMC connections"), "0 (client 0, server 0)");
    assert!(client.end().success && server.end().success);
}

#[test]
fn live_goes_on_until_the_node_ends() {
    let (server, client, [echo, _]) = talking("ss-live", &["--mode", "busy"], &[]);
    let mut live = command(&["ss", "--control", &echo, "--live", "1", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(live.stdout.take().expect("piped")).lines();
    for _ in 0..2 {
        let line = lines.next().expect("another one").expect("UTF-8");
        let seen: Value = serde_json::from_str(&line).expect("an object");
        assert_eq!(seen["connections"][0]["stats"]["octets_sent"], 1000);
    }
    assert!(client.end().success && server.end().success);
    assert!(live.wait().expect("it ends").success());
}

#[test]
#[expect(clippy::disallowed_methods, reason = "somebody else who listens, in the test")]
fn somebody_who_says_nothing_or_too_much_is_no_node() {
    let control = socket_path("control-mute");
    let listener = std::os::unix::net::UnixListener::bind(&control).expect("bound");
    let mute = std::thread::spawn(move || {
        let first = listener.accept().expect("asked");
        // Endless blanks, which JSON would skip.
        let (mut second, _) = listener.accept().expect("asked again");
        while second.write_all(&[b' '; 65_536]).is_ok() {}
        drop(first);
    });
    assert_refused(&["ss", "--control", &control], "says nothing, and is no smolsmc node");
    assert_refused(&["stats", "--control", &control], "the answer is longer than 64 MiB");
    mute.join().expect("it ends");
}

#[test]
fn socket_of_a_dead_node_is_taken_over_and_a_live_one_is_not() {
    let control = socket_path("control-twice");
    drop(std::os::unix::net::UnixListener::bind(&control).expect("bound"));
    assert!(std::fs::exists(&control).expect("readable"), "a file is left");
    let first = socket_path("control-first");
    let node = Running::listening(&["echo", "5000"], &first, &["--control", &control]);
    let link = format!("unix-listen:{}", socket_path("control-second"));
    let second = ["echo", "5000", "--link", &link, "--ip", "10.9.0.3/24", "--control", &control];
    assert_refused(&second, "Address already in use");
    node.interrupt();
    assert!(node.end().success);
    assert!(!std::fs::exists(&control).expect("readable"), "it is gone with its node");
}

#[test]
fn bad_input_gives_one_sentence_and_a_status() {
    for name in ["ss", "stats"] {
        assert_refused(&[name], "--control <PATH>");
        assert_refused(&[name, "--control", "/does/not/exist"], "No such file or directory");
        assert_refused(&[name, "--control", "/dev/null"], "Connection refused");
        assert_refused(&[name, "--control", "/x", "--live", "0"], "invalid value '0' for '--live <S>'");
        assert!(text(&smolsmc(&[name, "--help"]).stdout).contains("Examples:"));
    }
}
