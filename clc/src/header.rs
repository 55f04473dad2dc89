use smolsmc_wire::{EmitError, ParseError, ParseErrorKind, Reader, Writer, open_number};

/// Length in octets of the trailer that ends every message: an eyecatcher.
pub const TRAILER_LEN: usize = 4;

/// What a receiver must be able to hold, in octets: a Confirm on first contact
/// with as many GIDs as its count octet can say, the longest message there is.
///
/// The length field could say 65535. Linux 6.12 smc_clc keeps the first 652
/// octets of such a message and drops the rest unchecked; here a message longer
/// than this is refused before anything is stored.
pub const MAX_MESSAGE_LEN: usize = 160 + 4 + 16 * 255;

/// The first four octets of a message, and its last four: "SMCR" or "SMCD" in
/// EBCDIC (RFC 7609 Appendix A.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Eyecatcher {
    /// E2D4C3D9, on every message of SMC-R, on each Proposal and each Decline.
    Smcr,
    /// E2D4C3C4, on the Accept and Confirm of SMC-D.
    Smcd,
}

impl Eyecatcher {
    /// The four octets.
    #[must_use]
    pub const fn octets(self) -> [u8; 4] {
        match self {
            Self::Smcr => [0xe2, 0xd4, 0xc3, 0xd9],
            Self::Smcd => [0xe2, 0xd4, 0xc3, 0xc4],
        }
    }

    const fn from_octets(octets: [u8; 4]) -> Option<Self> {
        match octets {
            [0xe2, 0xd4, 0xc3, 0xd9] => Some(Self::Smcr),
            [0xe2, 0xd4, 0xc3, 0xc4] => Some(Self::Smcd),
            _ => None,
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, ParseError> {
        let refused = r.clone();
        let octets = r.array()?;
        Self::from_octets(octets).ok_or_else(|| refused.error(ParseErrorKind::Eyecatcher(octets)))
    }

    pub(crate) fn write(self, w: &mut Writer<'_>) {
        w.slice(&self.octets());
    }
}

open_number! {
    /// Which CLC message (RFC 7609 Appendix A.2).
    pub struct MessageType: u8 {
        /// A client says what it could do.
        PROPOSAL = 1 => "Proposal",
        /// A server says what shall be done.
        ACCEPT = 2 => "Accept",
        /// A client agrees.
        CONFIRM = 3 => "Confirm",
        /// Either side will have none of it.
        DECLINE = 4 => "Decline",
    }
}

/// The version nibble of a message: 1 to 15.
///
/// 1 is RFC 7609; 2 is SMCv2 in both of its releases. A larger one is read as
/// 2, the newest layout known here, and kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u8);

impl Version {
    /// SMC version 1 (RFC 7609).
    pub const V1: Self = Self(1);
    /// SMC version 2 (Linux 6.12 smc_clc).
    pub const V2: Self = Self(2);

    /// From the nibble; `None` for 0, which no message has, and above 15.
    #[must_use]
    pub const fn new(nibble: u8) -> Option<Self> {
        match nibble {
            1..=15 => Some(Self(nibble)),
            _ => None,
        }
    }

    /// The nibble.
    #[must_use]
    pub const fn nibble(self) -> u8 {
        self.0
    }

    /// Whether a message of this version has the layout of version 1.
    #[must_use]
    pub const fn is_v1(self) -> bool {
        self.0 == 1
    }

    /// # Errors
    /// If `self` is 1, in a message with the layout of version 2.
    pub(crate) const fn check_v2(self) -> Result<(), EmitError> {
        match self.is_v1() {
            true => Err(EmitError::Inconsistent { what: "CLC version" }),
            false => Ok(()),
        }
    }
}

impl core::fmt::Display for Version {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "v{}", self.0)
    }
}

/// Which kinds of SMC a message speaks of, in two bits (Linux 6.12 smc_clc).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PathTypes {
    /// RDMA over Ethernet only.
    SmcR = 0,
    /// Direct memory access between guests of one machine only.
    SmcD = 1,
    /// None in this version.
    Neither = 2,
    /// SMC-R and SMC-D.
    Both = 3,
}

impl PathTypes {
    /// From the low two bits of `bits`.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::SmcR,
            1 => Self::SmcD,
            2 => Self::Neither,
            _ => Self::Both,
        }
    }

    /// The two bits.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self as u8
    }

    /// Whether SMC-R is among them.
    #[must_use]
    pub const fn offers_smcr(self) -> bool {
        matches!(self, Self::SmcR | Self::Both)
    }

    /// Whether SMC-D is among them.
    #[must_use]
    pub const fn offers_smcd(self) -> bool {
        matches!(self, Self::SmcD | Self::Both)
    }

    /// Whether there is any.
    #[must_use]
    pub const fn offers_any(self) -> bool {
        !matches!(self, Self::Neither)
    }
}

/// The first eight octets of every CLC message (RFC 7609 Appendix A.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// "SMCR" or "SMCD"; Linux takes either on any message.
    pub eyecatcher: Eyecatcher,
    /// Which message.
    pub message_type: MessageType,
    /// Octets of the whole message, header and trailer included; at least
    /// [`Header::MIN_MESSAGE_LEN`].
    pub length: u16,
    /// The version of the message.
    pub version: Version,
    /// The low four bits of the last octet; the methods say what they mean.
    pub flags: u8,
}

impl Header {
    /// Length in octets.
    pub const LEN: usize = 8;

    /// The shortest length a message may claim, in octets: header and trailer.
    pub const MIN_MESSAGE_LEN: usize = Self::LEN + TRAILER_LEN;

    /// First contact in Accept and Confirm, out of sync in Decline.
    pub(crate) const BIT_3: u8 = 0x08;

