//! Random traffic. `SMOLSMC_SEEDS` says how many seeds (of all classes
//! together), `SMOLSMC_FIRST_SEED` where to begin; a seed's class is its
//! remainder.

use smolsmc_tests::sim::soft_nic;
use smolsmc_tests::sim::workload::{Class, Summary, run};

use super::number;

const SEEDS: u64 = 2000;

/// Every so many seeds one is run twice.
const TWICE_EVERY: u64 = 8;

fn one(class: Class, seed: u64) -> Summary {
    let again = "SMOLSMC_SEEDS=1 SMOLSMC_FIRST_SEED";
    match run(class, seed, soft_nic) {
        Ok(summary) => summary,
        Err(broken) => panic!("{broken}\nagain: {again}={seed} cargo test -p smolsmc-tests nic::traffic"),
    }
}

/// Runs the seeds of a class; returns (runs, requests, lanes that failed).
fn seeds(class: Class) -> (u64, u64, u64) {
    let first = number("SMOLSMC_FIRST_SEED", 0);
    let (mut runs, mut succeeded, mut failed) = (0, 0, 0);
    for seed in (first..first + number("SMOLSMC_SEEDS", SEEDS)).filter(|seed| Class::of(*seed) == class) {
        let summary = one(class, seed);
        if (seed / Class::ALL.len() as u64).is_multiple_of(TWICE_EVERY) {
            assert_eq!(one(class, seed), summary, "seed {seed} ({class:?}) runs differently the second time");
        }
        runs += 1;
        succeeded += summary.succeeded;
        failed += summary.failed;
    }
    let rare = matches!(class, Class::Burst | Class::Rate);
    assert!(!rare || failed <= 2 + runs / 100, "{class:?}: retries ran out {failed} times in {runs} runs");
    println!("{class:?}: {runs} runs, {succeeded} requests, {failed} directions failed as they may");
    (runs, succeeded, failed)
}

macro_rules! classes {
    ($($name:ident $Class:ident;)*) => {
        $(#[test]
        fn $name() {
            seeds(Class::$Class);
        })*

        #[test]
        fn every_class_has_its_test() {
            assert_eq!([$(Class::$Class),*], Class::ALL);
        }
    };
}

classes! {
    clean Clean;
    loss Loss;
    one_way_loss OneWayLoss;
    burst Burst;
    duplicates Duplicates;
    reordering Reordering;
    corruption Corruption;
    rate Rate;
    short_blackhole ShortBlackhole;
    long_blackhole LongBlackhole;
    starved Starved;
    port_flap PortFlap;
    qp_error QpError;
    wrong_key WrongKey;
    everything Everything;
}
