//! What a packet costs the software NIC: two of them back to back in memory, on
//! one thread, beside a plain copy and the bare CRC crate in the same run.
//!
//! ```text
//!   cargo bench --bench nic
//!   cargo bench --bench nic -- --quick     once through, no numbers worth keeping
//! ```
//!
//! Every row is measured in interleaved rounds; printed are medians. Allocations
//! are counted: one on the way of a message ends the run.

// A benchmark that would measure something else must stop; it reads the clock.
#![allow(clippy::panic, clippy::expect_used, clippy::disallowed_methods, clippy::disallowed_types)]

mod allocations;
mod pair;

use std::hint::black_box;
use std::time::Instant;

use pair::{Kind, Pair, Traffic};

/// One row: what is sent, between how many queue pairs, one of them busy.
struct Row {
    name: &'static str,
    traffic: Traffic,
    queue_pairs: u32,
    verify_icrc: bool,
    /// Messages of one round.
    messages: u32,
}

const fn small(name: &'static str, kind: Kind, queue_pairs: u32) -> Row {
    let traffic = Traffic { kind, len: 64, mtu: 4096 };
    Row { name, traffic, queue_pairs, verify_icrc: true, messages: 50_000 }
}

const fn bulk(name: &'static str, mtu: u16, verify_icrc: bool) -> Row {
    let traffic = Traffic { kind: Kind::Write, len: 65_536, mtu };
    Row { name, traffic, queue_pairs: 1, verify_icrc, messages: 600 }
}

const ROWS: &[Row] = &[
    small("64 B SEND", Kind::Send, 1),
    small("64 B WRITE", Kind::Write, 1),
    small("64 B WRITE, 99 idle QPs", Kind::Write, 100),
    small("64 B WRITE, 9999 idle QPs", Kind::Write, 10_000),
    bulk("64 KiB WRITE, MTU 1024", 1024, true),
    bulk("64 KiB WRITE, MTU 1024, ICRC not verified", 1024, false),
    bulk("64 KiB WRITE, MTU 4096", 4096, true),
    bulk("64 KiB WRITE, MTU 4096, ICRC not verified", 4096, false),
];

fn main() {
    let has = |wanted: &str| std::env::args().any(|arg| arg == wanted);
    let full = has("--bench") && !has("--quick");
    let (rounds, share) = if full { (31, 1) } else { (3, 100) };
    let mut pairs: Vec<Pair> =
        ROWS.iter().map(|row| Pair::new(row.traffic, row.queue_pairs, row.verify_icrc)).collect();
    let mut seconds = vec![Vec::new(); ROWS.len()];
    let mut plain = [Vec::new(), Vec::new()];
    for round in 0..rounds + 1 {
        let [copy, crc] = plain_64_kib(if full { 400 } else { 4 });
        for (row, (pair, seconds)) in ROWS.iter().zip(pairs.iter_mut().zip(&mut seconds)) {
            let messages = (row.messages / share).max(32);
            let before = allocations::count();
            let start = Instant::now();
            pair.run(messages);
            let spent = start.elapsed().as_secs_f64() / f64::from(messages);
            let made = allocations::count() - before;
            assert_eq!(made, 0, "{}: {made} allocations in {messages} messages", row.name);
            if round > 0 {
                seconds.push(spent); // the first round only warms up
            }
        }
        if round > 0 {
            plain[0].push(copy);
            plain[1].push(crc);
        }
    }
    report(rounds, &pairs, &mut seconds, &mut plain);
}

/// Seconds that a copy and a CRC of 64 KiB take, beside the NICs.
fn plain_64_kib(times: u32) -> [f64; 2] {
    let source = vec![7u8; 65_536];
    let mut target = vec![0u8; 65_536];
    let start = Instant::now();
    for _ in 0..times {
        target.copy_from_slice(black_box(&source));
        black_box(&mut target);
    }
    let copy = start.elapsed().as_secs_f64() / f64::from(times);
    let start = Instant::now();
    for _ in 0..times {
        black_box(crc32fast::hash(black_box(&source)));
    }
    [copy, start.elapsed().as_secs_f64() / f64::from(times)]
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn report(rounds: usize, pairs: &[Pair], seconds: &mut [Vec<f64>], plain: &mut [Vec<f64>; 2]) {
    let [copy, crc] = plain;
    let (copy, crc) = (median(copy), median(crc));
    let gb = |octets: f64, seconds: f64| octets / seconds / 1e9;
    println!("medians of {rounds} interleaved rounds, one thread, two NICs, no allocation");
    println!(
        "plain copy of 64 KiB: {:.1} GB/s; bare CRC crate: {:.1} GB/s",
        gb(65_536.0, copy),
        gb(65_536.0, crc)
    );
    // Each payload octet is copied twice and goes through two CRCs.
    let ideal = 2.0 * copy + 2.0 * crc;
    let one_qp = ROWS.iter().position(|row| row.name == "64 B WRITE");
    let base = one_qp.map_or(f64::NAN, |index| median(&mut seconds[index]));
    for (row, (pair, seconds)) in ROWS.iter().zip(pairs.iter().zip(seconds)) {
        let each = median(seconds);
        let packet = each / pair.packets_per_message() * 1e9;
        print!("{:42} {:9.1} ns, {packet:6.1} ns a packet", row.name, each * 1e9);
        if row.traffic.len > 64 {
            let rate = gb(f64::from(row.traffic.len), each);
            println!(", {rate:5.2} GB/s, {:.2} x the copies and CRCs it needs", each / ideal);
        } else {
            println!(", {:5.2} M/s, {:.3} x one QP", 1e-6 / each, each / base);
        }
    }
}
