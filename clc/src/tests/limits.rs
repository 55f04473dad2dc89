//! What is refused, on receipt and by the emitter.

use alloc::string::ToString;
use alloc::vec::Vec;
use alloc::{format, vec};

use proptest::prelude::*;
use smolsmc_wire::{EmitError, Gid, ParseError, ParseErrorKind, PeerId};

use super::vectors::*;
use super::{emitted, hex};
use crate::*;

/// The error for the worked `octets` after `damage`.
fn refused(octets: &str, damage: impl FnOnce(&mut Vec<u8>)) -> ParseError {
    let mut octets = hex(octets);
    assert!(Message::parse(&octets).is_ok());
    damage(&mut octets);
    Message::parse(&octets).unwrap_err()
}

#[test]
fn header_needs_eight_octets_and_no_more() {
    let octets = hex(PROPOSAL);
    for len in 0..8 {
        assert!(Header::parse(&octets[..len]).is_err());
    }
    let header = Header::parse(&octets[..8]).unwrap();
    assert_eq!(header.message_len(), 156);
    assert_eq!((header.v2_types(), header.v1_types()), (PathTypes::SmcR, PathTypes::Neither));
    assert!(!header.first_contact());
    assert!(Header::parse(&hex("e2d4c3d90300b428")).unwrap().first_contact());
    assert!(Header::parse(&hex("e2d4c3d904002c28")).unwrap().out_of_sync());
}

#[test]
fn header_refuses_nonsense_and_keeps_unknown_types() {
    let kind = |octets: &str| Header::parse(&hex(octets)).unwrap_err().kind;
    assert_eq!(kind("e2d4c3d80100 9c22"), ParseErrorKind::Eyecatcher([0xe2, 0xd4, 0xc3, 0xd8]));
    assert_eq!(kind("e2d4c3d901000b22"), ParseErrorKind::Length { expected: 12, got: 11 });
    assert_eq!(kind("e2d4c3d901009c02"), ParseErrorKind::Value(0));

    let unknown = Header::parse(&hex("e2d4c3d90900ffff")).unwrap();
    assert_eq!((unknown.message_type, unknown.version.nibble()), (MessageType(9), 15));
    let whole = hex("e2d4c3d909000c20e2d4c3d9");
    assert_eq!(Message::parse(&whole).unwrap_err().kind, ParseErrorKind::Type(9));
}

#[test]
fn each_message_refuses_the_others() {
    let octets = hex(PROPOSAL);
    assert_eq!(Accept::parse(&octets).unwrap_err().kind, ParseErrorKind::Type(1));
    assert_eq!(Confirm::parse(&octets).unwrap_err().kind, ParseErrorKind::Type(1));
    assert_eq!(Decline::parse(&octets).unwrap_err().kind, ParseErrorKind::Type(1));
    assert_eq!(Proposal::parse(&hex(DECLINE)).unwrap_err().kind, ParseErrorKind::Type(4));
}

#[test]
fn trailer_matters_except_on_decline() {
    for octets in [PROPOSAL, PROPOSAL_V1, CONFIRM, LINUX_ACCEPT] {
        let error = refused(octets, |octets| *octets.last_mut().unwrap() = 0);
        assert_eq!(error.kind, ParseErrorKind::Eyecatcher([0xe2, 0xd4, 0xc3, 0]));
        assert_eq!(error.offset, hex(octets).len() - 4);
    }
    // Linux takes either eyecatcher at either end; we write SMCR.
    let mut either = hex(PROPOSAL);
    either[3] = 0xc4;
    *either.last_mut().unwrap() = 0xc4;
    assert_eq!(emitted(&Message::parse(&either).unwrap()), hex(PROPOSAL));

    let mut decline = hex(DECLINE);
    decline[40..].fill(0);
    assert_eq!(Message::parse(&decline), Message::parse(&hex(DECLINE)));
}

