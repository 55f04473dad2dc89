//! How long a requester waits, for ACKs and for receivers, and when it gives up.

use super::*;

const TICK: Duration = Duration::from_millis(140);

#[test]
fn the_ack_timer_runs_once_per_retry_and_then_gives_up() {
    for retry_count in [0, 1, 3, 7] {
        let mut pair = Pair::new(Setup { retry_count, ..SETUP });
        let (from, op) = (pair.sides[0].from(0, 300), pair.write_op(0));
        pair.sides[0].post(1, op, &[from]);
        pair.sides[0].post(2, op, &[from]);
        pair.sides[0].receive(9, &[]);
        // 4.096 us * 2^15, rounded up.
        let timeout = Duration::from_micros(134_218);
        for round in 0..=retry_count {
            pair.carry(|_| Fate::Lost);
            assert_eq!(pair.trace(0).len(), 4, "round {round}");
            let early = Duration::from_micros(timeout.micros() - 1);
            pair.pass(early);
            pair.carry(|_| Fate::Lost);
            assert_eq!(pair.trace(0), [], "not a microsecond early");
            assert_eq!(pair.sides[0].sent(), []);
            pair.pass(Duration::from_micros(1));
        }
        assert_eq!(pair.sides[0].sent(), [(1, WcStatus::RetryExceeded), (2, WcStatus::Flushed)]);
        assert_eq!(pair.sides[0].received(), [(9, WcStatus::Flushed, 0)]);
        assert_eq!(pair.sides[0].state(), QpState::Error);
        assert_eq!(pair.sides[0].nic.poll_at(), None, "nothing is waited for");
        let counters = *pair.sides[0].nic.counters();
        assert_eq!(counters.timeouts, u64::from(retry_count) + 1);
        assert_eq!((counters.retries_exceeded, counters.qp_errors, counters.flushed), (1, 1, 2));
        assert_eq!(pair.sides[0].nic.next_event(), Some(AsyncEvent::QpFatal(pair.sides[0].qp)));
    }
}

#[test]
fn progress_restores_patience() {
    let mut pair = Pair::new(Setup { retry_count: 1, ..SETUP });
    let (from, op) = (pair.sides[0].from(0, 4), pair.write_op(0));
    for i in 0..6 {
        pair.sides[0].post(i, op, &[from]);
        pair.carry(|_| Fate::Lost);
        pair.pass(TICK);
        pair.settle();
        assert_eq!(pair.sides[0].sent(), [(i, WcStatus::Success)]);
    }
}

#[test]
fn timeout_code_zero_waits_for_ever() {
    let mut pair = Pair::new(Setup { timeout: 0, retry_count: 0, ..SETUP });
    let (from, op) = (pair.sides[0].from(0, 4), pair.write_op(0));
    pair.sides[0].post(0, op, &[from]);
    pair.carry(|_| Fate::Lost);
    assert_eq!(pair.sides[0].nic.poll_at(), None);
    pair.pass(Duration::from_secs(1_000_000));
    pair.settle();
    assert_eq!(pair.sides[0].sent(), []);
    assert_eq!(pair.sides[0].state(), QpState::ReadyToSend);
}

#[test]
fn an_ack_puts_the_timer_off() {
    let mut pair = Pair::usual();
    let (from, op) = (pair.sides[0].from(0, 4), pair.write_op(0));
    pair.sides[0].post(0, op, &[from]);
    pair.sides[0].post(1, op, &[from]);
    let frames = pair.collect(0);
    pair.pass(Duration::from_millis(100));
    pair.deliver(1, &frames[0]);
    let ack = pair.collect(1);
    pair.deliver(0, &ack[0]);
    // The second packet waits since the ACK of the first.
    pair.pass(Duration::from_millis(100));
    assert_eq!(pair.collect(0).len(), 0);
    assert!(pair.sides[0].nic.poll_at().unwrap() > pair.now, "it was looked at and put off");
    pair.pass(Duration::from_millis(35));
    assert_eq!(pair.collect(0).len(), 1);
}

