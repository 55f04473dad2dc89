//! A peer that keeps no rules: it greets as it must, and then writes what it
//! likes wherever it can. For tests and fuzzers.

use core::sync::atomic::Ordering;
use std::os::fd::OwnedFd;

use smolsmc_verbs::{GidEntry, GidKind};
use smolsmc_wire::{Duration, Gid, Mac};

use crate::config::{Config, PortConfig};
use crate::error::OpenError;
use crate::layout::{self, Layout, mr, qp};
use crate::map::Map;
use crate::sync::ring::SLOT_LEN;
use crate::wire::{Pending, Wire};

/// A greeting was said; the other one's is awaited.
#[derive(Debug)]
pub struct RogueOpening {
    pending: Pending,
    data: Map,
}

/// The peer.
#[derive(Debug)]
pub struct Rogue {
    wire: Wire,
    data: Map,
    message: u32,
    frame: u32,
}

/// A queue pair as a [`Rogue`] pretends it to be.
#[derive(Clone, Copy, Debug, Default)]
pub struct FalseQp {
    /// Its number, and with it its place.
    pub qpn: u32,
    /// Whom it talks to.
    pub peer_qpn: u32,
    /// PSN it awaits.
    pub psn: u32,
    /// Receives it claims to have posted.
    pub posted: u32,
    /// Requests it claims to have answered.
    pub answered: u32,
}

impl RogueOpening {
    /// Greets, with a GID and memory of `data_len` octets.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn greet(socket: impl Into<OwnedFd>, gid: Gid, data_len: usize) -> Result<Self, OpenError> {
        let (data, file) = Map::create("smolsmc-rogue", data_len, true)?;
        let port = PortConfig::new(Mac::default(), GidEntry { gid, kind: GidKind::RoCEv2, vlan: None });
        let layout = Self::layout();
        let pending = Pending::greet(socket.into(), (&file, data_len as u64), layout, &port)?;
        Ok(Self { pending, data })
    }

    fn layout() -> Layout {
        let mut limits = Config::new([0; 32]).limits;
        (limits.message_slots, limits.frame_slots, limits.max_qp, limits.max_mr) = (16, 256, 16, 16);
        limits.layout()
    }

    /// Hears the other one's greeting.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn complete(self) -> Result<Rogue, OpenError> {
        let wire = self.pending.complete(Duration::from_secs(5))?;
        Ok(Rogue { wire, data: self.data, message: 0, frame: 0 })
    }
}

impl Rogue {
    /// Words of its control memory.
    #[must_use]
    pub fn words(&self) -> usize {
        self.wire.own.len() / 4
    }

    /// Sets a word of its control memory, any of them.
    pub fn set(&self, index: usize, word: u32) {
        self.wire.own.word(index % self.words() * 4).store(word, Ordering::Release);
    }

    /// Writes into the memory its peer lent it, if it has that much.
    pub fn scribble(&self, at: usize, octets: &[u8]) {
        if self.wire.peer_data.has(at, octets.len()) {
            self.wire.peer_data.write(at, octets);
        }
    }

    /// Octets its peer lent it.
    #[must_use]
    pub fn lent(&self) -> usize {
        self.wire.peer_data.len()
    }

    /// What its peer wrote into its own memory.
    pub fn read(&self, at: usize, out: &mut [u8]) {
        if self.data.has(at, out.len()) {
            self.data.read(at, out);
        }
    }

    /// Pretends to be a queue pair.
    pub fn pretend(&self, false_qp: &FalseQp) {
        let at = self.wire.own_layout.qp(false_qp.qpn);
        let words = [
            (qp::QPN, false_qp.qpn),
            (qp::PEER_QPN, false_qp.peer_qpn),
            (qp::PSN, false_qp.psn),
            (qp::PD, 0),
            (qp::ACCESS, 7),
            (qp::POSTED, false_qp.posted),
            (qp::ANSWERED, false_qp.answered),
            (qp::STAND, 0x1_0001),
        ];
        for (place, word) in words {
            self.wire.own.word(at + place).store(word, Ordering::Release);
        }
    }

    /// Pretends that a key opens memory: that from `offset` on there are
    /// `octets` octets.
    pub fn lend(&self, rkey: u32, iova: u64, offset: u64, octets: u64) {
        let at = self.wire.own_layout.mr(rkey);
        self.wire.own.word(at + mr::PD).store(0, Ordering::Relaxed);
        self.wire.own.long(at + mr::IOVA).store(iova, Ordering::Relaxed);
        self.wire.own.long(at + mr::OFFSET).store(offset, Ordering::Relaxed);
        self.wire.own.long(at + mr::OCTETS).store(octets, Ordering::Relaxed);
        self.wire.own.word(at + mr::RKEY).store(rkey, Ordering::Release);
    }

    /// Puts a message where its peer looks for the next one: any header, and
    /// as much payload as its first slot holds. `slots` is by how much the
    /// peer will move on if it believes it.
    pub fn message(&mut self, header: [u32; 4], payload: &[u8], slots: u32) {
        let layout = self.wire.own_layout;
        put(&self.wire.own, (layout.messages(), layout.message_slots), self.message, header, payload);
        self.message = self.message.wrapping_add(slots);
    }

    /// The same in the ring of frames.
    pub fn frame(&mut self, header: [u32; 4], payload: &[u8], slots: u32) {
        let layout = self.wire.own_layout;
        put(&self.wire.own, (layout.frames(), layout.frame_slots), self.frame, header, payload);
        self.frame = self.frame.wrapping_add(slots);
    }

    /// Says that it is inside the gate, or has left it.
    pub fn stand_in_gate(&self, word: u32) {
        self.wire.own.word(layout::GATE).store(word, Ordering::Release);
    }

    /// Claims to have consumed so many slots of messages.
    pub fn consume(&self, position: u32) {
        self.wire.own.word(layout::CONSUMED).store(position, Ordering::Release);
    }

    /// How its peer's queue pair of this number stands.
    #[must_use]
    pub fn life_of(&self, qpn: u32) -> u32 {
        self.wire.peer.word(self.wire.peer_layout.qp(qpn) + qp::STAND).load(Ordering::Acquire) >> 16
    }

    /// Whether its peer's port is there.
    #[must_use]
    pub fn sees_peer(&self) -> bool {
        self.wire.peer_port() == layout::port::ACTIVE
    }

    /// Rings, as often as it likes.
    pub fn ring(&self) {
        let _ = rustix::net::send(self.wire.socket(), &[7; 64], rustix::net::SendFlags::DONTWAIT);
    }
}

fn put(map: &Map, (at, count): (usize, u32), position: u32, header: [u32; 4], payload: &[u8]) {
    let slot = at + (position & (count - 1)) as usize * SLOT_LEN;
    for (index, word) in (1..).zip(header) {
        map.word(slot + 4 * index).store(word, Ordering::Relaxed);
    }
    map.write(slot + 20, payload.get(..payload.len().min(44)).unwrap_or_default());
    map.word(slot).store(position.wrapping_add(1), Ordering::Release);
}
