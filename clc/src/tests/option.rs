use alloc::vec::Vec;

use proptest::collection::vec;
use proptest::prelude::*;
use smolsmc_wire::{ParseError, ParseErrorKind};

use super::hex;
use crate::option::{AppendError, OPTION, PADDED_OPTION, SmcOption, SynKind, append, find};

/// linux612-add-link-rejected.pcap, frame 5: SYN from 10.9.0.2 to 10.9.0.1.
const LINUX_SYN: &str = "
    e832 1388 f93d90b6 00000000 c002 faf0 4916 0000
    020405b4 0402 080aa435004200000000 01 030306 0101fe06e2d4c3d9";

/// linux612-add-link-rejected.pcap, frame 6: SYN-ACK from 10.9.0.1 to 10.9.0.2.
const LINUX_SYN_ACK: &str = "
    1388 e832 09978fe5 f93d90b7 c012 fe88 9261 0000
    020405b4 0402 080a0b5f0e30a4350042 01 030306 0101fe06e2d4c3d9";

/// linux612-add-link-rejected.pcap, frame 7: the last ACK of the handshake.
const LINUX_ACK: &str = "
    e832 1388 f93d90b7 09978fe6 8010 03ec 8177 0000 0101 080aa43500530b5f0e30";

/// linux612-server-without-smc.pcap, second SYN segment: SYN-ACK without option.
const LINUX_PLAIN_SYN_ACK: &str = "
    1388 bcda 97207c35 cd199e69 a012 fe88 464a 0000
    020405b4 0402 080acafce4c8757a7a8d 01 030306";

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// A header with these options, of a multiple of four octets, checksum zero.
fn header(flags: u8, options: &[u8]) -> Vec<u8> {
    assert!(options.len().is_multiple_of(4));
    let data_offset = 5 + options.len() as u8 / 4;
    let mut octets = hex("1388 e832 09978fe5 f93d90b7 0000 fe88 0000 0000");
    octets[12..14].copy_from_slice(&[data_offset << 4, flags]);
    octets.extend(options);
    octets
}

fn found(options: &str) -> Option<SmcOption> {
    find(&header(SYN, &hex(options))).unwrap()
}

#[test]
fn option_is_that_of_the_sheet() {
    assert_eq!(OPTION.as_slice(), hex("fe06e2d4c3d9"));
    assert_eq!(PADDED_OPTION.as_slice(), hex("0101fe06e2d4c3d9"));
}

#[test]
fn linux_segments() {
    let last = Ok(Some(SmcOption { offset: 42, len: 6 }));
    assert_eq!(find(&hex(LINUX_SYN)), last);
    assert_eq!(find(&hex(LINUX_SYN_ACK)), last);
    assert_eq!(find(&hex(LINUX_ACK)), Ok(None));
    assert_eq!(find(&hex(LINUX_PLAIN_SYN_ACK)), Ok(None));
}

#[test]
fn option_counts_only_with_syn() {
    let mut octets = hex(LINUX_SYN);
    octets[13] = ACK;
    assert_eq!(find(&octets), Ok(None), "on the last ACK it is tolerated, and means nothing");
}

#[test]
fn walk_over_the_options() {
    let at = |offset, len| Some(SmcOption { offset, len });
    assert_eq!(found("fe06e2d4c3d9 0101"), at(20, 6));
    assert_eq!(found("fe08e2d4c3d9 abcd"), at(20, 8), "longer, if even");
    assert_eq!(found("fe07e2d4c3d9 ab 01"), None, "odd");
    assert_eq!(found("fe06e2d4c3c4 0101"), None, "that is SMCD");
    assert_eq!(found("fd06e2d4c3d9 0101"), None, "the other experimental kind");
    assert_eq!(found("fe04e2d4 c3d90101"), None, "too short for the identifier");
    assert_eq!(found("fe04f989 fe06e2d4c3d9 0101"), at(24, 6), "behind a Fast Open request");
    assert_eq!(found("fe0cf9890102030405060708 0101 fe06e2d4c3d9"), at(34, 6), "behind a cookie");
    assert_eq!(found("00 01 fe06e2d4c3d9"), None, "behind the end of the list");
    assert_eq!(found("0300 fe06e2d4c3d9"), None, "a length of 0 ends the walk");
    assert_eq!(found("0301 fe06e2d4c3d9"), None, "and of 1");
    assert_eq!(found("0309 fe06e2d4c3d9"), None, "and one that leads out of the header");
    assert_eq!(found("fe06e2d4c3d9 0300"), at(20, 6), "what comes later is not looked at");
    assert_eq!(found("010101fe"), None, "a kind without a length");
    assert_eq!(found(""), None);
}

#[test]
fn payload_is_not_looked_at() {
    let mut octets = header(SYN, &[]);
    octets.extend(PADDED_OPTION);
    assert_eq!(find(&octets), Ok(None));
}

