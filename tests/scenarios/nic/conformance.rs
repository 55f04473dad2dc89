//! The suite of `smolsmc_verbs::conformance`: on a clean wire every case, on
//! the others every case that makes sense there.

use smolsmc_tests::sim::{Burst, Faults, Rate, SimRig};
use smolsmc_verbs::conformance::{Outcome, Wire, cases};
use smolsmc_wire::Duration;

const SEEDS: u64 = 2;

/// Runs the suite; nothing may be skipped, since this NIC can do everything.
fn suite(faults: &Faults) {
    let clean = *faults == Faults::default();
    let mut failures = Vec::new();
    let mut ran = 0;
    for case in cases() {
        if case.wire == Wire::Clean && !clean {
            continue;
        }
        for seed in 0..SEEDS {
            let mut rig = SimRig::soft(seed);
            rig.sim().set_all_faults(faults);
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
    suite(&Faults { burst: Some(Burst { enter: 0.003, leave: 0.4, loss: 0.9 }), ..late() });
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
fn names_differ_and_say_their_room() {
    let cases = cases::<SimRig<smolsmc_roce::nic::SoftNic>>();
    let mut names: Vec<_> = cases.iter().map(|case| case.name).collect();
    assert!(names.iter().all(|name| name.contains(": ")));
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), cases.len());
}