#[test]
fn offsets_must_lead_where_the_layout_does() {
    let at = |octets: &str, at: usize, value: u8| refused(octets, |octets| octets[at] = value);
    // No IP area: anything up to 40 will do.
    let mut octets = hex(PROPOSAL);
    octets[39] = 40;
    assert_eq!(emitted(&Message::parse(&octets).unwrap()), hex(PROPOSAL));
    assert_eq!(at(PROPOSAL, 39, 41), ParseError::value("IP area offset", 38, 41));
    // An IP area: only 40 will.
    assert_eq!(at(PROPOSAL_ALL, 39, 39), ParseError::value("IP area offset", 38, 39));
    assert_eq!(at(PROPOSAL_V1, 39, 41), ParseError::value("IP area offset", 38, 41));
    assert_eq!(at(PROPOSAL, 51, 29), ParseError::value("v2 extension offset", 50, 29));
    assert_eq!(at(PROPOSAL, 51, 0), ParseError::value("v2 extension offset", 50, 0));
    assert_eq!(at(PROPOSAL_ALL, 51, 28), ParseError::value("v2 extension offset", 50, 28));
    assert_eq!(at(PROPOSAL_ALL, 112, 0x61), ParseError::value("SMC-Dv2 extension offset", 111, 0x61));
}

/// A message whose ISM GID ends in more than 8, which Linux would take for a
/// count of prefixes: no trap for us.
#[test]
fn ism_gid_is_no_prefix_count() {
    let mut octets = hex(PROPOSAL);
    octets[47] = 0xff;
    let Ok(Message::Proposal(Proposal::V2(v2))) = Message::parse(&octets) else { panic!() };
    assert_eq!(v2.locator.ism_gid, 0xff);
}

#[test]
fn counts_have_limits() {
    let at = |octets: &str, at: usize| refused(octets, |octets| octets[at] = 9);
    assert_eq!(at(PROPOSAL_V1, 47), ParseError::value("IPv6 prefix count", 47, 9));
    assert_eq!(at(PROPOSAL_ALL, 87), ParseError::value("IPv6 prefix count", 87, 9));
    assert_eq!(at(PROPOSAL, 80), ParseError::value("EID count", 80, 9));
    assert_eq!(at(PROPOSAL_ALL, 106), ParseError::value("ISM GID count", 106, 9));
}

#[test]
fn type_of_smc_must_be_one_in_accept_and_at_least_one_in_a_v1_proposal() {
    for bits in [2, 3] {
        let error = refused(CONFIRM, |octets| octets[7] |= bits);
        assert_eq!(error, ParseError::value("type of SMC", 7, bits.into()));
    }
    assert_eq!(refused(PROPOSAL_V1, |octets| octets[7] = 0x12), ParseError::value("v1 types", 7, 2));
}

#[test]
fn longest_message_fills_the_limit() {
    let Ok(Message::Confirm(Confirm::V2(mut v2))) = Message::parse(&hex(CONFIRM)) else { panic!() };
    let gids = |len| Some(vec![Gid([7; 16]); len]);
    v2.first_contact.as_mut().unwrap().gids = gids(255);
    let message = Message::from(Confirm::V2(v2.clone()));
    let mut octets = emitted(&message);
    assert_eq!(octets.len(), MAX_MESSAGE_LEN);
    assert_eq!(Message::parse(&octets), Ok(message));

    // One octet of growth more is too much.
    octets.insert(MAX_MESSAGE_LEN - 4, 0);
    let len = (MAX_MESSAGE_LEN + 1) as u16;
    octets[5..7].copy_from_slice(&len.to_be_bytes());
    assert_eq!(Message::parse(&octets).unwrap_err().kind, ParseErrorKind::Value(len.into()));

    v2.first_contact.as_mut().unwrap().gids = gids(256);
    let too_large = EmitError::TooLarge { what: "GID list", limit: 255, value: 256 };
    assert_eq!(Confirm::V2(v2).emit(&mut [0; 5000]), Err(too_large));
}

#[test]
fn body_of_smc_d_has_a_limit() {
    let mut body = OpaqueTerms {
        eyecatcher: Eyecatcher::Smcd,
        version: Version::V1,
        flags: 1,
        octets: vec![7; OpaqueTerms::MAX_LEN],
        trailer: Eyecatcher::Smcd,
    };
    let message = Message::from(Accept::SmcD(body.clone()));
    assert_eq!(Message::parse(&emitted(&message)), Ok(message));
    body.octets.push(7);
    let too_large =
        EmitError::TooLarge { what: "CLC message", limit: MAX_MESSAGE_LEN, value: MAX_MESSAGE_LEN + 1 };
    assert_eq!(Accept::SmcD(body).emit(&mut [0; 5000]), Err(too_large));
}

fn emit(message: impl Into<Message>) -> Result<usize, EmitError> {
    message.into().emit(&mut [0; MAX_MESSAGE_LEN])
}

const fn inconsistent(what: &'static str) -> Result<usize, EmitError> {
    Err(EmitError::Inconsistent { what })
}

