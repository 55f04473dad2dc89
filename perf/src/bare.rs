//! A bare ring: the least that two processes must do to hand octets over. Not
//! for untrusting ones: no keys, no tables, no queues.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;

use crate::end::{End, HEADER_LEN, frame_len};
use crate::fault::{Alive, Fault};
use crate::map::Map;

/// Octets of a slot at most: longer messages travel in pieces, so that one end
/// copies in while the other copies out.
const PIECE: usize = 65_536;
/// Octets of the slots of one way.
const LANE: usize = 1 << 20;
/// Words lie so far apart that no core fetches one with another.
const APART: usize = 256;
/// Where the words end and slots begin.
const LANES: usize = 4096;
/// Where the two words of [`Bare::bounce`] lie.
const BALLS: [usize; 2] = [4 * APART, 5 * APART];

/// One way: slots, each a turn of eight octets and the octets behind it.
#[derive(Clone, Copy, Debug)]
struct Lane {
    at: usize,
    /// Where the receiver says how many it has taken.
    taken: usize,
}

/// One end of the ring.
#[derive(Debug)]
pub struct Bare {
    map: Map,
    alive: Alive,
    outgoing: Lane,
    incoming: Lane,
    /// Octets of a slot.
    stride: usize,
    slots: u64,
    sent: u64,
    received: u64,
    /// As the receiver said when last asked.
    taken: u64,
}

impl Bare {
    /// Memory for a ring, to be passed to both ends.
    ///
    /// # Errors
    /// [`Fault::System`].
    pub fn memory() -> Result<OwnedFd, Fault> {
        Map::create(LANES + 2 * LANE)
    }

    /// The end of the one who measures, or the other one, in such memory.
    ///
    /// # Errors
    /// [`Fault::System`].
    pub fn new(memory: BorrowedFd<'_>, is_near: bool, alive: &Alive) -> Result<Self, Fault> {
        let map = Map::of(memory, LANES + 2 * LANE)?;
        let lane = |n| Lane { at: LANES + n * LANE, taken: n * APART };
        let (outgoing, incoming) = if is_near { (lane(0), lane(1)) } else { (lane(1), lane(0)) };
        let mut bare = Self {
            map,
            alive: alive.clone(),
            outgoing,
            incoming,
            stride: 64,
            slots: 1,
            sent: 0,
            received: 0,
            taken: 0,
        };
        bare.shape(64);
        Ok(bare)
    }

    /// Slots for messages of `size` octets. The other end must do the same, and
    /// neither may send before both have.
    pub fn shape(&mut self, size: usize) {
        self.stride = (8 + size.min(PIECE)).next_multiple_of(64);
        self.slots = (LANE / self.stride).clamp(8, 1024) as u64;
        (self.sent, self.received, self.taken) = (0, 0, 0);
    }

    /// Empties all slots, before both ends [shape](Self::shape) theirs.
    pub fn clear(&self) {
        self.map.zero(0, LANES + 2 * LANE);
    }

    /// A word there and a word back, so often: what one cache line's way costs.
    ///
    /// # Errors
    /// [`Fault::Gone`].
    pub fn bounce(&self, is_near: bool, times: u32) -> Result<(), Fault> {
        let [there, back] = BALLS.map(|at| self.map.word(at));
        for n in 1..=u64::from(times) {
            let (own, other) = if is_near { (there, back) } else { (back, there) };
            if is_near {
                own.store(n, Ordering::Release);
            }
            self.alive.spin(|| other.load(Ordering::Acquire) == n)?;
            if !is_near {
                own.store(n, Ordering::Release);
            }
        }
        Ok(())
    }

    #[inline]
    fn place(&self, lane: Lane, number: u64) -> usize {
        lane.at + (number % self.slots) as usize * self.stride
    }

    #[inline]
    fn put(&mut self, piece: &[u8]) -> Result<(), Fault> {
        if self.sent - self.taken >= self.slots {
            let (word, taken) = (self.map.word(self.outgoing.taken), &mut self.taken);
            self.alive.spin(|| {
                *taken = word.load(Ordering::Acquire);
                self.sent - *taken < self.slots
            })?;
        }
        let at = self.place(self.outgoing, self.sent);
        self.sent += 1;
        self.map.write(at + 8, piece);
        self.map.word(at).store(self.sent, Ordering::Release);
        Ok(())
    }

    /// Waits for the next slot; where it is.
    #[inline]
    fn next(&mut self) -> Result<usize, Fault> {
        let at = self.place(self.incoming, self.received);
        self.received += 1;
        let turn = self.map.word(at);
        self.alive.spin(|| turn.load(Ordering::Acquire) == self.received)?;
        Ok(at + 8)
    }

    #[inline]
    fn release(&self) {
        // A quarter of the ring at a time, so that the line does not wander for each.
        if self.received.is_multiple_of((self.slots / 4).max(1)) {
            self.map.word(self.incoming.taken).store(self.received, Ordering::Release);
        }
    }
}

impl End for Bare {
    #[inline]
    fn send(&mut self, octets: &[u8]) -> Result<(), Fault> {
        octets.chunks(PIECE).try_for_each(|piece| self.put(piece))
    }

    #[inline]
    fn receive(&mut self, octets: &mut [u8]) -> Result<(), Fault> {
        for piece in octets.chunks_mut(PIECE) {
            let at = self.next()?;
            self.map.read(at, piece);
            self.release();
        }
        Ok(())
    }

    fn receive_frame(&mut self, frame: &mut [u8]) -> Result<usize, Fault> {
        let at = self.next()?;
        self.map.read(at, &mut frame[..HEADER_LEN]);
        let len = frame_len(frame)?;
        self.map.read(at + HEADER_LEN, &mut frame[HEADER_LEN..len]);
        self.release();
        Ok(len)
    }
}
