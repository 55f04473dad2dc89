//! Every value that can be written, at random.

use alloc::vec::Vec;

use proptest::array::uniform32;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use smolsmc_wire::{AlertToken, Gid, Mac, MtuCode, PeerId, Psn, Qpn, Rkey, RmbeIndex, RmbeSize};

use crate::*;

pub(super) fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        proposal_v1().prop_map(|v1| Proposal::V1(v1).into()),
        proposal_v2().prop_map(|v2| Proposal::V2(v2).into()),
        terms_v1().prop_map(|v1| Accept::V1(v1).into()),
        accept_v2().prop_map(|v2| Accept::V2(v2).into()),
        opaque().prop_map(|body| Accept::SmcD(body).into()),
        terms_v1().prop_map(|v1| Confirm::V1(v1).into()),
        confirm_v2().prop_map(|v2| Confirm::V2(v2).into()),
        opaque().prop_map(|body| Confirm::SmcD(body).into()),
        decline().prop_map(Message::from),
    ]
}

fn version_2_up() -> impl Strategy<Value = Version> {
    (2u8..16).prop_map(|nibble| Version::new(nibble).unwrap())
}

fn types() -> impl Strategy<Value = PathTypes> {
    (0u8..4).prop_map(PathTypes::from_bits)
}

fn eid() -> impl Strategy<Value = Eid> {
    uniform32(any::<u8>()).prop_map(Eid)
}

prop_compose! {
    fn sender()(peer_id: [u8; 8], gid: [u8; 16], mac: [u8; 6]) -> Sender {
        Sender { peer_id: PeerId::from_octets(peer_id), gid: Gid(gid), mac: Mac(mac) }
    }
}

prop_compose! {
    fn ip_area()(
        ipv4_subnet: [u8; 4],
        ipv4_prefix_len: u8,
        prefixes in vec(any::<([u8; 16], u8)>(), 0..=IpArea::MAX_IPV6_PREFIXES),
    ) -> IpArea {
        let ipv6_prefixes = prefixes.into_iter().map(|(prefix, len)| Ipv6Prefix { prefix, len }).collect();
        IpArea { ipv4_subnet, ipv4_prefix_len, ipv6_prefixes }
    }
}

prop_compose! {
    fn proposal_v1()(
        types in types().prop_filter("something is offered", |types| types.offers_any()),
        sender in sender(),
        growth in vec(any::<u8>(), 0..=ProposalV1::MAX_GROWTH),
        ip_area in ip_area(),
    ) -> ProposalV1 {
        ProposalV1 { types, sender, growth, ip_area }
    }
}

prop_compose! {
    fn v2_extension()(
        eids in vec(eid(), 0..=V2Extension::MAX_EIDS),
        release in 0u8..16,
        seid_present: bool,
        roce_gid: [u8; 16],
        max_conns: u8,
        max_links: u8,
        feature_mask: u16,
    ) -> V2Extension {
        let roce_gid = Gid(roce_gid);
        V2Extension { eids, release, seid_present, roce_gid, max_conns, max_links, feature_mask }
    }
}

prop_compose! {
    fn smcd_v2()(
        seid in eid(),
        gids in vec(any::<(u64, u16)>(), 0..=SmcdV2Extension::MAX_GIDS),
    ) -> SmcdV2Extension {
        let gids = gids.into_iter().map(|(gid, chid)| IsmGid { gid, chid }).collect();
        SmcdV2Extension { seid, gids }
    }
}

prop_compose! {
    fn locator()(ism_gid: u64, ism_chid: u16, vendor_oui: [u8; 3], vendor_options: [u8; 5]) -> Locator {
        Locator { ism_gid, ism_chid, vendor_oui, vendor_options }
    }
}

prop_compose! {
    pub(super) fn proposal_v2()(
        version in version_2_up(),
        v1_types in types(),
        v2_types in types(),
        sender in sender(),
        locator in locator(),
        ip_area in ip_area(),
        v2 in v2_extension(),
        smcd_v2 in smcd_v2(),
    ) -> ProposalV2 {
        let ip_area = v1_types.offers_any().then_some(ip_area);
        let v2 = v2_types.offers_any().then_some(v2);
        let smcd_v2 = v2_types.offers_smcd().then_some(smcd_v2);
        ProposalV2 { version, v1_types, v2_types, sender, locator, ip_area, v2, smcd_v2 }
    }
}

