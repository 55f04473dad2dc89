//! What a requester makes of answers, and of its own mistakes.

use super::*;

#[test]
fn each_nak_ends_with_its_status() {
    for (syndrome, status) in [
        (0x61, WcStatus::RemoteInvalidRequest),
        (0x62, WcStatus::RemoteAccess),
        (0x63, WcStatus::RemoteOperation),
        (0x7f, WcStatus::RemoteOperation),
    ] {
        let mut pair = Pair::usual();
        let (from, op) = (pair.sides[0].from(0, 4), pair.write_op(0));
        for i in 0..4 {
            pair.sides[0].post(i, op, &[from]);
        }
        pair.collect(0);
        let frame = pair.response(Opcode::ACK, 2, syndrome, &[]);
        pair.deliver(0, &frame);
        let want = [(0, WcStatus::Success), (1, WcStatus::Success), (2, status), (3, WcStatus::Flushed)];
        assert_eq!(pair.sides[0].sent(), want, "a NAK acknowledges what is before it");
        assert_eq!(pair.sides[0].nic.qp_counters(pair.sides[0].qp).unwrap().naks_received, 1);
        assert_eq!(pair.sides[0].state(), QpState::Error);
    }
}

#[test]
fn reserved_syndromes_mean_nothing() {
    for syndrome in [0x40, 0x5f, 0x80, 0xff] {
        let mut pair = Pair::usual();
        let (from, op) = (pair.sides[0].from(0, 4), pair.write_op(0));
        pair.sides[0].post(0, op, &[from]);
        pair.collect(0);
        let frame = pair.response(Opcode::ACK, 0, syndrome, &[]);
        pair.deliver(0, &frame);
        assert_eq!(dropped(&pair, 0).meaningless, 1);
        assert_eq!(pair.sides[0].sent(), []);
    }
}

#[test]
fn every_credit_count_acknowledges() {
    for credits in 0..=0x1f {
        let mut pair = Pair::usual();
        let (from, op) = (pair.sides[0].from(0, 4), pair.write_op(0));
        pair.sides[0].post(0, op, &[from]);
        pair.collect(0);
        let frame = pair.response(Opcode::ACK, 0, credits, &[]);
        pair.deliver(0, &frame);
        assert_eq!(pair.sides[0].sent(), [(0, WcStatus::Success)]);
        assert_eq!(pair.sides[0].nic.counters().acks_received, 1);
    }
}

#[test]
fn read_responses_that_make_no_sense_end_the_read() {
    let (first, middle, last, only) = (
        Opcode::READ_RESPONSE_FIRST,
        Opcode::READ_RESPONSE_MIDDLE,
        Opcode::READ_RESPONSE_LAST,
        Opcode::READ_RESPONSE_ONLY,
    );
    // A READ of 600 octets: 256, 256, 88.
    let run = |frames: &[(Opcode, usize)], syndrome| {
        let mut pair = Pair::usual();
        let (to, op) = (pair.sides[0].to(0, 600), pair.read_op(0));
        pair.sides[0].post(1, op, &[to]);
        pair.collect(0);
        for (opcode, len) in frames {
            if pair.sides[0].state() == QpState::ReadyToSend {
                let frame = pair.response(*opcode, 0, syndrome, &vec![3; *len]);
                pair.deliver(0, &frame);
            }
        }
        pair.sides[0].sent()
    };
    assert_eq!(run(&[(first, 256), (middle, 256), (last, 88)], 0x1f), [(1, WcStatus::Success)]);
    for frames in [
        &[(first, 255)][..],
        &[(first, 260)],
        &[(middle, 256)],
        &[(last, 256)],
        &[(only, 256)],
        &[(first, 256), (first, 256)],
        &[(first, 256), (last, 256)],
        &[(first, 256), (middle, 252)],
        &[(first, 256), (middle, 256), (middle, 88)],
        &[(first, 256), (middle, 256), (last, 87)],
        &[(first, 256), (middle, 256), (last, 89)],
        &[(first, 256), (middle, 256), (only, 88)],
    ] {
        assert_eq!(run(frames, 0x1f), [(1, WcStatus::BadResponse)], "{frames:?}");
    }
    assert_eq!(run(&[(first, 256)], 0x61), [(1, WcStatus::BadResponse)], "a NAK that carries data");
}

