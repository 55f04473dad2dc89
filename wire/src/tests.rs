extern crate std;

use proptest::prelude::*;
use std::format;

use crate::*;

#[test]
fn reader_refuses_to_read_past_the_end_and_stays_where_it_was() {
    let mut r = Reader::new("pair", &[1, 2, 3]);
    assert_eq!(r.u16(), Ok(0x0102));
    assert_eq!(r.u16(), Err(ParseError::truncated("pair", 2, 2, 1)));
    assert_eq!(r.u8(), Ok(3), "a failed read consumes nothing");
    assert_eq!(r.rest(), &[] as &[u8]);
}

#[test]
fn writer_zeroes_what_it_does_not_write() {
    let mut octets = [0xff; 8];
    let mut w = Writer::new("gap", &mut octets, 6).unwrap();
    w.u8(1);
    w.zeros(3);
    w.u16(0x0203);
    assert_eq!(w.finish(), 6);
    assert_eq!(octets, [1, 0, 0, 0, 2, 3, 0xff, 0xff], "octets after the message are the caller's");
}

#[test]
fn writer_refuses_a_short_buffer() {
    let mut octets = [0; 3];
    assert_eq!(
        Writer::new("long", &mut octets, 4).unwrap_err(),
        EmitError::BufferTooSmall { what: "long", needed: 4, got: 3 }
    );
}

#[test]
fn codes_have_the_sizes_of_the_fact_sheets() {
    assert_eq!(RmbeSize::KIB_16.octets(), 16 << 10);
    assert_eq!(RmbeSize::from_code(15).octets(), 512 << 20);
    let mtus: [Option<u16>; 7] = core::array::from_fn(|code| MtuCode::from_code(code as u8).octets());
    assert_eq!(mtus, [None, Some(256), Some(512), Some(1024), Some(2048), Some(4096), None]);
    assert_eq!(RmbeIndex(0).offset(16384), None);
    assert_eq!(RmbeIndex(255).offset(512 << 20), Some(254 * (512 << 20)));
}

#[test]
fn gid_knows_its_ipv4_form() {
    let gid = Gid::from_ipv4([10, 9, 0, 1]);
    assert_eq!(gid.ipv4(), Some([10, 9, 0, 1]));
    assert_eq!(format!("{gid}"), "::ffff:10.9.0.1");
    assert_eq!(Gid([1; 16]).ipv4(), None);
}

#[test]
fn clock_that_steps_back_gives_no_time() {
    let (early, late) = (Instant::from_micros(5), Instant::from_micros(9));
    assert_eq!(late.since(early), Duration::from_micros(4));
    assert_eq!(early.since(late), Duration::ZERO);
}

proptest! {
    #[test]
    fn psn_arithmetic_is_that_of_a_circle_of_2_to_24(start in 0u32..1 << 24, step in 0u32..1 << 23) {
        let (a, b) = (Psn::new(start), Psn::new(start).add(step));
        prop_assert_eq!(b.distance_from(a), step as i32);
        prop_assert_eq!(b.sub(step), a);
        prop_assert_eq!(a.is_before(b), step != 0);
        prop_assert!(!b.is_before(a));
    }

    #[test]
    fn sequence_numbers_compare_across_the_wrap(start: u16, step in 0u16..1 << 15) {
        let (a, b) = (SeqNo(start), SeqNo(start).add(step));
        prop_assert_eq!(b.distance_from(a), step as i16);
        prop_assert_eq!(a.is_before(b), step != 0);
        prop_assert!(!b.is_before(a));
    }

    #[test]
    fn what_is_written_is_read(a: u8, b: u16, c in 0u32..1 << 24, d: u32, e: u64, f: [u8; 5]) {
        let mut octets = [0; 23];
        let mut w = Writer::new("all", &mut octets, 23).unwrap();
        w.u8(a); w.u16(b); w.u24(c); w.u32(d); w.u64(e); w.slice(&f);
        prop_assert_eq!(w.finish(), 23);
        let mut r = Reader::new("all", &octets);
        prop_assert_eq!((r.u8(), r.u16(), r.u24()), (Ok(a), Ok(b), Ok(c)));
        prop_assert_eq!((r.u32(), r.u64(), r.array()), (Ok(d), Ok(e), Ok(f)));
        prop_assert_eq!(r.remaining(), 0);
    }
}
