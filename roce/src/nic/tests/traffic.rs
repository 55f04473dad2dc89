//! Messages of every kind and length that arrive as they were sent.

use super::*;

#[test]
fn a_send_fills_a_receive_and_both_complete() {
    let mut pair = Pair::usual();
    let (from, to) = (pair.sides[0].from(100, 44), pair.sides[1].to(500, 44));
    pair.sides[1].receive(7, &[to]);
    pair.sides[0].post(3, SendOperation::Send, &[from]);
    pair.settle();
    assert_eq!(pair.sides[0].sent(), [(3, WcStatus::Success)]);
    assert_eq!(pair.sides[1].received(), [(7, WcStatus::Success, 44)]);
    assert_eq!(pair.sides[1].incoming(500, 44), patterns(100, 44));
    assert_eq!(pair.trace(0), [(Opcode::SEND_ONLY, 0)]);
}

/// 0, 1, around the MTU, many packets, and what needs every pad.
fn lengths(mtu: MtuCode) -> Vec<usize> {
    let p = usize::from(mtu.octets().unwrap());
    vec![0, 1, 2, 3, 4, 5, p - 1, p, p + 1, 2 * p - 1, 2 * p, 2 * p + 1, 10 * p + 3]
}

const MTUS: [MtuCode; 5] = [
    MtuCode::OCTETS_256,
    MtuCode::OCTETS_512,
    MtuCode::OCTETS_1024,
    MtuCode::OCTETS_2048,
    MtuCode::OCTETS_4096,
];

/// Does what `run` does with every MTU and length, and checks how the message
/// was cut: full packets, then the rest.
fn each_length(mut run: impl FnMut(&mut Pair, usize), from: usize) {
    for mtu in MTUS {
        let p = usize::from(mtu.octets().unwrap());
        for len in lengths(mtu) {
            let mut pair = Pair::new(Setup { mtu, ..SETUP });
            run(&mut pair, len);
            let carries = |seen: &&Seen| seen.from == from && seen.opcode != Opcode::ACK;
            let sizes: Vec<_> = pair.seen.iter().filter(carries).map(|seen| seen.len).collect();
            let (last, full) = sizes.split_last().unwrap();
            assert!(full.iter().all(|size| *size == p), "{mtu} {len}");
            assert_eq!(full.len() * p + last, len, "{mtu} {len}");
            assert!(*last > 0 || full.is_empty(), "{mtu} {len}: an empty last packet");
        }
    }
}

#[test]
fn writes_of_every_length_arrive() {
    each_length(
        |pair, len| {
            let (from, op) = (pair.sides[0].from(11, len), pair.write_op(77));
            pair.sides[0].post(1, op, &[from]);
            pair.settle();
            assert_eq!(pair.sides[0].sent(), [(1, WcStatus::Success)], "{len}");
            assert_eq!(pair.sides[1].incoming(77, len), patterns(11, len), "{len}");
            assert_eq!(pair.sides[1].incoming(0, 77), [0; 77], "nothing before");
            assert_eq!(pair.sides[1].incoming(77 + len, 64), [0; 64], "nothing after");
            assert_eq!(pair.sides[1].received(), [], "no notice of a WRITE");
        },
        0,
    );
}

#[test]
fn sends_of_every_length_arrive() {
    each_length(
        |pair, len| {
            let (from, to) = (pair.sides[0].from(5, len), pair.sides[1].to(9, len));
            pair.sides[1].receive(2, &[to]);
            pair.sides[0].post(1, SendOperation::Send, &[from]);
            pair.settle();
            assert_eq!(pair.sides[0].sent(), [(1, WcStatus::Success)], "{len}");
            assert_eq!(pair.sides[1].received(), [(2, WcStatus::Success, len as u32)], "{len}");
            assert_eq!(pair.sides[1].incoming(9, len), patterns(5, len), "{len}");
        },
        0,
    );
}

#[test]
fn reads_of_every_length_arrive() {
    each_length(
        |pair, len| {
            let (to, op) = (pair.sides[0].to(13, len), pair.read_op(21));
            pair.sides[0].post(1, op, &[to]);
            pair.settle();
            let done = pair.sides[0].polled(pair.sides[0].send_cq);
            let want = Completion {
                wr_id: 1,
                qp: pair.sides[0].qp,
                status: WcStatus::Success,
                opcode: WcOpcode::Read,
                byte_len: len as u32,
                immediate: None,
            };
            assert_eq!(done, [want], "{len}");
            assert_eq!(pair.sides[0].incoming(13, len), patterns(21, len), "{len}");
            let requests: Vec<_> = pair.seen.iter().filter(|seen| seen.from == 0).collect();
            assert_eq!(requests.len(), 1);
        },
        1,
    );
}

