//! There and back.

use crate::statistics::{median, quantile, shown};
use crate::{Bench, What, allocations};

const WHATS: [What; 4] = [What::Bare, What::Verbs, What::Ours, What::Tcp];
const PARTS: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];

/// Blocks of round trips, `times` each where they are short.
pub(crate) fn measure(bench: &mut Bench, (rounds, times): (usize, u32)) {
    println!("round trips in ns, two threads that spin, medians of {rounds} interleaved blocks");
    println!("octets           bare      verbs       ours        TCP   ours/verbs, ours/TCP, verbs/bare");
    for size in [1, 64, 4096, 65_536] {
        bench.new_ring(size);
        let times = (times / (size as u32 / 4096 + 1)).max(20);
        // Of each block, for each of `PARTS` and each of `WHATS`.
        let mut seen = [const { [const { Vec::new() }; 4] }; 3];
        let mut nanos = Vec::with_capacity(times as usize);
        for round in 0..=rounds {
            for (index, what) in WHATS.into_iter().enumerate() {
                let before = allocations::count();
                bench.trips(what, size, times, &mut nanos);
                let made = allocations::count() - before;
                assert!(
                    round == 0 || made <= 4,
                    "{made} allocations in {times} round trips of {size}, {what:?}"
                );
                if round > 0 {
                    let mut nanos: Vec<_> = nanos.iter().map(|nanos| *nanos as f64).collect();
                    for (seen, (_, part)) in seen.iter_mut().zip(PARTS) {
                        seen[index].push(quantile(&mut nanos, part));
                    }
                }
            }
        }
        for (seen, (name, _)) in seen.iter_mut().zip(PARTS) {
            let [bare, verbs, ours, tcp] = seen;
            let ratios = [(&*ours, &*verbs), (&*ours, &*tcp), (&*verbs, &*bare)];
            let ratios = ratios.map(|(one, other)| shown(one, other)).join("  ");
            let values = [bare, verbs, ours, tcp].map(|values| format!("{:10.0}", median(values)));
            println!("{size:6} {name:6} {}   {ratios}", values.join(" "));
        }
    }
}
