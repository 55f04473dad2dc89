//! The way of a frame from a port to a queue pair: the checks that come before
//! requester and responder part, in the order of Linux 6.12 `rdma_rxe`. What
//! falls through is counted and dropped in silence.

use smolsmc_verbs::{PortState, RdmaPort};
use smolsmc_wire::Gid;

use crate::packet::{
    Direction, EtherType, EthernetHeader, IpProtocol, Ipv4Header, Ipv6Header, OpcodeFacts, ROCE_UDP_PORT,
    RocePacket, UdpHeader, VlanTag,
};

use super::SoftNic;
use super::counters::Dropped;
use super::path::Path;
use super::qp::Qp;
use super::responder::Request;

/// Counts a drop: chooses where.
type Count = fn(&mut Dropped) -> &mut u64;

impl SoftNic {
    /// Whether the frame is for UDP port 4791 at one of the port's GIDs.
    #[inline]
    pub(super) fn is_ours(&self, port: RdmaPort, frame: &[u8]) -> bool {
        let Some(port) = self.port_slot(port).and_then(|slot| self.board.ports.get(slot)) else {
            return false;
        };
        addressee(frame)
            .is_some_and(|(ethernet, gid)| ethernet.dst == port.mac && port.has_gid(gid, vlan(ethernet.vlan)))
    }

    /// False for most frames that are not RDMA's, at little cost: plain IPv4 that
    /// is no UDP to its port. All others are looked at properly.
    #[inline]
    pub(super) fn may_be_ours(frame: &[u8]) -> bool {
        const PLAIN_IPV4: [u8; 3] = [0x08, 0x00, 0x45];
        let Some(head) = frame.first_chunk::<38>() else { return true };
        let is_plain = head[12..15] == PLAIN_IPV4;
        let to_port = u16::from_be_bytes([head[36], head[37]]);
        !is_plain || head[23] == IpProtocol::UDP.0 && to_port == ROCE_UDP_PORT
    }

    /// As [`is_ours`](Self::is_ours) and [`take_frame`](Self::take_frame), but a
    /// sound packet is parsed only once.
    #[inline]
    pub(super) fn take_if_ours(&mut self, name: RdmaPort, frame: &[u8]) -> bool {
        let Ok(Some(packet)) = RocePacket::parse(frame) else { return self.take_unsound(name, frame) };
        let Some(slot) = self.port_slot(name) else { return false };
        let Some(port) = self.board.ports.get(slot) else { return false };
        let vlan = vlan(packet.ethernet.vlan);
        if packet.ethernet.dst != port.mac || !port.has_gid(packet.ip.dst_gid(), vlan) {
            return false;
        }
        let state = port.state;
        self.count_frame(frame);
        let admitted = match state {
            PortState::Active => self.admit_packet(slot, &packet),
            PortState::Down => Err((|d| &mut d.port_down) as Count),
        };
        if let Err(count) = admitted {
            *count(&mut self.board.counters.dropped) += 1;
        }
        true
    }

    #[cold]
    fn take_unsound(&mut self, port: RdmaPort, frame: &[u8]) -> bool {
        let is_ours = self.is_ours(port, frame);
        if is_ours {
            self.take_frame(port, frame);
        }
        is_ours
    }

    #[inline]
    const fn count_frame(&mut self, frame: &[u8]) {
        self.board.counters.frames_in += 1;
        self.board.counters.octets_in += frame.len() as u64;
    }

    /// Takes a frame to the queue pair it is for.
    #[inline]
    pub(super) fn take_frame(&mut self, port: RdmaPort, frame: &[u8]) {
        self.count_frame(frame);
        if let Err(count) = self.admit(port, frame) {
            *count(&mut self.board.counters.dropped) += 1;
        }
    }

