//! Every rung of the responder's ladder, and what a completer refuses.
//! Requests and responses are made by hand here.

use super::*;
use smolsmc_wire::{Msn, Qpn};

// ---- before requester and responder part ----

#[test]
fn frames_that_nobody_takes_are_counted_by_their_reason() {
    let base = Pair::usual();
    let good = base.request(Opcode::SEND_ONLY, 0, Ext::None, &[1, 2, 3, 4]);
    let headers = base.headers(0, Opcode::SEND_ONLY, Psn::new(base.setup.psn[0]), Ext::None);
    let remade = |change: &dyn Fn(&mut FrameHeaders)| {
        let mut headers = headers;
        change(&mut headers);
        sealed(&headers, &[1, 2, 3, 4])
    };
    let other = |a: [u8; 4], b: [u8; 4]| {
        remade(&|h| {
            h.ip = IpPath::V4 { src: a.into(), dst: b.into(), tos: 0, ttl: 1, identification: 1 };
        })
    };
    type Count = fn(&Dropped) -> u64;
    let cases: Vec<(&str, Vec<u8>, Count)> = vec![
        ("cut", good[..good.len() - 1].to_vec(), |d| d.malformed),
        ("ARP", [&good[..12], &[8, 6], &good[14..]].concat(), |d| d.not_roce),
        ("CNP", remade(&|h| h.bth.opcode = Opcode(0x81)), |d| d.unknown_opcode),
        ("QPN + 1", remade(&|h| h.bth.dest_qpn = Qpn::new(h.bth.dest_qpn.value() + 1)), |d| d.no_such_qp),
        (
            "the place of the QPN, not the rest",
            remade(&|h| h.bth.dest_qpn = Qpn::new(h.bth.dest_qpn.value() ^ 0x80_0000)),
            |d| d.no_such_qp,
        ),
        ("QPN 0", remade(&|h| h.bth.dest_qpn = Qpn::new(0)), |d| d.no_such_qp),
        ("other source", other([10, 9, 0, 3], [10, 9, 0, 2]), |d| d.wrong_address),
        ("own source", other([10, 9, 0, 2], [10, 9, 0, 2]), |d| d.wrong_address),
        ("other destination", other([10, 9, 0, 1], [10, 9, 0, 3]), |d| d.wrong_address),
        ("tagged", remade(&|h| h.vlan = Some(VlanTag::new(5))), |d| d.wrong_address),
        ("P_Key", remade(&|h| h.bth.pkey = 0x8001), |d| d.wrong_pkey),
        (
            "ICRC",
            {
                let mut f = good.clone();
                *f.last_mut().unwrap() ^= 1;
                f
            },
            |d| d.wrong_icrc,
        ),
        (
            "payload",
            {
                let mut f = good.clone();
                f[54] ^= 1;
                f
            },
            |d| d.wrong_icrc,
        ),
        (
            "atomic ACK",
            remade(&|h| {
                h.bth.opcode = Opcode::ATOMIC_ACK;
                let aeth = Aeth { syndrome: Syndrome::ACK, msn: Msn::new(0) };
                h.ext = Ext::AtomicAck(aeth, AtomicAckEth::default());
            }),
            |d| d.meaningless,
        ),
    ];
    for (name, frame, count) in cases {
        let mut pair = Pair::usual();
        pair.sides[1].receive(0, &[pair.sides[1].to(0, 64)]);
        let (now, port) = (pair.now, pair.sides[1].port);
        pair.sides[1].nic.take(now, port, &frame);
        assert_eq!(count(&dropped(&pair, 1)), 1, "{name}");
        assert_eq!(pair.collect(1).len(), 0, "{name}: no answer");
        assert_eq!(pair.sides[1].received(), [], "{name}");
        assert_eq!(pair.sides[1].state(), QpState::ReadyToSend, "{name}");
        // The same packet unspoilt is taken.
        assert_eq!(syndromes(&answer_to(&mut pair, &good)), [0x1f], "{name}");
    }
}

