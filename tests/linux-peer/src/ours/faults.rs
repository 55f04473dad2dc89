//! A wire that loses, delays, repeats and reorders, in one direction: what the
//! guest sends by netem in the guest, what we send by our wire.

use std::time::Duration;

use super::{Met, We, both};
use crate::frames::is_roce;
use crate::protocol::{Family, Netem, Request};
use crate::scenario::{Scenario, Stage};
use crate::{Direction, Fate, Result};

#[derive(Clone, Copy, Debug)]
enum Fault {
    Loss(f64),
    Delay,
    Twice,
    Reorder,
}

pub(super) fn scenarios() -> Vec<Scenario> {
    let faults = [
        ("loss-1", Fault::Loss(0.01)),
        ("loss-5", Fault::Loss(0.05)),
        ("delay", Fault::Delay),
        ("twice", Fault::Twice),
        ("reorder", Fault::Reorder),
    ];
    let mut list = Vec::new();
    for (number, (name, fault)) in faults.into_iter().enumerate() {
        for (from, ours) in [("ours", true), ("theirs", false)] {
            let both =
                both(&format!("{name}-{from}"), move |stage, we| whole(stage, we, fault, ours, 1 << 20));
            // The short run has only the first of them.
            list.extend(both.map(|scenario| if number == 0 { scenario } else { scenario.slow() }));
            let both = super::both(&format!("{name}-{from}-16-mib"), move |stage, we| {
                whole(stage, we, fault, ours, 16 << 20)
            });
            list.extend(both.map(|scenario| scenario.slow().within(Duration::from_secs(600))));
        }
    }
    list
}

/// How long after the last octet nothing more is on the wire.
const QUIET: Duration = Duration::from_millis(200);

/// So many octets there and back, intact.
fn whole(stage: &Stage<'_>, we: We, fault: Fault, ours: bool, octets: u64) -> Result<String> {
    let mut met = Met::across(stage, we, Family::Smc, true, |_| {})?;
    met.ensure_smcr()?;
    if ours {
        met.host.judge(0, judge(fault))?;
    } else {
        let _: () = met.ask(Request::SetNetem { nic: "eth0".to_owned(), netem: netem(fault) })?;
    }
    let start = std::time::Instant::now();
    met.exchange(octets)?;
    let seconds = start.elapsed().as_secs_f64();
    met.ensure_smcr()?;
    // The guest still says that it has read all. If tc takes the netem away under that,
    // Linux gives the link up (docs/interop.md).
    met.host.during_time(QUIET);
    met.host.heal();
    let _: () = met.ask(Request::ClearNetem { nic: "eth0".to_owned() })?;
    met.ensure_smcr()?;
    met.end()?;
    Ok(format!("SMC-R, {} MiB in {seconds:.2} s", octets >> 20))
}

fn netem(fault: Fault) -> Netem {
    match fault {
        Fault::Loss(loss) => Netem { loss, ..Netem::default() },
        Fault::Delay => Netem { delay: 5000, jitter: 0, ..Netem::default() },
        Fault::Twice => Netem { duplicate: 0.1, ..Netem::default() },
        Fault::Reorder => Netem { delay: 2000, reorder: 0.98, ..Netem::default() },
    }
}

fn judge(fault: Fault) -> impl FnMut(Direction, &[u8]) -> Fate + Send + 'static {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    move |direction, frame| {
        if direction == Direction::AToB || !is_roce(frame) {
            return Fate::Pass;
        }
        // Marsaglia's xorshift, so that a run can be had again.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let drawn = (random >> 11) as f64 / (1_u64 << 53) as f64;
        match fault {
            Fault::Loss(loss) if drawn < loss => Fate::Drop,
            Fault::Delay => Fate::Delay(Duration::from_millis(5)),
            Fault::Twice if drawn < 0.1 => Fate::Twice,
            Fault::Reorder if drawn < 0.02 => Fate::Delay(Duration::from_millis(2)),
            _ => Fate::Pass,
        }
    }
}
