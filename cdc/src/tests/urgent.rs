//! The urgent octet of two flows that speak to each other.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use proptest::prelude::*;
use smolsmc_wire::{AlertToken, SeqNo};

use crate::{CdcMessage, Cursor, Flow, ProducerFlags, RingSizes, StateFlags};

const P: ProducerFlags = ProducerFlags::URGENT_PENDING;
const P_AND_U: ProducerFlags = P.union(ProducerFlags::URGENT_PRESENT);

fn say(flow: &mut Flow) -> CdcMessage {
    flow.message(AlertToken(7), StateFlags::empty())
}

fn urgent_flags(message: &CdcMessage) -> ProducerFlags {
    message.producer_flags & P_AND_U
}

fn pair(ring: u32) -> (Flow, Flow) {
    let sizes = RingSizes { own: ring, peer: ring, send: ring };
    (Flow::new(sizes), Flow::new(sizes))
}

/// Writes what is granted, and says so.
fn write(flow: &mut Flow) -> CdcMessage {
    flow.write(flow.granted());
    say(flow)
}

#[test]
fn p_until_the_octet_is_written_and_then_p_and_u_once() {
    let (mut writer, mut reader) = pair(10);
    writer.prepare(10);
    reader.hear(&write(&mut writer)).unwrap();
    writer.complete(writer.mark());
    writer.prepare(3);
    writer.urge();
    writer.prepare(4);
    assert_eq!(writer.granted(), 0, "no space");
    assert!(writer.owes_urgent());
    let message = say(&mut writer);
    assert_eq!(urgent_flags(&message), P);
    assert!(!writer.owes_urgent(), "said once");
    assert_eq!(reader.hear(&message).unwrap().urgent, None);
    assert!(reader.is_urgent_expected());

    reader.consume(10);
    writer.hear(&say(&mut reader)).unwrap();
    assert_eq!(writer.granted(), 3, "up to the urgent octet");
    let message = write(&mut writer);
    assert_eq!((urgent_flags(&message), message.producer), (P_AND_U, Cursor { wrap: 1, count: 3 }));
    assert!(writer.is_held());
    assert_eq!(urgent_flags(&say(&mut writer)), ProducerFlags::empty(), "told once");
    let heard = reader.hear(&message).unwrap();
    assert_eq!((heard.urgent, heard.readable), (Some(2), 2));
    assert!(!reader.is_urgent_expected());

    // Not before all is read, whatever the thresholds say, and then at once.
    reader.consume(1);
    assert!(!reader.owes_update());
    reader.consume(1);
    assert!(reader.owes_update() && reader.is_at_urgent());
    assert_eq!((reader.readable(), reader.urgent_offset()), (0, None));
    writer.hear(&say(&mut reader)).unwrap();
    assert!(!writer.is_held());
    assert_eq!(writer.granted(), 4);
}

#[test]
fn inline_a_read_stops_before_it_and_goes_on_from_it() {
    let (mut writer, mut reader) = pair(40);
    reader.set_urgent_inline(true);
    writer.prepare(3);
    writer.urge();
    reader.hear(&write(&mut writer)).unwrap();
    writer.go_on();
    writer.prepare(2);
    reader.hear(&write(&mut writer)).unwrap();
    assert_eq!((reader.readable(), reader.next_read()), (5, 2));
    reader.consume(5);
    assert!(reader.is_at_urgent() && !reader.owes_update(), "it is still to be read");
    assert_eq!((reader.readable(), reader.next_read()), (3, 3));
    reader.consume(1);
    assert!(!reader.is_at_urgent() && reader.owes_update());
}

#[test]
fn one_that_is_first_is_left_out_at_once() {
    let (mut writer, mut reader) = pair(10);
    writer.prepare(1);
    writer.urge();
    let heard = reader.hear(&write(&mut writer)).unwrap();
    assert_eq!((heard.urgent, heard.readable), (Some(0), 0));
    assert!(reader.owes_update() && reader.is_at_urgent());
    writer.hear(&say(&mut reader)).unwrap();
    assert!(!writer.is_held());
}

#[test]
fn the_newest_wins_on_either_side() {
    let (mut writer, mut reader) = pair(20);
    writer.prepare(2);
    writer.urge();
    writer.prepare(2);
    writer.urge();
    assert_eq!(writer.granted(), 4, "the older one is like all others");
    reader.hear(&write(&mut writer)).unwrap();
    assert_eq!(reader.readable(), 3);
    writer.go_on();
    writer.prepare(3);
    writer.urge();
    let heard = reader.hear(&write(&mut writer)).unwrap();
    assert_eq!((heard.urgent, heard.readable), (Some(6), 3), "with the one that was urgent");
    assert_eq!((reader.readable(), reader.next_read()), (6, 6));
}