    /// Reads the first [`Header::LEN`] octets, whatever follows them.
    ///
    /// The length is not compared with `octets`, so that a reader of a stream
    /// can learn it, nor with [`MAX_MESSAGE_LEN`], which is that reader's to
    /// refuse. Types that are none of the four are kept.
    ///
    /// # Errors
    /// Fewer than eight octets, no eyecatcher, a length below
    /// [`Header::MIN_MESSAGE_LEN`], or version 0.
    pub fn parse(octets: &[u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new("CLC header", octets);
        let eyecatcher = Eyecatcher::read(&mut r)?;
        let message_type = MessageType(r.u8()?);
        let length = r.u16()?;
        let flags = r.u8()?;
        if usize::from(length) < Self::MIN_MESSAGE_LEN {
            return Err(ParseError::length("CLC header", 5, Self::MIN_MESSAGE_LEN, length.into()));
        }
        let version = Version::new(flags >> 4).ok_or(ParseError::value("CLC version", 7, 0))?;
        Ok(Self { eyecatcher, message_type, length, version, flags: flags & 0x0f })
    }

    /// Octets of the whole message, as a `usize`.
    #[must_use]
    pub const fn message_len(&self) -> usize {
        self.length as usize
    }

    /// Proposal: what is offered in version 2 (bits 3-2).
    #[must_use]
    pub const fn v2_types(&self) -> PathTypes {
        PathTypes::from_bits(self.flags >> 2)
    }

    /// Proposal: what is offered in version 1; Accept and Confirm: what was
    /// chosen, in either version (bits 1-0).
    #[must_use]
    pub const fn v1_types(&self) -> PathTypes {
        PathTypes::from_bits(self.flags)
    }

    /// Accept and Confirm: a new link group is made (bit 3).
    #[must_use]
    pub const fn first_contact(&self) -> bool {
        self.flags & Self::BIT_3 != 0
    }

    /// Decline: the sender does not know the link group (bit 3).
    #[must_use]
    pub const fn out_of_sync(&self) -> bool {
        self.flags & Self::BIT_3 != 0
    }

    /// The header of a message of SMC-R that is `len` octets long.
    ///
    /// # Errors
    /// [`EmitError::TooLarge`] above [`MAX_MESSAGE_LEN`].
    pub(crate) fn new(
        message_type: MessageType,
        version: Version,
        flags: u8,
        len: usize,
    ) -> Result<Self, EmitError> {
        let too_large = EmitError::TooLarge { what: "CLC message", limit: MAX_MESSAGE_LEN, value: len };
        match u16::try_from(len) {
            Ok(length) if len <= MAX_MESSAGE_LEN => {
                Ok(Self { eyecatcher: Eyecatcher::Smcr, message_type, length, version, flags })
            }
            _ => Err(too_large),
        }
    }

    /// A writer for the message over `out`, the header written.
    ///
    /// # Errors
    /// [`EmitError::BufferTooSmall`].
    pub(crate) fn begin<'a>(&self, what: &'static str, out: &'a mut [u8]) -> Result<Writer<'a>, EmitError> {
        let mut w = Writer::new(what, out, self.message_len())?;
        self.eyecatcher.write(&mut w);
        w.u8(self.message_type.0);
        w.u16(self.length);
        w.u8(self.version.nibble() << 4 | self.flags & 0x0f);
        Ok(w)
    }
}

/// Takes the frame off a whole message: its header, and a reader that stands at
/// the body and ends before the trailer.
///
/// # Errors
/// Whatever [`Header::parse`] refuses, another type than `expected`, a length
/// other than that of `octets`, or above [`MAX_MESSAGE_LEN`].
pub(crate) fn open<'a>(
    what: &'static str,
    expected: MessageType,
    octets: &'a [u8],
) -> Result<(Header, Reader<'a>), ParseError> {
    let header = Header::parse(octets)?;
    if header.message_type != expected {
        return Err(ParseError::new(what, 4, ParseErrorKind::Type(header.message_type.0)));
    }
    let len = header.message_len();
    if len != octets.len() {
        return Err(ParseError::length(what, 5, len, octets.len()));
    }
    if len > MAX_MESSAGE_LEN {
        return Err(ParseError::value(what, 5, len as u64));
    }
    let mut r = Reader::new(what, octets.get(..len - TRAILER_LEN).unwrap_or(&[]));
    r.skip(Header::LEN)?;
    Ok((header, r))
}

/// Reads the trailer of a whole message.
///
/// # Errors
/// If it is no eyecatcher.
pub(crate) fn trailer(octets: &[u8]) -> Result<Eyecatcher, ParseError> {
    let mut r = Reader::new("CLC trailer", octets);
    r.skip(octets.len().saturating_sub(TRAILER_LEN))?;
    Eyecatcher::read(&mut r)
}

/// # Errors
/// If the body goes on where the layout says that it ends.
pub(crate) fn close(what: &'static str, r: &Reader<'_>) -> Result<(), ParseError> {
    match r.remaining() {
        0 => Ok(()),
        more => {
            let expected = r.position() + TRAILER_LEN;
            Err(ParseError::length(what, 5, expected, expected + more))
        }
    }
}

/// # Errors
/// If `value` is larger than `limit`, the most that its field can carry.
pub(crate) const fn check_limit(what: &'static str, limit: usize, value: usize) -> Result<(), EmitError> {
    match value > limit {
        true => Err(EmitError::TooLarge { what, limit, value }),
        false => Ok(()),
    }
}

/// # Errors
/// If `value` does not fit into four bits.
pub(crate) const fn check_nibble(what: &'static str, value: u8) -> Result<(), EmitError> {
    check_limit(what, 15, value as usize)
}
