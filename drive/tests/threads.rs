//! Two stacks over shared memory or Ethernet, each driven by a thread of its own, in every
//! pair of modes: no wake-up is lost.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "here time enters")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test says so by panicking")]

use std::net::SocketAddr;
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::{ClockId, clock_gettime};
use smolsmc_clc::Eid;
use smolsmc_drive::{Driver, Guest, Host, Mode, Next, Token, Turn, Wakes};
use smolsmc_ethernet::{Port, StreamPort};
use smolsmc_roce::nic::{self, SoftNic};
use smolsmc_shm::{Opening, ShmNic, ShmPort};
use smolsmc_stack::{
    Config, ListenOptions, PortConfig, RecvError, SocketHandle, SocketOptions, Stack, Transport,
};
use smolsmc_verbs::{DeviceId, GidEntry, GidKind, PortNumber, Provider, RdmaPort};
use smolsmc_wire::{Duration, Gid, Instant, Mac};
use smoltcp::phy::Device;

const PORT: u16 = 5000;
const ROUNDS: u32 = 400;
/// No round lasts so long, unless a wake-up was lost.
const LOST: std::time::Duration = std::time::Duration::from_secs(4);
const SERVER: [u8; 4] = [10, 9, 0, 2];

struct End<P: Provider, D> {
    host: Host<P, D>,
    driver: Driver,
    /// In somebody else's loop, instead of the driver's own sleep.
    guest: Option<Guest>,
    start: std::time::Instant,
}

impl<P: Provider + Wakes, D: Device + Wakes> End<P, D> {
    fn turn(&mut self) -> Turn {
        let start = self.start;
        let mut clock = || Instant::from_micros(start.elapsed().as_micros() as u64);
        let Some(guest) = &mut self.guest else {
            return self.driver.turn(&mut self.host, &mut clock, Duration::from_secs(10)).unwrap();
        };
        if let Next::Wait(until) = guest.turn(&mut self.host, &mut clock).unwrap() {
            let most = until.map_or(Duration::from_secs(10), |until| until.since(clock()));
            let timeout = std::time::Duration::from_micros(most.micros()).try_into().unwrap();
            poll(&mut [PollFd::new(&*guest, PollFlags::IN)], Some(&timeout)).unwrap();
        }
        Turn::default()
    }

    /// Turns until `done`, which must not take so long that only a timer can
    /// have helped.
    fn until<T>(&mut self, mut done: impl FnMut(&mut Self) -> Option<T>) -> T {
        let begun = std::time::Instant::now();
        loop {
            if let Some(value) = done(self) {
                assert!(begun.elapsed() < LOST, "a wake-up was lost: {:?}", begun.elapsed());
                return value;
            }
            self.turn();
        }
    }

    fn receive(&mut self, handle: SocketHandle) -> u8 {
        self.until(|end| {
            let mut octet = [0];
            match end.host.stack.socket(handle).unwrap().recv(&mut octet) {
                Ok(len) => {
                    assert_eq!(len, 1);
                    Some(octet[0])
                }
                Err(RecvError::WouldBlock) => None,
                Err(error) => panic!("{error}"),
            }
        })
    }

    fn send(&mut self, handle: SocketHandle, octet: u8) {
        assert_eq!(self.host.stack.socket(handle).unwrap().send(&[octet]).unwrap(), 1);
    }
}

fn opening(number: u8, socket: UnixStream) -> Opening {
    let entry = GidEntry { gid: Gid::from_ipv4([10, 9, 0, number]), kind: GidKind::RoCEv2, vlan: None };
    let mut config = smolsmc_shm::Config::new([number; 32]);
    config.limits.incoming_octets = 64 << 20;
    let mut opening = Opening::new(config).unwrap();
    let mac = Mac([2, 0, 0, 0, 0, number]);
    opening.greet(socket, smolsmc_shm::PortConfig::new(mac, entry)).unwrap();
    opening
}

fn end(number: u8, opening: Opening, mode: Mode) -> End<ShmNic, ShmPort> {
    let (nic, devices) = opening.complete(Duration::from_secs(5)).unwrap();
    let mut config = config(number, 9000);
    config.ports[0].rdma = Some(RdmaPort { device: DeviceId(0), port: PortNumber(1) });
    let stack = Stack::new(config, nic, Instant::ZERO).unwrap();
    driven(stack, devices, mode)
}

