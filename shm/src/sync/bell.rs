//! When to wake a peer that sleeps, at no cost while it does not.
//!
//! ```text
//!   sleeper: say what would wake it, fence, look once more, sleep
//!   waker:   publish, fence, look whether the peer wants to be woken, ring
//! ```
//!
//! Either the sleeper sees what was published, or the waker sees its wish.

use super::Word;

/// For whom a peer wants to be woken: bits of its word of wishes.
pub(crate) mod wish {
    /// Any message.
    pub(crate) const MESSAGE: u32 = 1;
    /// A solicited message, or a failure.
    pub(crate) const SOLICITED: u32 = 2;
    /// Messages of its own that were taken, or receives that were posted.
    pub(crate) const PROGRESS: u32 = 4;
}

/// Says what would wake us, zero for nothing. Whoever sleeps looks once more
/// after this.
pub(crate) fn wish<W: Word>(own: &W, wishes: u32) {
    own.store(wishes);
    W::full();
}

/// Whether the peer wants to be woken for one of `reasons`, which were
/// published before.
#[inline]
pub(crate) fn is_wanted<W: Word>(peer: &W, reasons: u32) -> bool {
    W::full();
    peer.load() & reasons != 0
}
