//! TIME-WAIT (RFC 9293 §3.6.1): what is left of a TCP connection that this side
//! closed first. The peer's FIN may come again, and no octet of the old
//! connection may get into a new one with the same four numbers.

use alloc::collections::VecDeque;
use core::hash::BuildHasher;

use hashbrown::HashTable;
use slotmap::SlotMap;
use smolsmc_clc::SynKind;
use smolsmc_verbs::Provider;
use smolsmc_wire::{Instant, Mac};
use smoltcp::phy::Device;

use crate::draws::Secret;
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

slotmap::new_key_type! {
    /// A connection in TIME-WAIT.
    struct RestKey;
}

struct Rest {
    tuple: Tuple,
    words: LastWords,
    until: Instant,
    mac: Mac,
    owes_ack: bool,
    /// Who goes before it, and after it.
    older: Option<RestKey>,
    newer: Option<RestKey>,
}

/// All that wait: so many at most, the oldest goes first.
pub(crate) struct TimeWaits {
    rests: SlotMap<RestKey, Rest>,
    secret: Secret,
    by_tuple: HashTable<RestKey>,
    /// The ends of the line in which they stand, by the time they go.
    oldest: Option<RestKey>,
    newest: Option<RestKey>,
    /// Whose ACK is to be sent again.
    owing: VecDeque<RestKey>,
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
    pub(crate) fn new(secret: Secret) -> Self {
        Self {
            rests: SlotMap::with_key(),
            secret,
            by_tuple: HashTable::new(),
            oldest: None,
            newest: None,
            owing: VecDeque::new(),
            dropped: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.rests.len()
    }

    pub(crate) fn contains(&self, tuple: &Tuple) -> bool {
        self.key_of(tuple).is_some()
    }

    fn key_of(&self, tuple: &Tuple) -> Option<RestKey> {
        if self.rests.is_empty() {
            return None;
        }
        let is_it = |key: &RestKey| self.rests.get(*key).is_some_and(|rest| rest.tuple == *tuple);
        self.by_tuple.find(self.secret.hash_one(tuple), is_it).copied()
    }

    /// A connection has entered TIME-WAIT; `most` may be in it.
    pub(crate) fn enter(&mut self, tuple: Tuple, words: LastWords, mac: Mac, until: Instant, most: usize) {
        if let Some(key) = self.key_of(&tuple) {
            self.leave(key);
        }
        while self.rests.len() >= most {
            let Some(oldest) = self.oldest else { return };
            self.leave(oldest);
            self.dropped += 1;
        }
        let rest = Rest { tuple, words, until, mac, owes_ack: false, older: None, newer: None };
        let key = self.rests.insert(rest);
        let Self { rests, secret, by_tuple, .. } = self;
        let hash = |key: &RestKey| rests.get(*key).map_or(0, |rest| secret.hash_one(rest.tuple));
        by_tuple.insert_unique(secret.hash_one(tuple), key, hash);
        self.line_up(key, until);
    }

    fn leave(&mut self, key: RestKey) {
        self.step_out(key);
        let Some(rest) = self.rests.remove(key) else { return };
        if let Ok(found) = self.by_tuple.find_entry(self.secret.hash_one(rest.tuple), |other| *other == key) {
            found.remove();
        }
    }

    /// Puts one that stands nowhere behind all that go before it, or with it: as a
    /// rule behind all.
    fn line_up(&mut self, key: RestKey, until: Instant) {
        let mut older = self.newest;
        while let Some(rest) = older.and_then(|older| self.rests.get(older)).filter(|rest| rest.until > until)
        {
            older = rest.older;
        }
        let newer = match older.and_then(|older| self.rests.get_mut(older)) {
            Some(rest) => rest.newer.replace(key),
            None => self.oldest.replace(key),
        };
        match newer.and_then(|newer| self.rests.get_mut(newer)) {
            Some(rest) => rest.older = Some(key),
            None => self.newest = Some(key),
        }
        if let Some(rest) = self.rests.get_mut(key) {
            (rest.until, rest.older, rest.newer) = (until, older, newer);
        }
    }

    fn step_out(&mut self, key: RestKey) {
        let Some(&Rest { older, newer, .. }) = self.rests.get(key) else { return };
        match older.and_then(|older| self.rests.get_mut(older)) {
            Some(rest) => rest.newer = newer,
            None => self.oldest = newer,
        }
        match newer.and_then(|newer| self.rests.get_mut(newer)) {
            Some(rest) => rest.older = older,
            None => self.newest = older,
        }
    }

    /// How many stand in line.
    #[cfg(test)]
    fn in_line(&self) -> usize {
        let next = |key: &RestKey| self.rests.get(*key).and_then(|rest| rest.newer);
        core::iter::successors(self.oldest, next).count()
    }

    /// Those whose time is over go.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some(key) = self.oldest
            && self.rests.get(key).is_some_and(|rest| rest.until <= now)
        {
            self.leave(key);
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
        let Some(key) = self.key_of(tuple) else { return Verdict::Unknown };
        let Some(rest) = self.rests.get_mut(key) else { return Verdict::Unknown };
        let ahead = segment.seq.wrapping_sub(rest.words.expected) as i32;
        if segment.kind == SynKind::Syn && ahead > 0 && !segment.reset && is_listened {
            self.leave(key);
            return Verdict::NewConnection;
        }
        if segment.reset {
            // RFC 5961 §3.2: only the expected number counts.
            if ahead == 0 {
                self.leave(key);
            }
            return Verdict::Taken;
        }
        // A bare ACK of what we sent needs no answer: two ends in TIME-WAIT would
        // go on for ever.
        let says_nothing = segment.payload_len == 0 && !segment.fin && segment.kind == SynKind::Other;
        let needs_answer = !says_nothing || ahead != 0;
        if needs_answer && !core::mem::replace(&mut rest.owes_ack, true) {
            self.owing.push_back(key);
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
                self.step_out(key);
                self.line_up(key, until);
            }
        }
        Verdict::Taken
    }

    /// Whose ACK is to be sent, and to which address.
    pub(crate) fn next_answer(&mut self) -> Option<(Tuple, Mac, Bare)> {
        while let Some(key) = self.owing.pop_front() {
            let Some(rest) = self.rests.get_mut(key) else { continue };
            if core::mem::take(&mut rest.owes_ack) {
                let LastWords { next, expected } = rest.words;
                let bare = Bare { seq: next, ack: expected, fin: false, reset: false };
                return Some((rest.tuple, rest.mac, bare));
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
