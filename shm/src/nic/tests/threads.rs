//! Two ends in two threads, so that everything happens at once.

// Tests may use threads and wait.
#![allow(clippy::disallowed_methods)]

use super::host::{Host, SLOTS};
use smolsmc_verbs::{Payload, Sge};
use smolsmc_verbs::{Provider, RemoteSpan, SendOperation, SendRequest, WcOpcode, WcStatus};

const MESSAGES: u64 = 20_000;
const RING: u64 = 32 * 1024;

/// Data by WRITE, word by SEND, both ways at once: what a word tells of is
/// there when it is heard.
#[test]
fn data_is_there_before_its_word() {
    let [one, two] = Host::pair();
    let facts = [(one.in_keys.iova, one.in_keys.rkey), (two.in_keys.iova, two.in_keys.rkey)];
    std::thread::scope(|scope| {
        for (mut host, peer, seed) in [(one, facts[1], 1_u8), (two, facts[0], 101)] {
            scope.spawn(move || {
                for slot in 0..SLOTS {
                    host.receive(slot).unwrap();
                }
                let (mut sent, mut acknowledged, mut heard, mut posted) = (0_u64, 0_u64, 0_u64, 0);
                while heard < MESSAGES || acknowledged < MESSAGES {
                    // The data of a message must not be overwritten unread: as
                    // many as there are cells are under way at most.
                    while sent < MESSAGES && sent - acknowledged < 16 && sent < heard + 16 {
                        send(&mut host, sent, peer, seed.wrapping_add(sent as u8));
                        sent += 1;
                    }
                    match host.poll() {
                        None => std::hint::spin_loop(),
                        Some(done) if done.opcode == WcOpcode::Receive => {
                            assert_eq!(done.status, WcStatus::Success);
                            check(&host, heard, done.wr_id, (102 - seed).wrapping_add(heard as u8));
                            heard += 1;
                            host.receive(posted).unwrap();
                            posted = (posted + 1) % SLOTS;
                        }
                        Some(done) => {
                            assert_eq!(done.status, WcStatus::Success);
                            acknowledged += 1;
                        }
                    }
                }
            });
        }
    });
}

fn cell(n: u64) -> (u64, usize) {
    // Cells of different lengths, in a ring of 32.
    (n % 32 * (RING / 32), 1 + (n * 37 % (RING / 32)) as usize)
}

fn send(host: &mut Host, n: u64, (iova, rkey): (u64, smolsmc_wire::Rkey), content: u8) {
    let (at, len) = cell(n);
    host.nic.outgoing(host.outgoing, at as usize, len).unwrap().fill(content);
    let sges = [Sge { addr: host.out_keys.iova + at, len: len as u32, lkey: host.out_keys.lkey }];
    let write = SendRequest {
        wr_id: n,
        operation: SendOperation::Write { remote_addr: iova + at, rkey },
        payload: Payload::Registered(&sges),
        signalled: false,
        solicited: false,
    };
    let word = [content; 44];
    let send = SendRequest {
        operation: SendOperation::Send,
        payload: Payload::Inline(&word),
        signalled: true,
        ..write
    };
    host.nic.post_send(host.qp, &[write, send]).unwrap();
}

fn check(host: &Host, n: u64, slot: u64, content: u8) {
    assert_eq!(host.slot(slot)[..44], [content; 44], "word {n}");
    let (at, len) = cell(n);
    let mut octets = [0; RING as usize / 32];
    let span = host.nic.incoming(host.incoming, at as usize, len).unwrap();
    span.copy_to(0, &mut octets[..len]);
    assert!(octets[..len].iter().all(|octet| *octet == content), "data {n}");
}

/// A peer writes all the time; once a deregistration has returned, the memory
/// stays as its owner leaves it.
#[test]
fn nothing_lands_after_a_deregistration() {
    for _ in 0..30 {
        let [mut one, mut two] = Host::pair();
        let (target, len) = ((one.in_keys.iova, one.in_keys.rkey), one.in_keys.len);
        two.nic.outgoing(two.outgoing, 0, len).unwrap().fill(0xee);
        std::thread::scope(|scope| {
            let writer = scope.spawn(move || {
                loop {
                    two.write(1, target, len as u32).unwrap();
                    let done = two.completion();
                    if done.status != WcStatus::Success {
                        // Whoever is gone may be found so before what it said last.
                        return (done.status, two);
                    }
                }
            });
            let octets = |one: &Host| {
                let mut octets = vec![0xaa; len];
                one.nic.incoming(one.incoming, 0, len).unwrap().copy_to(0, &mut octets);
                octets
            };
            while octets(&one).last() != Some(&0xee) {
                std::thread::yield_now();
            }
            one.nic.deregister(one.in_mr).unwrap();
            one.nic.zero(one.incoming, 0, len).unwrap();
            for _ in 0..20 {
                assert!(octets(&one).iter().all(|octet| *octet == 0), "a WRITE landed late");
            }
            let (status, _two) = writer.join().unwrap();
            assert_eq!(status, WcStatus::RemoteAccess);
            // It tells what it did.
            assert_eq!(one.event(), smolsmc_verbs::AsyncEvent::QpFatal(one.qp));
        });
    }
}
