#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "one of them sleeps")]

use std::collections::VecDeque;

use super::*;

/// A host whose polls are written down beforehand; when they are used up, idle.
#[derive(Default)]
struct Script {
    polls: VecDeque<bool>,
    always_busy: bool,
    waits_when_armed: bool,
    up: usize,
    /// What becomes readable once so many messages wait.
    counter: Option<(u16, OwnedFd)>,
    waits_when_counting: bool,
    arms: u32,
    polled: u32,
}

impl Drive for Script {
    fn poll(&mut self, _now: Instant) -> PollOutcome {
        self.polled += 1;
        let progressed = self.always_busy || self.polls.pop_front().unwrap_or(false);
        PollOutcome { progressed, ..PollOutcome::default() }
    }

    fn poll_at(&mut self) -> Wakeup {
        Wakeup::OnInput
    }

    fn arm(&mut self) -> bool {
        self.arms += 1;
        self.waits_when_armed
    }

    fn arm_after(&mut self, count: u16) -> Option<bool> {
        let (wanted, _) = self.counter.as_ref()?;
        assert_eq!(*wanted, count);
        Some(self.waits_when_counting)
    }

    fn counting_fds<'a>(&'a mut self, into: &mut Fds<'a>) {
        into.read(self.counter.as_ref().expect("was armed").1.as_fd());
    }

    fn up(&self) -> usize {
        self.up
    }

    fn wants_write(&self) -> bool {
        false
    }

    fn timeout(&mut self) -> Option<Duration> {
        None
    }

    fn fds<'a>(&'a mut self, _into: &mut Fds<'a>) {}
}

const SHORT: Duration = Duration::from_millis(1);
/// A sleep lasts so long only if a wake-up was lost.
const LONG: Duration = Duration::from_secs(10);

fn turn(driver: &mut Driver, host: &mut Script, most: Duration) -> Turn {
    driver.turn(host, &mut || Instant::ZERO, most).unwrap()
}

fn readable() -> OwnedFd {
    rustix::event::eventfd(1, rustix::event::EventfdFlags::CLOEXEC).unwrap()
}

#[test]
fn busy_never_sleeps_nor_arms() {
    let (mut driver, mut host) = (Driver::new(Mode::Busy).unwrap(), Script::default());
    (0..100).for_each(|_| assert!(!turn(&mut driver, &mut host, LONG).slept));
    assert_eq!((host.arms, host.polled, driver.stats().clock_reads), (0, 100, 100));
}

#[test]
fn interrupt_arms_and_polls_again_before_it_sleeps() {
    let (mut driver, mut host) = (Driver::new(Mode::Interrupt).unwrap(), Script::default());
    let turned = turn(&mut driver, &mut host, SHORT);
    assert!(turned.slept && turned.timed_out);
    assert_eq!((host.arms, host.polled, driver.stats().clock_reads), (1, 2, 1));
}

#[test]
fn what_came_before_arming_or_meanwhile_keeps_it_awake() {
    let mut driver = Driver::new(Mode::Interrupt).unwrap();
    let mut host = Script { polls: [false, true].into(), ..Script::default() };
    let turned = turn(&mut driver, &mut host, LONG);
    assert!(!turned.slept && turned.outcome.progressed);
    let mut host = Script { waits_when_armed: true, ..Script::default() };
    assert!(!turn(&mut driver, &mut host, LONG).slept);
}

#[test]
fn a_device_that_goes_down_or_up_is_told_before_the_sleep() {
    let (mut driver, mut host) = (Driver::new(Mode::Interrupt).unwrap(), Script::default());
    for up in [2, 1, 2, 0] {
        host.up = up;
        assert!(!turn(&mut driver, &mut host, LONG).slept);
        assert!(turn(&mut driver, &mut host, SHORT).timed_out, "told once");
    }
}

#[test]
fn a_ring_before_the_sleep_is_not_lost() {
    let (mut driver, mut host) = (Driver::new(Mode::Interrupt).unwrap(), Script::default());
    driver.bell().ring();
    assert!(!turn(&mut driver, &mut host, LONG).slept);
    assert!(turn(&mut driver, &mut host, SHORT).timed_out, "rung once, awake once");
}

