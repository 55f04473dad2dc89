//! Each call of the engine by itself: its clock, and what is settled when it
//! returns.

use super::*;

/// 4.096 us * 2^15, [`SETUP`]'s timeout, rounded up.
const TIMEOUT: Duration = Duration::from_micros(134_218);

/// A pair whose completion queues hold one completion.
fn narrow(retry_count: u8) -> Pair {
    Pair::new(Setup { cq_entries: 1, retry_count, ..SETUP })
}

/// What a NIC says of a queue that overflowed, with nothing called in between.
fn is_settled(side: &mut Side) {
    assert_eq!(side.nic.counters().cq_overflows, 1);
    assert_eq!(side.state(), QpState::Error);
    let events: Vec<_> = core::iter::from_fn(|| side.nic.next_event()).collect();
    assert!(events.iter().any(|event| matches!(event, AsyncEvent::CqError(_))), "{events:?}");
}

#[test]
fn take_settles_a_queue_that_overflows() {
    let mut pair = narrow(7);
    let into = [pair.sides[1].to(0, 64)];
    for wr_id in [1, 2] {
        pair.sides[1].receive(wr_id, &into);
        let from = [pair.sides[0].from(0, 8)];
        pair.sides[0].post(wr_id, SendOperation::Send, &from);
    }
    for frame in pair.collect(0) {
        pair.deliver(1, &frame);
    }
    is_settled(&mut pair.sides[1]);
}

/// Two requests, of which the first cannot be sent: the second is flushed.
fn two_that_fail(pair: &mut Pair) {
    let nowhere = Sge { lkey: smolsmc_wire::Lkey(0), ..pair.sides[0].from(0, 8) };
    for wr_id in [1, 2] {
        pair.sides[0].post(wr_id, SendOperation::Send, &[nowhere]);
    }
}

#[test]
fn next_len_settles_a_queue_that_overflows() {
    let mut pair = narrow(7);
    two_that_fail(&mut pair);
    let (now, port) = (pair.now, pair.sides[0].port);
    assert_eq!(pair.sides[0].nic.next_len(now, port), None);
    is_settled(&mut pair.sides[0]);
}

#[test]
fn emit_settles_a_queue_that_overflows() {
    let mut pair = narrow(7);
    two_that_fail(&mut pair);
    let (now, port) = (pair.now, pair.sides[0].port);
    assert_eq!(pair.sides[0].nic.emit(now, port, &mut [0; 1500]), 0);
    is_settled(&mut pair.sides[0]);
}

#[test]
fn run_timers_settles_a_queue_that_overflows() {
    let mut pair = narrow(0);
    for wr_id in [1, 2] {
        let from = [pair.sides[0].from(0, 8)];
        pair.sides[0].post(wr_id, SendOperation::Send, &from);
    }
    pair.collect(0);
    pair.pass(TIMEOUT);
    is_settled(&mut pair.sides[0]);
}

#[test]
fn take_sets_the_clock() {
    let mut pair = Pair::usual();
    for wr_id in [1, 2] {
        let from = [pair.sides[0].from(0, 8)];
        let write = pair.write_op(0);
        pair.sides[0].post(wr_id, write, &from);
    }
    let sent = pair.now;
    let frames = pair.collect(0);
    pair.deliver(1, &frames[0]);
    let ack = pair.collect(1).remove(0);
    pair.now = sent + Duration::from_millis(100);
    pair.deliver(0, &ack);
    assert_eq!(pair.sides[0].sent(), [(1, WcStatus::Success)]);
    // The ACK was progress: the second has its whole timeout from then on.
    pair.now = sent;
    pair.pass(TIMEOUT);
    assert_eq!(pair.sides[0].nic.counters().timeouts, 0);
    pair.pass(Duration::from_millis(99));
    assert_eq!(pair.sides[0].nic.counters().timeouts, 0);
    pair.pass(Duration::from_millis(1));
    assert_eq!(pair.sides[0].nic.counters().timeouts, 1);
    assert_eq!(pair.sides[0].nic.qp_counters(pair.sides[0].qp).unwrap().timeouts, 1);
}

