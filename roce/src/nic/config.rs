//! What a NIC is made of, and every limit it has.

use alloc::vec::Vec;

use smolsmc_verbs::{GidEntry, GidKind, PortState};
use smolsmc_wire::{Mac, MtuCode};

use super::entropy::KeySpace;

/// Queue pairs a NIC can be made for: leaves a QPN four random bits beside
/// place and shard.
pub const MAX_QP: u32 = 1 << 16;
/// Registrations a NIC can be made for: leaves an rkey eight random bits.
pub const MAX_MR: u32 = 1 << 20;
/// Shard bits at most.
pub const MAX_SHARD_BITS: u8 = 4;
/// Places a table of other objects can have.
pub const MAX_OBJECTS: u32 = 1 << 20;
/// Octets of memory a NIC can be made for: well below what can be allocated at all.
pub const MAX_MEMORY: usize = usize::MAX / 4;
/// Requests a queue can be made for.
pub const MAX_WR: u32 = 1 << 20;
/// Scatter/gather elements a request can be made for.
pub const MAX_SGE: u32 = 64;
/// Octets of inline data a request can be made for.
pub const MAX_INLINE: u32 = 4096;
/// Completions a queue can be made for.
pub const MAX_CQE: u32 = 1 << 22;
/// RDMA READs that can be in progress on one queue pair, each way.
pub const MAX_RD_ATOMIC: u8 = 16;
/// Ports of a device.
pub const MAX_PORTS: usize = 8;
/// Entries of a port's GID table.
pub const MAX_GIDS: u16 = 256;
/// Unacknowledged packets: less than a quarter of the PSN circle, so that old
/// and new can never be mistaken for each other.
pub const MAX_WINDOW: u32 = 1 << 20;
/// Octets of a message (IBTA §9.7.6: 2^31).
pub const MAX_MESSAGE: u64 = 1 << 31;

/// Octets of an Ethernet payload around a RoCEv2 payload at most, as Linux 6.12
/// `rdma_rxe` reckons them.
const OVERHEAD: u16 = 80;

/// Everything a NIC is made from.
///
/// ```
/// use smolsmc_roce::nic::{Config, DeviceConfig, PortConfig};
/// use smolsmc_verbs::{GidEntry, GidKind};
/// use smolsmc_wire::{Gid, Mac};
///
/// let mut port = PortConfig::new(Mac([0x52, 0x54, 0, 0, 0, 1]), 1500);
/// port.gids.push(GidEntry { gid: Gid::from_ipv4([10, 9, 0, 1]), kind: GidKind::RoCEv2, vlan: None });
/// let mut config = Config::new([7; 32]);
/// config.devices.push(DeviceConfig::new(vec![port]));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where QPNs, keys and addresses come from. They are all that keeps a
    /// stranger out: use 32 octets of the system's randomness, except in
    /// simulations.
    pub entropy: [u8; 32],
    /// Which of several NICs on the same ports this one is.
    pub shard: Shard,
    /// The devices there are from the start. Without an event: who makes a NIC
    /// knows them.
    pub devices: Vec<DeviceConfig>,
    /// How much there can be of everything.
    pub limits: Limits,
    /// PSNs that may be unacknowledged on a queue pair; Linux 6.12 `rdma_rxe`
    /// has 128.
    pub window: u32,
    /// Whether received packets must show a right ICRC. Only measurements turn
    /// this off.
    pub verify_icrc: bool,
}

impl Config {
    /// A NIC without devices, with the usual limits.
    #[must_use]
    pub const fn new(entropy: [u8; 32]) -> Self {
        Self {
            entropy,
            shard: Shard { bits: 0, value: 0 },
            devices: Vec::new(),
            limits: Limits::USUAL,
            window: 128,
            verify_icrc: true,
        }
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let Shard { bits, value } = self.shard;
        if bits > MAX_SHARD_BITS || u32::from(value) >> bits != 0 {
            return Err(ConfigError::Shard);
        }
        // Less than two would wait for an ACK that was never asked for.
        in_range("window", self.window, 2, MAX_WINDOW)?;
        self.limits.check()
    }
}