prop_compose! {
    fn terms()(
        sender in sender(),
        qpn: u32,
        rkey: u32,
        rmbe_index: u8,
        alert_token: u32,
        sizes: (u8, u8),
        rmb_address: u64,
        psn: u32,
    ) -> SmcrTerms {
        SmcrTerms {
            peer_id: sender.peer_id,
            gid: sender.gid,
            mac: sender.mac,
            qpn: Qpn::new(qpn),
            rkey: Rkey(rkey),
            rmbe_index: RmbeIndex(rmbe_index),
            alert_token: AlertToken(alert_token),
            rmbe_size: RmbeSize::from_code(sizes.0),
            mtu: MtuCode::from_code(sizes.1),
            rmb_address,
            psn: Psn::new(psn),
        }
    }
}

prop_compose! {
    fn terms_v1()(first_contact: bool, terms in terms()) -> TermsV1 {
        TermsV1 { first_contact, terms }
    }
}

prop_compose! {
    fn first_contact()(
        v2_direct: bool,
        os in 0u8..16,
        release in 0u8..16,
        host_name in uniform32(any::<u8>()),
        maxima: (u8, u8),
        feature_mask: u16,
        vendor_options: [u8; 4],
    ) -> FirstContact {
        let (max_conns, max_links) = maxima;
        let (os, host_name) = (Os(os), HostName(host_name));
        FirstContact { v2_direct, os, release, host_name, max_conns, max_links, feature_mask, vendor_options }
    }
}

prop_compose! {
    fn accept_v2()(
        version in version_2_up(),
        terms in terms(),
        eid in eid(),
        first_contact in of(first_contact()),
    ) -> AcceptV2 {
        AcceptV2 { version, terms, eid, first_contact }
    }
}

fn gid_list() -> impl Strategy<Value = Vec<Gid>> {
    let len = prop_oneof![0usize..=4, 0..=ConfirmFirstContact::MAX_GIDS];
    len.prop_flat_map(|len| vec(any::<[u8; 16]>().prop_map(Gid), len))
}

prop_compose! {
    fn confirm_first_contact()(extension in first_contact(), gids in of(gid_list())) -> ConfirmFirstContact {
        ConfirmFirstContact { extension, gids }
    }
}

prop_compose! {
    pub(super) fn confirm_v2()(
        version in version_2_up(),
        terms in terms(),
        eid in eid(),
        first_contact in of(confirm_first_contact()),
    ) -> ConfirmV2 {
        ConfirmV2 { version, terms, eid, first_contact }
    }
}

prop_compose! {
    fn opaque()(
        smcd_eyecatcher: bool,
        smcd_type: bool,
        smcd_trailer: bool,
        version in 1u8..16,
        upper_flags in 0u8..4,
        octets in vec(any::<u8>(), 0..200),
    ) -> OpaqueTerms {
        let eyecatcher = |smcd| if smcd { Eyecatcher::Smcd } else { Eyecatcher::Smcr };
        // One of the two signs of SMC-D must be there.
        let types = if smcd_type || !smcd_eyecatcher { PathTypes::SmcD } else { PathTypes::SmcR };
        OpaqueTerms {
            eyecatcher: eyecatcher(smcd_eyecatcher),
            version: Version::new(version).unwrap(),
            flags: upper_flags << 2 | types.bits(),
            octets,
            trailer: eyecatcher(smcd_trailer),
        }
    }
}

prop_compose! {
    fn decline()(
        version in 1u8..16,
        out_of_sync: bool,
        peer_id: [u8; 8],
        diagnosis: u32,
        os in 0u8..16,
        extra: [u32; 4],
    ) -> Decline {
        let version = Version::new(version).unwrap();
        let (os, extra) = if version.is_v1() { (0, [0; 4]) } else { (os, extra) };
        let (peer_id, diagnosis) = (PeerId::from_octets(peer_id), Diagnosis(diagnosis));
        Decline { version, out_of_sync, peer_id, diagnosis, os: Os(os), extra }
    }
}
