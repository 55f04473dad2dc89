//! `conform` as a user runs it: against our own agent, where all must pass, and
//! against peers that are broken on purpose.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the broken peer is a thread with a clock"
)]

mod common;

use std::net::{IpAddr, SocketAddr};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use common::{Running, assert_refused, command, smolsmc, socket_path, text};
use serde_json::Value;
use smolsmc::{Config, Eid, ListenOptions, Mac, PortConfig, RecvError, SocketHandle};
use smolsmc_ethernet::{Port, wait};

/// What is said of each case, and the sum at the end.
fn conform(link: &str, more: &[&str]) -> (Vec<Value>, Value, String) {
    let link = format!("unix:{link}");
    let arguments = ["conform", "10.9.0.1:5000", "--link", &link, "--ip", "10.9.0.2/24", "--json"];
    let output = command(&arguments).args(more).output().expect("it starts");
    let out = text(&output.stdout);
    let mut objects: Vec<Value> =
        out.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    let sum = objects.pop().unwrap_or_else(|| panic!("{}", text(&output.stderr)));
    assert_eq!(output.status.success(), sum["failed"] == 0, "{out}");
    (objects, sum, text(&output.stderr))
}

/// The names of all cases.
fn list() -> Vec<String> {
    let output = smolsmc(&["conform", "--list"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let names = text(&output.stdout);
    names.lines().map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn cases_are_listed_without_a_peer_by_names_of_their_own() {
    let mut names = list();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
    assert!(names.contains(&"half-close".to_owned()));
}

#[test]
fn our_own_agent_passes_all_cases() {
    let link = socket_path("conform-all");
    let agent = Running::listening(&["echo", "5000", "--sink", "5001"], &link, &[]);
    // What it says of each connection is not read while it lasts.
    let said = thread::spawn(move || agent.end());
    let (cases, sum, stderr) = conform(&link, &["--sink", "5001", "--timeout", "60"]);
    let failed: Vec<_> = cases.iter().filter(|case| case["pass"] != true).collect();
    assert!(failed.is_empty(), "{failed:?} {stderr}");
    assert_eq!((sum["passed"].as_u64(), &sum["failed"]), (Some(cases.len() as u64), &0.into()));
    assert_eq!(list().len(), cases.len(), "all of them were played");
    let hostile = cases.iter().filter(|case| case["hostile"] == true).count();
    assert!(hostile >= 15 && hostile < cases.len());
    said.join().expect("it ended");
}

#[test]
fn without_a_sink_its_cases_are_skipped_and_said_to_be() {
    let link = socket_path("conform-skip");
    let agent = Running::listening(&["echo", "5000"], &link, &[]);
    let (cases, sum, _) = conform(&link, &["--only", "sink", "--only", "empty"]);
    let passes: Vec<_> = cases.iter().map(|case| (&case["name"], &case["pass"])).collect();
    assert_eq!(passes, [(&"empty".into(), &true.into()), (&"sink".into(), &Value::Null)]);
    assert_eq!((&sum["passed"], &sum["skipped"]), (&1.into(), &1.into()));
    agent.end();
}

/// How a peer is broken.
#[derive(Clone, Copy)]
enum Broken {
    /// The octet at this place of a stream comes back bent.
    Octet(usize),
    /// It closes without having sent back what came with the end.
    Hasty,
    /// It ends what it serves as soon as a handshake fails.
    Fragile,
}

/// An agent that is broken, until its port ends.
fn broken_agent(link: &str, how: Broken) -> JoinHandle<()> {
    let mut config = Config::new([9; 32]);
    config.eids.push(Eid::from_ascii("SMOLSMC").expect("an id"));
    let mut port = PortConfig::new(Mac([2, 0, 0, 0, 0, 9]), 1500);
    port.addresses.push((IpAddr::from([10, 9, 0, 1]), 24));
    config.ports.push(port);
    let mut ports = [Port::open(&format!("unix-listen:{link}")).expect("a port")];
    thread::spawn(move || {
        let start = Instant::now();
        let now = || smolsmc::Instant::from_micros(start.elapsed().as_micros() as u64);
        let mut stack = smolsmc::soft(config, now()).expect("a stack");
        let any = SocketAddr::from(([0, 0, 0, 0], 5000));
        let listener = stack.listen(any, ListenOptions::USUAL).expect("a listener");
        let mut serving: Vec<(SocketHandle, usize)> = Vec::new();
        while !ports[0].has_ended() {
            let outcome = stack.poll(now(), &mut ports);
            if matches!(how, Broken::Fragile) && stack.stats().handshakes_failed > 0 {
                return;
            }
            while let Some(socket) = stack.accept(listener) {
                serving.push((socket, 0));
            }
            serving.retain_mut(|(handle, passed)| {
                let mut octets = [0; 4096];
                let Ok(mut socket) = stack.socket(*handle) else { return false };
                let room = socket.reserve(4096).map_or(0, |room| room.len());
                match socket.recv(&mut octets[..room.max(1)]) {
                    Ok(0) => {
                        socket.close();
                        return false;
                    }
                    Ok(len) => {
                        if let Broken::Octet(place) = how
                            && (*passed..*passed + len).contains(&place)
                        {
                            octets[place - *passed] ^= 1;
                        }
                        *passed += len;
                        if matches!(how, Broken::Hasty) {
                            socket.close();
                            return false;
                        }
                        socket.send(&octets[..len]).expect("there is room");
                    }
                    Err(RecvError::WouldBlock) => {}
                    Err(_) => {
                        socket.abort();
                        return false;
                    }
                }
                true
            });
            if !outcome.progressed && !outcome.more {
                wait(&ports, Some(Duration::from_millis(1))).expect("a port");
            }
        }
    })
}

fn the_only_case(cases: &[Value]) -> (bool, String) {
    let [case] = cases else { panic!("{cases:?}") };
    (case["pass"] == true, case["error"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn bent_octet_fails_the_case_that_meets_it() {
    let link = socket_path("conform-octet");
    let agent = broken_agent(&link, Broken::Octet(70_000));
    let (cases, sum, stderr) =
        conform(&link, &["--only", "half-close", "--only", "sizes", "--timeout", "20"]);
    assert_eq!((&cases[0]["name"], &cases[0]["pass"]), (&"sizes".into(), &false.into()));
    let error = cases[0]["error"].as_str().expect("why");
    assert!(error.contains(" came back as 0x"), "{error}");
    assert_eq!(cases[1]["pass"], true, "30 000 octets do not meet it");
    assert_eq!((&sum["failed"], stderr.as_str()), (&1.into(), "smolsmc: failed: sizes\n"));
    agent.join().expect("it ended");
}

#[test]
fn peer_that_forgets_the_rest_fails_half_close() {
    let link = socket_path("conform-hasty");
    let agent = broken_agent(&link, Broken::Hasty);
    let (cases, _, _) = conform(&link, &["--only", "half-close", "--timeout", "5"]);
    let (pass, error) = the_only_case(&cases);
    assert!(!pass && error.contains("the rest: "), "{error}");
    agent.join().expect("it ended");
}

#[test]
fn peer_that_dies_of_a_bad_handshake_fails_the_hostile_case() {
    let link = socket_path("conform-fragile");
    let agent = broken_agent(&link, Broken::Fragile);
    let (cases, _, _) = conform(&link, &["--only", "clc-eyecatcher", "--timeout", "3"]);
    let (pass, error) = the_only_case(&cases);
    assert!(!pass && error.starts_with("afterwards: "), "{error}");
    agent.join().expect("it ended");
}

#[test]
fn bad_input_gives_one_sentence_and_a_status() {
    let link = ["--link", "unix:/does/not/exist", "--ip", "10.9.0.2/24"];
    let refused =
        |more: &[&str], words: &str| assert_refused(&[&["conform"], more, &link[..]].concat(), words);
    refused(&["10.9.0.1:5000"], "nothing listens there yet");
    refused(&[], "<HOST:PORT>");
    refused(&["10.9.0.1:5000", "--only", "no-such-case"], "no case has such a name: smolsmc conform --list");
    assert_refused(&["conform", "10.9.0.1:5000"], "--link");
    assert!(text(&smolsmc(&["conform", "--help"]).stdout).contains("Examples:"));
}
