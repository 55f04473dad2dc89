//! The captures once more, with LLC as a big-endian host sends it.
//!
//! Two fields of SMC-Rv2 LLC are in the sender's own octet order: the length,
//! and the number of rkeys in ADD LINK (Linux 6.12 smc_llc). The captured hosts
//! are little-endian, and tshark understands only the other order. Turning
//! these two fields around, and the ICRC with them, makes frames that both can
//! read.

use std::fs;
use std::path::Path;

use smolsmc_decode::Frame;
use smolsmc_roce::packet::icrc;
use smolsmc_tests::vectors::each_frame;

const IP_AT: usize = 14;
const SEND_ONLY: u8 = 4;
const ROCE_PORT: [u8; 2] = 4791u16.to_be_bytes();
/// Ethernet, IPv4 without options, UDP, BTH.
const MESSAGE_AT: usize = IP_AT + 20 + 8 + 12;
const ICRC_LEN: usize = 4;
const ADD_LINK_V2: u8 = 0x22;
/// Where the number of rkeys stands in an ADD LINK with its extension.
const RKEY_COUNT_AT: usize = 70;

/// Writes the frames of `from` to `to`, LLC turned around.
pub(crate) fn rewrite(from: &Path, to: &Path) -> Result<(), String> {
    let mut out = file_header();
    each_frame(from, |frame| {
        let octets = turned(frame.octets).unwrap_or_else(|| frame.octets.to_vec());
        out.extend(record_header(frame));
        out.extend(octets);
    });
    fs::write(to, out).map_err(|e| format!("{}: {e}", to.display()))
}

/// Whether the frame is one whole SEND with an LLC message of SMC-Rv2.
fn is_llc_v2(octets: &[u8]) -> bool {
    let is = |at: usize, expected: &[u8]| octets.get(at..at + expected.len()) == Some(expected);
    let opcode = octets.get(MESSAGE_AT - 12);
    let first = octets.get(MESSAGE_AT).copied().unwrap_or(0);
    let llc = (0x21..=0x29).contains(&first) && octets.len() >= MESSAGE_AT + 44 + ICRC_LEN;
    is(12, &[8, 0, 0x45])
        && is(IP_AT + 9, &[17])
        && is(IP_AT + 22, &ROCE_PORT)
        && opcode == Some(&SEND_ONLY)
        && llc
}

/// The frame with its LLC message turned around, `None` if there is none.
fn turned(octets: &[u8]) -> Option<Vec<u8>> {
    if !is_llc_v2(octets) {
        return None;
    }
    let mut frame = octets.to_vec();
    let icrc_at = frame.len() - ICRC_LEN;
    let message = frame.get_mut(MESSAGE_AT..icrc_at)?;
    message.get_mut(1..3)?.reverse();
    if message.first() == Some(&ADD_LINK_V2)
        && let Some(count) = message.get_mut(RKEY_COUNT_AT..RKEY_COUNT_AT + 2)
    {
        count.reverse();
    }
    let sum = icrc(frame.get(IP_AT..icrc_at)?)?;
    frame.get_mut(icrc_at..)?.copy_from_slice(&sum.to_le_bytes());
    Some(frame)
}

/// Classic pcap, nanoseconds, Ethernet.
fn file_header() -> Vec<u8> {
    let words: [u32; 6] = [0xa1b2_3c4d, 2 | 4 << 16, 0, 0, 0x4_0000, 1];
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn record_header(frame: &Frame<'_>) -> Vec<u8> {
    let (seconds, rest) = (frame.time_ns / 1_000_000_000, frame.time_ns % 1_000_000_000);
    let words = [seconds as u32, rest as u32, frame.octets.len() as u32, frame.original_len as u32];
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
