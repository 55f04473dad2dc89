use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::emitted;
use super::strategy::any_message;
use crate::*;

/// The bits of a message that mean nothing, by octet (fact sheet 30).
fn reserved(message: &Message) -> Vec<u8> {
    let v1 = message.version == Version::V1;
    let mut bits = vec![0; message.wire_len()];
    bits[2] = if v1 { 0xff } else { 0x00 };
    let (flags, ignored) = match &message.body {
        Body::ConfirmLink(_) => (0x7c, vec![(36, 44)]),
        Body::AddLink(body) => {
            bits[2] &= 0xf0;
            bits[32] = 0xf0;
            let mut ignored = vec![(10, 12), (36, 44)];
            if body.extension.is_some() {
                bits[44] = 0x7f;
                ignored.extend([(45, 46), (62, 70)]);
            }
            (0x3f, ignored)
        }
        Body::AddLinkContinuation(_) => (0x7f, vec![(6, 8), (40, 44)]),
        Body::DeleteLink(_) => (0x1f, vec![(9, 44)]),
        Body::RequestAddLink(body) => (0x7f, vec![(4, 24), (25, 28), (28 + 16 * body.gids.len(), 44)]),
        Body::ConfirmRkey(body) => (0x4f, vec![(17 + 13 * body.others.here().len(), 44)]),
        Body::TestLink(_) => (0x7f, vec![(20, 44)]),
        Body::ConfirmRkeyContinuation(body) => (0x5f, vec![(5 + 13 * body.tokens.here().len(), 44)]),
        Body::DeleteRkey(body) => (0x5f, vec![(6, 8), (8 + 4 * body.rkeys.len(), 44)]),
        Body::Unknown(_) => (0x00, vec![]),
    };
    bits[3] = flags;
    for (from, to) in ignored {
        bits.iter_mut().take(to).skip(from).for_each(|octet| *octet = 0xff);
    }
    bits
}

proptest! {
    #[test]
    fn what_is_emitted_parses_to_the_same(message in any_message(255)) {
        let octets = emitted(&message);
        prop_assert!((MIN_LEN..=MAX_LEN).contains(&octets.len()));
        for (offset, (octet, reserved)) in octets.iter().zip(reserved(&message)).enumerate() {
            prop_assert_eq!(octet & reserved, 0, "reserved bits of octet {}", offset);
        }
        prop_assert_eq!(Message::parse(&octets), Ok(message));
    }

    #[test]
    fn a_message_cut_short_is_refused_at_every_length(message in any_message(20)) {
        let octets = emitted(&message);
        for len in 0..octets.len() {
            let parsed = Message::parse(&octets[..len]);
            prop_assert!(parsed.is_err(), "{} of {} octets: {:?}", len, octets.len(), parsed);
        }
    }

    /// Every bit is either reserved and ignored, or makes a difference.
    #[test]
    fn each_bit_counts_unless_reserved(message in any_message(4)) {
        let mut octets = emitted(&message);
        for (offset, reserved) in reserved(&message).into_iter().enumerate() {
            for bit in (0..8).map(|n| 1u8 << n) {
                octets[offset] ^= bit;
                let parsed = Message::parse(&octets);
                let same = parsed.as_ref() == Ok(&message);
                prop_assert_eq!(same, reserved & bit != 0, "octet {} bit {:#04x}: {:?}", offset, bit, parsed);
                octets[offset] ^= bit;
            }
        }
        for (octet, reserved) in octets.iter_mut().zip(reserved(&message)) {
            *octet |= reserved;
        }
        prop_assert_eq!(Message::parse(&octets), Ok(message), "all of them at once");
    }

    #[test]
    fn octets_after_the_message_are_ignored(message in any_message(4), more in prop::collection::vec(any::<u8>(), 1..64)) {
        let mut octets = emitted(&message);
        octets.extend(more);
        prop_assert_eq!(Message::parse(&octets), Ok(message));
    }

    /// Whatever can be read can be written, and says the same again.
    #[test]
    fn any_octets_are_refused_or_read_to_be_written_again(
        kind in prop_oneof![0x00u8..0x10, 0x20u8..0x30, any::<u8>()],
        length in prop_oneof![Just([44, 0]), Just([0, 44]), Just([88, 0]), any::<[u8; 2]>()],
        rest in prop_oneof![prop::collection::vec(any::<u8>(), 41), prop::collection::vec(0u8..3, 41..400)],
    ) {
        let octets = [&[kind][..], &length[..], &rest[..]].concat();
        if let Ok(message) = Message::parse(&octets) {
            let again = emitted(&message);
            prop_assert!(again.len() <= octets.len());
            prop_assert_eq!(Message::parse(&again), Ok(message));
        }
    }
}

/// The longest lists, where a length in one order could be taken for one in
/// the other; too slow for a property.
#[test]
fn the_longest_messages_are_refused_at_every_length() {
    for order in [HostOrder::Little, HostOrder::Big] {
        let message = |body| Message { version: Version::V2(order), response: false, body };
        for n in [100, 124, 125, 191, 240, 255] {
            let gids = vec![smolsmc_wire::Gid([0xff; 16]); n];
            let rkeys = vec![smolsmc_wire::Rkey(7); n];
            for body in
                [Body::RequestAddLink(RequestAddLink { gids }), Body::DeleteRkey(DeleteRkey::request(rkeys))]
            {
                let octets = emitted(&message(body));
                assert!(Message::parse(&octets).is_ok());
                for len in 0..octets.len() {
                    assert!(Message::parse(&octets[..len]).is_err(), "{n}: {len} of {} octets", octets.len());
                }
            }
        }
    }
}
