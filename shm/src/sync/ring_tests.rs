//! The ring alone, with a consumer and a producer that say anything.

use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::Arc;

use proptest::prelude::*;

use super::ring::*;

const COUNT: u32 = 8;

struct Shared {
    words: [[AtomicU32; 1 + HEADER_WORDS]; COUNT as usize],
    payload: [[AtomicU8; SLOT_LEN]; COUNT as usize],
    consumed: AtomicU32,
}

#[derive(Clone)]
struct Side(Arc<Shared>);

impl Slots for Side {
    type Word = AtomicU32;

    fn count(&self) -> u32 {
        COUNT
    }

    fn word(&self, slot: u32, index: usize) -> &AtomicU32 {
        &self.0.words[slot as usize][index]
    }

    fn write(&self, slot: u32, at: usize, octets: &[u8]) {
        for (into, octet) in self.0.payload[slot as usize][at..at + octets.len()].iter().zip(octets) {
            into.store(*octet, Ordering::Relaxed);
        }
    }

    fn read(&self, slot: u32, at: usize, out: &mut [u8]) {
        let len = out.len();
        for (octet, from) in out.iter_mut().zip(&self.0.payload[slot as usize][at..at + len]) {
            *octet = from.load(Ordering::Relaxed);
        }
    }
}

fn sides(start: u32) -> (Producer<Side>, Consumer<Side>, Side) {
    let side = Side(Arc::new(Shared {
        words: std::array::from_fn(|_| std::array::from_fn(|_| AtomicU32::new(0))),
        payload: std::array::from_fn(|_| std::array::from_fn(|_| AtomicU8::new(0))),
        consumed: AtomicU32::new(start),
    }));
    prepare(&side);
    let (mut producer, mut consumer) = (Producer::new(side.clone()), Consumer::new(side.clone()));
    producer.start_at(start);
    consumer.start_at(start);
    (producer, consumer, side)
}

#[test]
fn lengths_and_slots_agree() {
    for slots in 1..100 {
        let most = len_for(slots);
        assert_eq!((slots_for(most), slots_for(most + 1)), (slots, slots + 1));
    }
    assert_eq!((slots_for(0), slots_for(44), slots_for(45)), (1, 1, 2));
}

#[test]
fn a_full_ring_takes_nothing() {
    let (mut producer, mut consumer, side) = sides(0);
    for _ in 0..COUNT {
        assert_eq!(producer.has_room(1, &side.0.consumed), Ok(true));
        producer.begin().send([0; 4]);
    }
    assert_eq!(producer.has_room(1, &side.0.consumed), Ok(false));
    assert!(consumer.peek().is_some());
    consumer.advance(0);
    assert_eq!(producer.has_room(1, &side.0.consumed), Ok(false), "not published yet");
    consumer.publish(&side.0.consumed);
    assert_eq!(producer.has_room(1, &side.0.consumed), Ok(true));
    assert_eq!(producer.has_room(2, &side.0.consumed), Ok(false));
}

#[test]
fn a_consumer_ahead_of_the_producer_is_nonsense() {
    let (mut producer, _, side) = sides(u32::MAX - 2);
    for _ in 0..COUNT {
        producer.begin().send([0; 4]);
    }
    for claim in [u32::MAX - 3, COUNT - 2, 1 << 31, 77] {
        side.0.consumed.store(claim, Ordering::Relaxed);
        assert_eq!(producer.has_room(1, &side.0.consumed), Err(Nonsense), "{claim}");
        assert_eq!(producer.room(), 0);
    }
    side.0.consumed.store(COUNT - 3, Ordering::Relaxed);
    assert_eq!(producer.has_room(COUNT, &side.0.consumed), Ok(true));
}

/// Payload that looks like a turn is never taken for one.
#[test]
fn payload_is_no_turn() {
    let (mut producer, mut consumer, side) = sides(0);
    for position in 0..1000_u32 {
        let len = len_for(1 + position % COUNT);
        let like_turns: Vec<u8> = (0..len).map(|n| ((position + 1) >> (8 * (n % 4))) as u8).collect();
        assert_eq!(producer.has_room(slots_for(len), &side.0.consumed), Ok(true));
        let mut message = producer.begin();
        message.put(&like_turns);
        assert_eq!(consumer.peek(), None, "not before it is sent");
        message.send([position, 0, 0, 0]);
        assert_eq!(consumer.peek(), Some([position, 0, 0, 0]));
        let mut out = vec![0; len];
        consumer.read(0, &mut out);
        assert_eq!(out, like_turns);
        consumer.advance(len);
        assert_eq!(consumer.peek(), None, "nothing behind it");
        consumer.publish(&side.0.consumed);
    }
}

proptest! {
    /// Against a queue of whole messages, from just before the wrap.
    #[test]
    fn messages_keep_their_order_and_content(
        steps in prop::collection::vec((any::<bool>(), 0_usize..len_for(COUNT) + 1), 1..300),
        start in (u32::MAX - 20)..=u32::MAX,
    ) {
        let (mut producer, mut consumer, side) = sides(start);
        let mut queue = std::collections::VecDeque::new();
        for (n, (is_send, len)) in (0_u32..).zip(steps) {
            if is_send {
                if producer.has_room(slots_for(len), &side.0.consumed).unwrap() {
                    let payload: Vec<u8> = (0..len).map(|at| (at as u32 + n) as u8).collect();
                    let mut message = producer.begin();
                    let (a, b) = payload.split_at(len / 3);
                    message.put(a);
                    message.put(b);
                    message.send([n, len as u32, !n, 7]);
                    queue.push_back((n, payload));
                }
            } else if let Some((n, payload)) = queue.pop_front() {
                prop_assert_eq!(consumer.peek(), Some([n, payload.len() as u32, !n, 7]));
                let mut out = vec![0; payload.len()];
                let middle = len.min(payload.len());
                let (a, b) = out.split_at_mut(middle);
                consumer.read(0, a);
                consumer.read(middle, b);
                prop_assert_eq!(&out, &payload);
                consumer.advance(payload.len());
                consumer.publish(&side.0.consumed);
            } else {
                prop_assert_eq!(consumer.peek(), None);
            }
        }
    }

    /// A peer that writes any word at any time: what is read stays in the ring.
    #[test]
    fn any_words_are_survived(
        words in prop::collection::vec((0..COUNT, 0_usize..5, any::<u32>(), 0_usize..len_for(COUNT) + 1), 1..100),
    ) {
        let (_, mut consumer, side) = sides(0);
        for (slot, index, value, len) in words {
            side.word(slot, index).store(value, Ordering::Relaxed);
            side.word(slot, 0).store(value % 9, Ordering::Relaxed);
            if consumer.peek().is_some() {
                let mut out = vec![0; len];
                consumer.read(0, &mut out);
                consumer.advance(len);
            }
        }
    }
}
