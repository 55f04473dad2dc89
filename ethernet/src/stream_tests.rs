use std::io::{Read as _, Write as _};

use smoltcp::phy::{Device, RxToken, TxToken};
use smoltcp::time::Instant;

use super::*;
use crate::{DEFAULT_MTU, MAX_FRAME_LEN, Port, wait};

const NOW: Instant = Instant::ZERO;
const FRAME_LEN: usize = 1514;

/// A port, and the naked socket at its other end.
fn port() -> (Port, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    (Port::Stream(StreamPort::from_stream(ours, DEFAULT_MTU).expect("a port")), theirs)
}

fn receive(port: &mut Port) -> Option<Vec<u8>> {
    port.receive(NOW).map(|(frame, _)| frame.consume(<[u8]>::to_vec))
}

fn transmit(port: &mut Port, len: usize, octet: u8) -> bool {
    port.transmit(NOW).map(|token| token.consume(len, |frame| frame.fill(octet))).is_some()
}

/// Sends frames until no more may be sent; how many went.
fn fill(port: &mut Port) -> usize {
    (0..100_000).take_while(|i| transmit(port, FRAME_LEN, *i as u8)).count()
}

#[test]
fn frames_go_both_ways_in_the_framing_of_qemu() {
    let (mut port, mut peer) = port();
    assert!(port.is_up() && receive(&mut port).is_none());
    assert!(transmit(&mut port, 60, 0xaa));
    let mut record = [0; 64];
    peer.read_exact(&mut record).expect("a frame");
    assert_eq!(record[..4], [0, 0, 0, 60]);
    assert_eq!(record[4..], [0xaa; 60]);

    peer.write_all(&[0, 0, 0, 2, 7, 7, 0, 0]).expect("it takes it");
    assert_eq!(receive(&mut port).expect("a frame"), [7, 7]);
    assert!(receive(&mut port).is_none(), "half a length is no frame");
    peer.write_all(&[0, 1, 9]).expect("it takes it");
    assert_eq!(receive(&mut port).expect("the rest has come"), [9]);
}

#[test]
fn nothing_is_transmitted_while_there_is_no_room_and_nothing_is_lost() {
    let (mut port, mut peer) = port();
    let mut sent = fill(&mut port);
    assert!(port.wants_write());
    assert!(!transmit(&mut port, 60, 0), "no room");
    let wanted = 3 * sent;
    peer.set_nonblocking(true).expect("a socket");
    let (mut stream, mut piece) = (Vec::<u8>::new(), vec![0; 10_000]);
    while sent < wanted || port.wants_write() {
        match peer.read(&mut piece) {
            Ok(len) => stream.extend(&piece[..len]),
            Err(_) if sent < wanted => sent += fill(&mut port),
            Err(_) => port.flush(),
        }
    }
    while let Ok(len) = peer.read(&mut piece) {
        stream.extend(&piece[..len]);
    }
    let records = stream.chunks(4 + FRAME_LEN);
    assert_eq!(records.len(), sent);
    for record in records {
        assert_eq!(record[..4], (FRAME_LEN as u32).to_be_bytes());
        assert!(record[4..].iter().all(|octet| *octet == record[4]), "one frame in one piece");
    }
    assert_eq!(port.lost(), 0);
}

#[test]
fn port_that_cannot_send_still_receives_and_loses_answers() {
    let (mut port, mut peer) = port();
    fill(&mut port);
    let mut answered = 0;
    while port.lost() == 0 {
        peer.write_all(&[0, 0, 0, 1, 5]).expect("it takes it");
        let (frame, answer) = port.receive(NOW).expect("frames still come in");
        frame.consume(|octets| assert_eq!(octets, [5]));
        answer.consume(FRAME_LEN, |frame| frame.fill(6));
        answered += 1;
    }
    assert!((1..10).contains(&answered), "room for an answer is kept: {answered}");
}

