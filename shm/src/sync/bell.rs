//! When to wake a peer that sleeps, at no cost while it does not.
//!
//! ```text
//!   sleeper: say what would wake it, fence, look once more, sleep
//!   waker:   publish, fence, look whether the peer wants to be woken, ring
//! ```
//!
//! Either the sleeper sees what was published, or the waker sees its wish.

use super::Word;

/// What a peer wants to be woken for: bits of its word of wishes, and above them how
/// many slots of messages are to wait for it before any message is one.
pub(crate) mod wish {
    /// Any message.
    pub(crate) const MESSAGE: u32 = 1;
    /// A solicited message, or a failure.
    pub(crate) const SOLICITED: u32 = 2;
    /// Messages of its own that were taken, or receives that were posted.
    pub(crate) const PROGRESS: u32 = 4;
    /// Something failed: whoever wants to be woken at all is. A reason, never a wish.
    pub(crate) const FAILURE: u32 = 0x80 | MESSAGE | SOLICITED | PROGRESS;

    const COUNT_SHIFT: u32 = 8;

    /// Any message, once so many slots wait.
    pub(crate) const fn after(slots: u16) -> u32 {
        MESSAGE | (slots as u32) << COUNT_SHIFT
    }

    /// How many slots are to wait for `reasons` to be one for a peer with these wishes;
    /// `None` if they are none.
    pub(crate) const fn due_after(wishes: u32, reasons: u32) -> Option<u32> {
        match wishes & reasons & (MESSAGE | SOLICITED | PROGRESS) {
            0 => None,
            MESSAGE if reasons != FAILURE => Some(wishes >> COUNT_SHIFT),
            _ => Some(0),
        }
    }
}

/// Says what would wake us, zero for nothing. Whoever sleeps looks once more
/// after this.
pub(crate) fn wish<W: Word>(own: &W, wishes: u32) {
    own.store(wishes);
    W::full();
}

/// What the peer wants to be woken for, now that reasons were published.
#[inline]
pub(crate) fn wishes<W: Word>(peer: &W) -> u32 {
    W::full();
    peer.load()
}
