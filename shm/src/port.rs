//! The wire as an Ethernet device.

use core::sync::atomic::Ordering;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use smoltcp::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp::time::Instant;

use crate::config::{MAX_MTU, frame_len};
use crate::error::WireFault;
use crate::layout;
use crate::sync::bell::wish;
use crate::sync::ring::{Consumer, Producer, slots_for};
use crate::wire::{Which, Wire, WireRing};

/// How often in a row nothing may come before the system is asked whether the
/// peer is still there.
const IDLE_LOOKS: u32 = 1024;
/// Times it is armed with no frame in between, between two looks for late rings and for
/// the peer.
const ARMS: u32 = 8;

/// A header a frame has in its ring: its length, and nothing else.
const KIND: u32 = 0x6574_6801;

/// A wire's Ethernet device. Frames are copied in and out: nothing the peer can
/// still change is ever shown.
#[derive(Debug)]
pub struct ShmPort {
    incoming: Consumer<WireRing>,
    taken: Box<[u8]>,
    sender: Sender,
    idle: u32,
    is_armed: bool,
    /// Times since then.
    arms: u32,
}

#[derive(Debug)]
struct Sender {
    wire: Arc<Wire>,
    outgoing: Producer<WireRing>,
    frame: Box<[u8]>,
    mtu: u16,
    lost: u64,
}

impl ShmPort {
    pub(crate) fn new(wire: &Arc<Wire>, mtu: u16) -> Self {
        let outgoing = Producer::new(WireRing::new(wire, Which::FramesOut));
        // The peer's frames may be longer than ours.
        let taken = vec![0; frame_len(MAX_MTU)].into();
        let frame = vec![0; frame_len(mtu)].into();
        Self {
            incoming: Consumer::new(WireRing::new(wire, Which::FramesIn)),
            taken,
            sender: Sender { wire: wire.clone(), outgoing, frame, mtu, lost: 0 },
            idle: 0,
            is_armed: false,
            arms: 0,
        }
    }

    /// Why the wire is gone, `None` while it is there.
    #[must_use]
    pub fn fault(&self) -> Option<WireFault> {
        self.sender.wire.fault()
    }

    /// Frames that were lost for want of room, or because they are longer than
    /// the MTU allows.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.sender.lost
    }

    /// Asks to be woken for the next frame: one of [`fds`](Self::fds) becomes
    /// readable. Returns whether a frame waits already, or the wire is gone;
    /// then do not sleep.
    pub fn arm(&mut self) -> bool {
        let wire = &self.sender.wire;
        // No frame was taken since the last time, and none was rung for but by a ring
        // that came late: now and then is enough for those, and for a peer that is gone,
        // which the socket tells of too. Each is a system call.
        self.arms = if self.is_armed { self.arms.wrapping_add(1) } else { 0 };
        if self.arms.is_multiple_of(ARMS) {
            wire.silence_frame_bell();
            wire.look_for_peer();
        }
        if !core::mem::replace(&mut self.is_armed, true) {
            wish(wire.own.word(layout::FRAME_WISHES), wish::MESSAGE);
        }
        self.incoming.peek().is_some() || wire.fault().is_some()
    }

    /// What to wait on for input.
    #[must_use]
    pub fn fds(&self) -> [BorrowedFd<'_>; 2] {
        [self.sender.wire.frame_bell(), self.sender.wire.socket()]
    }

    /// Takes the next frame out of the ring; how long it is.
    fn take(&mut self) -> Option<usize> {
        let wire = &self.sender.wire;
        let Some([kind, len, ..]) = self.incoming.peek() else {
            self.idle = self.idle.wrapping_add(1);
            if self.idle.is_multiple_of(IDLE_LOOKS) && wire.fault().is_none() {
                wire.look_for_peer();
            }
            return None;
        };
        self.idle = 0;
        if core::mem::take(&mut self.is_armed) {
            wire.own.word(layout::FRAME_WISHES).store(0, Ordering::Relaxed);
        }
        let len = len as usize;
        if wire.fault().is_some() {
            return None;
        }
        if kind != KIND || len > self.taken.len() || len > self.incoming.max_len() {
            wire.condemn(WireFault::Message);
            return None;
        }
        self.incoming.read(0, self.taken.get_mut(..len)?);
        self.incoming.advance(len);
        self.incoming.publish(wire.own.word(layout::FRAMES_CONSUMED));
        Some(len)
    }
}

impl Sender {
    fn send(&mut self, len: usize) {
        let wire = &self.wire;
        let consumed = wire.peer.word(layout::FRAMES_CONSUMED);
        let Some(frame) = self.frame.get(..len).filter(|_| wire.is_up()) else {
            self.lost += 1;
            return;
        };
        match self.outgoing.has_room(slots_for(len), consumed) {
            Ok(true) => {
                let mut message = self.outgoing.begin();
                message.put(frame);
                message.send([KIND, len as u32, 0, 0]);
                wire.ring_for_frames();
            }
            Ok(false) => self.lost += 1,
            Err(_) => wire.condemn(WireFault::RingIndex),
        }
    }
}

impl Device for ShmPort {
    type RxToken<'a> = ShmRxToken<'a>;
    type TxToken<'a> = ShmTxToken<'a>;

    fn receive(&mut self, _timestamp: Instant) -> Option<(ShmRxToken<'_>, ShmTxToken<'_>)> {
        let len = self.take()?;
        Some((ShmRxToken(self.taken.get(..len)?), ShmTxToken(&mut self.sender)))
    }

    fn transmit(&mut self, _timestamp: Instant) -> Option<ShmTxToken<'_>> {
        let Sender { wire, outgoing, frame, .. } = &mut self.sender;
        match outgoing.has_room(slots_for(frame.len()), wire.peer.word(layout::FRAMES_CONSUMED)) {
            Ok(true) if wire.is_up() => Some(ShmTxToken(&mut self.sender)),
            Ok(_) => None,
            Err(_) => {
                wire.condemn(WireFault::RingIndex);
                None
            }
        }
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 14 + usize::from(self.sender.mtu);
        capabilities
    }
}

/// A frame that came over a [`ShmPort`].
#[derive(Debug)]
pub struct ShmRxToken<'a>(&'a [u8]);

impl phy::RxToken for ShmRxToken<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

/// Room for a frame on a [`ShmPort`].
#[derive(Debug)]
pub struct ShmTxToken<'a>(&'a mut Sender);

impl phy::TxToken for ShmTxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut spare = Vec::new();
        let room = self.0.frame.len();
        let frame = if len <= room {
            self.0.frame.get_mut(..len).unwrap_or_default()
        } else {
            // Longer than the MTU: it is lost, but its maker needs a place to write.
            spare.resize(len, 0);
            &mut spare
        };
        let result = f(frame);
        self.0.send(len);
        result
    }
}
