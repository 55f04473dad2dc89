//! Peers that keep no rules.

// A thread that scribbles while others work.
#![allow(clippy::disallowed_methods)]

use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use smolsmc_verbs::*;
use smolsmc_wire::Rkey;
use smoltcp::phy::{Device, RxToken, TxToken};

use super::host::{Host, LEN, PORT, gid, opening};
use crate::WireFault;
use crate::rogue::{FalseQp, Rogue, RogueOpening};

const DATA: usize = 1 << 16;
const RKEY: u32 = 0x1234_5675;
const IOVA: u64 = 0x10_0000;
const PEER_QPN: u32 = 0x77_7773;

/// A host whose peer is a rogue, its queue pair in RTS toward one that the
/// rogue pretends to have.
fn victim() -> (Host, Rogue) {
    let (a, b) = UnixStream::pair().unwrap();
    let opened = opening(1, a, true);
    let rogue = RogueOpening::greet(b, gid(2), DATA).unwrap();
    let mut host = Host::new(opened);
    let rogue = rogue.complete().unwrap();
    host.connect(smolsmc_wire::Qpn::new(PEER_QPN), 2);
    let false_qp = FalseQp { qpn: PEER_QPN, peer_qpn: host.qpn.value(), psn: 7, posted: 100, answered: 0 };
    rogue.pretend(&false_qp);
    rogue.lend(RKEY, IOVA, 0, DATA as u64);
    host.forget_events();
    (host, rogue)
}

fn send_header(host: &Host, rogue: &Rogue, len: u32, flags: u32) -> [u32; 4] {
    let qpn = host.qpn.value();
    [1 << 24 | qpn, len << 16 | flags, rogue.life_of(qpn) << 16, 0]
}

#[test]
fn the_rogue_can_behave() {
    let (mut host, mut rogue) = victim();
    host.nic.outgoing(host.outgoing, 0, 100).unwrap().fill(9);
    host.write(1, (IOVA + 5, Rkey(RKEY)), 100).unwrap();
    assert_eq!(host.completion().status, WcStatus::Success);
    let mut octets = [0; 106];
    rogue.read(0, &mut octets);
    assert_eq!((octets[4], octets[5], octets[104], octets[105]), (0, 9, 9, 0));
    host.receive(3).unwrap();
    rogue.message(send_header(&host, &rogue, 5, 3), b"hello", 1);
    let got = host.completion();
    assert_eq!((got.status, got.wr_id, got.byte_len), (WcStatus::Success, 3, 5));
    assert_eq!(&host.slot(3)[..5], b"hello");
}

/// What it lends ends where its memory does, whatever it says.
#[test]
fn a_key_that_opens_more_than_there_is() {
    for (offset, octets) in [
        (0, u64::MAX),
        (DATA as u64 - 99, 1 << 20),
        (DATA as u64, 1 << 20),
        (u64::MAX, u64::MAX),
        (u64::MAX - 50, 1 << 20),
        (1 << 40, 1 << 20),
    ] {
        let (mut host, rogue) = victim();
        rogue.lend(RKEY, IOVA, offset, octets);
        let addr = if offset == 0 { IOVA + DATA as u64 - 50 } else { IOVA };
        host.write(1, (addr, Rkey(RKEY)), 100).unwrap();
        assert_eq!(host.completion().status, WcStatus::RemoteAccess, "{offset:x} {octets:x}");
        assert_eq!(host.event(), AsyncEvent::QpFatal(host.qp));
    }
}

