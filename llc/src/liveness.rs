//! TEST LINK as asked from this side: after silence, or as a probe.

use smolsmc_wire::{Duration, Instant};

use crate::Timers;

/// What is known of the peer's life on one link, and whether it is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Liveness {
    heard_at: Instant,
    /// A request is out: until when it may be answered.
    until: Option<Instant>,
    /// SENDs of the peer since its last TEST LINK.
    since_test: u32,
}

/// A peer that sends so much may ask after it: its questions, each with so many
/// SENDs since the one before, are no flood, however many a second.
const SENDS_A_TEST: u32 = 4;

/// What is due.
pub(crate) enum Due {
    Nothing,
    Ask,
    Dead,
}

impl Liveness {
    pub(crate) const fn new(now: Instant) -> Self {
        Self { heard_at: now, until: None, since_test: 0 }
    }

    pub(crate) const fn lives(&mut self, now: Instant) {
        self.heard_at = now;
    }

    #[inline]
    pub(crate) const fn heard(&mut self, now: Instant) {
        self.heard_at = now;
        self.since_test = self.since_test.saturating_add(1);
    }

    /// The peer asks; whether it has sent enough since it did so last.
    pub(crate) const fn is_earned_test(&mut self) -> bool {
        core::mem::replace(&mut self.since_test, 0) >= SENDS_A_TEST
    }

    /// The answer is here; false if nothing was asked.
    pub(crate) const fn answered(&mut self) -> bool {
        self.until.take().is_some()
    }

    /// A request goes out without silence before it; false if one is out. It
    /// queues behind octets, so that its answer has the time that silence has.
    pub(crate) fn probe(&mut self, now: Instant, timers: &Timers) -> bool {
        if self.until.is_some() {
            return false;
        }
        let silence = match timers.test_link {
            Duration::ZERO => Timers::LINUX.test_link,
            silence => silence,
        };
        self.until = Some(now + silence + timers.response);
        true
    }

    pub(crate) fn poll_at(&self, timers: &Timers) -> Option<Instant> {
        let silent = (timers.test_link != Duration::ZERO).then(|| self.heard_at + timers.test_link);
        match (self.until, silent) {
            (Some(until), Some(silent)) if silent + timers.response < until => Some(silent + timers.response),
            (Some(until), _) => Some(until),
            (None, silent) => silent,
        }
    }

    pub(crate) fn run_timer(&mut self, now: Instant, timers: &Timers) -> Due {
        match (self.poll_at(timers), self.until) {
            (Some(at), Some(_)) if now >= at => Due::Dead,
            (Some(at), None) if now >= at => {
                self.until = Some(now + timers.response);
                Due::Ask
            }
            _ => Due::Nothing,
        }
    }
}