/// A host on a NIC in software, over a socket.
fn soft_end(number: u8, socket: UnixStream, mode: Mode) -> End<SoftNic, Port> {
    let mtu = 1500;
    let config = config(number, mtu);
    let (mac, gid) = (config.ports[0].mac, Gid::from_ipv4([10, 9, 0, number]));
    let mut rdma = nic::PortConfig::new(mac, mtu);
    rdma.gids.push(GidEntry { gid, kind: GidKind::RoCEv2, vlan: None });
    let mut config = config;
    config.ports[0].rdma = Some(RdmaPort { device: DeviceId(0), port: PortNumber(1) });
    let mut nic_config = nic::Config::new([number; 32]);
    nic_config.devices.push(nic::DeviceConfig::new(vec![rdma]));
    let nic = SoftNic::new(&nic_config).unwrap();
    let stack = Stack::new(config, nic, Instant::ZERO).unwrap();
    let port = Port::Stream(StreamPort::from_stream(socket, mtu).unwrap());
    driven(stack, vec![port], mode)
}

fn driven<P: Provider, D>(stack: Stack<P>, devices: Vec<D>, mode: Mode) -> End<P, D> {
    let driver = Driver::new(mode).unwrap();
    End { host: Host { stack, devices }, driver, guest: None, start: std::time::Instant::now() }
}

fn config(number: u8, mtu: u16) -> Config {
    let mut config = Config::new([number; 32]);
    config.eids.push(Eid::from_ascii("SHM").unwrap());
    let mut port = PortConfig::new(Mac([2, 0, 0, 0, 0, number]), mtu);
    port.addresses.push(([10, 9, 0, number].into(), 24));
    config.ports.push(port);
    config
}

fn ends(modes: [Mode; 2]) -> [End<ShmNic, ShmPort>; 2] {
    let (a, b) = UnixStream::pair().unwrap();
    let openings = [(1, opening(1, a), modes[0]), (2, opening(2, b), modes[1])];
    openings.map(|(number, opening, mode)| end(number, opening, mode))
}

/// Now and then it thinks for a while, so that its peer falls asleep and it does
/// not itself.
fn think(round: u32) {
    if round.is_multiple_of(8) {
        std::thread::sleep(std::time::Duration::from_micros(u64::from(round % 7) * 100));
    }
}

fn serve<P: Provider + Wakes, D: Device + Wakes>(end: End<P, D>) {
    serve_moderated(end, Duration::ZERO, 0);
}

fn serve_moderated<P: Provider + Wakes, D: Device + Wakes>(mut end: End<P, D>, period: Duration, count: u16) {
    let listener = end.host.stack.listen(SocketAddr::from((SERVER, PORT)), ListenOptions::USUAL).unwrap();
    let handle = end.until(|end| end.host.stack.accept(listener));
    end.driver.moderate(period, count);
    for round in 0..ROUNDS {
        let octet = end.receive(handle);
        think(round / 2);
        end.send(handle, octet);
    }
    // The peer hears nothing more: this one says that all was heard.
    end.receive(handle);
}

/// The end is given back: a wire that goes takes what was not yet received with it.
fn ask<P: Provider + Wakes, D: Device + Wakes>(mut end: End<P, D>) -> End<P, D> {
    let server = SocketAddr::from((SERVER, PORT));
    let handle = end.host.stack.connect(server, SocketOptions::default()).unwrap();
    let transport = end.until(|end| end.host.stack.socket(handle).unwrap().transport());
    assert!(matches!(transport, Transport::SmcR { .. }), "{transport}");
    for round in 0..ROUNDS {
        think(round);
        end.send(handle, round as u8);
        assert_eq!(end.receive(handle), round as u8);
    }
    end.send(handle, 0);
    end.turn();
    let stats = end.guest.as_mut().map_or(&end.driver, |guest| guest.driver()).stats();
    assert_eq!(stats.clock_reads, stats.turns);
    match end.driver.mode() {
        Mode::Busy => assert_eq!(stats.sleeps, 0),
        _ => assert!(stats.sleeps > 0, "it never slept, and proved nothing"),
    }
    end
}