#[test]
fn a_message_that_cannot_be_takes_the_port_down() {
    let headers: [[u32; 4]; 5] = [
        [0; 4],
        [9 << 24, 0, 0, 0],
        [1 << 24, 0xffff_0003, 0, 0],
        [u32::MAX; 4],
        [1 << 24, 0x0000_00f8, 0, 0],
    ];
    for header in headers {
        let (mut host, mut rogue) = victim();
        rogue.message(header, &[], 1);
        host.nic.progress();
        assert_eq!(host.nic.fault(PORT.device), Some(WireFault::Message), "{header:x?}");
        assert_eq!(host.nic.port(PORT).unwrap().state, PortState::Down);
        assert_eq!(host.event(), AsyncEvent::PortDown(PORT));
        assert!(!rogue.sees_peer());
        // What is asked from now on fails with its reason, at once.
        host.write(1, (IOVA, Rkey(RKEY)), 10).unwrap();
        assert_eq!(host.completion().status, WcStatus::RetryExceeded);
    }
}

#[test]
fn an_index_that_cannot_be_takes_the_port_down() {
    let (mut host, rogue) = victim();
    rogue.consume(12_345);
    // The index is looked at once the ring seems full.
    for n in 0..64 {
        let _ = host.send(n, &[1; 64]);
    }
    assert_eq!(host.completion().status, WcStatus::RetryExceeded);
    assert_eq!(host.nic.fault(PORT.device), Some(WireFault::RingIndex));
    let events = [host.event(), host.event()];
    assert!(events.contains(&AsyncEvent::PortDown(PORT)) && events.contains(&AsyncEvent::QpFatal(host.qp)));
}

#[test]
fn answers_to_what_was_never_asked() {
    let (mut host, rogue) = victim();
    let lie = FalseQp { qpn: PEER_QPN, peer_qpn: host.qpn.value(), psn: 7, posted: 100, answered: 50 };
    rogue.pretend(&lie);
    host.send(1, b"hello").unwrap();
    let got = host.completion();
    assert_eq!(got.status, WcStatus::RetryExceeded);
    assert_eq!(host.nic.fault(PORT.device), Some(WireFault::RingIndex));
}

#[test]
fn a_message_nobody_posted_a_receive_for() {
    let (mut host, mut rogue) = victim();
    rogue.message(send_header(&host, &rogue, 5, 3), b"hello", 1);
    assert_eq!(host.event(), AsyncEvent::QpFatal(host.qp));
    assert_eq!(host.nic.fault(PORT.device), None, "one queue pair's misbehaviour");
}

#[test]
fn octets_nobody_asked_to_read() {
    let (mut host, mut rogue) = victim();
    let [a, b, c, d] = send_header(&host, &rogue, 44, 2);
    host.send(1, b"hello").unwrap();
    rogue.message([a & 0xff_ffff | 4 << 24, b, c, d], &[7; 44], 1);
    assert_eq!(host.completion().status, WcStatus::BadResponse);
    // More than was asked for.
    let (mut host, mut rogue) = victim();
    host.read(1, (IOVA, Rkey(RKEY)), 20).unwrap();
    let [a, b, c, d] = send_header(&host, &rogue, 44, 2);
    rogue.message([a & 0xff_ffff | 4 << 24, b, c, d], &[7; 44], 1);
    assert_eq!(host.completion().status, WcStatus::BadResponse);
    let span = host.nic.incoming(host.incoming, 0, 64).unwrap();
    let mut octets = [1; 64];
    span.copy_to(0, &mut octets);
    assert_eq!(octets, [0; 64]);
}

/// It consumes nothing and answers nothing, but lives.
#[test]
fn a_peer_that_is_silent_for_too_long() {
    let (mut host, _rogue) = victim();
    host.send(1, b"hello").unwrap();
    let got = host.completion();
    assert_eq!((got.wr_id, got.status), (1, WcStatus::RetryExceeded));
    assert_eq!(host.nic.fault(PORT.device), None);
}

