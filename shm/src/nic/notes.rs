//! Asynchronous events. What is kept is that something changed, at most once
//! for each object; what it changed to is looked up when it is told.

use std::collections::VecDeque;

use smolsmc_verbs::{CqHandle, DeviceId, QpHandle, RdmaPort};

/// Something to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Note {
    DeviceGone(DeviceId),
    PortState(RdmaPort),
    QpFatal(QpHandle),
    CqError(CqHandle),
}

/// What is to be told, oldest first.
#[derive(Debug)]
pub(super) struct Notes {
    notes: VecDeque<Note>,
    room: usize,
}

impl Notes {
    pub(super) fn new(room: usize) -> Self {
        Self { notes: VecDeque::with_capacity(room), room }
    }

    /// Adds a note. Its maker sees to it that it is not there already.
    pub(super) fn push(&mut self, note: Note) {
        // There is room for one of each kind for each object.
        debug_assert!(self.notes.len() < self.room, "more notes than objects");
        if self.notes.len() < self.room {
            self.notes.push_back(note);
        }
    }

    /// Adds a note unless the same one is waiting. Searches: for what is rare.
    pub(super) fn push_once(&mut self, note: Note) {
        if !self.notes.contains(&note) {
            self.push(note);
        }
    }

    pub(super) fn pop(&mut self) -> Option<Note> {
        self.notes.pop_front()
    }

    /// Forgets what nobody needs to hear any more.
    pub(super) fn forget(&mut self, note: Note) {
        self.notes.retain(|other| *other != note);
    }
}
