//! The protocols under every interleaving that loom can find, the payload in
//! cells that notice a race.

// Loom's cells are reached through raw pointers.
#![allow(unsafe_code)]

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering, fence};
use loom::thread;

use super::ring::{self, Consumer, HEADER_WORDS, Producer, SLOT_LEN, Slots};
use super::{Word, bell, gate};

impl Word for AtomicU32 {
    fn load(&self) -> u32 {
        self.load(Ordering::Relaxed)
    }

    fn store(&self, value: u32) {
        self.store(value, Ordering::Relaxed);
    }

    fn acquire() {
        fence(Ordering::Acquire);
    }

    fn release() {
        fence(Ordering::Release);
    }

    fn full() {
        fence(Ordering::SeqCst);
    }
}

struct Slot {
    words: [AtomicU32; 1 + HEADER_WORDS],
    payload: UnsafeCell<[u8; SLOT_LEN]>,
}

struct Shared {
    slots: Vec<Slot>,
    consumed: AtomicU32,
}

#[derive(Clone)]
struct Side(Arc<Shared>);

impl Slots for Side {
    type Word = AtomicU32;

    fn count(&self) -> u32 {
        self.0.slots.len() as u32
    }

    fn word(&self, slot: u32, index: usize) -> &AtomicU32 {
        &self.0.slots[slot as usize].words[index]
    }

    fn write(&self, slot: u32, at: usize, octets: &[u8]) {
        self.0.slots[slot as usize].payload.with_mut(|payload| {
            // SAFETY: loom checks that nobody else has it now.
            unsafe { (&mut *payload)[at..at + octets.len()].copy_from_slice(octets) }
        });
    }

    fn read(&self, slot: u32, at: usize, out: &mut [u8]) {
        self.0.slots[slot as usize].payload.with(|payload| {
            // SAFETY: loom checks that nobody writes it now.
            unsafe { out.copy_from_slice(&(&*payload)[at..at + out.len()]) }
        });
    }
}

fn sides(slots: u32) -> (Producer<Side>, Consumer<Side>, Arc<Shared>) {
    let slot = |_| Slot {
        words: std::array::from_fn(|_| AtomicU32::new(0)),
        payload: UnsafeCell::new([0; SLOT_LEN]),
    };
    let shared = Arc::new(Shared { slots: (0..slots).map(slot).collect(), consumed: AtomicU32::new(0) });
    let side = Side(shared.clone());
    ring::prepare(&side);
    (Producer::new(side.clone()), Consumer::new(side), shared)
}

/// Messages of these lengths go through a ring so small that slots are used
/// again at once: each arrives whole, in order, and no slot is written while
/// it is read.
fn all_arrive(slots: u32, start: u32, lens: &'static [usize]) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let (mut producer, mut consumer, shared) = sides(slots);
        producer.start_at(start);
        consumer.start_at(start);
        shared.consumed.store(start, Ordering::Relaxed);
        let consumed = shared.clone();
        let sender = thread::spawn(move || {
            for (n, len) in (0_u8..).zip(lens) {
                while !producer.has_room(ring::slots_for(*len), &consumed.consumed).unwrap() {
                    thread::yield_now();
                }
                let mut message = producer.begin();
                message.put(&vec![n + 1; *len]);
                message.send([n.into(), *len as u32, 0, 0]);
            }
        });
        for (n, len) in (0_u8..).zip(lens) {
            let header = loop {
                match consumer.peek() {
                    Some(header) => break header,
                    None => thread::yield_now(),
                }
            };
            assert_eq!(header, [n.into(), *len as u32, 0, 0]);
            let mut payload = vec![0; *len];
            consumer.read(0, &mut payload);
            assert_eq!(payload, vec![n + 1; *len]);
            consumer.advance(*len);
            consumer.publish(&shared.consumed);
        }
        assert_eq!(consumer.peek(), None);
        sender.join().unwrap();
    });
}

#[test]
fn every_message_arrives_whole() {
    all_arrive(2, 0, &[1, 1, 1]);
}

#[test]
fn a_message_of_several_slots_is_seen_at_once() {
    all_arrive(2, u32::MAX, &[1, 50, 1]);
}

/// The owner withdraws a right and reuses the memory: no write comes late.
#[test]
fn behind_a_closed_gate_nobody_writes() {
    struct Memory {
        gate: AtomicU32,
        right: AtomicU32,
        octets: UnsafeCell<u32>,
    }
    loom::model(|| {
        let memory = Arc::new(Memory {
            gate: AtomicU32::new(0),
            right: AtomicU32::new(1),
            octets: UnsafeCell::new(0),
        });
        let peer = memory.clone();
        let writer = thread::spawn(move || {
            let mut gate = gate::Writer::default();
            for value in 1..3 {
                gate.enter(&peer.gate);
                if Word::load(&peer.right) == 1 {
                    // SAFETY: loom checks that nobody else has it now.
                    peer.octets.with_mut(|octets| unsafe { *octets = value });
                }
                gate.leave(&peer.gate);
            }
        });
        Word::store(&memory.right, 0);
        let watch = gate::Watch::new(&memory.gate);
        while !watch.is_clear(&memory.gate) {
            thread::yield_now();
        }
        // SAFETY: loom checks that nobody else has it now.
        memory.octets.with_mut(|octets| unsafe { *octets = 99 });
        writer.join().unwrap();
        // SAFETY: loom checks that nobody else has it now.
        memory.octets.with(|octets| assert_eq!(unsafe { *octets }, 99));
    });
}

/// Who looks once more after it said that it sleeps is woken or need not be.
#[test]
fn no_wake_up_is_lost() {
    loom::model(|| {
        let shared = Arc::new([AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0)]);
        let peer = shared.clone();
        let waker = thread::spawn(move || {
            let [news, wishes, rung] = &*peer;
            Word::store(news, 1);
            if bell::wish::due_after(bell::wishes(wishes), bell::wish::MESSAGE) == Some(0) {
                Word::store(rung, 1);
            }
        });
        let [news, wishes, rung] = &*shared;
        bell::wish(wishes, bell::wish::MESSAGE);
        let saw = Word::load(news) == 1;
        waker.join().unwrap();
        assert!(saw || Word::load(rung) == 1, "it sleeps and nobody wakes it");
    });
}
