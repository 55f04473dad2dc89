//! Frames of real Linux 6.12 kernels (`rdma_rxe`), from the captures of the test yard.

use alloc::string::String;

use super::*;

/// The octets of hex digits, white space between them allowed.
pub(super) fn hex(digits: &str) -> Vec<u8> {
    let digits: String = digits.split_whitespace().collect();
    assert_eq!(digits.len() % 2, 0);
    (0..digits.len()).step_by(2).map(|i| u8::from_str_radix(&digits[i..i + 2], 16).unwrap()).collect()
}

/// linux612-abort.pcap frame 18: SEND only, 44 octets, LLC CONFIRM LINK.
pub(super) fn send_only() -> Vec<u8> {
    hex("525400000002 525400000001 0800
         45000058a91d40000111bc630a0900010a090002 c12112b700440000 0480ffff00000011803fc850
         212c000352540000000100000000000000000000ffff0a090001000011010000010102ff0000000000000000 9cc3359b")
}

/// linux612-abort.pcap frame 19: the ACK of frame 18.
pub(super) fn ack() -> Vec<u8> {
    hex("525400000001 525400000002 0800
         45000030830340000111e2a50a0900020a090001 c12112b7001c0000 1100ffff00000011003fc850 1f000001 7f1d86c5")
}

/// linux612-loss-4-percent.pcap frame 119: NAK, PSN sequence error.
pub(super) fn nak() -> Vec<u8> {
    hex("525400000001 525400000002 0800
         45000030c9c9400001119bdf0a0900020a090001 c12112b7001c0000 1100ffff0000001100ce8b87 60000015 14b1320a")
}

/// linux612-urgent.pcap frame 24: RDMA WRITE only of one octet, so three of pad.
pub(super) fn write_only_padded() -> Vec<u8> {
    hex("525400000001 525400000002 0800
         450000408f1740000111d6810a0900020a090001 c12112b7002c0000 0a30ffff0000001180ab3f9e
         ff159078436b000a0000035c00000001 58000000 a59063d3")
}

/// linux612-half-close.pcap frame 34: RDMA WRITE first, 1024 of 3000 octets.
pub(super) fn write_first() -> Vec<u8> {
    with_pattern(
        "525400000002 525400000001 0800
         4500043cd683400001118b190a0900010a090002 c12112b704280000 0600ffff00000011006e18fe
         ff3c9e8942d60000000003e900000bb8",
        0..1024,
        "30940685",
    )
}

/// linux612-half-close.pcap frame 35: RDMA WRITE middle.
pub(super) fn write_middle() -> Vec<u8> {
    with_pattern(
        "525400000002 525400000001 0800
         4500042cd684400001118b280a0900010a090002 c12112b704180000 0700ffff00000011006e18ff",
        1024..2048,
        "b91f3fd5",
    )
}

/// linux612-half-close.pcap frame 36: RDMA WRITE last.
pub(super) fn write_last() -> Vec<u8> {
    with_pattern(
        "525400000002 525400000001 0800
         450003e4d685400001118b6f0a0900010a090002 c12112b703d00000 0800ffff00000011806e1900",
        2048..3000,
        "bd8528f2",
    )
}

pub(super) fn all() -> [Vec<u8>; 7] {
    [send_only(), ack(), nak(), write_only_padded(), write_first(), write_middle(), write_last()]
}

/// The message in those three frames counts up by 7, and by 13 more each 256 octets.
pub(super) fn pattern(range: core::ops::Range<usize>) -> Vec<u8> {
    range.map(|i| (7 * i + 13 * (i / 256)) as u8).collect()
}

fn with_pattern(head: &str, range: core::ops::Range<usize>, icrc: &str) -> Vec<u8> {
    [hex(head), pattern(range), hex(icrc)].concat()
}

#[test]
fn frames_of_linux_verify_and_are_written_again_octet_for_octet() {
    for frame in all() {
        let packet = parsed(&frame);
        assert_eq!(packet.verify_icrc(), Ok(()));
        assert_eq!(sealed(&packet.headers(), packet.payload), frame);
    }
}

#[test]
fn send_only_of_linux_says_what_the_capture_shows() {
    let frame = send_only();
    let packet = parsed(&frame);
    let IpHeader::V4(ip) = packet.ip else { panic!("{:?}", packet.ip) };
    assert_eq!((ip.ttl, ip.tos, ip.identification, ip.total_len), (1, 0, 0xa91d, 88));
    assert!(ip.dont_fragment && !ip.is_fragment());
    assert_eq!(packet.ip.src_gid(), smolsmc_wire::Gid::from_ipv4([10, 9, 0, 1]));
    assert_eq!(packet.ip.dst_gid(), smolsmc_wire::Gid::from_ipv4([10, 9, 0, 2]));
    assert_eq!(packet.ip.hop_limit(), 1);
    assert_eq!(packet.udp, UdpHeader { src_port: 0xc121, dst_port: 4791, len: 68, checksum: 0 });
    let expected = Bth {
        solicited: true,
        ack_request: true,
        ..Bth::new(Opcode::SEND_ONLY, Qpn::new(17), Psn::new(0x3f_c850))
    };
    assert_eq!((packet.bth, packet.ext), (expected, Ext::None));
    assert_eq!(packet.payload.len(), 44);
    assert_eq!(packet.payload[..2], [0x21, 0x2c]);
    assert_eq!(packet.icrc, 0x9b35_c39c);
}

#[test]
fn acknowledgements_of_linux_say_what_the_capture_shows() {
    let (ack, nak) = (ack(), nak());
    let aeth = Aeth { syndrome: Syndrome::ACK, msn: Msn::new(1) };
    assert_eq!((parsed(&ack).bth.psn, parsed(&ack).ext), (Psn::new(0x3f_c850), Ext::Aeth(aeth)));
    let syndrome = Syndrome::Nak { code: NakCode::PSN_SEQUENCE_ERROR };
    assert_eq!(parsed(&nak).ext.aeth(), Some(Aeth { syndrome, msn: Msn::new(0x15) }));
    assert_eq!(parsed(&nak).bth.opcode, Opcode::ACK);
}

#[test]
fn write_of_linux_is_one_message_in_three_packets() {
    let frames = [write_first(), write_middle(), write_last()];
    let packets = frames.each_ref().map(|frame| parsed(frame));
    let [first, middle, last] = packets;
    assert_eq!(
        first.ext.reth(),
        Some(Reth { vaddr: 0xff3c_9e89_42d6_0000, rkey: Rkey(0x3e9), dma_len: 3000 })
    );
    assert_eq!((middle.ext, last.ext), (Ext::None, Ext::None));
    assert_eq!((first.bth.opcode, first.bth.ack_request), (Opcode::WRITE_FIRST, false));
    assert_eq!((middle.bth.opcode, middle.bth.psn), (Opcode::WRITE_MIDDLE, first.bth.psn.add(1)));
    assert_eq!((last.bth.opcode, last.bth.psn), (Opcode::WRITE_LAST, first.bth.psn.add(2)));
    assert!(last.bth.ack_request);
    assert_eq!(packets.map(|packet| packet.payload).concat(), pattern(0..3000));
}

#[test]
fn pad_of_linux_is_not_payload() {
    let frame = write_only_padded();
    let packet = parsed(&frame);
    assert_eq!((packet.bth.pad, packet.payload), (3, &b"X"[..]));
    assert_eq!(packet.ext.reth().map(|reth| reth.dma_len), Some(1));
}
