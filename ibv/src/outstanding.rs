//! What a device has been given and has not given back. Verbs tell of an
//! unsignalled request only by what completes after it, and of a failed one
//! nothing but its number: so each request is kept here under a number of ours.

use std::collections::VecDeque;

const SEQUENCE_BITS: u32 = 39;
const SEQUENCE: u64 = (1 << SEQUENCE_BITS) - 1;
const RECEIVE: u64 = 1 << SEQUENCE_BITS;
const PLACE_SHIFT: u32 = SEQUENCE_BITS + 1;

/// Queue pairs that can be told apart in a request's number.
pub(crate) const MAX_PLACES: u32 = 1 << (64 - PLACE_SHIFT);

/// Which queue of which queue pair, and which request of it: the number under
/// which a device knows a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token(pub(crate) u64);

impl Token {
    pub(crate) const fn new(place: u32, is_receive: bool, sequence: u64) -> Self {
        let kind = if is_receive { RECEIVE } else { 0 };
        Self(((place as u64) << PLACE_SHIFT) | kind | (sequence & SEQUENCE))
    }

    /// The token of the `n`th request after this one.
    pub(crate) const fn after(self, n: usize) -> Self {
        let sequence = self.sequence().wrapping_add(n as u64) & SEQUENCE;
        Self((self.0 & !SEQUENCE) | sequence)
    }

    pub(crate) const fn place(self) -> u32 {
        (self.0 >> PLACE_SHIFT) as u32
    }

    pub(crate) const fn is_receive(self) -> bool {
        self.0 & RECEIVE != 0
    }

    pub(crate) const fn sequence(self) -> u64 {
        self.0 & SEQUENCE
    }
}

/// The requests of one queue, oldest first. Only [`new`](Self::new) allocates.
#[derive(Debug)]
pub(crate) struct Outstanding<T> {
    requests: VecDeque<T>,
    /// The sequence number of the oldest.
    first: u64,
    limit: usize,
}

impl<T> Outstanding<T> {
    /// At most `limit` at a time.
    pub(crate) fn new(limit: u32) -> Self {
        Self { requests: VecDeque::with_capacity(limit as usize), first: 0, limit: limit as usize }
    }

    pub(crate) fn len(&self) -> usize {
        self.requests.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.requests.len() >= self.limit
    }

    /// The number of the next request.
    pub(crate) fn next(&self) -> u64 {
        self.first.wrapping_add(self.requests.len() as u64) & SEQUENCE
    }

    pub(crate) fn push(&mut self, request: T) {
        self.requests.push_back(request);
    }

    /// Takes back the newest `count`, which the device did not accept.
    pub(crate) fn take_back(&mut self, count: usize) {
        self.requests.truncate(self.requests.len().saturating_sub(count));
    }

    /// The request with this number is done, and with it all before it. `None`
    /// if it is not outstanding.
    pub(crate) fn complete(&mut self, sequence: u64) -> Option<T> {
        let before = sequence.wrapping_sub(self.first) & SEQUENCE;
        let before = usize::try_from(before).ok().filter(|before| *before < self.requests.len())?;
        self.first = sequence.wrapping_add(1) & SEQUENCE;
        self.requests.drain(..before);
        self.requests.pop_front()
    }

    /// Forgets all; their numbers mean nothing any more.
    pub(crate) fn forget(&mut self) {
        self.first = self.next();
        self.requests.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_PLACES, Outstanding, SEQUENCE, Token};

    #[test]
    fn a_token_keeps_its_parts() {
        for (place, is_receive, sequence) in
            [(0, false, 0), (MAX_PLACES - 1, true, SEQUENCE), (7, true, 1), (7, false, SEQUENCE)]
        {
            let token = Token::new(place, is_receive, sequence);
            assert_eq!((token.place(), token.is_receive(), token.sequence()), (place, is_receive, sequence));
            assert_eq!(token.after(1), Token::new(place, is_receive, (sequence + 1) & SEQUENCE));
        }
    }

    #[test]
    fn a_completion_ends_all_before_it() {
        let mut queue = Outstanding::new(4);
        for request in ['a', 'b', 'c', 'd'] {
            queue.push(request);
        }
        assert!(queue.is_full());
        assert_eq!(queue.complete(2), Some('c'));
        assert_eq!((queue.len(), queue.next()), (1, 4));
        assert_eq!((queue.complete(2), queue.complete(4), queue.complete(0)), (None, None, None));
        queue.push('e');
        queue.take_back(1);
        assert_eq!((queue.len(), queue.next()), (1, 4));
        queue.forget();
        assert_eq!((queue.len(), queue.next(), queue.complete(3)), (0, 4, None));
    }

    #[test]
    fn numbers_wrap() {
        let mut queue = Outstanding::new(4);
        queue.first = SEQUENCE - 1;
        for request in 0..4 {
            queue.push(request);
        }
        assert_eq!(queue.next(), 2);
        assert_eq!(queue.complete(SEQUENCE), Some(1));
        assert_eq!(queue.complete(1), Some(3));
        assert_eq!((queue.len(), queue.next()), (0, 2));
    }
}
