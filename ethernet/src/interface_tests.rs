//! A pair of datagram sockets stands in for the kernel's interface: each read and
//! write is one frame, as there. The real ones need privileges.

use std::io::Read as _;
use std::os::unix::net::{UnixDatagram, UnixStream};

use smoltcp::phy::{RxToken, TxToken};
use smoltcp::time::Instant;

use super::*;
use crate::{Port, wait};

const NOW: Instant = Instant::ZERO;
const OURS: [u8; 6] = [2, 0, 0, 0, 0, 1];
const THEIRS: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// A port, and the interface's other side.
fn port(own: Option<[Option<[u8; 6]>; OWN_ADDRESSES]>) -> (Port, UnixDatagram) {
    port_with(0, own)
}

/// A port with so many octets in front of each frame, and the interface's other side.
fn port_with(ahead: usize, own: Option<[Option<[u8; 6]>; OWN_ADDRESSES]>) -> (Port, UnixDatagram) {
    let (ours, theirs) = UnixDatagram::pair().expect("a pair");
    ours.set_nonblocking(true).expect("a socket");
    theirs.set_nonblocking(true).expect("a socket");
    (Port::Interface(InterfacePort::new(ours.into(), 1514, ahead, own).expect("a port")), theirs)
}

fn frame(source: [u8; 6], len: usize) -> Vec<u8> {
    let mut octets = vec![0xee; len];
    octets[SOURCE].copy_from_slice(&source);
    octets
}

fn send(port: &mut Port, octets: &[u8]) -> bool {
    port.transmit(NOW).map(|t| t.consume(octets.len(), |room| room.copy_from_slice(octets))).is_some()
}

fn receive(port: &mut Port) -> Option<Vec<u8>> {
    port.receive(NOW).map(|(frame, _)| frame.consume(<[u8]>::to_vec))
}

#[test]
fn frames_go_both_ways() {
    let (mut port, kernel) = port(None);
    assert_eq!(port.mtu(), 1500);
    assert!(receive(&mut port).is_none() && port.is_up());
    assert!(send(&mut port, &frame(OURS, 60)));
    let mut octets = [0; 2000];
    assert_eq!(kernel.recv(&mut octets).expect("a frame"), 60);
    assert_eq!(octets[..60], frame(OURS, 60));
    let merged = frame(THEIRS, 40_000);
    kernel.send(&merged).expect("it takes it");
    wait([&port], None).expect("a frame is there");
    assert_eq!(receive(&mut port).expect("larger than the MTU, merged by the kernel"), merged);
}

#[test]
fn frames_of_ours_that_come_back_are_passed_over() {
    let (mut port, kernel) = port(Some([None; OWN_ADDRESSES]));
    kernel.send(&frame(OURS, 60)).expect("it takes it");
    assert!(receive(&mut port).is_some(), "not known to be ours yet");
    for last in 2..=OWN_ADDRESSES as u8 {
        assert!(send(&mut port, &frame([2, 0, 0, 0, 1, last], 60)));
    }
    assert!(send(&mut port, &frame(OURS, 60)));
    kernel.send(&frame(OURS, 60)).expect("it takes it");
    kernel.send(&frame([2, 0, 0, 0, 1, 2], 60)).expect("it takes it");
    kernel.send(&frame(THEIRS, 61)).expect("it takes it");
    assert_eq!(receive(&mut port).expect("the peer's"), frame(THEIRS, 61));
    assert!(receive(&mut port).is_none());
    kernel.send(&[1, 2, 3]).expect("it takes it");
    assert_eq!(receive(&mut port).expect("too short to have a source"), [1, 2, 3]);
}

#[test]
fn frame_that_is_not_taken_at_once_is_kept_and_nothing_else_is_sent() {
    let (mut port, kernel) = port(None);
    let mut sent = 0;
    while send(&mut port, &frame(OURS, 1000 + sent)) {
        sent += 1;
    }
    assert!(port.wants_write());
    kernel.send(&frame(THEIRS, 60)).expect("it takes it");
    let (_, answer) = port.receive(NOW).expect("frames still come in");
    answer.consume(60, |_| ());
    assert_eq!(port.lost(), 1, "there was no room for the answer");
    let mut octets = [0; 2000];
    for i in 0..sent {
        port.flush();
        assert_eq!(kernel.recv(&mut octets).expect("a frame"), 1000 + i);
    }
    assert!(!port.wants_write());
}

#[test]
fn frame_longer_than_the_mtu_allows_is_lost() {
    let (mut port, _kernel) = port(None);
    assert!(send(&mut port, &frame(OURS, 1518)), "with a VLAN tag");
    assert!(send(&mut port, &frame(OURS, 1519)));
    assert_eq!(port.lost(), 1);
}

#[test]
fn errors_say_whether_the_port_can_come_back() {
    let (mut port, _kernel) = port(None);
    let Port::Interface(interface) = &mut port else { panic!("an interface") };
    for (errno, passing) in [
        (Errno::NETDOWN, Some(true)),
        (Errno::IO, Some(true)),
        (Errno::NOBUFS, None),
        (Errno::MSGSIZE, None),
        (Errno::NODEV, Some(false)),
        (Errno::NXIO, Some(false)),
        (Errno::BADFD, Some(false)),
        (Errno::PERM, Some(false)),
    ] {
        interface.outgoing.down = None;
        interface.outgoing.fail(errno.into());
        assert_eq!(interface.outgoing.down.as_ref().map(DownReason::is_passing), passing, "{errno}");
    }
    assert!(port.has_ended() && receive(&mut port).is_none() && !send(&mut port, &frame(OURS, 60)));
}

