//! How a peer's memory is left alone once its owner has said so.
//!
//! ```text
//!   writer: enter (odd), fence, look whether it may, copy, leave (even)
//!   owner:  withdraw the right, fence, wait while the writer is inside
//! ```
//!
//! Either the writer sees that the right is gone, or the owner sees the writer
//! inside and waits for one bounded copy. A writer that stays inside is dead,
//! stopped or hostile; how long to wait is the owner's decision.

use super::Word;

/// The writer's side. The word is written by the writer only.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    passages: u32,
}

impl Writer {
    /// From here on the owner waits. Rights must be looked up after this.
    #[inline]
    pub(crate) fn enter<W: Word>(&mut self, gate: &W) {
        self.passages = self.passages.wrapping_add(1);
        gate.store(self.passages | 1);
        W::full();
    }

    /// The copy is done.
    #[inline]
    pub(crate) fn leave<W: Word>(&mut self, gate: &W) {
        self.passages = (self.passages | 1).wrapping_add(1);
        W::release();
        gate.store(self.passages);
    }
}

/// The owner's side: after it has withdrawn a right, whether a writer may still
/// be using it.
#[derive(Debug)]
pub(crate) struct Watch {
    seen: u32,
}

impl Watch {
    /// Looks at the gate after a right was withdrawn.
    pub(crate) fn new<W: Word>(gate: &W) -> Self {
        W::full();
        let seen = gate.load();
        W::acquire();
        Self { seen }
    }

    /// Whether whoever was inside at first has left since, or nobody was.
    pub(crate) fn is_clear<W: Word>(&self, gate: &W) -> bool {
        if self.seen & 1 == 0 {
            return true;
        }
        let now = gate.load();
        W::acquire();
        now != self.seen
    }
}
