//! Two flows that speak to each other, against plain counts.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use proptest::prelude::*;
use smolsmc_wire::{AlertToken, SeqNo};

use crate::{CdcMessage, CdcViolation, Cursor, Flow, Heard, ProducerFlags, RingSizes, StateFlags};

const TOKEN: AlertToken = AlertToken(7);

fn quiet(flow: &mut Flow) -> CdcMessage {
    flow.message(TOKEN, StateFlags::empty())
}

/// A writer and a reader of rings this large, in the midst of their lives.
fn pair(ring: u32, start: u64) -> (Flow, Flow) {
    let sizes = RingSizes { own: ring, peer: ring, send: ring };
    (Flow::starting_at(sizes, start, start), Flow::starting_at(sizes, start, start))
}

#[derive(Clone, Copy, Debug)]
enum Deed {
    Prepare(u32),
    Write(u32),
    Pass(u32),
    Read(u32),
    Update,
    Deliver,
    Acknowledge,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        (0u32..20).prop_map(Deed::Prepare),
        (0u32..20).prop_map(Deed::Write),
        (0u32..20).prop_map(Deed::Pass),
        (0u32..20).prop_map(Deed::Read),
        Just(Deed::Update),
        Just(Deed::Deliver),
        Just(Deed::Acknowledge),
    ]
}

proptest! {
    /// Counts never leave their order, and every octet is readable once.
    #[test]
    fn sums_hold_over_any_life(
        deeds in prop::collection::vec(deed(), 0..400),
        // Just before the wrap of the 16-bit wrap count, and of the ring.
        start in prop_oneof![0u64..20, (65_535u64 * 8 - 10)..(65_536 * 8 + 10)],
    ) {
        let (mut writer, mut reader) = pair(8, start);
        let (mut prepared, mut written, mut read) = (start, start, start);
        let mut to_reader: VecDeque<CdcMessage> = VecDeque::new();
        let mut to_writer: VecDeque<CdcMessage> = VecDeque::new();
        let mut unacknowledged: VecDeque<crate::Mark> = VecDeque::new();
        for deed in deeds {
            match deed {
                Deed::Prepare(n) => {
                    let n = n.min(writer.room());
                    writer.prepare(n);
                    prepared += u64::from(n);
                }
                Deed::Write(n) => {
                    let n = n.min(writer.granted());
                    // Never over an octet that was not read.
                    prop_assert!(written + u64::from(n) <= read + 8);
                    writer.write(n);
                    written += u64::from(n);
                    to_reader.push_back(quiet(&mut writer));
                    unacknowledged.push_back(writer.mark());
                }
                Deed::Pass(n) => {
                    let n = n.min(writer.passable());
                    prop_assert!(n == 0 || prepared == written, "not ahead of others");
                    prop_assert!(written + u64::from(n) <= read + 8);
                    writer.pass(n);
                    (prepared, written) = (prepared + u64::from(n), written + u64::from(n));
                }
                Deed::Read(n) => {
                    let n = n.min(reader.readable());
                    reader.consume(n);
                    read += u64::from(n);
                }
                Deed::Update if reader.owes_update() => to_writer.push_back(quiet(&mut reader)),
                Deed::Update => {}
                Deed::Deliver => {
                    if let Some(message) = to_reader.pop_front() {
                        prop_assert!(reader.hear(&message).is_ok());
                    }
                    if let Some(message) = to_writer.pop_front() {
                        prop_assert!(writer.hear(&message).is_ok());
                    }
                }
                Deed::Acknowledge => {
                    if let Some(upto) = unacknowledged.pop_front() {
                        writer.complete(upto);
                    }
                }
            }
            prop_assert!(read <= written && written <= prepared);
            prop_assert_eq!(u64::from(writer.waiting()), prepared - written);
            prop_assert!(u64::from(reader.readable()) <= written - read);
            prop_assert!(writer.room() <= 8 && writer.space() <= 8);
        }
        // Whatever was left on the way arrives: then all is known that was told.
        to_reader.push_back(quiet(&mut writer));
        for message in to_reader {
            prop_assert!(reader.hear(&message).is_ok());
        }
        prop_assert_eq!(u64::from(reader.readable()), written - read);
    }

    /// No message of a peer makes sums leave their order.
    #[test]
    fn a_hostile_peer_is_refused_or_harmless(
        messages in prop::collection::vec(
            (any::<u16>(), 0u16..4, 0u32..12, 0u16..4, 0u32..12, any::<u8>(), any::<u8>()), 0..60,
        ),
    ) {
        let (mut flow, _) = pair(8, 0);
        flow.prepare(8);
        flow.write(5);
        for (seq, pw, pc, cw, cc, producer_flags, state_flags) in messages {
            let message = CdcMessage {
                seq: SeqNo(seq),
                token: TOKEN,
                producer: Cursor { wrap: pw, count: pc },
                consumer: Cursor { wrap: cw, count: cc },
                producer_flags: ProducerFlags::from_octet(producer_flags),
                state_flags: StateFlags::from_octet(state_flags),
            };
            let before = (flow.readable(), flow.space());
            match flow.hear(&message) {
                Ok(Heard { readable, freed, .. }) => {
                    prop_assert_eq!(flow.readable(), before.0 + readable);
                    prop_assert_eq!(flow.space(), before.1 + freed);
                }
                Err(_) => prop_assert_eq!((flow.readable(), flow.space()), before),
            }
            prop_assert!(flow.readable() <= 8 && flow.space() <= 8);
            flow.consume(flow.readable() / 2);
        }
    }
}

