//! From the Ethernet header to the room that knows the rest.

use std::net::IpAddr;

use smolsmc_roce::packet::{
    EtherType, EthernetHeader, IpProtocol, Ipv4Header, Ipv6Header, PartialPacket, ROCE_UDP_PORT, UdpHeader,
};

use crate::capture::Frame;
use crate::connection::Connections;
use crate::describe_packet::{ethernet_fields, ipv4_fields, ipv6_fields, udp_fields};
use crate::group::Groups;
use crate::report::{FrameReport, Kind};
use crate::summary::Summary;
use crate::{rdma, tcp};

/// Explains frames one after the other and remembers what they set up: TCP
/// connections, link groups, links, queue pairs, tokens and RMBs.
///
/// Memory is bounded by [`crate::MAX_TRACKED`] connections, groups and queue
/// pairs, whatever the frames say.
#[derive(Debug, Default)]
pub struct Dissector {
    first_time_ns: Option<u64>,
    connections: Connections,
    groups: Groups,
    frames: u64,
    violations: u64,
    unknown: u64,
    cut: u64,
}

/// An IP packet below its own header.
struct Inner<'a> {
    src: IpAddr,
    dst: IpAddr,
    protocol: IpProtocol,
    /// What was captured of the transport header and payload.
    octets: &'a [u8],
    /// How long that was on the wire.
    len: usize,
    /// Not the first fragment, or not all of it.
    fragment: bool,
}

impl Dissector {
    /// Nothing seen yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Explains the next frame.
    pub fn frame(&mut self, frame: &Frame<'_>) -> FrameReport {
        let first = *self.first_time_ns.get_or_insert(frame.time_ns);
        let cut = frame.octets.len() < frame.original_len;
        let time = frame.time_ns.saturating_sub(first);
        let mut report = FrameReport::new(frame.number, time, frame.original_len, cut);
        self.ethernet(&mut report, frame);
        self.frames += 1;
        self.cut += u64::from(cut);
        self.violations += u64::from(report.kind() == Kind::Violation);
        self.unknown += u64::from(report.kind() == Kind::Unknown);
        report
    }

    /// What was seen so far, per connection and per link group.
    pub fn summary(&self) -> Summary {
        let mut summary = Summary::new(&self.connections, &self.groups);
        summary.frames = self.frames;
        summary.violations = self.violations;
        summary.unknown = self.unknown;
        summary.cut = self.cut;
        summary
    }

    fn ethernet(&mut self, report: &mut FrameReport, frame: &Frame<'_>) {
        let header = match EthernetHeader::parse(frame.octets) {
            Ok(header) => header,
            Err(error) => {
                report.protocol = if report.cut { Kind::Ethernet } else { Kind::Unknown };
                report.say(&error.to_string());
                return;
            }
        };
        report.layers.insert("ethernet".to_owned(), ethernet_fields(&header).into());
        report.route = format!("{} > {}", header.src, header.dst);
        let packet = frame.octets.get(header.wire_len()..).unwrap_or_default();
        match header.ethertype {
            EtherType::IPV4 | EtherType::IPV6 => self.ip(report, frame, header.ethertype, packet),
            EtherType::ARP => {
                report.protocol = Kind::Arp;
                let arp = smoltcp::wire::ArpPacket::new_checked(packet);
                match arp.and_then(|arp| smoltcp::wire::ArpRepr::parse(&arp)) {
                    Ok(arp) => report.say(&arp.to_string()),
                    Err(_) => report.say("ARP of an unusual kind"),
                }
            }
            other => report.say(&format!("Ethernet type {:#06x}", other.0)),
        }
    }

