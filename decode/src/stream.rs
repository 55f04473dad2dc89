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

/// The octets one side has sent.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// Sequence number of the next octet in order, once known.
    next: Option<u32>,
    ahead: BTreeMap<u32, Vec<u8>>,
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
        let mut arrival = Arrival::default();
        let next = *self.next.get_or_insert(seq);
        let distance = seq.wrapping_sub(next) as i32;
        if distance > 0 {
            arrival.ahead = !payload.is_empty();
            self.keep_ahead(seq, payload);
            return arrival;
        }
        let known = usize::try_from(distance.unsigned_abs()).unwrap_or(usize::MAX).min(payload.len());
        arrival.repeated = known;
        arrival.new = payload.len() - known;
        self.append(payload.get(known..).unwrap_or_default());
        // A repeated segment was passed over before, its missing octets too.
        let end = seq.wrapping_add((payload.len() + cut_octets) as u32);
        if cut_octets > 0 && self.next.is_some_and(|next| (end.wrapping_sub(next) as i32) > 0) {
            self.gap = true;
            self.next = Some(end);
        }
        arrival.new += self.take_ahead();
        arrival
    }

    fn keep_ahead(&mut self, seq: u32, payload: &[u8]) {
        if payload.is_empty() {
            return;
        }
        let octets: usize = self.ahead.values().map(Vec::len).sum();
        if self.ahead.len() < MAX_AHEAD && octets + payload.len() <= MAX_AHEAD_OCTETS {
            self.ahead.insert(seq, payload.to_vec());
        } else {
            self.gap = true;
        }
    }

    /// Appends what waited and is in order now.
    fn take_ahead(&mut self) -> usize {
        let mut taken = 0;
        while let Some(next) = self.next {
            let Some((&seq, _)) = self.ahead.iter().find(|(seq, _)| (seq.wrapping_sub(next) as i32) <= 0)
            else {
                break;
            };
            let payload = self.ahead.remove(&seq).unwrap_or_default();
            let known = (next.wrapping_sub(seq) as usize).min(payload.len());
            let new = payload.get(known..).unwrap_or_default();
            self.append(new);
            taken += new.len();
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