#[test]
fn a_writer_without_space_says_so_and_the_reader_answers() {
    let (mut writer, mut reader) = pair(100, 0);
    writer.prepare(100);
    writer.write(100);
    let message = quiet(&mut writer);
    assert!(message.producer_flags.contains(ProducerFlags::WRITE_BLOCKED));
    assert_eq!(message.producer, Cursor { wrap: 1, count: 0 });
    reader.hear(&message).unwrap();
    reader.consume(9);
    assert!(!reader.owes_update(), "less than a tenth");
    reader.consume(1);
    assert!(reader.owes_update());
    writer.hear(&quiet(&mut reader)).unwrap();
    assert_eq!(writer.space(), 10);
    assert!(!reader.owes_update());
    reader.consume(90);
    assert!(reader.owes_update(), "all is read");
}

#[test]
fn a_reader_keeps_quiet_while_the_writer_knows_of_half_the_ring() {
    let (mut writer, mut reader) = pair(100, 0);
    writer.prepare(49);
    writer.write(49);
    reader.hear(&quiet(&mut writer)).unwrap();
    reader.consume(49);
    assert!(!reader.owes_update());
    writer.complete(writer.mark());
    writer.prepare(20);
    writer.write(20);
    reader.hear(&quiet(&mut writer)).unwrap();
    assert!(reader.owes_update(), "it knows of 31 octets, and 49 were read");
}

#[test]
fn an_update_that_is_asked_for_is_owed_once_something_was_read() {
    let (mut writer, mut reader) = pair(100, 0);
    writer.prepare(5);
    writer.write(5);
    let mut message = quiet(&mut writer);
    message.producer_flags |= ProducerFlags::CURSOR_UPDATE_REQUESTED;
    reader.hear(&message).unwrap();
    assert!(!reader.owes_update(), "it knows already");
    reader.consume(1);
    assert!(reader.owes_update());
    quiet(&mut reader);
    reader.consume(1);
    assert!(!reader.owes_update(), "answered");
}

#[test]
fn what_passed_the_send_ring_cannot_be_written_again() {
    let (mut writer, mut reader) = pair(100, 0);
    writer.prepare(10);
    assert_eq!(writer.passable(), 0, "others wait");
    writer.write(10);
    assert_eq!(writer.passable(), 90);
    writer.pass(30);
    assert_eq!((writer.waiting(), writer.room(), writer.write_offsets()), (0, 60, (40, 40)));
    assert_eq!(writer.untouched(), None);
    let mark = writer.mark();
    reader.hear(&quiet(&mut writer)).unwrap();
    assert_eq!(reader.readable(), 40);
    assert_eq!(writer.clone().rewind(), None);
    // Acknowledged, or read: it need not be.
    let mut acknowledged = writer.clone();
    acknowledged.complete(mark);
    assert!(acknowledged.rewind().is_some());
    reader.consume(40);
    let mut read = writer.clone();
    read.hear(&quiet(&mut reader)).unwrap();
    assert!(read.rewind().is_some());
    // Of an urgent octet's followers none passes.
    acknowledged.prepare(1);
    acknowledged.urge();
    acknowledged.write(1);
    quiet(&mut acknowledged);
    assert!(acknowledged.is_held());
    assert_eq!(acknowledged.passable(), 0);
}

#[test]
fn rules_a_peer_can_break() {
    let message = |producer, consumer| CdcMessage {
        seq: SeqNo(1),
        token: TOKEN,
        producer,
        consumer,
        ..CdcMessage::default()
    };
    let at = |wrap, count| Cursor { wrap, count };
    let start = at(0, 0);
    for (producer, consumer, want) in [
        (at(0, 8), start, CdcViolation::OutsideRing(at(0, 8))),
        (start, at(0, 8), CdcViolation::OutsideRing(at(0, 8))),
        (at(1, 1), start, CdcViolation::Overrun),
        (at(3, 0), start, CdcViolation::Overrun),
        (start, at(0, 1), CdcViolation::ReadTooFar),
        (start, at(9, 0), CdcViolation::ReadTooFar),
    ] {
        let (mut flow, _) = pair(8, 0);
        assert_eq!(flow.hear(&message(producer, consumer)), Err(want));
        assert_eq!((flow.readable(), flow.space()), (0, 8), "nothing changed");
    }
}

#[test]
fn older_words_are_ignored_and_steps_back_too() {
    let (mut writer, mut reader) = pair(8, 0);
    let mut said = Vec::new();
    for _ in 0..3 {
        writer.prepare(2);
        writer.write(2);
        said.push(quiet(&mut writer));
    }
    assert_eq!(reader.hear(&said[1]).unwrap().readable, 4);
    assert!(reader.hear(&said[0]).unwrap().stale);
    assert_eq!(reader.hear(&said[2]).unwrap().readable, 2);
    // After a failover Linux rewinds to what was acknowledged.
    let rewound = CdcMessage { seq: SeqNo(4), producer: Cursor { wrap: 0, count: 2 }, ..said[2] };
    assert_eq!(reader.hear(&rewound).unwrap().readable, 0);
    assert_eq!(reader.readable(), 6);
}

#[test]
fn failover_validation_looks_at_sequence_numbers_alone() {
    let (mut writer, mut reader) = pair(8, 0);
    assert_eq!(reader.hear(&CdcMessage::failover_validation(TOKEN, SeqNo(0))), Ok(Heard::default()));
    assert_eq!(
        reader.hear(&CdcMessage::failover_validation(TOKEN, SeqNo(1))),
        Err(CdcViolation::LostWithLink)
    );
    reader.hear(&quiet(&mut writer)).unwrap();
    assert_eq!(reader.hear(&CdcMessage::failover_validation(TOKEN, SeqNo(1))), Ok(Heard::default()));
    assert_eq!(
        reader.hear(&CdcMessage::failover_validation(TOKEN, SeqNo(2))),
        Err(CdcViolation::LostWithLink)
    );
}
