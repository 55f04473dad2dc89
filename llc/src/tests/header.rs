//! What the first four octets decide: version, octet order, length, and
//! whether the type is known.

use alloc::vec;
use alloc::vec::Vec;

use smolsmc_wire::{ParseError, ParseErrorKind};

use super::{emitted, hex, hex44};
use crate::*;

const LITTLE: Version = Version::V2(HostOrder::Little);
const BIG: Version = Version::V2(HostOrder::Big);

/// A TEST LINK v2 whose two length octets are `field`, received as `received`
/// octets; what its version turns out to be.
fn version_of(field: [u8; 2], received: usize) -> Result<Version, ParseErrorKind> {
    let mut octets = vec![0; received];
    octets[..3].copy_from_slice(&[0x27, field[0], field[1]]);
    Message::parse(&octets).map(|message| message.version).map_err(|error| error.kind)
}

#[test]
fn the_length_that_was_received_tells_the_host_order() {
    assert_eq!(version_of([0x2c, 0x00], 44), Ok(LITTLE));
    assert_eq!(version_of([0x00, 0x2c], 44), Ok(BIG));
    assert_eq!(version_of([0x00, 0x01], 256), Ok(LITTLE));
    assert_eq!(version_of([0x01, 0x00], 256), Ok(BIG));
    assert_eq!(version_of([0x02, 0x02], 514), Ok(LITTLE), "either fits, little-endian goes first");
}

#[test]
fn with_more_octets_than_declared_the_length_that_fits_tells_it() {
    assert_eq!(version_of([0x2c, 0x00], 60), Ok(LITTLE));
    assert_eq!(version_of([0x00, 0x2c], 60), Ok(BIG));
    assert_eq!(version_of([0x00, 0x2c], MAX_LEN), Ok(BIG), "11264 is more than any message has");
    assert_eq!(version_of([0x01, 0x02], 600), Ok(LITTLE), "513 and 258 are both possible");
    assert_eq!(version_of([0x01, 0x02], 300), Ok(BIG), "513 is not, 258 is");
    assert_eq!(version_of([0x01, 0x02], 258), Ok(BIG), "an exact length goes first");
}

#[test]
fn a_length_that_fits_in_no_order_is_refused() {
    let wrong = |expected, got| Err(ParseErrorKind::Length { expected, got });
    assert_eq!(version_of([0x2b, 0x00], 44), wrong(44, 43));
    assert_eq!(version_of([0x2d, 0x00], 44), wrong(44, 45));
    assert_eq!(version_of([0x00, 0x2d], 44), wrong(44, 0x2d00));
    assert_eq!(version_of([0x00, 0x00], 44), wrong(44, 0));
    assert_eq!(version_of([0xff, 0xff], MAX_LEN), wrong(MAX_LEN, 0xffff));
}

// The only length of ADD LINK that reads the same in either order is 0x0808.
#[test]
fn add_link_of_124_rkeys_tells_its_order_by_their_number() {
    for order in [HostOrder::Little, HostOrder::Big] {
        let Body::AddLink(mut body) =
            Message::parse(&hex44("22 2c00 00")).map(|message| message.body).unwrap()
        else {
            panic!("an ADD LINK");
        };
        body.extension = Some(AddLinkExtension {
            rkeys: vec![RkeyMapping::default(); 124],
            ..AddLinkExtension::default()
        });
        let message = Message { version: Version::V2(order), response: false, body: Body::AddLink(body) };
        let octets = emitted(&message);
        assert_eq!((octets.len(), &octets[1..3]), (2056, [8, 8].as_slice()));
        assert_eq!(Message::parse(&octets), Ok(message));
    }
}

#[test]
fn a_v1_message_has_44_octets() {
    for length in 0..=u8::MAX {
        let mut octets = vec![0; 300];
        octets[..2].copy_from_slice(&[0x07, length]);
        let version = Message::parse(&octets).map(|message| message.version);
        let error = ParseError::length("LLC message", 1, 44, usize::from(length));
        assert_eq!(version, if length == 44 { Ok(Version::V1) } else { Err(error) });
    }
}

#[test]
fn fewer_than_44_octets_are_no_message() {
    for kind in 0..=u8::MAX {
        for len in 0..44 {
            let mut octets = vec![kind; len];
            octets.iter_mut().skip(1).for_each(|octet| *octet = len as u8);
            assert_eq!(Message::parse(&octets), Err(ParseError::truncated("LLC message", 0, 44, len)));
        }
    }
}

#[test]
fn more_octets_than_any_receive_buffer_holds_are_refused() {
    let mut octets = vec![0x80; MAX_LEN];
    assert!(Message::parse(&octets).is_ok());
    octets.push(0x80);
    let error = ParseError::length("LLC message", 0, MAX_LEN, MAX_LEN + 1);
    assert_eq!(Message::parse(&octets), Err(error));
}

