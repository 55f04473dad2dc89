//! What a bystander can know about the peers whose frames it has seen, so that
//! hostile frames can name queue pairs, tokens and keys that exist.

use std::net::Ipv4Addr;

use smolsmc_cdc::CdcMessage;
use smolsmc_clc::{Message, SmcrTerms};
use smolsmc_llc::{AddLink, Body};
use smolsmc_roce::packet::{
    Direction, EtherType, EthernetHeader, IpProtocol, Ipv4Header, Operation, PartialPacket,
};
use smolsmc_wire::{AlertToken, Gid, Psn, Qpn, Rkey, SeqNo};

/// Entries kept of each kind; newer ones replace older ones.
const MAX_KNOWN: usize = 16;

/// One direction of a TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flow {
    pub(super) src: (Ipv4Addr, u16),
    pub(super) dst: (Ipv4Addr, u16),
    /// Sequence number of the next octet.
    pub(super) next: u32,
}

/// Where requests can be sent to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    pub(super) gid: Gid,
    pub(super) qpn: Qpn,
    /// PSN of the next request.
    pub(super) next: Psn,
}

/// What the frames have taught.
#[derive(Clone, Debug, Default)]
pub(super) struct World {
    pub(super) flows: Vec<Flow>,
    pub(super) targets: Vec<Target>,
    /// Rkeys and addresses of RMBs.
    pub(super) rmbs: Vec<(Rkey, u64)>,
    /// Tokens, and the sequence number of the next CDC message.
    pub(super) tokens: Vec<(AlertToken, SeqNo)>,
    accept: Option<SmcrTerms>,
    offer: Option<AddLink>,
}

/// The TCP segment in an untagged IPv4 frame: addresses and octets.
pub(super) fn segment_of(frame: &[u8]) -> Option<(Ipv4Header, &[u8])> {
    let ethernet = EthernetHeader::parse(frame).ok()?;
    let packet = frame.get(ethernet.wire_len()..).filter(|_| ethernet.ethertype == EtherType::IPV4)?;
    let (ip, len) = Ipv4Header::read(packet).ok()?;
    let segment = packet.get(len..usize::from(ip.total_len))?;
    (ip.protocol == IpProtocol::TCP && segment.len() >= 20 && header_len(segment) <= segment.len())
        .then_some((ip, segment))
}

/// Octets of a TCP header.
pub(super) fn header_len(segment: &[u8]) -> usize {
    usize::from(segment[12] >> 4) * 4
}

impl World {
    /// Learns from one frame.
    pub(super) fn learn(&mut self, frame: &[u8]) {
        if let Some((ip, segment)) = segment_of(frame) {
            self.learn_segment(&ip, segment);
        } else if let Ok(Some(packet)) = PartialPacket::parse(frame, frame.len()) {
            self.learn_packet(&packet);
        }
    }

    /// The flow of a segment, made if it is new.
    pub(super) fn flow(&mut self, ip: &Ipv4Header, segment: &[u8]) -> &mut Flow {
        let port = |at| u16::from_be_bytes([segment[at], segment[at + 1]]);
        let next = u32::from_be_bytes([segment[4], segment[5], segment[6], segment[7]]);
        let flow = Flow { src: (ip.src, port(0)), dst: (ip.dst, port(2)), next };
        let known = self.flows.iter().position(|known| (known.src, known.dst) == (flow.src, flow.dst));
        let index = known.unwrap_or_else(|| push(&mut self.flows, flow));
        &mut self.flows[index]
    }

    fn learn_segment(&mut self, ip: &Ipv4Header, segment: &[u8]) {
        let payload = segment.get(header_len(segment)..).unwrap_or_default();
        let syn = segment[13] & 0x02 != 0;
        let seq = u32::from_be_bytes([segment[4], segment[5], segment[6], segment[7]]);
        let flow = self.flow(ip, segment);
        if syn || flow.next == seq {
            flow.next = seq.wrapping_add(payload.len() as u32 + u32::from(syn));
        }
        match Message::parse(payload) {
            Ok(Message::Accept(accept)) => self.accept = accept.smcr_terms().copied(),
            Ok(Message::Confirm(confirm)) => {
                if let (Some(server), Some(client)) = (self.accept, confirm.smcr_terms()) {
                    self.learn_terms(&server, client.psn, confirm.is_first_contact());
                    self.learn_terms(client, server.psn, confirm.is_first_contact());
                }
            }
            _ => {}
        }
    }

    fn learn_terms(&mut self, terms: &SmcrTerms, next: Psn, new_link: bool) {
        if new_link {
            push(&mut self.targets, Target { gid: terms.gid, qpn: terms.qpn, next });
        }
        push(&mut self.rmbs, (terms.rkey, terms.rmb_address));
        push(&mut self.tokens, (terms.alert_token, SeqNo(1)));
    }

    /// The index of the target of a packet.
    pub(super) fn target_of(&self, packet: &PartialPacket<'_>) -> Option<usize> {
        let destination = (packet.ip.dst_gid(), packet.bth?.dest_qpn);
        self.targets.iter().rposition(|target| (target.gid, target.qpn) == destination)
    }

    fn learn_packet(&mut self, packet: &PartialPacket<'_>) {
        let Some((bth, facts)) = packet.bth.and_then(|bth| Some((bth, bth.opcode.facts()?))) else { return };
        if facts.direction == Direction::Request
            && let Some(target) = self.target_of(packet).and_then(|index| self.targets.get_mut(index))
            && !bth.psn.is_before(target.next)
        {
            target.next = bth.psn.add(1);
        }
        if facts.operation != Operation::Send {
            return;
        }
        if let Ok(message) = CdcMessage::parse(packet.payload) {
            let known = self.tokens.iter_mut().rfind(|(token, _)| *token == message.token);
            if let Some((_, next)) = known {
                *next = message.seq.add(1);
            }
        } else if let Ok(message) = smolsmc_llc::Message::parse(packet.payload) {
            self.learn_llc(message);
        }
    }

    fn learn_llc(&mut self, message: smolsmc_llc::Message) {
        match message.body {
            Body::AddLink(offer) if !message.response => self.offer = Some(offer),
            Body::AddLink(answer) if !answer.rejected => {
                let Some(offer) = self.offer.take() else { return };
                for (end, other) in [(&offer, &answer), (&answer, &offer)] {
                    push(&mut self.targets, Target { gid: end.gid, qpn: end.qpn, next: other.psn });
                    for mapping in end.extension.iter().flat_map(|extension| &extension.rkeys) {
                        push(&mut self.rmbs, (mapping.new, mapping.address));
                    }
                }
            }
            Body::ConfirmRkey(m) if !message.response => {
                push(&mut self.rmbs, (m.rkey, m.address));
                for other in m.others.here() {
                    push(&mut self.rmbs, (other.rkey, other.address));
                }
            }
            _ => {}
        }
    }
}

/// Adds an entry, in place of the oldest if there are too many; its index.
fn push<T>(list: &mut Vec<T>, entry: T) -> usize {
    if list.len() >= MAX_KNOWN {
        list.remove(0);
    }
    list.push(entry);
    list.len() - 1
}

/// The entry that `choice` picks.
pub(super) fn pick<T: Copy>(list: &[T], choice: u8) -> Option<T> {
    list.get(usize::from(choice).checked_rem(list.len())?).copied()
}