#[test]
fn accepted_variants_of_a_packet_are_accepted() {
    let base = Pair::usual();
    let headers = base.headers(0, Opcode::SEND_ONLY, Psn::new(base.setup.psn[0]), Ext::None);
    type Change = fn(&mut FrameHeaders);
    let changes: [Change; 6] = [
        |h| h.bth.pkey = 0x7fff,
        |h| h.bth.migrated = true,
        |h| h.bth.fecn = true,
        |h| h.bth.becn = true,
        |h| h.src_port = 1,
        |h| h.vlan = Some(VlanTag(5 << 13)),
    ];
    for (i, change) in changes.into_iter().enumerate() {
        let mut pair = Pair::usual();
        pair.sides[1].receive(0, &[]);
        let mut headers = headers;
        change(&mut headers);
        assert_eq!(syndromes(&answer_to(&mut pair, &sealed(&headers, &[]))), [0x1f], "{i}");
    }
}

#[test]
fn only_frames_for_our_gids_are_claimed() {
    let pair = Pair::usual();
    let (nic, port) = (&pair.sides[1].nic, pair.sides[1].port);
    let good = pair.request(Opcode::SEND_ONLY, 0, Ext::None, &[]);
    assert!(nic.claims(port, &good));
    for cut in 0..42 {
        assert!(!nic.claims(port, &good[..cut]), "no UDP header: {cut}");
    }
    assert!(nic.claims(port, &good[..50]), "what is wrong further on is ours to count");
    let at = |at: usize, octet: u8| {
        let mut frame = good.clone();
        frame[at] = octet;
        frame
    };
    assert!(!nic.claims(port, &at(5, 0xee)), "another MAC");
    assert!(!nic.claims(port, &at(33, 0xee)), "another IP address");
    assert!(!nic.claims(port, &at(37, 0xee)), "another UDP port");
    assert!(!nic.claims(port, &at(23, 6)), "TCP");
    assert!(!nic.claims(port, &at(21, 1)), "a later fragment");
    assert!(!nic.claims(RdmaPort { port: PortNumber(2), ..port }, &good));
    assert!(!nic.claims(RdmaPort { port: PortNumber(0), ..port }, &good));
    assert!(!nic.claims(RdmaPort { device: DeviceId(1), ..port }, &good));
    let mut tagged = pair.headers(0, Opcode::SEND_ONLY, Psn::new(0), Ext::None);
    tagged.vlan = Some(VlanTag::new(5));
    assert!(!nic.claims(port, &sealed(&tagged, &[])), "another VLAN");
}

#[test]
fn without_verification_a_wrong_icrc_passes() {
    let mut pair = Pair::new(Setup { verify_icrc: false, ..SETUP });
    pair.sides[1].receive(0, &[]);
    let mut frame = pair.request(Opcode::SEND_ONLY, 0, Ext::None, &[]);
    *frame.last_mut().unwrap() ^= 1;
    assert_eq!(syndromes(&answer_to(&mut pair, &frame)), [0x1f]);
}

#[test]
fn ports_that_are_not_there_take_nothing() {
    let mut pair = Pair::usual();
    let frame = pair.request(Opcode::SEND_ONLY, 0, Ext::None, &[]);
    let port = RdmaPort { port: PortNumber(2), ..pair.sides[1].port };
    pair.sides[1].nic.take(pair.now, port, &frame);
    assert_eq!(dropped(&pair, 1).no_such_port, 1);
    assert_eq!(pair.sides[1].nic.next_len(pair.now, port), None);
}

#[test]
fn noise_never_panics_and_never_passes() {
    let mut pair = Pair::usual();
    let good = pair.request(Opcode::WRITE_ONLY, 0, reth(&pair, 0, 8), &[7; 8]);
    let (now, port) = (pair.now, pair.sides[1].port);
    // Every octet of the frame, changed in some ways.
    for at in 0..good.len() {
        for change in [1, 0x80, 0xff, 0x55] {
            let mut frame = good.clone();
            frame[at] ^= change;
            if pair.sides[1].nic.claims(port, &frame) {
                pair.sides[1].nic.take(now, port, &frame);
            }
        }
    }
    for cut in 0..good.len() {
        pair.sides[1].nic.take(now, port, &good[..cut]);
    }
    // Source MAC, TOS, TTL, UDP checksum, FECN may differ; nothing else may.
    let counters = pair.sides[1].nic.counters();
    let passed = pair.sides[1].nic.qp_counters(pair.sides[1].qp).unwrap().packets_in;
    assert_eq!(counters.duplicates, passed - 1);
    assert_eq!(pair.sides[1].incoming(0, 16), [[7; 8], [0; 8]].concat());
    assert_eq!(pair.sides[1].state(), QpState::ReadyToSend);
}

// ---- PSN ----