/// It says that it is writing, for ever: the memory it may be writing to is
/// never used again.
#[test]
fn a_peer_that_stays_in_the_gate() {
    let (mut host, rogue) = victim();
    rogue.stand_in_gate(1);
    host.nic.deregister(host.in_mr).unwrap();
    assert_eq!(host.nic.fault(PORT.device), Some(WireFault::StuckInside));
    assert_eq!(host.nic.register(host.pd, host.incoming, Access::empty()), Err(VerbsError::InUse("memory")));
    let at = host.nic.incoming(host.incoming, 0, 1).unwrap().as_ptr();
    host.nic.free_memory(host.incoming).unwrap();
    let again = host.nic.alloc_memory(LEN, MemoryUse::Incoming).unwrap();
    assert_ne!(host.nic.incoming(again, 0, 1).unwrap().as_ptr(), at);
    assert_eq!(host.event(), AsyncEvent::PortDown(PORT));
}

#[test]
fn a_peer_that_closes_its_socket() {
    let (mut host, rogue) = victim();
    host.send(1, b"hello").unwrap();
    drop(rogue);
    let got = host.completion();
    assert_eq!(got.status, WcStatus::RetryExceeded);
    assert_eq!(host.nic.fault(PORT.device), Some(WireFault::PeerGone));
    let events = [host.event(), host.event()];
    assert!(events.contains(&AsyncEvent::PortDown(PORT)) && events.contains(&AsyncEvent::QpFatal(host.qp)));
    // All that is left is to clean up.
    host.nic.destroy_qp(host.qp).unwrap();
    host.nic.deregister(host.in_mr).unwrap();
    host.nic.free_memory(host.incoming).unwrap();
}

#[test]
fn frames_that_cannot_be_take_the_port_down() {
    for (header, payload) in
        [([0; 4], 0), ([0x6574_6801, 10_000, 0, 0], 0), ([0x6574_6801, u32::MAX, 0, 0], 0)]
    {
        let (mut host, mut rogue) = victim();
        rogue.frame([0x6574_6801, 44, 0, 0], &[5; 44], 1);
        let (frame, _) = host.ethernet.receive(smoltcp::time::Instant::ZERO).unwrap();
        frame.consume(|octets| assert_eq!(octets, [5; 44]));
        rogue.frame(header, &vec![1; payload], 1);
        assert!(host.ethernet.receive(smoltcp::time::Instant::ZERO).is_none());
        assert_eq!(host.ethernet.fault(), Some(WireFault::Message));
        assert!(host.ethernet.transmit(smoltcp::time::Instant::ZERO).is_none());
        assert_eq!(host.event(), AsyncEvent::PortDown(PORT));
    }
}

#[test]
fn a_flood_of_rings_wakes_and_nothing_else() {
    let (mut host, rogue) = victim();
    for _ in 0..10_000 {
        rogue.ring();
    }
    for _ in 0..10 {
        assert!(!host.nic.arm_cq(host.cq, ArmFor::Next).unwrap());
    }
    assert_eq!(host.nic.fault(PORT.device), None);
}

/// One thing the victim does.
fn act(host: &mut Host, what: u8, n: u32) {
    let wr_id = u64::from(n);
    match what % 12 {
        0 => drop(host.write(wr_id, (IOVA + u64::from(n % 70_000), Rkey(RKEY)), n % 5000)),
        1 => drop(host.send(wr_id, &[7; 44])),
        2 => drop(host.read(wr_id, (IOVA, Rkey(RKEY)), n % 3000)),
        3 => drop(host.receive(n)),
        4 => drop(host.nic.arm_cq(host.cq, ArmFor::Next)),
        5 => drop(
            host.ethernet.receive(smoltcp::time::Instant::ZERO).map(|(frame, _)| frame.consume(<[u8]>::len)),
        ),
        6 => drop(
            host.ethernet
                .transmit(smoltcp::time::Instant::ZERO)
                .map(|token| token.consume(60, |o| o.fill(1))),
        ),
        7 => drop(host.nic.next_event()),
        8 if n.is_multiple_of(8) => {
            host.nic.modify_qp(host.qp, QpTransition::Reset).unwrap();
            host.connect(smolsmc_wire::Qpn::new(PEER_QPN), 2);
        }
        9 if n.is_multiple_of(8) => {
            host.nic.deregister(host.in_mr).unwrap();
            let open = Access::LOCAL_WRITE | Access::REMOTE_WRITE | Access::REMOTE_READ;
            if let Ok(mr) = host.nic.register(host.pd, host.incoming, open) {
                (host.in_mr, host.in_keys) = (mr, host.nic.mr(mr).unwrap());
            } else {
                host.incoming = host.nic.alloc_memory(LEN, MemoryUse::Incoming).unwrap();
                host.in_mr = host.nic.register(host.pd, host.incoming, open).unwrap();
                host.in_keys = host.nic.mr(host.in_mr).unwrap();
            }
        }
        _ => while host.poll().is_some() {},
    }
}

