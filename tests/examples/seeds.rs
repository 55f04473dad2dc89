//! Takes the messages out of the captures of real kernels and writes them as
//! seeds, one file per different input, to a folder per fuzz target:
//!
//! ```sh
//! cargo run -p smolsmc-tests --example seeds -- fuzz/corpus
//! ```

#![allow(clippy::expect_used, reason = "a tool for developers: it may stop at anything odd")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use smolsmc_cdc::CdcMessage;
use smolsmc_clc::option;
use smolsmc_roce::packet::{EtherType, EthernetHeader, IpProtocol, Ipv4Header, Operation, PartialPacket};
use smolsmc_tests::fuzzing::{CAPTURES, TARGETS, seed};
use smolsmc_tests::vectors::{each_frame, linux612};

/// Captures that are a seed of the decoder as they are.
const WHOLE: &[&str] = &["no-ueid", "two-links-eth1", "failover-client-nic-down-eth1", "device-deleted"];

/// RoCE frames of each opcode that are taken.
const EACH_OPCODE: usize = 3;

/// Ends of a SYN that kernels do not send.
const LAST_OPTIONS: &[(&str, [u8; 8])] = &[
    ("hand-odd-length", [1, 254, 7, 0xe2, 0xd4, 0xc3, 0xd9, 0]),
    ("hand-length-8", [254, 8, 0xe2, 0xd4, 0xc3, 0xd9, 0, 0]),
    ("hand-length-4", [254, 4, 0xe2, 0xd4, 0xc3, 0xd9, 1, 1]),
    ("hand-length-1", [1, 254, 1, 254, 6, 0xe2, 0xd4, 0xc3]),
    ("hand-past-the-header", [1, 1, 254, 8, 0xe2, 0xd4, 0xc3, 0xd9]),
    ("hand-after-the-end", [0, 1, 254, 6, 0xe2, 0xd4, 0xc3, 0xd9]),
    ("hand-fast-open", [1, 1, 254, 6, 0xf9, 0x89, 0xc3, 0xd9]),
    ("hand-last-octet-is-a-kind", [1, 1, 1, 1, 1, 1, 1, 254]),
    ("hand-end", [1, 1, 1, 1, 0, 7, 7, 7]),
];

