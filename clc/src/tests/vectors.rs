//! Octets that others wrote, or that can be checked by hand.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use smolsmc_wire::{AlertToken, Gid, Mac, MtuCode, PeerId, Psn, Qpn, Rkey, RmbeIndex, RmbeSize};

use super::{emitted, hex};
use crate::*;

/// Fact sheet 20, worked example.
pub(super) const PROPOSAL: &str = "
    e2 d4 c3 d9 01 00 9c 22 be ef 02 50 56 00 00 01
    00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
    02 50 56 00 00 01 00 00 00 00 00 00 00 00 00 00
    00 00 00 1c 00 00 00 00 00 00 00 00 00 00 00 00
    00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
    01 00 00 10 00 00 00 00 00 00 00 00 00 00 00 00
    00 00 ff ff 0a 00 00 02 ff 01 00 01 00 00 00 00
    00 00 00 00 00 00 00 00 53 4d 43 52 53 2d 54 45
    53 54 20 20 20 20 20 20 20 20 20 20 20 20 20 20
    20 20 20 20 20 20 20 20 e2 d4 c3 d9";

/// Fact sheet 20, worked example, first contact.
pub(super) const CONFIRM: &str = "
    e2 d4 c3 d9 03 00 b4 28 be ef 02 50 56 00 00 01
    00 00 00 00 00 00 00 00 00 00 ff ff 0a 00 00 02
    02 50 56 00 00 01 00 01 23 00 00 1a 2b 01 00 00
    00 05 23 00 00 00 7f 00 00 00 10 00 00 0a bc de
    53 4d 43 52 53 2d 54 45 53 54 20 20 20 20 20 20
    20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20
    00 00 00 00 00 00 00 00 80 21 00 00 72 75 73 74
    2d 70 65 65 72 20 20 20 20 20 20 20 20 20 20 20
    20 20 20 20 20 20 20 20 20 20 20 20 ff 01 00 01
    00 00 00 00 00 00 00 00 00 00 00 00 01 00 00 00
    00 00 00 00 00 00 00 00 00 00 ff ff 0a 00 00 02
    e2 d4 c3 d9";

/// Fact sheet 20, worked example, out of sync.
pub(super) const DECLINE: &str = "
    e2 d4 c3 d9 04 00 2c 28 be ef 02 50 56 00 00 01
    04 00 00 00 20 00 00 00 00 00 00 00 00 00 00 00
    00 00 00 00 00 00 00 00 e2 d4 c3 d9";

/// Built by hand from fact sheet 20: version 1, IPv4 subnet 10.0.0.0/24.
pub(super) const PROPOSAL_V1: &str = "
    e2 d4 c3 d9 01 00 34 10 be ef 02 50 56 00 00 01
    fe 80 00 00 00 00 00 00 00 50 56 ff fe 00 00 01
    02 50 56 00 00 01 00 00 0a 00 00 00 18 00 00 00
    e2 d4 c3 d9";

/// Built by hand from fact sheet 20: SMC-Rv1, SMC-Rv2 and SMC-Dv2, one IPv6
/// prefix, two UEIDs, an SEID, two ISM GIDs, vendor fields. 281 octets.
pub(super) const PROPOSAL_ALL: &str = "
    e2 d4 c3 d9 01 01 19 2c be ef 02 50 56 00 00 01
    fe 80 00 00 00 00 00 00 00 50 56 ff fe 00 00 01
    02 50 56 00 00 01 00 28
    01 02 03 04 05 06 07 08 ff 00 00 35 0a 0b 0c 31 32 33 34 35
    00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
    00 00 00 00 00 00 00 01
    20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 00 40
    02 02 00 11 00 00 00 60 00 00 00 00 00 00 00 00
    00 00 ff ff 0a 00 00 02 10 02 00 01 00 00 00 00
    00 00 00 00 00 00 00 00
    41 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20
    42 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20
    49 42 4d 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20
    00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
    00 00 00 00 00 00 00 07 ff 00
    00 00 00 00 00 00 00 09 00 01
    e2 d4 c3 d9";

/// linux612-add-link-rejected.pcap, frame 10: Accept, first contact.
pub(super) const LINUX_ACCEPT: &str = "
    e2d4c3d90200a028ce3152540000000100000000000000000000ffff0a090001525400000001000011
    000003bc01000000012300ff28ceabc391000000f3df7e4c4142454944202020202020202020202020
    2020202020202020202020202020000000000000000080210000286e6f6e6529202020202020202020
    2020202020202020202020202020202020ff020001000000000000000000000000e2d4c3d9";