#[test]
fn every_cut_of_a_header_is_refused() {
    let octets = hex(LINUX_SYN);
    for len in 0..octets.len() {
        let needed = if len < 20 { 20 } else { 48 };
        assert_eq!(find(&octets[..len]), Err(ParseError::truncated("TCP header", 0, needed, len)));
    }
    let mut short = octets;
    short[12] = 0x40;
    assert_eq!(find(&short).unwrap_err().kind, ParseErrorKind::Value(4));
}

#[test]
fn each_bit_of_the_option_matters() {
    for bit in 42 * 8..48 * 8 {
        let mut octets = hex(LINUX_SYN);
        octets[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(find(&octets), Ok(None), "bit {bit}");
    }
}

#[test]
fn who_carries_the_option() {
    assert_eq!(SynKind::from_flags(SYN), SynKind::Syn);
    assert_eq!(SynKind::from_flags(SYN | 0xc0), SynKind::Syn, "asks for ECN");
    assert_eq!(SynKind::from_flags(SYN | ACK), SynKind::SynAck);
    assert_eq!(SynKind::from_flags(ACK), SynKind::Other);
    let carries = |kind: SynKind| {
        [(false, false), (false, true), (true, false), (true, true)]
            .map(|(enabled, syn_had_option)| kind.carries_option(enabled, syn_had_option))
    };
    assert_eq!(carries(SynKind::Syn), [false, false, true, true]);
    assert_eq!(carries(SynKind::SynAck), [false, false, false, true]);
    assert_eq!(carries(SynKind::Other), [false; 4]);
}

/// The checksum over pseudo header and segment, computed from scratch.
fn checksum(addresses: &[u8], segment: &[u8]) -> u16 {
    let mut sum = 6 + segment.len() as u64;
    for field in [addresses, segment] {
        let words = field.chunks(2).map(|word| u16::from_be_bytes([word[0], *word.get(1).unwrap_or(&0)]));
        sum += words.map(u64::from).sum::<u64>();
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn with_checksum(addresses: &[u8], mut segment: Vec<u8>) -> Vec<u8> {
    segment[16..18].fill(0);
    let checksum = checksum(addresses, &segment);
    segment[16..18].copy_from_slice(&checksum.to_be_bytes());
    segment
}

/// What a Linux kernel wrote is what comes out, checksum included.
#[test]
fn append_makes_the_segments_of_linux() {
    for (octets, addresses) in [(LINUX_SYN, "0a090002 0a090001"), (LINUX_SYN_ACK, "0a090001 0a090002")] {
        let (octets, addresses) = (hex(octets), hex(addresses));
        let mut plain = octets[..40].to_vec();
        plain[12] = 0xa0;
        let mut segment = with_checksum(&addresses, plain);
        segment.resize(48, 0xee);
        assert_eq!(append(&mut segment, 40), Ok(48));
        assert_eq!(segment, octets);
    }
}

#[test]
fn end_of_list_and_what_follows_become_nops() {
    let mut segment = header(SYN | ACK, &hex("020405b4 030307 00 beefbeef"));
    segment.extend([0xee; 9]);
    assert_eq!(append(&mut segment, 32), Ok(40));
    assert_eq!(segment[20..], hex("020405b4 030307 0101010101 0101fe06e2d4c3d9 ee"));
    assert_eq!(segment[12..14], [0xa0, SYN | ACK]);
}

/// The error for `segment` of `len` octets, which stays as it was.
fn refused(segment: &[u8], len: usize) -> AppendError {
    let mut after = segment.to_vec();
    let error = append(&mut after, len).unwrap_err();
    assert_eq!(after, segment);
    error
}

#[test]
fn segments_that_cannot_carry_the_option_stay_as_they_were() {
    let roomy = |octets: Vec<u8>| [octets, alloc::vec![0; 40]].concat();
    let full = header(SYN, &[1; 32]);
    assert_eq!(append(&mut roomy(full), 52), Ok(60), "the last that has room");
    assert_eq!(refused(&roomy(header(SYN, &[1; 36])), 56), AppendError::NoRoom(56));
    assert_eq!(refused(&roomy(header(SYN, &[1; 40])), 60), AppendError::NoRoom(60));
    assert_eq!(refused(&roomy(header(ACK, &[])), 20), AppendError::NotSyn);
    assert_eq!(refused(&roomy(hex(LINUX_SYN)), 48), AppendError::Present);
    assert_eq!(refused(&roomy(header(SYN, &[])), 23), AppendError::Payload(3));
    assert_eq!(refused(&roomy(header(SYN, &[1, 1, 3, 9])), 24), AppendError::MalformedOption(22));

    let short = |needed, got| AppendError::BufferTooShort { needed, got };
    let plain = header(SYN, &[]);
    for room in 0..8 {
        let segment = [plain.as_slice(), &[0; 8][..room]].concat();
        assert_eq!(refused(&segment, 20), short(28, 20 + room));
    }
    assert_eq!(refused(&plain, 21), short(29, 20), "shorter than its own length");
    assert_eq!(refused(&plain, usize::MAX), short(usize::MAX, 20));

    let truncated = ParseError::truncated("TCP header", 0, 20, 19);
    assert_eq!(refused(&plain, 19), AppendError::NotTcp(truncated));
    let mut bad = roomy(plain);
    bad[12] = 0x40;
    assert_eq!(refused(&bad, 20), AppendError::NotTcp(ParseError::value("TCP data offset", 12, 4)));
    bad[12] = 0xf0;
    assert_eq!(refused(&bad, 20), AppendError::NotTcp(ParseError::truncated("TCP header", 0, 60, 20)));
}

/// One option that is not SMC's: NOP, or any other kind with a value.
fn option() -> impl Strategy<Value = Vec<u8>> {
    let other = (2u8..=253, vec(any::<u8>(), 0..=10))
        .prop_map(|(kind, value)| [&[kind, value.len() as u8 + 2], value.as_slice()].concat());
    prop_oneof![Just(alloc::vec![1]), other]
}

prop_compose! {
    /// A SYN or SYN-ACK with room, and the octets its options take before any
    /// end of the list.
    fn syn()(
        fixed: [u8; 20],
        ack: bool,
        options in vec(option(), 0..8).prop_map(|options| options.concat()),
        eol: bool,
        junk: [u8; 4],
    ) -> (Vec<u8>, usize) {
        let mut options: Vec<u8> = if options.len() <= 32 { options } else { Vec::new() };
        let used = options.len();
        while !options.len().is_multiple_of(4) {
            options.push(if !eol { 1 } else if options.len() == used { 0 } else { junk[options.len() % 4] });
        }
        let mut octets = header(SYN | if ack { ACK } else { 0 }, &options);
        let framing = [octets[12], octets[13]];
        octets[..20].copy_from_slice(&fixed);
        octets[12..14].copy_from_slice(&framing);
        (octets, 20 + used)
    }
}

/// Source and destination, IPv4 or IPv6.
fn addresses() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 8), vec(any::<u8>(), 32)]
}

