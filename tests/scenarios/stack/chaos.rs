//! Random lives of two and three hosts: see `sim::chaos`.

use smolsmc_tests::sim::chaos;

/// A number in the environment.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn random_lives_end_well() {
    let seeds = match (number("SMOLSMC_SEED"), number("SMOLSMC_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, seeds) => number("SMOLSMC_FROM").unwrap_or(0)..seeds.unwrap_or(200),
    };
    let mut total = chaos::Outcome::default();
    let (first, last) = (seeds.start, seeds.end);
    for seed in seeds {
        let outcome = chaos::run(seed);
        total.talks += outcome.talks;
        total.smc += outcome.smc;
        total.tcp += outcome.tcp;
        total.complete += outcome.complete;
        total.errors += outcome.errors;
        if (seed + 1).is_multiple_of(1000) || seed + 1 == last {
            println!("{} lives: {total:?}", seed + 1 - first);
        }
    }
}

#[test]
fn a_life_lived_twice_is_the_same_life() {
    for seed in 0..6 {
        assert_eq!(chaos::run(seed), chaos::run(seed), "seed {seed}");
    }
}
