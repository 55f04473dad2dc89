use core::net::{IpAddr, SocketAddr};

use smolsmc_clc::SynKind;
use smolsmc_clc::option;
use smolsmc_wire::Mac;
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, Ipv6Packet, TcpPacket, UdpPacket,
};

/// What demultiplexing must know of a TCP segment. Checksums are smoltcp's to
/// look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) from_mac: Mac,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) kind: SynKind,
    /// It carries the SMC option.
    pub(crate) option: bool,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) has_ack: bool,
    pub(crate) fin: bool,
    pub(crate) reset: bool,
    pub(crate) payload_len: usize,
}

const ETHERNET_LEN: usize = 14;

fn ipv4_header_len(frame: &[u8]) -> Option<usize> {
    frame.get(ETHERNET_LEN).map(|octet| usize::from(octet & 0x0f) * 4)
}

/// Whether a frame is RoCEv2 by its UDP port.
pub(crate) fn is_stray_roce(frame: &[u8]) -> bool {
    const ROCE_PORT: u16 = 4791;
    let udp_port = |udp: &[u8]| UdpPacket::new_checked(udp).is_ok_and(|udp| udp.dst_port() == ROCE_PORT);
    let Ok(ethernet) = EthernetFrame::new_checked(frame) else { return false };
    match ethernet.ethertype() {
        EthernetProtocol::Ipv4 => Ipv4Packet::new_checked(ethernet.payload())
            .is_ok_and(|ip| ip.next_header() == IpProtocol::Udp && udp_port(ip.payload())),
        EthernetProtocol::Ipv6 => Ipv6Packet::new_checked(ethernet.payload())
            .is_ok_and(|ip| ip.next_header() == IpProtocol::Udp && udp_port(ip.payload())),
        _ => false,
    }
}

impl Segment {
    /// Whether the checksum is right.
    pub(crate) fn is_sound(&self, frame: &[u8]) -> bool {
        let tcp_at = if self.from.is_ipv4() { ipv4_header_len(frame) } else { Some(40) };
        let tcp = tcp_at.and_then(|len| frame.get(ETHERNET_LEN + len..));
        let end = self.tcp_len(frame);
        let tcp = tcp.zip(end).and_then(|(tcp, len)| tcp.get(..len));
        let packet = tcp.and_then(|tcp| TcpPacket::new_checked(tcp).ok());
        packet.is_some_and(|packet| packet.verify_checksum(&self.from.ip().into(), &self.to.ip().into()))
    }

    fn tcp_len(&self, frame: &[u8]) -> Option<usize> {
        let ip = frame.get(ETHERNET_LEN..)?;
        match self.from.is_ipv4() {
            true => {
                let ip = Ipv4Packet::new_checked(ip).ok()?;
                Some(ip.payload().len())
            }
            false => Some(Ipv6Packet::new_checked(ip).ok()?.payload().len()),
        }
    }

    /// Of a frame that is whole TCP over IPv4 or IPv6, not a fragment.
    pub(crate) fn of(frame: &[u8]) -> Option<Self> {
        let ethernet = EthernetFrame::new_checked(frame).ok()?;
        let (from, to, tcp) = match ethernet.ethertype() {
            EthernetProtocol::Ipv4 => {
                let ip = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
                let whole = !ip.more_frags() && ip.frag_offset() == 0 && ip.next_header() == IpProtocol::Tcp;
                if !whole {
                    return None;
                }
                (IpAddr::V4(ip.src_addr()), IpAddr::V4(ip.dst_addr()), ip.payload())
            }
            EthernetProtocol::Ipv6 => {
                let ip = Ipv6Packet::new_checked(ethernet.payload()).ok()?;
                if ip.next_header() != IpProtocol::Tcp {
                    return None;
                }
                (IpAddr::V6(ip.src_addr()), IpAddr::V6(ip.dst_addr()), ip.payload())
            }
            _ => return None,
        };
        let header = TcpPacket::new_checked(tcp).ok()?;
        let kind = SynKind::from_flags(*tcp.get(13)?);
        Some(Self {
            from_mac: Mac(ethernet.src_addr().0),
            from: SocketAddr::new(from, header.src_port()),
            to: SocketAddr::new(to, header.dst_port()),
            kind,
            option: kind != SynKind::Other && option::find(tcp).is_ok_and(|found| found.is_some()),
            seq: header.seq_number().0 as u32,
            ack: header.ack_number().0 as u32,
            has_ack: header.ack(),
            fin: header.fin(),
            reset: header.rst(),
            payload_len: header.payload().len(),
        })
    }
}