fn everything() -> ProposalV2 {
    match Message::parse(&hex(PROPOSAL_ALL)) {
        Ok(Message::Proposal(Proposal::V2(v2))) => v2,
        other => panic!("{other:?}"),
    }
}

#[test]
fn proposal_whose_parts_contradict_its_types_is_not_written() {
    let with = |change: fn(&mut ProposalV2)| {
        let mut v2 = everything();
        change(&mut v2);
        emit(Proposal::V2(v2))
    };
    assert_eq!(with(|_| ()), Ok(281));
    assert_eq!(with(|p| p.version = Version::V1), inconsistent("CLC version"));
    assert_eq!(with(|p| p.ip_area = None), inconsistent("IP area"));
    assert_eq!(with(|p| p.v1_types = PathTypes::Neither), inconsistent("IP area"));
    assert_eq!(with(|p| p.v2 = None), inconsistent("v2 extension"));
    assert_eq!(with(|p| p.v2_types = PathTypes::Neither), inconsistent("v2 extension"));
    assert_eq!(with(|p| p.smcd_v2 = None), inconsistent("SMC-Dv2 extension"));
    assert_eq!(with(|p| p.v2_types = PathTypes::SmcR), inconsistent("SMC-Dv2 extension"));

    let Ok(Message::Proposal(Proposal::V1(v1))) = Message::parse(&hex(PROPOSAL_V1)) else { panic!() };
    let neither = ProposalV1 { types: PathTypes::Neither, ..v1 };
    assert_eq!(emit(Proposal::V1(neither)), inconsistent("v1 types"));
}

proptest! {
    /// Whatever was removed or offered too much: an error, or the same value back.
    #[test]
    fn contradictions_never_become_octets(
        mut v2 in super::strategy::proposal_v2(),
        v1_types in 0u8..4,
        v2_types in 0u8..4,
        version in 1u8..16,
    ) {
        v2.v1_types = PathTypes::from_bits(v1_types);
        v2.v2_types = PathTypes::from_bits(v2_types);
        v2.version = Version::new(version).unwrap();
        let message = Message::from(Proposal::V2(v2));
        let mut out = [0; MAX_MESSAGE_LEN];
        if let Ok(len) = message.emit(&mut out) {
            prop_assert_eq!(Message::parse(&out[..len]), Ok(message));
        }
    }
}

#[test]
fn lists_and_nibbles_too_large_are_not_written() {
    let too_large = |what, limit, value| Err(EmitError::TooLarge { what, limit, value });
    let with = |change: fn(&mut ProposalV2)| {
        let mut v2 = everything();
        change(&mut v2);
        emit(Proposal::V2(v2))
    };
    let prefixes = |p: &mut ProposalV2| {
        let prefixes = &mut p.ip_area.as_mut().unwrap().ipv6_prefixes;
        prefixes.resize(9, Ipv6Prefix { prefix: [0; 16], len: 0 });
    };
    assert_eq!(with(prefixes), too_large("IPv6 prefixes", 8, 9));
    let eids = |p: &mut ProposalV2| p.v2.as_mut().unwrap().eids.resize(9, Eid([0; 32]));
    assert_eq!(with(eids), too_large("EIDs", 8, 9));
    assert_eq!(with(|p| p.v2.as_mut().unwrap().release = 16), too_large("release", 15, 16));
    let gids = |p: &mut ProposalV2| p.smcd_v2.as_mut().unwrap().gids.resize(9, IsmGid { gid: 0, chid: 0 });
    assert_eq!(with(gids), too_large("ISM GIDs", 8, 9));

    let Ok(Message::Proposal(Proposal::V1(mut v1))) = Message::parse(&hex(PROPOSAL_V1)) else { panic!() };
    v1.growth = vec![0; 41];
    assert_eq!(emit(Proposal::V1(v1)), too_large("growth area", 40, 41));

    let Ok(Message::Accept(Accept::V2(mut v2))) = Message::parse(&worked_accept()) else { panic!() };
    v2.first_contact.as_mut().unwrap().os = Os(16);
    assert_eq!(emit(Accept::V2(v2)), too_large("OS type", 15, 16));
    let decline = Decline::v2(PeerId::default(), Diagnosis::INTERNAL, Os(16));
    assert_eq!(emit(decline), too_large("OS type", 15, 16));
}

