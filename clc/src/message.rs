use smolsmc_wire::{EmitError, ParseError, ParseErrorKind};

use crate::{Accept, Confirm, Decline, Header, MessageType, Proposal};

/// Any CLC message (RFC 7609 Appendix A.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    /// What a client could do.
    Proposal(Proposal),
    /// What a server chose.
    Accept(Accept),
    /// A client's consent.
    Confirm(Confirm),
    /// A refusal, by either.
    Decline(Decline),
}

impl Message {
    /// Reads exactly one whole message.
    ///
    /// # Errors
    /// A bad header, an unknown type, a length other than that of `octets`, or
    /// what the message of that type refuses.
    pub fn parse(octets: &[u8]) -> Result<Self, ParseError> {
        match Header::parse(octets)?.message_type {
            MessageType::PROPOSAL => Proposal::parse(octets).map(Self::Proposal),
            MessageType::ACCEPT => Accept::parse(octets).map(Self::Accept),
            MessageType::CONFIRM => Confirm::parse(octets).map(Self::Confirm),
            MessageType::DECLINE => Decline::parse(octets).map(Self::Decline),
            MessageType(other) => Err(ParseError::new("CLC message", 4, ParseErrorKind::Type(other))),
        }
    }

    /// Length in octets.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        match self {
            Self::Proposal(message) => message.wire_len(),
            Self::Accept(message) => message.wire_len(),
            Self::Confirm(message) => message.wire_len(),
            Self::Decline(message) => message.wire_len(),
        }
    }

    /// Writes the message to the start of `out`; returns its length in octets.
    ///
    /// # Errors
    /// A buffer too small, or what no octets could carry.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        match self {
            Self::Proposal(message) => message.emit(out),
            Self::Accept(message) => message.emit(out),
            Self::Confirm(message) => message.emit(out),
            Self::Decline(message) => message.emit(out),
        }
    }

    /// The header this message is sent with.
    ///
    /// # Errors
    /// If the message is too long for one, or its fields contradict each other.
    pub fn header(&self) -> Result<Header, EmitError> {
        match self {
            Self::Proposal(message) => message.header(),
            Self::Accept(message) => message.header(),
            Self::Confirm(message) => message.header(),
            Self::Decline(message) => message.header(),
        }
    }
}

impl From<Proposal> for Message {
    fn from(message: Proposal) -> Self {
        Self::Proposal(message)
    }
}

impl From<Accept> for Message {
    fn from(message: Accept) -> Self {
        Self::Accept(message)
    }
}

impl From<Confirm> for Message {
    fn from(message: Confirm) -> Self {
        Self::Confirm(message)
    }
}

impl From<Decline> for Message {
    fn from(message: Decline) -> Self {
        Self::Decline(message)
    }
}
