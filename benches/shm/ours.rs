//! The whole stack over shared memory, driven by its caller's own thread.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use smolsmc::{Eid, ListenOptions, Mac, RdmaPort, RmbeSize, SocketHandle, SocketOptions, Stack, Transport};
use smolsmc_shm::{Opening, ShmNic, ShmPort};
use smolsmc_verbs::{DeviceId, PortNumber};
use smolsmc_wire::Duration;

use super::end::End;
use super::raw::openings;

const MTU: u16 = 9000;
/// Polls between two looks at the clock: what waits for time waits milliseconds.
const CLOCK: u32 = 32;
/// Messages of a stream handed over between two polls.
const BURST: u32 = 32;

pub(crate) struct Ours {
    stack: Stack<ShmNic>,
    ethernet: ShmPort,
    socket: Option<SocketHandle>,
    start: Instant,
    now: smolsmc::Instant,
    polls: u32,
}

fn side(number: u8, opening: Opening) -> Ours {
    let (nic, mut ports) = opening.complete(Duration::from_secs(5)).expect("a wire");
    let mut config = smolsmc::Config::new([number; 32]);
    config.eids.extend(Eid::from_ascii("BENCH"));
    let mut port = smolsmc::PortConfig::new(Mac([2, 0, 0, 0, 0, number]), MTU);
    port.addresses.push(([10, 9, 0, number].into(), 24));
    port.rdma = Some(RdmaPort { device: DeviceId(0), port: PortNumber(1) });
    config.ports.push(port);
    config.rmb_size = RmbeSize::KIB_512;
    config.send_size = RmbeSize::KIB_512;
    config.limits.receives = 256;
    // One end rests while others are measured.
    config.timers.link.test_link = Duration::ZERO;
    let now = smolsmc::Instant::ZERO;
    let stack = Stack::new(config, nic, now).expect("a sound configuration");
    Ours { stack, ethernet: ports.remove(0), socket: None, start: Instant::now(), now, polls: 0 }
}

impl Ours {
    pub(crate) fn pair() -> [Self; 2] {
        let mut number = 0;
        let [mut a, mut b] = openings().map(|opening| {
            number += 1;
            side(number, opening)
        });
        let server = SocketAddr::from(([10, 9, 0, 2], 5000));
        let listener = b.stack.listen(server, ListenOptions::USUAL).expect("a free port");
        let client = a.stack.connect(server, SocketOptions::default()).expect("a connection");
        for _ in 0..10_000_000 {
            a.poll();
            b.poll();
            b.socket = b.socket.or_else(|| b.stack.accept(listener));
            let transport = a.stack.socket(client).ok().and_then(|socket| socket.transport());
            if let (Some(_), Some(transport)) = (b.socket, transport) {
                assert!(matches!(transport, Transport::SmcR { .. }), "{transport}");
                a.socket = Some(client);
                return [a, b];
            }
        }
        panic!("no connection");
    }

    #[inline]
    fn poll(&mut self) {
        if self.polls.is_multiple_of(CLOCK) {
            self.now = smolsmc::Instant::from_micros(self.start.elapsed().as_micros() as u64);
        }
        self.polls = self.polls.wrapping_add(1);
        self.stack.poll(self.now, core::slice::from_mut(&mut self.ethernet));
    }

    #[inline]
    fn socket(&mut self) -> smolsmc::Socket<'_, ShmNic> {
        let socket = self.socket.expect("connected");
        self.stack.socket(socket).expect("open")
    }

    /// Hands over; polls only when there is no room.
    #[inline]
    fn put(&mut self, octets: &[u8]) {
        let mut sent = 0;
        while sent < octets.len() {
            match self.socket().send(&octets[sent..]) {
                Ok(len) => sent += len,
                Err(smolsmc::SendError::WouldBlock) => self.poll(),
                Err(error) => panic!("{error}"),
            }
        }
    }

    #[inline]
    fn take(&mut self, octets: &mut [u8]) -> usize {
        match self.socket().recv(octets) {
            Ok(0) => panic!("the other end is gone"),
            Ok(len) => len,
            Err(smolsmc::RecvError::WouldBlock) => 0,
            Err(error) => panic!("{error}"),
        }
    }
}

impl End for Ours {
    #[inline]
    fn send(&mut self, octets: &[u8]) {
        self.put(octets);
        self.poll();
    }

    #[inline]
    fn receive(&mut self, octets: &mut [u8]) {
        let mut got = 0;
        while got < octets.len() {
            self.poll();
            got += self.take(&mut octets[got..]);
        }
    }

    fn send_many(&mut self, octets: &[u8], times: u32) {
        let burst = if octets.len() > 1024 { 1 } else { BURST };
        for n in 1..=times {
            self.put(octets);
            if n.is_multiple_of(burst) {
                self.poll();
            }
        }
    }

    /// What is there is taken before it is asked for more.
    fn receive_many(&mut self, octets: &mut [u8], times: u32) {
        for _ in 0..times {
            let mut got = 0;
            loop {
                got += self.take(&mut octets[got..]);
                if got == octets.len() {
                    break;
                }
                self.poll();
            }
        }
    }

    fn finish(&mut self, done: &AtomicBool) {
        while !done.load(Ordering::Acquire) {
            self.poll();
        }
    }
}
