use core::array::from_fn;

use smolsmc_cdc::{CdcMessage, Cursor};

use super::octets::Octets;

/// The bits of a CDC message that mean nothing.
const RESERVED: [u8; CdcMessage::LEN] = {
    let mut bits = [0; CdcMessage::LEN];
    (bits[8], bits[9], bits[16], bits[17]) = (0xff, 0xff, 0xff, 0xff);
    (bits[24], bits[25]) = (0x07, 0x1f);
    let mut at = 26;
    while at < CdcMessage::LEN {
        bits[at] = 0xff;
        at += 1;
    }
    bits
};

/// A CDC message in the first 44 octets, and sums of cursors from the rest.
///
/// Asserts: accepted if and only if length, type and length octet are right;
/// what is read is written again bit for bit, reserved bits as zero and
/// ignored; and the sums agree with plain 64-bit positions.
pub fn cdc(data: &[u8]) {
    let (first, rest) = data.split_at(data.len().min(CdcMessage::LEN));
    let whole = CdcMessage::parse(data);
    assert!(whole.is_err() || rest.is_empty(), "octets after the message");
    let mut more = Octets(rest);
    let parsed = CdcMessage::parse(first);
    let well_formed = matches!(first, [CdcMessage::TYPE, 44, ..]) && first.len() == CdcMessage::LEN;
    assert_eq!(parsed.is_ok(), well_formed, "{parsed:?}");
    if let (Ok(message), Ok(octets)) = (parsed, first.try_into()) {
        written_again(&message, octets);
        // A ring that the message's own cursors may or may not be valid in.
        let ring = 1 << (14 + (message.seq.0 & 0x0f));
        sums(message.producer, message.consumer, ring);
        sums(message.producer, message.consumer, message.token.0);
    }
    let (start, n, ring) = (more.u64(), more.u32(), more.u32());
    positions(start, n, ring);
    positions(start, n % ring.max(1), ring);
    let cursor = |more: &mut Octets<'_>| Cursor { wrap: more.u16(), count: more.u32() };
    sums(cursor(&mut more), cursor(&mut more), ring);
}

fn written_again(message: &CdcMessage, octets: &[u8; CdcMessage::LEN]) {
    let mut again = [0xff; CdcMessage::LEN];
    message.emit(&mut again);
    let without: [u8; CdcMessage::LEN] = from_fn(|at| octets[at] & !RESERVED[at]);
    assert_eq!(again, without, "reserved bits are zero");
    assert_eq!(CdcMessage::parse(&again), Ok(*message));
    let with: [u8; CdcMessage::LEN] = from_fn(|at| again[at] | RESERVED[at]);
    assert_eq!(CdcMessage::parse(&with), Ok(*message), "reserved bits are ignored");
    if message.seq.0.is_multiple_of(16) {
        assert!(!message.to_string().contains(char::is_control));
    }
}

/// Octets from `from` to `to` on the circle of 65536 rings.
fn on_the_circle(from: Cursor, to: Cursor, ring: u32) -> u64 {
    let circle = u64::from(ring) << 16;
    (to.position(ring) + circle - from.position(ring)) % circle
}

/// Any two cursors.
fn sums(from: Cursor, to: Cursor, ring: u32) {
    let distance = Cursor::distance(from, to, ring);
    let valid = from.count < ring && to.count < ring;
    assert_eq!(from.is_valid(ring), from.count < ring);
    let expected = valid.then(|| on_the_circle(from, to, ring)).filter(|&d| d <= u64::from(ring));
    assert_eq!(distance.map(u64::from), expected, "{from} to {to} in {ring}");
    if let Some(n) = distance {
        assert_eq!(from.advance(n, ring), Some(to));
        assert!(!Cursor::is_backwards_for_linux(from, to), "{from} to {to}");
    }
    assert_eq!(from.to_end(ring), ring.saturating_sub(from.count));
    let before = match (from.is_valid(ring), from.count) {
        (false, _) => None,
        (true, 0) => Some(ring - 1),
        (true, count) => Some(count - 1),
    };
    assert_eq!(from.offset_before(ring), before);
}

/// `n` octets on from a position in a stream.
fn positions(start: u64, n: u32, ring: u32) {
    let Some(from) = Cursor::at(start, ring) else {
        assert_eq!(ring, 0);
        return;
    };
    let circle = u64::from(ring) << 16;
    assert!(from.is_valid(ring));
    assert_eq!(from.position(ring), start % circle);
    assert_eq!(u64::from(from.to_end(ring)), u64::from(ring) - start % u64::from(ring));
    let to = start.checked_add(u64::from(n)).and_then(|end| Cursor::at(end, ring));
    match from.advance(n, ring) {
        None => assert!(n > ring),
        Some(moved) => {
            assert!(n <= ring);
            // Where the 64 bits end, the circle has a seam of its own.
            if let Some(to) = to {
                assert_eq!(moved, to);
            }
            assert_eq!(Cursor::distance(from, moved, ring), Some(n));
            assert_eq!(Cursor::distance(moved, from, ring).is_some(), n == 0, "never backwards");
        }
    }
}
