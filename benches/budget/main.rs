//! Instructions of what happens most often, counted by callgrind, which no other
//! load on the machine disturbs; each beside what it is compared with, and
//! against a budget that is committed here.
//!
//! ```text
//!   cargo bench --bench budget                      counts, and fails above the budget
//!   cargo bench --bench budget -- --run NAME TIMES  that often, nothing else: for a profiler
//! ```
//!
//! Needs `valgrind`; a debug build would count something else.

// A benchmark that would measure something else must stop.
#![allow(clippy::panic, clippy::expect_used, clippy::disallowed_methods, clippy::disallowed_types)]

#[path = "../stack/hosts.rs"]
#[allow(dead_code, reason = "the other benchmark's streams")]
mod hosts;
#[path = "../stack/plain.rs"]
#[allow(dead_code, reason = "the other benchmark's streams")]
mod plain;
#[path = "../stack/raw.rs"]
mod raw;
mod shm;

use std::process::{Command, ExitCode};

use hosts::Hosts;
use plain::Plain;
use raw::Raw;
use shm::Wire;
use smolsmc::RmbeSize;

/// What is counted, with how many octets, and how many instructions it may take:
/// 4% more than it took when this was written, as machines copy in different
/// ways. A poll with nothing to do; half of half a round trip; round trips.
const BUDGET: [(&str, Option<u64>); 11] = [
    ("idle-0", Some(650)),
    ("send-64", Some(7_360)),
    ("receive-64", Some(6_260)),
    ("smc-64", Some(26_240)),
    ("verbs-64", Some(19_050)),
    ("tcp-64", Some(21_020)),
    ("smoltcp-64", None),
    ("smc-65536", Some(695_000)),
    ("verbs-65536", Some(686_000)),
    ("shm-smc-64", Some(11_430)),
    ("shm-verbs-64", Some(5_130)),
];

/// Rows beside their baselines.
const RATIOS: [(&str, &str); 4] = [
    ("smc-64", "verbs-64"),
    ("tcp-64", "smoltcp-64"),
    ("smc-65536", "verbs-65536"),
    ("shm-smc-64", "shm-verbs-64"),
];

const TIMES: u64 = 2000;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args().skip(1).collect();
    if let Some(at) = args.iter().position(|arg| arg == "--run") {
        let name = args.get(at + 1).expect("a name");
        let times = args.get(at + 2).and_then(|times| times.parse().ok()).expect("a number");
        run(name, times);
        return ExitCode::SUCCESS;
    }
    // `cargo test` runs benchmarks too, in a build that says nothing.
    if !args.iter().any(|arg| arg == "--bench") {
        BUDGET.iter().for_each(|(name, _)| run(name, 2));
        return ExitCode::SUCCESS;
    }
    let mut within = true;
    let mut counts = Vec::new();
    println!("instructions              each   budget");
    for (name, most) in BUDGET {
        let each = collected(name) / TIMES;
        let over = most.is_some_and(|most| each > most);
        within &= !over;
        let most = most.map_or("none".into(), |most| most.to_string());
        println!("{name:20} {each:9}{most:>9}{}", if over { "  over" } else { "" });
        counts.push((name, each as f64));
    }
    let count = |wanted| counts.iter().find(|(name, _)| *name == wanted).map_or(f64::NAN, |(_, each)| *each);
    for (ours, baseline) in RATIOS {
        println!("{ours} / {baseline}: {:.2}", count(ours) / count(baseline));
    }
    if within { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Instructions inside of [`counted`] in a whole run.
fn collected(name: &str) -> u64 {
    let own = std::env::current_exe().expect("a path");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*budget*counted*"])
        .arg(own)
        .args(["--run", name, &TIMES.to_string()])
        .output()
        .expect("valgrind, to be installed");
    let said = String::from_utf8_lossy(&output.stderr);
    let total = said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    total.filter(|total| *total > 0).unwrap_or_else(|| panic!("no count: {said}"))
}

/// What happens inside of it is counted.
#[inline(never)]
fn counted(mut what: impl FnMut()) {
    what();
}

fn run(name: &str, times: u64) {
    let (what, size) = name.rsplit_once('-').expect("a known name");
    let size = size.parse().expect("a size");
    let (octets, mut buffer) = (vec![7; size], vec![0; size]);
    match what {
        "verbs" => {
            let mut raw = Raw::new();
            raw.round_trip(&octets, &mut buffer);
            (0..times).for_each(|_| counted(|| raw.round_trip(&octets, &mut buffer)));
        }
        "smoltcp" => {
            let mut plain = Plain::new();
            plain.round_trip(&octets, &mut buffer);
            (0..times).for_each(|_| counted(|| plain.round_trip(&octets, &mut buffer)));
        }
        "shm-verbs" => {
            let mut wire = Wire::verbs();
            wire.round_trip(&octets, &mut buffer);
            (0..times).for_each(|_| counted(|| wire.round_trip(&octets, &mut buffer)));
        }
        "shm-smc" => {
            let mut wire = Wire::ours();
            wire.round_trip(&octets, &mut buffer);
            (0..times).for_each(|_| counted(|| wire.round_trip(&octets, &mut buffer)));
        }
        _ => {
            let mut hosts = Hosts::new(RmbeSize::from_code(3));
            let sockets = hosts.connect(what == "tcp");
            // The first time is not like the others.
            hosts.round_trip(sockets, &octets, &mut buffer);
            for _ in 0..times {
                match what {
                    "idle" => counted(|| hosts.idle_poll()),
                    "send" => {
                        counted(|| hosts.send(sockets, &octets));
                        hosts.receive(sockets, &mut buffer);
                    }
                    "receive" => {
                        hosts.send(sockets, &octets);
                        counted(|| hosts.receive(sockets, &mut buffer));
                    }
                    _ => counted(|| hosts.round_trip(sockets, &octets, &mut buffer)),
                }
            }
        }
    }
}
