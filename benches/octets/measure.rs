//! A small honest stop watch: contenders take turns, block by block, so that
//! whatever slows the machine slows all of them; medians forget the rest.

// Wall clock is what a benchmark is for.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use core::hint::black_box;
use std::time::Instant;

/// One block of work that times itself, in nanoseconds; what it has to prepare
/// stays outside.
pub(crate) type Contender<'a> = &'a mut dyn FnMut() -> u64;

/// How one contender did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Score {
    /// Median nanoseconds of a block.
    pub nanos: f64,
    /// Median of its time over the baseline's in the same round: a clock that
    /// changes speed during the run does not reach it.
    pub ratio: f64,
}

/// Nanoseconds `work` takes.
pub(crate) fn time(work: impl FnOnce()) -> u64 {
    let start = Instant::now();
    work();
    start.elapsed().as_nanos() as u64
}

/// Lets the contenders, the first of which is the baseline, run one block each
/// in each of `rounds` rounds, each round starting with another one. What
/// looking at the clock costs is taken off.
pub(crate) fn compare<const N: usize>(rounds: usize, contenders: [Contender<'_>; N]) -> [Score; N] {
    let clock = median((0..rounds).map(|_| time(|| ()) as f64).collect());
    let samples: Vec<[f64; N]> = (0..rounds)
        .map(|round| {
            let mut nanos = [0.0; N];
            for turn in 0..N {
                let who = (round + turn) % N;
                nanos[who] = (black_box(contenders[who]()) as f64 - clock).max(1.0);
            }
            nanos
        })
        .collect();
    core::array::from_fn(|who| Score {
        nanos: median(samples.iter().map(|nanos| nanos[who]).collect()),
        ratio: median(samples.iter().map(|nanos| nanos[who] / nanos[0]).collect()),
    })
}

fn median(mut samples: Vec<f64>) -> f64 {
    let middle = samples.len() / 2;
    *samples.select_nth_unstable_by(middle, f64::total_cmp).1
}
