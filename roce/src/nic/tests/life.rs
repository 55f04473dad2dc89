//! States, queues, and how they end.

use super::*;

/// Takes the queue pair of side 0 from RESET to `state`.
fn bring_to(pair: &mut Pair, state: QpState) {
    let ups = pair.way_up(0);
    let side = &mut pair.sides[0];
    side.nic.modify_qp(side.qp, QpTransition::Reset).unwrap();
    let steps = match state {
        QpState::Reset => 0,
        QpState::Init => 1,
        QpState::ReadyToReceive => 2,
        QpState::ReadyToSend | QpState::Error => 3,
    };
    for up in &ups[..steps] {
        side.nic.modify_qp(side.qp, *up).unwrap();
    }
    if state == QpState::Error {
        side.nic.modify_qp(side.qp, QpTransition::Error).unwrap();
    }
}

const STATES: [QpState; 5] =
    [QpState::Reset, QpState::Init, QpState::ReadyToReceive, QpState::ReadyToSend, QpState::Error];

#[test]
fn every_transition_from_every_state() {
    let mut pair = Pair::usual();
    let [init, rtr, rts] = pair.way_up(0);
    for state in STATES {
        for (transition, from, to) in [
            (QpTransition::Reset, None, QpState::Reset),
            (init, Some(QpState::Reset), QpState::Init),
            (rtr, Some(QpState::Init), QpState::ReadyToReceive),
            (rts, Some(QpState::ReadyToReceive), QpState::ReadyToSend),
            (QpTransition::Error, None, QpState::Error),
        ] {
            bring_to(&mut pair, state);
            let qp = pair.sides[0].qp;
            let result = pair.sides[0].nic.modify_qp(qp, transition);
            if from.is_none_or(|from| from == state) {
                assert_eq!((result, pair.sides[0].state()), (Ok(()), to), "{state} {transition:?}");
            } else {
                assert_eq!(result, Err(VerbsError::WrongState(state)));
                assert_eq!(pair.sides[0].state(), state, "as before");
            }
        }
    }
}

#[test]
fn work_is_taken_in_the_states_that_can_do_it() {
    let mut pair = Pair::usual();
    for state in STATES {
        bring_to(&mut pair, state);
        let (sge, op) = (pair.sides[0].from(0, 4), pair.write_op(0));
        let side = &mut pair.sides[0];
        let posted = side.try_post(1, op, Payload::Registered(&[sge])).map_err(|e| e.error);
        let received =
            side.nic.post_recv(side.qp, &[RecvRequest { wr_id: 2, sges: &[] }]).map_err(|e| e.error);
        let wrong = Err(VerbsError::WrongState(state));
        let (can_send, can_receive) = match state {
            QpState::Reset => (false, false),
            QpState::Init | QpState::ReadyToReceive => (false, true),
            QpState::ReadyToSend | QpState::Error => (true, true),
        };
        assert_eq!(posted, if can_send { Ok(()) } else { wrong }, "{state}");
        assert_eq!(received, if can_receive { Ok(()) } else { wrong }, "{state}");
        let flushed = state == QpState::Error;
        assert_eq!(side.sent(), if flushed { vec![(1, WcStatus::Flushed)] } else { vec![] });
        assert_eq!(side.received(), if flushed { vec![(2, WcStatus::Flushed, 0)] } else { vec![] });
    }
}

#[test]
fn requests_are_answered_from_rtr_on_and_responses_heard_in_rts() {
    for state in STATES {
        let mut pair = Pair::usual();
        let frame = sealed(
            &pair.headers(1, Opcode::WRITE_ONLY, Psn::new(SETUP.psn[1]), {
                let mr = pair.sides[0].into_mr;
                Ext::Reth(Reth { vaddr: mr.iova, rkey: mr.rkey, dma_len: 4 })
            }),
            &[8; 4],
        );
        bring_to(&mut pair, state);
        pair.deliver(0, &frame);
        let answered = matches!(state, QpState::ReadyToReceive | QpState::ReadyToSend);
        assert_eq!(pair.collect(0).len(), usize::from(answered), "{state}");
        let ack = pair.response(Opcode::ACK, 0, 0x1f, &[]);
        pair.deliver(0, &ack);
        let dropped = pair.sides[0].nic.counters().dropped;
        assert_eq!(dropped.wrong_state, u64::from(!answered) + u64::from(state != QpState::ReadyToSend));
        assert_eq!(dropped.ghost, u64::from(state == QpState::ReadyToSend));
    }
}

