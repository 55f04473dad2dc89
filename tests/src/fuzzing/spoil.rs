//! Frames that somebody changes on their way, who knows how to make every sum
//! right again.

use smolsmc_cdc::CdcMessage;
use smolsmc_roce::packet::{Operation, RocePacket};
use smoltcp::wire::{EthernetFrame, Ipv4Packet, TcpPacket};

use super::octets::Octets;

const ETHERNET_LEN: usize = 14;
/// Type octets of LLC messages of both versions, and of CDC.
const TYPES: [u8; 16] =
    [1, 2, 3, 4, 6, 7, 9, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x29, CdcMessage::TYPE];

/// Changes what a frame says. Of SENDs and TCP payload, whole fields as a rule.
pub(super) fn spoil(frame: &mut Vec<u8>, octets: &mut Octets<'_>) {
    if RocePacket::parse(frame).is_ok_and(|packet| packet.is_some()) {
        spoil_roce(frame, octets);
    } else {
        spoil_tcp(frame, octets);
    }
}

/// Makes another message of a SEND, or changes an octet of any packet.
fn spoil_roce(frame: &mut Vec<u8>, octets: &mut Octets<'_>) {
    let Ok(Some(packet)) = RocePacket::parse(frame) else { return };
    let mut headers = packet.headers();
    let mut payload = packet.payload.to_vec();
    let facts = headers.bth.opcode.facts();
    let is_send = facts.is_some_and(|facts| facts.operation == Operation::Send);
    match (octets.u8() % 4, is_send) {
        // Another message altogether.
        (0, true) => {
            payload.fill(0);
            let kind = TYPES[usize::from(octets.u8()) % TYPES.len()];
            payload[..2].copy_from_slice(&[kind, 44]);
            overwrite(&mut payload[2..], octets);
        }
        // Another PSN.
        (1, _) => {
            let psn = headers.bth.psn;
            headers.bth.psn = psn.add(u32::from(octets.u8() & 7)).sub(3);
        }
        _ => overwrite(&mut payload, octets),
    }
    let mut again = vec![0; headers.frame_len(payload.len())];
    if headers.emit_with(&payload, &mut again).is_ok() {
        *frame = again;
    }
}

/// Up to four octets at up to four places.
fn overwrite(payload: &mut [u8], octets: &mut Octets<'_>) {
    let how = octets.u8();
    for _ in 0..=how & 3 {
        let at = usize::from(octets.u8());
        let new = octets.take(1 + usize::from(how >> 2 & 3)).to_vec();
        for (old, new) in payload.iter_mut().skip(at).zip(new) {
            *old = new;
        }
    }
}

fn spoil_tcp(frame: &mut [u8], octets: &mut Octets<'_>) {
    let Ok(ethernet) = EthernetFrame::new_checked(&frame) else { return };
    let Ok(ip) = Ipv4Packet::new_checked(ethernet.payload()) else { return };
    let (src, dst, at) = (ip.src_addr(), ip.dst_addr(), ETHERNET_LEN + usize::from(ip.header_len()));
    let is_tcp = ip.next_header() == smoltcp::wire::IpProtocol::Tcp;
    let Some(segment) = frame.get_mut(at..).filter(|_| is_tcp) else { return };
    let Ok(tcp) = TcpPacket::new_checked(&segment) else { return };
    let header = usize::from(tcp.header_len());
    match octets.u8() % 4 {
        // Flags, window, numbers: what smoltcp has to judge.
        0 => overwrite(&mut segment[4..20], octets),
        _ => overwrite(&mut segment[header..], octets),
    }
    if let Ok(mut tcp) = TcpPacket::new_checked(segment) {
        tcp.fill_checksum(&src.into(), &dst.into());
    }
}
