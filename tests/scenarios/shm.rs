//! Two whole stacks over a wire of shared memory, Ethernet and RDMA alike.

use std::net::SocketAddr;
use std::os::unix::net::UnixStream;

use smolsmc::{
    Config, Duration, Eid, Instant, ListenOptions, Mac, PortConfig, RdmaPort, RecvError, SocketHandle,
    SocketOptions, Stack, Transport,
};
use smolsmc_shm::{Opening, ShmNic, ShmPort};
use smolsmc_tests::sim::Random;
use smolsmc_verbs::{DeviceId, GidEntry, GidKind, PortNumber, PortState};
use smolsmc_wire::Gid;

const PORT: u16 = 5000;

struct Host {
    stack: Stack<ShmNic>,
    /// One for each wire.
    ethernet: Vec<ShmPort>,
}

/// One turn of each; time goes on only when nothing happens.
fn turn(hosts: &mut [Host], now: &mut Instant) {
    let mut progressed = false;
    for host in hosts {
        progressed |= host.stack.poll(*now, &mut host.ethernet).progressed;
    }
    if !progressed {
        *now = *now + Duration::from_millis(1);
    }
}

fn opening(number: u8, sockets: Vec<UnixStream>) -> Opening {
    let mut config = smolsmc_shm::Config::new([number; 32]);
    config.limits.incoming_octets = 64 << 20;
    let mut opening = Opening::new(config).unwrap();
    for (wire, socket) in (0..).zip(sockets) {
        let gid = Gid::from_ipv4([10, 9, wire, number]);
        let entry = GidEntry { gid, kind: GidKind::RoCEv2, vlan: None };
        opening.greet(socket, smolsmc_shm::PortConfig::new(mac(wire, number), entry)).unwrap();
    }
    opening
}

const fn mac(wire: u8, number: u8) -> Mac {
    Mac([2, 0, 0, 0, wire, number])
}

const fn rdma(wire: u8) -> RdmaPort {
    RdmaPort { device: DeviceId(wire as u32), port: PortNumber(1) }
}

fn host(number: u8, opening: Opening) -> Host {
    let (nic, ethernet) = opening.complete(Duration::from_secs(5)).unwrap();
    let mut config = Config::new([number; 32]);
    config.eids.extend(Eid::from_ascii("SHM"));
    config.max_links = ethernet.len() as u8;
    for wire in 0..config.max_links {
        let mut port = PortConfig::new(mac(wire, number), 9000);
        port.addresses.push(([10, 9, wire, number].into(), 24));
        port.rdma = Some(rdma(wire));
        config.ports.push(port);
    }
    Host { stack: Stack::new(config, nic, Instant::ZERO).unwrap(), ethernet }
}

fn hosts(wires: usize) -> [Host; 2] {
    let (ones, others) = (0..wires).map(|_| UnixStream::pair().unwrap()).unzip();
    let [one, two] = [(1, opening(1, ones)), (2, opening(2, others))];
    [host(one.0, one.1), host(two.0, two.1)]
}

/// A connection from the first host to the second, and both its ends.
fn connection(hosts: &mut [Host; 2], now: &mut Instant) -> [SocketHandle; 2] {
    let server = SocketAddr::from(([10, 9, 0, 2], PORT));
    let listener = hosts[1].stack.listen(server, ListenOptions::USUAL).unwrap();
    let client = hosts[0].stack.connect(server, SocketOptions::default()).unwrap();
    let mut accepted = None;
    for _ in 0..20_000 {
        turn(hosts, now);
        accepted = accepted.or_else(|| hosts[1].stack.accept(listener));
        let transport = hosts[0].stack.socket(client).unwrap().transport();
        if let (Some(server), Some(transport)) = (accepted, transport) {
            assert!(matches!(transport, Transport::SmcR { .. }), "{transport}");
            return [client, server];
        }
    }
    panic!("no connection");
}

/// Octets both ways, and how many have gone how far.
struct Exchange {
    octets: Vec<u8>,
    sockets: [SocketHandle; 2],
    sent: [usize; 2],
    got: [Vec<u8>; 2],
}

impl Exchange {
    fn new(sockets: [SocketHandle; 2]) -> Self {
        let octets = (0..1_000_000_u32).map(|n| (n.wrapping_mul(0x9e37_79b9) >> 13) as u8).collect();
        Self { octets, sockets, sent: [0; 2], got: [Vec::new(), Vec::new()] }
    }

