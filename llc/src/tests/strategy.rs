//! Every message that can be written and reads back the same.

use alloc::vec::Vec;

use proptest::collection::vec;
use proptest::prelude::*;
use smolsmc_wire::{Gid, LinkNumber, LinkUid, Mac, MtuCode, Psn, Qpn, Rkey};

use crate::*;

/// In every version and host order, with lists of at most `longest` entries.
pub(super) fn any_message(longest: usize) -> impl Strategy<Value = Message> {
    let versions = [Version::V1, Version::V2(HostOrder::Little), Version::V2(HostOrder::Big)].map(Just);
    let [v1, little, big] = versions;
    (prop_oneof![v1, little, big], any::<bool>()).prop_flat_map(move |(version, response)| {
        any_body(version, response, longest)
            .prop_map(move |body| canonical(Message { version, response, body }))
    })
}

/// A length of two equal octets does not tell the host order, which then is
/// taken for little-endian. ADD LINK has another way to tell.
fn canonical(message: Message) -> Message {
    let [a, b] = (message.wire_len() as u16).to_be_bytes();
    let tells = a != b || matches!(message.body, Body::AddLink(_)) || message.version == Version::V1;
    let version = if tells { message.version } else { Version::V2(HostOrder::Little) };
    Message { version, ..message }
}

fn any_body(version: Version, response: bool, longest: usize) -> BoxedStrategy<Body> {
    let everywhere = prop_oneof![
        confirm_link().prop_map(Body::ConfirmLink),
        add_link(version, longest).prop_map(Body::AddLink),
        add_link_continuation().prop_map(Body::AddLinkContinuation),
        delete_link().prop_map(Body::DeleteLink),
        confirm_rkey().prop_map(Body::ConfirmRkey),
        any::<[u8; 16]>().prop_map(|user_data| Body::TestLink(TestLink { user_data })),
        confirm_rkey_continuation().prop_map(Body::ConfirmRkeyContinuation),
        delete_rkey(version, response, longest).prop_map(Body::DeleteRkey),
    ];
    if version == Version::V1 {
        return everywhere.boxed();
    }
    let v2_only = vec(gid(), 0..=longest).prop_map(|gids| Body::RequestAddLink(RequestAddLink { gids }));
    prop_oneof![8 => everywhere, 1 => v2_only].boxed()
}

fn gid() -> impl Strategy<Value = Gid> {
    any::<[u8; 16]>().prop_map(Gid)
}

prop_compose! {
    fn confirm_link()(
        mac: [u8; 6], gid in gid(), qpn: u32, link_number: u8, link_uid: u32, most: (u8, u8), flags: u8
    ) -> ConfirmLink {
        ConfirmLink {
            mac: Mac(mac),
            gid,
            qpn: Qpn::new(qpn),
            link_number: LinkNumber(link_number),
            link_uid: LinkUid(link_uid),
            max_links: most.0,
            max_conns: most.1,
            no_eyecatcher: NoEyecatcher::new(flags),
        }
    }
}

prop_compose! {
    fn mapping()(current: u32, new: u32, address: u64) -> RkeyMapping {
        RkeyMapping { current: Rkey(current), new: Rkey(new), address }
    }
}

prop_compose! {
    fn extension(longest: usize)(
        v2_direct: bool, client_target_gid in gid(), rkeys in vec(mapping(), 0..=longest)
    ) -> AddLinkExtension {
        AddLinkExtension { v2_direct, client_target_gid, rkeys }
    }
}

prop_compose! {
    fn add_link(version: Version, longest: usize)(
        rejected: bool, reason in 0u8..16, mac: [u8; 6], gid in gid(), qpn: u32, link_number: u8, mtu: u8,
        psn: u32, extension in prop::option::of(extension(longest))
    ) -> AddLink {
        let v1 = version == Version::V1;
        AddLink {
            rejected,
            reject_reason: if v1 { RejectReason(reason) } else { RejectReason::NONE },
            mac: Mac(mac),
            gid,
            qpn: Qpn::new(qpn),
            link_number: LinkNumber(link_number),
            mtu: MtuCode::from_code(mtu),
            psn: Psn::new(psn),
            extension: extension.filter(|_| !v1),
        }
    }
}

prop_compose! {
    fn add_link_continuation()(
        link_number: u8, remaining: u8, rkeys in [mapping(), mapping()]
    ) -> AddLinkContinuation {
        AddLinkContinuation { link_number: LinkNumber(link_number), remaining, rkeys }
    }
}

fn reason() -> impl Strategy<Value = DeleteReason> {
    prop_oneof![prop::sample::select(DeleteReason::NAMED), any::<u32>().prop_map(DeleteReason)]
}

prop_compose! {
    fn delete_link()(all: bool, orderly: bool, link_number: u8, reason in reason()) -> DeleteLink {
        DeleteLink { all, orderly, link_number: LinkNumber(link_number), reason }
    }
}

prop_compose! {
    fn token()(link_number: u8, rkey: u32, address: u64) -> LinkRkey {
        LinkRkey { link_number: LinkNumber(link_number), rkey: Rkey(rkey), address }
    }
}

fn others<const N: usize>() -> impl Strategy<Value = Others<N>> {
    prop_oneof![vec(token(), 0..=4), vec(token(), 5..=255)]
        .prop_filter_map("at most 255", |all| Others::new(&all))
}

prop_compose! {
    fn confirm_rkey()(
        negative: bool, retry: bool, rkey: u32, address: u64, others in others()
    ) -> ConfirmRkey {
        ConfirmRkey { negative, retry, rkey: Rkey(rkey), address, others }
    }
}

prop_compose! {
    fn confirm_rkey_continuation()(negative: bool, tokens in others()) -> ConfirmRkeyContinuation {
        ConfirmRkeyContinuation { negative, tokens }
    }
}

/// Only a v2 response can leave out rkeys, and then lists at least the nine
/// that have room in 44 octets.
fn delete_rkey(version: Version, response: bool, longest: usize) -> impl Strategy<Value = DeleteRkey> {
    let most = longest.min(DeleteRkey::max_rkeys(version));
    let may_be_short = response && version != Version::V1;
    (any::<bool>(), any::<u8>(), vec(any::<u32>(), 0..=most), any::<u8>()).prop_map(
        move |(negative, errors, rkeys, unlisted)| {
            let rkeys: Vec<Rkey> = rkeys.into_iter().map(Rkey).collect();
            let room = (255 - rkeys.len()) as u8;
            let unlisted = if may_be_short && rkeys.len() >= 9 { unlisted.min(room) } else { 0 };
            DeleteRkey { negative, errors, rkeys, unlisted }
        },
    )
}