fn no_wake_up_is_lost(asking: Mode) {
    let spin = Duration::from_micros(30);
    for serving in [Mode::Busy, Mode::Interrupt, Mode::Adaptive { spin }] {
        let [client, server] = ends([asking, serving]);
        let client = std::thread::scope(|scope| {
            scope.spawn(|| serve(server));
            ask(client)
        });
        drop(client);
    }
}

#[test]
fn busy_asks_each_mode() {
    no_wake_up_is_lost(Mode::Busy);
}

#[test]
fn interrupt_asks_each_mode() {
    no_wake_up_is_lost(Mode::Interrupt);
}

#[test]
fn adaptive_asks_each_mode() {
    no_wake_up_is_lost(Mode::Adaptive { spin: Duration::from_micros(30) });
}

/// Moderated, a message wakes long before the period is over if it is all that was to be
/// waited for.
#[test]
fn a_message_that_is_enough_wakes_who_is_moderated() {
    let [client, server] = ends([Mode::Interrupt; 2]);
    let client = std::thread::scope(|scope| {
        scope.spawn(|| serve_moderated(server, Duration::from_secs(10), 1));
        ask(client)
    });
    drop(client);
}

/// In a loop that waits for one descriptor.
#[test]
fn guests_ask_each_other() {
    let spin = Duration::from_micros(30);
    for [asking, serving] in [[Mode::Interrupt; 2], [Mode::Adaptive { spin }, Mode::Interrupt]] {
        let [mut client, mut server] = ends([asking, serving]);
        client.guest = Some(Guest::new(asking).unwrap());
        server.guest = Some(Guest::new(serving).unwrap());
        let client = std::thread::scope(|scope| {
            scope.spawn(|| serve(server));
            ask(client)
        });
        drop(client);
    }
}

/// A NIC in software, whose frames come over a socket.
#[test]
fn each_mode_over_ethernet() {
    let adaptive = Mode::Adaptive { spin: Duration::from_micros(30) };
    for modes in [[Mode::Interrupt; 2], [adaptive; 2], [Mode::Busy, Mode::Interrupt]] {
        let (a, b) = UnixStream::pair().unwrap();
        let (client, server) = (soft_end(1, a, modes[0]), soft_end(2, b, modes[1]));
        let client = std::thread::scope(|scope| {
            scope.spawn(|| serve(server));
            ask(client)
        });
        drop(client);
    }
}

/// A connection that says nothing, both ends asleep: next to no processor time.
#[test]
fn an_idle_host_sleeps() {
    let [mut end, _peer] = ends([Mode::Interrupt; 2]);
    let used = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec * 1_000_000 + time.tv_nsec / 1000
    };
    let (before, begun) = (used(), std::time::Instant::now());
    while begun.elapsed() < std::time::Duration::from_secs(1) {
        let start = end.start;
        let mut clock = || Instant::from_micros(start.elapsed().as_micros() as u64);
        end.driver.turn(&mut end.host, &mut clock, Duration::from_millis(250)).unwrap();
    }
    let spent = used() - before;
    assert!(spent < 100_000, "{spent} us of processor time in an idle second");
}

/// The peer's process is gone: the sleep ends, and after that it sleeps again
/// instead of being woken by what is dead.
#[test]
fn a_peer_that_goes_wakes_once() {
    let [mut end, peer] = ends([Mode::Interrupt; 2]);
    let fd = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap();
    end.driver.add(std::os::fd::AsFd::as_fd(&fd), Token(1), true, false).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(50));
            drop(peer);
        });
        end.until(|end| end.host.devices[0].fault());
    });
    let mut timed_out = 0;
    for _ in 0..200 {
        let start = end.start;
        let mut clock = || Instant::from_micros(start.elapsed().as_micros() as u64);
        let turn = end.driver.turn(&mut end.host, &mut clock, Duration::from_millis(2)).unwrap();
        timed_out += u32::from(turn.timed_out);
    }
    assert!(timed_out > 100, "{timed_out} of 200 turns slept to their end");
}
