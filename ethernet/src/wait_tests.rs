#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "waiting is what is tested")]

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use smoltcp::phy::{Device, TxToken};

use super::*;
use crate::{DEFAULT_MTU, StreamPort};

fn port() -> (Port, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    (Port::Stream(StreamPort::from_stream(ours, DEFAULT_MTU).expect("a port")), theirs)
}

#[test]
fn timeout_passes_when_nothing_comes() {
    let (port, _peer) = port();
    let before = Instant::now();
    wait([&port], Some(Duration::from_millis(20))).expect("it waits");
    assert!(before.elapsed() >= Duration::from_millis(20));
    wait([], Some(Duration::from_millis(1))).expect("without ports too");
    wait([], None).expect("for nothing and without end: not at all");
}

#[test]
fn frame_on_any_port_ends_the_wait() {
    let ((first, _peer), (second, mut peer)) = (port(), port());
    peer.write_all(&[0, 0, 0, 1, 5]).expect("it takes it");
    wait(&[first, second], None).expect("a frame is there");
}

#[test]
fn descriptor_of_the_application_ends_the_wait() {
    let (port, _peer) = port();
    let (ours, mut theirs) = UnixStream::pair().expect("a pair");
    let before = Instant::now();
    wait_also([&port], [ours.as_fd()], Some(Duration::from_millis(20))).expect("it waits");
    assert!(before.elapsed() >= Duration::from_millis(20), "nothing to read yet");
    theirs.write_all(&[1]).expect("it takes it");
    wait_also([&port], [ours.as_fd()], None).expect("an octet is there");
}

#[test]
fn room_is_waited_for_only_when_frames_wait() {
    let (mut port, mut peer) = port();
    while let Some(token) = port.transmit(smoltcp::time::Instant::ZERO) {
        token.consume(1514, |frame| frame.fill(1));
    }
    assert!(port.wants_write());
    let before = Instant::now();
    wait([&port], Some(Duration::from_millis(20))).expect("it waits");
    assert!(before.elapsed() >= Duration::from_millis(20), "the peer reads nothing: no room");

    let mut octets = vec![0; 64 << 10];
    peer.set_nonblocking(true).expect("a socket");
    while peer.read(&mut octets).is_ok() {}
    wait([&port], None).expect("room again");
    port.flush();
    assert!(!port.wants_write());
}
