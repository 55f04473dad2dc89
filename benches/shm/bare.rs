//! A bare ring: the least that two threads must do to hand octets over. Not for
//! untrusting processes: no keys, no tables, no queues.

use std::cell::UnsafeCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::end::End;

/// A cache line, reached by pointers alone.
#[repr(align(64))]
#[expect(dead_code, reason = "as said")]
struct Line(UnsafeCell<[u8; 64]>);

#[repr(align(64))]
struct Count(AtomicU64);

/// Slots, each a turn of eight octets and the octets behind it.
struct Lane {
    lines: Vec<Line>,
    /// Lines of a slot.
    stride: usize,
    slots: u64,
    taken: Count,
}

// SAFETY: a slot's octets are written by the sender before its turn is
// published and read by the receiver after; the sender uses it again only when
// the receiver has said that it has taken them.
unsafe impl Sync for Lane {}

pub(crate) struct Bare {
    outgoing: Arc<Lane>,
    incoming: Arc<Lane>,
    sent: u64,
    received: u64,
    /// As the receiver said when last asked.
    taken: u64,
}

impl Lane {
    /// For messages of `size` octets: as many as fit 1 MiB, eight at least.
    fn new(size: usize) -> Arc<Self> {
        let stride = (8 + size).div_ceil(64);
        let slots = ((1 << 20) / (stride * 64)).clamp(8, 1024);
        let lines = (0..slots * stride).map(|_| Line(UnsafeCell::new([0; 64]))).collect();
        Arc::new(Self { lines, stride, slots: slots as u64, taken: Count(AtomicU64::new(0)) })
    }

    fn slot(&self, number: u64) -> (&AtomicU64, *mut u8) {
        let at = (number % self.slots) as usize * self.stride;
        let start = self.lines[at..at + self.stride].as_ptr().cast_mut().cast::<u8>();
        // SAFETY: the first eight octets of a slot are only used as its turn,
        // aligned to 64; the octets behind them are in the same allocation.
        unsafe { (&*start.cast::<AtomicU64>(), start.add(8)) }
    }

    const fn room(&self) -> usize {
        self.stride * 64 - 8
    }
}

impl Bare {
    pub(crate) fn pair(size: usize) -> [Self; 2] {
        let (a, b) = (Lane::new(size), Lane::new(size));
        let end = |outgoing: &Arc<Lane>, incoming: &Arc<Lane>| Self {
            outgoing: outgoing.clone(),
            incoming: incoming.clone(),
            sent: 0,
            received: 0,
            taken: 0,
        };
        [end(&a, &b), end(&b, &a)]
    }
}

impl End for Bare {
    #[inline]
    fn send(&mut self, octets: &[u8]) {
        while self.sent - self.taken >= self.outgoing.slots {
            self.taken = self.outgoing.taken.0.load(Ordering::Acquire);
            std::hint::spin_loop();
        }
        assert!(octets.len() <= self.outgoing.room());
        let (turn, place) = self.outgoing.slot(self.sent);
        self.sent += 1;
        // SAFETY: see `Lane`; there is room.
        unsafe { std::ptr::copy_nonoverlapping(octets.as_ptr(), place, octets.len()) }
        turn.store(self.sent, Ordering::Release);
    }

    #[inline]
    fn receive(&mut self, octets: &mut [u8]) {
        assert!(octets.len() <= self.incoming.room());
        let (turn, place) = self.incoming.slot(self.received);
        self.received += 1;
        while turn.load(Ordering::Acquire) != self.received {
            std::hint::spin_loop();
        }
        // SAFETY: see `Lane`; a slot is so long.
        unsafe { std::ptr::copy_nonoverlapping(place, octets.as_mut_ptr(), octets.len()) }
        // A quarter of the ring at a time, so that the line does not wander for each.
        if self.received.is_multiple_of((self.incoming.slots / 4).max(1)) {
            self.incoming.taken.0.store(self.received, Ordering::Release);
        }
    }
}
