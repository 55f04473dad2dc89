//! What a peer hears of a queue pair that was destroyed.

use super::*;

/// Side 1's queue pair is gone, and side 0 asks it for this.
fn gone() -> (Pair, Vec<u8>) {
    let mut pair = Pair::usual();
    let request = pair.request(Opcode::WRITE_ONLY, 0, reth(&pair, 0, 4), b"late");
    let qp = pair.sides[1].qp;
    pair.sides[1].nic.destroy_qp(qp).unwrap();
    (pair, request)
}

/// Syndromes and PSNs of the answers to a request.
fn asked(pair: &mut Pair, request: &[u8]) -> Vec<(u8, Psn)> {
    pair.deliver(1, request);
    let answers = pair.collect(1);
    let parsed = answers.iter().map(|frame| {
        let packet = RocePacket::parse(frame).unwrap().unwrap();
        packet.verify_icrc().unwrap();
        (packet.ext.aeth().unwrap().syndrome.octet(), packet.bth.psn)
    });
    parsed.collect()
}

/// Else a peer whose retries never end, and who waits for them, waits for ever:
/// close() of Linux over rxe.
#[test]
fn a_peer_that_never_stops_asking_is_refused() {
    let (mut pair, request) = gone();
    let refusal = (0x63, Psn::new(pair.setup.psn[0]));
    for _ in 0..19 {
        assert_eq!(asked(&mut pair, &request), [], "who counts retries hears silence");
        pair.pass(Duration::from_millis(100));
    }
    pair.pass(Duration::from_millis(100));
    assert_eq!(asked(&mut pair, &request), [refusal]);
    assert!(pair.collect(1).is_empty(), "one for each request");
    pair.deliver(1, &request);
    assert_eq!(asked(&mut pair, &request), [refusal], "or fewer");
    assert_eq!(pair.sides[1].nic.counters().naks_sent.operational, 2);
    assert_eq!(pair.sides[1].incoming(0, 4), [0; 4], "nothing is executed");
    let mut damaged = request.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(asked(&mut pair, &damaged), []);
    pair.pass(GONE_FOR);
    assert_eq!(asked(&mut pair, &request), [], "not for ever");
}

/// What could not be said while the port was down is said when it is asked again.
#[test]
fn a_port_that_comes_back_refuses_too() {
    let (mut pair, request) = gone();
    assert_eq!(asked(&mut pair, &request), []);
    pair.pass(SILENT_FOR);
    pair.deliver(1, &request);
    let port = pair.sides[1].port;
    pair.sides[1].nic.set_port_state(port, PortState::Down).unwrap();
    assert!(pair.collect(1).is_empty());
    pair.sides[1].nic.set_port_state(port, PortState::Active).unwrap();
    assert!(pair.collect(1).is_empty(), "lost");
    assert_eq!(asked(&mut pair, &request).len(), 1);
}

#[test]
fn a_bounded_number_is_remembered_and_none_without_a_peer() {
    let (mut pair, first) = gone();
    assert_eq!(asked(&mut pair, &first), []);
    let init = QpInit {
        pd: pair.sides[1].pd,
        send_cq: pair.sides[1].send_cq,
        recv_cq: pair.sides[1].recv_cq,
        capabilities: SETUP.capabilities,
    };
    for connected in [false, true] {
        pair.pass(SILENT_FOR);
        assert_eq!(asked(&mut pair, &first).len(), 1, "{connected}");
        for _ in 0..Limits::USUAL.gone_qps {
            pair.sides[1].qp = pair.sides[1].nic.create_qp(init).unwrap();
            let (qp, ups) = (pair.sides[1].qp, pair.way_up(1));
            for up in ups.into_iter().filter(|_| connected) {
                pair.sides[1].nic.modify_qp(qp, up).unwrap();
            }
            pair.sides[1].nic.destroy_qp(qp).unwrap();
        }
    }
    pair.pass(SILENT_FOR);
    assert_eq!(asked(&mut pair, &first), [], "newer ones have taken all places");
}
