use smoltcp::phy::{RxToken as _, TxToken as _};

use super::*;

const NOW: Instant = Instant::ZERO;

fn send(wire: &mut Wire, len: usize, octet: u8) -> bool {
    wire.transmit(NOW).map(|token| token.consume(len, |frame| frame.fill(octet))).is_some()
}

fn receive(wire: &mut Wire) -> Option<Vec<u8>> {
    wire.receive(NOW).map(|(frame, _)| frame.consume(<[u8]>::to_vec))
}

#[test]
fn frames_arrive_in_order_at_the_other_end_only() {
    let (mut left, mut right) = pair(1500);
    assert_eq!(left.capabilities().max_transmission_unit, 1514);
    for i in 0..100 {
        assert!(send(&mut left, 60 + usize::from(i), i));
    }
    assert!(right.has_frames() && !left.has_frames());
    assert!(receive(&mut left).is_none());
    for i in 0..100 {
        assert_eq!(receive(&mut right).expect("a frame"), vec![i; 60 + usize::from(i)]);
    }
    assert!(receive(&mut right).is_none());
}

#[test]
fn full_cable_lets_nothing_be_transmitted_and_keeps_room_for_an_answer() {
    let (mut left, mut right) = pair(1500);
    for round in 0..3 {
        while send(&mut left, 60, round) {}
        send(&mut right, 60, 9);
        let (frame, answer) = left.receive(NOW).expect("a frame");
        frame.consume(|_| answer.consume(61, |room| room.fill(round)));
        assert_eq!(left.lost(), u64::from(round), "the answer found room");
        send(&mut right, 60, 9);
        let (_, answer) = left.receive(NOW).expect("a frame");
        answer.consume(61, |_| ());
        assert_eq!(left.lost(), u64::from(round) + 1, "one answer, not two");
        for i in 0..WIRE_FRAMES {
            let expected = if i == WIRE_FRAMES - 1 { vec![round; 61] } else { vec![round; 60] };
            assert_eq!(receive(&mut right).expect("a frame"), expected);
        }
        assert!(receive(&mut right).is_none());
    }
}

#[test]
fn frame_longer_than_the_mtu_allows_is_lost() {
    let (mut left, mut right) = pair(1500);
    assert!(send(&mut left, 1519, 1));
    assert!(send(&mut left, 1518, 2));
    assert_eq!(left.lost(), 1);
    assert_eq!(receive(&mut right).expect("the other"), [2; 1518]);
}

/// Which of 1000 frames arrive.
fn arrivals(loss: Loss) -> Vec<u16> {
    let (mut left, mut right) = pair(1500);
    left.set_loss(loss);
    (0..1000_u16)
        .filter(|i| {
            left.transmit(NOW)
                .expect("room")
                .consume(60, |frame| frame[..2].copy_from_slice(&i.to_be_bytes()));
            receive(&mut right).is_some_and(|frame| frame[..2] == i.to_be_bytes())
        })
        .collect()
}

#[test]
fn loss_follows_from_its_seed() {
    let loss = Loss { per_mille: 100, seed: 7 };
    let arrived = arrivals(loss);
    assert!((850..950).contains(&arrived.len()), "{}", arrived.len());
    assert_eq!(arrivals(loss), arrived);
    assert_ne!(arrivals(Loss { seed: 8, ..loss }), arrived);
    assert_eq!(arrivals(Loss::default()).len(), 1000);
    assert_eq!(arrivals(Loss { per_mille: 1000, seed: 1 }).len(), 0);
}

#[test]
#[allow(clippy::disallowed_methods, reason = "threads are what is tested")]
fn ends_may_live_in_two_threads_that_answer_each_other() {
    const ANSWERS: usize = 5000;
    let (mut left, right) = pair(1500);
    assert!(send(&mut left, 60, 0));
    let play = |mut wire: Wire| {
        let mut received = 0;
        while received < ANSWERS {
            let Some((frame, answer)) = wire.receive(NOW) else {
                std::thread::yield_now();
                continue;
            };
            frame.consume(|octets| answer.consume(octets.len(), |room| room.copy_from_slice(octets)));
            received += 1;
        }
    };
    let other = std::thread::spawn(move || play(right));
    play(left);
    other.join().expect("it plays to its end");
}
