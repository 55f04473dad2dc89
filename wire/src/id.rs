//! Identifiers as newtypes, so that an rkey is never taken for a token.

use core::fmt;

macro_rules! id {
    ($(#[$meta:meta])* $Name:ident($int:ty), $format:literal) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $Name(pub $int);

        impl fmt::Display for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, $format, self.0)
            }
        }
    };
}

id! {
    /// The key a remote peer shows to write into a memory region (IBTA §10.6.3).
    Rkey(u32), "{:#010x}"
}
id! {
    /// The key a local work request shows to use a memory region (IBTA §10.6.3).
    Lkey(u32), "{:#010x}"
}
id! {
    /// Names a connection; chosen by the owner of the RMBE and put by its peer
    /// into every CDC message for that connection (RFC 7609 §4.4.1). Tokens of
    /// the two peers are independent and often equal: key them by owner.
    AlertToken(u32), "{:#010x}"
}
id! {
    /// A link within its link group, assigned by the server (RFC 7609 §2.2.4).
    LinkNumber(u8), "{}"
}
id! {
    /// A link's label for people, one per side (RFC 7609 §2.2.4).
    LinkUid(u32), "{:08x}"
}

/// A queue pair number: 24 bits (IBTA §3.5.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Qpn(u32);

impl Qpn {
    /// The largest queue pair number.
    pub const MAX: Self = Self(0x00ff_ffff);

    /// The queue pair number in the low 24 bits of `value`.
    #[must_use]
    pub const fn new(value: u32) -> Self {
        Self(value & Self::MAX.0)
    }

    /// The number, below 2^24.
    #[must_use]
    pub const fn value(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Qpn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#08x}", self.0)
    }
}

/// Which RMBE of an RMB: 1 to 255 (RFC 7609 §4.2); 0 names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RmbeIndex(pub u8);

impl RmbeIndex {
    /// The only one in an RMB that holds one RMBE, as Linux's do.
    pub const FIRST: Self = Self(1);

    /// Octets from the start of the RMB to this RMBE when each is `size` octets
    /// long; `None` for the index 0, which names no RMBE.
    #[must_use]
    pub const fn offset(self, size: u32) -> Option<u64> {
        match self.0.checked_sub(1) {
            Some(before) => Some(before as u64 * size as u64),
            None => None,
        }
    }
}

impl fmt::Display for RmbeIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The size of an RMBE as its 4-bit code n: 2^(n+14) octets, 16 KiB and up.
///
/// RFC 7609 ends at code 5 (512 KiB); Linux 6.12 emits up to 15 (512 MiB), so
/// all sixteen are valid on receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RmbeSize(u8);

impl RmbeSize {
    /// 16 KiB, the smallest.
    pub const KIB_16: Self = Self(0);
    /// 64 KiB, Linux's default.
    pub const KIB_64: Self = Self(2);
    /// 512 KiB, the largest of RFC 7609.
    pub const KIB_512: Self = Self(5);

    /// The size whose code is the low nibble of `code`.
    #[must_use]
    pub const fn from_code(code: u8) -> Self {
        Self(code & 0x0f)
    }

    /// The 4-bit code.
    #[must_use]
    pub const fn code(self) -> u8 {
        self.0
    }

    /// The size in octets.
    #[must_use]
    pub const fn octets(self) -> u32 {
        1 << (self.0 + 14)
    }
}

impl fmt::Display for RmbeSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} KiB", self.octets() >> 10)
    }
}

/// A path MTU as its 4-bit code: 1 to 5 for 256 to 4096 octets (IBTA §9.6.1).
/// Other codes are kept, since a peer may send them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MtuCode(u8);

impl MtuCode {
    /// 256 octets.
    pub const OCTETS_256: Self = Self(1);
    /// 512 octets.
    pub const OCTETS_512: Self = Self(2);
    /// 1024 octets: what fits an Ethernet of 1500.
    pub const OCTETS_1024: Self = Self(3);
    /// 2048 octets.
    pub const OCTETS_2048: Self = Self(4);
    /// 4096 octets, the largest.
    pub const OCTETS_4096: Self = Self(5);

    /// The code in the low nibble of `code`.
    #[must_use]
    pub const fn from_code(code: u8) -> Self {
        Self(code & 0x0f)
    }

    /// The 4-bit code.
    #[must_use]
    pub const fn code(self) -> u8 {
        self.0
    }

    /// The MTU in octets, `None` for a reserved code.
    #[must_use]
    pub const fn octets(self) -> Option<u16> {
        match self.0 {
            1..=5 => Some(128 << self.0),
            _ => None,
        }
    }
}

impl fmt::Display for MtuCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.octets() {
            Some(octets) => write!(f, "{octets}"),
            None => write!(f, "reserved code {}", self.0),
        }
    }
}