/// Half the circle is ahead, half is behind, whatever the opcode and wherever
/// the circle wraps; only the one expected is executed.
#[test]
fn requests_far_away_are_ahead_or_behind_and_never_executed() {
    for opcode in [Opcode::WRITE_ONLY, Opcode::SEND_ONLY, Opcode::WRITE_FIRST, Opcode::SEND_LAST] {
        for (ahead, syndrome, psn) in [
            (1_u32, 0x60, 1),
            (200, 0x60, 1),
            (0x7f_ffff, 0x60, 1),
            (0x80_0000, 0x1f, 0),
            (0xff_ff00, 0x1f, 0),
            (0xff_ffff, 0x1f, 0),
        ] {
            for first in [0x10, 0xff_fffe, 0x7f_ffff] {
                let mut pair = Pair::new(Setup { psn: [first, 0], ..SETUP });
                let good = pair.request(Opcode::WRITE_ONLY, 0, reth(&pair, 0, 4), &[1; 4]);
                assert_eq!(syndromes(&answer_to(&mut pair, &good)), [0x1f]);
                pair.sides[1].receive(0, &[pair.sides[1].to(0, 512)]);
                let frame = pair.request(opcode, 1 + ahead, ext_for(&pair, opcode, 256), &[2; 256]);
                let answers = answer_to(&mut pair, &frame);
                assert_eq!(syndromes(&answers), [syndrome], "{opcode} {ahead:#x}");
                assert_eq!(answers[0].psn, psn, "{opcode} {ahead:#x}");
                assert_eq!(answers[0].ext.aeth().unwrap().msn, Msn::new(1));
                // One NAK a gap; an ACK each time.
                let again = answer_to(&mut pair, &frame);
                assert_eq!(again.len(), usize::from(syndrome == 0x1f), "{opcode} {ahead:#x}");
                assert_eq!(pair.sides[1].incoming(0, 512), [&[1; 4][..], &[0; 508]].concat());
                assert_eq!(pair.sides[1].received(), []);
                assert_eq!(pair.sides[1].state(), QpState::ReadyToSend);
                // The one that is expected is still taken.
                let good = pair.request(Opcode::WRITE_ONLY, 1, reth(&pair, 0, 4), &[3; 4]);
                let answers = answer_to(&mut pair, &good);
                assert_eq!((answers[0].psn, answers[0].ext.aeth().unwrap().msn), (1, Msn::new(2)));
            }
        }
    }
}

// ---- order, right, length ----

/// What stands at the start of a message of two packets of 256 octets.
#[derive(Clone, Copy, Debug, PartialEq)]
enum In {
    Nothing,
    Send,
    Write,
}

fn ext_for(pair: &Pair, opcode: Opcode, dma_len: u32) -> Ext {
    let mr = pair.sides[1].into_mr;
    let reth = Reth { vaddr: mr.iova, rkey: mr.rkey, dma_len };
    match opcode.ext_kind() {
        ExtKind::None => Ext::None,
        ExtKind::Reth => Ext::Reth(reth),
        ExtKind::RethImm => Ext::RethImm(reth, ImmDt([1; 4])),
        ExtKind::Imm => Ext::Imm(ImmDt([1; 4])),
        ExtKind::Ieth => Ext::Ieth(Ieth(mr.rkey)),
        ExtKind::AtomicEth => Ext::AtomicEth(AtomicEth([0; 28])),
        ExtKind::Aeth | ExtKind::AtomicAck => unreachable!("a response"),
    }
}