    #[inline]
    fn admit(&mut self, port: RdmaPort, frame: &[u8]) -> Result<(), Count> {
        let slot = self.port_slot(port).ok_or((|d| &mut d.no_such_port) as Count)?;
        if self.board.ports.get(slot).is_none_or(|port| port.state != PortState::Active) {
            return Err(|d| &mut d.port_down);
        }
        let packet = match RocePacket::parse(frame) {
            Ok(Some(packet)) => packet,
            Ok(None) => return Err(|d| &mut d.not_roce),
            Err(_) => return Err(|d| &mut d.malformed),
        };
        self.admit_packet(slot, &packet)
    }

    #[inline]
    fn admit_packet(&mut self, slot: u32, packet: &RocePacket<'_>) -> Result<(), Count> {
        let facts = packet.bth.opcode.facts().ok_or((|d| &mut d.unknown_opcode) as Count)?;
        let number = packet.bth.dest_qpn;
        let qp = self.qps.get_mut(self.qpns.place(number.value())).filter(|qp| qp.qpn == number);
        let Some(qp) = qp else {
            self.gone.hear(slot, packet, facts, self.board.now);
            return Err(|d| &mut d.no_such_qp);
        };
        qp.admit(slot, packet, facts)?;
        if self.verify_icrc && packet.verify_icrc().is_err() {
            return Err(|d| &mut d.wrong_icrc);
        }
        qp.counters.packets_in += 1;
        match facts.direction {
            Direction::Request => qp.take_request(&Request { packet, facts }, &mut self.board),
            Direction::Response => qp.take_response(packet, facts, &mut self.board),
        }
        Ok(())
    }
}

impl Qp {
    /// Whether a packet may speak to this queue pair.
    #[inline]
    fn admit(&self, port: u32, packet: &RocePacket<'_>, facts: OpcodeFacts) -> Result<(), Count> {
        // Below RTS there is no request a response could be to; in ERR nobody is at home.
        let listens = self.answers() && (facts.direction == Direction::Request || self.sends());
        if self.port != port || !listens {
            return Err(|d| &mut d.wrong_state);
        }
        let path = self.path.as_ref().ok_or((|d| &mut d.wrong_state) as Count)?;
        if !path.is_from_peer(packet) {
            return Err(|d| &mut d.wrong_address);
        }
        // We are a full member of the default partition: any member may speak.
        if packet.bth.pkey & 0x7fff != 0x7fff {
            return Err(|d| &mut d.wrong_pkey);
        }
        Ok(())
    }
}

impl Path {
    /// Whether a packet comes from the peer's address to our own, on our VLAN.
    #[inline]
    pub(super) fn is_from_peer(&self, packet: &RocePacket<'_>) -> bool {
        let (from, to) = (packet.ip.src_gid(), packet.ip.dst_gid());
        from == self.remote && to == self.local && vlan(packet.ethernet.vlan) == self.vlan
    }
}

/// The VLAN a tag speaks of; 0 is a priority only.
#[inline]
fn vlan(tag: Option<VlanTag>) -> Option<u16> {
    tag.map(VlanTag::vid).filter(|vid| *vid != 0)
}

/// Ethernet header and destination of a frame that carries UDP to port 4791.
#[inline]
fn addressee(frame: &[u8]) -> Option<(EthernetHeader, Gid)> {
    let ethernet = EthernetHeader::parse(frame).ok()?;
    let packet = frame.get(ethernet.wire_len()..)?;
    let (gid, datagram) = match ethernet.ethertype {
        EtherType::IPV4 => {
            let (ip, len) = Ipv4Header::read(packet).ok()?;
            // Later fragments have no port.
            if ip.protocol != IpProtocol::UDP || ip.fragment_offset != 0 {
                return None;
            }
            (Gid::from_ipv4(ip.dst.octets()), packet.get(len..)?)
        }
        EtherType::IPV6 => {
            let ip = Ipv6Header::parse(packet).ok()?;
            if ip.next_header != IpProtocol::UDP {
                return None;
            }
            (Gid(ip.dst.octets()), packet.get(Ipv6Header::LEN..)?)
        }
        _ => return None,
    };
    let udp = UdpHeader::parse(datagram).ok()?;
    (udp.dst_port == ROCE_UDP_PORT).then_some((ethernet, gid))
}
