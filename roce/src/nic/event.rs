//! Asynchronous events. What is kept is that something changed, at most once
//! for each object; what it changed to is looked up when it is told. So the
//! list is bounded, and whoever comes late hears the newest state.

use alloc::collections::VecDeque;

use smolsmc_verbs::{CqHandle, DeviceId, QpHandle, RdmaPort};

/// Something to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Note {
    DeviceAdded(DeviceId),
    DeviceGone(DeviceId),
    PortState(RdmaPort),
    Gids(RdmaPort),
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
        // Cannot be full: there is room for one of each kind for each object.
        debug_assert!(!self.is_full(), "more notes than objects");
        if !self.is_full() {
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

    fn is_full(&self) -> bool {
        self.notes.len() >= self.room
    }

    /// Devices that came or went and were not told of.
    pub(super) fn devices(&self) -> usize {
        let device = |note: &&Note| matches!(note, Note::DeviceAdded(_) | Note::DeviceGone(_));
        self.notes.iter().filter(device).count()
    }

    /// Forgets what nobody needs to hear any more.
    pub(super) fn forget(&mut self, note: Note) {
        self.notes.retain(|other| *other != note);
    }
}
