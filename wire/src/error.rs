//! Whose fault is it? [`ParseError`]: the bytes are bad. [`EmitError`]: our
//! caller lent a buffer that is too small.

/// Octets that are not the message they should be.
///
/// Carries no heap data, so it can be made on any path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at octet {offset}: {kind}")]
#[non_exhaustive]
pub struct ParseError {
    /// The message or field that was being read, in the spec's words.
    pub what: &'static str,
    /// Offset in octets from the start of the message.
    pub offset: usize,
    /// What is wrong with it.
    pub kind: ParseErrorKind,
}

/// What is wrong with octets that did not parse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// The input ends before the field does.
    #[error("needs {needed} octets, {got} are there")]
    Truncated {
        /// Octets the field needs.
        needed: usize,
        /// Octets that are left.
        got: usize,
    },
    /// A length field disagrees with the layout or with the octets received.
    #[error("length is {got}, the layout says {expected}")]
    Length {
        /// What the layout asks for.
        expected: usize,
        /// What was found.
        got: usize,
    },
    /// Not one of the two eyecatchers (RFC 7609 Appendix A.2).
    #[error("no eyecatcher: {0:02x?}")]
    Eyecatcher([u8; 4]),
    /// The type octet names another message.
    #[error("type is {0:#04x}")]
    Type(u8),
    /// A count, offset or enumerated value outside what the format allows.
    #[error("value {0:#x} is not allowed")]
    Value(u64),
    /// A checksum does not match.
    #[error("checksum is {got:#010x}, computed {computed:#010x}")]
    Checksum {
        /// The value that was computed over the octets.
        computed: u32,
        /// The value that the octets carry.
        got: u32,
    },
}

impl ParseError {
    /// An error of `kind` in `what`, `offset` octets into the message.
    #[must_use]
    pub const fn new(what: &'static str, offset: usize, kind: ParseErrorKind) -> Self {
        Self { what, offset, kind }
    }

    /// The value at `offset` is outside what the format allows.
    #[must_use]
    pub const fn value(what: &'static str, offset: usize, value: u64) -> Self {
        Self::new(what, offset, ParseErrorKind::Value(value))
    }

    /// A length of `got` where the layout says `expected`.
    #[must_use]
    pub const fn length(what: &'static str, offset: usize, expected: usize, got: usize) -> Self {
        Self::new(what, offset, ParseErrorKind::Length { expected, got })
    }

    /// `needed` octets are wanted at `offset`, only `got` are there.
    #[must_use]
    pub const fn truncated(what: &'static str, offset: usize, needed: usize, got: usize) -> Self {
        Self::new(what, offset, ParseErrorKind::Truncated { needed, got })
    }
}

/// A message could not be written: the caller's buffer is too small, or the
/// message holds more than its format can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EmitError {
    /// The buffer is shorter than the message.
    #[error("{what} needs a buffer of {needed} octets, got {got}")]
    BufferTooSmall {
        /// The message that was being written.
        what: &'static str,
        /// Octets the message takes.
        needed: usize,
        /// Octets the buffer has.
        got: usize,
    },
    /// A list or value is larger than its field can carry.
    #[error("{what}: {value} does not fit, the limit is {limit}")]
    TooLarge {
        /// The field.
        what: &'static str,
        /// The largest value it can carry.
        limit: usize,
        /// The value that was asked for.
        value: usize,
    },
    /// Two fields of the message contradict each other, so that no octets
    /// could carry both.
    #[error("{what} contradicts the rest of the message")]
    Inconsistent {
        /// The field.
        what: &'static str,
    },
}
