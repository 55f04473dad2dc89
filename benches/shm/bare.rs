//! A bare ring: the least that two threads must do to hand octets over. Not for
//! untrusting processes: no keys, no tables, no queues.

use std::cell::UnsafeCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const SLOTS: usize = 8;
const ROOM: usize = 65_536;

#[repr(align(64))]
struct Slot {
    turn: AtomicU64,
    octets: UnsafeCell<[u8; ROOM]>,
}

struct Lane {
    slots: Vec<Slot>,
}

// SAFETY: a slot's octets are written by the sender before its turn is
// published and read by the receiver after; each answers before it asks again,
// so that no slot is written while it is read.
unsafe impl Sync for Lane {}

pub(crate) struct Bare {
    outgoing: Arc<Lane>,
    incoming: Arc<Lane>,
    sent: u64,
    received: u64,
}

fn lane() -> Arc<Lane> {
    let slot = |_| Slot { turn: AtomicU64::new(0), octets: UnsafeCell::new([0; ROOM]) };
    Arc::new(Lane { slots: (0..SLOTS).map(slot).collect() })
}

impl Bare {
    pub(crate) fn pair() -> [Self; 2] {
        let (a, b) = (lane(), lane());
        let end = |outgoing: &Arc<Lane>, incoming: &Arc<Lane>| Self {
            outgoing: outgoing.clone(),
            incoming: incoming.clone(),
            sent: 0,
            received: 0,
        };
        [end(&a, &b), end(&b, &a)]
    }

    #[inline]
    pub(crate) fn send(&mut self, octets: &[u8]) {
        let slot = &self.outgoing.slots[self.sent as usize % SLOTS];
        self.sent += 1;
        // SAFETY: see `Lane`; `octets` is at most `ROOM` long.
        unsafe { std::ptr::copy_nonoverlapping(octets.as_ptr(), slot.octets.get().cast(), octets.len()) }
        slot.turn.store(self.sent, Ordering::Release);
    }

    #[inline]
    pub(crate) fn receive(&mut self, octets: &mut [u8]) {
        let slot = &self.incoming.slots[self.received as usize % SLOTS];
        self.received += 1;
        while slot.turn.load(Ordering::Acquire) != self.received {
            std::hint::spin_loop();
        }
        // SAFETY: see `Lane`.
        unsafe { std::ptr::copy_nonoverlapping(slot.octets.get().cast(), octets.as_mut_ptr(), octets.len()) }
    }
}