#[test]
fn attributes_beyond_what_the_port_can_do_are_refused() {
    let mut pair = Pair::new(Setup { ethernet_mtu: 1500, ..SETUP });
    let [init, rtr, rts] = pair.way_up(0);
    let (QpTransition::Init(init), QpTransition::ReadyToReceive(rtr), QpTransition::ReadyToSend(rts)) =
        (init, rtr, rts)
    else {
        panic!("in their order")
    };
    let mut refused = |state, transition: QpTransition| {
        bring_to(&mut pair, state);
        let qp = pair.sides[0].qp;
        let result = pair.sides[0].nic.modify_qp(qp, transition);
        assert!(matches!(result, Err(VerbsError::OutOfRange(_))), "{transition:?}: {result:?}");
        assert_eq!(pair.sides[0].state(), state);
    };
    refused(QpState::Reset, QpTransition::Init(InitAttributes { port: PortNumber(0), ..init }));
    refused(QpState::Reset, QpTransition::Init(InitAttributes { port: PortNumber(2), ..init }));
    refused(QpState::Reset, QpTransition::Init(InitAttributes { pkey_index: 1, ..init }));
    for code in [0, 4, 5, 6, 15] {
        let path_mtu = MtuCode::from_code(code);
        refused(QpState::Init, QpTransition::ReadyToReceive(RtrAttributes { path_mtu, ..rtr }));
    }
    refused(QpState::Init, QpTransition::ReadyToReceive(RtrAttributes { min_rnr_timer: 32, ..rtr }));
    refused(QpState::Init, QpTransition::ReadyToReceive(RtrAttributes { max_dest_rd_atomic: 17, ..rtr }));
    let with = |change: fn(&mut AddressVector)| {
        let mut path = rtr.path;
        change(&mut path);
        QpTransition::ReadyToReceive(RtrAttributes { path, ..rtr })
    };
    refused(QpState::Init, with(|path| path.source_gid_index = 1));
    refused(QpState::Init, with(|path| path.source_gid_index = 99));
    refused(QpState::Init, with(|path| path.hop_limit = 0));
    refused(QpState::Init, with(|path| path.destination_gid = Gid([0; 16])));
    refused(QpState::Init, with(|path| path.destination_gid = gid_of(1, true)));
    refused(QpState::ReadyToReceive, QpTransition::ReadyToSend(RtsAttributes { timeout: 32, ..rts }));
    refused(QpState::ReadyToReceive, QpTransition::ReadyToSend(RtsAttributes { retry_count: 8, ..rts }));
    refused(QpState::ReadyToReceive, QpTransition::ReadyToSend(RtsAttributes { rnr_retry: 8, ..rts }));
    refused(QpState::ReadyToReceive, QpTransition::ReadyToSend(RtsAttributes { max_rd_atomic: 17, ..rts }));
}

#[test]
fn everything_comes_back_flushed_in_order() {
    let mut pair = Pair::usual();
    let (from, op, read) = (pair.sides[0].from(0, 600), pair.write_op(0), pair.read_op(0));
    let to = pair.sides[0].to(0, 4);
    // Some sent, some not, unsignalled ones too.
    for i in 0..10 {
        let request = SendRequest {
            wr_id: i,
            operation: if i == 3 { read } else { op },
            payload: Payload::Registered(if i == 3 {
                core::slice::from_ref(&to)
            } else {
                core::slice::from_ref(&from)
            }),
            signalled: i % 2 == 0,
            solicited: false,
        };
        let qp = pair.sides[0].qp;
        pair.sides[0].nic.post_send(qp, &[request]).unwrap();
    }
    for i in 0..5 {
        pair.sides[0].receive(100 + i, &[]);
    }
    for _ in 0..7 {
        pair.sides[0].emit(pair.now).unwrap();
    }
    let qp = pair.sides[0].qp;
    pair.sides[0].nic.modify_qp(qp, QpTransition::Error).unwrap();
    let sent: Vec<_> = (0..10).map(|i| (i, WcStatus::Flushed)).collect();
    let received: Vec<_> = (100..105).map(|i| (i, WcStatus::Flushed, 0)).collect();
    assert_eq!(pair.sides[0].sent(), sent);
    assert_eq!(pair.sides[0].received(), received);
    assert_eq!(pair.sides[0].nic.counters().flushed, 15);
    assert_eq!(pair.sides[0].nic.next_event(), None, "not by itself");
    assert_eq!(pair.collect(0).len(), 0);
    assert_eq!(pair.sides[0].nic.poll_at(), None);
    let attributes = pair.sides[0].nic.qp(qp).unwrap();
    assert_eq!((attributes.send_outstanding, attributes.recv_posted), (0, 0));
}

