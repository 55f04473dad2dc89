/// A stretch of the send ring: offset and length in octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// Offset in the send ring.
    pub offset: u32,
    /// Length; 0 only in a [`Write`] of one piece, for the second.
    pub len: u32,
}

/// One RDMA WRITE: where it goes, and the one or two pieces it is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Write {
    /// Offset in the peer's ring.
    pub to: u32,
    /// From the send ring, in order.
    pub from: [Piece; 2],
}

impl Write {
    /// Its length in octets.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.from[0].len + self.from[1].len
    }

    /// Whether there is nothing to write.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pieces that are not empty.
    #[inline]
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        if self.from[1].len == 0 { &self.from[..1] } else { &self.from }
    }
}

/// The one or two RDMA WRITEs that move a stretch of the send ring into the
/// peer's ring, split where either wraps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Writes {
    writes: [Write; 2],
}

impl Writes {
    /// `len` octets from offset `from` of a send ring of `send_size` octets to
    /// offset `to` of a peer's ring of `peer_size`. Offsets must lie in their
    /// rings, and `len` may exceed neither; what exceeds is left out.
    #[inline]
    #[must_use]
    pub fn plan(from: u32, send_size: u32, to: u32, peer_size: u32, len: u32) -> Self {
        let len = len.min(send_size).min(peer_size);
        let first = len.min(peer_size.saturating_sub(to));
        let second = len - first;
        let next = from + first;
        let next = if next >= send_size { next - send_size } else { next };
        Self {
            writes: [
                Write { to, from: pieces(from, send_size, first) },
                Write { to: 0, from: pieces(next, send_size, second) },
            ],
        }
    }

    /// The WRITEs that are not empty, in order.
    #[inline]
    #[must_use]
    pub fn as_slice(&self) -> &[Write] {
        match self.writes {
            [first, _] if first.is_empty() => &[],
            [_, second] if second.is_empty() => &self.writes[..1],
            _ => &self.writes,
        }
    }
}

#[inline]
fn pieces(offset: u32, size: u32, len: u32) -> [Piece; 2] {
    let to_end = len.min(size.saturating_sub(offset));
    [Piece { offset, len: to_end }, Piece { offset: 0, len: len - to_end }]
}
