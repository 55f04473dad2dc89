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
        Some(Self {
            from_mac: Mac(ethernet.src_addr().0),
            from: SocketAddr::new(from, header.src_port()),
            to: SocketAddr::new(to, header.dst_port()),
            kind: SynKind::from_flags(*tcp.get(13)?),
            option: option::find(tcp).is_ok_and(|found| found.is_some()),
        })
    }
}