/// linux612-subsequent-contacts.pcap, frame 57: Accept, subsequent contact.
pub(super) const LINUX_ACCEPT_SUBSEQUENT: &str = "
    e2d4c3d902006c20cf7b52540000000100000000000000000000ffff0a090001525400000001000011
    0000068401000000022300ff48c76182d9000000f7f4f64c4142454944202020202020202020202020
    202020202020202020202020202000000000 00000000e2d4c3d9";

/// linux612-subsequent-contacts.pcap, frame 67: Confirm, subsequent contact.
pub(super) const LINUX_CONFIRM_SUBSEQUENT: &str = "
    e2d4c3d903006c20800152540000000200000000000000000000ffff0a090002525400000002000011
    000003b301000000022300ff1ef55882e00000006b8a584c4142454944202020202020202020202020
    20202020202020202020202020200000000000000000e2d4c3d9";

/// linux612-no-ueid.pcap, frame 6: Decline of version 1 in place of a Proposal.
pub(super) const LINUX_DECLINE_V1: &str = "e2d4c3d904001c1030295254000000020303000000000000e2d4c3d9";

const MAC: Mac = Mac([2, 0x50, 0x56, 0, 0, 1]);
const PEER_ID: PeerId = PeerId { instance: 0xbeef, mac: MAC };
const GID: Gid = Gid::from_ipv4([10, 0, 0, 2]);
const LINK_LOCAL: Gid = Gid([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x56, 0xff, 0xfe, 0, 0, 1]);

fn terms() -> SmcrTerms {
    SmcrTerms {
        peer_id: PEER_ID,
        gid: GID,
        mac: MAC,
        qpn: Qpn::new(0x123),
        rkey: Rkey(0x1a2b),
        rmbe_index: RmbeIndex::FIRST,
        alert_token: AlertToken(5),
        rmbe_size: RmbeSize::KIB_64,
        mtu: MtuCode::OCTETS_1024,
        rmb_address: 0x7f00_0000_1000,
        psn: Psn::new(0x0a_bcde),
    }
}

fn extension() -> FirstContact {
    FirstContact {
        v2_direct: true,
        os: Os::LINUX,
        release: 1,
        host_name: HostName::from_ascii("rust-peer").unwrap(),
        max_conns: 255,
        max_links: 1,
        feature_mask: 1,
        vendor_options: [0; 4],
    }
}

fn eid(text: &str) -> Eid {
    Eid::from_ascii(text).unwrap()
}

fn v2_extension(eids: Vec<Eid>) -> V2Extension {
    V2Extension {
        eids,
        release: 1,
        seid_present: false,
        roce_gid: GID,
        max_conns: 255,
        max_links: 1,
        feature_mask: 1,
    }
}

/// `octets` mean `message`, and `message` is written as `octets`.
fn is(octets: &[u8], message: impl Into<Message>) {
    let message = message.into();
    assert_eq!(Message::parse(octets), Ok(message.clone()));
    assert_eq!(emitted(&message), octets);
    assert_eq!(message.header(), Header::parse(octets).map_err(|_| unreachable!()));
}

#[test]
fn worked_example_of_a_proposal() {
    let proposal = ProposalV2 {
        version: Version::V2,
        v1_types: PathTypes::Neither,
        v2_types: PathTypes::SmcR,
        sender: Sender { peer_id: PEER_ID, gid: Gid::default(), mac: MAC },
        locator: Locator::default(),
        ip_area: None,
        v2: Some(v2_extension(vec![eid("SMCRS-TEST")])),
        smcd_v2: None,
    };
    assert_eq!(hex(PROPOSAL).len(), 156);
    is(&hex(PROPOSAL), Proposal::from(proposal));
}

#[test]
fn worked_example_of_a_confirm() {
    let first_contact = ConfirmFirstContact { extension: extension(), gids: Some(vec![GID]) };
    let (version, eid) = (Version::V2, eid("SMCRS-TEST"));
    let confirm = ConfirmV2 { version, terms: terms(), eid, first_contact: Some(first_contact) };
    assert_eq!(hex(CONFIRM).len(), 180);
    is(&hex(CONFIRM), Confirm::V2(confirm));
}

