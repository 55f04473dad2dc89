use alloc::vec::Vec;

use super::Turn;

/// One poll of a port with `room` for frames; both have more to send than that. Who
/// sent how many.
fn poll(turn: &mut Turn, room: u32) -> (u32, u32) {
    let sent = if turn.go_first() { (room, 0) } else { (0, room) };
    if sent.0 > 0 {
        turn.went_first();
    }
    turn.over(true, sent.1 > 0);
    sent
}

#[test]
fn both_sides_of_a_full_port_send_in_turn() {
    let mut turn = Turn::default();
    let sent: Vec<_> = (0..4).map(|_| poll(&mut turn, 7)).collect();
    assert_eq!(sent, [(0, 7), (7, 0), (0, 7), (7, 0)]);
}

#[test]
fn polls_without_room_take_nobodys_turn() {
    let mut turn = Turn::default();
    let mut sums = (0, 0);
    for step in 0..120 {
        // Sometimes two polls find none, sometimes three.
        let sent = poll(&mut turn, u32::from(step % 7 == 0 || step % 7 == 3));
        sums = (sums.0 + sent.0, sums.1 + sent.1);
    }
    assert_eq!((sums.0 + sums.1, sums.0.abs_diff(sums.1) <= 1), (35, true), "{sums:?}");
}

#[test]
fn who_found_room_goes_last_again() {
    let mut turn = Turn::default();
    turn.over(true, true);
    assert!(turn.go_first());
    turn.went_first();
    turn.over(false, false);
    assert_eq!(turn, Turn::default());
}