#[test]
fn writes_with_immediate_of_every_length_arrive() {
    each_length(
        |pair, len| {
            let mr = pair.sides[1].into_mr;
            let op = SendOperation::WriteWithImmediate {
                remote_addr: mr.iova,
                rkey: mr.rkey,
                immediate: [1, 2, 3, 4],
            };
            let from = pair.sides[0].from(0, len);
            pair.sides[1].receive(6, &[]);
            pair.sides[0].post(1, op, &[from]);
            pair.settle();
            let done = pair.sides[1].polled(pair.sides[1].recv_cq);
            let want = Completion {
                wr_id: 6,
                qp: pair.sides[1].qp,
                status: WcStatus::Success,
                opcode: WcOpcode::ReceiveWriteWithImmediate,
                byte_len: len as u32,
                immediate: Some([1, 2, 3, 4]),
            };
            assert_eq!(done, [want]);
            assert_eq!(pair.sides[1].incoming(0, len), patterns(0, len));
        },
        0,
    );
}

#[test]
fn opcodes_follow_the_position_in_the_message() {
    let mut pair = Pair::usual();
    let (from, write) = (pair.sides[0].from(0, 600), pair.write_op(0));
    pair.sides[1].receive(0, &[pair.sides[1].to(0, 600)]);
    pair.sides[0].post(0, write, &[from]);
    pair.sides[0].post(1, SendOperation::Send, &[from]);
    pair.settle();
    let ops = [
        Opcode::WRITE_FIRST,
        Opcode::WRITE_MIDDLE,
        Opcode::WRITE_LAST,
        Opcode::SEND_FIRST,
        Opcode::SEND_MIDDLE,
        Opcode::SEND_LAST,
    ];
    let asked: Vec<_> = pair.seen.iter().filter(|s| s.from == 0).map(|s| s.ack_request).collect();
    assert_eq!(asked, [false, false, true, false, false, true], "at message ends only");
    assert_eq!(pair.trace(0), ops.into_iter().zip(0..).collect::<Vec<_>>());
}

#[test]
fn elements_are_gathered_and_scattered_at_any_cut() {
    // Cuts before, at and after packet boundaries, and empty elements.
    for cuts in [[1, 1, 598], [255, 2, 343], [256, 256, 88], [0, 600, 0], [300, 0, 300], [598, 1, 1]] {
        let mut pair = Pair::usual();
        let (mut from, mut to) = (Vec::new(), Vec::new());
        let mut at = 0;
        for (i, len) in cuts.into_iter().enumerate() {
            from.push(pair.sides[0].from(1000 * i, len));
            to.push(pair.sides[1].to(5000 - 1000 * i, 600 - len));
            at += len;
        }
        assert_eq!(at, 600);
        pair.sides[1].receive(0, &to);
        pair.sides[0].post(0, SendOperation::Send, &from);
        pair.settle();
        assert_eq!(pair.sides[0].sent(), [(0, WcStatus::Success)]);
        let sent: Vec<u8> = (0..3).flat_map(|i| patterns(1000 * i, cuts[i])).collect();
        let mut got = Vec::new();
        for (i, len) in cuts.into_iter().enumerate() {
            let room = (600 - len).min(600 - got.len());
            got.extend(pair.sides[1].incoming(5000 - 1000 * i, room));
        }
        assert_eq!(got, sent, "{cuts:?}");
    }
}

#[test]
fn inline_data_is_copied_when_posted_even_if_sent_again() {
    let mut pair = Pair::usual();
    let mut octets = *b"now or never";
    let op = pair.write_op(0);
    pair.sides[0].try_post(1, op, Payload::Inline(&octets)).unwrap();
    octets.fill(0);
    let mut first = true;
    pair.carry(|_| if core::mem::take(&mut first) { Fate::Lost } else { Fate::Arrive });
    pair.pass(Duration::from_millis(140));
    pair.settle();
    assert_eq!(pair.sides[1].incoming(0, 12), b"now or never");
    assert_eq!(pair.sides[0].sent(), [(1, WcStatus::Success)]);
}

#[test]
fn retransmission_reads_registered_memory_again() {
    let mut pair = Pair::usual();
    let (from, op) = (pair.sides[0].from(0, 4), pair.write_op(0));
    pair.sides[0].post(1, op, &[from]);
    pair.carry(|_| Fate::Lost);
    pair.sides[0].nic.outgoing(pair.sides[0].out, 0, 4).unwrap().copy_from_slice(b"new!");
    pair.pass(Duration::from_millis(140));
    pair.settle();
    assert_eq!(pair.sides[1].incoming(0, 4), b"new!");
}

