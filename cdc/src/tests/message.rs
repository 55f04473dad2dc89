use alloc::format;

use proptest::prelude::*;
use smolsmc_wire::{AlertToken, ParseError, ParseErrorKind, SeqNo};

use crate::{CdcMessage, Cursor, ProducerFlags, StateFlags};

/// The octets that mean something, each vector's first 26; the rest was zero.
fn octets(hex: &str) -> [u8; 44] {
    let digits: alloc::vec::Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
    assert_eq!(digits.len(), 2 * 26, "26 octets: {hex}");
    let mut octets = [0; 44];
    for (octet, pair) in octets.iter_mut().zip(digits.chunks(2)) {
        *octet = (pair[0] << 4 | pair[1]) as u8;
    }
    octets
}

#[track_caller]
fn check(hex: &str, message: CdcMessage) {
    assert_eq!(CdcMessage::parse(&octets(hex)), Ok(message));
    let mut out = [0xff; 44];
    message.emit(&mut out);
    assert_eq!(out, octets(hex));
}

const fn at(wrap: u16, count: u32) -> Cursor {
    Cursor { wrap, count }
}

fn message(seq: u16, token: u32, producer: Cursor, consumer: Cursor) -> CdcMessage {
    CdcMessage { seq: SeqNo(seq), token: AlertToken(token), producer, consumer, ..CdcMessage::default() }
}

// The worked example of fact sheet 40.
#[test]
fn vector_first_1000_octets() {
    check(
        "fe2c 0001 00000017 0000 0000 000003e8 0000 0000 00000000 00 00",
        message(1, 0x17, at(0, 1000), at(0, 0)),
    );
}

// linux612-ring-wrap-64k-echo-200k.pcap, frame 369: the third round.
#[test]
fn vector_cursors_in_different_rounds() {
    check(
        "fe2c 0005 00000001 0000 0003 00000d40 0000 0001 00000000 00 00",
        message(5, 1, at(3, 0xd40), at(1, 0)),
    );
}

// linux612-slow-reader.pcap, frame 214.
#[test]
fn vector_write_blocked() {
    check(
        "fe2c 000a 00000001 0000 0002 00001940 0000 0000 00000000 80 00",
        CdcMessage {
            producer_flags: ProducerFlags::WRITE_BLOCKED,
            ..message(10, 1, at(2, 0x1940), at(0, 0))
        },
    );
}

// linux612-urgent.pcap, frame 25.
#[test]
fn vector_urgent_octet_written() {
    check(
        "fe2c 0002 00000001 0000 0000 0000000b 0000 0000 00000000 60 00",
        CdcMessage {
            producer_flags: ProducerFlags::URGENT_PENDING | ProducerFlags::URGENT_PRESENT,
            ..message(2, 1, at(0, 11), at(0, 0))
        },
    );
}

// linux612-half-close.pcap, frames 26 and 43: done, then closed as well.
#[test]
fn vector_done_then_closed() {
    check(
        "fe2c 0002 00000001 0000 0000 000003e8 0000 0000 00000000 00 80",
        CdcMessage { state_flags: StateFlags::SENDING_DONE, ..message(2, 1, at(0, 1000), at(0, 0)) },
    );
    check(
        "fe2c 0003 00000001 0000 0000 000003e8 0000 0000 00000bb8 00 c0",
        CdcMessage {
            state_flags: StateFlags::SENDING_DONE | StateFlags::CLOSED,
            ..message(3, 1, at(0, 1000), at(0, 3000))
        },
    );
}

// linux612-abort.pcap, frame 80.
#[test]
fn vector_abnormal_close() {
    check(
        "fe2c 0002 00000002 0000 0000 000001f4 0000 0000 00000064 00 20",
        CdcMessage { state_flags: StateFlags::ABNORMAL_CLOSE, ..message(2, 2, at(0, 500), at(0, 100)) },
    );
}

// linux612-failover-silent-path-eth1.pcap, frame 25.
#[test]
fn vector_failover_validation() {
    let validation = CdcMessage::failover_validation(AlertToken(1), SeqNo(0x18a));
    assert!(validation.is_failover_validation());
    check("fe2c 018a 00000001 0000 0000 00000000 0000 0000 00000000 08 00", validation);
}

#[test]
fn only_44_octets_are_a_message() {
    let [good, zeros] = [octets("fe2c 0001 00000017 0000 0000 000003e8 0000 0000 00000000 00 00"), [0; 44]];
    let mut long = [good, zeros].concat();
    for len in 0..44 {
        assert_eq!(
            CdcMessage::parse(&good[..len]),
            Err(ParseError::truncated("CDC message", 0, 44, len)),
            "{len} octets"
        );
    }
    while long.len() > 44 {
        assert_eq!(CdcMessage::parse(&long), Err(ParseError::length("CDC message", 0, 44, long.len())));
        long.pop();
    }
    assert!(CdcMessage::parse(&long).is_ok());
}