#[test]
fn other_contradictions_are_not_written() {
    let Ok(Message::Accept(Accept::V2(accept))) = Message::parse(&worked_accept()) else { panic!() };
    let accept = AcceptV2 { version: Version::V1, ..accept };
    assert_eq!(emit(Accept::V2(accept)), inconsistent("CLC version"));
    let Ok(Message::Confirm(Confirm::V2(confirm))) = Message::parse(&hex(CONFIRM)) else { panic!() };
    let confirm = ConfirmV2 { version: Version::V1, ..confirm };
    assert_eq!(emit(Confirm::V2(confirm)), inconsistent("CLC version"));

    let decline = Decline::v1(PeerId::default(), Diagnosis::INTERNAL);
    assert_eq!(emit(Decline { os: Os::LINUX, ..decline }), inconsistent("v2 part of a v1 Decline"));
    assert_eq!(emit(Decline { extra: [0, 0, 0, 1], ..decline }), inconsistent("v2 part of a v1 Decline"));

    let body = |flags| OpaqueTerms {
        eyecatcher: Eyecatcher::Smcr,
        version: Version::V2,
        flags,
        octets: vec![],
        trailer: Eyecatcher::Smcr,
    };
    assert_eq!(emit(Accept::SmcD(body(1))), Ok(12));
    for flags in [0, 2, 3] {
        assert_eq!(emit(Accept::SmcD(body(flags))), inconsistent("type of an SMC-D message"));
    }
    let too_large = EmitError::TooLarge { what: "CLC flags", limit: 15, value: 17 };
    assert_eq!(emit(Confirm::SmcD(body(17))), Err(too_large));
}

#[test]
fn eid_follows_the_rules() {
    let all = "ABCDEFGHIJKLMNOPQRSTUVWXYZ.-0189";
    assert_eq!(Eid::from_ascii(all).map(|eid| eid.0), Ok(all.as_bytes().try_into().unwrap()));
    assert_eq!(Eid::from_ascii("7").unwrap().0[..3], *b"7  ");
    let character = |index, octet| Err(EidError::Character { index, octet });
    for (text, expected) in [
        ("", Err(EidError::Empty)),
        (".A", character(0, b'.')),
        ("-A", character(0, b'-')),
        (" A", character(0, b' ')),
        ("A B", character(1, b' ')),
        ("AB ", character(2, b' ')),
        ("Ab", character(1, b'b')),
        ("A_", character(1, b'_')),
        ("A\u{e4}", character(1, 0xc3)),
        ("ABCDEFGHIJKLMNOPQRSTUVWXYZ.-01890", Err(EidError::TooLong(33))),
    ] {
        assert_eq!(Eid::from_ascii(text), expected, "{text:?}");
    }
}

#[test]
fn eid_of_a_peer_is_kept_and_shown() {
    let mut octets = *b"LAB\0\xffx                          ";
    let eid = Eid(octets);
    assert_eq!(eid.to_string(), "LAB\\x00\\xffx");
    assert_eq!(format!("{eid:?}"), "Eid(\"LAB\\x00\\xffx\")");
    assert_eq!(eid.validate(), Err(EidError::Character { index: 3, octet: 0 }));
    octets[3..6].fill(b' ');
    assert_eq!(Eid(octets).validate(), Ok(()));
    assert_eq!(Eid([b' '; 32]).validate(), Err(EidError::Empty));
    assert_eq!(Eid([b' '; 32]).to_string(), "");
}

#[test]
fn host_name_is_ascii_and_padded() {
    assert_eq!(HostName::from_ascii("").unwrap(), HostName::NONE);
    assert_eq!(HostName::from_ascii("(none)").unwrap().to_string(), "(none)");
    let long = "abcdefghijklmnopqrstuvwxyz0123456";
    assert_eq!(HostName::from_ascii(&long[..32]).unwrap().to_string(), long[..32]);
    assert_eq!(HostName::from_ascii(long), Err(HostNameError::TooLong(33)));
    assert_eq!(HostName::from_ascii("h\u{f6}st"), Err(HostNameError::NotAscii));
    assert!(!HostName([0xff; 32]).is_ascii());
}

#[test]
fn path_types_are_two_bits() {
    let offers = |bits| {
        let types = PathTypes::from_bits(bits);
        assert_eq!(types.bits(), bits & 3);
        (types.offers_smcr(), types.offers_smcd(), types.offers_any())
    };
    assert_eq!(offers(0), (true, false, true));
    assert_eq!(offers(1), (false, true, true));
    assert_eq!(offers(2), (false, false, false));
    assert_eq!(offers(0xff), (true, true, true));
    assert_eq!((Version::new(0), Version::new(16)), (None, None));
}
