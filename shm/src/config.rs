//! What a NIC is made of, and every limit it has.

use smolsmc_verbs::GidEntry;
use smolsmc_wire::{Duration, Mac};

use crate::error::ConfigError;
use crate::layout::Layout;
use crate::sync::ring::len_for;

/// Queue pairs a NIC can be made for: leaves a QPN four random bits.
pub const MAX_QP: u32 = 1 << 16;
/// Registrations a NIC can be made for: leaves an rkey eight random bits.
pub const MAX_MR: u32 = 1 << 20;
/// Places a table of other objects can have.
pub const MAX_OBJECTS: u32 = 1 << 20;
/// Octets of memory a NIC can be made for.
pub const MAX_MEMORY: u64 = 1 << 40;
/// Requests a queue can be made for: their count must fit 16 bits with a sign.
pub const MAX_WR: u32 = 1 << 14;
/// Scatter/gather elements a request can be made for.
pub const MAX_SGE: u32 = 64;
/// Octets of inline data a request can be made for.
pub const MAX_INLINE: u32 = 4096;
/// Completions a queue can be made for.
pub const MAX_CQE: u32 = 1 << 22;
/// RDMA READs that can be in progress on one queue pair, each way.
pub const MAX_RD_ATOMIC: u8 = 16;
/// GIDs of a port.
pub const MAX_GIDS: usize = 16;
/// Slots a ring can have.
pub const MAX_SLOTS: u32 = 1 << 16;
/// The largest Ethernet MTU.
pub const MAX_MTU: u16 = 9000;
/// Octets of a message (IBTA §9.7.6: 2^31).
pub const MAX_MESSAGE: u64 = 1 << 31;
/// Devices of a NIC, each a wire of its own.
pub const MAX_DEVICES: usize = 64;

/// Everything a NIC is made from, but its wires.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where QPNs, keys and addresses come from: 32 octets of the system's
    /// randomness, except in tests.
    pub entropy: [u8; 32],
    /// How much there can be of everything.
    pub limits: Limits,
    /// How long a peer that lives may leave what was sent to it where it is,
    /// before its silence counts as an answer. Zero waits for ever.
    pub patience: Duration,
    /// How long to wait for a peer to leave memory whose registration ends. It
    /// is there for the length of one copy of at most 64 KiB, unless its
    /// process is not running just then.
    pub withdrawal: Duration,
}

impl Config {
    /// The usual limits.
    #[must_use]
    pub const fn new(entropy: [u8; 32]) -> Self {
        Self {
            entropy,
            limits: Limits::USUAL,
            patience: Duration::from_secs(10),
            withdrawal: Duration::from_secs(1),
        }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        self.limits.check()
    }
}

/// How much there can be of everything. Shared memory is taken from the system
/// page by page as it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Protection domains.
    pub max_pd: u32,
    /// Queue pairs, a power of two, at most [`MAX_QP`].
    pub max_qp: u32,
    /// Completion queues.
    pub max_cq: u32,
    /// Registrations, a power of two, at most [`MAX_MR`].
    pub max_mr: u32,
    /// Pieces of memory.
    pub max_memories: u32,
    /// Octets of [`Incoming`](smolsmc_verbs::MemoryUse::Incoming) memory, which
    /// the peers share.
    pub incoming_octets: u64,
    /// Octets of [`Outgoing`](smolsmc_verbs::MemoryUse::Outgoing) memory, which
    /// nobody else sees.
    pub outgoing_octets: u64,
    /// Requests in each queue of a queue pair, at most [`MAX_WR`].
    pub max_wr: u32,
    /// Scatter/gather elements of a request, at most [`MAX_SGE`].
    pub max_sge: u32,
    /// Octets of inline data, at most [`MAX_INLINE`].
    pub max_inline: u32,
    /// Entries of a completion queue, at most [`MAX_CQE`].
    pub max_cqe: u32,
    /// Slots of 64 octets in the ring of messages, a power of two, at least 16,
    /// at most [`MAX_SLOTS`]. A SEND of up to 44 octets takes one.
    pub message_slots: u32,
    /// Slots of 64 octets in the ring of Ethernet frames, a power of two. An
    /// Ethernet frame of full size must fit.
    pub frame_slots: u32,
}

