//! The urgent octet of each direction (RFC 7609 §4.7.5, Linux 6.12 smc_tx and
//! smc_rx). There is at most one: the newest wins, and an older one that was not
//! passed becomes an octet like all others, as with TCP.

use crate::ProducerFlags;

/// Ours, on its way out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UrgentOut {
    /// One past it in the stream, until a message has told where it is.
    end: Option<u64>,
    /// One past the last one told of, until the peer has read to there.
    said: Option<u64>,
    /// P was said.
    pending_said: bool,
    /// Nothing is written behind it.
    holds: bool,
}

impl UrgentOut {
    pub(crate) const NONE: Self = Self { end: None, said: None, pending_said: false, holds: false };

    /// The last of `prepared` octets is urgent.
    pub(crate) fn queue(&mut self, prepared: u64) {
        self.pending_said &= self.end.is_some();
        self.end = Some(prepared);
    }

    /// Octets that may be written at most: a message follows the urgent one.
    #[inline]
    pub(crate) const fn limit(&self, written: u64) -> u64 {
        match self.end {
            _ if self.holds => 0,
            Some(end) => end - written,
            None => u64::MAX,
        }
    }

    /// Whether the peer should hear that one is coming, though it cannot be
    /// written now.
    #[inline]
    pub(crate) const fn owes_word(&self) -> bool {
        self.end.is_some() && !self.pending_said
    }

    pub(crate) const fn is_queued(&self) -> bool {
        self.end.is_some()
    }

    pub(crate) const fn holds(&self) -> bool {
        self.holds
    }

    #[cfg(test)]
    pub(crate) const fn go_on(&mut self) {
        self.holds = false;
    }

    /// Flags of a message that is made when `written` octets are.
    #[inline]
    pub(crate) fn flags(&mut self, written: u64) -> ProducerFlags {
        let Some(end) = self.end else { return ProducerFlags::empty() };
        self.pending_said = true;
        if end != written {
            return ProducerFlags::URGENT_PENDING;
        }
        *self = Self { end: None, said: Some(end), pending_said: false, holds: true };
        ProducerFlags::URGENT_PENDING | ProducerFlags::URGENT_PRESENT
    }

    /// The peer has read so far.
    #[inline]
    pub(crate) fn heard(&mut self, peer_consumed: u64) {
        if self.said.is_some_and(|end| peer_consumed >= end) {
            (self.said, self.holds) = (None, false);
        }
    }

    /// What lies behind `written` will be written again, and told again.
    pub(crate) fn rewind(&mut self, written: u64) {
        if let Some(end) = self.said.take_if(|end| *end > written) {
            self.holds = false;
            self.end.get_or_insert(end);
        }
    }
}

/// The peer's, on its way in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UrgentIn {
    pub(crate) is_inline: bool,
    /// Its place in the stream, until it has been passed.
    at: Option<u64>,
    /// One past the last one, which was left out.
    left_out: Option<u64>,
    /// One is coming.
    pub(crate) is_expected: bool,
    /// One was passed, and the peer does not know.
    pub(crate) is_passed: bool,
}

impl UrgentIn {
    pub(crate) const NONE: Self =
        Self { is_inline: false, at: None, left_out: None, is_expected: false, is_passed: false };

    /// The last of `produced` octets is urgent.
    pub(crate) const fn arrived(&mut self, produced: u64) {
        self.at = Some(produced - 1);
        self.is_expected = false;
    }

    /// Where it is, until it has been passed.
    pub(crate) const fn at(&self) -> Option<u64> {
        self.at
    }

    /// Octets in the ring that no ordinary read gets.
    #[inline]
    pub(crate) const fn left_out(&self) -> u64 {
        (self.at.is_some() && !self.is_inline) as u64
    }

    /// Octets that one read may get: none stretches over the urgent octet.
    #[inline]
    pub(crate) fn limit(&self, consumed: u64) -> u64 {
        self.at.map_or(u64::MAX, |at| if at > consumed { at - consumed } else { u64::MAX })
    }

    /// So many octets were read. Returns how many that makes, with one that is
    /// left out.
    #[inline]
    pub(crate) fn pass(&mut self, consumed: u64) -> u64 {
        match self.at {
            Some(at) if self.is_inline && consumed > at => self.at = None,
            Some(at) if !self.is_inline && consumed == at => {
                self.at = None;
                self.left_out = Some(at + 1);
            }
            _ => return consumed,
        }
        self.is_passed = true;
        consumed.max(self.left_out.unwrap_or(0))
    }

    /// Whether the next octet to be read is the urgent one, or would have been.
    pub(crate) fn is_next(&self, consumed: u64) -> bool {
        self.at.or(self.left_out) == Some(consumed)
    }
}
