//! Who is to be looked at when.

use alloc::collections::BTreeSet;

use smolsmc_wire::Instant;

use crate::group::GroupKey;
use crate::handle::SocketHandle;

/// What has a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    Connection(SocketHandle),
    Group(GroupKey),
}

/// What an object with a deadline keeps: when it is due, and its one reminder.
/// A deadline that moves away costs nothing: the reminder comes, sees it is
/// early, and stands in again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Deadline {
    pub(crate) at: Option<Instant>,
    reminder: Option<Instant>,
}

/// The reminders, the soonest first; at most one of each object.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    reminders: BTreeSet<(Instant, Due)>,
}

impl Deadlines {
    pub(crate) fn set(&mut self, deadline: &mut Deadline, due: Due, at: Option<Instant>) {
        deadline.at = at;
        let Some(at) = at else { return };
        if deadline.reminder.is_none_or(|reminder| at < reminder) {
            self.forget(deadline, due);
            deadline.reminder = Some(at);
            self.reminders.insert((at, due));
        }
    }

    /// The object goes, or is to be reminded at another time.
    pub(crate) fn forget(&mut self, deadline: &mut Deadline, due: Due) {
        if let Some(reminder) = deadline.reminder.take() {
            self.reminders.remove(&(reminder, due));
        }
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.reminders.first().map(|(at, _)| *at)
    }

    /// Reminders there are.
    pub(crate) fn len(&self) -> usize {
        self.reminders.len()
    }

    /// The next reminder that has come.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Due> {
        self.reminders.first().filter(|(at, _)| *at <= now)?;
        self.reminders.pop_first().map(|(_, due)| due)
    }
}

impl Deadline {
    /// The reminder has come. Whether the object is due; if it is not yet, it
    /// must be [set](Deadlines::set) again.
    pub(crate) fn reminded(&mut self, now: Instant) -> bool {
        self.reminder = None;
        self.at.is_some_and(|at| at <= now)
    }
}
