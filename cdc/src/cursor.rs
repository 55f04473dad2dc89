use core::fmt;

/// A place in a ring: how often writing has gone round, and how far it is in
/// this round (RFC 7609 Appendix A.4).
///
/// The wrap count tells a full ring from an empty one, so all of a ring can be
/// filled. It has 16 bits and wraps itself; two cursors of one ring that mean
/// anything to each other are never more than one ring apart.
///
/// ```text
///   ring of 8      [ . . . x x x x . ]     consumer 4/3, producer 4/7: 4 unread
///   after 4 more   [ x x x x x x x x ]     consumer 4/3, producer 5/3: 8 unread, full
/// ```
///
/// The size of the ring is an argument of every method, in octets. It may be
/// any size, not only those of an RMBE; in a ring of size 0 nothing is valid.
/// The count starts at 0: Linux 6.12 and this stack keep no eyecatcher at the
/// start of an RMBE, which RFC 7609 §4.2 has in octets 0 to 3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// How often the ring's end was passed, modulo 65536.
    pub wrap: u16,
    /// Octets from the start of the ring; below its size.
    pub count: u32,
}

impl Cursor {
    /// Whether this is a place in a ring of `size` octets.
    ///
    /// Linux 6.12 smc_cdc does not ask; a cursor that is not valid is a peer's
    /// error all the same.
    #[inline]
    #[must_use]
    pub const fn is_valid(self, size: u32) -> bool {
        self.count < size
    }

    /// The cursor `n` octets further on; `None` if `n` is more than the ring
    /// holds or `self` is not valid in it.
    #[inline]
    #[must_use]
    pub const fn advance(self, n: u32, size: u32) -> Option<Self> {
        if !self.is_valid(size) || n > size {
            return None;
        }
        let to_end = size - self.count;
        Some(if n < to_end {
            Self { wrap: self.wrap, count: self.count + n }
        } else {
            Self { wrap: self.wrap.wrapping_add(1), count: n - to_end }
        })
    }

    /// Octets from `from` to `to`, 0 to `size`; `None` if one of them is not
    /// valid, or `to` lies behind `from` or more than one ring ahead.
    ///
    /// This is the test for an update from a peer: what comes back is how much
    /// became readable or free.
    #[inline]
    #[must_use]
    pub const fn distance(from: Self, to: Self, size: u32) -> Option<u32> {
        if !from.is_valid(size) || !to.is_valid(size) {
            return None;
        }
        match to.wrap.wrapping_sub(from.wrap) {
            0 => to.count.checked_sub(from.count),
            1 if to.count <= from.count => Some(size - (from.count - to.count)),
            _ => None,
        }
    }

    /// Whether Linux 6.12 smc_cdc would ignore an update of `old` to `new` as
    /// going backwards: `new` has the smaller wrap count, unless that is 0, or
    /// the same one and a smaller count.
    ///
    /// It never ignores a move forward of up to one ring. But it is no circle,
    /// and differs from [`Cursor::distance`], in that it lets pass
    /// - any `new` with wrap count 0, which stands for the wrap from 65535,
    ///   however far back it lies,
    /// - just after that wrap, an `old` one from before it: 65535 looks ahead of 0,
    /// - jumps forward of more than a ring, and counts outside the ring.
    #[inline]
    #[must_use]
    pub const fn is_backwards_for_linux(old: Self, new: Self) -> bool {
        (new.wrap < old.wrap && new.wrap != 0) || (new.wrap == old.wrap && new.count < old.count)
    }

    /// Octets from here to the end of the ring, where a write or read must
    /// break in two: 1 to `size`, or 0 if `self` is not valid.
    #[inline]
    #[must_use]
    pub const fn to_end(self, size: u32) -> u32 {
        size.saturating_sub(self.count)
    }

    /// Offset in the ring of the octet just before this cursor; `None` if
    /// `self` is not valid. With U set, the one before the producer cursor is
    /// the urgent octet.
    #[inline]
    #[must_use]
    pub const fn offset_before(self, size: u32) -> Option<u32> {
        match (self.is_valid(size), self.count.checked_sub(1)) {
            (false, _) => None,
            (true, Some(before)) => Some(before),
            (true, None) => Some(size - 1),
        }
    }

    /// Octets from cursor 0/0 to this one. As the wrap count does, it starts
    /// again at 0 after 65536 rings.
    #[inline]
    #[must_use]
    pub const fn position(self, size: u32) -> u64 {
        self.wrap as u64 * size as u64 + self.count as u64
    }

    /// The cursor after `position` octets of a stream, however many; `None` in
    /// a ring of size 0.
    #[inline]
    #[must_use]
    pub const fn at(position: u64, size: u32) -> Option<Self> {
        let size = size as u64;
        match (position.checked_div(size), position.checked_rem(size)) {
            // The wrap count is modulo 2^16; a remainder is below `size`, so it fits.
            (Some(rounds), Some(count)) => Some(Self { wrap: rounds as u16, count: count as u32 }),
            _ => None,
        }
    }
}

/// Wrap count and count, as in `3/1000`.
impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.wrap, self.count)
    }
}