/// As the sheet says: the Confirm without octets 156 to 175, and another type.
pub(super) fn worked_accept() -> Vec<u8> {
    let mut octets = hex(CONFIRM);
    octets.drain(156..176);
    octets[4..7].copy_from_slice(&[2, 0, 0xa0]);
    octets
}

#[test]
fn worked_example_of_an_accept() {
    let (version, eid) = (Version::V2, eid("SMCRS-TEST"));
    let accept = AcceptV2 { version, terms: terms(), eid, first_contact: Some(extension()) };
    assert_eq!(worked_accept().len(), 160);
    is(&worked_accept(), Accept::V2(accept));
}

#[test]
fn worked_example_of_a_decline() {
    assert_eq!(hex(DECLINE).len(), 44);
    is(&hex(DECLINE), Decline::v2(PEER_ID, Diagnosis::OUT_OF_SYNC, Os::LINUX));
}

#[test]
fn proposal_of_version_1() {
    let ip_area = IpArea { ipv4_subnet: [10, 0, 0, 0], ipv4_prefix_len: 24, ipv6_prefixes: vec![] };
    let sender = Sender { peer_id: PEER_ID, gid: LINK_LOCAL, mac: MAC };
    let proposal = ProposalV1 { types: PathTypes::SmcR, sender, growth: vec![], ip_area };
    assert_eq!(proposal.locator(), None);
    is(&hex(PROPOSAL_V1), Proposal::from(proposal));
}

#[test]
fn growth_area_of_40_octets_is_that_of_smc_d() {
    let mut octets = hex(PROPOSAL_V1);
    let area = hex("0102030405060708 ff00 0000 0a0b0c 3132333435 0000000000000000000000000000000000000000");
    octets.splice(40..40, area.iter().copied());
    octets[5..8].copy_from_slice(&[0, 92, 0x13]);
    octets[39] = 40;
    let Ok(Message::Proposal(Proposal::V1(v1))) = Message::parse(&octets) else {
        panic!("{:?}", Message::parse(&octets));
    };
    assert_eq!((v1.types, v1.growth.as_slice()), (PathTypes::Both, area.as_slice()));
    assert_eq!(v1.ip_area.ipv4_subnet, [10, 0, 0, 0]);
    let locator = Locator {
        ism_gid: 0x0102_0304_0506_0708,
        ism_chid: 0xff00,
        vendor_oui: [10, 11, 12],
        vendor_options: *b"12345",
    };
    assert_eq!(v1.locator(), Some(locator));
    is(&octets, Proposal::V1(v1));
}

#[test]
fn proposal_of_everything() {
    let prefix = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let ipv6_prefixes = vec![Ipv6Prefix { prefix, len: 64 }];
    let v2 = V2Extension {
        seid_present: true,
        max_conns: 16,
        max_links: 2,
        ..v2_extension(vec![eid("A"), eid("B")])
    };
    let gids = vec![IsmGid { gid: 7, chid: 0xff00 }, IsmGid { gid: 9, chid: 1 }];
    let proposal = ProposalV2 {
        version: Version::V2,
        v1_types: PathTypes::SmcR,
        v2_types: PathTypes::Both,
        sender: Sender { peer_id: PEER_ID, gid: LINK_LOCAL, mac: MAC },
        locator: Locator {
            ism_gid: 0x0102_0304_0506_0708,
            ism_chid: 0xff00,
            vendor_oui: [10, 11, 12],
            vendor_options: *b"12345",
        },
        ip_area: Some(IpArea { ipv4_subnet: [0; 4], ipv4_prefix_len: 0, ipv6_prefixes }),
        v2: Some(v2),
        smcd_v2: Some(SmcdV2Extension { seid: eid("IBM"), gids }),
    };
    assert_eq!(hex(PROPOSAL_ALL).len(), 281);
    is(&hex(PROPOSAL_ALL), Proposal::from(proposal));
}

/// Built by hand from fact sheet 20: the worked Confirm cut to its v1 part.
pub(super) fn v1_terms(message_type: MessageType, flags: u8) -> Vec<u8> {
    let mut octets = hex(CONFIRM);
    octets.drain(64..176);
    octets[4..8].copy_from_slice(&[message_type.0, 0, 68, 0x10 | flags]);
    octets
}