#[test]
fn emit_sets_the_clock() {
    let mut pair = Pair::usual();
    let (from, port) = ([pair.sides[0].from(0, 8)], pair.sides[0].port);
    let write = pair.write_op(0);
    pair.sides[0].post(1, write, &from);
    let now = pair.now + Duration::from_millis(5);
    assert_ne!(pair.sides[0].nic.emit(now, port, &mut [0; 1500]), 0);
    assert_eq!(pair.sides[0].nic.poll_at(), Some(now + TIMEOUT));
}

#[test]
fn next_len_sets_the_clock() {
    let mut pair = Pair::usual();
    let (from, port) = ([pair.sides[0].from(0, 8)], pair.sides[0].port);
    let write = pair.write_op(0);
    pair.sides[0].post(1, write, &from);
    // On a port that is down, what is asked for is lost there and then.
    pair.sides[0].nic.set_port_state(port, PortState::Down).unwrap();
    let now = pair.now + Duration::from_millis(5);
    assert_eq!(pair.sides[0].nic.next_len(now, port), None);
    assert_eq!(pair.sides[0].nic.poll_at(), Some(now + TIMEOUT));
}

#[test]
fn a_queue_pair_counts_its_packets() {
    let mut pair = Pair::usual();
    let (from, write) = ([pair.sides[0].from(0, 1000)], pair.write_op(0));
    pair.sides[0].post(1, write, &from);
    pair.settle();
    let counted = [0, 1].map(|i| {
        let counters = pair.sides[i].nic.qp_counters(pair.sides[i].qp).unwrap();
        (counters.packets_out, counters.packets_in)
    });
    assert_eq!(counted, [(4, 1), (1, 4)], "of 256 octets, and one ACK");
}

/// Of two queue pairs of a port, the one that answered last is not first again.
#[test]
fn answers_come_in_the_order_they_were_owed() {
    let mut pair = Pair::usual();
    let ups = pair.way_up(1);
    let side = &mut pair.sides[1];
    let (pd, send_cq, recv_cq) = (side.pd, side.send_cq, side.recv_cq);
    let init = QpInit { pd, send_cq, recv_cq, capabilities: SETUP.capabilities };
    let other = side.nic.create_qp(init).unwrap();
    for up in ups {
        side.nic.modify_qp(other, up).unwrap();
    }
    let qpns = [side.qpn(), side.nic.qp(other).unwrap().qpn];
    let nothing_for = |pair: &Pair, qp: usize, ahead| {
        let psn = Psn::new(pair.setup.psn[0]).add(ahead);
        let mut headers = pair.headers(0, Opcode::WRITE_ONLY, psn, reth(pair, 0, 0));
        headers.bth.dest_qpn = qpns[qp];
        sealed(&headers, &[])
    };
    // One frame and no look for another: a queue that was looked at is tidy.
    let ack = |pair: &mut Pair| {
        let frame = pair.sides[1].emit(pair.now).unwrap();
        pair.seen_as(1, &frame).psn
    };
    let frame = nothing_for(&pair, 0, 0);
    pair.deliver(1, &frame);
    assert_eq!(ack(&mut pair), 0);
    for (qp, ahead) in [(1, 0), (0, 1)] {
        let frame = nothing_for(&pair, qp, ahead);
        pair.deliver(1, &frame);
    }
    assert_eq!([ack(&mut pair), ack(&mut pair)], [0, 1]);
}

/// Whoever emits without asking for the length first meets the same checks.
#[test]
fn emit_alone_checks_a_request_too() {
    let mut pair = Pair::new(Setup { reads: 0, ..SETUP });
    let (to, op) = (pair.sides[0].to(0, 8), pair.read_op(0));
    pair.sides[0].post(1, op, &[to]);
    let (now, port) = (pair.now, pair.sides[0].port);
    assert_eq!(pair.sides[0].nic.emit(now, port, &mut [0; 1500]), 0);
    assert_eq!(pair.sides[0].sent(), [(1, WcStatus::LocalQpOperation)]);
}