#[test]
fn unsignalled_requests_complete_in_silence() {
    let mut pair = Pair::usual();
    let (from, op) = (pair.sides[0].from(0, 4), pair.write_op(0));
    let sges = [from];
    let request = |wr_id, signalled| SendRequest {
        wr_id,
        operation: op,
        payload: Payload::Registered(&sges),
        signalled,
        solicited: false,
    };
    let qp = pair.sides[0].qp;
    pair.sides[0].nic.post_send(qp, &[request(1, false), request(2, false), request(3, true)]).unwrap();
    assert_eq!(pair.sides[0].nic.qp(qp).unwrap().send_outstanding, 3);
    pair.settle();
    assert_eq!(pair.sides[0].sent(), [(3, WcStatus::Success)]);
    assert_eq!(pair.sides[0].nic.qp(qp).unwrap().send_outstanding, 0);
}

#[test]
fn psns_wrap_in_every_kind_of_message() {
    // Both sides' PSNs start just before the wrap, at each distance.
    for before in 0..6 {
        let psn = [0x100_0000 - before; 2];
        let mut pair = Pair::new(Setup { psn, ..SETUP });
        for i in 0..2 {
            let to = pair.sides[1 - i].to(8192, 700);
            pair.sides[1 - i].receive(0, &[to]);
            let (from, into) = (pair.sides[i].from(3, 700), pair.sides[i].to(0, 700));
            let (write, read) = (pair.sides[1 - i].into_mr, pair.sides[1 - i].out_mr);
            let write = SendOperation::Write { remote_addr: write.iova + 4096, rkey: write.rkey };
            let read = SendOperation::Read { remote_addr: read.iova, rkey: read.rkey };
            pair.sides[i].post(0, write, &[from]);
            pair.sides[i].post(1, read, &[into]);
            pair.sides[i].post(2, SendOperation::Send, &[from]);
        }
        pair.settle();
        for side in &mut pair.sides {
            assert_eq!(side.sent(), [0, 1, 2].map(|id| (id, WcStatus::Success)));
            assert_eq!(side.received(), [(0, WcStatus::Success, 700)]);
            assert_eq!(side.incoming(0, 700), patterns(0, 700));
            assert_eq!(side.incoming(4096, 700), patterns(3, 700));
            assert_eq!(side.incoming(8192, 700), patterns(3, 700));
        }
    }
}

#[test]
fn vlan_and_ipv6_change_headers_only() {
    for (vlan, ipv6) in [(None, true), (Some(7), false), (Some(4094), true)] {
        let mut pair = Pair::new(Setup { vlan, ipv6, ..SETUP });
        let (from, op) = (pair.sides[0].from(0, 1001), pair.write_op(0));
        pair.sides[0].post(1, op, &[from]);
        let frame = pair.sides[0].emit(pair.now).unwrap();
        let packet = RocePacket::parse(&frame).unwrap().unwrap();
        assert_eq!(packet.ethernet.vlan.map(VlanTag::vid), vlan);
        assert_eq!(packet.ip.src_gid(), gid_of(0, ipv6));
        assert_eq!(packet.ip.hop_limit(), 1);
        pair.deliver(1, &frame);
        pair.settle();
        assert_eq!(pair.sides[0].sent(), [(1, WcStatus::Success)]);
        assert_eq!(pair.sides[1].incoming(0, 1001), patterns(0, 1001));
    }
}

#[test]
fn headers_are_those_of_linux() {
    let mut pair = Pair::usual();
    let (from, op) = (pair.sides[0].from(0, 2), pair.write_op(0));
    pair.sides[0].post(1, op, &[from]);
    let frame = pair.sides[0].emit(pair.now).unwrap();
    let packet = RocePacket::parse(&frame).unwrap().unwrap();
    let IpHeader::V4(ip) = packet.ip else { panic!("IPv4") };
    assert!(ip.dont_fragment && !ip.more_fragments && ip.tos == 0);
    assert_ne!(ip.identification, 0, "zero is replaced by senders of raw packets");
    assert_eq!(packet.udp.src_port, source_port(pair.sides[0].qpn(), pair.sides[1].qpn()));
    assert_eq!((packet.udp.dst_port, packet.udp.checksum), (4791, 0));
    assert_eq!((packet.bth.pkey, packet.bth.pad, packet.bth.migrated), (0xffff, 2, false));
    assert_eq!((packet.ethernet.dst, packet.ethernet.src), (mac_of(1), mac_of(0)));
    pair.deliver(1, &frame);
    let answer = pair.sides[1].emit(pair.now).unwrap();
    let answer = RocePacket::parse(&answer).unwrap().unwrap();
    assert_eq!(answer.udp.src_port, packet.udp.src_port, "the same both ways");
    assert!(!answer.bth.ack_request && !answer.bth.solicited);
    assert_eq!(answer.ext, Ext::Aeth(Aeth { syndrome: Syndrome::ACK, msn: smolsmc_wire::Msn::new(1) }));
}