#[test]
fn reset_forgets_and_a_new_life_begins() {
    let mut pair = Pair::usual();
    let (from, op) = (pair.sides[0].from(0, 600), pair.write_op(0));
    pair.sides[0].post(0, op, &[from]);
    pair.sides[0].receive(0, &[]);
    pair.sides[0].emit(pair.now).unwrap();
    for side in &mut pair.sides {
        side.nic.modify_qp(side.qp, QpTransition::Reset).unwrap();
    }
    assert_eq!(pair.sides[0].nic.poll_at(), None);
    assert_eq!(pair.collect(0).len(), 0);
    pair.connect();
    pair.sides[0].post(1, op, &[from]);
    pair.settle();
    assert_eq!(pair.sides[0].sent(), [(1, WcStatus::Success)], "the first one was forgotten");
    assert_eq!(pair.sides[1].incoming(0, 600), patterns(0, 600));
}

#[test]
fn a_failed_queue_pair_says_so_once() {
    let mut pair = Pair::usual();
    pair.sides[0].receive(1, &[]);
    let qp = pair.sides[0].qp;
    pair.sides[0].nic.fail_qp(qp).unwrap();
    pair.sides[0].nic.fail_qp(qp).unwrap();
    assert_eq!(pair.sides[0].nic.next_event(), Some(AsyncEvent::QpFatal(qp)));
    assert_eq!(pair.sides[0].nic.next_event(), None);
    assert_eq!(pair.sides[0].received(), [(1, WcStatus::Flushed, 0)]);
    assert_eq!(pair.sides[0].nic.counters().qp_errors, 1);
    // Of one that has a new life, or none, nothing is told.
    for failures in [1, 2] {
        for up in [QpTransition::Reset].into_iter().chain(pair.way_up(0)) {
            pair.sides[0].nic.modify_qp(qp, up).unwrap();
        }
        assert_eq!(pair.sides[0].nic.next_event(), None);
        pair.sides[0].nic.fail_qp(qp).unwrap();
        assert_eq!(pair.sides[0].nic.counters().qp_errors, 1 + failures);
    }
    assert_eq!(pair.sides[0].nic.next_event(), Some(AsyncEvent::QpFatal(qp)));
    let qp = pair.sides[1].qp;
    pair.sides[1].nic.fail_qp(qp).unwrap();
    pair.sides[1].nic.destroy_qp(qp).unwrap();
    assert_eq!(pair.sides[1].nic.next_event(), None);
    assert_eq!(pair.sides[1].nic.fail_qp(qp), Err(VerbsError::NoSuch("QP")));
}

// ---- completion queues ----

#[test]
fn an_overflow_ends_all_queue_pairs_of_the_queue() {
    let mut pair = Pair::new(Setup { cq_entries: 4, ..SETUP });
    let (from, op) = (pair.sides[0].from(0, 4), pair.write_op(0));
    let init = QpInit {
        pd: pair.sides[0].pd,
        send_cq: pair.sides[0].recv_cq,
        recv_cq: pair.sides[0].send_cq,
        capabilities: SETUP.capabilities,
    };
    let other = pair.sides[0].nic.create_qp(init).unwrap();
    for i in 0..6 {
        pair.sides[0].post(i, op, &[from]);
    }
    pair.settle();
    let (cq, qp) = (pair.sides[0].send_cq, pair.sides[0].qp);
    let mut events: Vec<_> = core::iter::from_fn(|| pair.sides[0].nic.next_event()).collect();
    assert_eq!(events.remove(0), AsyncEvent::CqError(cq));
    events.sort_by_key(|event| std::format!("{event:?}"));
    let mut want = [AsyncEvent::QpFatal(qp), AsyncEvent::QpFatal(other)];
    want.sort_by_key(|event| std::format!("{event:?}"));
    assert_eq!(events, want);
    assert_eq!(pair.sides[0].nic.counters().cq_overflows, 1);
    assert_eq!(pair.sides[0].sent(), [0, 1, 2, 3].map(|id| (id, WcStatus::Success)), "what it has stays");
    assert_eq!(pair.sides[0].nic.qp(other).unwrap().state, QpState::Error);
}

