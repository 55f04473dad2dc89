//! Hands on the wire: messages that are changed on their way, and a SYN that
//! offers SMC for a stack that does not.

use smolsmc_clc::option;
use smolsmc_roce::packet::RocePacket;
use smolsmc_tests::sim::Meddler;
use smoltcp::wire::{Ipv4Packet, TcpPacket};

const ETHERNET_LEN: usize = 14;
/// Octets before the TCP header.
const TCP_AT: usize = 34;

/// CLC message types.
pub(super) const PROPOSAL: u8 = 1;
pub(super) const ACCEPT: u8 = 2;
pub(super) const CONFIRM: u8 = 3;

/// Changes the CLC messages of one type, and mends the checksum.
pub(super) fn clc(kind: u8, change: impl Fn(&mut [u8]) + 'static) -> Meddler {
    Box::new(move |_, frame| {
        if clc_in(frame).is_none_or(|message| message[4] != kind) {
            return;
        }
        let payload_at = payload_at(frame);
        change(&mut frame[payload_at..]);
        let ip = Ipv4Packet::new_unchecked(&frame[ETHERNET_LEN..]);
        let (from, to, end) = (ip.src_addr(), ip.dst_addr(), ETHERNET_LEN + usize::from(ip.total_len()));
        TcpPacket::new_unchecked(&mut frame[TCP_AT..end]).fill_checksum(&from.into(), &to.into());
    })
}

/// Changes SENDs whose first octet is `kind`, and seals them again.
pub(super) fn llc(kind: u8, response: bool, change: impl Fn(&mut [u8]) + 'static) -> Meddler {
    Box::new(move |_, frame| {
        let Ok(Some(packet)) = RocePacket::parse(frame) else { return };
        if packet.payload.first() != Some(&kind) || (packet.payload[3] & 0x80 != 0) != response {
            return;
        }
        let (headers, mut payload) = (packet.headers(), packet.payload.to_vec());
        change(&mut payload);
        let mut sealed = vec![0; frame.len()];
        headers.emit_with(&payload, &mut sealed).unwrap();
        frame.copy_from_slice(&sealed);
    })
}

fn is_tcp(frame: &[u8]) -> bool {
    frame.get(12..14) == Some(&[8, 0]) && frame[23] == 6
}

/// Where the octets of a TCP stream begin in a frame.
fn payload_at(frame: &[u8]) -> usize {
    TCP_AT + usize::from(frame[TCP_AT + 12] >> 4) * 4
}

/// The CLC message a frame carries, if it does, from its first octet on.
pub(super) fn clc_in(frame: &[u8]) -> Option<&[u8]> {
    let payload = is_tcp(frame).then(|| frame.get(payload_at(frame)..)).flatten()?;
    (payload.starts_with(&[0xe2, 0xd4, 0xc3, 0xd9]) && payload.len() > 8).then_some(payload)
}

/// Puts the SMC option on the SYNs of host `who`.
pub(super) fn offering_smc(who: usize) -> Meddler {
    Box::new(move |from, frame| {
        if from != who || !is_tcp(frame) {
            return;
        }
        let len = frame.len();
        frame.resize(len + option::PADDED_OPTION.len(), 0);
        let longer = option::append(&mut frame[TCP_AT..], len - TCP_AT);
        frame.truncate(longer.map_or(len, |longer| TCP_AT + longer));
        let total = (frame.len() - ETHERNET_LEN) as u16;
        let mut ip = Ipv4Packet::new_unchecked(&mut frame[ETHERNET_LEN..]);
        ip.set_total_len(total);
        ip.fill_checksum();
    })
}