#[test]
fn after_a_failover_it_is_told_again() {
    let (mut writer, mut reader) = pair(20);
    writer.prepare(2);
    writer.urge();
    write(&mut writer);
    assert_eq!(writer.rewind(), Some(SeqNo(0)));
    assert!(!writer.is_held());
    writer.prepare(5);
    assert_eq!(writer.granted(), 2);
    let message = write(&mut writer);
    assert_eq!(urgent_flags(&message), P_AND_U);
    assert_eq!(reader.hear(&message).unwrap().urgent, Some(1));
}

#[test]
fn u_without_new_octets_means_nothing() {
    let (_, mut reader) = pair(20);
    let message = CdcMessage { seq: SeqNo(1), producer_flags: P_AND_U, ..CdcMessage::default() };
    assert_eq!(reader.hear(&message).unwrap().urgent, None);
    assert_eq!((reader.readable(), reader.urgent_offset()), (0, None));
}

#[derive(Clone, Copy, Debug)]
enum Deed {
    Prepare(u32),
    Urge,
    Write,
    Read(u32),
    Update,
    GoOn,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        (0u32..10).prop_map(Deed::Prepare),
        Just(Deed::Urge),
        Just(Deed::Write),
        (0u32..10).prop_map(Deed::Read),
        Just(Deed::Update),
        Just(Deed::GoOn),
    ]
}

proptest! {
    /// Against a stream in which every octet has its place: what is read in the
    /// stream and what is left out of it are all of it, in order, each once.
    #[test]
    fn every_octet_is_read_or_left_out_once(
        deeds in prop::collection::vec(deed(), 0..300), inline in any::<bool>(),
    ) {
        let (mut writer, mut reader) = pair(8);
        reader.set_urgent_inline(inline);
        let (mut prepared, mut next) = (0_u64, 0_u64);
        let mut left_out: Vec<u64> = Vec::new();
        let mut messages: VecDeque<CdcMessage> = VecDeque::new();
        // The model's mark: where an octet was told to be urgent, and is unread.
        let (mut urgent, mut told) = (None::<u64>, None::<u64>);
        for deed in deeds {
            match deed {
                Deed::Prepare(n) => {
                    let n = n.min(writer.room());
                    writer.prepare(n);
                    prepared += u64::from(n);
                }
                Deed::Urge if writer.room() > 0 => {
                    writer.prepare(1);
                    prepared += 1;
                    writer.urge();
                    urgent = Some(prepared - 1);
                }
                Deed::Write if writer.granted() > 0 || writer.owes_urgent() => {
                    messages.push_back(write(&mut writer));
                    writer.complete(writer.mark());
                }
                Deed::Read(n) => {
                    let n = n.min(reader.next_read());
                    let end = next + u64::from(n);
                    if let Some(at) = told {
                        prop_assert!(end <= at || next == at, "a read stretches over the urgent octet");
                    }
                    reader.consume(n);
                    next = end;
                }
                Deed::Update if reader.owes_update() => {
                    writer.hear(&say(&mut reader)).unwrap();
                }
                Deed::GoOn => writer.go_on(),
                _ => {}
            }
            while let Some(message) = messages.pop_front() {
                let has_told = message.producer_flags.contains(ProducerFlags::URGENT_PRESENT);
                let heard = reader.hear(&message).unwrap();
                prop_assert_eq!(has_told, heard.urgent.is_some());
                if has_told && let Some(at) = urgent.take() {
                    prop_assert_eq!(heard.urgent.map(u64::from), Some(at % 8));
                    told = Some(at);
                }
            }
            match told {
                Some(at) if !inline && next == at => {
                    left_out.push(at);
                    next += 1;
                    told = None;
                }
                Some(at) if next > at => told = None,
                _ => {}
            }
            prop_assert_eq!(u64::from(reader.read_offset()), next % 8);
            let out_of_band = u64::from(told.is_some() && !inline);
            let (written, produced) = (writer.totals().0, reader.totals().1);
            prop_assert_eq!(written, produced);
            prop_assert_eq!(u64::from(reader.readable()), produced - next - out_of_band);
        }
        prop_assert!(left_out.is_sorted_by(|a, b| a < b));
        prop_assert!(next <= prepared);
    }
}
