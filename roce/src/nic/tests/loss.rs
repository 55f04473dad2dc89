//! What is lost, repeated, late or in disorder: everything arrives once.

use super::*;
use proptest::prelude::*;

const TICK: Duration = Duration::from_millis(140);

/// Three requests of every kind, some packets each, and receives for them.
fn post_mixture(pair: &mut Pair) {
    let (from, write, read) = (pair.sides[0].from(3, 700), pair.write_op(0), pair.read_op(50));
    let into = pair.sides[0].to(0, 700);
    for i in 0..2 {
        let to = pair.sides[1].to(8192 + 1024 * i, 700);
        pair.sides[1].receive(i as u64, &[to]);
    }
    pair.sides[0].post(0, write, &[from]);
    pair.sides[0].post(1, SendOperation::Send, &[from]);
    pair.sides[0].post(2, read, &[into]);
    pair.sides[0].post(3, SendOperation::Send, &[from]);
}

/// All of the mixture is done, exactly once.
fn check_mixture(pair: &mut Pair) {
    assert_eq!(pair.sides[0].sent(), [0, 1, 2, 3].map(|id| (id, WcStatus::Success)));
    assert_eq!(pair.sides[1].received(), [0, 1].map(|id| (id, WcStatus::Success, 700)));
    assert_eq!(pair.sides[1].incoming(0, 700), patterns(3, 700));
    assert_eq!(pair.sides[1].incoming(8192, 700), patterns(3, 700));
    assert_eq!(pair.sides[1].incoming(9216, 700), patterns(3, 700));
    assert_eq!(pair.sides[0].incoming(0, 700), patterns(50, 700));
}

/// Carries with the fates of the frames by their number, then lets time pass
/// until all is done.
fn carry_numbered(pair: &mut Pair, fate: impl Fn(usize) -> Fate) {
    let mut n = 0;
    for _ in 0..8 {
        pair.carry(|_| {
            n += 1;
            fate(n - 1)
        });
        pair.pass(TICK);
    }
    pair.settle();
}

#[test]
fn any_one_or_two_frames_may_be_lost() {
    let mut whole = Pair::usual();
    post_mixture(&mut whole);
    whole.settle();
    let frames = whole.seen.len();
    check_mixture(&mut whole);
    for first in 0..frames {
        for second in first..frames + 6 {
            let mut pair = Pair::usual();
            post_mixture(&mut pair);
            carry_numbered(&mut pair, |n| if n == first || n == second { Fate::Lost } else { Fate::Arrive });
            check_mixture(&mut pair);
        }
    }
}

#[test]
fn any_frame_may_come_twice_and_any_other_be_lost() {
    for twice in 0..16 {
        for lost in 0..16 {
            let mut pair = Pair::usual();
            post_mixture(&mut pair);
            carry_numbered(&mut pair, |n| match n {
                n if n == lost => Fate::Lost,
                n if n == twice => Fate::Twice,
                _ => Fate::Arrive,
            });
            check_mixture(&mut pair);
        }
    }
}

#[test]
fn everything_twice_is_executed_once() {
    let mut pair = Pair::usual();
    post_mixture(&mut pair);
    pair.carry(|_| Fate::Twice);
    check_mixture(&mut pair);
    assert!(pair.sides[1].nic.counters().duplicates > 0);
    assert_eq!(pair.sides[1].nic.qp(pair.sides[1].qp).unwrap().recv_posted, 0);
}

/// Octets by chance, from a seed (xorshift).
struct Chance(u64);

impl Chance {
    fn octet(&mut self) -> u8 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 24) as u8
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Loss, repetition, disorder and delay by chance, both ways, over the wrap
    /// of PSNs: everything arrives once and in order, at any window.
    #[test]
    fn any_wire_delivers(seed: u64, window in 2u32..20, psn in 0xff_ffe0_u32..=0xff_ffff) {
        let mut pair = Pair::new(Setup { window, psn: [psn; 2], ..SETUP });
        for _ in 0..2 {
            post_mixture(&mut pair);
        }
        let mut chance = Chance(seed | 1);
        let mut wires: [Vec<Vec<u8>>; 2] = [Vec::new(), Vec::new()];
        for round in 0..200 {
            // Sooner or later the wire is mended, and before that four rounds of ten, no
            // fewer than lie between two retries: seven of those in a row, each of which
            // counts, must not all be lost by chance.
            let mended = round > 60 || round % 10 >= 6;
            for (from, wire) in wires.iter_mut().enumerate() {
                wire.append(&mut pair.collect(from));
                let mut late = Vec::new();
                for frame in wire.drain(..) {
                    match if mended { 255 } else { chance.octet() } {
                        0..40 => {}
                        40..60 => late.push(frame),
                        60..80 => {
                            pair.deliver(1 - from, &frame);
                            late.push(frame);
                        }
                        _ => pair.deliver(1 - from, &frame),
                    }
                }
                *wire = late;
            }
            pair.pass(Duration::from_millis(47));
        }
        let ids: Vec<_> = (0..8).map(|i| (i % 4, WcStatus::Success)).collect();
        prop_assert_eq!(pair.sides[0].sent(), ids);
        let got: Vec<_> = (0..4).map(|i| (i % 2, WcStatus::Success, 700)).collect();
        prop_assert_eq!(pair.sides[1].received(), got);
        prop_assert_eq!(pair.sides[1].incoming(0, 700), patterns(3, 700));
        prop_assert_eq!(pair.sides[0].incoming(0, 700), patterns(50, 700));
        prop_assert_eq!(pair.sides[1].nic.counters().dropped.wrong_icrc, 0);
    }
}

