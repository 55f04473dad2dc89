//! What the header of a message in the ring says.
//!
//! ```text
//!   kind 8 | receiving QPN 24   len 16 | flags 16   life 16 | answered 16   argument 32
//! ```
//!
//! `life` is the receiving queue pair's, so that what was meant for an earlier
//! one of the same number reaches nobody; `answered` counts what the sending
//! queue pair has answered, so that a message of the other direction needs no
//! line of memory to acknowledge this one.

use crate::sync::ring::Header;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A piece of a SEND.
    Send = 1,
    /// An RDMA WRITE's immediate, its argument; how long it was, as payload.
    Immediate = 2,
    /// An RDMA READ is asked for: address, key, length as payload.
    ReadRequest = 3,
    /// A piece of what was read.
    ReadResponse = 4,
    /// A request failed at its receiver; the argument says how.
    Nak = 5,
    /// A request of the sender's hit what it may not touch; it was not done.
    Refused = 6,
}

/// What a piece of a message is, bit by bit.
pub(super) mod flag {
    pub(in super::super) const FIRST: u16 = 1;
    pub(in super::super) const LAST: u16 = 2;
    pub(in super::super) const SOLICITED: u16 = 4;
}

/// A header, read and held against what can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Envelope {
    pub(super) kind: Kind,
    pub(super) qpn: u32,
    pub(super) len: u16,
    pub(super) flags: u16,
    pub(super) life: u16,
    pub(super) answered: u16,
    pub(super) argument: u32,
}

impl Envelope {
    #[inline]
    pub(super) const fn header(&self) -> Header {
        [
            (self.kind as u32) << 24 | self.qpn,
            (self.len as u32) << 16 | self.flags as u32,
            (self.life as u32) << 16 | self.answered as u32,
            self.argument,
        ]
    }

    /// What the peer wrote, unless no message can be so.
    #[inline]
    pub(super) const fn read([a, b, c, argument]: Header) -> Option<Self> {
        let kind = match a >> 24 {
            1 => Kind::Send,
            2 => Kind::Immediate,
            3 => Kind::ReadRequest,
            4 => Kind::ReadResponse,
            5 => Kind::Nak,
            6 => Kind::Refused,
            _ => return None,
        };
        Some(Self {
            kind,
            qpn: a & 0xff_ffff,
            len: (b >> 16) as u16,
            flags: b as u16,
            life: (c >> 16) as u16,
            answered: c as u16,
            argument,
        })
    }
}

/// Why a request failed at its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NakCode {
    /// NAK 0x61.
    InvalidRequest = 1,
    /// NAK 0x62.
    Access = 2,
    /// NAK 0x63.
    Operation = 3,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let envelope = Envelope {
            kind: Kind::ReadResponse,
            qpn: 0xab_cdef,
            len: 0xfedc,
            flags: flag::FIRST | flag::SOLICITED,
            life: 0x1234,
            answered: 0x8001,
            argument: 0xdead_beef,
        };
        assert_eq!(Envelope::read(envelope.header()), Some(envelope));
        assert_eq!(Envelope::read([0, 0, 0, 0]), None);
        assert_eq!(Envelope::read([7 << 24, 0, 0, 0]), None);
    }
}
