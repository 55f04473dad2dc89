//! Whatever is measured carries the octets it is given.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test says so by panicking, and has threads"
)]

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use smolsmc_perf::{Alive, Bare, End, HEADER_LEN, Ours, Raw, Tcp};

fn bare(size: usize) -> [Bare; 2] {
    let memory = Bare::memory().unwrap();
    [true, false].map(|is_near| {
        let mut bare = Bare::new(memory.as_fd(), is_near, &Alive::default()).unwrap();
        bare.shape(size);
        bare
    })
}

fn tcp() -> [Tcp; 2] {
    let (listener, port) = Tcp::listen().unwrap();
    let near = Tcp::connect(port, &Alive::default()).unwrap();
    [near, Tcp::accept(&listener, &Alive::default()).unwrap()]
}

fn pattern(size: usize, round: usize) -> Vec<u8> {
    (0..size).map(|n| (n * 7 + n / 251 + round) as u8).collect()
}

/// Each octet comes back as it was sent; each round's octets are others.
fn echo<E: End + 'static>([mut near, mut far]: [E; 2], size: usize) {
    const ROUNDS: usize = 40;
    let done = Arc::new(AtomicBool::new(false));
    let its_done = done.clone();
    let echo = std::thread::spawn(move || {
        let mut octets = vec![0; size];
        for _ in 0..ROUNDS {
            far.receive(&mut octets).unwrap();
            far.send(&octets).unwrap();
        }
        // What was sent last may not be on its way yet; and nobody leaves early.
        far.finish(&mut || its_done.load(Ordering::Acquire)).unwrap();
        while !its_done.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
    });
    let mut octets = vec![0; size];
    for round in 0..ROUNDS {
        near.send(&pattern(size, round)).unwrap();
        near.receive(&mut octets).unwrap();
        assert!(octets == pattern(size, round), "{size} octets, round {round}");
    }
    done.store(true, Ordering::Release);
    echo.join().unwrap();
}

#[test]
fn octets_come_back_as_they_were_sent() {
    // Below and above a slot, a piece, a send ring.
    for size in [1, 55, 56, 57, 4096, 65_536, 65_537, 1_000_003] {
        echo(bare(size), size);
        echo(Raw::pair().unwrap(), size);
        echo(Ours::pair().unwrap(), size);
        echo(tcp(), size);
    }
}

/// A stream's pieces are whole and in order, and a frame may follow it.
fn stream<E: End + 'static>([mut near, mut far]: [E; 2], size: usize, times: u32, is_tcp: bool) {
    let sink = std::thread::spawn(move || {
        let mut octets = vec![0; size];
        far.receive_many(&mut octets, times).unwrap();
        if !is_tcp {
            assert!(octets == pattern(size, 3), "the last one of {times}");
        }
        let mut frame = vec![0; 1000];
        let len = far.receive_frame(&mut frame).unwrap();
        assert_eq!(&frame[..len], &framed(77));
    });
    near.send_many(&pattern(size, 3), times).unwrap();
    near.finish(&mut || true).unwrap();
    near.send(&framed(77)).unwrap();
    // Without a poll what was sent would stay.
    while !sink.is_finished() {
        near.finish(&mut || true).unwrap();
        std::thread::yield_now();
    }
    sink.join().unwrap();
}

fn framed(len: usize) -> Vec<u8> {
    let header = [(len as u32).to_le_bytes(), 9_u32.to_le_bytes()].concat();
    assert_eq!(header.len(), HEADER_LEN);
    [header, pattern(len, 1)].concat()
}

#[test]
fn streams_of_any_window_end_and_a_frame_can_follow() {
    for (size, times) in [(64, 1000), (1000, 333), (65_536, 64)] {
        stream(bare(size.max(85)), size, times, false);
        stream(Raw::pair().unwrap(), size, times, false);
        stream(Ours::pair().unwrap(), size, times, false);
        // Its receiver reads into a buffer of its own.
        stream(tcp(), size, times, true);
    }
}