#[test]
fn who_waits_for_anything_is_woken_by_anything() {
    let mut pair = Pair::usual();
    let cq = pair.sides[1].recv_cq;
    let from = pair.sides[0].from(0, 4);
    for (wishes, woken) in [
        (&[ArmFor::Next, ArmFor::Solicited][..], true),
        (&[ArmFor::Solicited, ArmFor::Next], true),
        (&[ArmFor::Solicited], false),
    ] {
        for wish in wishes {
            pair.sides[1].nic.arm_cq(cq, *wish).unwrap();
        }
        pair.sides[1].receive(0, &[pair.sides[1].to(0, 4)]);
        pair.sides[0].post(0, SendOperation::Send, &[from]);
        pair.settle();
        assert_eq!(pair.sides[1].nic.next_notification(), woken.then_some(cq));
        assert_eq!(pair.sides[1].nic.next_notification(), None);
    }
}

#[test]
fn a_full_queue_refuses_and_says_how_far_it_came() {
    let mut pair = Pair::usual();
    let (sges, operation) = ([pair.sides[0].from(0, 4)], pair.write_op(0));
    let payload = Payload::Registered(&sges);
    let requests = [SendRequest { wr_id: 0, operation, payload, signalled: false, solicited: false }; 40];
    let qp = pair.sides[0].qp;
    assert_eq!(pair.sides[0].nic.post_send(qp, &requests), Ok(()));
    let full = Err(PostError { posted: 24, error: VerbsError::QueueFull });
    assert_eq!(pair.sides[0].nic.post_send(qp, &requests), full);
    let receives = [RecvRequest { wr_id: 0, sges: &[] }; 65];
    let full = Err(PostError { posted: 64, error: VerbsError::QueueFull });
    assert_eq!(pair.sides[0].nic.post_recv(qp, &receives), full);
    // The ring goes round any number of times.
    for _ in 0..100 {
        pair.settle();
        assert_eq!(pair.sides[0].nic.post_send(qp, &requests), Ok(()));
    }
    pair.settle();
    assert_eq!(pair.sides[0].nic.qp(qp).unwrap().send_outstanding, 0);
}

#[test]
fn requests_beyond_the_capabilities_are_refused() {
    let mut pair = Pair::usual();
    let (sge, op, read) = (pair.sides[0].from(0, 4), pair.write_op(0), pair.read_op(0));
    let side = &mut pair.sides[0];
    let error = |result: Result<(), PostError>| result.unwrap_err().error;
    assert_eq!(
        error(side.try_post(0, op, Payload::Registered(&[sge; 5]))),
        VerbsError::OutOfRange("number of elements")
    );
    assert_eq!(
        error(side.try_post(0, op, Payload::Inline(&[0; 65]))),
        VerbsError::OutOfRange("length of inline data")
    );
    assert_eq!(
        error(side.try_post(0, read, Payload::Inline(&[0; 4]))),
        VerbsError::OutOfRange("inline data of an RDMA READ")
    );
    let receive = side.nic.post_recv(side.qp, &[RecvRequest { wr_id: 0, sges: &[sge; 5] }]);
    assert_eq!(error(receive), VerbsError::OutOfRange("number of elements"));
    assert_eq!(side.try_post(0, op, Payload::Inline(&[0; 64])), Ok(()));
    assert_eq!(side.try_post(0, op, Payload::Registered(&[sge; 4])), Ok(()));
}

#[test]
fn completions_of_a_destroyed_queue_pair_are_gone() {
    let mut pair = Pair::usual();
    let (from, op) = (pair.sides[0].from(0, 4), pair.write_op(0));
    let init = QpInit {
        pd: pair.sides[0].pd,
        send_cq: pair.sides[0].send_cq,
        recv_cq: pair.sides[0].send_cq,
        capabilities: SETUP.capabilities,
    };
    let other = pair.sides[0].nic.create_qp(init).unwrap();
    pair.sides[0].nic.modify_qp(other, QpTransition::Error).unwrap();
    pair.sides[0].nic.post_recv(other, &[RecvRequest { wr_id: 50, sges: &[] }]).unwrap();
    pair.sides[0].post(1, op, &[from]);
    pair.settle();
    let qp = pair.sides[0].qp;
    pair.sides[0].nic.destroy_qp(qp).unwrap();
    assert_eq!(pair.sides[0].sent(), [(50, WcStatus::Flushed)]);
}
