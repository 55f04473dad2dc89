//! What the stack adds to the verbs under it: two hosts on a cable in memory,
//! one thread, beside bare verbs over the same NICs and smoltcp's TCP alone.
//!
//! ```text
//!   cargo bench --bench stack
//!   cargo bench --bench stack -- --quick     once through, no numbers worth keeping
//!   cargo bench --bench stack -- round-trips, streams, idle, contacts or polls: that part alone
//! ```
//!
//! Rows are measured in interleaved rounds, in the thread's own time; printed are
//! medians. Allocations on the way of a message end the run.

// A benchmark that would measure something else must stop; it reads the clock.
#![allow(clippy::panic, clippy::expect_used, clippy::disallowed_methods, clippy::disallowed_types)]

#[path = "../nic/allocations.rs"]
mod allocations;
mod clock;
mod contacts;
mod hosts;
mod plain;
mod raw;

use std::time::Duration;

use hosts::Hosts;
use plain::Plain;
use raw::Raw;
use smolsmc::RmbeSize;

const SIZES: [usize; 4] = [1, 64, 4096, 65_536];

fn main() {
    let has = |wanted: &str| std::env::args().any(|arg| arg == wanted);
    let full = has("--bench") && !has("--quick");
    let rounds = if full { 21 } else { 3 };
    let wants = |part: &str| {
        let mut named = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).peekable();
        named.peek().is_none() || named.any(|arg| arg == part)
    };
    if wants("round-trips") {
        round_trips(rounds, if full { 2000 } else { 20 });
    }
    if wants("streams") {
        streams(rounds, if full { 64 << 20 } else { 1 << 20 });
    }
    if wants("idle") {
        idle_polls(if full { &[0, 100, 10_000] } else { &[0, 100] }, if full { 20_000 } else { 100 });
    }
    if wants("contacts") {
        later_contacts(Duration::from_millis(if full { 30_000 } else { 100 }));
    }
    if wants("polls") {
        longest_polls(Duration::from_millis(if full { 1000 } else { 100 }), if full { 7 } else { 1 });
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Nanoseconds of each of `times`.
fn nanos(times: u32, mut what: impl FnMut()) -> f64 {
    let start = clock::now();
    (0..times).for_each(|_| what());
    (clock::now() - start).as_secs_f64() / f64::from(times) * 1e9
}

fn round_trips(rounds: usize, times: u32) {
    let mut hosts = Hosts::new(RmbeSize::from_code(3));
    let smc = hosts.connect(false);
    let tcp = hosts.connect(true);
    let (mut raw, mut plain) = (Raw::new(), Plain::new());
    let (octets, mut buffer) = (vec![7; 65_536], vec![0; 65_536]);
    println!("round trip          SMC-R    bare verbs   ratio     TCP, ours   smoltcp's   ratio");
    for size in SIZES {
        let octets = &octets[..size];
        let times = (times / (size as u32 / 2048 + 1)).max(8);
        let mut seen = [const { Vec::new() }; 4];
        for round in 0..=rounds {
            let before = allocations::count();
            let a = nanos(times, || hosts.round_trip(smc, octets, &mut buffer[..size]));
            let made = allocations::count() - before;
            assert!(round == 0 || made == 0, "{made} allocations in {times} round trips of {size}");
            let b = nanos(times, || raw.round_trip(octets, &mut buffer[..size]));
            let c = nanos(times, || hosts.round_trip(tcp, octets, &mut buffer[..size]));
            let d = nanos(times, || plain.round_trip(octets, &mut buffer[..size]));
            if round > 0 {
                seen.iter_mut().zip([a, b, c, d]).for_each(|(seen, value)| seen.push(value));
            }
        }
        let [a, b, c, d] = seen.map(|mut seen| median(&mut seen));
        println!(
            "{size:6} B     {a:9.0} ns {b:9.0} ns   {:5.2}  {c:9.0} ns {d:9.0} ns   {:5.2}",
            a / b,
            c / d
        );
    }
}

fn streams(rounds: usize, total: u64) {
    let mut hosts = Hosts::new(RmbeSize::KIB_512);
    let smc = hosts.connect(false);
    let tcp = hosts.connect(true);
    let mut plain = Plain::new();
    let mut buffer = vec![7; 65_536];
    let mut seen = [const { Vec::new() }; 4];
    let gb = |nanos: f64| total as f64 / nanos;
    for _ in 0..rounds.min(7) {
        let a = gb(nanos(1, || hosts.stream(smc, total, &mut buffer)));
        let c = gb(nanos(1, || hosts.stream(tcp, total, &mut buffer)));
        let d = gb(nanos(1, || plain.stream(total, &mut buffer)));
        let source = vec![7u8; total as usize];
        let mut target = vec![0u8; total as usize];
        let e = gb(nanos(1, || {
            target.copy_from_slice(std::hint::black_box(&source));
            std::hint::black_box(&mut target);
        }));
        seen.iter_mut().zip([a, c, d, e]).for_each(|(seen, value)| seen.push(value));
    }
    let [a, c, d, e] = seen.map(|mut seen| median(&mut seen));
    println!(
        "stream: SMC-R {a:.2} GB/s; TCP, ours {c:.2}, smoltcp's {d:.2} (ratio {:.2}); plain copy {e:.2}",
        c / d
    );
}

fn idle_polls(counts: &[usize], times: u32) {
    let mut base = 0.0;
    for &count in counts {
        let mut hosts = Hosts::new(RmbeSize::KIB_16);
        let empty = allocations::octets();
        // Each says something once, and is idle from then on.
        for _ in 0..count {
            let pair = hosts.connect(false);
            hosts.round_trip(pair, &[7], &mut [0]);
        }
        while hosts.turn() {}
        let held = (allocations::octets() - empty) as f64 / 2.0;
        let mut seen: Vec<_> = (0..7).map(|_| nanos(times, || hosts.idle_poll())).collect();
        let each = median(&mut seen);
        if count == 0 {
            base = each;
        }
        print!("idle poll with {count:6} connections: {each:6.1} ns, {:.2} x that of none", each / base);
        match count {
            0 => println!(),
            // Two rings of 16 KiB each; what links and groups need is shared out.
            _ => println!("; {:.0} octets a connection beside its rings", held / count as f64 - 32_768.0),
        }
    }
}

/// Contacts being made at any moment.
const CONCURRENT: [usize; 5] = [1, 4, 16, 64, 200];

fn later_contacts(time: Duration) {
    let mut rates = Vec::new();
    for concurrent in CONCURRENT {
        let smc = contacts::contacts(concurrent, false, time);
        let tcp = contacts::contacts(concurrent, true, time / 10);
        println!(
            "later contacts, {concurrent:3} at a time: {:.0}/s, {:.0}/s in the slowest second; TCP on our stack {:.0}/s (ratio {:.2})",
            smc.per_second,
            smc.slowest,
            tcp.per_second,
            smc.per_second / tcp.per_second,
        );
        rates.push((concurrent, smc.per_second));
    }
    let flat = rates.iter().filter(|(concurrent, _)| *concurrent >= 4).map(|(_, rate)| *rate);
    let (least, most) =
        flat.fold((f64::INFINITY, 0.0), |(least, most): (f64, f64), rate| (least.min(rate), most.max(rate)));
    println!("from 4 to 200 at a time: the slowest is {:.2} of the fastest", least / most);
}

fn longest_polls(time: Duration, rounds: usize) {
    for connections in [1, 64, 200] {
        let mut seen: Vec<_> = (0..rounds).map(|_| contacts::longest_poll(connections, time)).collect();
        let each = median(&mut seen);
        println!("longest poll, {connections:3} connections that send all they can: {each:.0} us");
    }
}
