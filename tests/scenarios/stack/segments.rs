//! TCP beneath it all: SYNs that cross, SYNs in floods, and what is left of a
//! connection when it is over.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use smolsmc::{Config, Fallback, SocketHandle, SocketOptions, Transport};
use smolsmc_clc::Diagnosis;
use smolsmc_decode::Kind;
use smolsmc_tests::sim::{Lan, address_of};
use smolsmc_wire::{Duration, Instant};
use smoltcp::wire::{IpAddress, Ipv4Address, Ipv4Packet, TcpPacket};

use super::pair::{CLIENT, PORT, Pair, SERVER, recv_some, send_some};

/// Offsets in a frame of TCP over IPv4 without options.
const TCP_AT: usize = 34;
const FLAGS_AT: usize = TCP_AT + 13;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;
const FIN: u8 = 0x01;

fn is_tcp(frame: &[u8]) -> bool {
    frame.get(12..14) == Some(&[8, 0]) && frame.get(23) == Some(&6)
}

fn flags(frame: &[u8]) -> Option<u8> {
    is_tcp(frame).then(|| frame[FLAGS_AT])
}

fn with_port(port: u16) -> SocketOptions {
    let mut options = SocketOptions::default();
    options.local_port = Some(port);
    options
}

/// Both connect to each other's port before either hears of it.
fn crossed(seed: u64, change: impl Fn(usize, &mut Config)) -> (Lan, [SocketHandle; 2]) {
    let mut lan = Lan::of(seed, 2, change);
    lan.log = Some(Vec::new());
    // Neighbours must know each other, or one SYN waits for ARP.
    for host in [CLIENT, SERVER] {
        let to = SocketAddr::new(address_of(1 - host), 9);
        let refused = lan.stack(host).connect(to, SocketOptions::default()).unwrap();
        lan.run_for(Duration::from_millis(5));
        lan.stack(host).socket(refused).unwrap().close();
    }
    lan.log = Some(Vec::new());
    let sockets = [(CLIENT, 7001, 7002), (SERVER, 7002, 7001)].map(|(host, own, other)| {
        let to = SocketAddr::new(address_of(1 - host), other);
        lan.stack(host).connect(to, with_port(own)).unwrap()
    });
    lan.until(Duration::from_secs(5), "the connection", |lan| {
        [CLIENT, SERVER].iter().all(|&host| {
            let socket = lan.stack(host).socket(sockets[host]).unwrap();
            assert_eq!(socket.error(), None, "host {host}");
            socket.transport().is_some()
        })
    });
    (lan, sockets)
}

fn exchange(lan: &mut Lan, sockets: [SocketHandle; 2]) {
    let [mut ours, mut theirs] = [(0, 0), (0, 0)];
    lan.until(Duration::from_secs(10), "the octets", |lan| {
        for (host, done) in [(CLIENT, &mut ours), (SERVER, &mut theirs)] {
            done.0 += send_some(lan, (host, sockets[host]), host as u64, done.0, 30_000);
            done.1 += recv_some(lan, (host, sockets[host]), 1 - host as u64, done.1).unwrap_or(0);
        }
        (ours, theirs) == ((30_000, 30_000), (30_000, 30_000))
    });
}

/// Nobody is the server, so that nobody could accept: both sides must see it the
/// same way.
#[test]
fn syns_that_cross_make_one_connection_over_tcp() {
    let (mut lan, sockets) = crossed(911, |_, _| {});
    let syns = lan.log.iter().flatten().filter(|(_, frame)| flags(frame) == Some(SYN)).count();
    assert_eq!(syns, 2, "they crossed");
    for host in [CLIENT, SERVER] {
        let fallback = Fallback { local: Some(Diagnosis::MODE_MISMATCH), peer: None };
        let transport = lan.stack(host).socket(sockets[host]).unwrap().transport();
        assert_eq!(transport, Some(Transport::Tcp(fallback)), "host {host}");
    }
    exchange(&mut lan, sockets);
    for host in [CLIENT, SERVER] {
        lan.stack(host).socket(sockets[host]).unwrap().close();
    }
    lan.until(Duration::from_secs(60), "the end", |lan| {
        [CLIENT, SERVER].iter().all(|&host| !lan.stack(host).has_connections())
    });
}

