//! The suite of `smolsmc_verbs::conformance`: on a clean wire every case, on
//! the others every case that makes sense there. `SMOLSMC_SUITE_SEEDS` says on
//! how many worlds of each kind.

use smolsmc_roce::nic::SoftNic;
use smolsmc_tests::sim::{Attachment, Burst, Faults, Rate, SOFT_DEVICES, SimRig, port_of};
use smolsmc_verbs::conformance::{Case, Outcome, Side, Wire, cases};
use smolsmc_wire::{Duration, Instant};

use super::number;

/// Worlds of each kind, where which one it is makes little difference.
const SEEDS: u64 = 2;

/// Worlds where something happens at its time, which each has another of.
const TIMES: u64 = 8;

/// Runs the suite on the same kind of wire both ways.
fn suite(faults: &Faults) {
    let wire = if *faults == Faults::default() { Wire::Clean } else { Wire::Any };
    run(wire, SEEDS, all, |rig, _| rig.sim().set_all_faults(faults));
}

const fn all(_: &Case<SimRig<SoftNic>>) -> bool {
    true
}

/// Runs the cases that make sense on `wire` and that are `wanted`, on rigs that
/// `spoil` makes worse; nothing may be skipped, since this NIC can do everything.
fn run(
    wire: Wire,
    seeds: u64,
    wanted: impl Fn(&Case<SimRig<SoftNic>>) -> bool,
    spoil: impl Fn(&mut SimRig<SoftNic>, u64),
) {
    let mut failures = Vec::new();
    let mut ran = 0;
    for case in cases().iter().filter(|case| wanted(case)) {
        if case.wire == Wire::Clean && wire != Wire::Clean {
            continue;
        }
        for seed in 0..number("SMOLSMC_SUITE_SEEDS", seeds) {
            let mut rig = SimRig::soft(seed);
            spoil(&mut rig, seed);
            ran += 1;
            match case.run(&mut rig) {
                Outcome::Passed => {}
                Outcome::Skipped(lacking) => failures.push(format!("{}: skipped: {lacking}", case.name)),
                Outcome::Failed(failure) => failures.push(format!("seed {seed}: {failure}")),
            }
        }
    }
    assert!(ran > 100, "the suite is there");
    assert!(failures.is_empty(), "{} of {ran} failed:\n{}", failures.len(), failures.join("\n"));
}

fn late() -> Faults {
    Faults { reorder_by: Duration::from_micros(300), ..Faults::default() }
}

#[test]
fn on_a_clean_wire() {
    suite(&Faults::default());
}

#[test]
fn with_delay_and_jitter() {
    suite(&Faults { delay: Duration::from_micros(200), jitter: Duration::from_micros(300), ..late() });
}

#[test]
fn with_loss() {
    suite(&Faults { loss: 0.01, ..late() });
}

#[test]
fn with_loss_in_bursts() {
    suite(&Faults { burst: Some(Burst { enter: 0.003, leave: 0.7, loss: 0.9 }), ..late() });
}

#[test]
fn with_duplicates() {
    suite(&Faults { duplicate: 0.3, ..late() });
}

#[test]
fn with_reordering() {
    suite(&Faults { reorder: 0.02, ..late() });
}

#[test]
fn with_corruption() {
    suite(&Faults { corrupt: 0.01, masked: 0.3, ..late() });
}

#[test]
fn on_a_slow_line() {
    let rate = Rate { octets_per_second: 50_000_000, queue_octets: 100_000 };
    suite(&Faults { rate: Some(rate), ..late() });
}

#[test]
fn with_loss_in_one_direction() {
    for loser in 0..2 {
        run(Wire::Any, SEEDS, all, |rig, _| {
            for device in 0..SOFT_DEVICES {
                let from = Attachment { node: loser, port: port_of(device) };
                rig.sim().set_faults(from, Faults { loss: 0.02, ..late() });
            }
        });
    }
}

/// When darkness falls for the seeds one after the other: from before the first
/// frame until many cases are in the middle.
fn dark(seed: u64) -> (Instant, Instant) {
    let nth = seed % TIMES;
    let from = Instant::from_micros(1000 + 150 * nth * nth + seed / TIMES);
    (from, from + Duration::from_millis(12))
}

/// Longer than two of the shortest timeouts in the suite, shorter than all its
/// retries together.
#[test]
fn with_a_blackhole_that_heals() {
    run(Wire::Any, TIMES, all, |rig, seed| {
        rig.sim().set_all_faults(&Faults { blackhole: Some(dark(seed)), ..late() });
    });
}

/// But for the cases that watch what ports do: they do the same themselves.
#[test]
fn with_ports_that_go_down_and_come_back() {
    let others = |case: &Case<SimRig<SoftNic>>| !case.name.starts_with("events: ");
    for side in [Side::Near, Side::Far] {
        run(Wire::Any, TIMES, others, |rig, seed| {
            let (from, to) = dark(seed);
            rig.flap(side, from, to);
        });
    }
}

#[test]
fn names_differ_and_say_their_room() {
    let cases = cases::<SimRig<SoftNic>>();
    let mut names: Vec<_> = cases.iter().map(|case| case.name).collect();
    assert!(names.iter().all(|name| name.contains(": ")));
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), cases.len());
}
