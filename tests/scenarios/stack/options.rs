//! Options, set before the connection or while it lives, on what carries it.

use std::net::SocketAddr;

use smolsmc::{ConnectionError, SocketOptions, Transport};
use smolsmc_clc::Diagnosis;
use smolsmc_decode::Kind;
use smolsmc_tests::sim::Faults;
use smolsmc_wire::Duration;

use super::pair::{CLIENT, PORT, Pair, SERVER};

const fn not_our_server(peer: SocketAddr) -> bool {
    peer.port() != PORT
}

const fn nobody(_: SocketAddr) -> bool {
    false
}

#[test]
fn a_policy_decides_before_the_syn() {
    for (host, policy, options) in [
        (CLIENT, not_our_server as fn(SocketAddr) -> bool, 0),
        (SERVER, nobody, 1),
        // The client's port is another one.
        (SERVER, not_our_server, 2),
    ] {
        let mut pair = Pair::of(111, |of, config| config.smc_with = (of == host).then_some(policy));
        let (client, server) = pair.connect();
        assert_eq!(pair.said(Kind::TcpOption).len(), options);
        let Transport::Tcp(fallback) = pair.transport(host, if host == CLIENT { client } else { server })
        else {
            assert_eq!(options, 2);
            continue;
        };
        assert_eq!((fallback.local, fallback.peer), (None, None), "it was not wanted");
        let other = if host == CLIENT { (SERVER, server) } else { (CLIENT, client) };
        let Transport::Tcp(fallback) = pair.transport(other.0, other.1) else { panic!("both have TCP") };
        assert_eq!(fallback.local, Some(Diagnosis::PEER_NO_SMC));
        pair.transfer((CLIENT, client), (SERVER, server), 10_000);
    }
}

/// TCP segments with octets that the client sends for ten small sends.
fn segments(pair: &mut Pair, client: smolsmc::SocketHandle) -> usize {
    pair.lan.log.as_mut().unwrap().clear();
    for _ in 0..10 {
        assert_eq!(pair.lan.stack(CLIENT).socket(client).unwrap().send(&[7; 50]), Ok(50));
        pair.lan.step_within(Duration::from_micros(5));
    }
    pair.lan.run_for(Duration::from_millis(50));
    let log = pair.lan.log.as_ref().unwrap();
    log.iter().filter(|(_, frame)| frame[23] == 6 && frame[29] == 1 && frame.len() > 60).count()
}

#[test]
fn what_was_wished_before_holds_on_tcp() {
    for (nodelay, want) in [(true, 10), (false, 2)] {
        let mut pair = Pair::of(112, |host, config| config.smc = host == CLIENT);
        let mut options = SocketOptions::default();
        options.nodelay = nodelay;
        options.cork = true;
        let (client, _) = pair.connect_with(options);
        let faults = Faults { delay: Duration::from_micros(500), ..Faults::default() };
        pair.lan.set_faults(CLIENT, faults);
        assert!(matches!(pair.transport(CLIENT, client), Transport::Tcp(_)));
        assert_eq!(pair.lan.stack(CLIENT).socket(client).unwrap().options(), options);
        assert_eq!(segments(&mut pair, client), 2, "a cork is Nagle's algorithm");
        pair.lan.stack(CLIENT).socket(client).unwrap().set_cork(false);
        assert_eq!(segments(&mut pair, client), want);
        pair.lan.stack(CLIENT).socket(client).unwrap().set_nodelay(!nodelay);
        assert_eq!(segments(&mut pair, client), 12 - want);
    }
}

#[test]
fn a_silent_tcp_peer_is_given_up_if_it_is_asked() {
    let mut options = SocketOptions::default();
    options.plain_tcp = true;
    for asked in [false, true] {
        let mut pair = Pair::new(113);
        let (client, server) = pair.connect_with(options);
        let interval = asked.then_some(Duration::from_secs(10));
        pair.lan.stack(CLIENT).socket(client).unwrap().set_keep_alive(interval);
        // Whoever answers stays.
        pair.lan.run_for(Duration::from_secs(300));
        assert_eq!(pair.error(CLIENT, client), None);
        pair.transfer((SERVER, server), (CLIENT, client), 1000);
        pair.lan.set_faults(SERVER, Faults { loss: 1.0, ..Faults::default() });
        pair.lan.run_for(Duration::from_secs(300));
        let readiness = pair.lan.stack(CLIENT).socket(client).unwrap().readiness();
        assert_eq!(readiness.failed, asked);
    }
}

#[test]
fn the_end_takes_no_longer_than_wished() {
    for plain_tcp in [false, true] {
        let mut options = SocketOptions::default();
        options.plain_tcp = plain_tcp;
        options.linger = Some(Duration::from_secs(50));
        let mut pair = Pair::new(114);
        let (client, server) = pair.connect_with(options);
        let mut socket = pair.lan.stack(CLIENT).socket(client).unwrap();
        socket.set_linger(Some(Duration::from_secs(3)));
        assert_eq!(socket.options().linger, Some(Duration::from_secs(3)));
        // The peer neither reads nor closes.
        socket.send(b"octets").unwrap();
        socket.close();
        pair.lan.run_for(Duration::from_secs(2));
        assert!(pair.lan.stack(CLIENT).has_connections());
        pair.lan.run_for(Duration::from_secs(4));
        assert!(!pair.lan.stack(CLIENT).has_connections());
        let error = pair.error(SERVER, server);
        assert_eq!(error, (!plain_tcp).then_some(ConnectionError::PeerAborted));
    }
}
