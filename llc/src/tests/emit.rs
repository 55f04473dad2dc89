//! What cannot be written.

use alloc::vec;

use smolsmc_wire::{EmitError, Gid, Rkey};

use super::hex44;
use crate::*;

const V2: Version = Version::V2(HostOrder::Little);

#[track_caller]
fn refuse(message: &Message, what: &'static str, limit: usize, value: usize) {
    let mut out = vec![0xff; MAX_LEN];
    assert_eq!(message.emit(&mut out), Err(EmitError::TooLarge { what, limit, value }));
    assert!(out.iter().all(|octet| *octet == 0xff), "nothing is written");
}

#[track_caller]
fn fits(message: &Message, len: usize) {
    let mut out = vec![0; MAX_LEN];
    assert_eq!((message.emit(&mut out), message.wire_len()), (Ok(len), len));
}

fn add_link(version: Version, extension: Option<AddLinkExtension>) -> Message {
    let Body::AddLink(body) = Message::parse(&hex44("22 2c00 00")).unwrap().body else {
        panic!("an ADD LINK");
    };
    Message { version, response: false, body: Body::AddLink(AddLink { extension, ..body }) }
}

fn extension(rkeys: usize) -> Option<AddLinkExtension> {
    Some(AddLinkExtension { rkeys: vec![RkeyMapping::default(); rkeys], ..AddLinkExtension::default() })
}

#[test]
fn add_link_limits() {
    fits(&add_link(V2, extension(255)), 72 + 16 * 255);
    refuse(&add_link(V2, extension(256)), "ADD LINK rkeys", 255, 256);
    fits(&add_link(Version::V1, None), 44);
    refuse(&add_link(Version::V1, extension(0)), "ADD LINK in v1", 44, 72);

    let mut odd = add_link(Version::V1, None);
    if let Body::AddLink(body) = &mut odd.body {
        body.reject_reason = RejectReason(16);
    }
    refuse(&odd, "ADD LINK reject reason", 15, 16);
    // v2 has no room for any reason, and says none.
    odd.version = V2;
    fits(&odd, 44);
}

#[test]
fn request_add_link_limits() {
    let message = |version, gids| {
        let body = RequestAddLink { gids: vec![Gid::default(); gids] };
        Message { version, response: false, body: Body::RequestAddLink(body) }
    };
    fits(&message(V2, 255), 28 + 16 * 255);
    refuse(&message(V2, 256), "REQUEST ADD LINK GIDs", 255, 256);
    refuse(&message(Version::V1, 0), "REQUEST ADD LINK in v1", 0, 44);
}

#[test]
fn delete_rkey_limits() {
    let message = |version, response, rkeys, unlisted| {
        let body = DeleteRkey { unlisted, ..DeleteRkey::request(vec![Rkey(1); rkeys]) };
        Message { version, response, body: Body::DeleteRkey(body) }
    };
    fits(&message(Version::V1, false, 8, 0), 44);
    refuse(&message(Version::V1, false, 9, 0), "DELETE RKEY rkeys", 8, 9);
    fits(&message(V2, false, 255, 0), 8 + 4 * 255);
    refuse(&message(V2, false, 256, 0), "DELETE RKEY rkeys", 255, 256);
    fits(&message(V2, true, 9, 246), 44);
    refuse(&message(V2, true, 9, 247), "DELETE RKEY rkeys", 255, 256);
    refuse(&message(V2, false, 9, 1), "DELETE RKEY unlisted rkeys", 0, 1);
    refuse(&message(Version::V1, true, 1, 1), "DELETE RKEY unlisted rkeys", 0, 1);
}

#[test]
fn a_buffer_that_is_too_small() {
    let message = add_link(V2, extension(1));
    for got in 0..88 {
        let error = EmitError::BufferTooSmall { what: "ADD LINK", needed: 88, got };
        assert_eq!(message.emit(&mut vec![0; got]), Err(error));
    }
}

#[test]
fn tokens_beyond_255_have_no_count() {
    let tokens = vec![LinkRkey::default(); 256];
    assert_eq!(Others::<2>::new(&tokens), None);
    assert_eq!(
        Others::<2>::new(&tokens[..255]).map(|others| (others.count(), others.here().len())),
        Some((255, 2))
    );
    assert_eq!(Others::<3>::new(&[]), Some(Others::NONE));
}

#[test]
fn the_mask_begins_at_the_highest_bit() {
    assert_eq!([0, 1, 7, 8].map(DeleteRkey::mask_bit), [0x80, 0x40, 0x01, 0]);
}
