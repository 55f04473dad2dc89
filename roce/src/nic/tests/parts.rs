//! The parts a NIC is made of, against plain models of them.

use alloc::collections::BTreeMap;

use super::*;
use crate::nic::schedule::Schedule;
use crate::nic::slots::Slots;
use crate::nic::timers::Timers;
use proptest::prelude::*;

proptest! {
    /// A heap of deadlines says what a sorted map of them says.
    #[test]
    fn timers_are_a_sorted_map(steps in proptest::collection::vec((0u8..4, 0u32..20, 0u64..50), 0..300)) {
        let mut timers = Timers::new(20);
        let mut model = BTreeMap::<u32, u64>::new();
        for (what, qp, at) in steps {
            match what {
                0 | 1 => {
                    timers.at_most(qp, Instant::from_micros(at));
                    let entry = model.entry(qp).or_insert(at);
                    *entry = (*entry).min(at);
                }
                2 => {
                    timers.remove(qp);
                    model.remove(&qp);
                }
                _ => {
                    let due = model.iter().map(|(qp, at)| (*at, *qp)).min().filter(|(first, _)| *first <= at);
                    prop_assert_eq!(timers.pop(Instant::from_micros(at)), due.map(|(_, qp)| qp));
                    if let Some((_, qp)) = due {
                        model.remove(&qp);
                    }
                }
            }
            let first = model.values().min().copied().map(Instant::from_micros);
            prop_assert_eq!(timers.next(), first);
        }
    }

    /// Places are used again, handles are not.
    #[test]
    fn handles_never_name_another_object(steps in proptest::collection::vec((any::<bool>(), any::<u32>()), 0..200)) {
        let mut slots = Slots::new(7);
        let mut alive = Vec::<(u32, u32, usize)>::new();
        let mut dead = Vec::<(u32, u32)>::new();
        for (n, (insert, pick)) in steps.into_iter().enumerate() {
            if insert {
                match slots.insert_random(pick, |_, _| n) {
                    Some((index, generation)) => alive.push((index, generation, n)),
                    None => prop_assert_eq!(alive.len(), 7),
                }
            } else if !alive.is_empty() {
                let (index, generation, value) = alive.swap_remove(pick as usize % alive.len());
                prop_assert_eq!(slots.remove(index), Some(value));
                dead.push((index, generation));
            }
            for (index, generation, value) in &alive {
                prop_assert_eq!(slots.named(*index, *generation), Some(value));
            }
            for (index, generation) in &dead {
                prop_assert_eq!(slots.named(*index, *generation), None);
            }
        }
    }
}

#[test]
fn a_turn_is_sixteen_packets_and_the_next_one_has_a_whole_turn() {
    let mut schedule = Schedule::new(4);
    for qp in 0..3 {
        schedule.add_data(qp);
    }
    let mut order = Vec::new();
    for _ in 0..100 {
        order.push(schedule.turn().unwrap());
        schedule.sent();
    }
    let want: Vec<u32> = (0..100).map(|n| n / 16 % 3).collect();
    assert_eq!(order, want);
    // Whoever passes in mid-turn leaves a whole turn to the next.
    let passing = schedule.turn().unwrap();
    assert_eq!(schedule.pass(), Some(passing));
    let next = schedule.turn().unwrap();
    assert_ne!(next, passing);
    for _ in 0..16 {
        assert_eq!(schedule.turn(), Some(next));
        schedule.sent();
    }
    assert_ne!(schedule.turn(), Some(next));
    schedule.remove(next);
    assert_eq!(schedule.pass().and_then(|_| schedule.turn()), None);
}

#[test]
fn rings_go_on_where_their_positions_wrap() {
    for before in 0..5 {
        let mut pair = Pair::usual();
        // Back to RTR, and on with positions just before the wrap.
        let ups = pair.way_up(0);
        let side = &mut pair.sides[0];
        side.nic.modify_qp(side.qp, QpTransition::Reset).unwrap();
        let qp = side.nic.qps.get_mut(side.qp.index()).unwrap();
        (qp.sq.head, qp.sq.tail) = (u32::MAX - before, u32::MAX - before);
        for up in ups {
            side.nic.modify_qp(side.qp, up).unwrap();
        }
        let qp = pair.sides[1].nic.qps.get_mut(pair.sides[1].qp.index()).unwrap();
        qp.rq.start_at(u32::MAX - before);
        let from = pair.sides[0].from(0, 300);
        for i in 0..10 {
            let to = pair.sides[1].to(1000 * i as usize, 300);
            pair.sides[1].receive(i, &[to]);
            pair.sides[0].post(i, SendOperation::Send, &[from]);
        }
        let mut n = 0;
        pair.carry(|_| {
            n += 1;
            if n == 7 { Fate::Lost } else { Fate::Arrive }
        });
        assert_eq!(pair.sides[0].sent(), (0..10).map(|i| (i, WcStatus::Success)).collect::<Vec<_>>());
        let got: Vec<_> = (0..10).map(|i| (i, WcStatus::Success, 300)).collect();
        assert_eq!(pair.sides[1].received(), got);
        assert_eq!(pair.sides[1].incoming(9000, 300), patterns(0, 300));
    }
}

#[test]
fn message_sequence_numbers_wrap() {
    let mut pair = Pair::usual();
    let qp = pair.sides[1].nic.qps.get_mut(pair.sides[1].qp.index()).unwrap();
    qp.resp.msn = smolsmc_wire::Msn::new(0xff_ffff);
    let (from, op) = (pair.sides[0].from(0, 4), pair.write_op(0));
    pair.sides[0].post(0, op, &[from]);
    pair.settle();
    let ack = pair.seen.iter().find(|seen| seen.opcode == Opcode::ACK).unwrap();
    assert_eq!(ack.ext.aeth().unwrap().msn.value(), 0);
    assert_eq!(pair.sides[0].sent(), [(0, WcStatus::Success)]);
}

#[test]
fn ipv4_identifications_differ_and_are_never_zero() {
    let mut pair = Pair::usual();
    let op = pair.write_op(0);
    let mut last = 0;
    for round in 0..70_000_u32 {
        pair.sides[0].try_post(0, op, Payload::Inline(&[])).unwrap();
        let frame = pair.sides[0].emit(pair.now).unwrap();
        let id = u16::from_be_bytes([frame[18], frame[19]]);
        assert!(id != 0 && id != last, "{round}");
        last = id;
        let qp = pair.sides[0].nic.qps.get_mut(pair.sides[0].qp.index()).unwrap();
        // As if it had been acknowledged.
        qp.sq.clear();
        qp.req.una = qp.req.next;
    }
}
