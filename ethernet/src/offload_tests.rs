use proptest::prelude::*;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpAddress, IpProtocol, Ipv4Address, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber};

use super::*;

const ETHERNET: usize = 14;
const IPV4: usize = 20;
/// Where TCP begins, and its checksum behind that.
const START: u16 = 34;
const OFFSET: u16 = 16;

fn header(flags: u8, start: u16, offset: u16) -> [u8; HEADER_LEN] {
    let ([a, b], [c, d]) = (start.to_ne_bytes(), offset.to_ne_bytes());
    [flags, 1, 66, 0, 220, 5, a, b, c, d]
}

/// The Internet checksum as RFC 1071 §1 tells it, word by word.
fn word_by_word(octets: &[u8]) -> u16 {
    let words = octets.chunks(2).map(|pair| u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
    words.fold(0_u16, |sum, word| {
        let (sum, carry) = sum.overflowing_add(word);
        sum + u16::from(carry)
    })
}

/// A TCP segment over IPv4 as it should be, and as the kernel hands it up.
fn segment(payload: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (from, to) = (Ipv4Address::new(10, 9, 0, 1), Ipv4Address::new(10, 9, 0, 2));
    let repr = TcpRepr {
        src_port: 40_000,
        dst_port: 5000,
        control: TcpControl::Psh,
        seq_number: TcpSeqNumber(0x1234_5678),
        ack_number: Some(TcpSeqNumber(0x0bad_cafe)),
        window_len: 512,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload,
    };
    let mut whole = vec![0x5a; ETHERNET + IPV4 + repr.buffer_len()];
    let mut packet = TcpPacket::new_unchecked(&mut whole[ETHERNET + IPV4..]);
    repr.emit(&mut packet, &IpAddress::Ipv4(from), &IpAddress::Ipv4(to), &ChecksumCapabilities::default());
    let mut partial = whole.clone();
    let len = (repr.buffer_len() as u16).to_be_bytes();
    let pseudo = [&from.octets()[..], &to.octets(), &[0, IpProtocol::Tcp.into()], &len].concat();
    let field = usize::from(START + OFFSET);
    partial[field..field + 2].copy_from_slice(&word_by_word(&pseudo).to_be_bytes());
    (whole, partial)
}

#[test]
fn example_of_the_rfc() {
    // RFC 1071 §3: the sum is ddf2.
    let octets = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
    assert_eq!(checksum(&octets), (!0xddf2_u16).to_be_bytes());
    assert_eq!(checksum(&octets[..7]), (!(0xddf2_u16 - 0xf7)).to_be_bytes());
    assert_eq!(checksum(&[]), [0xff; 2]);
    assert_eq!(checksum(&[0xff; 4]), [0xff; 2], "zero means none to UDP");
}

#[test]
fn tcp_segment_gets_its_checksum_at_every_length() {
    for len in (0..=64).chain([1460, 2920, 65_495]) {
        let payload: Vec<_> = (0..len).map(|i: u32| (i * 7 + i / 256) as u8).collect();
        let (whole, mut partial) = segment(&payload);
        assert_ne!(partial, whole);
        complete(header(0, START, OFFSET), &mut partial);
        assert_ne!(partial, whole, "nothing is left to do");
        complete(header(NEEDS_CSUM, START, OFFSET), &mut partial);
        assert_eq!(partial, whole, "{len} octets");
    }
}

#[test]
fn frame_cut_anywhere_is_completed_or_left_alone() {
    let (_, partial) = segment(b"some octets");
    let field = usize::from(START + OFFSET);
    for len in 0..=partial.len() {
        let mut cut = partial[..len].to_vec();
        complete(header(NEEDS_CSUM, START, OFFSET), &mut cut);
        if len < field + 2 {
            assert_eq!(cut, partial[..len], "no room for the field in {len} octets");
        } else {
            // With what the field held before, the sum of the pseudo-header.
            let covered = &cut[usize::from(START)..];
            let padding = &[0][..covered.len() % 2];
            let all = [covered, padding, &partial[field..field + 2]].concat();
            assert_eq!(word_by_word(&all), 0xffff, "{len} octets");
        }
    }
}

#[test]
fn header_that_points_outside_changes_nothing() {
    let (_, partial) = segment(&[]);
    let len = partial.len() as u16;
    for (start, offset) in
        [(len, 0), (len - 1, 0), (0, len - 1), (len + 1, 0), (u16::MAX, u16::MAX), (0, u16::MAX)]
    {
        let mut frame = partial.clone();
        complete(header(NEEDS_CSUM, start, offset), &mut frame);
        assert_eq!(frame, partial, "{start} {offset}");
    }
}

proptest! {
    #[test]
    fn sum_is_that_of_the_rfc(octets in prop::collection::vec(any::<u8>(), 0..300)) {
        let expected = match !word_by_word(&octets) { 0 => 0xffff, sum => sum };
        prop_assert_eq!(checksum(&octets), expected.to_be_bytes());
    }

    #[test]
    fn whatever_the_header_says_only_the_field_changes(
        header: [u8; HEADER_LEN],
        near: [u8; 4],
        small: bool,
        frame in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut header = header;
        if small {
            // Where frames of this length have something.
            header[6..8].copy_from_slice(&u16::from(near[0]).to_ne_bytes());
            header[8..].copy_from_slice(&u16::from(near[1]).to_ne_bytes());
        }
        let start = usize::from(u16::from_ne_bytes([header[6], header[7]]));
        let field = start + usize::from(u16::from_ne_bytes([header[8], header[9]]));
        let mut done = frame.clone();
        complete(header, &mut done);
        prop_assert_eq!(done.len(), frame.len());
        let fits = header[0] & NEEDS_CSUM != 0 && field + 2 <= frame.len();
        for (at, (before, after)) in frame.iter().zip(&done).enumerate() {
            prop_assert!(before == after || fits && (at == field || at == field + 1), "octet {}", at);
        }
    }
}
