//! A ring of slots from one producer to one consumer, made so that a short
//! message costs one cache line.
//!
//! ```text
//!   slot, 64 octets:  turn | header, 4 words | 44 octets of payload
//!   further slots:    turn |                   60 octets of payload
//! ```
//!
//! A slot's `turn` is its position plus one once a message begins there, so the
//! consumer never looks at an index of the producer's. Further slots of a message
//! hold their own position, which is no turn of theirs in any lap: payload is
//! never taken for a beginning. The producer looks at how far the consumer is
//! only when there seems to be no room.
//!
//! The other side is not trusted: each word is read once, and what is made of
//! it stays inside the ring.

use super::Word;

/// Words of a header.
pub(crate) const HEADER_WORDS: usize = 4;
/// Octets of a slot.
pub(crate) const SLOT_LEN: usize = 64;
/// Octets of payload beside a header.
pub(crate) const FIRST_LEN: usize = SLOT_LEN - 4 - 4 * HEADER_WORDS;
/// Octets of payload in a further slot.
pub(crate) const NEXT_LEN: usize = SLOT_LEN - 4;

/// A message's four words; what they mean is not the ring's business.
pub(crate) type Header = [u32; HEADER_WORDS];

/// Where a ring's slots are.
pub(crate) trait Slots {
    /// The words in it.
    type Word: Word;

    /// How many, a power of two.
    fn count(&self) -> u32;

    /// A slot's word: 0 is its turn, 1 to 4 are the header.
    fn word(&self, slot: u32, index: usize) -> &Self::Word;

    /// Writes payload from `at` on, counted from the slot's beginning.
    fn write(&self, slot: u32, at: usize, octets: &[u8]);

    /// Reads payload from `at` on. Each octet is read once.
    fn read(&self, slot: u32, at: usize, out: &mut [u8]);
}

/// Slots of a message of `len` octets.
#[inline]
pub(crate) const fn slots_for(len: usize) -> u32 {
    1 + len.saturating_sub(FIRST_LEN).div_ceil(NEXT_LEN) as u32
}

/// The most octets a message can have that must fit `slots`.
pub(crate) const fn len_for(slots: u32) -> usize {
    match slots {
        0 => 0,
        n => FIRST_LEN + (n as usize - 1) * NEXT_LEN,
    }
}

/// The slots' first content: no slot holds a turn of its own.
pub(crate) fn prepare<S: Slots>(slots: &S) {
    for slot in 0..slots.count() {
        slots.word(slot, 0).store(slot);
    }
    S::Word::release();
}

/// The other side said something that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Nonsense;

/// The side that writes.
#[derive(Debug)]
pub(crate) struct Producer<S> {
    slots: S,
    position: u32,
    /// How far the consumer was when we last looked.
    consumed: u32,
}

impl<S: Slots> Producer<S> {
    pub(crate) const fn new(slots: S) -> Self {
        Self { slots, position: 0, consumed: 0 }
    }

    /// Slots that wait for a consumer that says it has come so far; any number, if it
    /// talks nonsense.
    pub(crate) const fn waiting(&self, consumed: u32) -> u32 {
        self.position.wrapping_sub(consumed)
    }

    /// Slots that are free for all we know.
    #[inline]
    pub(crate) fn room(&self) -> u32 {
        self.slots.count() - self.position.wrapping_sub(self.consumed)
    }

    /// Whether there are `slots` free slots; looks at how far the consumer is
    /// only if there seem not to be.
    ///
    /// # Errors
    /// [`Nonsense`] if the consumer claims what it cannot have consumed.
    #[inline]
    pub(crate) fn has_room(&mut self, slots: u32, consumed: &S::Word) -> Result<bool, Nonsense> {
        if self.room() >= slots {
            return Ok(true);
        }
        let now = consumed.load();
        S::Word::acquire();
        let step = now.wrapping_sub(self.consumed);
        if step > self.position.wrapping_sub(self.consumed) {
            return Err(Nonsense);
        }
        self.consumed = now;
        Ok(self.room() >= slots)
    }

    /// Begins a message. Its slots must be free: ask [`has_room`](Self::has_room).
    #[inline]
    pub(crate) fn begin(&mut self) -> Message<'_, S> {
        Message { ring: self, slots: 1, at: SLOT_LEN - FIRST_LEN }
    }
}

/// A message in the making; nothing of it is seen before it is sent.
#[derive(Debug)]
pub(crate) struct Message<'r, S: Slots> {
    ring: &'r mut Producer<S>,
    slots: u32,
    at: usize,
}

