use core::fmt;

use smolsmc_wire::{AlertToken, ParseError, ParseErrorKind, SeqNo};

use crate::{Cursor, ProducerFlags, StateFlags};

/// The one message of connection data control (RFC 7609 Appendix A.4): the
/// complete state of one direction of a connection, in 44 octets.
///
/// ```text
///    0  type 0xfe     1  length 44     2  sequence number (2)
///    4  alert token (4)
///    8  reserved (2)                  10  producer wrap (2)
///   12  producer count (4)
///   16  reserved (2)                  18  consumer wrap (2)
///   20  consumer count (4)
///   24  producer flags                25  connection state flags
///   26  reserved (18)
/// ```
///
/// Cursors are kept as they came: whether their counts are below the ring's
/// size is for the owner of the ring to check ([`Cursor::is_valid`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CdcMessage {
    /// Counts the messages of one direction of a connection; the first is 1. A
    /// failover validation repeats an old one.
    pub seq: SeqNo,
    /// The connection, by the token that the receiver of this message chose.
    pub token: AlertToken,
    /// How far the sender has written into the receiver's ring.
    pub producer: Cursor,
    /// How far the sender has read from its own ring.
    pub consumer: Cursor,
    /// About the sender's writing.
    pub producer_flags: ProducerFlags,
    /// About the connection.
    pub state_flags: StateFlags,
}

impl CdcMessage {
    /// Length in octets; also the value of octet 1.
    pub const LEN: usize = 44;

    /// The type octet, which tells CDC from LLC on the same queue pair
    /// (RFC 7609 §3.4).
    pub const TYPE: u8 = 0xfe;

    const WHAT: &'static str = "CDC message";

    /// The first word on a new link (RFC 7609 §4.6.1): asks the receiver to
    /// compare `seq`, the last message known to have arrived, with what it
    /// got. Everything else is zero.
    #[inline]
    #[must_use]
    pub const fn failover_validation(token: AlertToken, seq: SeqNo) -> Self {
        let nowhere = Cursor { wrap: 0, count: 0 };
        Self {
            seq,
            token,
            producer: nowhere,
            consumer: nowhere,
            producer_flags: ProducerFlags::FAILOVER_VALIDATION,
            state_flags: StateFlags::empty(),
        }
    }

    /// Whether only `token` and `seq` mean something (flag F).
    #[inline]
    #[must_use]
    pub const fn is_failover_validation(&self) -> bool {
        self.producer_flags.contains(ProducerFlags::FAILOVER_VALIDATION)
    }

    /// From the octets of one received SEND.
    ///
    /// Asks for all 44 octets and no more. Linux 6.12 smc_cdc is content with
    /// 26, the part in front of the reserved octets; nobody was seen to send
    /// fewer than 44.
    ///
    /// # Errors
    /// - [`ParseErrorKind::Truncated`] below 44 octets,
    /// - [`ParseErrorKind::Length`] above, or if octet 1 is not 44,
    /// - [`ParseErrorKind::Type`] if octet 0 is not 0xfe.
    #[inline]
    pub fn parse(octets: &[u8]) -> Result<Self, ParseError> {
        let Some((message, [])) = octets.split_first_chunk::<{ Self::LEN }>() else {
            return Err(wrong_size(octets.len()));
        };
        #[rustfmt::skip]
        let &[
            kind, length, s0, s1,
            t0, t1, t2, t3,
            _, _, pw0, pw1,
            p0, p1, p2, p3,
            _, _, cw0, cw1,
            c0, c1, c2, c3,
            producer_flags, state_flags, ..
        ] = message;
        if kind != Self::TYPE {
            return Err(ParseError::new(Self::WHAT, 0, ParseErrorKind::Type(kind)));
        }
        if usize::from(length) != Self::LEN {
            return Err(ParseError::length(Self::WHAT, 1, Self::LEN, usize::from(length)));
        }
        Ok(Self {
            seq: SeqNo(u16::from_be_bytes([s0, s1])),
            token: AlertToken(u32::from_be_bytes([t0, t1, t2, t3])),
            producer: cursor([pw0, pw1], [p0, p1, p2, p3]),
            consumer: cursor([cw0, cw1], [c0, c1, c2, c3]),
            producer_flags: ProducerFlags::from_octet(producer_flags),
            state_flags: StateFlags::from_octet(state_flags),
        })
    }

    /// Writes all 44 octets, reserved ones as zero.
    #[inline]
    pub const fn emit(&self, out: &mut [u8; Self::LEN]) {
        let [s0, s1] = self.seq.0.to_be_bytes();
        let [t0, t1, t2, t3] = self.token.0.to_be_bytes();
        let [pw0, pw1] = self.producer.wrap.to_be_bytes();
        let [p0, p1, p2, p3] = self.producer.count.to_be_bytes();
        let [cw0, cw1] = self.consumer.wrap.to_be_bytes();
        let [c0, c1, c2, c3] = self.consumer.count.to_be_bytes();
        // A flag set can hold reserved bits (`from_bits_retain`): not on the wire.
        let producer_flags = self.producer_flags.bits() & ProducerFlags::all().bits();
        let state_flags = self.state_flags.bits() & StateFlags::all().bits();
        #[rustfmt::skip]
        let octets = [
            Self::TYPE, Self::LEN as u8, s0, s1,
            t0, t1, t2, t3,
            0, 0, pw0, pw1,
            p0, p1, p2, p3,
            0, 0, cw0, cw1,
            c0, c1, c2, c3,
            producer_flags, state_flags, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ];
        *out = octets;
    }
}

#[cold]
const fn wrong_size(got: usize) -> ParseError {
    if got < CdcMessage::LEN {
        ParseError::truncated(CdcMessage::WHAT, 0, CdcMessage::LEN, got)
    } else {
        ParseError::length(CdcMessage::WHAT, 0, CdcMessage::LEN, got)
    }
}

#[inline]
const fn cursor(wrap: [u8; 2], count: [u8; 4]) -> Cursor {
    Cursor { wrap: u16::from_be_bytes(wrap), count: u32::from_be_bytes(count) }
}

/// `#7 to 0x00000017: producer 0/1000 -, consumer 0/0 D`, each set of flags
/// after the cursor it stands behind on the wire.
impl fmt::Display for CdcMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seq, token, producer, consumer, producer_flags, state_flags } = self;
        write!(
            f,
            "#{seq} to {token}: producer {producer}, consumer {consumer}, {producer_flags} {state_flags}"
        )
    }
}
