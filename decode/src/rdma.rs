//! RoCE packets: where they belong, what they repeat, and what they carry.

use smolsmc_cdc::CdcMessage;
use smolsmc_roce::packet::{Opcode, Operation, PartialPacket, Position, Reth, Syndrome};
use smolsmc_wire::{ParseErrorKind, Psn, Rkey};

use crate::connection::Connections;
use crate::describe_link::{cdc_fields, cdc_line, hex, llc_fields, llc_line};
use crate::describe_packet::{bth_fields, ext_fields};
use crate::group::{Groups, QpAddress, Side};
use crate::report::{FrameReport, Icrc, Kind, fields};
use crate::requests::Sight;
use crate::{cdc_rules, llc_rules};

/// A congestion notification packet: RoCE, but no SMC and no request.
const CNP: Opcode = Opcode(0x81);

/// Where a packet goes: group, link, and the side that receives it.
pub(crate) type Place = (usize, usize, Side);

/// Reports the RoCE packet of a frame and learns from it.
pub(crate) fn roce(
    report: &mut FrameReport,
    packet: &PartialPacket<'_>,
    groups: &mut Groups,
    connections: &mut Connections,
) {
    report.protocol = Kind::Roce;
    check_icrc(report, packet);
    let Some(bth) = packet.bth else {
        report.say("RoCE packet, cut before the end of its BTH");
        return;
    };
    report.layers.insert("bth".to_owned(), bth_fields(&bth).into());
    if let Some(ext) = packet.ext.map(|ext| ext_fields(&ext)).filter(|fields| !fields.is_empty()) {
        report.layers.extend(ext);
    }
    let icrc = packet.icrc.map(|icrc| fields! { "octets" => hex(&icrc.to_le_bytes()) });
    report.layers.extend(icrc.map(|fields| ("icrc".to_owned(), fields.into())));
    let destination = QpAddress { gid: packet.ip.dst_gid(), qpn: bth.dest_qpn };
    let place = groups.place(destination);
    report.context.qp = Some(bth.dest_qpn.value());
    set_place(report, groups, place);
    report.say(&format!("{} qp {} psn {}", opcode_name(bth.opcode), bth.dest_qpn, bth.psn));

    let Some(facts) = bth.opcode.facts() else {
        let other_transport = bth.opcode == CNP || bth.opcode.0 >> 5 != 0;
        report.protocol = if other_transport { Kind::Roce } else { Kind::Unknown };
        return;
    };
    let bearer = Bearer { packet, destination, place, psn: bth.psn, position: facts.position };
    match facts.operation {
        Operation::Ack => ack(report, packet, groups, place),
        Operation::Send => bearer.send(report, groups, connections),
        Operation::Write => bearer.write(report, groups, connections),
        Operation::ReadRequest | Operation::ReadResponse => {
            report.protocol = Kind::RdmaRead;
            if place.is_some() && facts.operation == Operation::ReadRequest {
                bearer.sight(report, groups);
                report.violations.push("RDMA READ toward a queue pair of SMC-R".to_owned());
            }
        }
        Operation::Atomic | Operation::AtomicAck => {}
    }
}

fn opcode_name(opcode: Opcode) -> String {
    if opcode == CNP { "CNP".to_owned() } else { opcode.to_string() }
}

fn check_icrc(report: &mut FrameReport, packet: &PartialPacket<'_>) {
    report.icrc = Some(match packet.whole().map(|whole| whole.verify_icrc()) {
        None => Icrc::Unchecked,
        Some(Ok(())) => Icrc::Good,
        Some(Err(error)) => {
            report.violations.push(match error.kind {
                ParseErrorKind::Checksum { computed, got } => {
                    format!("ICRC is {got:#010x}, computed {computed:#010x}")
                }
                kind => format!("ICRC: {kind}"),
            });
            Icrc::Bad
        }
    });
}

fn set_place(report: &mut FrameReport, groups: &Groups, place: Option<Place>) {
    let Some((group, link, receiver)) = place else { return };
    let Some(known) = groups.groups.get(group) else { return };
    report.context.group = Some(known.id);
    report.context.link = Some(known.link_name(link));
    report.context.direction = Some(match receiver {
        Side::Server => "client>server",
        Side::Client => "server>client",
    });
}

fn ack(report: &mut FrameReport, packet: &PartialPacket<'_>, groups: &mut Groups, place: Option<Place>) {
    report.protocol = Kind::Ack;
    let Some(aeth) = packet.ext.and_then(|ext| ext.aeth()) else { return };
    let link = place.and_then(|(group, link, _)| groups.link_mut(group, link));
    let mut unused = Default::default();
    let counts = link.map_or(&mut unused, |link| &mut link.counts);
    match aeth.syndrome {
        Syndrome::Ack { .. } => {
            counts.acks += 1;
            report.say(&format!("msn {}", aeth.msn));
        }
        Syndrome::RnrNak { timer } => {
            counts.rnr_naks += 1;
            report.protocol = Kind::Nak;
            report.say(&format!("RNR NAK, wait {}", timer.duration()));
        }
        Syndrome::Nak { code } => {
            counts.naks += 1;
            report.protocol = Kind::Nak;
            report.say(&format!("NAK: {code}"));
        }
        Syndrome::Reserved(octet) => {
            report.protocol = Kind::Unknown;
            report.say(&format!("reserved syndrome {octet:#04x}"));
        }
    }
}