#[test]
fn a_read_response_to_a_send_is_a_bad_response() {
    let mut pair = Pair::usual();
    let from = pair.sides[0].from(0, 4);
    pair.sides[0].post(1, SendOperation::Send, &[from]);
    pair.collect(0);
    let frame = pair.response(Opcode::READ_RESPONSE_ONLY, 0, 0x1f, &[1; 4]);
    pair.deliver(0, &frame);
    assert_eq!(pair.sides[0].sent(), [(1, WcStatus::BadResponse)]);
}

// ---- local faults of a requester ----

#[test]
fn what_a_requester_may_not_do_fails_in_its_turn() {
    for wrong in 0..6 {
        let mut pair = Pair::new(Setup { reads: if wrong == 5 { 0 } else { 4 }, ..SETUP });
        let (from, op) = (pair.sides[0].from(0, 4), pair.write_op(0));
        let side = &pair.sides[0];
        let (sge, bad, status) = match wrong {
            0 => (Sge { lkey: smolsmc_wire::Lkey(1), ..from }, op, WcStatus::LocalProtection),
            1 => (side.from(LEN - 3, 4), op, WcStatus::LocalProtection),
            2 => {
                (Sge { lkey: smolsmc_wire::Lkey(side.out_mr.rkey.0), ..from }, op, WcStatus::LocalProtection)
            }
            // READ into memory that may only be read.
            3 => (from, pair.read_op(0), WcStatus::LocalProtection),
            4 => (Sge { len: u32::MAX, ..from }, op, WcStatus::LocalLength),
            _ => (side.to(0, 4), pair.read_op(0), WcStatus::LocalQpOperation),
        };
        pair.sides[0].post(1, op, &[from]);
        pair.sides[0].post(2, bad, &[sge]);
        pair.sides[0].post(3, op, &[from]);
        let frames = pair.collect(0);
        assert_eq!(frames.len(), 1, "nothing of the second leaves: {wrong}");
        assert_eq!(pair.sides[0].sent(), [], "the first one is still waited for");
        pair.deliver(1, &frames[0]);
        pair.settle();
        let want = [(1, WcStatus::Success), (2, status), (3, WcStatus::Flushed)];
        assert_eq!(pair.sides[0].sent(), want, "{wrong}");
        assert_eq!(pair.sides[0].state(), QpState::Error);
        // As the very first request it fails at once.
        let mut pair = Pair::new(Setup { reads: if wrong == 5 { 0 } else { 4 }, ..SETUP });
        pair.sides[0].post(2, bad, &[sge]);
        pair.settle();
        let failed = pair.sides[0].sent();
        // Keys are the same in each pair: same entropy, same calls.
        assert_eq!(failed, [(2, status)], "{wrong}");
    }
}

#[test]
fn memory_deregistered_in_mid_message_fails_the_request() {
    let mut pair = Pair::usual();
    let side = &mut pair.sides[0];
    let handle = side.nic.register(side.pd, side.out, Access::empty()).unwrap();
    let mr = side.nic.mr(handle).unwrap();
    let op = pair.write_op(0);
    pair.sides[0].post(1, op, &[Sge { addr: mr.iova, len: 600, lkey: mr.lkey }]);
    let first = pair.sides[0].emit(pair.now).unwrap();
    pair.sides[0].nic.deregister(handle).unwrap();
    pair.deliver(1, &first);
    pair.settle();
    assert_eq!(pair.sides[0].sent(), [(1, WcStatus::LocalProtection)]);
}

#[test]
fn a_read_whose_target_is_deregistered_fails() {
    let mut pair = Pair::usual();
    let side = &mut pair.sides[0];
    let handle = side.nic.register(side.pd, side.into, LOCAL).unwrap();
    let mr = side.nic.mr(handle).unwrap();
    let op = pair.read_op(0);
    pair.sides[0].post(1, op, &[Sge { addr: mr.iova, len: 600, lkey: mr.lkey }]);
    let request = pair.collect(0).remove(0);
    pair.sides[0].nic.deregister(handle).unwrap();
    pair.deliver(1, &request);
    pair.settle();
    assert_eq!(pair.sides[0].sent(), [(1, WcStatus::LocalProtection)]);
}

