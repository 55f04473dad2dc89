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
fn rare_events_end_the_spinning_and_a_near_one_brings_it_back() {
    let (mut pace, mut now) = (pace(), 0);
    let mut budgets = Vec::new();
    for _ in 0..8 {
        budgets.push(spun(&mut pace, now));
        now += 10_000;
        pace.event(at(now));
    }
    assert_eq!(budgets, [64, 32, 16, 8, 4, 0, 0, 0]);
    assert_eq!(spun(&mut pace, now), 0);
    pace.event(at(now + SPIN));
    assert_eq!(spun(&mut pace, now + SPIN), SPIN);
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
