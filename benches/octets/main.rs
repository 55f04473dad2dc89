//! What octets cost: the ICRC beside the bare CRC crate, the CDC message beside
//! a bare copy. Every number stands next to a baseline of the same run, because
//! only their ratio survives a change of machine.
//!
//! ```text
//!   cargo bench --bench octets
//! ```

// A benchmark that would measure something else must stop.
#![allow(clippy::panic)]

mod cdc;
mod icrc;
mod measure;

fn main() {
    // `cargo bench` says so; anything else (`cargo test --benches`) only wants to see it run.
    let blocks = if std::env::args().any(|arg| arg == "--bench") { 20_001 } else { 11 };
    println!(
        "medians of {blocks} interleaved blocks; ratio: time over that of the baseline in the same round, less is better"
    );
    icrc::run(blocks);
    cdc::run(blocks);
}