#[test]
fn time_that_goes_back_stands_still() {
    let mut pair = Pair::usual();
    let (from, op) = (pair.sides[0].from(0, 4), pair.write_op(0));
    pair.now = Instant::from_millis(1_000_000);
    pair.sides[0].post(0, op, &[from]);
    assert_eq!(pair.collect(0).len(), 1);
    pair.now = Instant::ZERO;
    pair.pass(Duration::from_millis(500));
    assert_eq!(pair.collect(0).len(), 0, "no time has passed");
    pair.now = Instant::from_millis(1_000_135);
    pair.pass(Duration::ZERO);
    assert_eq!(pair.collect(0).len(), 1);
}

#[test]
fn a_sequence_nak_without_progress_costs_a_retry() {
    let mut pair = Pair::new(Setup { retry_count: 0, ..SETUP });
    let (from, op) = (pair.sides[0].from(0, 4), pair.write_op(0));
    pair.sides[0].post(0, op, &[from]);
    pair.sides[0].post(1, op, &[from]);
    let frames = pair.collect(0);
    pair.deliver(1, &frames[1]);
    let nak = pair.collect(1);
    pair.deliver(0, &nak[0]);
    assert_eq!(pair.sides[0].sent(), [(0, WcStatus::RetryExceeded), (1, WcStatus::Flushed)]);
}

#[test]
fn copies_of_a_nak_are_obeyed_once() {
    let mut pair = Pair::new(Setup { retry_count: 1, ..SETUP });
    let (from, op) = (pair.sides[0].from(0, 4), pair.write_op(0));
    for i in 0..4 {
        pair.sides[0].post(i, op, &[from]);
    }
    let frames = pair.collect(0);
    pair.deliver(1, &frames[1]);
    let nak = pair.collect(1);
    for _ in 0..5 {
        pair.deliver(0, &nak[0]);
        assert_eq!(pair.collect(0).len() % 4, 0);
    }
    assert_eq!(pair.sides[0].nic.counters().retransmitted, 4);
    assert_eq!(pair.sides[0].state(), QpState::ReadyToSend);
}

// ---- RNR ----

#[test]
fn a_send_without_receive_waits_as_long_as_it_is_told() {
    let mut pair = Pair::usual();
    let from = pair.sides[0].from(0, 300);
    pair.sides[0].post(1, SendOperation::Send, &[from]);
    pair.sides[0].post(2, SendOperation::Send, &[from]);
    let frames = pair.collect(0);
    for frame in &frames {
        pair.deliver(1, frame);
    }
    let answers = pair.collect(1);
    assert_eq!(answers.len(), 1);
    let rnr = pair.seen_as(1, &answers[0]);
    assert_eq!((rnr.psn, rnr.ext.aeth().unwrap().syndrome.octet()), (0, 0x25), "timer code 5");
    pair.deliver(0, &answers[0]);
    assert_eq!(pair.sides[1].nic.counters().naks_sent.rnr, 1);
    assert_eq!(pair.sides[0].nic.counters().naks_received.rnr, 1);
    assert_eq!(pair.collect(0).len(), 0);
    assert_eq!(pair.sides[0].nic.poll_at(), Some(pair.now + Duration::from_micros(60)));
    pair.pass(Duration::from_micros(59));
    assert_eq!(pair.collect(0).len(), 0, "not a microsecond early");
    for i in 0..2 {
        let to = pair.sides[1].to(0, 300);
        pair.sides[1].receive(i, &[to]);
    }
    pair.pass(Duration::from_micros(1));
    pair.settle();
    assert_eq!(pair.sides[0].sent(), [(1, WcStatus::Success), (2, WcStatus::Success)]);
    assert_eq!(pair.sides[1].received(), [(0, WcStatus::Success, 300), (1, WcStatus::Success, 300)]);
}

#[test]
fn rnr_retries_run_out_unless_they_are_seven() {
    for rnr_retry in [0, 1, 6, 7] {
        let mut pair = Pair::new(Setup { rnr_retry, ..SETUP });
        let from = pair.sides[0].from(0, 4);
        pair.sides[0].post(1, SendOperation::Send, &[from]);
        for _ in 0..rnr_retry {
            pair.settle();
            assert_eq!(pair.sides[0].sent(), [], "{rnr_retry}");
            pair.pass(Duration::from_micros(60));
        }
        pair.settle();
        if rnr_retry == 7 {
            assert_eq!(pair.sides[0].state(), QpState::ReadyToSend);
            continue;
        }
        assert_eq!(pair.sides[0].sent(), [(1, WcStatus::RnrRetryExceeded)]);
        assert_eq!(pair.sides[0].nic.counters().rnr_retries_exceeded, 1);
    }
}

