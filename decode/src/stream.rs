//! One direction of a TCP connection: its octets in order, each once, until
//! rendezvous is over; after that only counted.

use std::collections::BTreeMap;

/// Octets kept of a stream while CLC messages may still be in it: room for the
/// longest message and some more.
pub const MAX_KEPT: usize = 8192;

/// Segments kept that arrived before an earlier one.
pub const MAX_AHEAD: usize = 64;

/// Octets kept of all of them together.
pub const MAX_AHEAD_OCTETS: usize = 1 << 16;

/// What a segment brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// Octets that are new and in order now (with those that waited for them).
    pub(crate) new: usize,
    /// Octets that had been seen before.
    pub(crate) repeated: usize,
    /// The segment lies behind a gap.
    pub(crate) ahead: bool,
}

/// A segment that waits for an earlier one.
#[derive(Debug, Default)]
struct Segment {
    payload: Vec<u8>,
    cut_octets: usize,
}

/// The octets one side has sent.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// Sequence number of the next octet in order, once known.
    next: Option<u32>,
    ahead: BTreeMap<u32, Segment>,
    kept: Vec<u8>,
    /// Set once the stream can hold no CLC message any more.
    counting_only: bool,
    /// Application octets: those that no CLC message took.
    pub(crate) application_octets: u64,
    /// Whether a segment was ever missing here or could not be kept.
    pub(crate) gap: bool,
}

impl Stream {
    /// Notes a SYN with sequence number `seq`.
    pub(crate) fn synchronize(&mut self, seq: u32) {
        self.next = Some(seq.wrapping_add(1));
    }

    /// Whether octets of this direction were seen before `seq`.
    pub(crate) fn is_synchronized(&self) -> bool {
        self.next.is_some()
    }

    /// Takes the payload of a segment. `cut_octets` of it were not captured.
    pub(crate) fn arrive(&mut self, seq: u32, payload: &[u8], cut_octets: usize) -> Arrival {
        let next = *self.next.get_or_insert(seq);
        let segment = Segment { payload: payload.to_vec(), cut_octets };
        if (seq.wrapping_sub(next) as i32) > 0 {
            let ahead = !payload.is_empty();
            let new = self.keep_ahead(seq, segment);
            return Arrival { new, repeated: 0, ahead };
        }
        let new = self.place(seq, &segment);
        Arrival { new: new + self.take_ahead(), repeated: payload.len() - new, ahead: false }
    }

    /// Appends what is new of a segment that does not lie ahead; how much it is.
    fn place(&mut self, seq: u32, segment: &Segment) -> usize {
        let Some(next) = self.next else { return 0 };
        let known = (next.wrapping_sub(seq) as usize).min(segment.payload.len());
        let new = segment.payload.get(known..).unwrap_or_default();
        self.append(new);
        // A repeated segment was passed over before, its missing octets too.
        let end = seq.wrapping_add((segment.payload.len() + segment.cut_octets) as u32);
        if segment.cut_octets > 0 && self.next.is_some_and(|next| (end.wrapping_sub(next) as i32) > 0) {
            self.gap = true;
            self.next = Some(end);
        }
        new.len()
    }

    /// Keeps a segment that lies behind a gap. Once there is no more room, what
    /// is missing will not come: goes on at the first that was kept. Returns
    /// the octets that are in order then.
    fn keep_ahead(&mut self, seq: u32, segment: Segment) -> usize {
        if segment.payload.is_empty() {
            return 0;
        }
        let octets: usize = self.ahead.values().map(|kept| kept.payload.len()).sum();
        let room = self.ahead.len() < MAX_AHEAD && octets + segment.payload.len() <= MAX_AHEAD_OCTETS;
        if room {
            self.ahead.insert(seq, segment);
            return 0;
        }
        self.gap = true;
        let next = self.next.unwrap_or(seq);
        let nearest = self.ahead.keys().copied().chain([seq]).min_by_key(|seq| seq.wrapping_sub(next));
        self.next = nearest;
        let taken = self.take_ahead();
        match self.next {
            Some(next) if (seq.wrapping_sub(next) as i32) <= 0 => taken + self.place(seq, &segment),
            _ => {
                self.ahead.insert(seq, segment);
                taken
            }
        }
    }

    /// Appends what waited and is in order now.
    fn take_ahead(&mut self) -> usize {
        let mut taken = 0;
        while let Some(next) = self.next {
            let Some(&seq) = self.ahead.keys().find(|seq| (seq.wrapping_sub(next) as i32) <= 0) else {
                break;
            };
            let segment = self.ahead.remove(&seq).unwrap_or_default();
            taken += self.place(seq, &segment);
        }
        taken
    }

    fn append(&mut self, octets: &[u8]) {
        self.next = self.next.map(|n| n.wrapping_add(octets.len() as u32));
        if self.counting_only {
            self.application_octets += octets.len() as u64;
        } else if self.kept.len() + octets.len() <= MAX_KEPT {
            self.kept.extend_from_slice(octets);
        } else {
            self.give_up();
            self.application_octets += octets.len() as u64;
        }
    }

    /// Octets in order that nothing has taken yet.
    pub(crate) fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// Removes `len` octets from the front: a message took them.
    pub(crate) fn take(&mut self, len: usize) {
        self.kept.drain(..len.min(self.kept.len()));
    }

    /// The octets that are kept are application octets, and so are all to come.
    pub(crate) fn give_up(&mut self) {
        self.application_octets += self.kept.len() as u64;
        self.kept = Vec::new();
        self.counting_only = true;
    }

    /// Counts the kept octets as the application's, but goes on looking.
    pub(crate) fn pass(&mut self) {
        self.application_octets += self.kept.len() as u64;
        self.kept.clear();
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
