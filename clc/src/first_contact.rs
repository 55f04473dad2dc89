use core::fmt;

use smolsmc_wire::{EmitError, ParseError, Reader, Writer, open_number};

use crate::eid::trim_blanks;
use crate::header::check_nibble;

open_number! {
    /// A peer's operating system: four bits (Linux 6.12 smc_clc).
    pub struct Os: u8 {
        /// z/OS.
        ZOS = 1 => "z/OS",
        /// Linux.
        LINUX = 2 => "Linux",
        /// AIX.
        AIX = 3 => "AIX",
        /// It would rather not say.
        UNKNOWN = 15 => "unknown",
    }
}

/// A host name: 32 octets, ASCII, padded with blanks. That of a peer is kept as
/// it came.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(pub [u8; HostName::LEN]);

impl HostName {
    /// Length in octets, padding included.
    pub const LEN: usize = 32;

    /// No name: nothing but padding.
    pub const NONE: Self = Self([b' '; Self::LEN]);

    /// From a text of at most 32 ASCII characters.
    ///
    /// # Errors
    /// [`HostNameError`]; a caller with a longer name may cut it.
    pub fn from_ascii(text: &str) -> Result<Self, HostNameError> {
        if !text.is_ascii() {
            return Err(HostNameError::NotAscii);
        }
        let mut octets = [b' '; Self::LEN];
        let head = octets.get_mut(..text.len()).ok_or(HostNameError::TooLong(text.len()))?;
        head.copy_from_slice(text.as_bytes());
        Ok(Self(octets))
    }

    /// Whether all octets are ASCII; Linux stores only such a name.
    #[must_use]
    pub const fn is_ascii(&self) -> bool {
        self.0.is_ascii()
    }
}

/// Without the padding; what is not printable ASCII is escaped.
impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&trim_blanks(&self.0).escape_ascii(), f)
    }
}

impl fmt::Debug for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostName(\"{self}\")")
    }
}

/// Why a text cannot be a [`HostName`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostNameError {
    /// It does not fit.
    #[error("a host name has at most 32 characters here, not {0}")]
    TooLong(usize),
    /// It has other characters than ASCII.
    #[error("a host name is ASCII")]
    NotAscii,
}

/// What two hosts tell each other when they make a link group in version 2: the
/// first contact extension (Linux 6.12 smc_clc).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FirstContact {
    /// The sender sees no gateway between the two hosts.
    pub v2_direct: bool,
    /// The sender's operating system: a nibble.
    pub os: Os,
    /// The release of version 2: a nibble, 0 or 1 so far.
    pub release: u8,
    /// The sender's name.
    pub host_name: HostName,
    /// Connections the link group may carry: 16 to 255; 0 in release 0.
    pub max_conns: u8,
    /// Links the link group may have: 1 or 2; 0 in release 0.
    pub max_links: u8,
    /// Optional features; bit 0 is emulated ISM, which concerns SMC-D only.
    pub feature_mask: u16,
    /// For the vendor to use; zero from Linux.
    pub vendor_options: [u8; 4],
}

impl FirstContact {
    /// Length in octets.
    pub const LEN: usize = 52;

    const V2_DIRECT: u8 = 0x80;

    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Self, ParseError> {
        let flags = r.u8()?;
        let os_release = r.u8()?;
        r.skip(2)?;
        let extension = Self {
            v2_direct: flags & Self::V2_DIRECT != 0,
            os: Os(os_release >> 4),
            release: os_release & 0x0f,
            host_name: HostName(r.array()?),
            max_conns: r.u8()?,
            max_links: r.u8()?,
            feature_mask: r.u16()?,
            vendor_options: r.array()?,
        };
        r.skip(8)?;
        Ok(extension)
    }

    pub(crate) fn check(&self) -> Result<(), EmitError> {
        check_nibble("OS type", self.os.0)?;
        check_nibble("release", self.release)
    }

    pub(crate) fn write(&self, w: &mut Writer<'_>) {
        w.u8(if self.v2_direct { Self::V2_DIRECT } else { 0 });
        w.u8(self.os.0 << 4 | self.release & 0x0f);
        w.zeros(2);
        w.slice(&self.host_name.0);
        w.u8(self.max_conns);
        w.u8(self.max_links);
        w.u16(self.feature_mask);
        w.slice(&self.vendor_options);
        w.zeros(8);
    }
}
