//! One deadline per queue pair, in a heap.
//!
//! Deadlines mostly move away: each ACK puts one off. That is left undone here.
//! An entry says "not before"; when it comes up, its queue pair says whether
//! something is due or since when it is later. So an ACK costs nothing, and
//! only what runs is in the heap.

use alloc::vec;
use alloc::vec::Vec;

use smolsmc_wire::Instant;

const ABSENT: u32 = u32::MAX;

/// A binary heap of (deadline, queue pair), the earliest first, that knows
/// where each queue pair is.
#[derive(Debug)]
pub(super) struct Timers {
    heap: Vec<(Instant, u32)>,
    position: Vec<u32>,
}

impl Timers {
    /// Room for queue pairs 0 to `limit - 1`.
    pub(super) fn new(limit: u32) -> Self {
        Self { heap: Vec::with_capacity(limit as usize), position: vec![ABSENT; limit as usize] }
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.first().map(|&(at, _)| at)
    }

    /// Makes sure that `qp` comes up at `at` or earlier.
    #[inline]
    pub(super) fn at_most(&mut self, qp: u32, at: Instant) {
        let Some(&position) = self.position.get(qp as usize) else { return };
        if position == ABSENT {
            self.heap.push((at, qp));
            self.rise(self.heap.len() - 1);
            return;
        }
        if let Some(entry) = self.heap.get_mut(position as usize)
            && at < entry.0
        {
            entry.0 = at;
            self.rise(position as usize);
        }
    }

    /// The next queue pair whose deadline is not after `now`; it is out then.
    pub(super) fn pop(&mut self, now: Instant) -> Option<u32> {
        let &(at, qp) = self.heap.first()?;
        if at > now {
            return None;
        }
        self.remove(qp);
        Some(qp)
    }

    /// Forgets the deadline of `qp`, if it has one.
    pub(super) fn remove(&mut self, qp: u32) {
        let Some(place) = self.position.get_mut(qp as usize) else { return };
        let at = core::mem::replace(place, ABSENT);
        if at == ABSENT {
            return;
        }
        let at = at as usize;
        self.heap.swap_remove(at);
        if at < self.heap.len() {
            self.sink(at);
            self.rise(at);
        }
    }

    /// Moves the entry at `at` up to where it belongs.
    fn rise(&mut self, mut at: usize) {
        while at > 0 && self.earlier(at, (at - 1) / 2) {
            self.swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
        self.note(at);
    }

    /// Moves the entry at `at` down to where it belongs.
    fn sink(&mut self, mut at: usize) {
        loop {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            let child = if self.earlier(right, left) { right } else { left };
            if !self.earlier(child, at) {
                break;
            }
            self.swap(at, child);
            at = child;
        }
        self.note(at);
    }

    /// Whether `a` is there and before `b`.
    fn earlier(&self, a: usize, b: usize) -> bool {
        match (self.heap.get(a), self.heap.get(b)) {
            (Some(a), Some(b)) => a < b,
            _ => false,
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.note(a);
        self.note(b);
    }

    fn note(&mut self, at: usize) {
        if let Some(&(_, qp)) = self.heap.get(at)
            && let Some(place) = self.position.get_mut(qp as usize)
        {
            *place = at as u32;
        }
    }
}
