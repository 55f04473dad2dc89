//! What verbs over shared memory cost beside a bare ring in the same memory:
//! two threads, each on a core of its own, in interleaved blocks.
//!
//! ```text
//!   cargo bench --bench shm
//!   cargo bench --bench shm -- --quick     once through, no numbers worth keeping
//! ```
//!
//! A round trip is `n` octets there and as many back. Bare ring: slots of a
//! sequence number and the octets, copied in and out. Verbs: an RDMA WRITE of
//! the octets and a SEND of 44 that tells of them, copied out at the other end.
//! Printed are medians of blocks, and the median of the blocks' ratios.

// A benchmark that would measure something else must stop; it reads the clock.
#![allow(clippy::panic, clippy::expect_used, clippy::disallowed_methods, clippy::disallowed_types)]

#[path = "../nic/allocations.rs"]
mod allocations;
mod bare;
mod raw;
mod wake;

use std::sync::mpsc;
use std::time::Instant;

use bare::Bare;
use raw::Raw;

/// One end of everything that is measured.
struct Ends {
    bare: Bare,
    raw: Raw,
}

/// What the other thread is to answer.
#[derive(Clone, Copy)]
struct Block {
    is_raw: bool,
    size: usize,
    times: u32,
}

fn main() {
    let has = |wanted: &str| std::env::args().any(|arg| arg == wanted);
    let full = has("--bench") && !has("--quick");
    let (rounds, times) = if full { (301, 1000) } else { (3, 20) };
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        println!("one core: two threads that spin would wait for each other's time slice");
        return;
    }
    let (bare, raw) = (Bare::pair(), Raw::pair());
    let [bare_near, bare_far] = bare;
    let [raw_near, raw_far] = raw;
    let mut near = Ends { bare: bare_near, raw: raw_near };
    let mut far = Ends { bare: bare_far, raw: raw_far };
    let (tell, told) = mpsc::channel::<Block>();
    let echo = std::thread::spawn(move || {
        pin(1);
        while let Ok(block) = told.recv() {
            far.run(block, false);
        }
    });
    pin(0);
    println!("round trips, two threads, {rounds} interleaved blocks of each");
    println!("octets    bare ring        verbs    ratio");
    for size in [1, 64, 1024, 8192, 65_536] {
        let times = (times / (size as u32 / 2048 + 1)).max(10);
        let mut seen = [const { Vec::new() }; 3];
        for round in 0..=rounds {
            let mut nanos = [0.0; 2];
            for (nanos, is_raw) in nanos.iter_mut().zip([false, true]) {
                let block = Block { is_raw, size, times };
                tell.send(block).expect("the other thread is there");
                let before = allocations::count();
                *nanos = near.run(block, true);
                let made = allocations::count() - before;
                assert!(round == 0 || made <= 4, "{made} allocations in {times} round trips of {size}");
            }
            if round > 0 {
                let [bare, raw] = nanos;
                seen.iter_mut().zip([bare, raw, raw / bare]).for_each(|(seen, value)| seen.push(value));
            }
        }
        let [bare, raw, ratio] = seen.map(|mut seen| median(&mut seen));
        println!("{size:6} {bare:9.0} ns {raw:9.0} ns    {ratio:5.2}");
    }
    drop(tell);
    echo.join().expect("the other thread ends");
    wake::measure(if full { 2000 } else { 20 }, if full { 21 } else { 1 });
}

impl Ends {
    /// Nanoseconds of each round trip.
    fn run(&mut self, block: Block, is_asking: bool) -> f64 {
        let Block { is_raw, size, times } = block;
        let mut buffer = [0; 65_536];
        let buffer = &mut buffer[..size];
        buffer.fill(7);
        // Both are there before the clock starts.
        self.round_trip(is_raw, buffer, is_asking);
        let start = Instant::now();
        for _ in 0..times {
            self.round_trip(is_raw, buffer, is_asking);
        }
        start.elapsed().as_secs_f64() / f64::from(times) * 1e9
    }

    fn round_trip(&mut self, is_raw: bool, buffer: &mut [u8], is_asking: bool) {
        match (is_raw, is_asking) {
            (true, true) => {
                self.raw.send(buffer);
                self.raw.receive(buffer);
            }
            (true, false) => {
                self.raw.receive(buffer);
                self.raw.send(buffer);
            }
            (false, true) => {
                self.bare.send(buffer);
                self.bare.receive(buffer);
            }
            (false, false) => {
                self.bare.receive(buffer);
                self.bare.send(buffer);
            }
        }
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Keeps this thread on one core.
fn pin(core: usize) {
    let mut cores = rustix::thread::CpuSet::new();
    cores.set(core);
    // Where that is not allowed the numbers are worse, not wrong.
    let _ = rustix::thread::sched_setaffinity(None, &cores);
}
