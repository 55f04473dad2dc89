//! The same conversation as two Linux 6.12 kernels have in
//! `linux612-max-links-1.pcap`: what we say is what they say, octet for octet,
//! apart from identifiers.

use smolsmc::SocketHandle;
use smolsmc_clc::{Header, option};
use smolsmc_roce::packet::{Operation, RocePacket};
use smolsmc_tests::vectors::{each_frame, linux612};

use super::pair::{CLIENT, Pair, SERVER};

/// One word of the conversation: who says it, what it is, its octets.
type Word = (usize, &'static str, Vec<u8>);

/// Octets that name a host, a queue pair, memory or a connection, by the kind of
/// word. The lower half of the octet with the operating system is the release.
const IDENTIFIERS: &[(&str, &[(usize, usize)])] = &[
    ("SYN option", &[]),
    // Peer ID and MAC, which Linux over rxe leaves zero; GID; enterprise id.
    ("CLC 1", &[(8, 16), (32, 38), (88, 104), (120, 152)]),
    ("CLC 2", &[(8, 41), (41, 45), (46, 50), (52, 60), (61, 64), (64, 96), (108, 140)]),
    ("CLC 3", &[(8, 41), (41, 45), (46, 50), (52, 60), (61, 64), (64, 96), (108, 140), (160, 176)]),
    ("LLC", &[(4, 29)]),
    ("CDC", &[(4, 8)]),
    // Address and rkey.
    ("WRITE", &[(0, 12)]),
];

const OS_AT: usize = 105;

fn without_identifiers((who, what, mut octets): Word) -> Word {
    let (_, ranges) = IDENTIFIERS.iter().find(|(kind, _)| *kind == what).expect("a kind with a rule");
    for &(from, to) in *ranges {
        octets[from..to].fill(0);
    }
    if (what == "CLC 2" || what == "CLC 3") && octets.len() > OS_AT {
        octets[OS_AT] &= 0x0f;
    }
    (who, what, octets)
}

/// The words in a frame, `who` from the last octet of its IPv4 source address.
fn words(frame: &[u8], who: impl Fn(u8) -> usize, out: &mut Vec<Word>) {
    if frame.get(12..14) != Some(&[8, 0]) {
        return;
    }
    let who = who(frame[29]);
    if let Ok(Some(packet)) = RocePacket::parse(frame) {
        return roce_words(who, &packet, out);
    }
    if frame[23] != 6 {
        return;
    }
    let end = 14 + usize::from(u16::from_be_bytes([frame[16], frame[17]]));
    let segment = &frame[34..end];
    if let Ok(Some(found)) = option::find(segment) {
        // Its place, and the two NOPs before it.
        out.push((who, "SYN option", segment[found.offset - 2..found.offset + 6].to_vec()));
    }
    let payload = &segment[usize::from(segment[12] >> 4) * 4..];
    if payload.starts_with(&[0xe2, 0xd4, 0xc3, 0xd9]) {
        let header = Header::parse(payload).expect("a header");
        let what = ["CLC 1", "CLC 2", "CLC 3"][usize::from(header.message_type.0) - 1];
        out.push((who, what, payload[..header.message_len()].to_vec()));
    }
}

fn roce_words(who: usize, packet: &RocePacket<'_>, out: &mut Vec<Word>) {
    match packet.bth.opcode.facts().map(|facts| facts.operation) {
        Some(Operation::Send) => {
            let what = if packet.payload[0] == 0xfe { "CDC" } else { "LLC" };
            out.push((who, what, packet.payload.to_vec()));
        }
        Some(Operation::Write) => {
            if let Some(reth) = packet.ext.reth() {
                let mut octets = vec![0; 12];
                octets.extend(reth.dma_len.to_be_bytes());
                out.push((who, "WRITE", octets));
            }
        }
        _ => {}
    }
}

/// Up to the first word about the end of RMBs, which each side ends as it likes.
fn conversation(mut all: Vec<Word>) -> [Vec<Word>; 2] {
    const DELETE_RKEY: u8 = 0x29;
    const DELETE_LINK: u8 = 0x24;
    all.retain(|(_, what, octets)| *what != "LLC" || ![DELETE_RKEY, DELETE_LINK].contains(&octets[0]));
    let all = all.into_iter().map(without_identifiers);
    let (client, server) = all.partition(|(who, ..)| *who == CLIENT);
    [client, server]
}

fn echo(pair: &mut Pair, client: SocketHandle, server: SocketHandle) {
    pair.transfer((CLIENT, client), (SERVER, server), 1000);
    pair.transfer((SERVER, server), (CLIENT, client), 1000);
}

#[test]
fn our_conversation_is_that_of_two_kernels() {
    let path = linux612().into_iter().find(|path| path.ends_with("linux612-max-links-1.pcap"));
    let mut theirs = Vec::new();
    each_frame(&path.expect("the capture"), |frame| {
        words(frame.octets, |address| usize::from(address == 1), &mut theirs);
    });

    // Their client proposes two links, their server has one.
    let mut pair = Pair::of(51, |host, config| config.max_links = if host == CLIENT { 2 } else { 1 });
    let (client, server) = pair.connect();
    echo(&mut pair, client, server);
    echo(&mut pair, client, server);
    pair.close(CLIENT, client);
    assert_eq!(pair.read_to_end((SERVER, server)), 0);
    pair.close(SERVER, server);
    pair.until_closed();
    let mut ours = Vec::new();
    for (_, frame) in pair.lan.log.as_ref().unwrap() {
        words(frame, |address| usize::from(address == 2), &mut ours);
    }

    let (theirs, ours) = (conversation(theirs), conversation(ours));
    for (theirs, ours) in theirs.iter().zip(&ours) {
        assert!(theirs.len() >= 8, "{} words", theirs.len());
        for (theirs, ours) in theirs.iter().zip(ours) {
            assert_eq!(theirs, ours);
        }
        assert_eq!(theirs.len(), ours.len());
    }
}

#[test]
fn our_identifiers_are_never_zero() {
    let mut pair = Pair::new(52);
    pair.connect();
    let mut ours = Vec::new();
    for (_, frame) in pair.lan.log.as_ref().unwrap() {
        words(frame, |address| usize::from(address == 2), &mut ours);
    }
    let mut seen = 0;
    for (_, what, octets) in ours.iter().filter(|(_, what, _)| what.starts_with("CLC")) {
        assert_ne!(octets[8..10], [0, 0], "{what}: instance id");
        assert_ne!(octets[8..16], [0; 8], "{what}: peer ID");
        if *what != "CLC 1" {
            assert_ne!(octets[38..41], [0; 3], "{what}: QPN");
            assert_ne!(octets[46..50], [0; 4], "{what}: alert token");
        }
        seen += 1;
    }
    assert_eq!(seen, 3);
}