/// With SMC on one side only it is plain TCP, and both know why.
#[test]
fn syns_that_cross_with_one_option_are_tcp_without_a_word() {
    let (mut lan, sockets) = crossed(912, |host, config| config.smc = host == CLIENT);
    let ours = Fallback { local: Some(Diagnosis::PEER_NO_SMC), peer: None };
    for (host, fallback) in [(CLIENT, ours), (SERVER, Fallback::default())] {
        let transport = lan.stack(host).socket(sockets[host]).unwrap().transport();
        assert_eq!(transport, Some(Transport::Tcp(fallback)), "host {host}");
    }
    exchange(&mut lan, sockets);
}

#[test]
fn a_wanted_port_is_used_and_not_used_twice() {
    let mut pair = Pair::new(913);
    let (client, _) = pair.connect_with(with_port(7001));
    let local = pair.lan.stack(CLIENT).socket(client).unwrap().local_addr();
    assert_eq!(local, SocketAddr::new(address_of(CLIENT), 7001));
    let to = SocketAddr::new(address_of(SERVER), PORT);
    pair.lan.stack(CLIENT).connect(to, with_port(7001)).unwrap_err();
    pair.lan.stack(CLIENT).connect(SocketAddr::new(address_of(SERVER), PORT + 1), with_port(7001)).unwrap();
}

/// Turns a frame of TCP into one of another sender, with sums that are right.
fn from_port(frame: &mut [u8], port: u16, change: impl Fn(&mut TcpPacket<&mut [u8]>)) {
    let len = usize::from(Ipv4Packet::new_unchecked(&frame[14..]).total_len());
    let [from, to] = [26, 30].map(|at| {
        let octets: [u8; 4] = frame[at..at + 4].try_into().unwrap();
        IpAddress::Ipv4(Ipv4Address::from(octets))
    });
    let mut tcp = TcpPacket::new_unchecked(&mut frame[TCP_AT..14 + len]);
    tcp.set_src_port(port);
    change(&mut tcp);
    tcp.fill_checksum(&from, &to);
}

/// Ten thousand SYNs of one host whose handshakes never end: what is held stays
/// within its limits, others get through, and all of it goes with time.
#[test]
fn a_flood_of_syns_takes_no_more_than_its_limits() {
    let mut pair = Pair::of(914, |host, config| {
        if host == SERVER {
            config.limits.handshakes_per_source = 32;
        }
    });
    // A third host is needed for the others: the limits of the source are per address.
    pair.connect();
    let log = pair.lan.log.take().unwrap();
    let (_, syn) = log.iter().find(|(_, frame)| flags(frame) == Some(SYN)).unwrap();
    let before = pair.lan.stack(SERVER).held();
    for port in 10_000..20_000 {
        let mut frame = syn.clone();
        // Nobody at that address answers with RST.
        frame[29] = 77;
        let sum = &mut Ipv4Packet::new_unchecked(&mut frame[14..]);
        sum.fill_checksum();
        from_port(&mut frame, port, |_| ());
        pair.lan.inject(SERVER, 0, frame);
        if port % 500 == 0 {
            pair.lan.step();
            let held = pair.lan.stack(SERVER).held();
            assert!(held.connections - before.connections <= 32, "{held:?}");
            assert!(held.handshakes <= 32 && held.tuples <= held.connections, "{held:?}");
        }
    }
    pair.lan.step();
    let dropped = pair.lan.stack(SERVER).stats().syns_dropped;
    assert_eq!(dropped, 10_000 - 32);
    pair.lan.log = Some(Vec::new());
    let (client, server) = pair.connect();
    pair.transfer((CLIENT, client), (SERVER, server), 1000);
    pair.lan.until(Duration::from_secs(60), "the end of the flood", |lan| {
        lan.stack(SERVER).held().connections == before.connections + 1
    });
    assert_eq!(pair.lan.stack(SERVER).held().handshakes, 0);
}

