//! Frames and messages that are sound but for what they are meant to say.

use std::net::{Ipv4Addr, Ipv6Addr};

use smolsmc_cdc::{CdcMessage, Cursor, ProducerFlags, StateFlags};
use smolsmc_clc::Eyecatcher;
use smolsmc_roce::packet::{
    Bth, EtherType, EthernetHeader, Ext, FrameHeaders, IpPath, IpProtocol, Ipv4Header, VlanTag,
};
use smolsmc_wire::{AlertToken, Gid, Mac, SeqNo};

use super::super::octets::Octets;
use super::super::world::{Flow, pick};

const DST: Mac = Mac([0x52, 0x54, 0, 0, 0, 1]);
const SRC: Mac = Mac([0x52, 0x54, 0, 0, 0, 2]);

/// A segment of `flow`, `offset` octets from the next one.
pub(super) fn tcp_frame(flow: &Flow, offset: i32, flags: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let options = &options[..options.len().min(40) & !3];
    let header_len = 20 + options.len();
    let ip = Ipv4Header {
        tos: 0,
        total_len: (Ipv4Header::LEN + header_len + payload.len()) as u16,
        identification: 0,
        dont_fragment: true,
        more_fragments: false,
        fragment_offset: 0,
        ttl: 64,
        protocol: IpProtocol::TCP,
        src: flow.src.0,
        dst: flow.dst.0,
    };
    let mut frame = vec![0; EthernetHeader::LEN + Ipv4Header::LEN];
    let ethernet = EthernetHeader { dst: DST, src: SRC, vlan: None, ethertype: EtherType::IPV4 };
    ethernet.emit(&mut frame).expect("room for it");
    let mut header = [0; Ipv4Header::LEN];
    ip.emit(&mut header);
    frame[EthernetHeader::LEN..].copy_from_slice(&header);
    frame.extend(flow.src.1.to_be_bytes());
    frame.extend(flow.dst.1.to_be_bytes());
    frame.extend(flow.next.wrapping_add_signed(offset).to_be_bytes());
    frame.extend([0, 0, 0, 0, (header_len as u8 / 4) << 4, flags, 0xff, 0xff, 0, 0, 0, 0]);
    frame.extend(options);
    frame.extend(payload);
    frame
}

/// A RoCE packet without its addresses.
pub(super) struct Packet<'a> {
    pub(super) bth: Bth,
    pub(super) ext: Ext,
    pub(super) payload: &'a [u8],
    pub(super) tagged: bool,
}

/// The packet in a frame to `gid`, over the version of IP that this is of.
pub(super) fn roce_frame(gid: Gid, packet: &Packet<'_>) -> Vec<u8> {
    let ip = match gid.ipv4() {
        Some(dst) => {
            IpPath::V4 { src: Ipv4Addr::new(10, 9, 0, 9), dst: dst.into(), tos: 0, ttl: 1, identification: 1 }
        }
        None => IpPath::V6 {
            src: Ipv6Addr::LOCALHOST,
            dst: gid.0.into(),
            traffic_class: 0,
            flow_label: 0,
            hop_limit: 1,
        },
    };
    let vlan = packet.tagged.then_some(VlanTag::new(5));
    let Packet { bth, ext, payload, .. } = *packet;
    let headers = FrameHeaders { dst: DST, src: SRC, vlan, ip, src_port: 0xc000, bth, ext };
    let mut frame = vec![0; headers.frame_len(payload.len())];
    headers.emit_with(payload, &mut frame).expect("a payload below 64 KiB");
    frame
}

/// A CLC message: type and flags, then what is between header and trailer.
pub(super) fn clc_octets(mut more: Octets<'_>) -> Vec<u8> {
    let (kind, flags) = (more.u8(), more.u8());
    let eyecatcher = if kind & 0x80 != 0 { Eyecatcher::Smcd } else { Eyecatcher::Smcr };
    let [high, low] = (12 + more.0.len() as u16).to_be_bytes();
    let head = [kind & 0x7f, high, low, flags];
    [&eyecatcher.octets()[..], &head, more.0, &eyecatcher.octets()].concat()
}

/// An LLC message of at least 44 octets: type and flags, then what follows the
/// header.
pub(super) fn llc_octets(mut more: Octets<'_>) -> Vec<u8> {
    let (kind, flags) = (more.u8(), more.u8());
    let len = (4 + more.0.len()).max(44);
    let mut octets = if kind & 0xf0 == 0 {
        vec![kind, 44, 0, flags]
    } else {
        let [low, high] = (len as u16).to_le_bytes();
        vec![kind, low, high, flags]
    };
    octets.extend(more.0);
    octets.resize(len, 0);
    octets
}

/// A CDC message for one of the tokens: how far its sequence number is from the
/// next, the flags, and two cursors.
pub(super) fn cdc_octets(mut more: Octets<'_>, tokens: &[(AlertToken, SeqNo)]) -> [u8; CdcMessage::LEN] {
    let (token, next) = pick(tokens, more.u8()).unwrap_or_default();
    let skipped = i16::from(more.u8() as i8) as u16;
    let (producer_flags, state_flags) = (more.u8(), more.u8());
    let message = CdcMessage {
        seq: next.add(skipped),
        token,
        producer_flags: ProducerFlags::from_octet(producer_flags),
        state_flags: StateFlags::from_octet(state_flags),
        producer: Cursor { wrap: more.u16(), count: more.u32() },
        consumer: Cursor { wrap: more.u16(), count: more.u32() },
    };
    let mut octets = [0; CdcMessage::LEN];
    message.emit(&mut octets);
    octets
}
