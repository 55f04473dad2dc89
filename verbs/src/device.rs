use smolsmc_wire::{Gid, Mac, MtuCode};

/// What a device can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceAttributes {
    /// Ports, numbered from 1.
    pub ports: u8,
    /// Queue pairs at most.
    pub max_qp: u32,
    /// Requests at most in each queue of a queue pair.
    pub max_qp_wr: u32,
    /// Scatter/gather elements at most in a request.
    pub max_sge: u32,
    /// Completion queue entries at most.
    pub max_cqe: u32,
    /// Registrations at most.
    pub max_mr: u32,
    /// Octets of inline data at most.
    pub max_inline_data: u32,
    /// Completion vectors.
    pub completion_vectors: u32,
    /// Whether [`Provider::write_now`](crate::Provider::write_now) is worth a try.
    pub writes_now: bool,
}

impl DeviceAttributes {
    /// A device with `ports` ports and nothing else; fill in what it can do.
    #[must_use]
    pub const fn new(ports: u8) -> Self {
        Self {
            ports,
            max_qp: 0,
            max_qp_wr: 0,
            max_sge: 0,
            max_cqe: 0,
            max_mr: 0,
            max_inline_data: 0,
            completion_vectors: 1,
            writes_now: false,
        }
    }
}

/// Whether a port carries traffic (IBTA §14.2.5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortState {
    /// No.
    Down,
    /// Yes.
    Active,
}

/// A port as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PortAttributes {
    /// Whether it carries traffic.
    pub state: PortState,
    /// The largest path MTU it can take now.
    pub active_mtu: MtuCode,
    /// Its Ethernet address; zero on `InfiniBand`.
    pub mac: Mac,
    /// Entries in its GID table, used or not.
    pub gid_table_len: u16,
}

impl PortAttributes {
    /// A port.
    #[must_use]
    pub const fn new(state: PortState, active_mtu: MtuCode, mac: Mac, gid_table_len: u16) -> Self {
        Self { state, active_mtu, mac, gid_table_len }
    }
}

/// How packets with this GID travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GidKind {
    /// On `InfiniBand` (IBTA §8.3).
    InfiniBand,
    /// In Ethernet frames of their own type (IBTA Annex A16). SMC-Rv1.
    RoCEv1,
    /// In UDP (IBTA Annex A17). SMC-Rv2.
    RoCEv2,
}

/// One entry of a GID table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GidEntry {
    /// The GID.
    pub gid: Gid,
    /// How packets with it travel.
    pub kind: GidKind,
    /// The VLAN its network device is on, `None` for untagged.
    pub vlan: Option<u16>,
}