proptest! {
    #[test]
    fn append_keeps_the_checksum_right((plain, used) in syn(), addresses in addresses()) {
        let plain = with_checksum(&addresses, plain);
        let len = plain.len();
        let mut segment = plain.clone();
        segment.resize(len + 8, 0xee);
        prop_assert_eq!(append(&mut segment, len), Ok(len + 8));

        prop_assert_eq!(&segment, &with_checksum(&addresses, segment.clone()));
        prop_assert_eq!(find(&segment), Ok(Some(SmcOption { offset: len + 2, len: 6 })));
        prop_assert_eq!(&segment[..12], &plain[..12]);
        prop_assert_eq!(segment[12] >> 4, (plain[12] >> 4) + 2);
        prop_assert_eq!(&segment[13..16], &plain[13..16]);
        prop_assert_eq!(&segment[18..used], &plain[18..used]);
        prop_assert!(segment[used..len].iter().all(|&octet| octet == 1));
        prop_assert_eq!(append(&mut [segment, alloc::vec![0; 8]].concat(), len + 8), Err(AppendError::Present));
    }

    #[test]
    fn append_leaves_a_wrong_checksum_wrong((plain, _) in syn(), addresses in addresses(), error in 1u16..0xffff) {
        let mut segment = with_checksum(&addresses, plain);
        let len = segment.len();
        let wrong = u16::from_be_bytes([segment[16], segment[17]]).wrapping_add(error);
        segment[16..18].copy_from_slice(&wrong.to_be_bytes());
        segment.resize(len + 8, 0);
        // 0x0000 and 0xffff are two ways to write the same sum.
        prop_assume!(!checksum(&addresses, &segment[..len]).is_multiple_of(0xffff));
        prop_assert_eq!(append(&mut segment, len), Ok(len + 8));
        prop_assert_ne!(checksum(&addresses, &segment) % 0xffff, 0);
    }

    #[test]
    fn random_octets_do_no_harm(
        mut octets in vec(any::<u8>(), 0..80),
        len in 0usize..90,
        data_offset in 5u8..16,
        options in vec(prop_oneof![0u8..12, Just(254), any::<u8>()], 0..40),
    ) {
        let _ = find(&octets);
        for (to, from) in octets.iter_mut().skip(20).zip(options) {
            *to = from;
        }
        if let Some(framing) = octets.get_mut(12..14) {
            framing.copy_from_slice(&[data_offset << 4, SYN]);
        }
        let _ = find(&octets);
        let before = octets.clone();
        let len = if octets.len() > 40 { usize::from(data_offset) * 4 } else { len };
        match append(&mut octets, len) {
            Ok(longer) => {
                prop_assert_eq!(longer, len + 8);
                prop_assert!(find(&octets[..longer]).unwrap().is_some());
                prop_assert_eq!(&octets[longer..], &before[longer..]);
            }
            Err(_) => prop_assert_eq!(octets, before),
        }
    }
}