#[test]
fn descriptor_is_duplicated_and_outlives_what_it_came_from() {
    let (ours, mut theirs) = UnixStream::pair().expect("a pair");
    let duplicate = own_descriptor(&ours).expect("a duplicate");
    drop(ours);
    rustix::io::write(&duplicate, b"still open").expect("it is");
    let mut octets = [0; 10];
    theirs.read_exact(&mut octets).expect("octets");
    assert_eq!(&octets, b"still open");
}

/// A UDP packet to this port; `fragment` is the second half of IPv4's word for it.
fn udp(ethertype: u16, port: u16, fragment: u8) -> Vec<u8> {
    let mut octets = frame(THEIRS, 100);
    octets[12..14].copy_from_slice(&ethertype.to_be_bytes());
    let header_len = if ethertype == 0x0800 {
        // Six words: options move what is behind them.
        octets[14] = 0x46;
        octets[20..22].copy_from_slice(&[0, fragment]);
        octets[23] = 17;
        24
    } else {
        octets[20] = 17;
        40
    };
    octets[14 + header_len + 2..][..2].copy_from_slice(&port.to_be_bytes());
    octets
}

#[test]
fn roce_of_the_kernel_is_passed_over_if_told_so() {
    let (mut port, kernel) = port(Some([None; OWN_ADDRESSES]));
    let roce = [udp(0x0800, 4791, 0), udp(0x86dd, 4791, 0)];
    for octets in &roce {
        kernel.send(octets).expect("it takes it");
        assert!(receive(&mut port).is_some_and(|got| got == *octets));
    }
    port.pass_over_roce().expect("a filter");
    for octets in &roce {
        kernel.send(octets).expect("it takes it");
        assert!(receive(&mut port).is_none());
    }
    // Another port, a later fragment, TCP, ARP, a long frame.
    let mut tcp = udp(0x0800, 4791, 0);
    tcp[23] = 6;
    let others = [
        udp(0x0800, 4790, 0),
        udp(0x86dd, 4790, 0),
        udp(0x0800, 4791, 1),
        tcp,
        udp(0x0806, 4791, 0),
        frame(THEIRS, 40_000),
    ];
    for octets in &others {
        kernel.send(octets).expect("it takes it");
        assert!(receive(&mut port).is_some_and(|got| got == *octets), "{:02x?}", &octets[..40]);
    }
}

/// An offload header that leaves a checksum over all from `start` to be computed.
fn header(flags: u8, start: u16, offset: u16) -> [u8; offload::HEADER_LEN] {
    let mut header = [0; offload::HEADER_LEN];
    header[0] = flags;
    header[6..8].copy_from_slice(&start.to_ne_bytes());
    header[8..].copy_from_slice(&offset.to_ne_bytes());
    header
}

#[test]
fn header_is_taken_off_and_what_it_leaves_to_do_is_done() {
    let (mut port, kernel) = port_with(offload::HEADER_LEN, Some([None; OWN_ADDRESSES]));
    let mut partial = frame(THEIRS, 64);
    // RFC 1071 §3, and the field, which is empty.
    partial[54..].copy_from_slice(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7, 0, 0]);
    let mut whole = partial.clone();
    whole[62..].copy_from_slice(&[0x22, 0x0d]);
    let long = frame(THEIRS, HEADER_LEN + 65_535);
    for (header, sent, expected) in [
        (header(1, 54, 8), &partial, &whole),
        (header(0, 54, 8), &partial, &partial),
        (header(2, 54, 8), &partial, &partial),
        (header(1, 63, 8), &partial, &partial),
        (header(0, 0, 0), &long, &long),
    ] {
        kernel.send(&[&header, &sent[..]].concat()).expect("it takes it");
        assert!(receive(&mut port).is_some_and(|got| got == *expected), "{header:?}");
    }
    // No frame at all, or not even a header.
    for len in 1..=offload::HEADER_LEN {
        kernel.send(&header(1, 0, 0)[..len]).expect("it takes it");
    }
    kernel.send(&[&header(0, 0, 0), &whole[..]].concat()).expect("it takes it");
    assert_eq!(receive(&mut port).expect("the next"), whole);
    assert!(receive(&mut port).is_none() && port.is_up());
}

#[test]
fn what_is_sent_has_a_header_of_zeros_and_is_known_when_it_comes_back() {
    let (mut port, kernel) = port_with(offload::HEADER_LEN, Some([None; OWN_ADDRESSES]));
    let longest = frame(OURS, HEADER_LEN + VLAN_LEN + 1500);
    let mut octets = [0; 2000];
    for sent in [&frame(OURS, 60), &longest] {
        assert!(send(&mut port, sent));
        let len = kernel.recv(&mut octets).expect("a frame");
        assert_eq!(octets[..len], [&[0; offload::HEADER_LEN], &sent[..]].concat());
        kernel.send(&octets[..len]).expect("it takes it");
        assert!(receive(&mut port).is_none());
    }
    assert!(send(&mut port, &frame(OURS, longest.len() + 1)));
    assert_eq!(port.lost(), 1);
}
