//! What `smolsmc perf` measures between two processes, between two threads of
//! one, where it can be seen that nothing is allocated on the way of a message,
//! and where a profiler sees both ends.
//!
//! ```text
//!   cargo bench --bench shm                    the round trips of 64 octets, and streams
//!   cargo bench --bench shm -- --quick         once through, no numbers worth keeping
//!   cargo bench --bench shm -- --trips COLUMN SIZE TIMES   that alone: for a profiler
//! ```

// A benchmark that would measure something else must stop.
#![allow(clippy::panic, clippy::expect_used)]

#[path = "../nic/allocations.rs"]
mod allocations;

use smolsmc::Duration;
use smolsmc_perf::{Cores, Lab, Plan, Report, What, sections, text};

/// Allocations that a block may make: of the orders before it and the report
/// after it, not of its messages.
const OF_A_BLOCK: u64 = 16;

fn main() {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let has = |wanted: &str| args.iter().any(|arg| arg == wanted);
    let quick = !has("--bench") || has("--quick");
    let cores = Cores::usual();
    if cores.count() < 2 {
        println!("one core: two threads that spin would wait for each other's time slice");
        return;
    }
    let mut lab = Lab::with_thread(cores, Duration::from_micros(50)).expect("both ends");
    if let Some(at) = args.iter().position(|arg| arg == "--trips") {
        let what = args.get(at + 1).and_then(|id| What::of_id(id)).expect("a column");
        let number = |n: usize| args.get(at + n).and_then(|arg| arg.parse().ok()).expect("a number");
        lab.shape(number(2)).expect("a ring");
        lab.trips(what, number(2), number(3) as u32, &mut Vec::new()).expect("round trips");
        return;
    }
    nothing_is_allocated(&mut lab);
    measure(&mut lab, cores, quick);
}

/// A thousand more round trips allocate no more than a thousand did.
fn nothing_is_allocated(lab: &mut Lab) {
    let mut nanos = Vec::with_capacity(4000);
    for size in [1, 64, 65_536] {
        lab.shape(size).expect("a ring");
        for what in What::ALL {
            lab.trips(what, size, 100, &mut nanos).expect("round trips");
            let before = allocations::count();
            lab.trips(what, size, 1000, &mut nanos).expect("round trips");
            let made = allocations::count() - before;
            // A sleep makes a list of what to sleep on.
            let sleeps = matches!(what, What::Interrupt | What::Adaptive | What::Engine);
            assert!(
                made <= OF_A_BLOCK || sleeps,
                "{made} allocations in 1000 round trips of {size}, {what:?}"
            );
        }
    }
    println!("no allocation on the way of a message");
}

fn measure(lab: &mut Lab, cores: Cores, quick: bool) {
    let before = smolsmc_perf::load();
    let columns = What::ALL.to_vec();
    let mut plan = if quick { Plan::quick(columns) } else { Plan::usual(columns) };
    plan.sizes = vec![1, 64, 4096, 65_536];
    let cache_line = lab.cache_line(10_000).expect("two cores");
    let mut progress = |_: &str| {};
    let measured = vec![
        sections::round_trips(lab, &plan, &mut progress).expect("round trips"),
        sections::streams(lab, &plan, &mut progress).expect("streams"),
        sections::messages(lab, &plan, &mut progress).expect("messages"),
    ];
    let report = Report {
        ends: "two threads",
        cores,
        cache_line: Some(cache_line),
        load: [before, smolsmc_perf::load()],
        quick,
        sections: measured,
    };
    print!("{}", text(&report));
}