    fn ip(&mut self, report: &mut FrameReport, frame: &Frame<'_>, ethertype: EtherType, packet: &[u8]) {
        let room = frame.original_len.saturating_sub(frame.octets.len() - packet.len());
        let inner = match ethertype {
            EtherType::IPV4 => ipv4(report, packet, room),
            _ => ipv6(report, packet, room),
        };
        let Some(inner) = inner else { return };
        report.route = format!("{} > {}", inner.src, inner.dst);
        report.protocol = Kind::Ip;
        match inner.protocol {
            _ if inner.fragment => report.say("IP fragment"),
            IpProtocol::TCP => {
                let addresses = (inner.src, inner.dst);
                let (groups, connections) = (&mut self.groups, &mut self.connections);
                tcp::tcp(report, addresses, inner.octets, inner.len, groups, connections);
            }
            IpProtocol::UDP => self.udp(report, frame, &inner),
            IpProtocol::ICMP | IpProtocol::ICMPV6 => {
                report.protocol = Kind::Icmp;
                let kind = inner.octets.first().copied().unwrap_or(0);
                report.say(&format!("ICMP type {kind}, {} octets", inner.len));
            }
            IpProtocol(other) => report.say(&format!("IP protocol {other}")),
        }
    }

    fn udp(&mut self, report: &mut FrameReport, frame: &Frame<'_>, inner: &Inner<'_>) {
        let Ok(header) = UdpHeader::parse(inner.octets) else {
            report.protocol = if report.cut { Kind::Udp } else { Kind::Unknown };
            report.say("UDP header incomplete");
            return;
        };
        report.layers.insert("udp".to_owned(), udp_fields(&header).into());
        report.protocol = Kind::Udp;
        if header.dst_port != ROCE_UDP_PORT {
            report.say(&format!("UDP {} > {}, {} octets", header.src_port, header.dst_port, header.len));
            return;
        }
        match PartialPacket::parse(frame.octets, frame.original_len) {
            Ok(Some(packet)) => rdma::roce(report, &packet, &mut self.groups, &mut self.connections),
            Ok(None) => report.say("UDP 4791, but not RoCE"),
            Err(error) => {
                report.protocol = Kind::Roce;
                report.violations.push(error.to_string());
            }
        }
    }
}

fn ipv4<'a>(report: &mut FrameReport, packet: &'a [u8], room: usize) -> Option<Inner<'a>> {
    let (header, header_len) = match Ipv4Header::read(packet) {
        Ok(read) => read,
        Err(error) => return damaged(report, &error.to_string()),
    };
    report.layers.insert("ip".to_owned(), ipv4_fields(&header).into());
    if packet.len() >= header_len && Ipv4Header::parse(packet).is_err() {
        report.facts.push("IPv4 header checksum wrong".to_owned());
    }
    let octets = packet.get(header_len..).unwrap_or_default();
    let len = usize::from(header.total_len).min(room).saturating_sub(header_len);
    Some(Inner {
        src: header.src.into(),
        dst: header.dst.into(),
        protocol: header.protocol,
        octets: octets.get(..len.min(octets.len())).unwrap_or_default(),
        len,
        fragment: header.is_fragment(),
    })
}

fn ipv6<'a>(report: &mut FrameReport, packet: &'a [u8], room: usize) -> Option<Inner<'a>> {
    let header = match Ipv6Header::parse(packet) {
        Ok(header) => header,
        Err(error) => return damaged(report, &error.to_string()),
    };
    report.layers.insert("ip".to_owned(), ipv6_fields(&header).into());
    let octets = packet.get(Ipv6Header::LEN..).unwrap_or_default();
    let len = usize::from(header.payload_len).min(room.saturating_sub(Ipv6Header::LEN));
    Some(Inner {
        src: header.src.into(),
        dst: header.dst.into(),
        protocol: header.next_header,
        octets: octets.get(..len.min(octets.len())).unwrap_or_default(),
        len,
        fragment: false,
    })
}

fn damaged<'a>(report: &mut FrameReport, error: &str) -> Option<Inner<'a>> {
    report.protocol = if report.cut { Kind::Ip } else { Kind::Unknown };
    report.say(error);
    None
}