#[test]
fn cdc_is_not_llc() {
    let cdc = hex44("fe 2c 0001 00000017 0000 0000 000003e8");
    assert_eq!(Message::parse(&cdc), Err(ParseError::new("LLC message", 0, ParseErrorKind::Type(0xfe))));
}

/// The types of fact sheet 30; 5 only as v2.
const KNOWN: [u8; 17] =
    [0x01, 0x02, 0x03, 0x04, 0x06, 0x07, 0x08, 0x09, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29];

#[test]
fn every_other_type_is_kept_octet_for_octet() {
    for kind in (0..=u8::MAX).filter(|kind| *kind != 0xfe && !KNOWN.contains(kind)) {
        for len in [44, 45, 1000] {
            let octets: Vec<u8> = (0..len)
                .map(|n| n as u8 ^ 0xa5)
                .enumerate()
                .map(|(n, o)| if n == 0 { kind } else { o })
                .collect();
            let message = Message::parse(&octets).unwrap();
            let Body::Unknown(unknown) = &message.body else {
                panic!("type {kind:#04x} is {}", message.body.name());
            };
            assert_eq!((unknown.octets(), unknown.type_octet()), (octets.as_slice(), kind));
            assert_eq!(unknown.is_optional(), (0x80..0xc0).contains(&kind), "RFC 7609 §3.3: {kind:#04x}");
            assert_eq!(matches!(message.version, Version::V2(_)), kind >> 4 == 2);
            assert!(message.response, "octet 3 is 0xa6");
            assert_eq!(emitted(&message), octets);
        }
    }
}

#[test]
fn every_known_type_is_known() {
    for kind in KNOWN {
        let message = Message::parse(&[&[kind, 44][..], &[0; 42]].concat()).unwrap();
        assert_eq!(message.body.opcode(), Opcode(kind & 0x0f));
        assert!(!matches!(message.body, Body::Unknown(_)), "{kind:#04x}");
        assert_eq!(message.version, if kind < 0x20 { Version::V1 } else { LITTLE });
    }
}

#[test]
fn an_extension_needs_72_octets() {
    for length in 45..=72u8 {
        let mut octets = vec![0; usize::from(length)];
        octets[..2].copy_from_slice(&[0x22, length]);
        let parsed = Message::parse(&octets);
        assert_eq!(parsed.is_ok(), length == 72, "{length}: {parsed:?}");
    }
}

#[test]
fn counts_beyond_the_message_or_the_version_are_refused() {
    // ADD LINK: 88 octets hold one rkey, and no order makes 0x0101 an allowed count.
    let add_link = |count: [u8; 2]| {
        let mut octets = vec![0; 88];
        octets[..2].copy_from_slice(&[0x22, 88]);
        octets[70..72].copy_from_slice(&count);
        Message::parse(&octets).map(drop).map_err(|error| (error.offset, error.kind))
    };
    assert_eq!(add_link([1, 0]), Ok(()));
    assert_eq!(add_link([2, 0]), Err((88, ParseErrorKind::Truncated { needed: 4, got: 0 })));
    assert_eq!(add_link([0, 1]), Err((70, ParseErrorKind::Value(256))));

    let eight = Message::parse(&hex44("09 2c 00 00 08"));
    assert!(matches!(eight.unwrap().body, Body::DeleteRkey(body) if body.rkeys.len() == 8));
    let nine = Message::parse(&hex44("09 2c 00 80 09")).unwrap_err();
    assert_eq!((nine.offset, nine.kind), (4, ParseErrorKind::Value(9)));

    // DELETE RKEY v2: a request must list what it counts.
    assert!(Message::parse(&hex44("29 2c00 00 09")).is_ok());
    let ten = Message::parse(&hex44("29 2c00 00 0a")).unwrap_err();
    assert_eq!((ten.offset, ten.kind), (44, ParseErrorKind::Truncated { needed: 4, got: 0 }));

    let gids = Message::parse(&hex("25 2c00 00 0000000000000000000000000000000000000000 02 000000
        00000000000000000000ffff0a090002"));
    assert_eq!(gids.unwrap_err().kind, ParseErrorKind::Truncated { needed: 16, got: 0 });
}

#[test]
fn big_endian_v2_answers_in_kind() {
    let request = Message::parse(&hex44("27 002c 00 0102")).unwrap();
    assert_eq!(request.version, BIG);
    let response = Message { response: true, ..request };
    assert_eq!(emitted(&response), hex44("27 002c 80 0102"));
}