#[test]
fn every_request_opcode_in_every_position_is_taken_or_refused() {
    let requests = Opcode::NAMED.iter().copied().filter(|opcode| opcode.is_request());
    for opcode in requests {
        let facts = opcode.facts().unwrap();
        for inside in [In::Nothing, In::Send, In::Write] {
            let mut pair = Pair::usual();
            for i in 0..4 {
                pair.sides[1].receive(i, &[pair.sides[1].to(0, 1024)]);
            }
            let start = match inside {
                In::Nothing => None,
                In::Send => Some(pair.request(Opcode::SEND_FIRST, 0, Ext::None, &[5; 256])),
                In::Write => Some(pair.request(Opcode::WRITE_FIRST, 0, reth(&pair, 0, 512 + 256), &[5; 256])),
            };
            let ahead = u32::from(start.is_some());
            if let Some(start) = start {
                assert_eq!(syndromes(&answer_to(&mut pair, &start)), [0x1f]);
            }
            // So long that each position is right in itself; a WRITE's LAST
            // has 512 octets to go, which none has.
            let dma_len = if facts.position == Position::Only { 256 } else { 512 };
            let payload: &[u8] = if opcode == Opcode::READ_REQUEST || facts.operation == Operation::Atomic {
                &[]
            } else {
                &[6; 256]
            };
            let frame = pair.request(opcode, ahead, ext_for(&pair, opcode, dma_len), payload);
            let answers = answer_to(&mut pair, &frame);
            let offered = !matches!(facts.ext, ExtKind::Ieth | ExtKind::AtomicEth);
            let in_order = match inside {
                In::Nothing => facts.position.is_start(),
                In::Send => facts.operation == Operation::Send && !facts.position.is_start(),
                In::Write => facts.operation == Operation::Write && facts.position == Position::Middle,
            };
            if offered && in_order {
                assert_eq!(syndromes(&answers), [0x1f], "{opcode} {inside:?}");
                assert_eq!(pair.sides[1].state(), QpState::ReadyToSend);
            } else {
                assert_eq!(syndromes(&answers), [0x61], "{opcode} {inside:?}");
                assert_eq!(pair.sides[1].state(), QpState::Error, "{opcode} {inside:?}");
                assert_eq!(pair.sides[1].nic.counters().naks_sent.invalid, 1);
                let flushed: Vec<_> = (0..4).map(|i| (i, WcStatus::Flushed, 0)).collect();
                assert_eq!(pair.sides[1].received(), flushed);
                assert_eq!(pair.sides[1].nic.next_event(), Some(AsyncEvent::QpFatal(pair.sides[1].qp)));
            }
        }
    }
}

#[test]
fn packets_of_a_wrong_length_for_their_position_are_refused() {
    let fine = |opcode, before: &[(Opcode, usize)], len: usize, dma_len: u32| {
        let mut pair = Pair::usual();
        pair.sides[1].receive(0, &[pair.sides[1].to(0, 4096)]);
        for (i, (opcode, len)) in before.iter().enumerate() {
            let frame = pair.request(*opcode, i as u32, ext_for(&pair, *opcode, dma_len), &vec![1; *len]);
            pair.deliver(1, &frame);
        }
        pair.collect(1);
        let frame = pair.request(opcode, before.len() as u32, ext_for(&pair, opcode, dma_len), &vec![2; len]);
        let answers = answer_to(&mut pair, &frame);
        match syndromes(&answers)[..] {
            [0x1f] => true,
            [0x61] => {
                assert_eq!(pair.sides[1].state(), QpState::Error);
                false
            }
            ref other => panic!("{opcode} {len} {dma_len}: {other:x?}"),
        }
    };
    let (first, write_first) = ([(Opcode::SEND_FIRST, 256)], [(Opcode::WRITE_FIRST, 256)]);
    for len in [0, 1, 255, 256, 257, 300] {
        let full = len == 256;
        let some = len > 0 && len <= 256;
        assert_eq!(fine(Opcode::SEND_FIRST, &[], len, 0), full, "{len}");
        assert_eq!(fine(Opcode::SEND_MIDDLE, &first, len, 0), full, "{len}");
        assert_eq!(fine(Opcode::SEND_LAST, &first, len, 0), some, "{len}");
        assert_eq!(fine(Opcode::SEND_LAST_IMM, &first, len, 0), some, "{len}");
        assert_eq!(fine(Opcode::SEND_ONLY, &[], len, 0), len <= 256, "{len}");
        assert_eq!(fine(Opcode::WRITE_FIRST, &[], len, len as u32 + 1), full, "{len}");
        assert_eq!(fine(Opcode::WRITE_MIDDLE, &write_first, len, 256 + len as u32 + 1), full, "{len}");
        assert_eq!(fine(Opcode::WRITE_LAST, &write_first, len, 256 + len.max(1) as u32), some, "{len}");
        assert_eq!(fine(Opcode::WRITE_LAST_IMM, &write_first, len, 256 + len.max(1) as u32), some, "{len}");
        assert_eq!(fine(Opcode::WRITE_ONLY, &[], len, len as u32), len <= 256, "{len}");
        assert_eq!(fine(Opcode::READ_REQUEST, &[], len, 4), len == 0, "{len}");
    }
    // The packets must add up to what the first one announced.
    assert!(!fine(Opcode::WRITE_FIRST, &[], 256, 256), "nothing would be left");
    assert!(!fine(Opcode::WRITE_FIRST, &[], 256, 255));
    assert!(!fine(Opcode::WRITE_ONLY, &[], 4, 5));
    assert!(!fine(Opcode::WRITE_ONLY, &[], 4, 3));
    assert!(!fine(Opcode::WRITE_ONLY, &[], 4, u32::MAX));
    assert!(!fine(Opcode::WRITE_MIDDLE, &write_first, 256, 512), "nothing would be left");
    assert!(!fine(Opcode::WRITE_LAST, &write_first, 4, 261));
    assert!(!fine(Opcode::WRITE_LAST, &write_first, 4, 259));
    assert!(!fine(Opcode::WRITE_FIRST, &[], 256, 0x8000_0001), "longer than any message");
    assert!(!fine(Opcode::READ_REQUEST, &[], 0, 0x8000_0001), "longer than any message");
}