/// The upper bits of every QPN and rkey, so that the core a frame belongs to
/// can be computed from the frame alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shard {
    /// How many, 0 to [`MAX_SHARD_BITS`].
    pub bits: u8,
    /// Their value.
    pub value: u8,
}

/// How much there can be of everything. All tables are made at once, rings and
/// memory with their objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Devices at a time.
    pub max_devices: u32,
    /// Protection domains.
    pub max_pd: u32,
    /// Queue pairs, at most [`MAX_QP`].
    pub max_qp: u32,
    /// Completion queues.
    pub max_cq: u32,
    /// Registrations, at most [`MAX_MR`].
    pub max_mr: u32,
    /// Pieces of memory.
    pub max_memories: u32,
    /// Octets of memory, all pieces together, at most [`MAX_MEMORY`].
    pub memory_octets: usize,
    /// Requests in each queue of a queue pair, at most [`MAX_WR`].
    pub max_wr: u32,
    /// Scatter/gather elements of a request, at most [`MAX_SGE`].
    pub max_sge: u32,
    /// Octets of inline data, at most [`MAX_INLINE`].
    pub max_inline: u32,
    /// Entries of a completion queue, at most [`MAX_CQE`].
    pub max_cqe: u32,
    /// Destroyed queue pairs that are remembered for [`GONE_FOR`](super::GONE_FOR), to
    /// refuse what their peers still ask; with 0 they are silent.
    pub gone_qps: u32,
}

impl Limits {
    /// Enough for some thousand SMC-R links.
    pub const USUAL: Self = Self {
        max_devices: 8,
        max_pd: 4096,
        max_qp: 4096,
        max_cq: 1024,
        max_mr: 16_384,
        max_memories: 16_384,
        memory_octets: 1 << 30,
        max_wr: 16_384,
        max_sge: 16,
        max_inline: 1024,
        max_cqe: 1 << 16,
        gone_qps: 64,
    };

    fn check(&self) -> Result<(), ConfigError> {
        in_range("max_devices", self.max_devices, 1, 256)?;
        if self.memory_octets > MAX_MEMORY {
            return Err(ConfigError::Limit { what: "memory_octets", least: 0, most: MAX_MEMORY as u64 });
        }
        in_range("max_pd", self.max_pd, 1, MAX_OBJECTS)?;
        in_range("max_qp", self.max_qp, 1, MAX_QP)?;
        in_range("max_cq", self.max_cq, 1, MAX_OBJECTS)?;
        in_range("max_mr", self.max_mr, 1, MAX_MR)?;
        in_range("max_memories", self.max_memories, 1, MAX_OBJECTS)?;
        in_range("max_wr", self.max_wr, 1, MAX_WR)?;
        in_range("max_sge", self.max_sge, 1, MAX_SGE)?;
        in_range("max_inline", self.max_inline, 0, MAX_INLINE)?;
        in_range("max_cqe", self.max_cqe, 1, MAX_CQE)?;
        in_range("gone_qps", self.gone_qps, 0, MAX_QP)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::USUAL
    }
}

fn in_range(what: &'static str, value: u32, least: u32, most: u32) -> Result<(), ConfigError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::Limit { what, least: u64::from(least), most: u64::from(most) })
}

/// A device to be made.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct DeviceConfig {
    /// Its ports; the first becomes port 1.
    pub ports: Vec<PortConfig>,
}

impl DeviceConfig {
    /// A device with these ports.
    #[must_use]
    pub const fn new(ports: Vec<PortConfig>) -> Self {
        Self { ports }
    }
}

