//! The two flag octets. Bits without a name are reserved: never sent, and
//! dropped on receipt, so a flag set compares by what is known about it.

use core::fmt;

use bitflags::bitflags;

bitflags! {
    /// What the sender says about its writing (octet 24; RFC 7609 Appendix A.4).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct ProducerFlags: u8 {
        /// B: the sender has at least as much data as it knows space for, so
        /// any space the receiver frees is worth an update.
        const WRITE_BLOCKED = 0x80;
        /// P: an urgent octet is queued at the sender, not yet written.
        const URGENT_PENDING = 0x40;
        /// U: the producer cursor points one past the urgent octet, see
        /// [`Cursor::offset_before`](crate::Cursor::offset_before).
        const URGENT_PRESENT = 0x20;
        /// R: the sender asks for a message with the receiver's consumer cursor.
        const CURSOR_UPDATE_REQUESTED = 0x10;
        /// F: the first word on a new link after a failover. Only token and
        /// sequence number mean something in such a message.
        const FAILOVER_VALIDATION = 0x08;
    }
}

bitflags! {
    /// What the sender says about the connection (octet 25; RFC 7609 Appendix
    /// A.4). Once set, a flag stays set in every later message.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct StateFlags: u8 {
        /// D: the sender will write no more.
        const SENDING_DONE = 0x80;
        /// C: the sender closed, and has consumed everything it received.
        const CLOSED = 0x40;
        /// A: the sender aborted, or closed with data unread.
        const ABNORMAL_CLOSE = 0x20;
    }
}

impl ProducerFlags {
    /// The flags in their octet; reserved bits are ignored.
    #[inline]
    #[must_use]
    pub const fn from_octet(octet: u8) -> Self {
        Self::from_bits_truncate(octet)
    }
}

impl StateFlags {
    /// The flags in their octet; reserved bits are ignored.
    #[inline]
    #[must_use]
    pub const fn from_octet(octet: u8) -> Self {
        Self::from_bits_truncate(octet)
    }

    /// Whether the sender's stream of octets has ended: any of D, C and A.
    #[inline]
    #[must_use]
    pub const fn ends_stream(self) -> bool {
        !self.is_empty()
    }

    /// Whether the sender's stream of octets has ended where the sender meant it
    /// to: it said D or C, an A after which changes nothing (no sender puts C and A
    /// into one message: Linux 6.12 smc_close). An abort alone may have cut it short.
    #[inline]
    #[must_use]
    pub const fn completes_stream(self) -> bool {
        self.contains(Self::SENDING_DONE) || self.contains(Self::CLOSED)
    }
}

/// One letter per flag in the order B, P, U, R, F; `-` for none.
impl fmt::Display for ProducerFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = [
            (Self::WRITE_BLOCKED, "B"),
            (Self::URGENT_PENDING, "P"),
            (Self::URGENT_PRESENT, "U"),
            (Self::CURSOR_UPDATE_REQUESTED, "R"),
            (Self::FAILOVER_VALIDATION, "F"),
        ];
        write_letters(f, letters.map(|(flag, letter)| self.contains(flag).then_some(letter)))
    }
}

/// One letter per flag in the order D, C, A; `-` for none.
impl fmt::Display for StateFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = [(Self::SENDING_DONE, "D"), (Self::CLOSED, "C"), (Self::ABNORMAL_CLOSE, "A")];
        write_letters(f, letters.map(|(flag, letter)| self.contains(flag).then_some(letter)))
    }
}

fn write_letters<const N: usize>(
    f: &mut fmt::Formatter<'_>,
    letters: [Option<&'static str>; N],
) -> fmt::Result {
    if letters.iter().all(Option::is_none) {
        return f.write_str("-");
    }
    letters.into_iter().flatten().try_for_each(|letter| f.write_str(letter))
}