#[test]
fn other_types_and_lengths_are_refused() {
    let good = octets("fe2c 0001 00000017 0000 0000 000003e8 0000 0000 00000000 00 00");
    for octet in 0..=u8::MAX {
        let (mut kind, mut length) = (good, good);
        kind[0] = octet;
        length[1] = octet;
        let kind = CdcMessage::parse(&kind).map_err(|error| error.kind);
        let length = CdcMessage::parse(&length).map_err(|error| error.kind);
        assert_eq!(kind.err(), (octet != 0xfe).then_some(ParseErrorKind::Type(octet)));
        let wrong = ParseErrorKind::Length { expected: 44, got: usize::from(octet) };
        assert_eq!(length.err(), (octet != 44).then_some(wrong));
    }
}

#[test]
fn reserved_flags_are_not_emitted() {
    let message = CdcMessage {
        producer_flags: ProducerFlags::from_bits_retain(0xff),
        state_flags: StateFlags::from_bits_retain(0xff),
        ..CdcMessage::default()
    };
    let mut out = [0; 44];
    message.emit(&mut out);
    assert_eq!(out[24..26], [0xf8, 0xe0]);
}

#[test]
fn flags_are_shown_by_their_letters() {
    assert_eq!(format!("{} {}", ProducerFlags::all(), StateFlags::all()), "BPURF DCA");
    assert_eq!(format!("{} {}", ProducerFlags::empty(), StateFlags::empty()), "- -");
    for (flag, letter) in ProducerFlags::all().iter().zip(["B", "P", "U", "R", "F"]) {
        assert_eq!(format!("{flag}"), letter);
    }
    for (flag, letter) in StateFlags::all().iter().zip(["D", "C", "A"]) {
        assert_eq!(format!("{flag}"), letter);
        assert!(flag.ends_stream());
    }
    assert!(!StateFlags::empty().ends_stream());
    let done =
        CdcMessage { state_flags: StateFlags::SENDING_DONE, ..message(7, 0x17, at(0, 1000), at(0, 0)) };
    assert_eq!(format!("{done}"), "#7 to 0x00000017: producer 0/1000, consumer 0/0, - D");
}

/// The bits of an octet that mean nothing.
const fn reserved(offset: usize) -> u8 {
    match offset {
        8 | 9 | 16 | 17 | 26.. => 0xff,
        24 => 0x07,
        25 => 0x1f,
        _ => 0,
    }
}

prop_compose! {
    fn any_cursor()(wrap: u16, count: u32) -> Cursor {
        Cursor { wrap, count }
    }
}

prop_compose! {
    fn any_message()(
        seq: u16, token: u32, producer in any_cursor(), consumer in any_cursor(), flags: (u8, u8)
    ) -> CdcMessage {
        CdcMessage {
            producer_flags: ProducerFlags::from_octet(flags.0),
            state_flags: StateFlags::from_octet(flags.1),
            ..message(seq, token, producer, consumer)
        }
    }
}

proptest! {
    #[test]
    fn what_is_emitted_parses_to_the_same(message in any_message()) {
        let mut out = [0xff; 44];
        message.emit(&mut out);
        prop_assert_eq!(CdcMessage::parse(&out), Ok(message));
        for (offset, octet) in out.into_iter().enumerate() {
            prop_assert_eq!(octet & reserved(offset), 0, "reserved bits of octet {}", offset);
        }
    }

    /// Every bit is either reserved and ignored, or makes a difference.
    #[test]
    fn each_bit_counts_unless_reserved(message in any_message()) {
        let mut out = [0; 44];
        message.emit(&mut out);
        for offset in 0..44 {
            for bit in (0..8).map(|n| 1u8 << n) {
                out[offset] ^= bit;
                let same = CdcMessage::parse(&out) == Ok(message);
                prop_assert_eq!(same, reserved(offset) & bit != 0, "octet {} bit {:#04x}", offset, bit);
                out[offset] ^= bit;
            }
        }
    }

    #[test]
    fn any_44_octets_with_type_and_length_are_a_message(mut octets: [[u8; 11]; 4]) {
        octets[0][0] = 0xfe;
        octets[0][1] = 44;
        let parsed = CdcMessage::parse(octets.as_flattened()).unwrap();
        let mut out = [0; 44];
        parsed.emit(&mut out);
        prop_assert_eq!(CdcMessage::parse(&out), Ok(parsed));
    }
}