/// A port to be made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PortConfig {
    /// Its Ethernet address.
    pub mac: Mac,
    /// Octets an Ethernet frame carries on it: 1500 makes a path MTU of 1024.
    pub ethernet_mtu: u16,
    /// Its GIDs from index 0 on, RoCEv2 only.
    pub gids: Vec<GidEntry>,
    /// Entries in its GID table, at most [`MAX_GIDS`].
    pub gid_table_len: u16,
    /// Whether it is up from the start.
    pub state: PortState,
}

impl PortConfig {
    /// A port that is up, has no GIDs yet and room for 16.
    #[must_use]
    pub const fn new(mac: Mac, ethernet_mtu: u16) -> Self {
        Self { mac, ethernet_mtu, gids: Vec::new(), gid_table_len: 16, state: PortState::Active }
    }

    pub(super) fn check(&self) -> Result<MtuCode, ConfigError> {
        in_range("gid_table_len", u32::from(self.gid_table_len), 1, u32::from(MAX_GIDS))?;
        if self.gids.len() > usize::from(self.gid_table_len) {
            return Err(ConfigError::GidTableFull);
        }
        path_mtu(self.ethernet_mtu)
    }
}

/// The largest path MTU that fits, as Linux 6.12 `rdma_rxe` chooses it.
pub(super) fn path_mtu(ethernet_mtu: u16) -> Result<MtuCode, ConfigError> {
    (1..=5)
        .rev()
        .map(MtuCode::from_code)
        .find(|code| code.octets().is_some_and(|octets| octets + OVERHEAD <= ethernet_mtu))
        .ok_or(ConfigError::EthernetMtu(ethernet_mtu))
}

pub(super) fn check_gid(entry: &GidEntry) -> Result<(), ConfigError> {
    match entry {
        GidEntry { kind, .. } if *kind != GidKind::RoCEv2 => Err(ConfigError::GidKind(*kind)),
        GidEntry { gid, .. } if gid.is_zero() => Err(ConfigError::ZeroGid),
        GidEntry { vlan: Some(vid), .. } if !(1..4095).contains(vid) => Err(ConfigError::Vlan(*vid)),
        _ => Ok(()),
    }
}

pub(super) fn key_spaces(config: &Config) -> (KeySpace, KeySpace) {
    let Config { shard, limits, .. } = config;
    (KeySpace::new(24, limits.max_qp, *shard), KeySpace::new(32, limits.max_mr, *shard))
}

/// What is wrong with a configuration, or a change of it. All our caller's
/// fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// More shard bits than can be, or a value that does not fit them.
    #[error("the shard's value does not fit its bits")]
    Shard,
    /// A limit is outside of what a NIC can be made for.
    #[error("{what} must be {least} to {most}")]
    Limit {
        /// The field.
        what: &'static str,
        /// Its smallest value.
        least: u64,
        /// Its largest.
        most: u64,
    },
    /// No device can have so many ports, or none.
    #[error("a device has 1 to {MAX_PORTS} ports, not {0}")]
    Ports(usize),
    /// Frames too short for any path MTU.
    #[error("an Ethernet MTU of {0} carries no path MTU")]
    EthernetMtu(u16),
    /// This NIC speaks RoCEv2 only.
    #[error("GIDs of kind {0:?} are not spoken here")]
    GidKind(GidKind),
    /// A GID of zeros.
    #[error("the GID is zero")]
    ZeroGid,
    /// The GID is in the table already.
    #[error("the port has this GID on this VLAN already")]
    DuplicateGid,
    /// The GID table has no free entry.
    #[error("the GID table is full")]
    GidTableFull,
    /// Not a VLAN: 1 to 4094 are.
    #[error("{0} is no VLAN")]
    Vlan(u16),
    /// No such device, port or entry.
    #[error("no such {0}")]
    NoSuch(&'static str),
    /// The most devices there can be, or too many events nobody fetched.
    #[error("no more devices: the limit is reached")]
    TooManyDevices,
}