    /// Goes on until each end has so many octets.
    fn until(&mut self, hosts: &mut [Host; 2], now: &mut Instant, want: usize) {
        for _ in 0..100_000 {
            for (index, host) in hosts.iter_mut().enumerate() {
                let mut socket = host.stack.socket(self.sockets[index]).unwrap();
                if let Ok(len) = socket.send(&self.octets[self.sent[index]..]) {
                    self.sent[index] += len;
                }
                let mut buffer = [0; 10_000];
                if let Ok(len) = socket.recv(&mut buffer) {
                    self.got[index].extend_from_slice(&buffer[..len]);
                }
            }
            turn(hosts, now);
            if self.got.iter().all(|got| got.len() >= want) {
                break;
            }
        }
        let [one, two] = &self.got;
        assert!(one.len() >= want && two.len() >= want, "{} and {} octets", one.len(), two.len());
        assert!(self.octets.starts_with(one) && self.octets.starts_with(two), "octets differ");
    }
}

fn writes(host: &mut Host) -> u64 {
    host.stack.stats().smcr.messages.writes
}

#[test]
fn octets_both_ways_and_a_close() {
    let (mut hosts, mut now) = (hosts(1), Instant::ZERO);
    let sockets = connection(&mut hosts, &mut now);
    Exchange::new(sockets).until(&mut hosts, &mut now, 1_000_000);
    hosts[0].stack.socket(sockets[0]).unwrap().close();
    let mut end = Err(RecvError::WouldBlock);
    for _ in 0..1000 {
        turn(&mut hosts, &mut now);
        end = hosts[1].stack.socket(sockets[1]).unwrap().recv(&mut [0; 10]);
        if end.is_ok() {
            break;
        }
    }
    assert!(matches!(end, Ok(0)), "{end:?}");
}

/// Over one wire, octets are in the peer's ring before `send` returns, and are told of
/// with the next poll; what there is no space for waits in the send ring.
#[test]
fn long_sends_go_past_the_send_ring() {
    let (mut hosts, mut now) = (hosts(1), Instant::ZERO);
    let sockets = connection(&mut hosts, &mut now);
    let octets: Vec<u8> = (0..u8::MAX).cycle().take(500_000).collect();
    let send = |host: &mut Host, from: usize, to: usize| {
        let before = writes(host);
        let sent = host.stack.socket(sockets[0]).unwrap().send(&octets[from..to]).unwrap();
        (sent, writes(host) - before)
    };
    assert_eq!(send(&mut hosts[0], 0, 5000), (5000, 0), "the peer may still decline");
    hosts[1].stack.socket(sockets[1]).unwrap().send(b"a word").unwrap();
    (0..10).for_each(|_| turn(&mut hosts, &mut now));
    assert_eq!(send(&mut hosts[0], 5000, 10_000), (5000, 1));
    assert_eq!(send(&mut hosts[0], 10_000, 10_100), (100, 0), "few are gathered");
    assert_eq!(send(&mut hosts[0], 10_100, 20_000), (9900, 0), "and none overtakes them");
    turn(&mut hosts, &mut now);
    hosts[0].stack.socket(sockets[0]).unwrap().set_cork(true);
    assert_eq!(send(&mut hosts[0], 20_000, 25_000), (5000, 0), "a cork holds back");
    hosts[0].stack.socket(sockets[0]).unwrap().set_cork(false);
    let (mut sent, mut got, mut split) = (25_000, Vec::new(), 0);
    for _ in 0..10_000 {
        turn(&mut hosts, &mut now);
        let to = (sent + 7001).min(octets.len());
        if let Ok(_) = hosts[0].stack.socket(sockets[0]).unwrap().reserve(1)
            && to > sent
        {
            let (len, writes) = send(&mut hosts[0], sent, to);
            sent += len;
            split += u64::from(writes == 2);
        }
        let mut buffer = [0; 8000];
        if let Ok(len) = hosts[1].stack.socket(sockets[1]).unwrap().recv(&mut buffer) {
            got.extend_from_slice(&buffer[..len]);
        }
        if got.len() == octets.len() {
            break;
        }
    }
    assert!(got == octets, "{} of {} octets", got.len(), octets.len());
    assert!(split > 0, "some went past the end of the peer's ring");
}

