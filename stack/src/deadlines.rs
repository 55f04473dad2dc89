//! Who is to be looked at when.

use alloc::collections::BinaryHeap;
use core::cmp::Reverse;

use smolsmc_wire::Instant;

use crate::group::GroupKey;
use crate::handle::SocketHandle;

/// What has a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    Connection(SocketHandle),
    Group(GroupKey),
}

/// What an object with a deadline keeps: when it is due, and the earliest
/// reminder that stands in the heap. A deadline that moves away costs nothing:
/// the reminder comes, sees it is early, and stands in again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Deadline {
    pub(crate) at: Option<Instant>,
    reminder: Option<Instant>,
}

/// The reminders, the soonest first.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    heap: BinaryHeap<Reverse<(Instant, Due)>>,
}

impl Deadlines {
    pub(crate) fn set(&mut self, deadline: &mut Deadline, due: Due, at: Option<Instant>) {
        deadline.at = at;
        let Some(at) = at else { return };
        if deadline.reminder.is_none_or(|reminder| at < reminder) {
            deadline.reminder = Some(at);
            self.heap.push(Reverse((at, due)));
        }
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Reminders, those that were overtaken included.
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    /// The next reminder that has come.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<(Instant, Due)> {
        match self.heap.peek() {
            Some(Reverse((at, _))) if *at <= now => self.heap.pop().map(|Reverse(reminder)| reminder),
            _ => None,
        }
    }
}

impl Deadline {
    /// The reminder set for `reminder` has come. Whether the object is due; if
    /// it is not yet, it must be [set](Deadlines::set) again. One that an
    /// earlier reminder replaced counts for nothing.
    pub(crate) fn reminded(&mut self, now: Instant, reminder: Instant) -> bool {
        if self.reminder != Some(reminder) {
            return false;
        }
        self.reminder = None;
        self.at.is_some_and(|at| at <= now)
    }
}
