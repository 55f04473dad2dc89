//! Each message as somebody wrote it, both ways. Those from a file are of
//! Linux 6.12 peers (file and frame above each); the v1 layouts never were on
//! a wire we saw and are built by hand from fact sheet 30.

use alloc::vec;

use smolsmc_wire::{Gid, LinkNumber, LinkUid, Mac, MtuCode, Psn, Qpn, Rkey};

use super::{emitted, hex, hex44};
use crate::*;

const V2: Version = Version::V2(HostOrder::Little);

#[track_caller]
fn check(octets: &[u8], version: Version, response: bool, body: Body) {
    let message = Message { version, response, body };
    assert_eq!(Message::parse(octets).as_ref(), Ok(&message));
    assert_eq!(emitted(&message), octets);
}

const fn mac(last: [u8; 2]) -> Mac {
    Mac([0x52, 0x54, 0, 0, last[0], last[1]])
}

fn rkeys(current: u32, new: u32, address: u64) -> RkeyMapping {
    RkeyMapping { current: Rkey(current), new: Rkey(new), address }
}

// linux612-add-link-rejected.pcap, frames 14 and 16.
#[test]
fn confirm_link() {
    let server = ConfirmLink {
        mac: mac([0, 1]),
        gid: Gid::from_ipv4([10, 9, 0, 1]),
        qpn: Qpn::new(0x11),
        link_number: LinkNumber(1),
        link_uid: LinkUid(0x0101),
        max_links: 2,
        max_conns: 255,
        no_eyecatcher: NoEyecatcher::BOTH,
    };
    let request = hex44(
        "21 2c00 03 525400000001 00000000000000000000ffff0a090001 000011 01 00000101 02 ff 0000000000000000",
    );
    check(&request, V2, false, Body::ConfirmLink(server));

    let client = ConfirmLink { mac: mac([0, 2]), gid: Gid::from_ipv4([10, 9, 0, 2]), ..server };
    let response = hex44(
        "21 2c00 83 525400000002 00000000000000000000ffff0a090002 000011 01 00000101 02 ff 0000000000000000",
    );
    check(&response, V2, true, Body::ConfirmLink(client));
}