/// What nobody but its owner may write.
fn is_untouched(host: &mut Host) -> bool {
    host.nic.outgoing(host.outgoing, 0, LEN).unwrap().iter().all(|octet| *octet == 0xc3)
}

/// Another thread writes every word it can, all the time; whatever the victim
/// does ends, and its own memory is its own.
#[test]
fn every_word_scribbled_over_at_any_time() {
    for seed in 0..20_u32 {
        let (mut host, rogue) = victim();
        host.nic.outgoing(host.outgoing, 0, LEN).unwrap().fill(0xc3);
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut random = seed.wrapping_mul(0x9e37_79b9) | 1;
                let mut next = || {
                    random ^= random << 13;
                    random ^= random >> 17;
                    random ^= random << 5;
                    random
                };
                while !is_over.load(Ordering::Relaxed) {
                    let (index, word) = (next() as usize, next());
                    // Small numbers mean something more often than large ones.
                    rogue.set(index, if word & 1 == 0 { word >> 26 } else { word });
                    rogue.scribble(index % rogue.lent(), &[word as u8; 16]);
                    if word.is_multiple_of(64) {
                        rogue.ring();
                    }
                }
            });
            let mut random = seed | 1;
            for n in 0..4000_u32 {
                random = random.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
                act(&mut host, (random >> 24) as u8, n);
                if host.nic.fault(PORT.device).is_some() {
                    break;
                }
            }
            is_over.store(true, Ordering::Relaxed);
        });
        assert!(is_untouched(&mut host), "seed {seed}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Lies with a meaning: keys, queue pairs, messages and indices of any
    /// value, between any calls.
    #[test]
    fn any_lies_are_survived(
        lies in prop::collection::vec((0_u8..8, any::<u8>(), any::<[u32; 4]>(), 0_u32..70), 1..60),
    ) {
        let (mut host, mut rogue) = victim();
        host.nic.outgoing(host.outgoing, 0, LEN).unwrap().fill(0xc3);
        for (n, (lie, what, words, small)) in (0..).zip(lies) {
            let [a, b, c, d] = words;
            match lie {
                0 => rogue.set(a as usize, b),
                1 => rogue.lend(RKEY, IOVA, u64::from(a) << (b % 40), u64::from(c) << (d % 40)),
                2 => rogue.pretend(&FalseQp {
                    qpn: PEER_QPN, peer_qpn: host.qpn.value(), psn: 7, posted: a >> (b % 32), answered: small,
                }),
                3 => {
                    let [_, _, life, _] = send_header(&host, &rogue, 0, 0);
                    let kind = 1 + a % 6;
                    let header = [kind << 24 | host.qpn.value(), ((small % 64) << 16) | (b % 8), life | (c & 0xffff), d];
                    rogue.message(header, &[a as u8; 44], 1 + small / 45);
                }
                4 => rogue.message(words, &[a as u8; 44], small),
                5 => rogue.consume(a >> (b % 32)),
                6 => rogue.stand_in_gate(a & 1),
                _ => rogue.frame([0x6574_6801, small, 0, 0], &[a as u8; 44], 1 + small / 45),
            }
            act(&mut host, what, n);
        }
        prop_assert!(is_untouched(&mut host));
    }
}