impl<S: Slots> Message<'_, S> {
    /// Adds payload.
    ///
    /// # Panics
    /// If there is no room for it: the caller has asked before.
    #[inline]
    pub(crate) fn put(&mut self, mut octets: &[u8]) {
        while !octets.is_empty() {
            if self.at == SLOT_LEN {
                assert!(self.slots < self.ring.room(), "no room for the message");
                let position = self.ring.position.wrapping_add(self.slots);
                // Not this slot's turn, in this lap or any other.
                self.ring.slots.word(self.ring.place(position), 0).store(position);
                self.slots += 1;
                self.at = SLOT_LEN - NEXT_LEN;
            }
            let (now, rest) = octets.split_at(octets.len().min(SLOT_LEN - self.at));
            let position = self.ring.position.wrapping_add(self.slots - 1);
            self.ring.slots.write(self.ring.place(position), self.at, now);
            self.at += now.len();
            octets = rest;
        }
    }

    /// Publishes it.
    ///
    /// # Panics
    /// If there is no free slot: the caller has asked before.
    #[inline]
    pub(crate) fn send(self, header: Header) {
        assert!(self.slots <= self.ring.room(), "no room for the message");
        let position = self.ring.position;
        let slot = self.ring.place(position);
        for (index, word) in (1..).zip(header) {
            self.ring.slots.word(slot, index).store(word);
        }
        S::Word::release();
        self.ring.slots.word(slot, 0).store(position.wrapping_add(1));
        self.ring.position = position.wrapping_add(self.slots);
    }
}

impl<S: Slots> Producer<S> {
    #[inline]
    fn place(&self, position: u32) -> u32 {
        position & (self.slots.count() - 1)
    }
}

/// The side that reads.
#[derive(Debug)]
pub(crate) struct Consumer<S> {
    slots: S,
    position: u32,
    published: u32,
}

impl<S: Slots> Consumer<S> {
    pub(crate) const fn new(slots: S) -> Self {
        Self { slots, position: 0, published: 0 }
    }

    /// The header of the next message, if there is one. Read it once, and hold
    /// its lengths against [`max_len`](Self::max_len).
    #[inline]
    pub(crate) fn peek(&self) -> Option<Header> {
        let slot = self.place(self.position);
        if self.slots.word(slot, 0).load() != self.position.wrapping_add(1) {
            return None;
        }
        S::Word::acquire();
        Some([1, 2, 3, 4].map(|index| self.slots.word(slot, index).load()))
    }

    /// The longest payload a message of this ring can have.
    pub(crate) fn max_len(&self) -> usize {
        len_for(self.slots.count())
    }

    /// Copies the next message's payload from `at` on.
    #[inline]
    pub(crate) fn read(&self, at: usize, mut out: &mut [u8]) {
        let (mut slot, mut offset) = match at.checked_sub(FIRST_LEN) {
            None => (0, SLOT_LEN - FIRST_LEN + at),
            Some(beyond) => (1 + (beyond / NEXT_LEN) as u32, SLOT_LEN - NEXT_LEN + beyond % NEXT_LEN),
        };
        while !out.is_empty() {
            let now = out.len().min(SLOT_LEN - offset);
            let (into, rest) = out.split_at_mut(now);
            self.slots.read(self.place(self.position.wrapping_add(slot)), offset, into);
            out = rest;
            slot += 1;
            offset = SLOT_LEN - NEXT_LEN;
        }
    }

    /// Passes over a message of `len` octets.
    #[inline]
    pub(crate) fn advance(&mut self, len: usize) {
        self.position = self.position.wrapping_add(slots_for(len));
    }

    /// Gives passed slots back to the producer.
    #[inline]
    pub(crate) fn publish(&mut self, consumed: &S::Word) {
        if self.published != self.position {
            self.published = self.position;
            S::Word::release();
            consumed.store(self.position);
        }
    }

    #[inline]
    fn place(&self, position: u32) -> u32 {
        position & (self.slots.count() - 1)
    }
}

#[cfg(test)]
impl<S> Producer<S> {
    /// Goes on at a position of a test's choice.
    pub(crate) fn start_at(&mut self, position: u32) {
        (self.position, self.consumed) = (position, position);
    }
}

#[cfg(test)]
impl<S> Consumer<S> {
    /// Goes on at a position of a test's choice.
    pub(crate) fn start_at(&mut self, position: u32) {
        (self.position, self.published) = (position, position);
    }
}
