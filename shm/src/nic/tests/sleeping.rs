//! Who sleeps is woken, and who does not costs nobody a system call.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use smolsmc_verbs::{ArmFor, Provider, WcOpcode, WcStatus};
use smoltcp::phy::{Device, RxToken, TxToken};
use smoltcp::time::Instant;

use super::host::Host;

/// Whether one of the NIC's descriptors is readable.
fn is_rung(host: &Host) -> bool {
    let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut fds: Vec<_> = host.nic.fds().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
    poll(&mut fds, Some(&zero)).unwrap() > 0
}

fn arm(host: &mut Host, for_what: ArmFor) -> bool {
    host.nic.arm_cq(host.cq, for_what).unwrap()
}

#[test]
fn a_peer_that_polls_is_not_rung_for() {
    let [mut one, mut two] = Host::pair();
    two.receive(0).unwrap();
    one.send(1, b"hello").unwrap();
    assert!(!is_rung(&two), "nobody sleeps");
    assert_eq!(two.completion().opcode, WcOpcode::Receive);
    assert_eq!(one.completion().opcode, WcOpcode::Send);
    assert!(!is_rung(&one));
}

#[test]
fn a_message_wakes_once_for_each_arming() {
    let [mut one, mut two] = Host::pair();
    for round in 0..4 {
        two.receive(0).unwrap();
        two.receive(1).unwrap();
        assert!(!arm(&mut two, ArmFor::Next) && !is_rung(&two), "round {round}");
        one.send(1, b"hello").unwrap();
        assert!(is_rung(&two));
        assert_eq!(two.nic.next_notification(), Some(two.cq));
        assert_eq!(two.completion().opcode, WcOpcode::Receive);
        one.send(1, b"hello").unwrap();
        assert_eq!(two.completion().opcode, WcOpcode::Receive);
        assert!(one.completion().status == WcStatus::Success && one.completion().status == WcStatus::Success);
        assert!(!arm(&mut two, ArmFor::Next), "round {round}: all was polled");
        assert!(!is_rung(&two), "round {round}: the second message rang nobody");
    }
}

#[test]
fn arming_sees_what_came_before() {
    let [mut one, mut two] = Host::pair();
    two.receive(0).unwrap();
    one.send(1, b"hello").unwrap();
    assert!(arm(&mut two, ArmFor::Next));
}

/// While polling, the line of answers is looked at now and then; before a sleep it
/// must be, or nobody would tell of what came just before the wish.
#[test]
fn arming_sees_an_answer_however_many_polls_came_before() {
    for polls in 0..20 {
        let [mut one, mut two] = Host::pair();
        two.receive(0).unwrap();
        one.send(1, b"hello").unwrap();
        (0..polls).for_each(|_| assert_eq!(one.poll(), None));
        assert_eq!(two.completion().opcode, WcOpcode::Receive);
        assert_eq!(two.poll(), None, "who was to be woken has been");
        assert!(arm(&mut one, ArmFor::Next), "after {polls} polls");
        assert_eq!(one.poll().map(|done| done.opcode), Some(WcOpcode::Send));
    }
}

/// A sleeper that waits for its own requests hears of them.
#[test]
fn an_answer_wakes_who_waits_for_it() {
    let [mut one, mut two] = Host::pair();
    two.receive(0).unwrap();
    one.send(1, b"hello").unwrap();
    assert!(!arm(&mut one, ArmFor::Next));
    assert_eq!(two.completion().opcode, WcOpcode::Receive);
    assert!(!is_rung(&one), "an answer may still be on its way with a message");
    assert_eq!(two.poll(), None);
    assert!(is_rung(&one));
    assert_eq!(one.completion().opcode, WcOpcode::Send);
}

#[test]
fn a_receive_wakes_who_waits_for_it() {
    let [mut one, mut two] = Host::pair();
    one.send(1, b"hello").unwrap();
    assert_eq!(one.poll(), None);
    assert!(!arm(&mut one, ArmFor::Solicited), "it still waits for a receive");
    two.receive(0).unwrap();
    assert!(!arm(&mut two, ArmFor::Next));
    assert!(is_rung(&one));
    one.nic.progress();
    assert!(is_rung(&two), "what was waiting was sent");
    assert_eq!(two.completion().opcode, WcOpcode::Receive);
}

