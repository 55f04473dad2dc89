use alloc::vec::Vec;

use slotmap::KeyData;

use super::*;

fn handle(number: u64) -> SocketHandle {
    KeyData::from_ffi(number | 1 << 32).into()
}

fn number(handle: SocketHandle) -> u64 {
    slotmap::Key::data(&handle).as_ffi() & 0xffff_ffff
}

fn drain(ready: &mut Ready) -> Vec<u64> {
    core::iter::from_fn(|| ready.pop()).map(number).collect()
}

#[test]
fn short_ones_go_first_each_kind_in_its_order() {
    let mut ready = Ready::default();
    for (number, is_short) in [(1, false), (2, true), (3, false), (4, true), (5, true)] {
        ready.push(handle(number), is_short);
    }
    assert_eq!(drain(&mut ready), [2, 4, 5, 1, 3]);
    assert!(ready.is_empty());
}

/// All have something more to say after each turn: those with much are served all the
/// same, and no short one waits for long either.
#[test]
fn nobody_waits_for_ever() {
    const SHORT_ONES: u64 = 40;
    let mut ready = Ready::default();
    (0..SHORT_ONES + 2).for_each(|number| ready.push(handle(number), number < SHORT_ONES));
    let mut last = [0_u32; SHORT_ONES as usize + 2];
    for turn in 0..10_000 {
        let number = number(ready.pop().unwrap());
        let since = turn - core::mem::replace(&mut last[number as usize], turn);
        assert!(since <= 2 * (SHORT_ONES as u32 + 2), "{number} waited for {since} turns");
        ready.push(handle(number), number < SHORT_ONES);
    }
}

#[test]
fn short_ones_alone_are_a_queue() {
    let mut ready = Ready::default();
    (0..100).for_each(|number| ready.push(handle(number), true));
    assert_eq!(drain(&mut ready), (0..100).collect::<Vec<_>>());
}