#[test]
fn a_gap_brings_one_nak_and_the_rest_of_the_message_again() {
    let mut pair = Pair::usual();
    let (from, op) = (pair.sides[0].from(0, 256 * 8), pair.write_op(0));
    pair.sides[0].post(1, op, &[from]);
    let frames = pair.collect(0);
    for (i, frame) in frames.iter().enumerate() {
        if i != 3 {
            pair.deliver(1, frame);
        }
    }
    let answers = pair.collect(1);
    assert_eq!(answers.len(), 1, "one NAK for the gap");
    let nak = pair.seen_as(1, &answers[0]);
    let syndrome = Syndrome::Nak { code: NakCode::PSN_SEQUENCE_ERROR };
    assert_eq!(nak.psn, 3);
    assert_eq!(nak.ext.aeth().unwrap().syndrome, syndrome);
    assert_eq!(nak.ext.aeth().unwrap().msn.value(), 0, "a NAK has the MSN as it is");
    pair.deliver(0, &answers[0]);
    pair.settle();
    let again: Vec<_> = pair.seen.iter().filter(|seen| seen.from == 0).collect();
    assert_eq!(again.len(), 5);
    assert_eq!((again[0].opcode, again[0].psn, again[0].ext), (Opcode::WRITE_MIDDLE, 3, Ext::None));
    assert_eq!((again[4].opcode, again[4].psn), (Opcode::WRITE_LAST, 7));
    assert_eq!(pair.sides[0].sent(), [(1, WcStatus::Success)]);
    assert_eq!(pair.sides[1].incoming(0, 2048), patterns(0, 2048));
    assert_eq!(pair.sides[0].nic.counters().retransmitted, 5);
    assert_eq!(pair.sides[0].nic.qp_counters(pair.sides[0].qp).unwrap().retransmitted, 5);
    assert_eq!(pair.sides[1].nic.counters().naks_sent.sequence, 1);
    assert_eq!(pair.sides[0].nic.counters().naks_received.sequence, 1);
    assert_eq!(pair.sides[1].nic.counters().dropped.ahead, 4);
}

#[test]
fn a_nak_acknowledges_what_is_before_it() {
    let mut pair = Pair::usual();
    let (from, op) = (pair.sides[0].from(0, 4), pair.write_op(0));
    for i in 0..5 {
        pair.sides[0].post(i, op, &[from]);
    }
    let frames = pair.collect(0);
    for i in [0, 1, 2, 4] {
        pair.deliver(1, &frames[i]);
    }
    // The ACK of 2 is not sent: the NAK of 3 says it as well.
    let answers = pair.collect(1);
    assert_eq!(answers.len(), 1);
    pair.deliver(0, &answers[0]);
    assert_eq!(pair.sides[0].sent(), [0, 1, 2].map(|id| (id, WcStatus::Success)));
    pair.settle();
    assert_eq!(pair.trace(0), [(Opcode::WRITE_ONLY, 3), (Opcode::WRITE_ONLY, 4)]);
}

#[test]
fn a_new_gap_brings_a_new_nak() {
    let mut pair = Pair::usual();
    let (from, op) = (pair.sides[0].from(0, 256 * 6), pair.write_op(0));
    pair.sides[0].post(1, op, &[from]);
    let frames = pair.collect(0);
    for i in [0, 2, 3] {
        pair.deliver(1, &frames[i]);
    }
    assert_eq!(pair.collect(1).len(), 1);
    pair.deliver(1, &frames[4]);
    assert_eq!(pair.collect(1).len(), 0, "not a second one for the same gap");
    pair.deliver(1, &frames[1]);
    pair.deliver(1, &frames[3]);
    let answers = pair.collect(1);
    assert_eq!(pair.seen_as(1, &answers[0]).psn, 2);
}