#[test]
fn only_solicited_messages_wake_who_says_so() {
    let [mut one, mut two] = Host::pair();
    two.receive(0).unwrap();
    let keys = two.in_keys;
    assert!(!arm(&mut two, ArmFor::Solicited));
    one.write(1, (keys.iova, keys.rkey), 100).unwrap();
    assert!(!is_rung(&two), "a WRITE tells nobody");
    one.send(1, b"hello").unwrap();
    assert!(is_rung(&two));
}

#[test]
fn a_frame_wakes_the_ethernet_device() {
    let [mut one, mut two] = Host::pair();
    let is_rung = |host: &Host| {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let [bell, _] = host.ethernet.fds();
        poll(&mut [PollFd::from_borrowed_fd(bell, PollFlags::IN)], Some(&zero)).unwrap() > 0
    };
    for len in [60, 1514, 9018] {
        assert!(!two.ethernet.arm() && !is_rung(&two));
        let token = one.ethernet.transmit(Instant::ZERO).unwrap();
        token.consume(len, |octets| octets.iter_mut().enumerate().for_each(|(n, octet)| *octet = n as u8));
        assert!(is_rung(&two));
        let (frame, _) = two.ethernet.receive(Instant::ZERO).unwrap();
        frame.consume(|octets| {
            assert_eq!(octets.len(), len);
            assert!(octets.iter().enumerate().all(|(n, octet)| *octet == n as u8));
        });
    }
    // More than fits is lost, and nothing else.
    let mut sent = 0;
    while let Some(token) = one.ethernet.transmit(Instant::ZERO) {
        token.consume(9018, |octets| octets.fill(9));
        sent += 1;
        assert!(sent < 1000, "a ring is finite");
    }
    assert!(two.ethernet.arm(), "frames wait already");
    for _ in 0..sent {
        assert!(two.ethernet.receive(Instant::ZERO).is_some());
    }
    assert!(two.ethernet.receive(Instant::ZERO).is_none() && one.ethernet.transmit(Instant::ZERO).is_some());
    // Longer than the MTU: lost, not cut.
    one.ethernet.transmit(Instant::ZERO).unwrap().consume(9019, |octets| octets.fill(1));
    assert_eq!((one.ethernet.lost(), two.ethernet.receive(Instant::ZERO).is_none()), (1, true));
}

/// The peer counts for who sleeps: fewer messages wake nobody, a failure always does.
#[test]
fn so_many_messages_wake_who_says_so() {
    let [mut one, mut two] = Host::pair();
    for slot in 0..8 {
        two.receive(slot).unwrap();
    }
    for round in 0..3 {
        assert_eq!(two.nic.arm_cq_after(two.cq, 3), Ok(Some(false)), "round {round}");
        for sent in 1..=3 {
            one.send(1, b"hello").unwrap();
            assert_eq!(is_rung(&two), sent >= 3, "round {round}, message {sent}");
        }
        for slot in 0..3 {
            assert_eq!(two.completion().opcode, WcOpcode::Receive);
            two.receive(slot).unwrap();
            assert_eq!(one.completion().opcode, WcOpcode::Send);
        }
    }
    // What waits already counts.
    one.send(1, b"hello").unwrap();
    one.send(1, b"hello").unwrap();
    assert_eq!(two.nic.arm_cq_after(two.cq, 2), Ok(Some(true)));
    (0..2).for_each(|_| assert_eq!(two.completion().opcode, WcOpcode::Receive));
    // Whoever asked for less is not forgotten.
    assert!(!arm(&mut two, ArmFor::Next));
    assert_eq!(two.nic.arm_cq_after(two.cq, 100), Ok(Some(false)));
    one.send(1, b"hello").unwrap();
    assert!(is_rung(&two));
    assert_eq!(two.completion().opcode, WcOpcode::Receive);
    // A request that hits what it may not.
    assert_eq!(two.nic.arm_cq_after(two.cq, 100), Ok(Some(false)));
    let keys = two.in_keys;
    one.write(1, (keys.iova, smolsmc_wire::Rkey(keys.rkey.0 ^ 1)), 100).unwrap();
    assert!(is_rung(&two));
}