impl Limits {
    /// Enough for hundreds of SMC-R links.
    pub const USUAL: Self = Self {
        max_pd: 4096,
        max_qp: 1024,
        max_cq: 1024,
        max_mr: 16_384,
        max_memories: 16_384,
        incoming_octets: 1 << 30,
        outgoing_octets: 1 << 30,
        max_wr: MAX_WR,
        max_sge: 16,
        max_inline: 1024,
        max_cqe: 1 << 16,
        message_slots: 1024,
        frame_slots: 2048,
    };

    fn check(&self) -> Result<(), ConfigError> {
        in_range("max_pd", self.max_pd.into(), 1, MAX_OBJECTS.into())?;
        in_range("max_qp", self.max_qp.into(), 1, MAX_QP.into())?;
        in_range("max_cq", self.max_cq.into(), 1, MAX_OBJECTS.into())?;
        in_range("max_mr", self.max_mr.into(), 1, MAX_MR.into())?;
        in_range("max_memories", self.max_memories.into(), 1, MAX_OBJECTS.into())?;
        in_range("incoming_octets", self.incoming_octets, 4096, MAX_MEMORY)?;
        in_range("outgoing_octets", self.outgoing_octets, 0, MAX_MEMORY)?;
        in_range("max_wr", self.max_wr.into(), 1, MAX_WR.into())?;
        in_range("max_sge", self.max_sge.into(), 1, MAX_SGE.into())?;
        in_range("max_inline", self.max_inline.into(), 0, MAX_INLINE.into())?;
        in_range("max_cqe", self.max_cqe.into(), 1, MAX_CQE.into())?;
        self.layout().check()
    }

    pub(crate) const fn layout(&self) -> Layout {
        let Self { message_slots, frame_slots, max_qp, max_mr, .. } = *self;
        Layout { message_slots, frame_slots, qps: max_qp, mrs: max_mr }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::USUAL
    }
}

impl Layout {
    /// Whether these numbers can be: ours, or those a peer says.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        in_range("message_slots", self.message_slots.into(), 16, MAX_SLOTS.into())?;
        in_range("frame_slots", self.frame_slots.into(), 16, MAX_SLOTS.into())?;
        in_range("max_qp", self.qps.into(), 1, MAX_QP.into())?;
        in_range("max_mr", self.mrs.into(), 1, MAX_MR.into())?;
        let powers = [
            ("message_slots", self.message_slots),
            ("frame_slots", self.frame_slots),
            ("max_qp", self.qps),
            ("max_mr", self.mrs),
        ];
        match powers.into_iter().find(|(_, value)| !value.is_power_of_two()) {
            Some((what, _)) => Err(ConfigError::PowerOfTwo(what)),
            None => Ok(()),
        }
    }
}

fn in_range(what: &'static str, value: u64, least: u64, most: u64) -> Result<(), ConfigError> {
    if (least..=most).contains(&value) { Ok(()) } else { Err(ConfigError::Limit { what, least, most }) }
}

/// One wire's end: a device with one port.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PortConfig {
    /// Its Ethernet address.
    pub mac: Mac,
    /// Octets of IP in an Ethernet frame.
    pub ethernet_mtu: u16,
    /// Its GIDs, of whatever kinds the stack above asks for: nothing of a GID
    /// shows on this wire.
    pub gids: Vec<GidEntry>,
}

impl PortConfig {
    /// A port with one GID.
    #[must_use]
    pub fn new(mac: Mac, gid: GidEntry) -> Self {
        Self { mac, ethernet_mtu: MAX_MTU, gids: vec![gid] }
    }

    pub(crate) fn check(&self, layout: &Layout) -> Result<(), ConfigError> {
        if !(1..=MAX_GIDS).contains(&self.gids.len()) {
            return Err(ConfigError::Gids(self.gids.len()));
        }
        if self.gids.iter().any(|entry| entry.gid.is_zero()) {
            return Err(ConfigError::ZeroGid);
        }
        in_range("ethernet_mtu", self.ethernet_mtu.into(), 576, MAX_MTU.into())?;
        let least = frame_len(self.ethernet_mtu) as u64;
        let most = len_for(layout.frame_slots) as u64;
        if least > most {
            return Err(ConfigError::Limit { what: "octets of a frame", least, most });
        }
        Ok(())
    }
}

/// The longest frame of a port: header, one VLAN tag, payload.
pub(crate) const fn frame_len(ethernet_mtu: u16) -> usize {
    14 + 4 + ethernet_mtu as usize
}
