//! The CDC message beside the least one can do with its 44 octets: copy them,
//! or read the fields by hand without looking whether they are right.

use core::hint::black_box;

use smolsmc_cdc::{CdcMessage, Cursor, ProducerFlags, StateFlags};
use smolsmc_wire::{AlertToken, SeqNo};

use crate::measure::{Score, compare, time};

const LEN: usize = CdcMessage::LEN;
/// Messages a block.
const MESSAGES: usize = 256;

pub(crate) fn run(blocks: usize) {
    println!("\nCDC message, {LEN} octets");
    let messages: [_; MESSAGES] = core::array::from_fn(message);
    let octets = messages.map(|message| {
        let mut octets = [0; LEN];
        message.emit(&mut octets);
        octets
    });
    let mut out = [[0; LEN]; MESSAGES];
    let mut copied = [[0; LEN]; MESSAGES];

    let mut by_hand = || {
        time(|| {
            for octets in &octets {
                black_box(read_by_hand(black_box(octets)));
            }
        })
    };
    let mut parse = || {
        time(|| {
            for octets in &octets {
                black_box(CdcMessage::parse(black_box(&octets[..])).is_ok_and(|message| {
                    black_box(message);
                    true
                }));
            }
        })
    };
    let mut copy = || {
        time(|| {
            for (out, octets) in copied.iter_mut().zip(&octets) {
                *out = *black_box(octets);
                black_box(out);
            }
        })
    };
    let mut emit = || {
        time(|| {
            for (out, message) in out.iter_mut().zip(&messages) {
                black_box(message).emit(out);
                black_box(out);
            }
        })
    };
    let [by_hand, parse] = compare(blocks, [&mut by_hand, &mut parse]);
    let [copy, emit] = compare(blocks, [&mut copy, &mut emit]);
    let each = |block: Score| block.nanos / MESSAGES as f64;
    println!(
        "CDC parse: {:.2} ns, read by hand {:.2} ns, ratio {:.3}",
        each(parse),
        each(by_hand),
        parse.ratio
    );
    println!(
        "CDC emit: {:.2} ns, copy of 44 octets {:.2} ns, ratio {:.3}",
        each(emit),
        each(copy),
        emit.ratio
    );
}

fn message(number: usize) -> CdcMessage {
    CdcMessage {
        seq: SeqNo(number as u16),
        token: AlertToken(0x17),
        producer: Cursor { wrap: 1, count: number as u32 },
        consumer: Cursor { wrap: 2, count: 3 },
        producer_flags: ProducerFlags::empty(),
        state_flags: StateFlags::empty(),
    }
}

/// The fields as numbers: sequence, token, both cursors, both flag octets.
type Fields = (u16, u32, (u16, u32), (u16, u32), u8, u8);

fn read_by_hand(m: &[u8; LEN]) -> Fields {
    let u16_at = |at: usize| u16::from_be_bytes([m[at], m[at + 1]]);
    let u32_at = |at: usize| u32::from_be_bytes([m[at], m[at + 1], m[at + 2], m[at + 3]]);
    (u16_at(2), u32_at(4), (u16_at(10), u32_at(12)), (u16_at(18), u32_at(20)), m[24], m[25])
}