// The worked example of fact sheet 30.
#[test]
fn confirm_link_of_the_fact_sheet() {
    let octets =
        hex("21 2c 00 03 02 50 56 00 00 01 00 00 00 00 00 00 00 00 00 00 ff ff 0a 00 00 02 00 01 23 01 00 00
         01 01 01 ff 00 00 00 00 00 00 00 00");
    let body = ConfirmLink {
        mac: Mac([2, 0x50, 0x56, 0, 0, 1]),
        gid: Gid::from_ipv4([10, 0, 0, 2]),
        qpn: Qpn::new(0x123),
        link_number: LinkNumber(1),
        link_uid: LinkUid(0x0101),
        max_links: 1,
        max_conns: 255,
        no_eyecatcher: NoEyecatcher::BOTH,
    };
    check(&octets, V2, false, Body::ConfirmLink(body));
}

// linux612-add-link-rejected.pcap, frames 18 and 20: the same GID is offered
// again; the answer repeats 44 octets.
#[test]
fn add_link_rejected() {
    let offer = AddLink {
        rejected: false,
        reject_reason: RejectReason::NONE,
        mac: mac([0, 1]),
        gid: Gid::from_ipv4([10, 9, 0, 1]),
        qpn: Qpn::new(0x12),
        link_number: LinkNumber(2),
        mtu: MtuCode::OCTETS_1024,
        psn: Psn::new(0x4a7454),
        extension: Some(AddLinkExtension {
            v2_direct: true,
            client_target_gid: Gid::from_ipv4([10, 9, 0, 1]),
            rkeys: vec![rkeys(0x03bc, 0x05f3, 0xff28_ceab_c391_0000)],
        }),
    };
    let request = hex("22 5800 00 525400000001 0000 00000000000000000000ffff0a090001 000012 02 03 4a7454
         0000000000000000 80 00 00000000000000000000ffff0a090001 0000000000000000 0100
         000003bc 000005f3 ff28ceabc3910000");
    check(&request, V2, false, Body::AddLink(offer.clone()));

    let reject = AddLink { rejected: true, extension: None, ..offer };
    let response = hex44(
        "22 2c00 c0 525400000001 0000 00000000000000000000ffff0a090001 000012 02 03 4a7454 0000000000000000",
    );
    check(&response, V2, true, Body::AddLink(reject));
}

// linux612-two-links-eth0.pcap, frame 22.
#[test]
fn add_link_accepted() {
    let accept = AddLink {
        rejected: false,
        reject_reason: RejectReason::NONE,
        mac: mac([1, 2]),
        gid: Gid::from_ipv4([10, 9, 0, 12]),
        qpn: Qpn::new(0x11),
        link_number: LinkNumber(2),
        mtu: MtuCode::OCTETS_1024,
        psn: Psn::new(0xa9c945),
        extension: Some(AddLinkExtension {
            v2_direct: true,
            client_target_gid: Gid::from_ipv4([10, 9, 0, 12]),
            rkeys: vec![rkeys(0x032d, 0x03b8, 0xff1c_76c3_c3b7_0000)],
        }),
    };
    let response = hex("22 5800 80 525400000102 0000 00000000000000000000ffff0a09000c 000011 02 03 a9c945
         0000000000000000 80 00 00000000000000000000ffff0a09000c 0000000000000000 0100
         0000032d 000003b8 ff1c76c3c3b70000");
    check(&response, V2, true, Body::AddLink(accept));
}

// Built by hand from fact sheet 30: the extension as an s390 would send it.
#[test]
fn add_link_in_the_other_host_order() {
    let offer = AddLink {
        rejected: false,
        reject_reason: RejectReason::NONE,
        mac: mac([0, 1]),
        gid: Gid::from_ipv4([10, 8, 0, 1]),
        qpn: Qpn::new(0x12),
        link_number: LinkNumber(2),
        mtu: MtuCode::OCTETS_4096,
        psn: Psn::new(1),
        extension: Some(AddLinkExtension {
            v2_direct: false,
            client_target_gid: Gid::from_ipv4([10, 8, 0, 1]),
            rkeys: vec![rkeys(7, 8, 0x1000), rkeys(9, 10, 0x2000)],
        }),
    };
    let request = hex("22 0068 00 525400000001 0000 00000000000000000000ffff0a080001 000012 02 05 000001
         0000000000000000 00 00 00000000000000000000ffff0a080001 0000000000000000 0002
         00000007 00000008 0000000000001000 00000009 0000000a 0000000000002000");
    check(&request, Version::V2(HostOrder::Big), false, Body::AddLink(offer));
}

// Built by hand from fact sheet 30.
#[test]
fn add_link_v1_says_why_it_rejects() {
    let reject = AddLink {
        rejected: true,
        reject_reason: RejectReason::INVALID_MTU,
        mac: mac([0, 2]),
        gid: Gid::from_ipv4([10, 9, 0, 2]),
        qpn: Qpn::new(0xabcdef),
        link_number: LinkNumber(2),
        mtu: MtuCode::OCTETS_256,
        psn: Psn::new(0xfffffe),
        extension: None,
    };
    let response =
        hex44("02 2c 02 c0 525400000002 0000 00000000000000000000ffff0a090002 abcdef 02 01 fffffe");
    check(&response, Version::V1, true, Body::AddLink(reject));
}

// Built by hand from fact sheet 30.
#[test]
fn add_link_continuation() {
    let body = AddLinkContinuation {
        link_number: LinkNumber(2),
        remaining: 5,
        rkeys: [rkeys(1, 2, 0x1_0000_0000), rkeys(3, 4, 0x2_0000_0000)],
    };
    let octets =
        hex44("03 2c 00 00 02 05 0000 00000001 00000002 0000000100000000 00000003 00000004 0000000200000000");
    check(&octets, Version::V1, false, Body::AddLinkContinuation(body));
}

// linux612-relink-request-add-link.pcap, frames 65, 69, 116 and 120.
#[test]
fn delete_link() {
    let link = |number, reason| {
        Body::DeleteLink(DeleteLink { all: false, orderly: true, link_number: LinkNumber(number), reason })
    };
    check(&hex44("24 2c00 20 02 00010000"), V2, false, link(2, DeleteReason::LOST_PATH));
    check(&hex44("24 2c00 a0 02 00100000"), V2, true, link(2, DeleteReason::UNKNOWN_LINK));
    let asymmetric = DeleteReason::ASYMMETRIC_NO_LONGER_NEEDED;
    check(&hex44("24 2c00 20 03 00050000"), V2, false, link(3, asymmetric));
    check(&hex44("24 2c00 a0 03 00000000"), V2, true, link(3, DeleteReason::NONE));
}

// linux612-max-links-1.pcap, frames 54, 56 and 58.
#[test]
fn delete_link_all() {
    let all = |orderly, reason| {
        Body::DeleteLink(DeleteLink { all: true, orderly, link_number: LinkNumber(0), reason })
    };
    let (shutdown, idle) = (DeleteReason::OPERATOR_INITIATED, DeleteReason::PROGRAM_INITIATED);
    check(&hex44("24 2c00 40 00 00020000"), V2, false, all(false, shutdown));
    check(&hex44("24 2c00 60 00 00020000"), V2, false, all(true, shutdown));
    check(&hex44("24 2c00 40 00 00030000"), V2, false, all(false, idle));
}

// linux612-relink-request-add-link.pcap, frame 105.
#[test]
fn request_add_link() {
    let gids = vec![Gid::from_ipv4([10, 9, 0, 2]), Gid::from_ipv4([10, 9, 0, 12])];
    let octets = hex("25 3c00 00 0000000000000000000000000000000000000000 02 000000
         00000000000000000000ffff0a090002 00000000000000000000ffff0a09000c");
    check(&octets, V2, false, Body::RequestAddLink(RequestAddLink { gids }));
}

// Built by hand from fact sheet 30: no GID, and one, take 44 octets both.
#[test]
fn request_add_link_of_44_octets() {
    check(&hex44("25 2c00 80"), V2, true, Body::RequestAddLink(RequestAddLink::default()));
    let gids = vec![Gid::from_ipv4([10, 9, 0, 2])];
    let octets = hex("25 2c00 00 0000000000000000000000000000000000000000 01 000000
         00000000000000000000ffff0a090002");
    check(&octets, V2, false, Body::RequestAddLink(RequestAddLink { gids }));
}

// linux612-abort.pcap, frames 53 and 55.
#[test]
fn confirm_rkey() {
    let octets = |flags: u8| {
        let mut octets = hex44("26 2c00 00 00 0000035f ff33a8e9c2da0000");
        octets[3] = flags;
        octets
    };
    let body = ConfirmRkey {
        negative: false,
        retry: false,
        rkey: Rkey(0x035f),
        address: 0xff33_a8e9_c2da_0000,
        others: Others::NONE,
    };
    check(&octets(0x00), V2, false, Body::ConfirmRkey(body));
    check(&octets(0x80), V2, true, Body::ConfirmRkey(body));
    // Built by hand from fact sheet 30: its flags.
    check(&octets(0xa0), V2, true, Body::ConfirmRkey(ConfirmRkey { negative: true, ..body }));
    let retry = ConfirmRkey { negative: true, retry: true, ..body };
    check(&octets(0xb0), V2, true, Body::ConfirmRkey(retry));
}

// Built by hand from fact sheet 30: on link 2, with link 1 as the other.
#[test]
fn confirm_rkey_of_two_links() {
    let other = LinkRkey { link_number: LinkNumber(1), rkey: Rkey(0x032d), address: 0xff1c_76c3_c3b7_0000 };
    let body = ConfirmRkey {
        negative: false,
        retry: false,
        rkey: Rkey(0x03b8),
        address: 0xff1c_76c3_c3b7_0000,
        others: Others::new(&[other]).unwrap(),
    };
    let octets = "26 2c00 00 01 000003b8 ff1c76c3c3b70000 01 0000032d ff1c76c3c3b70000";
    check(&hex44(octets), V2, false, Body::ConfirmRkey(body));
}

// Built by hand from fact sheet 30 and RFC 7609 Appendix A.3.6: six links.
#[test]
fn confirm_rkey_and_its_continuation() {
    let token = |n: u8| LinkRkey {
        link_number: LinkNumber(n),
        rkey: Rkey(0x100 + u32::from(n)),
        address: 0x1000 * u64::from(n),
    };
    let others = [token(2), token(3), token(4), token(5), token(6)];
    let first = ConfirmRkey {
        negative: false,
        retry: false,
        rkey: Rkey(0x101),
        address: 0x1000,
        others: Others::new(&others).unwrap(),
    };
    let octets = "06 2c 00 00 05 00000101 0000000000001000
        02 00000102 0000000000002000 03 00000103 0000000000003000";
    check(&hex44(octets), Version::V1, false, Body::ConfirmRkey(first));

    let rest = others.get(first.others.here().len()..).unwrap();
    let second = ConfirmRkeyContinuation { negative: false, tokens: Others::new(rest).unwrap() };
    let octets = "08 2c 00 00 03 04 00000104 0000000000004000
        05 00000105 0000000000005000 06 00000106 0000000000006000";
    check(&hex44(octets), Version::V1, false, Body::ConfirmRkeyContinuation(second));
}

// linux612-idle-teardown.pcap, frames 69 and 71.
#[test]
fn test_link() {
    check(&hex44("27 2c00 00"), V2, false, Body::TestLink(TestLink::default()));
    check(&hex44("27 2c00 80"), V2, true, Body::TestLink(TestLink::default()));
}

// Built by hand from fact sheet 30.
#[test]
fn test_link_with_user_data() {
    let user_data = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
    let octets = hex44("07 2c 00 80 0102030405060708090a0b0c0d0e0f10");
    check(&octets, Version::V1, true, Body::TestLink(TestLink { user_data }));
}

// linux612-add-link-rejected.pcap, frames 58 and 62: the answer has no rkey.
#[test]
fn delete_rkey() {
    let request = DeleteRkey::request(vec![Rkey(0x03bc)]);
    check(&hex44("29 2c00 00 01 00 0000 000003bc"), V2, false, Body::DeleteRkey(request));
    let response = DeleteRkey::request(vec![Rkey(0)]);
    check(&hex44("29 2c00 80 01 00 0000 00000000"), V2, true, Body::DeleteRkey(response));
}

// Built by hand from fact sheet 30: the second of three is unknown.
#[test]
fn delete_rkey_v1_mask() {
    let body = DeleteRkey {
        negative: true,
        errors: DeleteRkey::mask_bit(1),
        rkeys: vec![Rkey(1), Rkey(2), Rkey(3)],
        unlisted: 0,
    };
    let octets = hex44("09 2c 00 a0 03 40 0000 00000001 00000002 00000003");
    check(&octets, Version::V1, true, Body::DeleteRkey(body));
}

// Built by hand from fact sheet 30: ten rkeys pass octet 44, and the answer of
// Linux counts them in 44 octets of which 36 could hold rkeys.
#[test]
fn delete_rkey_v2_longer_than_44_octets() {
    let request = DeleteRkey::request((1..=10).map(Rkey).collect());
    let octets = hex("29 3000 00 0a 00 0000 00000001 00000002 00000003 00000004 00000005
        00000006 00000007 00000008 00000009 0000000a");
    check(&octets, V2, false, Body::DeleteRkey(request));

    let response = DeleteRkey { negative: true, errors: 10, rkeys: vec![Rkey(0); 9], unlisted: 1 };
    assert_eq!(response.count(), 10);
    check(&hex44("29 2c00 a0 0a 0a"), V2, true, Body::DeleteRkey(response));
}
