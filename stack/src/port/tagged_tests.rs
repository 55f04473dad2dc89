use alloc::vec;
use alloc::vec::Vec;

use super::{FRAME_MAX, Untagged, untag};

fn frame(tag: &[u8], payload: usize) -> Vec<u8> {
    [&[2; 6], &[3; 6], tag, &[8, 0], &vec![7; payload]].concat()
}

#[test]
fn a_tag_that_tells_only_of_priority_is_as_none() {
    let priority = [0x81, 0, 0xe0, 0];
    match untag(&frame(&priority, 46), None) {
        Untagged::Stripped(octets, len) => assert_eq!(octets.get(..len), Some(&frame(&[], 46)[..])),
        _ => panic!("its tag is taken off"),
    }
    assert!(matches!(untag(&frame(&priority, 46), Some(5)), Untagged::Foreign), "a port in a VLAN");
}

#[test]
fn a_frame_is_for_ports_of_its_vlan() {
    let five = [0x81, 0, 0x20, 5];
    for (tag, vlan, is_ours) in [
        (&five[..], Some(5), true),
        (&five, Some(6), false),
        (&five, None, false),
        (&[], None, true),
        (&[], Some(5), false),
    ] {
        let frame = frame(tag, 46);
        let seen = match untag(&frame, vlan) {
            Untagged::Plain(plain) => plain == frame,
            Untagged::Stripped(octets, len) => octets.get(..len) == Some(&self::frame(&[], 46)[..]),
            Untagged::Foreign => false,
        };
        assert_eq!(seen, is_ours, "{tag:?} on {vlan:?}");
    }
}

#[test]
fn no_length_of_a_tagged_frame_is_out_of_bounds() {
    for len in (0..64).chain(FRAME_MAX - 8..FRAME_MAX + 16) {
        let mut frame = frame(&[0x81, 0, 0, 0], FRAME_MAX);
        frame.truncate(len);
        let fits = (16..=FRAME_MAX + 4).contains(&len);
        assert_eq!(matches!(untag(&frame, None), Untagged::Stripped(..)), fits, "{len}");
    }
}
