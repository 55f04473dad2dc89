//! What octets cost: the ICRC beside the bare CRC crate, the CDC message beside
//! a bare copy. Every number stands next to a baseline of the same run, because
//! only their ratio survives a change of machine.
//!
//! ```text
//!   cargo bench --bench octets
//!   cargo bench --bench octets -- --quick     once through, no numbers worth keeping
//! ```

// A benchmark that would measure something else must stop.
#![allow(clippy::panic)]

mod cdc;
mod icrc;
mod measure;

fn main() {
    // `cargo bench` says so; `-- --quick` and `cargo test --benches` only want to see it run.
    let has = |wanted: &str| std::env::args().any(|arg| arg == wanted);
    let blocks = if has("--bench") && !has("--quick") { 20_001 } else { 11 };
    println!(
        "medians of {blocks} interleaved blocks; ratio: time over that of the baseline in the same round, less is better"
    );
    icrc::run(blocks);
    cdc::run(blocks);
}