#[test]
fn an_rnr_nak_acknowledges_what_is_before_it() {
    let mut pair = Pair::usual();
    let (from, op) = (pair.sides[0].from(0, 4), pair.write_op(0));
    pair.sides[0].post(1, op, &[from]);
    pair.sides[0].post(2, SendOperation::Send, &[from]);
    for frame in pair.collect(0) {
        pair.deliver(1, &frame);
    }
    let answers = pair.collect(1);
    assert_eq!(answers.len(), 1, "no ACK beside it");
    pair.deliver(0, &answers[0]);
    assert_eq!(pair.sides[0].sent(), [(1, WcStatus::Success)]);
}

#[test]
fn a_write_with_immediate_needs_a_receive_only_at_its_end() {
    let mut pair = Pair::usual();
    let mr = pair.sides[1].into_mr;
    let op = SendOperation::WriteWithImmediate { remote_addr: mr.iova, rkey: mr.rkey, immediate: [9; 4] };
    let from = pair.sides[0].from(0, 600);
    pair.sides[0].post(1, op, &[from]);
    pair.settle();
    assert_eq!(pair.sides[1].incoming(0, 512), patterns(0, 512), "FIRST and MIDDLE are in place");
    assert_eq!(pair.sides[1].incoming(512, 88), [0; 88], "LAST is not");
    assert_eq!(pair.sides[1].nic.counters().naks_sent.rnr, 1);
    pair.sides[1].receive(4, &[]);
    pair.pass(Duration::from_micros(60));
    pair.seen.clear();
    pair.settle();
    assert_eq!(pair.trace(0), [(Opcode::WRITE_LAST_IMM, 2)]);
    assert_eq!(pair.sides[1].received(), [(4, WcStatus::Success, 600)]);
    assert_eq!(pair.sides[0].sent(), [(1, WcStatus::Success)]);
}

#[test]
fn every_rnr_timer_code_is_waited_for() {
    for code in 0..32 {
        let mut pair = Pair::usual();
        let from = pair.sides[0].from(0, 4);
        pair.sides[0].post(1, SendOperation::Send, &[from]);
        pair.collect(0);
        let frame = pair.response(Opcode::ACK, 0, 0x20 | code, &[]);
        pair.deliver(0, &frame);
        let wait = RNR_TIMER_MICROS[usize::from(code)];
        pair.pass(Duration::from_micros(u64::from(wait) - 1));
        assert_eq!(pair.collect(0).len(), 0, "{code}");
        pair.pass(Duration::from_micros(1));
        assert_eq!(pair.collect(0).len(), 1, "{code}");
    }
}

#[test]
fn copies_of_an_rnr_nak_count_once() {
    let mut pair = Pair::new(Setup { rnr_retry: 1, ..SETUP });
    let from = pair.sides[0].from(0, 4);
    pair.sides[0].post(1, SendOperation::Send, &[from]);
    pair.collect(0);
    let frame = pair.response(Opcode::ACK, 0, 0x25, &[]);
    pair.deliver(0, &frame);
    pair.now = pair.now + Duration::from_micros(30);
    for _ in 0..5 {
        pair.deliver(0, &frame);
    }
    pair.pass(Duration::from_micros(30));
    assert_eq!(pair.collect(0).len(), 1, "the wait is that of the first");
    assert_eq!(pair.sides[0].sent(), []);
}

#[test]
fn a_timeout_makes_ready_to_obey_the_same_nak_again() {
    let mut pair = Pair::usual();
    let (from, op) = (pair.sides[0].from(0, 4), pair.write_op(0));
    pair.sides[0].post(0, op, &[from]);
    pair.sides[0].post(1, op, &[from]);
    assert_eq!(pair.collect(0).len(), 2);
    let nak = pair.response(Opcode::ACK, 0, 0x60, &[]);
    for (again, resent) in [(false, 2), (false, 0), (true, 2), (false, 2), (false, 0)] {
        if again {
            pair.pass(TICK);
        } else {
            pair.deliver(0, &nak);
        }
        assert_eq!(pair.collect(0).len(), resent);
    }
}