#[test]
fn frame_longer_than_the_mtu_allows_is_lost() {
    let (mut port, mut peer) = port();
    assert!(transmit(&mut port, FRAME_LEN + 4, 1), "with a VLAN tag");
    assert!(transmit(&mut port, FRAME_LEN + 5, 2));
    assert_eq!(port.lost(), 1);
    assert!(transmit(&mut port, 60, 3));
    let mut records = vec![0; 4 + FRAME_LEN + 4 + 4 + 60];
    peer.read_exact(&mut records).expect("the other two");
    assert!(records.ends_with(&[3; 60]));
}

#[test]
fn peer_that_closes_leaves_a_port_that_is_down() {
    let (mut port, mut peer) = port();
    peer.write_all(&[0, 0, 0, 1, 5, 0, 0, 0, 9, 1, 2]).expect("it takes it");
    drop(peer);
    assert_eq!(receive(&mut port).expect("what was sent before arrives"), [5]);
    assert!(receive(&mut port).is_none(), "half a frame does not");
    assert!(matches!(port.down_reason(), Some(DownReason::PeerClosed)));
    assert!(port.has_ended() && !port.is_up() && !port.wants_write());
    assert!(!transmit(&mut port, 60, 0));
    assert!(receive(&mut port).is_none());
    wait([&port], None).expect("nothing to wait for");
}

#[test]
fn sending_to_a_peer_that_closed_is_no_signal_and_no_panic() {
    let (mut port, peer) = port();
    drop(peer);
    transmit(&mut port, 60, 0);
    assert!(matches!(port.down_reason(), Some(DownReason::PeerClosed)));
    assert!(!transmit(&mut port, 60, 0));
}

#[test]
fn announced_length_above_the_limit_ends_the_port() {
    let (mut port, mut peer) = port();
    peer.write_all(&[0, 0, 0, 1, 5]).expect("it takes it");
    peer.write_all(&(MAX_FRAME_LEN as u32 + 1).to_be_bytes()).expect("it takes it");
    assert_eq!(receive(&mut port).expect("the frame before"), [5]);
    assert!(receive(&mut port).is_none());
    assert!(matches!(port.down_reason(), Some(DownReason::FrameTooLong { announced: 9019 })));
    let said = port.down_reason().expect("down").to_string();
    assert_eq!(said, "the peer announced a frame of 9019 octets, and the longest is 9018");
}

/// A name for a socket that nothing else uses.
fn path(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("smolsmc-{name}-{}", std::process::id()));
    remove(&path);
    path
}

#[test]
fn listening_port_takes_one_peer() {
    let path = path("listen");
    let mut server = Port::open(&format!("unix-listen:{}", path.display())).expect("it listens");
    assert!(matches!(server.down_reason(), Some(DownReason::NoPeerYet)));
    assert!(!server.has_ended(), "one may still come");
    assert!(receive(&mut server).is_none() && !transmit(&mut server, 60, 0));

    let mut client = Port::open(&format!("unix:{}", path.display())).expect("it connects");
    assert!(transmit(&mut client, 60, 3));
    wait([&server], None).expect("the peer is there");
    wait([&server], None).expect("or its frame");
    assert_eq!(receive(&mut server).expect("its frame"), [3; 60]);
    assert!(server.is_up());
    assert!(!path.exists(), "the name has served its purpose");
    assert!(transmit(&mut server, 60, 4));
    assert_eq!(receive(&mut client).expect("the answer"), [4; 60]);
    drop(client);
    assert!(receive(&mut server).is_none());
    assert!(server.has_ended(), "one peer, not another");
}

#[test]
fn listening_port_that_nobody_came_to_removes_its_name() {
    let path = path("nobody");
    let port = Port::open(&format!("unix-listen:{}", path.display())).expect("it listens");
    assert!(path.exists());
    let again = Port::open(&format!("unix-listen:{}", path.display())).expect_err("taken");
    assert!(again.to_string().contains("remove the file if nobody listens there any more"), "{again}");
    assert!(path.exists(), "the name of another port is left alone");
    drop(port);
    assert!(!path.exists());
}
