//! Two whole stacks over a wire of shared memory, Ethernet and RDMA alike.

use std::net::SocketAddr;
use std::os::unix::net::UnixStream;

use smolsmc::{
    Config, Duration, Eid, Instant, ListenOptions, Mac, PortConfig, RdmaPort, RecvError, SocketHandle,
    SocketOptions, Stack, Transport,
};
use smolsmc_shm::{Opening, ShmNic, ShmPort};
use smolsmc_verbs::{DeviceId, GidEntry, GidKind, PortNumber};
use smolsmc_wire::Gid;

const PORT: u16 = 5000;

struct Host {
    stack: Stack<ShmNic>,
    ethernet: ShmPort,
}

/// One turn of each; time goes on only when nothing happens.
fn turn(hosts: &mut [Host], now: &mut Instant) {
    let mut progressed = false;
    for host in hosts {
        progressed |= host.stack.poll(*now, core::slice::from_mut(&mut host.ethernet)).progressed;
    }
    if !progressed {
        *now = *now + Duration::from_millis(1);
    }
}

fn opening(number: u8, socket: UnixStream) -> Opening {
    let mut config = smolsmc_shm::Config::new([number; 32]);
    config.limits.incoming_octets = 64 << 20;
    let gid = Gid::from_ipv4([10, 9, 0, number]);
    let entry = GidEntry { gid, kind: GidKind::RoCEv2, vlan: None };
    let mut opening = Opening::new(config).unwrap();
    opening.greet(socket, smolsmc_shm::PortConfig::new(mac(number), entry)).unwrap();
    opening
}

const fn mac(number: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, number])
}

fn host(number: u8, opening: Opening) -> Host {
    let (nic, mut ports) = opening.complete(Duration::from_secs(5)).unwrap();
    let mut config = Config::new([number; 32]);
    config.eids.extend(Eid::from_ascii("SHM"));
    let mut port = PortConfig::new(mac(number), 9000);
    port.addresses.push(([10, 9, 0, number].into(), 24));
    port.rdma = Some(RdmaPort { device: DeviceId(0), port: PortNumber(1) });
    config.ports.push(port);
    Host { stack: Stack::new(config, nic, Instant::ZERO).unwrap(), ethernet: ports.remove(0) }
}

fn hosts() -> [Host; 2] {
    let (a, b) = UnixStream::pair().unwrap();
    let [one, two] = [(1, opening(1, a)), (2, opening(2, b))];
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

#[test]
fn octets_both_ways_and_a_close() {
    let (mut hosts, mut now) = (hosts(), Instant::ZERO);
    let sockets = connection(&mut hosts, &mut now);
    let octets: Vec<u8> = (0..1_000_000_u32).map(|n| (n.wrapping_mul(0x9e37_79b9) >> 13) as u8).collect();
    let (mut sent, mut got) = ([0; 2], [Vec::new(), Vec::new()]);
    for _ in 0..100_000 {
        for (index, host) in hosts.iter_mut().enumerate() {
            let mut socket = host.stack.socket(sockets[index]).unwrap();
            if let Ok(len) = socket.send(&octets[sent[index]..]) {
                sent[index] += len;
            }
            let mut buffer = [0; 10_000];
            if let Ok(len) = socket.recv(&mut buffer) {
                got[index].extend_from_slice(&buffer[..len]);
            }
        }
        turn(&mut hosts, &mut now);
        if got.iter().all(|got| got.len() == octets.len()) {
            break;
        }
    }
    assert!(got.iter().all(|got| *got == octets), "{} and {} octets", got[0].len(), got[1].len());
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

/// The peer's process is gone: its connections end with an error, in time.
#[test]
fn a_peer_that_is_gone_ends_its_connections() {
    let (mut hosts, mut now) = (hosts(), Instant::ZERO);
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
