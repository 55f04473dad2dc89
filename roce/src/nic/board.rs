//! What all queue pairs of a NIC share.

use smolsmc_verbs::{Completion, GidEntry, PortAttributes, PortState, RdmaPort};
use smolsmc_wire::{Gid, Instant, Mac, MtuCode};

use alloc::vec::Vec;

use super::Counters;
use super::cq::CqTable;
use super::event::Notes;
use super::memory::MemoryTable;
use super::schedule::Schedule;
use super::slots::Slots;
use super::timers::Timers;

/// A port and whose turn it is on it.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) name: RdmaPort,
    pub(super) mac: Mac,
    pub(super) active_mtu: MtuCode,
    pub(super) state: PortState,
    pub(super) gids: Vec<Option<GidEntry>>,
    /// Entries of the GID table up to the last that is used.
    pub(super) gids_used: usize,
    pub(super) schedule: Schedule,
}

/// What all queue pairs share.
#[derive(Debug)]
pub(super) struct Board {
    /// The latest time seen.
    pub(super) now: Instant,
    pub(super) window: u32,
    pub(super) memory: MemoryTable,
    pub(super) cqs: CqTable,
    pub(super) notes: Notes,
    pub(super) timers: Timers,
    pub(super) ports: Slots<Port>,
    pub(super) counters: Counters,
    /// Of the last IPv4 packet.
    identification: u16,
}

impl Board {
    pub(super) fn new(
        window: u32,
        memory: MemoryTable,
        cqs: CqTable,
        notes: Notes,
        timers: Timers,
        ports: Slots<Port>,
    ) -> Self {
        let counters = Counters::default();
        Self { now: Instant::ZERO, window, memory, cqs, notes, timers, ports, counters, identification: 0 }
    }

    /// Time goes on, or stands still; it never goes back.
    #[inline]
    pub(super) fn tick(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// A number for the next IPv4 packet: never 0, which some senders of raw
    /// packets replace, and the ICRC covers it.
    #[inline]
    pub(super) fn next_identification(&mut self) -> u16 {
        self.identification = self.identification.checked_add(1).unwrap_or(1);
        self.identification
    }

    #[inline]
    pub(super) fn complete(&mut self, cq: u32, completion: Completion, solicited: bool) {
        self.cqs.push(cq, completion, solicited);
    }
}

impl Port {
    pub(super) fn attributes(&self) -> PortAttributes {
        PortAttributes::new(self.state, self.active_mtu, self.mac, self.gids.len() as u16)
    }

    /// Whether a GID on a VLAN is one of this port's.
    #[inline]
    pub(super) fn has_gid(&self, gid: Gid, vlan: Option<u16>) -> bool {
        let used = self.gids.get(..self.gids_used).unwrap_or_default();
        used.iter().any(|entry| matches!(entry, Some(entry) if entry.gid == gid && entry.vlan == vlan))
    }
}
