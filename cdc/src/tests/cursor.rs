use alloc::format;
use alloc::vec::Vec;

use proptest::prelude::*;

use crate::Cursor;

/// A ring small enough to try everything.
const RING: u32 = 8;

/// Octets after which the wrap count of a ring of 8 is 0 again.
const CIRCLE: u64 = 8 << 16;

/// Six rounds of stream positions, from three rounds before the wrap count
/// goes from 65535 to 0.
fn around_the_wrap() -> impl Iterator<Item = u64> + Clone {
    CIRCLE - 24..CIRCLE + 24
}

fn at(position: u64) -> Cursor {
    Cursor::at(position, RING).unwrap()
}

#[test]
fn a_cursor_is_a_position_in_a_circle_of_65536_rings() {
    assert_eq!(at(CIRCLE - 1), Cursor { wrap: 65535, count: 7 });
    assert_eq!(at(CIRCLE), Cursor { wrap: 0, count: 0 });
    for position in around_the_wrap().chain(0..24) {
        assert_eq!(at(position).position(RING), position % CIRCLE);
        assert!(at(position).is_valid(RING));
    }
    assert_eq!(Cursor::at(5, 0), None);
}

#[test]
fn advance_is_addition_of_positions_up_to_one_ring() {
    for position in around_the_wrap() {
        for n in 0..=2 * RING {
            let sum = (n <= RING).then(|| at(position + u64::from(n)));
            assert_eq!(at(position).advance(n, RING), sum, "{position} + {n}");
        }
        assert_eq!(at(position).advance(u32::MAX, RING), None);
    }
}

#[test]
fn distance_is_subtraction_of_positions_up_to_one_ring() {
    for from in around_the_wrap() {
        for to in around_the_wrap() {
            let octets = to.checked_sub(from).filter(|d| *d <= u64::from(RING)).map(|d| d as u32);
            assert_eq!(Cursor::distance(at(from), at(to), RING), octets, "{from} to {to}");
        }
    }
}

/// Every wrap count of `to`, not only the near ones.
#[test]
fn distance_across_more_than_a_ring_is_none_however_far() {
    for from in (CIRCLE - 8..CIRCLE + 8).map(at) {
        let near: Vec<Cursor> = (0..=RING).filter_map(|n| from.advance(n, RING)).collect();
        assert_eq!(near.len(), 9);
        for wrap in 0..=u16::MAX {
            for to in (0..RING).map(|count| Cursor { wrap, count }) {
                assert_eq!(Cursor::distance(from, to, RING).is_some(), near.contains(&to), "{from} to {to}");
            }
        }
    }
}

#[test]
fn a_count_outside_the_ring_measures_nothing() {
    let inside = Cursor { wrap: 3, count: 7 };
    for count in [8, 9, 16, u32::MAX] {
        for wrap in [2, 3, 4] {
            let outside = Cursor { wrap, count };
            assert!(!outside.is_valid(RING));
            assert_eq!(Cursor::distance(inside, outside, RING), None);
            assert_eq!(Cursor::distance(outside, inside, RING), None);
            assert_eq!(Cursor::distance(outside, outside, RING), None);
            assert_eq!(outside.advance(0, RING), None);
            assert_eq!(outside.offset_before(RING), None);
            assert_eq!(outside.to_end(RING), 0);
        }
    }
    assert_eq!(Cursor::default().advance(0, 0), None, "a ring of no octets has no place in it");
    assert_eq!(Cursor::distance(Cursor::default(), Cursor::default(), 0), None);
}

#[test]
fn the_end_of_the_ring_and_the_octet_before() {
    for position in around_the_wrap() {
        let cursor = at(position);
        assert_eq!(u64::from(cursor.to_end(RING)), 8 - position % 8);
        assert_eq!(cursor.offset_before(RING).map(u64::from), Some((position - 1) % 8));
    }
    // "last byte of the ring if count = 0", fact sheet 40, urgent data.
    assert_eq!(Cursor { wrap: 9, count: 0 }.offset_before(65_536), Some(65_535));
}

/// Linux 6.12 smc_cdc as fact sheet 40 has it, against positions.
#[test]
fn linux_drops_no_step_forward_but_not_every_step_back() {
    for from in around_the_wrap() {
        for to in around_the_wrap() {
            let ignored = Cursor::is_backwards_for_linux(at(from), at(to));
            let (old, new) = (at(from).wrap, at(to).wrap);
            if to > from + u64::from(RING) {
                continue;
            }
            let expected = match to < from {
                false => false,
                // Taken for the step from 65535, and for a jump ahead of 0.
                true if new == 0 && old != 0 => false,
                true if new > old => false,
                true => true,
            };
            assert_eq!(ignored, expected, "{from} to {to}");
        }
    }
}

#[test]
fn linux_takes_any_cursor_of_wrap_0_and_any_jump_forward() {
    let old = Cursor { wrap: 5, count: 4 };
    for new in [Cursor { wrap: 0, count: 0 }, Cursor { wrap: 9, count: 0 }, Cursor { wrap: 6, count: 99 }] {
        assert!(!Cursor::is_backwards_for_linux(old, new));
        assert_eq!(Cursor::distance(old, new, RING), None);
    }
    assert!(Cursor::is_backwards_for_linux(old, Cursor { wrap: 4, count: 7 }));
    assert!(Cursor::is_backwards_for_linux(old, Cursor { wrap: 5, count: 3 }));
}

#[test]
fn a_cursor_is_shown_as_wrap_and_count() {
    assert_eq!(format!("{}", Cursor { wrap: 3, count: 1000 }), "3/1000");
}

/// Any size that fits, with the ones at the edges often.
fn size() -> impl Strategy<Value = u32> {
    prop_oneof![Just(1), Just(u32::MAX), (14u32..30).prop_map(|n| 1 << n), 1..=u32::MAX]
}

proptest! {
    #[test]
    fn big_rings_agree_with_positions(
        (size, start, n) in size().prop_flat_map(|size| {
            let circle = u64::from(size) << 16;
            let near = circle - 2 * u64::from(size)..circle;
            (Just(size), prop_oneof![0..circle, near], 0..=size)
        })
    ) {
        let from = Cursor::at(start, size).unwrap();
        let to = Cursor::at(start + u64::from(n), size).unwrap();
        prop_assert_eq!(from.advance(n, size), Some(to));
        prop_assert_eq!(Cursor::distance(from, to, size), Some(n));
        prop_assert!(!Cursor::is_backwards_for_linux(from, to));
        if n != 0 {
            prop_assert_eq!(Cursor::distance(to, from, size), None);
        }
    }

    #[test]
    fn distance_never_says_more_than_the_ring(
        size: u32, a: (u16, u32), b: (u16, u32)
    ) {
        let (from, to) = (Cursor { wrap: a.0, count: a.1 }, Cursor { wrap: b.0, count: b.1 });
        if let Some(n) = Cursor::distance(from, to, size) {
            prop_assert!(n <= size);
            prop_assert_eq!(from.advance(n, size), Some(to));
        }
    }
}
