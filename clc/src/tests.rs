mod flips;
mod limits;
mod negotiation;
mod option;
mod round_trip;
mod strategy;
mod vectors;

use alloc::vec::Vec;

/// Octets from hex digits; white space is for the eye.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
    assert!(digits.len().is_multiple_of(2), "half an octet");
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn emitted(message: &crate::Message) -> Vec<u8> {
    let mut out = alloc::vec![0xff; message.wire_len()];
    assert_eq!(message.emit(&mut out), Ok(out.len()));
    out
}
