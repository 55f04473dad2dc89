use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use smoltcp::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp::time::Instant;

use crate::{HEADER_LEN, VLAN_LEN};

/// Frames that are under way in one direction of a [`Wire`] at most.
pub const WIRE_FRAMES: usize = 256;

/// One of these is kept for an answer, so that what [`Device::transmit`] lets
/// through cannot take the place of every acknowledgement.
const RESERVED: usize = 1;

/// Makes a cable: two devices in one process, each receiving what the other
/// sends, in order. `mtu` is in octets of IP.
///
/// Everything is allocated here; a frame costs two copies. While [`WIRE_FRAMES`]
/// are under way nothing may be transmitted. The ends may be used by different
/// threads.
///
/// ```
/// use smoltcp::phy::{Device, RxToken, TxToken};
/// use smoltcp::time::Instant;
///
/// let (mut left, mut right) = smolsmc_ethernet::pair(1500);
/// left.transmit(Instant::ZERO).unwrap().consume(60, |frame| frame.fill(7));
/// let (frame, _reply) = right.receive(Instant::ZERO).unwrap();
/// frame.consume(|octets| assert_eq!(octets, [7; 60]));
/// ```
#[must_use]
pub fn pair(mtu: u16) -> (Wire, Wire) {
    let frame_len = HEADER_LEN + VLAN_LEN + usize::from(mtu);
    let there = Arc::new(Mutex::new(Lane::new(frame_len)));
    let back = Arc::new(Mutex::new(Lane::new(frame_len)));
    let end = |incoming: &Arc<_>, outgoing: &Arc<_>| Wire {
        incoming: Arc::clone(incoming),
        taken: vec![0; frame_len].into(),
        sender: Sender { outgoing: Arc::clone(outgoing), made: vec![0; frame_len].into() },
        mtu,
    };
    (end(&back, &there), end(&there, &back))
}

/// One end of a cable that [`pair`] made.
#[derive(Debug)]
pub struct Wire {
    incoming: Arc<Mutex<Lane>>,
    /// The frame that was received last. Its token must not hold the lane: an
    /// answer locks the other, and two threads would wait for each other.
    taken: Box<[u8]>,
    sender: Sender,
    mtu: u16,
}

#[derive(Debug)]
struct Sender {
    outgoing: Arc<Mutex<Lane>>,
    made: Box<[u8]>,
}

/// Which frames a [`Wire`] loses: the same ones for the same seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Of 1000 frames so many are lost, on average.
    pub per_mille: u16,
    /// Where the choice begins.
    pub seed: u64,
}

/// One direction: a ring of frames.
#[derive(Debug)]
struct Lane {
    octets: Box<[u8]>,
    lens: [usize; WIRE_FRAMES],
    frame_len: usize,
    first: usize,
    count: usize,
    loss: Loss,
    lost: u64,
}

impl Wire {
    /// From now on, loses frames that this end sends.
    pub fn set_loss(&mut self, loss: Loss) {
        lock(&self.sender.outgoing).loss = loss;
    }

    /// Frames this end sent that were lost: by [`Wire::set_loss`], for want of
    /// room, or because they are longer than the MTU allows.
    #[must_use]
    pub fn lost(&self) -> u64 {
        lock(&self.sender.outgoing).lost
    }

    /// Whether a frame is there to be received.
    #[must_use]
    pub fn has_frames(&self) -> bool {
        lock(&self.incoming).count > 0
    }
}

impl Lane {
    fn new(frame_len: usize) -> Self {
        Self {
            octets: vec![0; WIRE_FRAMES * frame_len].into(),
            lens: [0; WIRE_FRAMES],
            frame_len,
            first: 0,
            count: 0,
            loss: Loss::default(),
            lost: 0,
        }
    }

    fn slot(&mut self, index: usize) -> (&mut [u8], &mut usize) {
        let index = index % WIRE_FRAMES;
        let from = index * self.frame_len;
        let octets = self.octets.get_mut(from..from + self.frame_len).unwrap_or_default();
        (octets, &mut self.lens[index])
    }

    fn put(&mut self, frame: &[u8]) {
        if self.count == WIRE_FRAMES || frame.len() > self.frame_len || self.loss.strikes() {
            self.lost += 1;
            return;
        }
        let (octets, len) = self.slot(self.first + self.count);
        *len = frame.len();
        if let Some(room) = octets.get_mut(..frame.len()) {
            room.copy_from_slice(frame);
        }
        self.count += 1;
    }

    /// Copies the oldest frame; how long it is.
    fn take(&mut self, into: &mut [u8]) -> Option<usize> {
        if self.count == 0 {
            return None;
        }
        let (octets, len) = self.slot(self.first);
        let len = *len;
        into.get_mut(..len)?.copy_from_slice(octets.get(..len)?);
        self.first = (self.first + 1) % WIRE_FRAMES;
        self.count -= 1;
        Some(len)
    }
}

impl Loss {
    /// Whether the next frame is lost. The numbers are those of `SplitMix64`.
    fn strikes(&mut self) -> bool {
        if self.per_mille == 0 {
            return false;
        }
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.seed;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (number ^ (number >> 31)) % 1000 < u64::from(self.per_mille)
    }
}

/// A thread that panicked elsewhere leaves a lane that is still a ring of frames.
fn lock(lane: &Mutex<Lane>) -> MutexGuard<'_, Lane> {
    lane.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Device for Wire {
    type RxToken<'a> = WireRxToken<'a>;
    type TxToken<'a> = WireTxToken<'a>;

    fn receive(&mut self, _timestamp: Instant) -> Option<(WireRxToken<'_>, WireTxToken<'_>)> {
        let len = lock(&self.incoming).take(&mut self.taken)?;
        Some((WireRxToken(self.taken.get(..len)?), WireTxToken(&mut self.sender)))
    }

    fn transmit(&mut self, _timestamp: Instant) -> Option<WireTxToken<'_>> {
        let has_room = lock(&self.sender.outgoing).count < WIRE_FRAMES - RESERVED;
        has_room.then_some(WireTxToken(&mut self.sender))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = HEADER_LEN + usize::from(self.mtu);
        capabilities
    }
}

/// A frame that a [`Wire`] received.
#[derive(Debug)]
pub struct WireRxToken<'a>(&'a [u8]);

impl phy::RxToken for WireRxToken<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

/// Leave to send a frame through a [`Wire`].
#[derive(Debug)]
pub struct WireTxToken<'a>(&'a mut Sender);

impl phy::TxToken for WireTxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let Sender { outgoing, made } = self.0;
        let Some(frame) = made.get_mut(..len) else {
            lock(outgoing).lost += 1;
            return f(&mut vec![0; len]);
        };
        frame.fill(0);
        let result = f(frame);
        lock(outgoing).put(frame);
        result
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
