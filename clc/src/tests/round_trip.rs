//! What is written is read, whole and only whole.

use alloc::vec::Vec;

use proptest::prelude::*;
use smolsmc_wire::EmitError;

use super::vectors::*;
use super::{emitted, hex, strategy};
use crate::*;

/// One message of each layout.
pub(super) fn one_of_each() -> Vec<Vec<u8>> {
    alloc::vec![
        hex(PROPOSAL),
        hex(PROPOSAL_V1),
        hex(PROPOSAL_ALL),
        worked_accept(),
        hex(LINUX_ACCEPT_SUBSEQUENT),
        v1_terms(MessageType::ACCEPT, 8),
        hex(CONFIRM),
        hex(LINUX_CONFIRM_SUBSEQUENT),
        v1_terms(MessageType::CONFIRM, 0),
        hex(DECLINE),
        hex(LINUX_DECLINE_V1),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read(message in strategy::message()) {
        let octets = emitted(&message);
        prop_assert_eq!(Message::parse(&octets), Ok(message.clone()));
        let header = Header::parse(&octets).unwrap();
        prop_assert_eq!(header.message_len(), octets.len());
        prop_assert_eq!(message.header(), Ok(header));
        let claimed = u16::from_be_bytes([octets[5], octets[6]]);
        prop_assert_eq!(usize::from(claimed), octets.len());
    }

    #[test]
    fn every_cut_is_refused(message in strategy::message()) {
        let octets = emitted(&message);
        for len in 0..octets.len() {
            prop_assert!(Message::parse(&octets[..len]).is_err(), "{} of {}", len, octets.len());
        }
        let mut longer = octets;
        longer.push(0);
        prop_assert!(Message::parse(&longer).is_err(), "the next octet is the application's");
    }

    #[test]
    fn every_buffer_too_small_is_refused(message in strategy::message()) {
        let needed = message.wire_len();
        let mut out = alloc::vec![0; needed];
        for got in 0..needed {
            let refused = message.emit(&mut out[..got]);
            let too_small = matches!(refused, Err(EmitError::BufferTooSmall { needed: n, got: g, .. })
                if n == needed && g == got);
            prop_assert!(too_small, "{:?}", refused);
        }
    }

    #[test]
    fn octets_after_the_message_are_the_callers(message in strategy::message()) {
        let len = message.wire_len();
        let mut out = alloc::vec![0xa5; len + 3];
        prop_assert_eq!(message.emit(&mut out), Ok(len));
        prop_assert_eq!(&out[len..], &[0xa5; 3]);
    }

    /// Random bodies behind a sound frame: whatever is read can be written and
    /// reads the same again.
    #[test]
    fn random_octets_do_no_harm(
        message_type in 0u8..6,
        flags in 0x10u8..0x40,
        body in proptest::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 0..400),
    ) {
        let octets = framed(message_type, flags, &body);
        if let Ok(message) = Message::parse(&octets) {
            prop_assert_eq!(Message::parse(&emitted(&message)), Ok(message));
        }
    }
}

fn framed(message_type: u8, flags: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() + Header::MIN_MESSAGE_LEN) as u16;
    let [high, low] = length.to_be_bytes();
    let mut octets = hex("e2d4c3d9");
    octets.extend([message_type, high, low, flags]);
    octets.extend(body);
    octets.extend(hex("e2d4c3d9"));
    octets
}

/// The body cut and the frame mended: only the layout can tell.
#[test]
fn every_length_that_the_layout_does_not_have_is_refused() {
    for octets in one_of_each() {
        let body = &octets[8..octets.len() - 4];
        for len in 0..body.len() {
            let cut = framed(octets[4], octets[7], &body[..len]);
            // A Confirm may end before its GID list, or have growth there.
            let before_list = octets[4] == 3 && cut.len() == 160 && octets[7] & 8 != 0;
            assert_eq!(Message::parse(&cut).is_ok(), before_list, "{} of {octets:02x?}", cut.len());
        }
    }
}

#[test]
fn confirm_without_gid_list_is_not_one_with_an_empty_list() {
    let octets = hex(CONFIRM);
    let gids = |body: &[u8]| match Message::parse(&framed(3, 0x28, body)) {
        Ok(Message::Confirm(Confirm::V2(v2))) => v2.first_contact.unwrap().gids,
        other => panic!("{other:?}"),
    };
    assert_eq!(gids(&octets[8..156]), None);
    assert_eq!(gids(&[&octets[8..156], &[0; 4]].concat()), Some(Vec::new()));
}

#[test]
fn only_accept_and_confirm_of_version_2_may_grow() {
    for octets in one_of_each() {
        let body = &octets[8..octets.len() - 4];
        for growth in [1, 4, 16, 500] {
            let grown = framed(octets[4], octets[7], &[body, &alloc::vec![0xa5; growth]].concat());
            match (octets[4], octets[7] >> 4) {
                (2 | 3, 2) => assert_eq!(Message::parse(&grown), Message::parse(&octets)),
                _ => assert!(Message::parse(&grown).is_err(), "{growth} more for {octets:02x?}"),
            }
        }
    }
}

#[test]
fn later_versions_have_the_layout_of_version_2_and_keep_their_number() {
    for mut octets in one_of_each().into_iter().filter(|octets| octets[7] >> 4 == 2) {
        octets[7] = octets[7] & 0x0f | 0x70;
        let message = Message::parse(&octets).unwrap();
        assert_eq!(message.header().unwrap().version.nibble(), 7);
        assert_eq!(emitted(&message), octets);
    }
}