/// Sends of all kinds and lengths, with and without a poll between them, against the
/// octets themselves.
#[test]
fn a_stream_of_all_kinds_of_sends_is_one_stream() {
    let octets: Vec<u8> = (0..700_001_u32).map(|n| (n.wrapping_mul(0x85eb_ca6b) >> 15) as u8).collect();
    for seed in 1..=12 {
        let (mut hosts, mut now) = (hosts(1), Instant::ZERO);
        let sockets = connection(&mut hosts, &mut now);
        let (mut random, mut sent, mut got) = (Random::new(seed), [0; 2], [Vec::new(), Vec::new()]);
        let before = writes(&mut hosts[0]);
        for _ in 0..400_000 {
            let side = random.below(2) as usize;
            let mut socket = hosts[side].stack.socket(sockets[side]).unwrap();
            let most = [1, 64, 1023, 1024, 5000, 70_000][random.below(6) as usize];
            let rest = &octets[sent[side]..];
            let rest = &rest[..rest.len().min(most)];
            match random.below(8) {
                0 | 1 => sent[side] += socket.send(rest).unwrap_or(0),
                2 => {
                    let (one, two) = rest.split_at(rest.len() / 3);
                    sent[side] += socket.send_vectored(&[one, two]).unwrap_or(0);
                }
                3 => {
                    if let Ok(room) = socket.reserve(most) {
                        let len = room.len().min(rest.len());
                        room[..len].copy_from_slice(&rest[..len]);
                        sent[side] += socket.commit(len).unwrap();
                    }
                }
                4 => socket.set_cork(random.below(3) == 0),
                5 => {
                    let mut buffer = vec![0; most];
                    let len = socket.recv(&mut buffer).unwrap_or(0);
                    got[side].extend_from_slice(&buffer[..len]);
                }
                _ => turn(&mut hosts[side..=side], &mut now),
            }
            if got.iter().all(|got| got.len() == octets.len()) {
                break;
            }
            // A cork that nobody pulls would hold the end back.
            if sent[side] == octets.len() {
                hosts[side].stack.socket(sockets[side]).unwrap().set_cork(false);
            }
        }
        let [one, two] = &got;
        assert!(*one == octets && *two == octets, "seed {seed}: {} and {} octets", one.len(), two.len());
        assert!(writes(&mut hosts[0]) > before);
    }
}

/// One of two wires goes down in mid-transfer, and comes back: nothing is lost, as all that
/// may have to be written again is in the send ring.
#[test]
fn a_wire_that_dies_takes_no_octet_along() {
    let (mut hosts, mut now) = (hosts(2), Instant::ZERO);
    let sockets = connection(&mut hosts, &mut now);
    (0..2000).for_each(|_| turn(&mut hosts, &mut now));
    assert_eq!(hosts[0].stack.groups()[0].links.len(), 2);
    let link = |hosts: &mut [Host; 2]| match hosts[0].stack.socket(sockets[0]).unwrap().transport() {
        Some(Transport::SmcR { link, .. }) => link.0 - 1,
        other => panic!("{other:?}"),
    };
    let mut exchange = Exchange::new(sockets);
    for (side, len) in [(1, 6), (0, 5000)] {
        let before = writes(&mut hosts[side]);
        let octets = &exchange.octets[..len];
        exchange.sent[side] = hosts[side].stack.socket(sockets[side]).unwrap().send(octets).unwrap();
        assert_eq!(writes(&mut hosts[side]), before, "none goes past the send ring");
        (0..10).for_each(|_| turn(&mut hosts, &mut now));
    }
    exchange.until(&mut hosts, &mut now, 300_000);
    for (host, want) in [(0, 600_000), (1, 1_000_000)] {
        let before = link(&mut hosts);
        let state = |hosts: &mut [Host; 2], state| {
            hosts[host].stack.provider_mut().set_port_state(rdma(before & 1), state).unwrap();
        };
        state(&mut hosts, PortState::Down);
        exchange.until(&mut hosts, &mut now, want);
        assert_ne!(link(&mut hosts), before);
        state(&mut hosts, PortState::Active);
        // Until the group has a second link again.
        (0..20_000).for_each(|_| turn(&mut hosts, &mut now));
    }
}

/// The peer's process is gone: its connections end with an error, in time.
#[test]
fn a_peer_that_is_gone_ends_its_connections() {
    let (mut hosts, mut now) = (hosts(1), Instant::ZERO);
    let sockets = connection(&mut hosts, &mut now);
    let [mut own, peer] = hosts;
    own.stack.socket(sockets[0]).unwrap().send(b"hello").unwrap();
    turn(core::slice::from_mut(&mut own), &mut now);
    drop(peer);
    for _ in 0..200_000 {
        turn(core::slice::from_mut(&mut own), &mut now);
        match own.stack.socket(sockets[0]).unwrap().recv(&mut [0; 10]) {
            Err(RecvError::WouldBlock) => {}
            Err(_) => return,
            Ok(len) => panic!("{len} octets of nobody"),
        }
    }
    panic!("the connection outlives its peer");
}
