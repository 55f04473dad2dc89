use crate::{ParseError, ParseErrorKind};

/// Reads big-endian fields one after the other; never panics, never reads past
/// the end. Every failure names the message and the offset.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    what: &'static str,
    octets: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    /// A reader over `octets`, which should hold a `what`.
    #[must_use]
    pub const fn new(what: &'static str, octets: &'a [u8]) -> Self {
        Self { what, octets, position: 0 }
    }

    /// Octets read so far.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.position
    }

    /// Octets not read yet.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.octets.len() - self.position
    }

    /// The next `len` octets.
    ///
    /// # Errors
    /// [`ParseErrorKind::Truncated`] if fewer are left.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], ParseError> {
        let rest = self.octets.get(self.position..).unwrap_or(&[]);
        let Some(taken) = rest.get(..len) else {
            return Err(self.error(ParseErrorKind::Truncated { needed: len, got: rest.len() }));
        };
        self.position += len;
        Ok(taken)
    }

    /// The next `N` octets as an array.
    ///
    /// # Errors
    /// [`ParseErrorKind::Truncated`] if fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], ParseError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    /// Passes over `len` octets: reserved ones, which a receiver ignores.
    ///
    /// # Errors
    /// [`ParseErrorKind::Truncated`] if fewer are left.
    pub fn skip(&mut self, len: usize) -> Result<(), ParseError> {
        self.take(len).map(drop)
    }

    /// All octets not read yet.
    pub fn rest(&mut self) -> &'a [u8] {
        let rest = self.octets.get(self.position..).unwrap_or(&[]);
        self.position = self.octets.len();
        rest
    }

    /// One octet.
    ///
    /// # Errors
    /// [`ParseErrorKind::Truncated`] at the end.
    pub fn u8(&mut self) -> Result<u8, ParseError> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    /// Two octets, big-endian.
    ///
    /// # Errors
    /// [`ParseErrorKind::Truncated`] if fewer are left.
    pub fn u16(&mut self) -> Result<u16, ParseError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    /// Three octets, big-endian, in the low 24 bits.
    ///
    /// # Errors
    /// [`ParseErrorKind::Truncated`] if fewer are left.
    pub fn u24(&mut self) -> Result<u32, ParseError> {
        let [a, b, c] = self.array()?;
        Ok(u32::from_be_bytes([0, a, b, c]))
    }

    /// Four octets, big-endian.
    ///
    /// # Errors
    /// [`ParseErrorKind::Truncated`] if fewer are left.
    pub fn u32(&mut self) -> Result<u32, ParseError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    /// Eight octets, big-endian.
    ///
    /// # Errors
    /// [`ParseErrorKind::Truncated`] if fewer are left.
    pub fn u64(&mut self) -> Result<u64, ParseError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// An error of `kind` at the current position.
    #[must_use]
    pub const fn error(&self, kind: ParseErrorKind) -> ParseError {
        ParseError::new(self.what, self.position, kind)
    }
}
