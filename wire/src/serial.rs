//! Numbers that wrap, and the one meaning of "before" they have: the sign of
//! the difference in their own width.

use core::cmp::Ordering;
use core::fmt;

/// Widths of 24 bits: PSN and MSN.
const MASK_24: u32 = 0x00ff_ffff;

/// A packet sequence number: 24 bits, wraps (IBTA §9.7.2).
///
/// There is deliberately no `Ord`: a circle has no smallest element. Compare
/// with [`Psn::distance_from`] or [`Psn::is_before`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Psn(u32);

impl Psn {
    /// The number before the wrap.
    pub const MAX: Self = Self(MASK_24);

    /// The PSN in the low 24 bits of `value`.
    #[must_use]
    pub const fn new(value: u32) -> Self {
        Self(value & MASK_24)
    }

    /// The number, below 2^24.
    #[must_use]
    pub const fn value(self) -> u32 {
        self.0
    }

    /// `n` packets later.
    #[must_use]
    pub const fn add(self, n: u32) -> Self {
        Self::new(self.0.wrapping_add(n))
    }

    /// `n` packets earlier.
    #[must_use]
    pub const fn sub(self, n: u32) -> Self {
        Self::new(self.0.wrapping_sub(n))
    }

    /// Packets from `earlier` to `self`, negative if `self` is the earlier one:
    /// -2^23 to 2^23 - 1.
    #[must_use]
    pub const fn distance_from(self, earlier: Self) -> i32 {
        // The difference in the top 24 bits makes the sign bit the 24-bit sign.
        ((self.0.wrapping_sub(earlier.0) << 8) as i32) >> 8
    }

    /// Whether `self` comes before `other`.
    #[must_use]
    pub const fn is_before(self, other: Self) -> bool {
        self.distance_from(other) < 0
    }
}

impl fmt::Display for Psn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A message sequence number: 24 bits, counts completed messages (IBTA §9.7.7.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Msn(u32);

impl Msn {
    /// The MSN in the low 24 bits of `value`.
    #[must_use]
    pub const fn new(value: u32) -> Self {
        Self(value & MASK_24)
    }

    /// The number, below 2^24.
    #[must_use]
    pub const fn value(self) -> u32 {
        self.0
    }

    /// One message later.
    #[must_use]
    pub const fn next(self) -> Self {
        Self::new(self.0.wrapping_add(1))
    }
}

impl fmt::Display for Msn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The sequence number of a CDC message: 16 bits, wraps (RFC 7609 Appendix A.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SeqNo(pub u16);

impl SeqNo {
    /// `n` messages later.
    #[must_use]
    pub const fn add(self, n: u16) -> Self {
        Self(self.0.wrapping_add(n))
    }

    /// Messages from `earlier` to `self`, negative if `self` is the earlier one.
    #[must_use]
    pub const fn distance_from(self, earlier: Self) -> i16 {
        self.0.wrapping_sub(earlier.0) as i16
    }

    /// Whether `self` comes before `other`.
    #[must_use]
    pub const fn is_before(self, other: Self) -> bool {
        matches!(self.compare(other), Ordering::Less)
    }

    /// The order of two numbers less than half the circle apart.
    #[must_use]
    pub const fn compare(self, other: Self) -> Ordering {
        match self.distance_from(other) {
            0 => Ordering::Equal,
            d if d < 0 => Ordering::Less,
            _ => Ordering::Greater,
        }
    }
}

impl fmt::Display for SeqNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
