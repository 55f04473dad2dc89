//! The request packets toward one queue pair: which are new, which repeat, what
//! is missing, and SEND messages put together from their packets.

use std::collections::BTreeSet;

use smolsmc_roce::packet::Position;
use smolsmc_wire::Psn;

/// The longest SEND that is put together: the largest LLC message of SMC-Rv2.
pub const MAX_SEND_LEN: usize = 8192;

/// Missing packets that are remembered per direction of a queue pair.
pub const MAX_MISSING: usize = 4096;

/// How a packet stands to those seen before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// The next one, or the first of all.
    Next,
    /// New, but this many before it were not seen.
    AfterGap(u32),
    /// Was missing, and comes late.
    Late,
    /// Was seen before.
    Repeated,
}

impl Sight {
    /// Whether this is the first time the packet is seen.
    pub(crate) fn is_first(self) -> bool {
        self != Self::Repeated
    }
}

/// What is known of the requests toward one queue pair.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    next: Option<Psn>,
    missing: BTreeSet<u32>,
    send: Option<PartialSend>,
    /// Packets seen for the first time.
    pub(crate) packets: u64,
    /// Packets that had been seen before.
    pub(crate) repeated: u64,
    /// Packets that were skipped when a later one was seen.
    pub(crate) gaps: u64,
    /// Where the WRITE in progress began and how long it is: its address, rkey
    /// and length stand only in its first packet.
    pub(crate) write: Option<PartialWrite>,
}

#[derive(Debug)]
struct PartialSend {
    next: Psn,
    octets: Vec<u8>,
}

/// An RDMA WRITE whose first packet was seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PartialWrite {
    /// The PSN its next packet must have.
    pub(crate) next: Psn,
    /// Rkey of the first packet.
    pub(crate) rkey: u32,
    /// Address of the first packet.
    pub(crate) address: u64,
    /// Octets announced by the first packet.
    pub(crate) len: u32,
    /// Octets seen so far.
    pub(crate) seen: u32,
}

impl Requests {
    /// Announces the PSN of the first packet, as CLC and ADD LINK do.
    pub(crate) fn start_at(&mut self, psn: Psn) {
        *self = Self { next: Some(psn), ..Self::default() };
    }

    /// Whether every packet up to the newest was seen.
    pub(crate) fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }

    /// Notes a request packet that takes `count` sequence numbers.
    pub(crate) fn see(&mut self, psn: Psn, count: u32) -> Sight {
        let next = *self.next.get_or_insert(psn);
        let distance = psn.distance_from(next);
        let sight = match distance {
            0 => Sight::Next,
            d if d > 0 => {
                self.note_gap(next, d.unsigned_abs());
                Sight::AfterGap(d.unsigned_abs())
            }
            _ if self.missing.remove(&psn.value()) => Sight::Late,
            _ => Sight::Repeated,
        };
        if distance >= 0 {
            self.next = Some(psn.add(count.max(1)));
        }
        if sight.is_first() {
            self.packets += 1;
        } else {
            self.repeated += 1;
        }
        sight
    }

    fn note_gap(&mut self, first: Psn, count: u32) {
        self.gaps += u64::from(count);
        for n in 0..count.min(MAX_MISSING as u32) {
            if self.missing.len() >= MAX_MISSING {
                self.missing.pop_first();
            }
            self.missing.insert(first.add(n).value());
        }
    }

    /// Adds a packet of a SEND; the whole message once its last packet is there.
    /// Empty if the message did not arrive in one piece or is too long.
    pub(crate) fn assemble_send(&mut self, psn: Psn, position: Position, payload: &[u8]) -> Option<Vec<u8>> {
        if matches!(position, Position::First | Position::Only) {
            self.send = Some(PartialSend { next: psn, octets: Vec::new() });
        }
        let mut send = self.send.take().filter(|send| send.next == psn)?;
        if send.octets.len() + payload.len() > MAX_SEND_LEN {
            return None;
        }
        send.octets.extend_from_slice(payload);
        send.next = psn.add(1);
        if matches!(position, Position::Last | Position::Only) {
            return Some(send.octets);
        }
        self.send = Some(send);
        None
    }

    /// Notes the first packet of an RDMA WRITE.
    pub(crate) fn begin_write(&mut self, psn: Psn, rkey: u32, address: u64, len: u32, payload_len: u32) {
        self.write = Some(PartialWrite { next: psn.add(1), rkey, address, len, seen: payload_len });
    }

    /// Notes a middle or last packet of an RDMA WRITE; the write it continues,
    /// as it stood before, if its first packet was seen.
    pub(crate) fn continue_write(&mut self, psn: Psn, payload_len: u32) -> Option<PartialWrite> {
        let before = self.write.filter(|write| write.next == psn)?;
        self.write =
            Some(PartialWrite { next: psn.add(1), seen: before.seen.saturating_add(payload_len), ..before });
        Some(before)
    }
}

#[cfg(test)]
#[path = "requests_tests.rs"]
mod tests;
