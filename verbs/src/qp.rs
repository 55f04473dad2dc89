use core::fmt;

use smolsmc_wire::{Gid, Mac, MtuCode, Psn, Qpn};

use crate::{Access, CqHandle, PdHandle, PortNumber};

/// Where a queue pair is in its life (IBTA §10.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QpState {
    /// Made; nothing can be posted.
    Reset,
    /// Receives can be posted.
    Init,
    /// Ready to receive: requests are answered.
    ReadyToReceive,
    /// Ready to send: both ways.
    ReadyToSend,
    /// Dead: what is posted comes back flushed.
    Error,
}

impl fmt::Display for QpState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reset => "RESET",
            Self::Init => "INIT",
            Self::ReadyToReceive => "RTR",
            Self::ReadyToSend => "RTS",
            Self::Error => "ERR",
        })
    }
}

/// Sizes of a queue pair: asked for in [`QpInit`], granted in [`QpAttributes`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QpCapabilities {
    /// Send requests that can be outstanding.
    pub max_send_wr: u32,
    /// Receives that can be posted.
    pub max_recv_wr: u32,
    /// Elements of a send request.
    pub max_send_sge: u32,
    /// Elements of a receive.
    pub max_recv_sge: u32,
    /// Octets that can be copied when posting.
    pub max_inline_data: u32,
}

/// A reliable connected queue pair to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QpInit {
    /// Its protection domain, and with it its device.
    pub pd: PdHandle,
    /// Where its send requests complete.
    pub send_cq: CqHandle,
    /// Where its receives complete. May be the same.
    pub recv_cq: CqHandle,
    /// Sizes wanted; at least these are granted.
    pub capabilities: QpCapabilities,
}

/// A queue pair as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QpAttributes {
    /// Its number, which the peer must know.
    pub qpn: Qpn,
    /// Where it is in its life.
    pub state: QpState,
    /// Sizes granted.
    pub capabilities: QpCapabilities,
    /// Send requests not completed yet, unsignalled ones included.
    pub send_outstanding: u32,
    /// Receives posted and not used yet.
    pub recv_posted: u32,
}

/// RESET to INIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InitAttributes {
    /// The port it uses.
    pub port: PortNumber,
    /// Entry of the port's `P_Key` table; 0 is the default key 0xffff.
    pub pkey_index: u16,
    /// What the peer may do: writing, reading, each within the rights of the
    /// memory.
    pub access: Access,
}

/// How packets find the peer (IBTA §11.2.2.1, address vector).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressVector {
    /// Entry of the port's GID table that packets come from.
    pub source_gid_index: u16,
    /// The peer's GID. Packets from elsewhere are dropped.
    pub destination_gid: Gid,
    /// The peer's Ethernet address, or its gateway's. Providers that resolve
    /// it themselves ignore this.
    pub destination_mac: Mac,
    /// Flow label, 20 bits.
    pub flow_label: u32,
    /// Traffic class: DSCP and ECN.
    pub traffic_class: u8,
    /// Hop limit or TTL. SMC-R uses 1 toward a direct peer, else 64.
    pub hop_limit: u8,
    /// Service level, 4 bits; the VLAN priority on Ethernet.
    pub service_level: u8,
}

/// INIT to RTR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtrAttributes {
    /// Both sides' path MTU; must not exceed the port's.
    pub path_mtu: MtuCode,
    /// The peer's queue pair.
    pub destination_qpn: Qpn,
    /// PSN of the first packet the peer sends.
    pub rq_psn: Psn,
    /// RDMA READs of the peer that can be in progress here.
    pub max_dest_rd_atomic: u8,
    /// Code of the time a peer must wait when no receive is posted
    /// (IBTA §9.7.5.2.8, 0 to 31).
    pub min_rnr_timer: u8,
    /// How packets find the peer.
    pub path: AddressVector,
}

/// RTR to RTS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtsAttributes {
    /// Code of the time to wait for an ACK: 4.096 us * 2^code; 0 waits for ever
    /// (IBTA §9.9.2.4.2).
    pub timeout: u8,
    /// Retries after that time or a sequence NAK, 0 to 7, each of which counts.
    pub retry_count: u8,
    /// Retries after RNR NAK, 0 to 6; 7 retries for ever (IBTA §9.7.5.2.8).
    pub rnr_retry: u8,
    /// PSN of the first packet sent from here.
    pub sq_psn: Psn,
    /// RDMA READs that can be outstanding here.
    pub max_rd_atomic: u8,
}

/// A change of state (IBTA §10.3.1). RESET and ERR can be reached from every
/// state; the others only in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QpTransition {
    /// To RESET: everything posted is forgotten without a completion.
    Reset,
    /// From RESET to INIT.
    Init(InitAttributes),
    /// From INIT to RTR.
    ReadyToReceive(RtrAttributes),
    /// From RTR to RTS.
    ReadyToSend(RtsAttributes),
    /// To ERR: everything posted completes as flushed.
    Error,
}

/// What happened on a queue pair since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QpStats {
    /// Request packets sent again.
    pub retransmitted: u64,
    /// Times no ACK came in time.
    pub timeouts: u64,
    /// RNR NAKs sent: no receive was posted here.
    pub rnr_naks_sent: u64,
    /// RNR NAKs received: none was posted there.
    pub rnr_naks_received: u64,
}
