//! A host of many connections over one wire, for either end.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "here time enters")]

use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use smolsmc::{Duration, Eid, Mac, RdmaPort, RmbeSize, Stack};
use smolsmc_drive::{Driver, Host, Mode};
use smolsmc_shm::{ShmNic, ShmPort};
use smolsmc_verbs::{DeviceId, PortNumber};

use crate::fault::{Alive, Fault};
use crate::raw::{GREETING, opening};

const MTU: u16 = 9000;
/// Polls between two looks at the clock.
const CLOCK: u32 = 32;
/// Polls between two questions whether the other end lives.
const LOOKS: u32 = 1024;
/// Connections at most.
pub(crate) const MOST: usize = 20_000;
/// Registrations and pieces of memory: two a connection at either end, and some.
const PIECES: u32 = 1 << 16;
/// Octets that the other end may write: a small ring for each connection.
const MEMORY: u64 = 1 << 30;

/// Octets that an application hands over, or takes, between two polls beside others.
pub(crate) const PIECE: usize = 16 * 1024;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// What comes goes back.
    Echo,
    /// What comes is thrown away.
    Sink,
    /// As [`Kind::Echo`], over smoltcp's TCP.
    Tcp,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Echo, Self::Sink, Self::Tcp];

    /// Where the far end listens for it.
    pub(crate) fn server(self) -> SocketAddr {
        SocketAddr::from(([10, 9, 0, 2], 5000 + self as u16))
    }

    pub(crate) fn options(self) -> smolsmc::SocketOptions {
        let mut options = smolsmc::SocketOptions::default();
        options.plain_tcp = self == Self::Tcp;
        options.strict = self != Self::Tcp;
        if self == Self::Sink {
            (options.rmb_size, options.send_size) = (Some(RmbeSize::KIB_512), Some(RmbeSize::KIB_512));
        }
        options
    }
}

/// A stack that never sleeps, and who is to be told what.
pub(crate) struct CrowdHost {
    pub(crate) host: Host<ShmNic, ShmPort>,
    pub(crate) driver: Driver,
    pub(crate) alive: Alive,
    start: Instant,
    now: smolsmc::Instant,
    polls: u32,
}

impl CrowdHost {
    /// End 1 or 2 of a wire.
    pub(crate) fn new(number: u8, socket: UnixStream, alive: &Alive) -> Result<Self, Fault> {
        let mut wire = smolsmc_shm::Config::new([number; 32]);
        (wire.limits.max_mr, wire.limits.max_memories) = (PIECES, PIECES);
        let opening = opening(number, socket, wire, MEMORY)?;
        let (nic, devices) = opening.complete(GREETING).map_err(Fault::wire("shared memory"))?;
        let stack = Stack::new(config(number), nic, smolsmc::Instant::ZERO);
        let stack = stack.map_err(Fault::wire("the stack's configuration"))?;
        let driver = Driver::new(Mode::Busy).map_err(Fault::system("descriptors"))?;
        let (start, now) = (Instant::now(), smolsmc::Instant::ZERO);
        Ok(Self { host: Host { stack, devices }, driver, alive: alive.clone(), start, now, polls: 0 })
    }

    #[inline]
    pub(crate) fn poll(&mut self) -> Result<(), Fault> {
        if self.polls.is_multiple_of(CLOCK) {
            self.now = smolsmc::Instant::from_micros(self.start.elapsed().as_micros() as u64);
        }
        self.polls = self.polls.wrapping_add(1);
        self.host.stack.poll(self.now, &mut self.host.devices);
        if self.polls.is_multiple_of(LOOKS) { self.alive.check() } else { Ok(()) }
    }
}

fn config(number: u8) -> smolsmc::Config {
    let mut config = smolsmc::Config::new([number; 32]);
    config.eids.extend(Eid::from_ascii("BENCH"));
    let mut port = smolsmc::PortConfig::new(Mac([2, 0, 0, 0, 0, number]), MTU);
    port.addresses.push(([10, 9, 0, number].into(), 24));
    port.rdma = Some(RdmaPort { device: DeviceId(0), port: PortNumber(1) });
    config.ports.push(port);
    (config.rmb_size, config.send_size) = (RmbeSize::KIB_16, RmbeSize::KIB_16);
    let limits = &mut config.limits;
    (limits.connections, limits.handshakes, limits.handshakes_per_source) = (MOST, MOST, MOST);
    (limits.groups, limits.receives, limits.events) = (100, 256, 4096);
    // Each end knows what the other posts.
    (limits.peer_receives, limits.messages) = (256, 128);
    // Ends rest while others are measured.
    config.timers.link.test_link = Duration::ZERO;
    // Contacts use each port again many times a second; nothing is late here.
    config.timers.time_wait = Duration::from_millis(1);
    config
}
