//! Room for one frame, and for what is in front of it.

/// A frame begins at a multiple of this many octets. Where the allocator puts large
/// memory, 16 octets behind the beginning of a page, the kernel's copies of 9000 octets
/// took so long that a round trip of 16 KiB over veth was a fifth longer.
const ALIGNMENT: usize = 64;

/// Room for a frame, with `ahead` octets in front of it that are read and written with
/// it.
#[derive(Debug)]
pub(crate) struct Room {
    octets: Box<[u8]>,
    ahead: usize,
    /// Where the frame begins.
    begin: usize,
}

impl Room {
    pub(crate) fn new(ahead: usize, len: usize) -> Self {
        let octets: Box<[u8]> = vec![0; ahead + ALIGNMENT + len].into();
        // In less than ALIGNMENT octets there is one; an allocation does not move.
        let gap = octets.as_ptr().wrapping_add(ahead).align_offset(ALIGNMENT).min(ALIGNMENT);
        Self { octets, ahead, begin: ahead + gap }
    }

    /// Octets in front of the frame.
    pub(crate) const fn ahead(&self) -> usize {
        self.ahead
    }

    /// All, to be read into.
    pub(crate) fn all(&mut self) -> &mut [u8] {
        self.octets.get_mut(self.begin - self.ahead..).unwrap_or_default()
    }

    /// A frame of this length and what is in front of it, to be written.
    pub(crate) fn whole(&self, len: usize) -> &[u8] {
        self.octets.get(self.begin - self.ahead..self.begin + len).unwrap_or_default()
    }

    /// A frame of this length.
    pub(crate) fn frame(&self, len: usize) -> &[u8] {
        self.octets.get(self.begin..self.begin + len).unwrap_or_default()
    }

    /// A frame of this length, to be changed.
    pub(crate) fn frame_mut(&mut self, len: usize) -> &mut [u8] {
        self.octets.get_mut(self.begin..self.begin + len).unwrap_or_default()
    }

    /// What is in front of the frame, if it has `AHEAD` octets, and a frame of this length.
    pub(crate) fn parts<const AHEAD: usize>(&mut self, len: usize) -> (Option<&[u8; AHEAD]>, &mut [u8]) {
        let (before, frame) = self.octets.split_at_mut(self.begin);
        let ahead = before.last_chunk().filter(|_| self.ahead == AHEAD);
        (ahead, frame.get_mut(..len).unwrap_or_default())
    }
}

#[cfg(test)]
#[path = "room_tests.rs"]
mod tests;