/// Forty octets of options are all a header has; a SYN without room for ours
/// goes without, and the connection is TCP.
#[test]
fn a_syn_without_room_for_the_option_is_answered_without() {
    let mut pair = Pair::new(915);
    pair.lan.meddler = Some(Box::new(|host, frame| {
        if host == CLIENT && flags(frame) == Some(SYN) {
            // All that Linux could put there: MSS and NOPs up to the end, as if
            // the option had found no place.
            let data_at = usize::from(frame[TCP_AT + 12] >> 4) * 4;
            frame[TCP_AT + 20 + 4..TCP_AT + data_at].fill(1);
            frame.truncate(TCP_AT + data_at);
            frame.resize(TCP_AT + 60, 1);
            frame[TCP_AT + 12] = 15 << 4;
            let mut ip = Ipv4Packet::new_unchecked(&mut frame[14..]);
            ip.set_total_len(80);
            ip.fill_checksum();
            let port = u16::from_be_bytes([frame[TCP_AT], frame[TCP_AT + 1]]);
            from_port(frame, port, |_| ());
        }
    }));
    let (client, server) = pair.connect();
    let fallback = Fallback { local: Some(Diagnosis::PEER_NO_SMC), peer: None };
    for (host, socket) in [(CLIENT, client), (SERVER, server)] {
        assert_eq!(pair.transport(host, socket), Transport::Tcp(fallback));
    }
    pair.transfer((CLIENT, client), (SERVER, server), 10_000);
    pair.lan.meddler = None;
    pair.lan.log = Some(Vec::new());
    pair.connect();
    assert_eq!(pair.said(Kind::TcpOption).len(), 2, "with room both carry it");
}

/// More clients than the backlog come at once and nobody accepts: those beyond
/// wait, none is refused, and each gets through when there is room.
#[test]
fn a_listener_has_room_for_its_backlog_and_no_more() {
    let mut pair = Pair::new(916);
    let old = pair.listener;
    pair.lan.stack(SERVER).unlisten(old);
    let mut options = smolsmc::ListenOptions::USUAL;
    options.backlog = 3;
    let local = SocketAddr::new(address_of(SERVER), PORT);
    pair.listener = pair.lan.stack(SERVER).listen(local, options).unwrap();
    let clients: Vec<_> = (0..7).map(|_| pair.begin(SocketOptions::default())).collect();
    let end = pair.lan.now() + Duration::from_secs(3);
    while pair.lan.now() < end {
        pair.lan.step_within(Duration::from_millis(10));
        assert!(pair.lan.stack(SERVER).held().backlog <= 3);
    }
    assert_eq!(pair.lan.stack(SERVER).held().backlog, 3);
    assert!(pair.lan.stack(SERVER).stats().syns_dropped >= 4);
    let mut accepted = 0;
    let listener = pair.listener;
    pair.lan.until(Duration::from_secs(60), "all of them", |lan| {
        accepted += usize::from(lan.stack(SERVER).accept(listener).is_some());
        accepted == clients.len()
    });
    for client in clients {
        assert_eq!(pair.error(CLIENT, client), None);
    }
}

/// Closes the client first; the server's side of it is lost or not.
fn closed(seed: u64, plain_tcp: bool, change: impl Fn(usize, &mut Config)) -> Pair {
    let mut pair = Pair::of(seed, change);
    let mut options = SocketOptions::default();
    options.plain_tcp = plain_tcp;
    let (client, server) = pair.connect_with(options);
    pair.transfer((CLIENT, client), (SERVER, server), 1000);
    pair.transfer((SERVER, server), (CLIENT, client), 1000);
    pair.close(CLIENT, client);
    assert_eq!(pair.read_to_end((SERVER, server)), 0);
    pair.close(SERVER, server);
    pair.lan.until(Duration::from_secs(30), "the client's end", |lan| !lan.stack(CLIENT).has_connections());
    pair
}

