//! Every state by every event, against a golden file.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::Write;

use crate::{Close, CloseEvent, CloseState};

const EVENTS: [CloseEvent; 7] = [
    CloseEvent::Shutdown,
    CloseEvent::Close,
    CloseEvent::Abort,
    CloseEvent::HeardDone,
    CloseEvent::HeardClosed,
    CloseEvent::HeardAbort,
    CloseEvent::LinkLost,
];

fn shown(close: &Close) -> String {
    format!("{:?} said {} heard {}", close.state(), close.said(), close.heard())
}

/// Every `Close` there can be.
fn all() -> Vec<Close> {
    let mut known = vec![Close::default()];
    let mut next = 0;
    while let Some(close) = known.get(next).copied() {
        for event in EVENTS {
            let mut after = close;
            after.step(event);
            if !known.contains(&after) {
                known.push(after);
            }
        }
        next += 1;
    }
    known
}

#[test]
fn every_state_by_every_event() {
    let mut table = String::new();
    let mut all = all();
    all.sort_by_key(|close| (close.state(), close.said().bits(), close.heard().bits()));
    for close in all {
        writeln!(table, "{}", shown(&close)).unwrap();
        for event in EVENTS {
            let mut after = close;
            after.step(event);
            if after != close {
                writeln!(table, "    {:<12}{}", format!("{event:?}"), shown(&after)).unwrap();
            }
        }
    }
    let golden = include_str!("close.golden");
    assert_eq!(table, golden, "if this is meant, the new table is the golden file");
}

#[test]
fn what_was_said_stays_said() {
    for close in all() {
        for event in EVENTS {
            let mut after = close;
            after.step(event);
            assert!(after.said().contains(close.said()), "{close:?} {event:?}");
        }
    }
}

#[test]
fn every_end_is_reached_when_both_sides_close() {
    for close in all() {
        for heard in [CloseEvent::HeardClosed, CloseEvent::HeardAbort] {
            for own in [CloseEvent::Close, CloseEvent::Abort] {
                let mut one = close;
                one.step(own);
                one.step(heard);
                let mut other = close;
                other.step(heard);
                other.step(own);
                assert_eq!(one.state(), CloseState::Closed, "{close:?} {own:?} {heard:?}");
                assert_eq!(other.state(), CloseState::Closed, "{close:?} {heard:?} {own:?}");
            }
        }
    }
}

/// Whoever aborts waits for C or A: one that had only said D never answered.
#[test]
fn an_abort_is_answered_by_the_close() {
    for close in all().into_iter().filter(|close| close.state() != CloseState::Closed) {
        let mut after = close;
        after.step(CloseEvent::HeardAbort);
        after.step(CloseEvent::Close);
        assert!(after.is_closed_here(), "{close:?}");
    }
}