struct Seeds {
    folder: PathBuf,
    seen: BTreeSet<(&'static str, Vec<u8>)>,
}

impl Seeds {
    fn add(&mut self, target: &'static str, name: &str, octets: &[u8]) {
        assert!(TARGETS.iter().any(|(known, _)| *known == target));
        if self.seen.insert((target, octets.to_vec())) {
            let folder = self.folder.join(target);
            fs::create_dir_all(&folder).expect("a folder can be made");
            fs::write(folder.join(name), octets).expect("a file can be written");
        }
    }
}

fn main() {
    let folder = std::env::args().nth(1).expect("the folder to write to").into();
    let mut seeds = Seeds { folder, seen: BTreeSet::new() };
    for path in linux612() {
        let stem = path.file_stem().expect("a name").to_string_lossy().replace("linux612-", "");
        if WHOLE.contains(&stem.as_str()) {
            captures(&mut seeds, &stem, &path);
        }
        let mut opcodes = [0; 256];
        each_frame(&path, |frame| {
            let name = format!("{stem}-{}", frame.number);
            segment(&mut seeds, &name, frame.octets);
            packet(&mut seeds, &name, frame.octets, frame.original_len, &mut opcodes);
        });
    }
    for capture in 0..CAPTURES.len() as u8 {
        for (prefix, count) in [
            (0, 12),
            (2, 6),
            (3, 6),
            (4, 8),
            (5, 12),
            (8, 16),
            (16, 24),
            (32, 32),
            (40, 32),
            (52, 32),
            (63, 32),
        ] {
            seeds.add("frames", &format!("capture{capture}-{prefix}-{count}"), &seed(capture, prefix, count));
        }
    }
}

/// The TCP option and CLC messages.
fn segment(seeds: &mut Seeds, name: &str, frame: &[u8]) {
    let Ok(EthernetHeader { ethertype: EtherType::IPV4, .. }) = EthernetHeader::parse(frame) else { return };
    let packet = &frame[EthernetHeader::LEN..];
    let Ok((ip, len)) = Ipv4Header::read(packet) else { return };
    let Some(segment) = packet.get(len..usize::from(ip.total_len)) else { return };
    if ip.protocol != IpProtocol::TCP {
        return;
    }
    if let Ok(Some(_)) = option::find(segment) {
        let first = seeds.seen.iter().all(|(target, _)| *target != "option");
        seeds.add("option", name, segment);
        let bare = segment.len() - option::PADDED_OPTION.len();
        for (kind, options) in LAST_OPTIONS.iter().filter(|_| first) {
            let octets = [&segment[..bare], &options[..]].concat();
            seeds.add("option", kind, &octets);
            seeds.add("append", kind, &[&[31, 0, 0, 0, 0], &octets[..]].concat());
        }
        let mut octets = [&[8, 0, 0, 0x14, 0x1e], &segment[..bare]].concat();
        octets[5 + 12] -= 0x20;
        seeds.add("append", name, &octets);
    }
    let payload = &segment[usize::from(segment[12] >> 4) * 4..];
    if smolsmc_clc::Message::parse(payload).is_ok() {
        seeds.add("clc", name, payload);
    }
}

/// LLC and CDC messages, and some frames of each kind.
fn packet(seeds: &mut Seeds, name: &str, frame: &[u8], original_len: usize, opcodes: &mut [usize; 256]) {
    let Ok(Some(packet)) = PartialPacket::parse(frame, original_len) else { return };
    let Some((bth, false)) = packet.bth.map(|bth| (bth, packet.is_cut())) else { return };
    let seen = &mut opcodes[usize::from(bth.opcode.0)];
    *seen += 1;
    if *seen <= EACH_OPCODE && frame.len() < 256 {
        seeds.add("roce", name, &[&[0], frame].concat());
    }
    if bth.opcode.facts().is_none_or(|facts| facts.operation != Operation::Send) {
        return;
    }
    if packet.payload.first() == Some(&CdcMessage::TYPE) {
        seeds.add("cdc", name, packet.payload);
    } else {
        seeds.add("llc", name, packet.payload);
    }
}

/// A capture as it is, and as pcapng.
fn captures(seeds: &mut Seeds, stem: &str, path: &Path) {
    seeds.add("decode", &format!("{stem}.pcap"), &fs::read(path).expect("a capture"));
    let block = |kind: u32, body: &[u8]| {
        let mut body = body.to_vec();
        body.resize(body.len().next_multiple_of(4), 0);
        let len = (12 + body.len() as u32).to_le_bytes();
        [&kind.to_le_bytes()[..], &len, &body, &len].concat()
    };
    let section = [&0x1a2b_3c4d_u32.to_le_bytes()[..], &[1, 0, 0, 0], &[0xff; 8]].concat();
    // Interface 0: Ethernet, time stamps in nanoseconds.
    let interface = [1, 0, 0, 0, 0, 0, 4, 0, 9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0];
    let mut file = [block(0x0a0d_0d0a, &section), block(1, &interface)].concat();
    each_frame(path, |frame| {
        let words = [
            0,
            (frame.time_ns >> 32) as u32,
            frame.time_ns as u32,
            frame.octets.len() as u32,
            frame.original_len as u32,
        ];
        let head: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
        file.extend(block(6, &[&head, frame.octets].concat()));
        if frame.number == 3 {
            let len = (frame.original_len as u32).to_le_bytes();
            file.extend(block(3, &[&len[..], frame.octets].concat()));
        }
    });
    seeds.add("decode", &format!("{stem}.pcapng"), &file);
}