#[test]
fn a_ring_from_another_thread_ends_the_sleep() {
    let (mut driver, mut host) = (Driver::new(Mode::Interrupt).unwrap(), Script::default());
    let (bell, (send, heard)) = (driver.bell(), std::sync::mpsc::channel());
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for number in 0..10_000 {
                send.send(number).unwrap();
                bell.ring();
            }
        });
        let mut next = 0;
        while next < 10_000 {
            assert!(!turn(&mut driver, &mut host, LONG).timed_out);
            heard.try_iter().for_each(|number| {
                assert_eq!(number, next);
                next += 1;
            });
        }
    });
}

#[test]
fn a_waker_is_told_of_once_and_again_after_it_was_told() {
    let (mut driver, mut host) = (Driver::new(Mode::Interrupt).unwrap(), Script::default());
    let wakers: Vec<_> = (0..1000).map(|number| driver.waker(Token(number))).collect();
    (0..3).for_each(|_| wakers[700].wake_by_ref());
    wakers[3].wake_by_ref();
    assert!(!turn(&mut driver, &mut host, LONG).slept);
    // Nobody took them: it stays awake.
    assert!(!turn(&mut driver, &mut host, LONG).slept);
    assert_eq!(driver.next_ready(), Some(Token(700)));
    wakers[700].wake_by_ref();
    let rest = [driver.next_ready(), driver.next_ready(), driver.next_ready()];
    assert_eq!(rest, [Some(Token(3)), Some(Token(700)), None]);
}

#[test]
fn a_busy_stack_does_not_starve_foreign_descriptors() {
    for mode in [Mode::Busy, Mode::Interrupt, Mode::Adaptive { spin: SHORT }] {
        let (mut driver, fd) = (Driver::new(mode).unwrap(), readable());
        driver.add(fd.as_fd(), Token(9), true, false).unwrap();
        let mut host = Script { always_busy: true, ..Script::default() };
        let mut told = 0;
        for _ in 0..FOREIGN_EVERY * 10 {
            turn(&mut driver, &mut host, LONG);
            told += driver.foreign().count();
        }
        assert_eq!((told, driver.stats().foreign_looks), (10, 10), "{mode:?}");
    }
}

#[test]
fn a_foreign_descriptor_that_is_always_ready_does_not_starve_the_stack() {
    for mode in [Mode::Busy, Mode::Interrupt, Mode::Adaptive { spin: SHORT }] {
        let (mut driver, fd) = (Driver::new(mode).unwrap(), readable());
        driver.add(fd.as_fd(), Token(9), true, false).unwrap();
        let mut host = Script::default();
        (0..100).for_each(|_| assert!(!turn(&mut driver, &mut host, LONG).timed_out));
        assert!(host.polled >= 100, "{mode:?}");
        driver.remove(fd.as_fd()).unwrap();
        assert_eq!(driver.foreign_count, 0);
    }
}

#[test]
fn all_of_many_ready_descriptors_have_their_turn() {
    let mut driver = Driver::new(Mode::Interrupt).unwrap();
    let fds: Vec<_> = (0..200).map(|_| readable()).collect();
    for (fd, number) in fds.iter().zip(0..) {
        driver.add(fd.as_fd(), Token(number), true, false).unwrap();
    }
    let (mut host, mut told) = (Script::default(), std::collections::BTreeMap::new());
    for _ in 0..200 {
        turn(&mut driver, &mut host, LONG);
        assert!(driver.foreign().count() <= FOREIGN_BATCH);
        driver.foreign().for_each(|token| *told.entry(token).or_insert(0) += 1);
    }
    let (least, most) = (told.values().min().unwrap(), told.values().max().unwrap());
    assert!(told.len() == 200 && most - least <= 1, "{least} to {most} times, {} of 200", told.len());
}

