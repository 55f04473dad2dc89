mod emit;
mod header;
mod ledger;
mod link;
mod properties;
mod strategy;
mod vectors;

use alloc::vec;
use alloc::vec::Vec;

use crate::Message;

/// Octets from hex digits; anything between them is for the reader's eyes.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    assert_eq!(digits.len() % 2, 0, "an odd number of digits: {text}");
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// `hex`, filled up with zeros to 44 octets.
fn hex44(text: &str) -> Vec<u8> {
    let mut octets = hex(text);
    assert!(octets.len() <= 44, "{} octets", octets.len());
    octets.resize(44, 0);
    octets
}

fn emitted(message: &Message) -> Vec<u8> {
    let mut out = vec![0xff; message.wire_len()];
    assert_eq!(message.emit(&mut out), Ok(out.len()));
    out
}
