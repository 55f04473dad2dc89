//! How packets of a queue pair look on the wire: everything that is the same
//! in all of them, made once.

use smolsmc_verbs::{AddressVector, GidEntry};
use smolsmc_wire::{Gid, Mac, Psn, Qpn};

use crate::packet::{
    Bth, Ext, FrameHeaders, FrameTemplate, IpPath, Opcode, OpenFrame, PacketFields, VlanTag, source_port,
};

/// A queue pair's way to its peer.
#[derive(Debug)]
pub(super) struct Path {
    template: FrameTemplate,
    pub(super) local: Gid,
    pub(super) remote: Gid,
    pub(super) vlan: Option<u16>,
    /// Octets of a packet's payload at most.
    pub(super) mtu: u32,
}

/// A packet that could be sent now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) opcode: Opcode,
    pub(super) ext: Ext,
    pub(super) psn: Psn,
    pub(super) payload_len: usize,
    pub(super) ack_request: bool,
    pub(super) solicited: bool,
}

/// What became of an attempt to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Emitted {
    /// A frame of so many octets.
    Frame(usize),
    /// The caller's buffer is too short; nothing happened.
    TooShort,
    /// The request failed here; there is something else to send, or nothing.
    Failed,
}

impl Path {
    /// The way from one of our GIDs to a peer's. `None` if one is IPv4 and the
    /// other IPv6.
    pub(super) fn new(source: (Mac, GidEntry, Qpn), to: &AddressVector, peer: Qpn, mtu: u32) -> Option<Self> {
        let (mac, local, own) = source;
        let ip = match (local.gid.ipv4(), to.destination_gid.ipv4()) {
            (Some(src), Some(dst)) => IpPath::V4 {
                src: src.into(),
                dst: dst.into(),
                tos: to.traffic_class,
                ttl: to.hop_limit,
                identification: 0,
            },
            (None, None) => IpPath::V6 {
                src: local.gid.0.into(),
                dst: to.destination_gid.0.into(),
                traffic_class: to.traffic_class,
                flow_label: to.flow_label,
                hop_limit: to.hop_limit,
            },
            _ => return None,
        };
        let priority = u16::from(to.service_level & 7) << 13;
        let headers = FrameHeaders {
            dst: to.destination_mac,
            src: mac,
            vlan: local.vlan.map(|vid| VlanTag(priority | vid)),
            ip,
            src_port: source_port(own, peer),
            bth: Bth::new(Opcode::ACK, peer, Psn::new(0)),
            ext: Ext::None,
        };
        let template = FrameTemplate::new(&headers);
        Some(Self { template, local: local.gid, remote: to.destination_gid, vlan: local.vlan, mtu })
    }

    /// Octets of the frame of a planned packet.
    #[inline]
    pub(super) fn frame_len(&self, plan: &Plan) -> usize {
        self.template.frame_len(&plan.ext, plan.payload_len)
    }

    /// Writes the headers of a planned packet. `None` if `out` is too short.
    #[inline]
    pub(super) fn open<'a>(
        &self,
        plan: &Plan,
        identification: u16,
        out: &'a mut [u8],
    ) -> Option<OpenFrame<'a>> {
        let Plan { opcode, ext, psn, ack_request, solicited, .. } = *plan;
        let fields = PacketFields { opcode, psn, ack_request, solicited, identification, ext };
        self.template.open(&fields, plan.payload_len, out).ok()
    }
}