#[test]
fn a_gap_that_closes_before_the_nak_is_sent_needs_no_nak() {
    let mut pair = Pair::usual();
    let (from, op) = (pair.sides[0].from(0, 4), pair.write_op(0));
    for i in 0..3 {
        pair.sides[0].post(i, op, &[from]);
    }
    let frames = pair.collect(0);
    for i in [1, 0, 1] {
        pair.deliver(1, &frames[i]);
    }
    let answers = pair.collect(1);
    assert_eq!(pair.seen_as(1, &answers[0]).ext.aeth().unwrap().syndrome, Syndrome::ACK);
    // If what was dropped is still missing, the NAK asks for exactly that.
    let mut pair = Pair::usual();
    let op = pair.write_op(0);
    for i in 0..3 {
        pair.sides[0].post(i, op, &[from]);
    }
    let frames = pair.collect(0);
    for i in [2, 0] {
        pair.deliver(1, &frames[i]);
    }
    let answers = pair.collect(1);
    let nak = pair.seen_as(1, &answers[0]);
    assert_eq!((nak.psn, nak.ext.aeth().unwrap().syndrome.octet()), (1, 0x60));
}

#[test]
fn a_nak_that_waits_asks_for_the_first_packet_still_missing() {
    // What arrives before the NAK can be sent, and what it then asks for.
    for (order, missing) in [
        (&[1, 2, 0, 1][..], 2),
        (&[3, 0, 2, 1, 2], 3),
        (&[4, 0, 1, 2], 3),
        (&[4, 2, 0], 1),
        (&[2, 2, 0, 1], 2),
    ] {
        let mut pair = Pair::usual();
        let (from, op) = (pair.sides[0].from(0, 4), pair.write_op(0));
        for i in 0..5 {
            pair.sides[0].post(i, op, &[from]);
        }
        let frames = pair.collect(0);
        for i in order {
            pair.deliver(1, &frames[*i]);
        }
        let answers = pair.collect(1);
        assert_eq!(answers.len(), 1, "{order:?}");
        let nak = pair.seen_as(1, &answers[0]);
        assert_eq!((nak.psn, nak.ext.aeth().unwrap().syndrome.octet()), (missing, 0x60), "{order:?}");
    }
}

#[test]
fn a_lost_ack_is_given_again_for_a_duplicate() {
    let mut pair = Pair::usual();
    let (from, to) = (pair.sides[0].from(0, 44), pair.sides[1].to(0, 44));
    pair.sides[1].receive(5, &[to]);
    pair.sides[1].receive(6, &[to]);
    pair.sides[0].post(1, SendOperation::Send, &[from]);
    pair.carry(|seen| if seen.from == 1 { Fate::Lost } else { Fate::Arrive });
    assert_eq!(pair.sides[1].received(), [(5, WcStatus::Success, 44)]);
    assert_eq!(pair.sides[0].sent(), []);
    pair.pass(TICK);
    pair.settle();
    assert_eq!(pair.sides[0].sent(), [(1, WcStatus::Success)]);
    assert_eq!(pair.sides[1].received(), [], "not executed twice");
    assert_eq!(pair.sides[1].nic.counters().duplicates, 1);
    let acks: Vec<_> = pair.seen.iter().filter(|s| s.from == 1).map(|s| (s.psn, s.ext)).collect();
    assert_eq!(acks[0], acks[1], "the same PSN and MSN");
}

#[test]
fn stale_and_ghost_acks_are_ignored() {
    let mut pair = Pair::usual();
    let (from, op) = (pair.sides[0].from(0, 4), pair.write_op(0));
    pair.sides[0].post(0, op, &[from]);
    let request = pair.collect(0);
    pair.deliver(1, &request[0]);
    let ack = pair.collect(1).remove(0);
    pair.deliver(0, &ack);
    assert_eq!(pair.sides[0].sent(), [(0, WcStatus::Success)]);
    pair.deliver(0, &ack);
    assert_eq!(pair.sides[0].nic.counters().dropped.stale, 1);
    // ACK and NAK of what was posted but never sent, and of far ahead.
    pair.sides[0].post(1, op, &[from]);
    for ahead in [1, 2, 1000, 0x7f_ffff] {
        for syndrome in [0x1f, 0x61, 0x62, 0x63, 0x25] {
            let frame = pair.response(Opcode::ACK, ahead, syndrome, &[]);
            pair.deliver(0, &frame);
        }
    }
    assert_eq!(pair.sides[0].nic.counters().dropped.ghost, 20);
    assert_eq!(pair.sides[0].sent(), []);
    assert_eq!(pair.sides[0].state(), QpState::ReadyToSend);
    pair.settle();
    assert_eq!(pair.sides[0].sent(), [(1, WcStatus::Success)]);
}