#[test]
fn a_peer_that_is_not_ready_is_not_silent() {
    let mut pair = Pair::new(Setup { retry_count: 1, ..SETUP });
    let from = pair.sides[0].from(0, 4);
    pair.sides[0].post(1, SendOperation::Send, &[from]);
    for round in 0..10 {
        // Lost once, then refused: that is an answer.
        pair.carry(|_| Fate::Lost);
        pair.pass(TICK);
        pair.settle();
        assert_eq!(pair.sides[0].nic.counters().naks_received.rnr, round + 1);
        assert_eq!(pair.sides[0].sent(), [], "it goes on: {round}");
        pair.pass(Duration::from_micros(60));
    }
    let to = pair.sides[1].to(0, 4);
    pair.sides[1].receive(2, &[to]);
    pair.settle();
    assert_eq!(pair.sides[0].sent(), [(1, WcStatus::Success)]);
}

#[test]
fn after_an_rnr_wait_the_same_nak_is_obeyed_again() {
    let mut pair = Pair::usual();
    let (from, op) = (pair.sides[0].from(0, 4), pair.write_op(0));
    pair.sides[0].post(1, SendOperation::Send, &[from]);
    pair.sides[0].post(2, op, &[from]);
    pair.collect(0);
    let nak = pair.response(Opcode::ACK, 0, 0x60, &[]);
    let rnr = pair.response(Opcode::ACK, 0, 0x25, &[]);
    pair.deliver(0, &nak);
    assert_eq!(pair.collect(0).len(), 2);
    pair.deliver(0, &rnr);
    pair.deliver(0, &nak);
    assert_eq!(pair.collect(0).len(), 0, "a wait is a wait");
    pair.pass(Duration::from_micros(60));
    assert_eq!(pair.collect(0).len(), 2, "sent again");
    pair.deliver(0, &nak);
    assert_eq!(pair.collect(0).len(), 2, "and lost again");
    pair.deliver(0, &nak);
    assert_eq!(pair.collect(0).len(), 0, "once is enough");
}

#[test]
fn progress_restores_patience_with_a_peer_that_is_not_ready() {
    let mut pair = Pair::new(Setup { rnr_retry: 1, ..SETUP });
    let (from, into) = (pair.sides[0].from(0, 4), pair.sides[1].to(0, 4));
    for wr_id in 0..3 {
        pair.sides[0].post(wr_id, SendOperation::Send, &[from]);
        pair.settle();
        pair.sides[1].receive(wr_id, &[into]);
        pair.pass(Duration::from_micros(60));
        pair.settle();
        assert_eq!(pair.sides[0].sent(), [(wr_id, WcStatus::Success)]);
    }
}

#[test]
fn nothing_outstanding_is_waited_for() {
    let mut pair = Pair::usual();
    let (from, op) = (pair.sides[0].from(0, 4), pair.write_op(0));
    pair.sides[0].post(1, op, &[from]);
    pair.settle();
    pair.pass(Duration::from_secs(1));
    assert_eq!(pair.sides[0].nic.counters().timeouts, 0);
    assert_eq!(pair.sides[0].nic.poll_at(), None);
}

/// ACKs are asked for at the same packets of a message, sent again or not.
#[test]
fn going_back_counts_to_half_a_window_anew() {
    let asks = |sent_before: usize| {
        let mut pair = Pair::new(Setup { window: 8, ..SETUP });
        let (from, op) = (pair.sides[0].from(0, 256 * 20), pair.write_op(0));
        pair.sides[0].post(1, op, &[from]);
        for _ in 0..sent_before {
            pair.sides[0].emit(pair.now).unwrap();
        }
        pair.pass(if sent_before > 0 { Duration::from_millis(135) } else { Duration::ZERO });
        let frames = pair.collect(0);
        let seen = frames.iter().map(|frame| pair.seen_as(0, frame));
        seen.filter(|seen| seen.ack_request).map(|seen| seen.psn).collect::<Vec<_>>()
    };
    assert_eq!(asks(0), [3, 7]);
    assert_eq!(asks(2), [3, 7]);
}
