//! One bit wrong: reserved ones are ignored, all others matter.

use alloc::vec::Vec;

use super::hex;
use super::round_trip::one_of_each;
use super::vectors::*;
use crate::*;

/// Bits to ignore: first octet, octets, mask.
type Ignored = &'static [(usize, usize, u8)];

/// Flips each bit in turn. A bit in `ignored` must change nothing, any other
/// must lead to a refusal or another value.
fn flip_each_bit(octets: &[u8], ignored: Ignored) {
    let original = Message::parse(octets).unwrap();
    for (at, bit) in (0..octets.len()).flat_map(|at| (0..8).map(move |bit| (at, 1 << bit))) {
        let is_ignored =
            ignored.iter().any(|&(start, len, mask)| (start..start + len).contains(&at) && mask & bit != 0);
        let mut flipped = octets.to_vec();
        flipped[at] ^= bit;
        let same = Message::parse(&flipped).as_ref() == Ok(&original);
        assert_eq!(same, is_ignored, "bit {bit:#04x} of octet {at} of {octets:02x?}");
    }
}

const TERMS: [(usize, usize, u8); 3] = [(7, 1, 0x04), (51, 1, 0xff), (60, 1, 0xff)];
const TERMS_V2: [(usize, usize, u8); 4] = [TERMS[0], TERMS[1], TERMS[2], (96, 8, 0xff)];
const FIRST_CONTACT: [(usize, usize, u8); 7] =
    [TERMS_V2[0], TERMS_V2[1], TERMS_V2[2], TERMS_V2[3], (104, 1, 0x7f), (106, 2, 0xff), (148, 8, 0xff)];

#[test]
fn proposal_of_smc_r_v2() {
    flip_each_bit(
        &hex(PROPOSAL),
        &[
            // Where no IP area is, its offset matters only above 40.
            (39, 1, 0x3f),
            (60, 20, 0xff),
            // Nothing of SMC-D is offered: count and offset say nothing.
            (81, 2, 0xff),
            (83, 1, 0x0e),
            (84, 4, 0xff),
            (108, 12, 0xff),
        ],
    );
}

#[test]
fn proposal_of_everything() {
    flip_each_bit(
        &hex(PROPOSAL_ALL),
        &[
            (60, 20, 0xff),
            (85, 2, 0xff),
            // Version 2 extension at 105, SMC-Dv2 extension at 209.
            (107, 1, 0xff),
            (108, 1, 0x0e),
            (109, 2, 0xff),
            (133, 12, 0xff),
            (241, 16, 0xff),
        ],
    );
}

#[test]
fn proposal_of_version_1() {
    flip_each_bit(&hex(PROPOSAL_V1), &[(7, 1, 0x0c), (45, 2, 0xff)]);
}

#[test]
fn accept() {
    flip_each_bit(&worked_accept(), &FIRST_CONTACT);
    flip_each_bit(&hex(LINUX_ACCEPT_SUBSEQUENT), &TERMS_V2);
    flip_each_bit(&v1_terms(MessageType::ACCEPT, 0), &TERMS);
}

#[test]
fn confirm() {
    // Three reserved octets behind the count of GIDs. A count of 0 leaves
    // growth behind the list, and is another value.
    const LIST: [(usize, usize, u8); 8] = {
        let f = FIRST_CONTACT;
        [f[0], f[1], f[2], f[3], f[4], f[5], f[6], (157, 3, 0xff)]
    };
    flip_each_bit(&hex(CONFIRM), &LIST);
    flip_each_bit(&hex(LINUX_CONFIRM_SUBSEQUENT), &TERMS_V2);
    flip_each_bit(&v1_terms(MessageType::CONFIRM, 8), &TERMS);
}

#[test]
fn decline() {
    flip_each_bit(&hex(DECLINE), &[(7, 1, 0x07), (20, 1, 0x0f), (21, 3, 0xff), (40, 4, 0xff)]);
    flip_each_bit(&hex(LINUX_DECLINE_V1), &[(7, 1, 0x07), (20, 4, 0xff), (24, 4, 0xff)]);
}

/// All flips of two neighbouring bits and all octets set to ones: no panic, and
/// what is read can be written.
#[test]
fn worse_damage_does_no_harm() {
    let try_it = |octets: &[u8]| {
        if let Ok(message) = Message::parse(octets) {
            let mut out: Vec<u8> = alloc::vec![0; message.wire_len()];
            assert_eq!(message.emit(&mut out), Ok(out.len()));
            assert_eq!(Message::parse(&out), Ok(message));
        }
    };
    for octets in one_of_each() {
        for at in 0..octets.len() {
            for damage in (0..7).map(|bit| 3 << bit).chain([0xff]) {
                let mut damaged = octets.clone();
                damaged[at] ^= damage;
                try_it(&damaged);
            }
        }
    }
}
