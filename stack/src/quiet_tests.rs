use core::net::{Ipv4Addr, SocketAddr};

use smolsmc_clc::SynKind;
use smolsmc_wire::{Duration, Instant, Mac};

use super::{Bare, Quiet};
use crate::port::Segment;

const NOW: Instant = Instant::from_millis(1);
/// Just before the numbers wrap.
const OURS: u32 = u32::MAX;
const THEIRS: u32 = u32::MAX - 1;

fn segment(seq: u32, ack: u32) -> Segment {
    let nobody = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    Segment {
        from_mac: Mac::default(),
        from: nobody,
        to: nobody,
        kind: SynKind::Other,
        option: false,
        seq,
        ack,
        has_ack: true,
        fin: false,
        reset: false,
        payload_len: 0,
    }
}

fn fin(seq: u32, ack: u32) -> Segment {
    Segment { fin: true, ..segment(seq, ack) }
}

fn bare(seq: u32, ack: u32, fin: bool) -> Option<Bare> {
    Some(Bare { seq, ack, fin, reset: false })
}

#[test]
fn a_keepalive_probe_is_answered() {
    let mut quiet = Quiet::new(OURS, THEIRS);
    quiet.hear(&segment(THEIRS - 1, OURS));
    assert_eq!(quiet.next_segment(NOW), bare(OURS, THEIRS, false));
    quiet.hear(&segment(THEIRS, OURS));
    assert_eq!(quiet.next_segment(NOW), None, "a plain ACK");
}

#[test]
fn the_peer_closes_first() {
    let mut quiet = Quiet::new(OURS, THEIRS);
    quiet.hear(&fin(THEIRS, OURS));
    assert!(quiet.is_at_end());
    assert_eq!(quiet.next_segment(NOW), bare(OURS, THEIRS + 1, false));
    quiet.hear(&fin(THEIRS, OURS));
    assert_eq!(quiet.next_segment(NOW), bare(OURS, THEIRS + 1, false), "our ACK was lost");
    quiet.close();
    assert_eq!(quiet.next_segment(NOW), bare(OURS, THEIRS + 1, true));
    quiet.hear(&segment(THEIRS + 1, 0));
    assert!(quiet.is_over() && quiet.is_silent());
}

#[test]
fn we_close_first() {
    let mut quiet = Quiet::new(OURS, THEIRS);
    quiet.close();
    assert_eq!(quiet.next_segment(NOW), bare(OURS, THEIRS, true));
    assert_eq!(quiet.next_segment(NOW), None);
    quiet.hear(&segment(THEIRS, 0));
    assert_eq!(quiet.due(), None);
    assert!(!quiet.is_over());
    quiet.hear(&fin(THEIRS, 0));
    assert!(quiet.is_over());
    assert_eq!(quiet.next_segment(NOW), bare(0, THEIRS + 1, false));
    quiet.hear(&fin(THEIRS, 0));
    assert_eq!(quiet.next_segment(NOW), bare(0, THEIRS + 1, false), "TIME-WAIT");
}

#[test]
fn both_at_once() {
    let mut quiet = Quiet::new(OURS, THEIRS);
    quiet.close();
    quiet.next_segment(NOW);
    quiet.hear(&fin(THEIRS, OURS));
    assert_eq!(quiet.next_segment(NOW), bare(0, THEIRS + 1, false));
    assert!(!quiet.is_over());
    quiet.hear(&segment(THEIRS + 1, 0));
    assert!(quiet.is_over());
}

#[test]
fn a_lost_fin_is_sent_again_and_at_last_given_up() {
    let mut quiet = Quiet::new(OURS, THEIRS);
    quiet.close();
    let mut now = NOW;
    for seconds in [1, 2, 4, 8, 16, 32] {
        assert_eq!(quiet.next_segment(now), bare(OURS, THEIRS, true));
        let due = now + Duration::from_secs(seconds);
        assert_eq!(quiet.due(), Some(due));
        quiet.run_timer(now);
        assert!(quiet.is_silent());
        now = due;
        quiet.run_timer(now);
    }
    assert!(quiet.is_over() && quiet.is_silent());
}

#[test]
fn a_reset_counts_only_with_the_expected_number() {
    let mut quiet = Quiet::new(OURS, THEIRS);
    quiet.hear(&Segment { reset: true, ..segment(THEIRS + 1, OURS) });
    assert!(!quiet.is_over());
    quiet.hear(&Segment { reset: true, ..segment(THEIRS, OURS) });
    assert!(quiet.is_over());
    assert_eq!(quiet.next_segment(NOW), None);
}

#[test]
fn octets_are_not_taken() {
    let mut quiet = Quiet::new(OURS, THEIRS);
    quiet.hear(&Segment { payload_len: 10, ..fin(THEIRS, OURS) });
    assert_eq!(quiet.next_segment(NOW), bare(OURS, THEIRS, false));
    assert!(!quiet.is_at_end());
}

#[test]
fn an_abort_is_one_reset() {
    let mut quiet = Quiet::new(OURS, THEIRS);
    quiet.abort();
    assert_eq!(quiet.next_segment(NOW), Some(Bare { seq: OURS, ack: THEIRS, fin: false, reset: true }));
    quiet.abort();
    assert_eq!(quiet.next_segment(NOW), None);
}