#[test]
fn the_way_through_the_network_is_as_given() {
    for (vlan, ipv6) in [(None, false), (Some(9), false), (None, true), (Some(9), true)] {
        let mut pair = Pair::new(Setup { vlan, ipv6, ..SETUP });
        for i in 0..2 {
            let [init, up, ready] = pair.way_up(i);
            let QpTransition::ReadyToReceive(mut up) = up else { panic!("in their order") };
            // ECT(0) in the traffic class: who asks for marks may be given them.
            (up.path.traffic_class, up.path.hop_limit) = (0xb8 | 0b10, 64);
            (up.path.flow_label, up.path.service_level) = (0xabcde, 5);
            let side = &mut pair.sides[i];
            for step in [QpTransition::Reset, init, QpTransition::ReadyToReceive(up), ready] {
                side.nic.modify_qp(side.qp, step).unwrap();
            }
        }
        let (from, op) = (pair.sides[0].from(0, 4), pair.write_op(0));
        pair.sides[0].post(1, op, &[from]);
        // Request and answer.
        for sender in 0..2 {
            let frame = pair.sides[sender].emit(pair.now).unwrap();
            let packet = RocePacket::parse(&frame).unwrap().unwrap();
            packet.verify_icrc().unwrap();
            match packet.ip {
                IpHeader::V4(ip) => assert_eq!((ip.tos, ip.ttl, ipv6), (0xba, 64, false)),
                IpHeader::V6(ip) => {
                    assert_eq!((ip.traffic_class, ip.flow_label), (0xba, 0xabcde));
                    assert_eq!((ip.hop_limit, ipv6), (64, true));
                }
            }
            assert_eq!(packet.ethernet.vlan, vlan.map(|vid| VlanTag(5 << 13 | vid)));
            pair.deliver(1 - sender, &frame);
        }
        assert_eq!(pair.sides[0].sent(), [(1, WcStatus::Success)]);
    }
}

#[test]
fn sends_are_solicited_on_their_last_packet_only() {
    let mut pair = Pair::usual();
    pair.sides[1].receive(0, &[pair.sides[1].to(0, 600)]);
    let (from, write) = (pair.sides[0].from(0, 600), pair.write_op(0));
    let sges = [from];
    let request = |operation| SendRequest {
        wr_id: 0,
        operation,
        payload: Payload::Registered(&sges),
        signalled: false,
        solicited: true,
    };
    let qp = pair.sides[0].qp;
    pair.sides[0].nic.post_send(qp, &[request(SendOperation::Send), request(write)]).unwrap();
    let solicited: Vec<_> = pair
        .collect(0)
        .iter()
        .map(|frame| RocePacket::parse(frame).unwrap().unwrap().bth.solicited)
        .collect();
    assert_eq!(solicited, [false, false, true, false, false, false]);
}

#[test]
fn the_window_closes_and_an_ack_opens_it() {
    for window in [2, 3, 4, 8, 128] {
        let mut pair = Pair::new(Setup { window, ..SETUP });
        let (from, op) = (pair.sides[0].from(0, 200 * 256), pair.write_op(0));
        pair.sides[0].post(1, op, &[from]);
        let frames = pair.collect(0);
        assert_eq!(frames.len(), window as usize, "as many as the window has");
        let asked = frames.iter().filter(|f| RocePacket::parse(f).unwrap().unwrap().bth.ack_request);
        assert!(asked.count() >= 2.min(window as usize - 1), "asked for before it closed: {window}");
        for frame in &frames {
            pair.deliver(1, frame);
        }
        pair.settle();
        assert_eq!(pair.sides[0].sent(), [(1, WcStatus::Success)]);
        assert_eq!(pair.sides[0].nic.counters().retransmitted, 0);
        assert_eq!(pair.sides[0].nic.counters().timeouts, 0);
    }
}

#[test]
fn acks_are_asked_for_each_half_window_inside_a_message() {
    let mut pair = Pair::usual();
    let (from, op) = (pair.sides[0].from(0, 200 * 256), pair.write_op(0));
    pair.sides[0].post(1, op, &[from]);
    pair.settle();
    let asked: Vec<_> = pair.seen.iter().filter(|s| s.from == 0 && s.ack_request).map(|s| s.psn).collect();
    assert_eq!(asked, [63, 127, 191, 199]);
}

