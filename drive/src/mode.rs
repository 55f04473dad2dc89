//! Whether to spin or to sleep when nothing comes.

use smolsmc_wire::{Duration, Instant};

/// How a [`Driver`](crate::Driver) waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It does not: each turn returns at once. The lowest latency, for a whole core.
    Busy,
    /// Asleep whenever there is nothing to do. No CPU time while idle.
    Interrupt,
    /// Polls on while events come closer together than `spin`, sleeps when they
    /// do not.
    Adaptive {
        /// The one knob: how long nothing may come before it sleeps; about what a
        /// wake-up costs, some 20 to 50 us, is a good start. While events come
        /// further apart than this it spins half as long after each, until not
        /// at all: rare events cost what they cost in [`Mode::Interrupt`]. Each
        /// that comes sooner doubles it again, so that two that come together by
        /// chance cost little.
        spin: Duration,
    },
}

/// Budgets below this part of the knob count as none.
const LEAST_PART: u64 = 16;

/// What a mode has learned.
#[derive(Debug)]
pub(crate) struct Pace {
    mode: Mode,
    /// What is spun at most now.
    budget: u64,
    /// Since when nothing came.
    quiet_since: Option<Instant>,
}

impl Pace {
    pub(crate) const fn new(mode: Mode) -> Self {
        let budget = match mode {
            Mode::Adaptive { spin } => spin.micros(),
            Mode::Busy | Mode::Interrupt => 0,
        };
        Self { mode, budget, quiet_since: None }
    }

    pub(crate) const fn mode(&self) -> Mode {
        self.mode
    }

    /// Something came.
    pub(crate) fn event(&mut self, now: Instant) {
        let Mode::Adaptive { spin } = self.mode else { return };
        let Some(since) = self.quiet_since.take() else { return };
        let least = (spin.micros() / LEAST_PART).max(1);
        if now.since(since) <= spin {
            self.budget = (self.budget * 2).max(least).min(spin.micros());
        } else {
            self.budget /= 2;
            if self.budget < least {
                self.budget = 0;
            }
        }
    }

    /// Nothing came: whether to sleep.
    pub(crate) fn sleeps(&mut self, now: Instant) -> bool {
        match self.mode {
            Mode::Busy => false,
            Mode::Interrupt => true,
            Mode::Adaptive { .. } => {
                let since = *self.quiet_since.get_or_insert(now);
                now.since(since).micros() >= self.budget
            }
        }
    }
}

#[cfg(test)]
#[path = "mode_tests.rs"]
mod tests;
