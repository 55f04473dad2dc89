use smolsmc::{ConnectionError, RecvError, SendError};
use smolsmc_wire::Duration;

use super::pair::{CLIENT, Pair, SERVER, send_some};

const OTHER: [usize; 2] = [SERVER, CLIENT];

#[test]
fn half_close_by_either_side() {
    for first in [CLIENT, SERVER] {
        let mut pair = Pair::new(11);
        let (client, server) = pair.connect();
        let sockets = [client, server];
        let second = OTHER[first];
        let sent = send_some(&mut pair.lan, (first, sockets[first]), 7, 0, 3000);
        pair.lan.stack(first).socket(sockets[first]).unwrap().shutdown();
        let error = pair.lan.stack(first).socket(sockets[first]).unwrap().send(b"more");
        assert_eq!(error, Err(SendError::ShutDown));
        assert_eq!(pair.read_to_end((second, sockets[second])), sent);
        // The other direction goes on.
        pair.transfer((second, sockets[second]), (first, sockets[first]), 200_000);
        pair.close(second, sockets[second]);
        assert_eq!(pair.read_to_end((first, sockets[first])), 0);
        pair.close(first, sockets[first]);
        pair.until_closed();
        pair.explain();
    }
}

#[test]
fn what_was_sent_before_close_arrives() {
    let mut pair = Pair::new(12);
    let (client, server) = pair.connect();
    let mut sent = 0;
    // More than the peer's ring: some of it waits for the reader.
    for _ in 0..20 {
        sent += send_some(&mut pair.lan, (CLIENT, client), 7, sent, 1 << 20);
        pair.lan.run_for(Duration::from_millis(1));
    }
    assert!(sent > 100_000, "{sent}");
    pair.close(CLIENT, client);
    assert_eq!(pair.read_to_end((SERVER, server)), sent);
    pair.close(SERVER, server);
    pair.until_closed();
    pair.explain();
}

#[test]
fn close_with_octets_unread_is_an_abort() {
    let mut pair = Pair::new(13);
    let (client, server) = pair.connect();
    send_some(&mut pair.lan, (CLIENT, client), 7, 0, 1000);
    pair.lan.run_for(Duration::from_millis(10));
    pair.close(SERVER, server);
    assert_eq!(pair.read_to_end((CLIENT, client)), 0);
    assert_eq!(pair.error(CLIENT, client), Some(ConnectionError::PeerAborted));
    pair.close(CLIENT, client);
    pair.until_closed();
    pair.explain();
}

#[test]
fn abort_is_told_by_either_side() {
    for first in [CLIENT, SERVER] {
        let mut pair = Pair::new(14);
        let (client, server) = pair.connect();
        let sockets = [client, server];
        pair.lan.stack(first).socket(sockets[first]).unwrap().abort();
        let second = OTHER[first];
        assert_eq!(pair.read_to_end((second, sockets[second])), 0);
        assert_eq!(pair.error(second, sockets[second]), Some(ConnectionError::PeerAborted));
        let sent = pair.lan.stack(second).socket(sockets[second]).unwrap().send(b"x");
        assert_eq!(sent, Err(SendError::Over(ConnectionError::PeerAborted)));
        pair.close(second, sockets[second]);
        pair.until_closed();
        pair.explain();
    }
}

#[test]
fn both_sides_at_once() {
    let mut pair = Pair::new(15);
    let (client, server) = pair.connect();
    pair.close(CLIENT, client);
    pair.close(SERVER, server);
    pair.until_closed();
    pair.explain();
}

#[test]
fn a_peer_that_never_closes_is_left_in_time() {
    let mut pair = Pair::of(16, |_, config| config.timers.close = Duration::from_secs(3));
    let (client, server) = pair.connect();
    pair.close(CLIENT, client);
    pair.lan.until(Duration::from_secs(10), "the end", |lan| !lan.stack(CLIENT).has_connections());
    let mut octet = [0];
    assert_eq!(pair.lan.stack(SERVER).socket(server).unwrap().recv(&mut octet), Ok(0));
    assert_eq!(pair.error(SERVER, server), Some(ConnectionError::PeerAborted));
}

#[test]
fn a_socket_is_gone_once_closed() {
    let mut pair = Pair::new(17);
    let (client, server) = pair.connect();
    pair.close(CLIENT, client);
    assert!(pair.lan.stack(CLIENT).socket(client).is_err());
    let mut octet = [0];
    assert_eq!(
        pair.lan.stack(SERVER).socket(server).unwrap().recv(&mut octet),
        Err(RecvError::WouldBlock),
        "nobody has told it yet"
    );
}
