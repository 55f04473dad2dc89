//! One way, as fast as it goes, counted where it arrives.

use crate::statistics::{median, shown};
use crate::{Bench, What};

const WHATS: [What; 3] = [What::Bare, What::Ours, What::Tcp];

/// A stream of 64 KiB, and messages of 64 octets.
pub(crate) fn measure(bench: &mut Bench, (rounds, less): (usize, u32)) {
    println!("one way, at the receiver, medians of {rounds} interleaved blocks");
    println!("octets            bare       ours        TCP   ours/bare, ours/TCP");
    for (size, times, unit, of_one) in [(65_536, 4096, "GB/s", 65_536.0 / 1e9), (64, 400_000, "M/s", 1e-6)] {
        bench.new_ring(size);
        let mut seen = [const { Vec::new() }; 3];
        for round in 0..=rounds {
            for (seen, what) in seen.iter_mut().zip(WHATS) {
                let times = times / less;
                let rate = f64::from(times) * of_one / bench.one_way(what, size, times);
                if round > 0 {
                    seen.push(rate);
                }
            }
        }
        let [bare, ours, tcp] = &seen;
        let ratios = [shown(ours, bare), shown(ours, tcp)].join("  ");
        let values = seen.clone().map(|mut values| format!("{:10.3}", median(&mut values)));
        println!("{size:6} {unit:5} {}   {ratios}", values.join(" "));
    }
}