#[test]
fn idle_costs_no_processor_time() {
    use rustix::time::{ClockId, clock_gettime};
    let used = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec * 1_000_000 + time.tv_nsec / 1000
    };
    let (mut driver, mut host) = (Driver::new(Mode::Interrupt).unwrap(), Script::default());
    let before = used();
    assert!(turn(&mut driver, &mut host, Duration::from_secs(1)).timed_out);
    let spent = used() - before;
    assert!(spent < 50_000, "{spent} us of processor time in a second of sleep");
}

#[test]
fn moderated_the_host_wakes_once_in_a_period() {
    let (mut driver, mut host) = (Driver::new(Mode::Interrupt).unwrap(), Script::default());
    driver.moderate(Duration::from_millis(40), 0);
    let mut now = Instant::from_millis(1000);
    let mut turn = |driver: &mut Driver, host: &mut Script, after| {
        now = now + Duration::from_millis(after);
        driver.turn(host, &mut || now, SHORT).unwrap()
    };
    assert!(turn(&mut driver, &mut host, 0).timed_out);
    assert_eq!(host.arms, 1, "the first sleep is armed");
    for _ in 0..3 {
        assert!(turn(&mut driver, &mut host, 10).timed_out);
    }
    assert_eq!(host.arms, 1, "nothing of the host wakes before the period is over");
    assert!(turn(&mut driver, &mut host, 20).timed_out);
    assert_eq!(host.arms, 2);
    turn(&mut driver, &mut host, 1);
    driver.bell().ring();
    assert!(!turn(&mut driver, &mut host, 1).slept, "a bell is not moderated");
    driver.moderate(Duration::ZERO, 0);
    for arms in 3..6 {
        assert!(turn(&mut driver, &mut host, 1).timed_out);
        assert_eq!(host.arms, arms);
    }
}

/// What is left of the period is slept, and no more.
#[test]
fn moderated_sleeps_end_with_the_period() {
    let (mut driver, mut host) = (Driver::new(Mode::Interrupt).unwrap(), Script::default());
    driver.moderate(Duration::from_millis(20), 0);
    let begun = std::time::Instant::now();
    let mut clock = || Instant::from_micros(begun.elapsed().as_micros() as u64 + 1);
    driver.turn(&mut host, &mut clock, SHORT).unwrap();
    assert!(driver.turn(&mut host, &mut clock, LONG).unwrap().timed_out);
    assert!(begun.elapsed() < std::time::Duration::from_secs(5));
}

/// In a calm, enough messages end a sleep, and a new calm begins; time alone ends it for good.
#[test]
fn moderated_enough_messages_wake_before_the_period_is_over() {
    let mut driver = Driver::new(Mode::Interrupt).unwrap();
    driver.moderate(Duration::from_millis(1000), 5);
    let mut now = Instant::from_millis(10_000);
    let mut turn = |driver: &mut Driver, host: &mut Script, after, most| {
        now = now + Duration::from_millis(after);
        driver.turn(host, &mut || now, most).unwrap()
    };
    let counter = |count| rustix::event::eventfd(count, rustix::event::EventfdFlags::CLOEXEC).unwrap();
    let mut host = Script { counter: Some((5, counter(0))), ..Script::default() };
    assert!(turn(&mut driver, &mut host, 0, SHORT).timed_out);
    assert!(turn(&mut driver, &mut host, 1, SHORT).timed_out, "fewer have come");
    host.counter = Some((5, counter(1)));
    let woken = turn(&mut driver, &mut host, 100, LONG);
    assert!(woken.slept && !woken.timed_out);
    host.counter = Some((5, counter(0)));
    assert!(turn(&mut driver, &mut host, 100, SHORT).timed_out);
    assert!(turn(&mut driver, &mut host, 900, SHORT).timed_out);
    assert_eq!(host.arms, 1, "since the wake-up only 900 ms have gone by");
    assert!(turn(&mut driver, &mut host, 200, SHORT).timed_out);
    assert_eq!(host.arms, 2, "nothing came, and the period is over");
    host.waits_when_counting = true;
    assert!(!turn(&mut driver, &mut host, 1, LONG).slept, "enough wait already");
}