/// A request packet and where it goes.
struct Bearer<'p> {
    packet: &'p PartialPacket<'p>,
    destination: QpAddress,
    place: Option<Place>,
    psn: Psn,
    position: Position,
}

impl Bearer<'_> {
    /// Counts the packet among the requests toward its queue pair.
    fn sight(&self, report: &mut FrameReport, groups: &mut Groups) -> Sight {
        let Some(qp) = groups.qp(self.destination) else { return Sight::Next };
        let sight = qp.requests.see(self.psn, 1);
        match sight {
            Sight::Next => {}
            Sight::AfterGap(missing) => {
                report.facts.push(format!("gap: {missing} packet(s) before this one not seen"));
            }
            Sight::Late => report.facts.push("fills a gap".to_owned()),
            Sight::Repeated => report.facts.push("retransmission".to_owned()),
        }
        if sight == Sight::Repeated
            && let Some((group, link, _)) = self.place
            && let Some(link) = groups.link_mut(group, link)
        {
            link.counts.retransmissions += 1;
        }
        sight
    }

    fn send(&self, report: &mut FrameReport, groups: &mut Groups, connections: &mut Connections) {
        let sight = self.sight(report, groups);
        report.protocol = if self.place.is_some() { Kind::Llc } else { Kind::Send };
        if self.packet.payload_len != Some(self.packet.payload.len()) {
            report.say("SEND, cut");
            return;
        }
        let assembled = groups
            .qp(self.destination)
            .and_then(|qp| qp.requests.assemble_send(self.psn, self.position, self.packet.payload));
        let Some(message) = assembled else {
            report.say(&format!("{} octets of a longer message", self.packet.payload.len()));
            return;
        };
        if message.first() == Some(&CdcMessage::TYPE) {
            self.cdc(report, &message, sight, groups, connections);
        } else {
            self.llc(report, &message, sight, groups);
        }
    }

    fn cdc(
        &self,
        report: &mut FrameReport,
        octets: &[u8],
        sight: Sight,
        groups: &mut Groups,
        connections: &mut Connections,
    ) {
        let message = match CdcMessage::parse(octets) {
            Ok(message) => message,
            Err(error) => return self.malformed(report, Kind::Cdc, &error.to_string()),
        };
        report.protocol = Kind::Cdc;
        report.context.token = Some(message.token.0);
        report.layers.insert("cdc".to_owned(), cdc_fields(&message).into());
        report.say(&cdc_line(&message));
        let Some(place) = self.place else { return };
        cdc_rules::apply(report, &message, sight, place, groups, connections);
    }

    fn llc(&self, report: &mut FrameReport, octets: &[u8], sight: Sight, groups: &mut Groups) {
        let message = match smolsmc_llc::Message::parse(octets) {
            Ok(message) => message,
            Err(error) => return self.malformed(report, Kind::Llc, &error.to_string()),
        };
        if let smolsmc_llc::Body::Unknown(_) = message.body {
            // On a queue pair of somebody else any SEND is fine.
            report.protocol = if self.place.is_some() { Kind::Unknown } else { Kind::Send };
            if self.place.is_none() {
                return;
            }
        } else {
            report.protocol = Kind::Llc;
        }
        report.layers.insert("llc".to_owned(), llc_fields(&message).into());
        report.say(&llc_line(&message));
        let Some(place) = self.place else { return };
        llc_rules::apply(report, &message, sight, place, groups);
        set_place(report, groups, self.place); // CONFIRM LINK names the link
    }

    /// A message that does not parse is a violation only where SMC is spoken.
    fn malformed(&self, report: &mut FrameReport, kind: Kind, error: &str) {
        if self.place.is_some() {
            report.protocol = kind;
            report.violations.push(error.to_owned());
        } else {
            report.protocol = Kind::Send;
            report.say("SEND that is no SMC message");
        }
    }

    fn write(&self, report: &mut FrameReport, groups: &mut Groups, connections: &mut Connections) {
        report.protocol = Kind::RdmaWrite;
        let sight = self.sight(report, groups);
        let len = u32::try_from(self.packet.payload_len.unwrap_or(0)).unwrap_or(u32::MAX);
        let reth = self.packet.ext.and_then(|ext| ext.reth());
        let Some(qp) = groups.qp(self.destination) else { return };
        // Where this packet's own octets go: the WRITE's address, plus what its
        // earlier packets carried.
        let part = if let Some(reth) = reth {
            qp.requests.begin_write(self.psn, reth.rkey.0, reth.vaddr, reth.dma_len, len);
            report.say(&format!("{} octets to {:#x} {}", reth.dma_len, reth.vaddr, reth.rkey));
            Some(reth)
        } else {
            report.say(&format!("{len} octets"));
            qp.requests.continue_write(self.psn, len).map(|before| Reth {
                vaddr: before.address.wrapping_add(u64::from(before.seen)),
                rkey: Rkey(before.rkey),
                dma_len: before.len.saturating_sub(before.seen),
            })
        };
        let Some((group, link, owner)) = self.place else { return };
        if let Some(link) = groups.link_mut(group, link) {
            link.counts.write_packets += 1;
        }
        let Some(part) = part else { return };
        let target = cdc_rules::WriteTarget { reth: part, packet_len: len, starts: reth.is_some() };
        cdc_rules::apply_write(report, &target, sight, (group, link, owner), groups, connections);
    }
}
