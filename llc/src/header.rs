//! The four octets every LLC message starts with, and the one field in them
//! whose octet order is the sender's secret.
//!
//! ```text
//!         octet 0        octet 1       octet 2                  octet 3
//!   v1    0x0 | opcode   length 44     reserved | reject reason flags
//!   v2    0x2 | opcode   length of the whole message, 16 bits   flags
//! ```
//!
//! All numbers of SMC-R are big-endian but two: `length` of the v2 header and
//! `num_rkeys` of the ADD LINK extension. Linux 6.12 smc_llc stores both the
//! way its processor does: 44 is `2c 00` from an x86 and `00 2c` from an s390,
//! and each reads the other's as 11264. It does not notice, because it asks
//! only that its own reading be at least 44 (so a v2 length is never too large
//! there). We must notice, or a list of rkeys would be cut to none.
//!
//! How many octets arrived tells the order: it is the reading that equals them
//! ([`HostOrder`]). The order stays with the message, so that it is written
//! as it was read, and so that an answer can be in the order of its request.

use smolsmc_wire::{ParseError, ParseErrorKind, Reader, Writer, open_number};

/// Length of every v1 message and the least length of a v2 one, in octets.
pub const MIN_LEN: usize = 44;

/// The longest message, in octets: the receive buffer a v2 link must have
/// (Linux 6.12 smc_wr).
pub const MAX_LEN: usize = 8192;

/// Flag 0x80 of octet 3.
pub(crate) const RESPONSE: u8 = 0x80;

/// The type octet of CDC, whose messages share the queue pair.
const CDC_TYPE: u8 = 0xfe;

const WHAT: &str = "LLC message";

open_number! {
    /// What a message is about: the low nibble of its type octet (RFC 7609
    /// Appendix A.3; 5 is of SMC-Rv2 only).
    pub struct Opcode: u8 {
        /// A link works in both directions.
        CONFIRM_LINK = 1 => "CONFIRM LINK",
        /// A further link, offered, accepted or rejected.
        ADD_LINK = 2 => "ADD LINK",
        /// The rkeys of a further link in SMC-Rv1.
        ADD_LINK_CONTINUATION = 3 => "ADD LINK CONTINUATION",
        /// The end of a link or of the group.
        DELETE_LINK = 4 => "DELETE LINK",
        /// The client would like a further link.
        REQUEST_ADD_LINK = 5 => "REQUEST ADD LINK",
        /// A new RMB, with its rkey on each link.
        CONFIRM_RKEY = 6 => "CONFIRM RKEY",
        /// Whether the other side still lives.
        TEST_LINK = 7 => "TEST LINK",
        /// The rkeys that did not fit in CONFIRM RKEY.
        CONFIRM_RKEY_CONTINUATION = 8 => "CONFIRM RKEY CONTINUATION",
        /// RMBs that are no more.
        DELETE_RKEY = 9 => "DELETE RKEY",
    }
}

/// Octet order of the two fields a v2 sender writes as its processor does; see
/// [`Version::V2`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum HostOrder {
    /// Least significant octet first: x86, Arm, POWER as Linux runs it.
    #[default]
    Little,
    /// Most significant octet first: s390.
    Big,
}

impl HostOrder {
    pub(crate) const fn read(self, octets: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(octets),
            Self::Big => u16::from_be_bytes(octets),
        }
    }

    pub(crate) const fn octets(self, value: u16) -> [u8; 2] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    /// The order in which `field` equals `received`, else the one whose reading
    /// is a length that `received` octets can hold; little-endian before big.
    /// Also the length. A field of two equal octets reads the same either way
    /// and says nothing about the order.
    fn of_length(field: [u8; 2], received: usize) -> Result<(Self, usize), ParseError> {
        let reading = |order: Self| (order, usize::from(order.read(field)));
        let both = [reading(Self::Little), reading(Self::Big)];
        let exact = both.iter().find(|(_, length)| *length == received);
        let within = || both.iter().find(|(_, length)| (MIN_LEN..=received).contains(length));
        match exact.or_else(within) {
            Some(found) => Ok(*found),
            None => {
                let [(_, little), _] = both;
                Err(ParseError::length(WHAT, 1, received, little))
            }
        }
    }

    /// The order of an ADD LINK whose length does not tell (2056 octets: 124
    /// rkeys). It has at most 255 rkeys, so one octet of their count is zero.
    fn of_rkey_count(octets: &[u8]) -> Self {
        match octets.get(70..72) {
            Some([0, low]) if *low != 0 => Self::Big,
            _ => Self::Little,
        }
    }
}

