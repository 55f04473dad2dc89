//! A device: one wire, seen from the NIC.

use core::sync::atomic::Ordering;
use std::sync::Arc;

use smolsmc_verbs::{DeviceId, GidEntry, PortAttributes, PortNumber, PortState, RdmaPort};
use smolsmc_wire::{Duration, Mac, MtuCode};

use super::memory::Mr;
use super::message::Envelope;
use crate::clock;
use crate::error::WireFault;
use crate::layout::{self, mr};
use crate::sync::bell::wish;
use crate::sync::gate;
use crate::sync::ring::{Consumer, Message, Producer, len_for, slots_for};
use crate::wire::{Which, Wire, WireRing};

/// The one port a device has.
pub(super) const PORT: PortNumber = PortNumber(1);

/// The most octets of a message that goes into the ring in one piece: well
/// below what a header can say.
const MAX_PIECE_SLOTS: u32 = 64;

/// A wire's end; it stays, as `gone`, after its device was removed.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) id: DeviceId,
    pub(super) mac: Mac,
    pub(super) gids: Vec<GidEntry>,
    pub(super) wire: Arc<Wire>,
    pub(super) outgoing: Producer<WireRing>,
    pub(super) incoming: Consumer<WireRing>,
    pub(super) gate: gate::Writer,
    pub(super) gone: bool,
    /// What was last told of the port.
    told: PortState,
    /// The peer may sleep until it hears what was answered or posted.
    pub(super) owes: bool,
    /// What we said would wake us.
    pub(super) wishes: u32,
    /// The most octets of one piece of a message.
    pub(super) max_piece: usize,
}

/// How a message was put into the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    There,
    Not,
}

impl Device {
    pub(super) fn new(id: DeviceId, mac: Mac, gids: Vec<GidEntry>, wire: Arc<Wire>) -> Self {
        let max_piece = len_for((wire.own_layout.message_slots / 4).min(MAX_PIECE_SLOTS));
        Self {
            id,
            mac,
            gids,
            outgoing: Producer::new(WireRing::new(&wire, Which::MessagesOut)),
            incoming: Consumer::new(WireRing::new(&wire, Which::MessagesIn)),
            gate: gate::Writer::default(),
            gone: false,
            told: if wire.is_up() { PortState::Active } else { PortState::Down },
            owes: false,
            wishes: 0,
            max_piece,
            wire,
        }
    }

    // ---- the port ----

    pub(super) const fn name(&self) -> RdmaPort {
        RdmaPort { device: self.id, port: PORT }
    }

    pub(super) fn port_state(&self) -> PortState {
        let is_up = !self.gone && self.wire.fault().is_none() && self.wire.is_up();
        if is_up { PortState::Active } else { PortState::Down }
    }

    /// Whether the port's state is another one than was last asked here.
    pub(super) fn port_changed(&mut self) -> bool {
        let now = self.port_state();
        core::mem::replace(&mut self.told, now) != now
    }

    pub(super) fn port(&self) -> PortAttributes {
        PortAttributes::new(self.port_state(), MtuCode::OCTETS_4096, self.mac, self.gids.len() as u16)
    }

    /// Says whether the port carries traffic.
    pub(super) fn set_port(&self, state: PortState) {
        if self.wire.fault().is_none() && !self.gone {
            let word = if state == PortState::Active { layout::port::ACTIVE } else { layout::port::DOWN };
            self.wire.own.word(layout::PORT).store(word, Ordering::Release);
        }
    }

    /// A word of our control memory.
    #[inline]
    pub(super) fn say(&self, at: usize, value: u32) {
        self.wire.own.word(at).store(value, Ordering::Release);
    }

    /// A word of the peer's control memory: any value, read once.
    #[inline]
    pub(super) fn hear(&self, at: usize) -> u32 {
        self.wire.hear(at)
    }

    // ---- messages ----

    /// Whether the ring has room for a message of `len` octets.
    #[inline]
    pub(super) fn room(&mut self, len: usize) -> Room {
        match self.outgoing.has_room(slots_for(len), self.wire.peer.word(layout::CONSUMED)) {
            Ok(true) => Room::There,
            Ok(false) => Room::Not,
            Err(_) => {
                self.wire.condemn(WireFault::RingIndex);
                Room::Not
            }
        }
    }

    /// Begins a message for which there is [`room`](Self::room).
    #[inline]
    pub(super) fn begin(&mut self) -> Message<'_, WireRing> {
        self.outgoing.begin()
    }

    /// Sends a short message, if there is room.
    pub(super) fn send(&mut self, envelope: &Envelope, octets: &[u8]) -> Room {
        let room = self.room(octets.len());
        if room == Room::There {
            let mut message = self.outgoing.begin();
            message.put(octets);
            message.send(envelope.header());
        }
        room
    }

    /// Wakes the peer if it sleeps and wants to be woken for one of `reasons`, which
    /// were published before.
    #[inline]
    pub(super) fn ring_for(&self, reasons: u32) {
        if reasons == 0 {
            return;
        }
        let waiting = || self.outgoing.waiting(self.hear(layout::CONSUMED));
        match wish::due_after(self.wire.wishes(), reasons) {
            None => {}
            Some(0) => self.wire.ring_nic(),
            Some(after) if waiting() >= after => self.wire.ring_nic(),
            Some(_) => {}
        }
    }

    // ---- what the peer may do here ----

    /// Lets the peer write to a registration that lies at `offset`.
    pub(super) fn publish_mr(&self, mr: &Mr, offset: usize) {
        let at = self.wire.own_layout.mr(mr.rkey);
        let own = &self.wire.own;
        self.say(at + mr::PD, mr.pd);
        own.long(at + mr::IOVA).store(mr.iova, Ordering::Relaxed);
        own.long(at + mr::OFFSET).store(offset as u64, Ordering::Relaxed);
        own.long(at + mr::OCTETS).store(mr.len, Ordering::Relaxed);
        self.say(at + mr::RKEY, mr.rkey);
    }

    /// Takes that right away again.
    pub(super) fn withdraw_mr(&self, rkey: u32) {
        self.say(self.wire.own_layout.mr(rkey) + mr::RKEY, 0);
    }

    /// After a right was taken away: waits until the peer is not writing any
    /// more with what it knew before, for one copy at most unless its process
    /// does not run just now. `false` if it is still inside after `patience`; then
    /// the wire is gone.
    pub(super) fn await_writer(&self, patience: Duration) -> bool {
        let gate = self.wire.peer.word(layout::GATE);
        let watch = gate::Watch::new(gate);
        let mut deadline = None;
        let mut spins = 0_u32;
        while !watch.is_clear(gate) {
            if self.wire.fault() == Some(WireFault::PeerGone) {
                return true; // it died inside
            }
            spins += 1;
            if spins.is_multiple_of(256) {
                self.wire.look_for_peer();
                let now = clock::now();
                if now >= *deadline.get_or_insert(now + patience) {
                    self.wire.condemn(WireFault::StuckInside);
                    return false;
                }
                std::thread::yield_now();
            }
            core::hint::spin_loop();
        }
        true
    }
}
