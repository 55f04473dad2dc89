use crate::draws::Secret;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use smolsmc_clc::SynKind;
use smolsmc_wire::{Duration, Instant, Mac};

use super::{LastWords, TimeWaits, Verdict};
use crate::port::{Segment, Tuple};
use crate::quiet::Bare;

const WORDS: LastWords = LastWords { next: u32::MAX, expected: u32::MAX - 2 };
const START: Instant = Instant::from_millis(1000);

fn tuple(port: u16) -> Tuple {
    let at = |last, port| SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 9, 0, last)), port);
    Tuple { port: 0, local: at(1, port), remote: at(2, 5000) }
}

fn segment(seq: u32) -> Segment {
    Segment {
        from_mac: Mac([2; 6]),
        from: tuple(1).remote,
        to: tuple(1).local,
        kind: SynKind::Other,
        option: false,
        seq,
        ack: WORDS.next,
        has_ack: true,
        fin: false,
        reset: false,
        payload_len: 0,
    }
}

fn after(seconds: u64) -> Instant {
    START + Duration::from_secs(seconds)
}

fn one() -> TimeWaits {
    let mut table = TimeWaits::new(Secret::fixed());
    table.enter(tuple(1), WORDS, Mac([2; 6]), after(60), 10);
    table
}

fn answer() -> Option<Bare> {
    Some(Bare { seq: WORDS.next, ack: WORDS.expected, fin: false, reset: false })
}

fn said(table: &mut TimeWaits) -> Option<Bare> {
    table.next_answer().map(|(_, _, bare)| bare)
}

#[test]
fn a_fin_that_comes_again_is_acknowledged_and_waited_for_again() {
    let mut table = one();
    let fin = Segment { fin: true, ..segment(WORDS.expected.wrapping_sub(1)) };
    assert_eq!(table.hear(&tuple(1), &fin, after(90), true), Verdict::Taken);
    assert_eq!(table.hear(&tuple(1), &fin, after(90), true), Verdict::Taken);
    assert_eq!((said(&mut table), said(&mut table)), (answer(), None), "once for both");
    table.expire(after(89));
    assert_eq!(table.len(), 1);
    table.expire(after(90));
    assert_eq!((table.len(), table.in_line()), (0, 0));
    assert_eq!(table.hear(&tuple(1), &fin, after(99), true), Verdict::Unknown);
}

#[test]
fn a_fin_whose_ack_never_left_is_acknowledged() {
    let mut table = one();
    let fin = Segment { fin: true, ..segment(WORDS.expected) };
    assert_eq!(table.hear(&tuple(1), &fin, after(60), true), Verdict::Taken);
    assert_eq!(said(&mut table).map(|bare| bare.ack), Some(WORDS.expected.wrapping_add(1)));
}

#[test]
fn every_kind_of_segment_has_its_answer() {
    let syn = |seq| Segment { kind: SynKind::Syn, has_ack: false, ..segment(seq) };
    let expected = WORDS.expected;
    let beyond = expected.wrapping_add(5);
    for (what, heard, verdict, answers, stays) in [
        ("an ACK", segment(expected), Verdict::Taken, false, true),
        ("a probe", segment(expected.wrapping_sub(1)), Verdict::Taken, true, true),
        ("octets", Segment { payload_len: 1, ..segment(expected) }, Verdict::Taken, true, true),
        ("an old SYN", syn(expected), Verdict::Taken, true, true),
        ("a new SYN, over the wrap", syn(beyond), Verdict::NewConnection, false, false),
        ("a RST", Segment { reset: true, ..segment(expected) }, Verdict::Taken, false, false),
        ("a blind RST", Segment { reset: true, ..segment(beyond) }, Verdict::Taken, false, true),
    ] {
        let mut table = one();
        assert_eq!(table.hear(&tuple(1), &heard, after(60), true), verdict, "{what}");
        assert_eq!(said(&mut table).is_some(), answers, "{what}");
        assert_eq!(table.contains(&tuple(1)), stays, "{what}");
    }
}

#[test]
fn a_fin_with_another_number_keeps_nothing_waiting() {
    let mut table = one();
    for seq in [WORDS.expected.wrapping_sub(2), WORDS.expected.wrapping_add(1), 0x4000_0000] {
        let fin = Segment { fin: true, ..segment(seq) };
        assert_eq!(table.hear(&tuple(1), &fin, after(90), true), Verdict::Taken);
    }
    assert_eq!(said(&mut table), answer(), "it is told what is expected");
    table.expire(after(60));
    assert_eq!(table.len(), 0);
}

#[test]
fn a_syn_nobody_listens_for_ends_no_time_wait() {
    let mut table = one();
    let syn = Segment { kind: SynKind::Syn, has_ack: false, ..segment(WORDS.expected.wrapping_add(5)) };
    assert_eq!(table.hear(&tuple(1), &syn, after(60), false), Verdict::Taken);
    assert!(table.contains(&tuple(1)));
    assert_eq!(said(&mut table), answer());
    assert_eq!(table.hear(&tuple(1), &syn, after(60), true), Verdict::NewConnection);
}

#[test]
fn there_are_never_more_than_may_be() {
    let mut table = TimeWaits::new(Secret::fixed());
    for port in 1..=100 {
        table.enter(tuple(port), WORDS, Mac::default(), after(port.into()), 7);
        assert!(table.len() <= 7 && table.in_line() == table.len());
    }
    assert_eq!((table.len(), table.dropped), (7, 93));
    assert!(table.contains(&tuple(100)) && !table.contains(&tuple(93)));
    table.enter(tuple(101), WORDS, Mac::default(), after(101), 0);
    assert!(!table.contains(&tuple(101)), "none may be");
}