#[test]
fn accept_and_confirm_of_version_1_keep_the_first_contact_flag() {
    for first_contact in [false, true] {
        let flags = if first_contact { 8 } else { 0 };
        let body = TermsV1 { first_contact, terms: terms() };
        is(&v1_terms(MessageType::ACCEPT, flags), Accept::V1(body));
        is(&v1_terms(MessageType::CONFIRM, flags), Confirm::V1(body));
        assert_eq!(Accept::V1(body).is_first_contact(), first_contact);
    }
}

/// linux612-add-link-rejected.pcap frame 8, linux612-subsequent-contacts.pcap
/// frame 6 and others: the Proposal of a Linux client without RoCEv1.
#[test]
fn linux_proposal() {
    let mut octets = hex(PROPOSAL);
    octets[8..38].fill(0);
    octets[104..106].copy_from_slice(&[255, 2]);
    octets[100..104].copy_from_slice(&[10, 9, 0, 2]);
    octets[112 + 8..152].copy_from_slice(&eid("LABEID").0);
    let captured = hex("
        e2d4c3d901009c220000000000000000000000000000000000000000000000000000000000000000000000
        00000000000000001c000000000000000000000000000000000000000000000000000000000100001000000000
        00000000000000000000ffff0a090002ff0200010000000000000000000000004c41424549442020202020
        202020202020202020202020202020202020202020e2d4c3d9");
    assert_eq!(octets, captured);
    let v2 = V2Extension {
        roce_gid: Gid::from_ipv4([10, 9, 0, 2]),
        max_links: 2,
        ..v2_extension(vec![eid("LABEID")])
    };
    let proposal = ProposalV2 {
        version: Version::V2,
        v1_types: PathTypes::Neither,
        v2_types: PathTypes::SmcR,
        sender: Sender::default(),
        locator: Locator::default(),
        ip_area: None,
        v2: Some(v2),
        smcd_v2: None,
    };
    is(&captured, Proposal::from(proposal));
}

#[test]
fn linux_accept_on_first_contact() {
    let Ok(Message::Accept(Accept::V2(v2))) = Message::parse(&hex(LINUX_ACCEPT)) else { panic!("no Accept") };
    let mac = Mac([0x52, 0x54, 0, 0, 0, 1]);
    let terms = SmcrTerms {
        peer_id: PeerId { instance: 0xce31, mac },
        gid: Gid::from_ipv4([10, 9, 0, 1]),
        mac,
        qpn: Qpn::new(0x11),
        rkey: Rkey(0x3bc),
        rmbe_index: RmbeIndex::FIRST,
        alert_token: AlertToken(1),
        rmbe_size: RmbeSize::KIB_64,
        mtu: MtuCode::OCTETS_1024,
        rmb_address: 0xff28_ceab_c391_0000,
        psn: Psn::new(0xf3_df7e),
    };
    assert_eq!((v2.terms, v2.eid), (terms, eid("LABEID")));
    let first_contact = v2.first_contact.unwrap();
    assert_eq!(first_contact.host_name.to_string(), "(none)");
    let expected = FirstContact { host_name: first_contact.host_name, max_links: 2, ..extension() };
    assert_eq!(first_contact, expected);
    is(&hex(LINUX_ACCEPT), Accept::V2(v2));
}

#[test]
fn linux_accept_through_a_gateway_is_not_direct() {
    // linux612-indirect-gateway.pcap, frame 14.
    let octets = hex("
        e2d4c3d90200a028de9c52540000000100000000000000000000ffff0a0800015254000000010000110000032f
        01000000012300ff2b4f1e438e0000007647764c4142454944202020202020202020202020202020202020
        2020202020202020000000000000000000210000286e6f6e65292020202020202020202020202020202020
        202020202020202020ff020001000000000000000000000000e2d4c3d9");
    let Ok(Message::Accept(Accept::V2(v2))) = Message::parse(&octets) else { panic!("no Accept") };
    assert!(!v2.first_contact.unwrap().v2_direct);
    is(&octets, Accept::V2(v2));
}

#[test]
fn linux_confirm_lists_both_gids() {
    // linux612-two-links-eth0.pcap, frame 14.
    let octets = hex("
        e2d4c3d90300c428b98f52540000000200000000000000000000ffff0a0900025254000000020000110000032d
        01000000012300ff1c76c3c3b700000002436a4c4142454944202020202020202020202020202020202020
        2020202020202020000000000000000080210000286e6f6e65292020202020202020202020202020202020
        202020202020202020ff0200010000000000000000000000000200000000000000000000000000ffff0a09
        000200000000000000000000ffff0a09000ce2d4c3d9");
    let Ok(Message::Confirm(Confirm::V2(v2))) = Message::parse(&octets) else { panic!("no Confirm") };
    let gids = v2.first_contact.as_ref().unwrap().gids.as_deref();
    assert_eq!(gids, Some([[10, 9, 0, 2], [10, 9, 0, 12]].map(Gid::from_ipv4).as_slice()));
    is(&octets, Confirm::V2(v2));
}

#[test]
fn linux_subsequent_contact_has_no_extension() {
    let Ok(Message::Accept(accept)) = Message::parse(&hex(LINUX_ACCEPT_SUBSEQUENT)) else { panic!() };
    assert!(matches!(accept, Accept::V2(AcceptV2 { first_contact: None, .. })));
    assert_eq!(accept.smcr_terms().map(|terms| terms.alert_token), Some(AlertToken(2)));
    is(&hex(LINUX_ACCEPT_SUBSEQUENT), accept);

    let Ok(Message::Confirm(confirm)) = Message::parse(&hex(LINUX_CONFIRM_SUBSEQUENT)) else { panic!() };
    assert!(matches!(confirm, Confirm::V2(ConfirmV2 { first_contact: None, .. })));
    assert_eq!(confirm.smcr_terms().map(|terms| terms.rkey), Some(Rkey(0x3b3)));
    is(&hex(LINUX_CONFIRM_SUBSEQUENT), confirm);
}

#[test]
fn linux_declines() {
    let peer_id = PeerId { instance: 0x3029, mac: Mac([0x52, 0x54, 0, 0, 0, 2]) };
    is(&hex(LINUX_DECLINE_V1), Decline::v1(peer_id, Diagnosis::NO_SMC_DEVICE));

    // linux612-eid-mismatch-fallback.pcap, frame 15.
    let octets = hex("
        e2d4c3d904002c2096cb525400000001030300002000000000000000000000000000000000000000e2d4c3d9");
    let peer_id = PeerId { instance: 0x96cb, mac: Mac([0x52, 0x54, 0, 0, 0, 1]) };
    is(&octets, Decline::v2(peer_id, Diagnosis::NO_SMC_DEVICE, Os::LINUX));
}

/// Built by hand: the body is not interpreted, so any octets do.
#[test]
fn smc_d_is_kept_octet_for_octet() {
    let octets = hex("e2d4c3c4 02 0014 2d 0102030405060708 e2d4c3c4");
    let body = OpaqueTerms {
        eyecatcher: Eyecatcher::Smcd,
        version: Version::V2,
        flags: 0x0d,
        octets: (1..=8).collect(),
        trailer: Eyecatcher::Smcd,
    };
    assert!(body.first_contact());
    is(&octets, Accept::SmcD(body));

    // Either sign of SMC-D will do: the eyecatcher, or the type.
    let by_type = hex("e2d4c3d9 03 000c 11 e2d4c3d9");
    let by_eyecatcher = hex("e2d4c3c4 03 000c 10 e2d4c3c4");
    for octets in [by_type, by_eyecatcher] {
        let Ok(Message::Confirm(Confirm::SmcD(body))) = Message::parse(&octets) else { panic!() };
        is(&octets, Confirm::SmcD(body));
    }
}

/// Every code of fact sheet 20, in its order.
#[test]
fn diagnoses_have_the_codes_of_the_sheet() {
    let codes: Vec<u32> = Diagnosis::NAMED.iter().map(|diagnosis| diagnosis.0).collect();
    let sheet = [
        0x01010000, 0x02010000, 0x02020000, 0x03000000, 0x03010000, 0x03020000, 0x03030000, 0x03030001,
        0x03030002, 0x03030003, 0x03030004, 0x03030005, 0x03030006, 0x03030007, 0x03030008, 0x03030009,
        0x0303000a, 0x0303000b, 0x03040000, 0x03050000, 0x03060000, 0x03070000, 0x03080000, 0x03090000,
        0x030a0000, 0x030b0000, 0x030c0000, 0x030d0000, 0x030e0000, 0x030f0000, 0x04000000, 0x05000000,
        0x09990000, 0x09990001, 0x09990002, 0x09990003,
    ];
    assert_eq!(codes, sheet);
    assert_eq!(Diagnosis(0x0303_0008).to_string(), "peer sent no UEID");
}