#[test]
fn a_faulty_request_fails_in_its_turn_even_after_going_back() {
    let mut pair = Pair::usual();
    let (from, op) = (pair.sides[0].from(0, 4), pair.write_op(0));
    pair.sides[0].post(1, op, &[from]);
    pair.sides[0].post(2, op, &[Sge { lkey: smolsmc_wire::Lkey(1), ..from }]);
    pair.carry(|_| Fate::Lost);
    pair.pass(Duration::from_millis(140));
    pair.settle();
    assert_eq!(pair.trace(0), [(Opcode::WRITE_ONLY, 0), (Opcode::WRITE_ONLY, 0)]);
    assert_eq!(pair.sides[0].sent(), [(1, WcStatus::Success), (2, WcStatus::LocalProtection)]);
}

#[test]
fn a_nak_in_mid_read_is_about_the_read() {
    let mut pair = Pair::usual();
    let (to, op) = (pair.sides[0].to(0, 600), pair.read_op(0));
    pair.sides[0].post(1, op, &[to]);
    pair.collect(0);
    let frame = pair.response(Opcode::ACK, 1, 0x62, &[]);
    pair.deliver(0, &frame);
    assert_eq!(pair.sides[0].sent(), [(1, WcStatus::RemoteAccess)]);
}

/// A NAK 0x60 asks for the packet it names: for the one after the last that was
/// sent it says that all have arrived, for a later one nothing.
#[test]
fn a_sequence_nak_for_the_packet_to_come_acknowledges_all() {
    for (ahead, heard) in [(2, true), (3, false), (0x7f_ffff, false)] {
        // Without retries, as none is needed.
        let mut pair = Pair::new(Setup { retry_count: 0, ..SETUP });
        let (from, op) = (pair.sides[0].from(0, 4), pair.write_op(0));
        for i in 0..2 {
            pair.sides[0].post(i, op, &[from]);
        }
        assert_eq!(pair.collect(0).len(), 2);
        // Posted, but not sent.
        pair.sides[0].post(2, op, &[from]);
        let frame = pair.response(Opcode::ACK, ahead, 0x60, &[]);
        pair.deliver(0, &frame);
        let want = if heard { vec![(0, WcStatus::Success), (1, WcStatus::Success)] } else { vec![] };
        assert_eq!(pair.sides[0].sent(), want, "{ahead}");
        assert_eq!(dropped(&pair, 0).ghost, u64::from(!heard), "{ahead}");
        assert_eq!(pair.collect(0).len(), 1, "nothing is sent again: {ahead}");
        assert_eq!(pair.sides[0].nic.counters().retransmitted, 0);
    }
}

#[test]
fn an_ack_just_before_a_read_says_nothing_of_the_read() {
    let mut pair = Pair::usual();
    let (from, op) = (pair.sides[0].from(0, 4), pair.write_op(0));
    let (to, read) = (pair.sides[0].to(0, 4), pair.read_op(0));
    pair.sides[0].post(0, op, &[from]);
    pair.sides[0].post(1, read, &[to]);
    pair.sides[0].post(2, op, &[from]);
    assert_eq!(pair.collect(0).len(), 3);
    let ack = pair.response(Opcode::ACK, 0, 0x1f, &[]);
    pair.deliver(0, &ack);
    assert_eq!(pair.sides[0].sent(), [(0, WcStatus::Success)]);
    assert_eq!(pair.collect(0).len(), 0, "its responses may still come");
    assert_eq!(pair.sides[0].nic.counters().read_responses_lost, 0);
    // One behind it says that they were lost.
    let ack = pair.response(Opcode::ACK, 1, 0x1f, &[]);
    pair.deliver(0, &ack);
    assert_eq!(pair.sides[0].nic.counters().read_responses_lost, 1);
    assert_eq!(pair.collect(0).len(), 2);
}
