//! TIME-WAIT (RFC 9293 §3.6.1): what is left of a TCP connection that this side
//! closed first. The peer's FIN may come again, and no octet of the old
//! connection may get into a new one with the same four numbers.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};

use smolsmc_clc::SynKind;
use smolsmc_verbs::Provider;
use smolsmc_wire::{Instant, Mac};
use smoltcp::phy::Device;

use crate::port::{Segment, Tuple};
use crate::quiet::Bare;
use crate::shared::Shared;
use crate::stack::Stack;

/// The numbers of a connection's last ACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LastWords {
    /// Of the next octet we would send.
    pub(crate) next: u32,
    /// Of the next octet the peer would send.
    pub(crate) expected: u32,
}

struct Rest {
    words: LastWords,
    mac: Mac,
    until: Instant,
    owes_ack: bool,
}

/// All that wait: so many at most, the oldest goes first.
#[derive(Default)]
pub(crate) struct TimeWaits {
    rests: BTreeMap<Tuple, Rest>,
    /// The same, by the time they go.
    order: BTreeSet<(Instant, Tuple)>,
    /// Whose ACK is to be sent again.
    owing: VecDeque<Tuple>,
    /// Those that went before their time.
    pub(crate) dropped: u64,
}

/// What a segment for one of them comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It was for none.
    Unknown,
    /// It was for one, and no more is to be done.
    Taken,
    /// It begins a new connection: the old one is gone.
    NewConnection,
}

impl TimeWaits {
    pub(crate) fn len(&self) -> usize {
        self.rests.len()
    }

    pub(crate) fn contains(&self, tuple: &Tuple) -> bool {
        self.rests.contains_key(tuple)
    }

    /// A connection has entered TIME-WAIT; `most` may be in it.
    pub(crate) fn enter(&mut self, tuple: Tuple, words: LastWords, mac: Mac, until: Instant, most: usize) {
        self.leave(&tuple);
        while self.rests.len() >= most {
            let Some((_, oldest)) = self.order.pop_first() else { return };
            self.rests.remove(&oldest);
            self.dropped += 1;
        }
        self.order.insert((until, tuple));
        self.rests.insert(tuple, Rest { words, mac, until, owes_ack: false });
    }

    fn leave(&mut self, tuple: &Tuple) {
        if let Some(rest) = self.rests.remove(tuple) {
            self.order.remove(&(rest.until, *tuple));
        }
    }

    /// Those whose time is over go.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some((_, tuple)) = self.order.first().copied().filter(|(until, _)| *until <= now) {
            self.leave(&tuple);
        }
    }

    /// A sound segment of the peer (RFC 9293 §3.10.7.4; a SYN as in §3.6.1, where
    /// somebody listens for it). `until` is when a FIN that comes again lets it end.
    pub(crate) fn hear(
        &mut self,
        tuple: &Tuple,
        segment: &Segment,
        until: Instant,
        is_listened: bool,
    ) -> Verdict {
        let Some(rest) = self.rests.get_mut(tuple) else { return Verdict::Unknown };
        let ahead = segment.seq.wrapping_sub(rest.words.expected) as i32;
        if segment.kind == SynKind::Syn && ahead > 0 && !segment.reset && is_listened {
            self.leave(tuple);
            return Verdict::NewConnection;
        }
        if segment.reset {
            // RFC 5961 §3.2: only the expected number counts.
            if ahead == 0 {
                self.leave(tuple);
            }
            return Verdict::Taken;
        }
        if segment.fin {
            // Its ACK may never have left.
            let end = segment.seq.wrapping_add(segment.payload_len as u32).wrapping_add(1);
            if end.wrapping_sub(rest.words.expected) == 1 {
                rest.words.expected = end;
            }
            // A FIN with another number is not the peer's: who sends such could keep
            // the entry for ever.
            if end == rest.words.expected {
                self.order.remove(&(rest.until, *tuple));
                self.order.insert((until, *tuple));
                rest.until = until;
            }
        }
        // A bare ACK of what we sent needs no answer: two ends in TIME-WAIT would
        // go on for ever.
        let says_nothing = segment.payload_len == 0 && !segment.fin && segment.kind == SynKind::Other;
        let needs_answer = !says_nothing || ahead != 0;
        if needs_answer && !core::mem::replace(&mut rest.owes_ack, true) {
            self.owing.push_back(*tuple);
        }
        Verdict::Taken
    }

    /// Whose ACK is to be sent, and to which address.
    pub(crate) fn next_answer(&mut self) -> Option<(Tuple, Mac, Bare)> {
        while let Some(tuple) = self.owing.pop_front() {
            let Some(rest) = self.rests.get_mut(&tuple) else { continue };
            if core::mem::take(&mut rest.owes_ack) {
                let LastWords { next, expected } = rest.words;
                return Some((tuple, rest.mac, Bare { seq: next, ack: expected, fin: false, reset: false }));
            }
        }
        None
    }
}

impl<P: Provider> Stack<P> {
    /// Answers for connections that are in TIME-WAIT; what finds no room is not
    /// said, and its peer asks again.
    pub(crate) fn time_waits_out<D: Device>(&mut self, devices: &mut [D]) {
        let Shared { time_waits, ports, now, .. } = &mut self.shared;
        while let Some((tuple, mac, bare)) = time_waits.next_answer() {
            if let (Some(port), Some(device)) = (ports.get(tuple.port), devices.get_mut(tuple.port)) {
                port.bare_out(*now, device, (&tuple, mac), bare);
            }
        }
    }
}

#[cfg(test)]
#[path = "time_wait_tests.rs"]
mod tests;
