use super::*;

const SPIN: u64 = 64;

fn at(micros: u64) -> Instant {
    Instant::from_micros(micros)
}

fn pace() -> Pace {
    Pace::new(Mode::Adaptive { spin: Duration::from_micros(SPIN) })
}

/// How long it spins from `now` on.
fn spun(pace: &mut Pace, now: u64) -> u64 {
    (0..=SPIN).find(|&micros| pace.sleeps(at(now + micros))).unwrap()
}

#[test]
fn spins_its_budget_then_sleeps() {
    assert_eq!(spun(&mut pace(), 1000), SPIN);
}

#[test]
fn stays_polling_while_events_come_in_time() {
    let mut pace = pace();
    for now in (0..100_000).step_by(SPIN as usize - 1) {
        pace.event(at(now));
        assert!(!pace.sleeps(at(now)) && !pace.sleeps(at(now + SPIN - 1)));
    }
}

#[test]
fn rare_events_end_the_spinning_and_near_ones_bring_it_back() {
    let (mut pace, mut now) = (pace(), 0);
    let mut budgets = Vec::new();
    for gap in [10_000; 8].into_iter().chain([SPIN; 6]).chain([10_000, SPIN, 10_000, 10_000]) {
        budgets.push(spun(&mut pace, now));
        now += gap;
        pace.event(at(now));
    }
    let rare = [64, 32, 16, 8, 4, 0, 0, 0];
    let near = [0, 4, 8, 16, 32, 64];
    assert_eq!(budgets, [&rare[..], &near, &[64, 32, 64, 32]].concat());
}

/// At 1000 a second with chance gaps one in twenty is shorter than the knob: it brought
/// the whole budget back, for twice the processor time of sleeping at once.
#[test]
fn a_chance_pair_brings_little_back() {
    let (mut pace, mut now, mut spinning) = (pace(), 0, 0);
    for event in 0..2000 {
        spinning += spun(&mut pace, now);
        now += if event % 20 == 0 { SPIN / 2 } else { 1000 };
        pace.event(at(now));
    }
    assert!(spinning < 2000, "{spinning} us of spinning for 2000 events");
}

#[test]
fn the_other_modes_learn_nothing() {
    for (mode, sleeps) in [(Mode::Busy, false), (Mode::Interrupt, true)] {
        let mut pace = Pace::new(mode);
        for now in 0..100 {
            pace.event(at(now * 1000));
            assert_eq!(pace.sleeps(at(now * 1000)), sleeps);
        }
    }
}
