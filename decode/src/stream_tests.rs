use super::*;

fn synchronized(seq: u32) -> Stream {
    let mut stream = Stream::default();
    stream.synchronize(seq);
    stream
}

#[test]
fn octets_come_out_once_and_in_order_across_the_wrap() {
    let mut s = synchronized(u32::MAX - 2);
    assert!(s.arrive(1, b"cd", 0).ahead);
    assert_eq!(s.kept(), b"");
    let arrival = s.arrive(u32::MAX - 1, b"ab", 0);
    assert_eq!(arrival, Arrival { new: 2, repeated: 0, ahead: false });
    assert_eq!(s.arrive(0, b"X", 0).new, 3, "the octet between them brings the two that waited");
    assert_eq!(s.kept(), b"abXcd");
    assert_eq!(s.arrive(0, b"Xcde", 0), Arrival { new: 1, repeated: 3, ahead: false });
    assert_eq!(s.kept(), b"abXcde");
}

#[test]
fn application_octets_are_counted_after_giving_up() {
    let mut s = synchronized(0);
    s.arrive(1, b"CLC.....data", 0);
    s.take(8);
    s.give_up();
    assert_eq!(s.application_octets, 4);
    s.arrive(13, b"more", 0);
    assert_eq!((s.application_octets, s.kept()), (8, &b""[..]));
}

#[test]
fn memory_is_bounded_whatever_arrives() {
    let mut s = synchronized(0);
    for n in 0..10_000u32 {
        s.arrive(100 + 2 * n, &[0; 1], 0);
    }
    s.arrive(40_000, &vec![0; 30_000], 0);
    assert!(s.ahead.len() <= MAX_AHEAD);
    assert!(s.ahead.values().map(|kept| kept.payload.len()).sum::<usize>() <= MAX_AHEAD_OCTETS);
    assert!(s.gap);
    s.arrive(1, &vec![0; MAX_KEPT + 1], 0);
    assert!(s.kept().is_empty());
}

#[test]
fn a_cut_segment_seen_again_does_not_skip_its_missing_octets_twice() {
    let mut s = synchronized(99);
    s.arrive(100, b"ten octets", 90);
    assert!(s.gap);
    for _ in 0..2 {
        assert_eq!(s.arrive(100, b"ten octets", 90).new, 0);
    }
    assert_eq!(s.arrive(200, b"next", 0), Arrival { new: 4, repeated: 0, ahead: false });
}

#[test]
fn a_segment_that_never_comes_does_not_stop_the_stream() {
    let mut s = synchronized(0);
    s.give_up();
    // Octet 1 is missing in the capture.
    for n in 0..200u32 {
        s.arrive(2 + n, b"x", 0);
    }
    assert!(s.gap);
    let waiting = s.ahead.len() as u64;
    assert_eq!(s.application_octets + waiting, 200, "nothing but the missing octet is lost");
    assert!(waiting < 200 && s.application_octets > 0);
}

#[test]
fn a_cut_segment_ahead_of_a_gap_is_passed_over_whole() {
    let mut s = synchronized(0);
    s.give_up();
    assert!(s.arrive(2, b"bc", 10).ahead);
    s.arrive(1, b"a", 0);
    assert_eq!(s.application_octets, 3);
    assert_eq!(s.arrive(14, b"d", 0), Arrival { new: 1, repeated: 0, ahead: false });
}
