use core::fmt;

/// An enterprise id: what two SMCv2 hosts must have in common (Linux 6.12
/// smc_clc).
///
/// A user-defined one (UEID) is 1 to 32 characters of `A`-`Z`, `0`-`9`, `.` and
/// `-`, the first a letter or digit, padded with blanks. Ids are compared octet
/// by octet, all 32 of them; those of a peer are kept as they came, valid or not.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Eid(pub [u8; Eid::LEN]);

impl Eid {
    /// Length in octets, padding included.
    pub const LEN: usize = 32;

    /// A UEID from its text, without the padding.
    ///
    /// # Errors
    /// [`EidError`], if the text breaks the rules for UEIDs.
    ///
    /// ```
    /// use smolsmc_clc::{Eid, EidError};
    /// assert_eq!(Eid::from_ascii("SMCRS-TEST")?.to_string(), "SMCRS-TEST");
    /// assert_eq!(Eid::from_ascii("smcrs"), Err(EidError::Character { index: 0, octet: b's' }));
    /// # Ok::<(), EidError>(())
    /// ```
    pub fn from_ascii(text: &str) -> Result<Self, EidError> {
        let mut octets = [b' '; Self::LEN];
        let Some(head) = octets.get_mut(..text.len()) else {
            return Err(EidError::TooLong(text.len()));
        };
        head.copy_from_slice(text.as_bytes());
        if let Some(index) = text.len().checked_sub(1).filter(|_| text.ends_with(' ')) {
            return Err(EidError::Character { index, octet: b' ' });
        }
        let eid = Self(octets);
        eid.validate().map(|()| eid)
    }

    /// Whether these octets are a UEID by the rules.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), EidError> {
        let text = self.text();
        match text.first() {
            None => return Err(EidError::Empty),
            Some(&octet) if !octet.is_ascii_alphanumeric() => {
                return Err(EidError::Character { index: 0, octet });
            }
            Some(_) => {}
        }
        let allowed = |octet: u8| matches!(octet, b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-');
        match text.iter().enumerate().find(|&(_, &octet)| !allowed(octet)) {
            Some((index, &octet)) => Err(EidError::Character { index, octet }),
            None => Ok(()),
        }
    }

    /// The octets before the padding.
    fn text(&self) -> &[u8] {
        trim_blanks(&self.0)
    }
}

/// `field` without the blanks at its end.
pub(crate) fn trim_blanks(field: &[u8]) -> &[u8] {
    let len = field.iter().rposition(|&octet| octet != b' ').map_or(0, |last| last + 1);
    field.get(..len).unwrap_or(field)
}

/// Without the padding; what is not printable ASCII is escaped.
impl fmt::Display for Eid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.text().escape_ascii(), f)
    }
}

impl fmt::Debug for Eid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Eid(\"{self}\")")
    }
}

/// Why a text or 32 octets are no UEID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EidError {
    /// There is nothing but padding.
    #[error("an EID has at least one character")]
    Empty,
    /// The text does not fit.
    #[error("an EID has at most 32 characters, not {0}")]
    TooLong(usize),
    /// A character that is not allowed in its place.
    #[error("an EID cannot have the octet {octet:#04x} at index {index}")]
    Character {
        /// Which octet, counted from 0.
        index: usize,
        /// Its value.
        octet: u8,
    },
}