/// The last ACK was lost, and the connection it belonged to was gone: the peer's
/// FIN was answered with RST.
#[test]
fn a_fin_that_comes_again_finds_its_connection_in_time_wait() {
    for plain_tcp in [true, false] {
        let lost = Arc::new(Mutex::new(0));
        let count = Arc::clone(&lost);
        let mut pair = Pair::of(917, |_, _| {});
        let mut options = SocketOptions::default();
        options.plain_tcp = plain_tcp;
        let (client, server) = pair.connect_with(options);
        pair.transfer((CLIENT, client), (SERVER, server), 1000);
        pair.transfer((SERVER, server), (CLIENT, client), 1000);
        pair.close(CLIENT, client);
        pair.lan.run_for(Duration::from_millis(5));
        // The first ACK of the server's FIN becomes a frame for nobody.
        let mut fins = 0;
        pair.lan.meddler = Some(Box::new(move |host, frame| match flags(frame) {
            Some(flags) if host == SERVER && flags & FIN != 0 => fins += 1,
            Some(ACK) if host == CLIENT && fins == 1 => {
                frame[..6].fill(0x66);
                *count.lock().unwrap() += 1;
            }
            _ => {}
        }));
        assert_eq!(pair.read_to_end((SERVER, server)), 0);
        pair.close(SERVER, server);
        pair.lan
            .until(Duration::from_secs(30), "the client's end", |lan| !lan.stack(CLIENT).has_connections());
        assert_eq!(pair.lan.stack(CLIENT).held().time_waits, 1);
        assert!(*lost.lock().unwrap() > 0, "an ACK was lost");
        pair.until_closed();
        let log = pair.lan.log.as_ref().unwrap();
        let resets = log.iter().filter(|(_, frame)| flags(frame).is_some_and(|flags| flags & RST != 0));
        assert_eq!(resets.count(), 0, "plain TCP {plain_tcp}");
    }
}

#[test]
fn time_wait_ends_with_time_and_is_the_first_closers() {
    for plain_tcp in [true, false] {
        let mut pair = closed(918, plain_tcp, |_, _| {});
        pair.until_closed();
        assert_eq!(pair.lan.stack(CLIENT).held().time_waits, 1);
        assert_eq!(pair.lan.stack(SERVER).held().time_waits, 0);
        assert_eq!(pair.lan.stack(CLIENT).stats().time_waits, 1);
        let end: Instant = pair.lan.now() + Duration::from_secs(61);
        while pair.lan.now() < end {
            pair.lan.step_within(Duration::from_secs(1));
        }
        assert_eq!(pair.lan.stack(CLIENT).held().time_waits, 0);
    }
}

#[test]
fn time_wait_is_bounded() {
    let mut pair = closed(919, true, |_, config| config.limits.time_waits = 2);
    let mut options = SocketOptions::default();
    options.plain_tcp = true;
    for _ in 0..4 {
        let (client, server) = pair.connect_with(options);
        pair.close(CLIENT, client);
        assert_eq!(pair.read_to_end((SERVER, server)), 0);
        pair.close(SERVER, server);
        pair.until_closed();
    }
    let stats = pair.lan.stack(CLIENT).stats();
    assert_eq!((stats.time_waits, stats.time_waits_dropped), (2, 3));
}

/// The same four numbers again, from the side that did not close first: a new
/// SYN ends TIME-WAIT.
#[test]
fn a_new_syn_ends_time_wait() {
    let mut pair = Pair::new(920);
    let (client, server) = pair.connect_with(with_port(7001));
    pair.close(SERVER, server);
    assert_eq!(pair.read_to_end((CLIENT, client)), 0);
    pair.close(CLIENT, client);
    pair.until_closed();
    let waits = [CLIENT, SERVER].map(|host| pair.lan.stack(host).held().time_waits);
    assert_eq!(waits, [0, 1]);
    // Another initial number, as RFC 6528 has it: ahead of the old one or not.
    for _ in 0..8 {
        let (client, server) = pair.connect_with(with_port(7001));
        pair.transfer((CLIENT, client), (SERVER, server), 100);
        pair.close(SERVER, server);
        assert_eq!(pair.read_to_end((CLIENT, client)), 0);
        pair.close(CLIENT, client);
        pair.until_closed();
    }
}
