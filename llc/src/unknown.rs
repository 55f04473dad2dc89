use alloc::vec::Vec;

use smolsmc_wire::Writer;

/// A message whose type this room does not know, kept octet for octet.
///
/// Linux 6.12 ignores all of them; RFC 7609 §3.3 lets a receiver ignore those
/// whose type octet begins with the bits 10.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UnknownMessage {
    /// [`crate::MIN_LEN`] to [`crate::MAX_LEN`] octets, whose first is no known type.
    octets: Vec<u8>,
}

impl UnknownMessage {
    /// `octets` must have passed the header's checks.
    pub(crate) fn keep(octets: &[u8]) -> Self {
        Self { octets: octets.to_vec() }
    }

    /// All of the message, from its type octet on.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// The whole type octet.
    #[must_use]
    pub fn type_octet(&self) -> u8 {
        self.octets.first().copied().unwrap_or(0)
    }

    /// Whether a receiver may ignore it by RFC 7609 §3.3: the top bits of the
    /// type octet are 10.
    #[must_use]
    pub fn is_optional(&self) -> bool {
        self.type_octet() & 0xc0 == 0x80
    }

    pub(crate) fn len(&self) -> usize {
        self.octets.len()
    }

    pub(crate) fn write(&self, w: &mut Writer<'_>) {
        w.slice(&self.octets);
    }
}
