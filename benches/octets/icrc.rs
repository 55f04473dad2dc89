//! ICRC beside one call of `crc32fast` over as many octets: those from the IP
//! header to the pad, in the same frames.
//!
//! `verify` and `seal` are what a NIC does beside parsing and writing headers.
//! The masking is part of `verify`, but for `seal` already done by `emit`; the
//! lines with `parse` and `emit` show the whole of both ways.

use core::hint::black_box;
use core::net::Ipv4Addr;

use smolsmc_roce::packet::{
    Bth, Ext, FrameHeaders, ICRC_LEN, IpPath, Opcode, OpenFrame, RocePacket, source_port,
};
use smolsmc_wire::{Mac, Psn, Qpn};

use crate::measure::{compare, time};

const ETHERNET_LEN: usize = 14;

pub(crate) fn run(blocks: usize) {
    println!("\nICRC, IPv4, RDMA WRITE middle; the limit for 1024 B and more is a ratio of 1.10");
    // Few enough frames a block that they stay in the first-level cache.
    of_size::<64>(blocks, 64);
    of_size::<16>(blocks, 1024);
    of_size::<6>(blocks, 4096);
}

/// `N` frames of `payload_len` octets each a block.
fn of_size<const N: usize>(blocks: usize, payload_len: usize) {
    let frames: [_; N] = core::array::from_fn(|i| frame(i, payload_len));
    let covered = frames.each_ref().map(|frame| &frame[ETHERNET_LEN..frame.len() - ICRC_LEN]);
    let packets = frames.each_ref().map(|frame| match RocePacket::parse(frame) {
        Ok(Some(packet)) if packet.verify_icrc().is_ok() => packet,
        other => panic!("our own frame: {other:?}"),
    });
    let mut outgoing = frames.clone();

    let mut bare = || {
        time(|| {
            for octets in &covered {
                black_box(crc32fast::hash(black_box(octets)));
            }
        })
    };
    let mut verify = || {
        time(|| {
            for packet in &packets {
                black_box(black_box(packet).verify_icrc().is_ok());
            }
        })
    };
    let mut parse_and_verify = || {
        time(|| {
            for frame in &frames {
                let packet = RocePacket::parse(black_box(frame));
                black_box(
                    packet.is_ok_and(|packet| packet.is_some_and(|packet| packet.verify_icrc().is_ok())),
                );
            }
        })
    };
    let mut seal = || {
        let mut number = 0;
        let open = outgoing.each_mut().map(|frame| {
            number += 1;
            match headers(number).emit(payload_len, frame) {
                Ok(open) => open,
                Err(error) => panic!("a frame of the right size: {error}"),
            }
        });
        time(|| {
            for frame in open {
                black_box(frame.seal());
            }
        })
    };
    let mut sent = frames.clone();
    let mut emit_and_seal = || {
        time(|| {
            for (number, frame) in sent.iter_mut().enumerate() {
                let open = black_box(headers(number)).emit(payload_len, frame);
                black_box(open.map(OpenFrame::seal).is_ok());
            }
        })
    };
    let [bare, verify, seal, parse_and_verify, emit_and_seal] =
        compare(blocks, [&mut bare, &mut verify, &mut seal, &mut parse_and_verify, &mut emit_and_seal]);

    let octets = covered.iter().map(|covered| covered.len()).sum::<usize>() as f64;
    let ours = [
        ("verify", verify),
        ("seal", seal),
        ("parse and verify", parse_and_verify),
        ("emit and seal", emit_and_seal),
    ];
    for (what, ours) in ours {
        println!(
            "ICRC {what} {payload_len} B: {:.2} GB/s, crate {:.2} GB/s, ratio {:.3}  ({:.1} ns, crate {:.1} ns)",
            octets / ours.nanos,
            octets / bare.nanos,
            ours.ratio,
            ours.nanos / N as f64,
            bare.nanos / N as f64,
        );
    }
}

fn frame(number: usize, payload_len: usize) -> Vec<u8> {
    let payload: Vec<u8> = (0..payload_len).map(|i| (i * 7 + number) as u8).collect();
    let headers = headers(number);
    let mut frame = vec![0; headers.frame_len(payload_len)];
    match headers.emit_with(&payload, &mut frame) {
        Ok(_) => frame,
        Err(error) => panic!("a buffer of the right size: {error}"),
    }
}

fn headers(number: usize) -> FrameHeaders {
    let qpn = Qpn::new(17);
    FrameHeaders {
        dst: Mac([0x52, 0x54, 0, 0, 0, 1]),
        src: Mac([0x52, 0x54, 0, 0, 0, 2]),
        vlan: None,
        ip: IpPath::V4 {
            src: Ipv4Addr::new(10, 9, 0, 2),
            dst: Ipv4Addr::new(10, 9, 0, 1),
            tos: 0,
            ttl: 1,
            // Spread, so that header checksums are, too.
            identification: (number * 40_503) as u16,
        },
        src_port: source_port(qpn, qpn),
        bth: Bth::new(Opcode::WRITE_MIDDLE, qpn, Psn::new(number as u32)),
        ext: Ext::None,
    }
}