#[test]
fn access_that_was_not_granted_is_refused() {
    for (access, opcode, fine) in [
        (Access::empty(), Opcode::WRITE_ONLY, false),
        (Access::REMOTE_READ, Opcode::WRITE_ONLY, false),
        (Access::REMOTE_WRITE, Opcode::WRITE_ONLY, true),
        (Access::empty(), Opcode::READ_REQUEST, false),
        (Access::REMOTE_WRITE, Opcode::READ_REQUEST, false),
        (Access::REMOTE_READ, Opcode::READ_REQUEST, true),
        (Access::empty(), Opcode::SEND_ONLY, true),
    ] {
        let mut pair = Pair::new(Setup { access, ..SETUP });
        pair.sides[1].receive(0, &[pair.sides[1].to(0, 64)]);
        let payload: &[u8] = if opcode == Opcode::READ_REQUEST { &[] } else { &[1; 4] };
        let frame = pair.request(opcode, 0, ext_for(&pair, opcode, 4), payload);
        let answers = answer_to(&mut pair, &frame);
        assert_eq!(syndromes(&answers), [if fine { 0x1f } else { 0x61 }], "{access:?} {opcode}");
    }
}

#[test]
fn a_send_longer_than_its_receive_ends_both() {
    for len in [45, 256, 300, 700] {
        let mut pair = Pair::usual();
        pair.sides[1].receive(0, &[pair.sides[1].to(0, 44)]);
        pair.sides[1].receive(1, &[pair.sides[1].to(100, 44)]);
        let from = pair.sides[0].from(0, len);
        pair.sides[0].post(5, SendOperation::Send, &[from]);
        pair.sides[0].post(6, SendOperation::Send, &[from]);
        pair.settle();
        assert_eq!(pair.sides[0].sent(), [(5, WcStatus::RemoteInvalidRequest), (6, WcStatus::Flushed)]);
        let got: Vec<_> = pair.sides[1].received().iter().map(|(id, status, _)| (*id, *status)).collect();
        assert_eq!(got, [(0, WcStatus::LocalLength), (1, WcStatus::Flushed)]);
        assert_eq!(pair.sides[1].incoming(44, 56), [0; 56], "nothing beyond the receive");
        assert_eq!(pair.sides[0].state(), QpState::Error);
        assert_eq!(pair.sides[0].nic.counters().naks_received.invalid, 1);
    }
}

#[test]
fn a_receive_we_may_not_fill_is_our_own_fault() {
    for wrong in 0..4 {
        let mut pair = Pair::usual();
        let side = &pair.sides[1];
        let sge = match wrong {
            0 => Sge { lkey: side.out_mr.lkey, addr: side.out_mr.iova, len: 44 },
            1 => Sge { lkey: smolsmc_wire::Lkey(side.into_mr.rkey.0), ..side.to(0, 44) },
            2 => side.to(LEN - 43, 44),
            _ => Sge { addr: side.into_mr.iova.wrapping_sub(1), ..side.to(0, 44) },
        };
        pair.sides[1].receive(0, &[sge]);
        let from = pair.sides[0].from(0, 44);
        pair.sides[0].post(5, SendOperation::Send, &[from]);
        pair.settle();
        assert_eq!(pair.sides[0].sent(), [(5, WcStatus::RemoteOperation)], "{wrong}");
        assert_eq!(pair.sides[1].received(), [(0, WcStatus::LocalProtection, 0)], "{wrong}");
        assert_eq!(pair.sides[1].nic.counters().naks_sent.operational, 1);
    }
}