/// The version of one message, from the high nibble of its type octet. Peers
/// of SMC-Rv2 take either (and Linux 6.12 sends ADD LINK CONTINUATION as v1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// High nibble 0: 44 octets, always.
    V1,
    /// High nibble 2: 44 to [`MAX_LEN`] octets, with the sender's octet order
    /// in the header's length and in the count of rkeys of ADD LINK.
    ///
    /// The order is found on receipt by comparing the length with the number
    /// of octets that arrived, and kept; `emit` writes in it. Linux 6.12 on
    /// x86 sends and understands [`HostOrder::Little`], on s390
    /// [`HostOrder::Big`].
    V2(HostOrder),
}

impl Version {
    const fn nibble(self) -> u8 {
        match self {
            Self::V1 => 0x00,
            Self::V2(_) => 0x20,
        }
    }

    /// The order of the fields that are not big-endian by rule.
    pub(crate) const fn order(self) -> HostOrder {
        match self {
            Self::V1 => HostOrder::Big,
            Self::V2(order) => order,
        }
    }
}

/// What the first four octets say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) version: Version,
    pub(crate) opcode: Opcode,
    /// Of the whole message, in octets: at least [`MIN_LEN`], at most received.
    pub(crate) length: usize,
    /// Low nibble of octet 2; in v2 that octet belongs to the length, and this is 0.
    pub(crate) reject_reason: u8,
    /// Octet 3.
    pub(crate) flags: u8,
}

/// A message begins with a header we can read, or with another type octet.
pub(crate) enum Start {
    Known(Header),
    Unknown(Version),
}

impl Header {
    pub(crate) const LEN: usize = 4;

    pub(crate) fn parse(octets: &[u8]) -> Result<Start, ParseError> {
        let received = octets.len();
        if received < MIN_LEN {
            return Err(ParseError::truncated(WHAT, 0, MIN_LEN, received));
        }
        if received > MAX_LEN {
            return Err(ParseError::length(WHAT, 0, MAX_LEN, received));
        }
        let [kind, l0, l1, flags] = Reader::new(WHAT, octets).array()?;
        if kind == CDC_TYPE {
            return Err(ParseError::new(WHAT, 0, ParseErrorKind::Type(kind)));
        }
        let opcode = Opcode(kind & 0x0f);
        let header = |version, length, reject_reason| {
            Start::Known(Self { version, opcode, length, reject_reason, flags })
        };
        match (kind & 0xf0, opcode) {
            // RFC 7609 has no opcode 5.
            (0x00, Opcode::REQUEST_ADD_LINK) => Ok(Start::Unknown(Version::V1)),
            (0x00, opcode) if opcode.name().is_some() => {
                if usize::from(l0) != MIN_LEN {
                    return Err(ParseError::length(WHAT, 1, MIN_LEN, usize::from(l0)));
                }
                Ok(header(Version::V1, MIN_LEN, l1 & 0x0f))
            }
            (0x20, opcode) => {
                let order = HostOrder::of_length([l0, l1], received);
                if opcode.name().is_none() {
                    let order = order.map_or(HostOrder::default(), |(order, _)| order);
                    return Ok(Start::Unknown(Version::V2(order)));
                }
                let (order, length) = match order? {
                    (_, length) if l0 == l1 && opcode == Opcode::ADD_LINK => {
                        (HostOrder::of_rkey_count(octets), length)
                    }
                    found => found,
                };
                Ok(header(Version::V2(order), length, 0))
            }
            _ => Ok(Start::Unknown(Version::V1)),
        }
    }

    pub(crate) fn write(&self, w: &mut Writer<'_>) {
        w.u8(self.version.nibble() | self.opcode.0);
        match self.version {
            Version::V1 => {
                w.u8(MIN_LEN as u8);
                // At most 15, see `Message::emit`.
                w.u8(self.reject_reason);
            }
            // At most MAX_LEN, see `Message::emit`.
            Version::V2(order) => w.slice(&order.octets(self.length as u16)),
        }
        w.u8(self.flags);
    }

    /// Whether a flag of octet 3 is set.
    pub(crate) const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// `flag` if `set`.
pub(crate) const fn flag(set: bool, flag: u8) -> u8 {
    if set { flag } else { 0 }
}
