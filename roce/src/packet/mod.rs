//! RoCEv2 packets: each header as a value, the ICRC, and whole frames.
//!
//! ```text
//!   Ethernet | IPv4 or IPv6 | UDP 4791 | BTH | extension headers | payload | pad 0..3 | ICRC
//!   ethernet   ipv4, ipv6     udp        bth   ext (by opcode)                          icrc
//!   `------------- dissect (received frames), frame (frames to send) --------------------'
//! ```
//!
//! Everything is `Copy` and nothing allocates. IBTA Annex A17 (RoCEv2) and
//! IBTA §9 (transport layer).

mod bth;
mod dissect;
mod ethernet;
mod ext;
mod frame;
mod icrc;
mod ip;
mod ipv4;
mod ipv6;
mod opcode;
mod template;
mod udp;

pub use bth::{Bth, DEFAULT_PKEY};
pub use dissect::{PartialPacket, RocePacket};
pub use ethernet::{EtherType, EthernetHeader, VlanTag};
pub use ext::{
    Aeth, AtomicAckEth, AtomicEth, Ext, ExtKind, Ieth, ImmDt, NakCode, RNR_TIMER_MICROS, Reth, RnrTimer,
    Syndrome,
};
pub use frame::{FrameHeaders, IpPath, OpenFrame};
pub use icrc::{ICRC_LEN, icrc, icrc_of_parts};
pub use ip::{IpHeader, IpProtocol};
pub use ipv4::Ipv4Header;
pub use ipv6::Ipv6Header;
pub use opcode::{Direction, Opcode, OpcodeFacts, Operation, Position};
pub use template::{FrameTemplate, PacketFields};
pub use udp::{ROCE_UDP_PORT, UdpHeader, source_port};

#[cfg(test)]
mod tests;
