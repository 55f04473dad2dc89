//! RDMA READs: lost, limited, and in order with what is around them.

use super::*;

#[test]
fn a_lost_read_response_is_asked_for_from_there_on() {
    let mut pair = Pair::usual();
    let (to, op) = (pair.sides[0].to(0, 256 * 5), pair.read_op(0));
    pair.sides[0].post(1, op, &[to]);
    let mut n = 0;
    pair.carry(|seen| {
        n += 1;
        if seen.opcode == Opcode::READ_RESPONSE_MIDDLE && seen.psn == 2 && n < 5 {
            Fate::Lost
        } else {
            Fate::Arrive
        }
    });
    let requests: Vec<_> = pair.seen.iter().filter(|seen| seen.from == 0).collect();
    assert_eq!(requests.len(), 2);
    assert_eq!((requests[1].opcode, requests[1].psn), (Opcode::READ_REQUEST, 2));
    let reth = requests[1].ext.reth().unwrap();
    assert_eq!((reth.vaddr, reth.dma_len), (pair.sides[1].out_mr.iova + 512, 768));
    assert_eq!(pair.sides[0].sent(), [(1, WcStatus::Success)]);
    assert_eq!(pair.sides[0].incoming(0, 1280), patterns(0, 1280));
    assert_eq!(pair.sides[0].nic.counters().read_responses_lost, 1);
}

#[test]
fn a_later_answer_tells_that_read_responses_were_lost() {
    let mut pair = Pair::usual();
    let (to, read, from, write) =
        (pair.sides[0].to(0, 600), pair.read_op(0), pair.sides[0].from(0, 4), pair.write_op(0));
    pair.sides[0].post(1, read, &[to]);
    for i in 2..5 {
        pair.sides[0].post(i, write, &[from]);
    }
    let mut lost = 3;
    pair.carry(|seen| {
        let response = seen.opcode.facts().unwrap().operation == Operation::ReadResponse;
        if response && lost > 0 {
            lost -= 1;
            return Fate::Lost;
        }
        Fate::Arrive
    });
    assert_eq!(pair.sides[0].sent(), [1, 2, 3, 4].map(|id| (id, WcStatus::Success)));
    assert_eq!(pair.sides[0].incoming(0, 600), patterns(0, 600));
    assert_eq!(pair.sides[0].nic.counters().timeouts, 0, "without waiting");
}

#[test]
fn no_more_reads_are_outstanding_than_allowed() {
    let mut pair = Pair::new(Setup { reads: 2, ..SETUP });
    let (to, op) = (pair.sides[0].to(0, 600), pair.read_op(0));
    for i in 0..5 {
        pair.sides[0].post(i, op, &[to]);
    }
    let frames = pair.collect(0);
    assert_eq!(frames.len(), 2);
    for frame in &frames {
        pair.deliver(1, frame);
    }
    pair.settle();
    assert_eq!(pair.sides[0].sent(), [0, 1, 2, 3, 4].map(|id| (id, WcStatus::Success)));
    assert_eq!(pair.sides[0].nic.counters().retransmitted, 0);
}

#[test]
fn acks_wait_for_the_read_responses_before_them() {
    let mut pair = Pair::usual();
    let (to, read, from, write) =
        (pair.sides[0].to(0, 600), pair.read_op(0), pair.sides[0].from(0, 4), pair.write_op(0));
    pair.sides[0].post(1, read, &[to]);
    pair.sides[0].post(2, write, &[from]);
    for frame in pair.collect(0) {
        pair.deliver(1, &frame);
    }
    let answers: Vec<_> =
        pair.collect(1).iter().map(|frame| pair.seen_as(1, frame)).map(|s| (s.opcode, s.psn)).collect();
    let want = [
        (Opcode::READ_RESPONSE_FIRST, 0),
        (Opcode::READ_RESPONSE_MIDDLE, 1),
        (Opcode::READ_RESPONSE_LAST, 2),
        (Opcode::ACK, 3),
    ];
    assert_eq!(answers, want);
}

#[test]
fn the_msn_counts_a_read_from_its_first_response_on() {
    let mut pair = Pair::usual();
    let (to, op) = (pair.sides[0].to(0, 600), pair.read_op(0));
    for i in 0..2 {
        pair.sides[0].post(i, op, &[to]);
        pair.settle();
    }
    let msns: Vec<_> =
        pair.seen.iter().filter_map(|seen| seen.ext.aeth()).map(|aeth| aeth.msn.value()).collect();
    assert_eq!(msns, [1, 1, 2, 2], "FIRST and LAST of each");
}

#[test]
fn a_queue_pair_in_err_answers_no_read() {
    let mut pair = Pair::usual();
    let (to, op) = (pair.sides[0].to(0, 600), pair.read_op(0));
    pair.sides[0].post(1, op, &[to]);
    let request = pair.collect(0).remove(0);
    pair.deliver(1, &request);
    let side = &mut pair.sides[1];
    side.nic.modify_qp(side.qp, QpTransition::Error).unwrap();
    for state in [PortState::Down, PortState::Active] {
        side.nic.set_port_state(side.port, state).unwrap();
    }
    assert_eq!(pair.collect(1).len(), 0);
}

#[test]
fn a_read_request_asks_for_an_answer_and_solicits_nothing() {
    let mut pair = Pair::usual();
    let (to, op) = (pair.sides[0].to(0, 600), pair.read_op(0));
    let request = SendRequest {
        wr_id: 1,
        operation: op,
        payload: Payload::Registered(&[to]),
        signalled: true,
        solicited: true,
    };
    let qp = pair.sides[0].qp;
    pair.sides[0].nic.post_send(qp, &[request]).unwrap();
    let frame = pair.collect(0).remove(0);
    let bth = RocePacket::parse(&frame).unwrap().unwrap().bth;
    assert!(bth.ack_request && !bth.solicited);
}