#[test]
fn acks_are_coalesced_into_one() {
    let mut pair = Pair::usual();
    let (from, op) = (pair.sides[0].from(0, 4), pair.write_op(0));
    for i in 0..30 {
        pair.sides[0].post(i, op, &[from]);
    }
    for frame in pair.collect(0) {
        pair.deliver(1, &frame);
    }
    let answers = pair.collect(1);
    assert_eq!(answers.len(), 1);
    pair.deliver(0, &answers[0]);
    assert_eq!(pair.sides[0].sent().len(), 30);
}

#[test]
fn queue_pairs_take_turns() {
    // 20 queue pairs with a long message each: nobody sends twice before all
    // have sent once, and a short message is not behind a long one.
    let mut side = Side::new(0, &SETUP);
    let init = QpInit {
        pd: side.pd,
        send_cq: side.send_cq,
        recv_cq: side.recv_cq,
        capabilities: SETUP.capabilities,
    };
    let pair = Pair::usual();
    let ups = pair.way_up(0);
    let mut qps = Vec::new();
    for _ in 0..20 {
        let qp = side.nic.create_qp(init).unwrap();
        for up in ups {
            side.nic.modify_qp(qp, up).unwrap();
        }
        qps.push(qp);
        side.qp = qp;
        let from = side.from(0, 256 * 100);
        let op = SendOperation::Write { remote_addr: 0, rkey: smolsmc_wire::Rkey(1) };
        side.post(0, op, &[from]);
    }
    let mut order = Vec::new();
    while let Some(frame) = side.emit(pair.now) {
        let port = RocePacket::parse(&frame).unwrap().unwrap().udp.src_port;
        if order.last().is_none_or(|(last, _)| *last != port) {
            order.push((port, 0));
        }
        order.last_mut().unwrap().1 += 1;
    }
    let turns: Vec<_> = order.iter().map(|(_, packets)| *packets).collect();
    assert_eq!(order.len(), 20 * 7, "seven turns each: 6 * 16 + 4 = 100");
    assert!(turns[..120].iter().all(|packets| *packets == 16));
    for round in order.chunks(20) {
        let mut ports: Vec<_> = round.iter().map(|(port, _)| *port).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 20, "each once in a round");
    }
}

#[test]
fn the_same_entropy_makes_the_same_frames() {
    let run = || {
        let mut pair = Pair::usual();
        let (from, op) = (pair.sides[0].from(0, 1000), pair.write_op(0));
        pair.sides[0].post(1, op, &[from]);
        pair.collect(0)
    };
    assert_eq!(run(), run());
}

#[test]
fn a_buffer_too_short_changes_nothing() {
    let mut pair = Pair::usual();
    let (from, op) = (pair.sides[0].from(0, 100), pair.write_op(0));
    pair.sides[0].post(1, op, &[from]);
    let (now, port) = (pair.now, pair.sides[0].port);
    let len = pair.sides[0].nic.next_len(now, port).unwrap();
    for short in 0..len {
        assert_eq!(pair.sides[0].nic.emit(now, port, &mut vec![0; short]), 0);
    }
    assert_eq!(pair.sides[0].nic.next_len(now, port), Some(len));
    let mut long = vec![0; 9000];
    assert_eq!(pair.sides[0].nic.emit(now, port, &mut long), len);
    pair.deliver(1, &long[..len]);
    let ack = pair.sides[1].nic.next_len(now, port).unwrap();
    for short in 0..ack {
        assert_eq!(pair.sides[1].nic.emit(now, port, &mut vec![0; short]), 0);
    }
    pair.settle();
    assert_eq!(pair.sides[0].sent(), [(1, WcStatus::Success)]);
}

#[test]
fn frames_and_their_octets_are_counted_at_both_ends() {
    let mut pair = Pair::usual();
    let (from, op) = (pair.sides[0].from(0, 600), pair.write_op(0));
    let mut octets = 0;
    pair.sides[0].post(1, op, &[from]);
    for frame in pair.collect(0) {
        octets += frame.len() as u64;
        pair.deliver(1, &frame);
    }
    let [near, far] = [0, 1].map(|i: usize| *pair.sides[i].nic.counters());
    assert_eq!((near.frames_out, near.octets_out, near.frames_in), (3, octets, 0));
    assert_eq!((far.frames_in, far.octets_in, far.frames_out), (3, octets, 0));
}
