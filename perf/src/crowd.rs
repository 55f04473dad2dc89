//! The near end of many connections over one wire.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "here time enters")]

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

use smolsmc::{Event, RecvError, SendError, SocketHandle};
use smolsmc_drive::{Host, Token};
use smolsmc_shm::{ShmNic, ShmPort};

use crate::cores::pin;
use crate::crowd_host::{CrowdHost, Kind, PIECE};
use crate::fault::{Alive, Fault};
use crate::near::{Cores, Cost};
use crate::order::Order;
use crate::peer::Peer;

const WHAT: &str = "a connection of many";
/// Octets of a message.
pub(crate) const SIZE: usize = 64;
/// Connections that are being made at once while a crowd gathers.
const AT_ONCE: usize = 100;
/// How long any one thing may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Many connections, and a process at their other ends.
pub(crate) struct Crowd {
    crowd: CrowdHost,
    peer: Peer,
    echoes: Vec<SocketHandle>,
    sinks: Vec<SocketHandle>,
    buffer: Vec<u8>,
    ports: Ports,
}

/// Contacts use one port after the other: one that comes round at random may be
/// in the other end's TIME-WAIT still, and waits a second for a second SYN.
struct Ports(u16);

/// Below the ports that a stack takes by itself.
const FIRST_PORT: u16 = 6000;
const LAST_PORT: u16 = 49_000;

impl Ports {
    const fn next(&mut self) -> u16 {
        self.0 = if self.0 >= LAST_PORT { FIRST_PORT } else { self.0 + 1 };
        self.0
    }
}

/// What contacts came to.
#[derive(Debug)]
pub(crate) struct Contacts {
    /// Those that stood at both ends and were closed in order.
    pub(crate) count: u64,
    /// Nanoseconds from connect to connection.
    pub(crate) nanos: Vec<u64>,
    pub(crate) cost: Cost,
}

impl Crowd {
    /// No connection yet.
    pub(crate) fn with_process(command: Command, cores: Cores) -> Result<Self, Fault> {
        pin(cores.near);
        let mut peer = Peer::process(command)?;
        let crowd = peer.explained(|control, alive| {
            let (socket, far) = UnixStream::pair().map_err(Fault::system("a socket pair"))?;
            control.order(Order::BeginCrowd { core: cores.far as u64 })?;
            control.pass(&[far.as_fd()])?;
            let crowd = CrowdHost::new(1, socket, alive)?;
            // The other end listens now.
            control.next_report()?;
            Ok(crowd)
        })?;
        Ok(Self {
            crowd,
            peer,
            echoes: Vec::new(),
            sinks: Vec::new(),
            buffer: vec![7; PIECE],
            ports: Ports(FIRST_PORT),
        })
    }

    /// Its host, whether the other end lives, and that one.
    pub(crate) fn into_parts(self) -> (Host<ShmNic, ShmPort>, Alive, Peer) {
        let CrowdHost { host, alive, .. } = self.crowd;
        (host, alive, self.peer)
    }

    /// Does something with the other end serving meanwhile.
    fn hosted<T>(&mut self, part: impl FnOnce(&mut Near<'_>) -> Result<T, Fault>) -> Result<(T, f64), Fault> {
        let Self { crowd, peer, echoes, sinks, buffer, ports } = self;
        let (result, report, cpu) = peer.ordered(Order::Host, |control| {
            let result = part(&mut Near { crowd, echoes, sinks, buffer, ports })?;
            control.order(Order::Done)?;
            Ok(result)
        })?;
        Ok((result, (report.cpu + cpu) as f64 / 1e9))
    }

    /// Makes connections until there are so many; each says something once.
    pub(crate) fn gather(&mut self, kind: Kind, count: usize) -> Result<(), Fault> {
        self.hosted(|near| near.gather(kind, count)).map(drop)
    }

    /// Nanoseconds of each of `times` round trips on the first connection.
    pub(crate) fn trips(&mut self, times: u32, nanos: &mut Vec<u64>) -> Result<(), Fault> {
        let trips = |near: &mut Near<'_>| near.trips(times, nanos, |_| Ok(()));
        self.hosted(trips).map(drop)
    }

    /// The same while the sinks are given a piece in turn between two polls;
    /// octets a second of theirs.
    pub(crate) fn trips_beside_streams(&mut self, times: u32, nanos: &mut Vec<u64>) -> Result<f64, Fault> {
        let (rate, _) = self.hosted(|near| {
            let (start, mut octets, mut turn) = (Instant::now(), 0_u64, 0);
            near.trips(times, nanos, |near| {
                turn += 1;
                octets += near.stuff(turn)?;
                Ok(())
            })?;
            Ok(octets as f64 / start.elapsed().as_secs_f64())
        })?;
        Ok(rate)
    }

    /// Nanoseconds of a poll when nothing happens.
    pub(crate) fn idle_poll(&mut self, times: u32) -> Result<f64, Fault> {
        let crowd = &mut self.crowd;
        self.peer.explained(|_, _| {
            let start = Instant::now();
            (0..times).try_for_each(|_| crowd.poll())?;
            Ok(start.elapsed().as_nanos() as f64 / f64::from(times))
        })
    }

    /// Round trips on the first `count` connections all at once, for that long:
    /// how many on each, and the seconds it took.
    pub(crate) fn all_active(&mut self, count: usize, time: Duration) -> Result<(Vec<f64>, f64), Fault> {
        self.hosted(|near| near.all_active(count, time)).map(|(result, _)| result)
    }

    /// Connections that come and go, `concurrent` at any moment, for that long.
    pub(crate) fn contacts(
        &mut self,
        kind: Kind,
        concurrent: usize,
        time: Duration,
    ) -> Result<Contacts, Fault> {
        let (mut contacts, cpu) = self.hosted(|near| near.contacts(kind, concurrent, time))?;
        contacts.cost.cpu = cpu;
        Ok(contacts)
    }
}

/// What there is at this end while the other one serves.
struct Near<'a> {
    crowd: &'a mut CrowdHost,
    echoes: &'a mut Vec<SocketHandle>,
    sinks: &'a mut Vec<SocketHandle>,
    buffer: &'a mut Vec<u8>,
    ports: &'a mut Ports,
}

fn in_time(start: Instant) -> Result<(), Fault> {
    if start.elapsed() < PATIENCE {
        return Ok(());
    }
    Err(Fault::Impossible(format!("many connections came to no end in {} s", PATIENCE.as_secs())))
}

impl Near<'_> {
    fn connect(&mut self, kind: Kind) -> Result<SocketHandle, Fault> {
        self.crowd.host.stack.connect(kind.server(), kind.options()).map_err(Fault::wire(WHAT))
    }

    fn stands(&mut self, socket: SocketHandle) -> Result<bool, Fault> {
        let socket = self.crowd.host.stack.socket(socket).map_err(Fault::wire(WHAT))?;
        Ok(socket.transport().is_some())
    }

    fn gather(&mut self, kind: Kind, count: usize) -> Result<(), Fault> {
        let mut pending: Vec<SocketHandle> = Vec::new();
        let start = Instant::now();
        let mut there = if kind == Kind::Sink { self.sinks.len() } else { self.echoes.len() };
        while there < count {
            // The first one alone: it brings the link group that others join.
            let at_once = if there == 0 { 1 } else { AT_ONCE };
            while pending.len() < at_once.min(count - there) {
                pending.push(self.connect(kind)?);
            }
            self.crowd.poll()?;
            let mut stand = Vec::new();
            for socket in &pending {
                if self.stands(*socket)? {
                    stand.push(*socket);
                }
            }
            pending.retain(|socket| !stand.contains(socket));
            there += stand.len();
            for socket in stand {
                if kind == Kind::Sink {
                    self.sinks.push(socket);
                } else {
                    self.echoes.push(socket);
                    self.trip(socket, &mut |_| Ok(()))?;
                }
            }
            while self.crowd.host.stack.next_event().is_some() {}
            in_time(start)?;
        }
        Ok(())
    }

    fn send(&mut self, socket: SocketHandle) -> Result<(), Fault> {
        let mut socket = self.crowd.host.stack.socket(socket).map_err(Fault::wire(WHAT))?;
        match socket.send(&self.buffer[..SIZE]) {
            Ok(SIZE) => Ok(()),
            Ok(_) => Err(Fault::Wire { what: WHAT, why: "a message did not fit".to_owned() }),
            Err(error) => Err(Fault::wire(WHAT)(error)),
        }
    }

    fn receive(&mut self, socket: SocketHandle) -> Result<usize, Fault> {
        let mut socket = self.crowd.host.stack.socket(socket).map_err(Fault::wire(WHAT))?;
        match socket.recv(&mut self.buffer[..SIZE]) {
            Ok(0) => Err(Fault::Gone),
            Ok(len) => Ok(len),
            Err(RecvError::WouldBlock) => Ok(0),
            Err(error) => Err(Fault::wire(WHAT)(error)),
        }
    }

    /// Round trips on the first connection; `beside` is done before each poll.
    fn trips(
        &mut self,
        times: u32,
        nanos: &mut Vec<u64>,
        mut beside: impl FnMut(&mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let Some(&socket) = self.echoes.first() else { return Ok(()) };
        nanos.clear();
        let warm = (times / 20).clamp(1, 50);
        for n in 0..times + warm {
            let start = Instant::now();
            self.trip(socket, &mut beside)?;
            if n >= warm {
                nanos.push(start.elapsed().as_nanos() as u64);
            }
        }
        Ok(())
    }

    fn trip(
        &mut self,
        socket: SocketHandle,
        beside: &mut dyn FnMut(&mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.send(socket)?;
        let mut got = 0;
        while got < SIZE {
            beside(self)?;
            self.crowd.poll()?;
            got += self.receive(socket)?;
        }
        Ok(())
    }

    /// Gives a sink a piece, if it takes one; how many octets of it.
    fn stuff(&mut self, turn: usize) -> Result<u64, Fault> {
        let Some(socket) = self.sinks.get(turn % self.sinks.len().max(1)) else { return Ok(0) };
        let mut socket = self.crowd.host.stack.socket(*socket).map_err(Fault::wire(WHAT))?;
        match socket.send(self.buffer) {
            Ok(len) => Ok(len as u64),
            Err(SendError::WouldBlock) => Ok(0),
            Err(error) => Err(Fault::wire(WHAT)(error)),
        }
    }

    fn all_active(&mut self, count: usize, time: Duration) -> Result<(Vec<f64>, f64), Fault> {
        let sockets = self.echoes[..count.min(self.echoes.len())].to_vec();
        let wakers: Vec<_> = (0..sockets.len()).map(|n| self.crowd.driver.waker(Token(n as u64))).collect();
        let mut counts = vec![0.0; sockets.len()];
        let mut got = vec![0; sockets.len()];
        let mut waiting = sockets.len();
        for (socket, waker) in sockets.iter().zip(&wakers) {
            self.send(*socket)?;
            let mut socket = self.crowd.host.stack.socket(*socket).map_err(Fault::wire(WHAT))?;
            socket.register_recv_waker(waker);
        }
        let start = Instant::now();
        let mut measured = None;
        // When the time is over, answers that are on the way are awaited.
        while waiting > 0 {
            self.crowd.poll()?;
            while let Some(Token(n)) = self.crowd.driver.next_ready() {
                let n = n as usize;
                let Some(&socket) = sockets.get(n) else { continue };
                got[n] += self.receive(socket)?;
                if got[n] == SIZE {
                    got[n] = 0;
                    if measured.is_some() {
                        waiting -= 1;
                        continue;
                    }
                    counts[n] += 1.0;
                    self.send(socket)?;
                }
                let mut socket = self.crowd.host.stack.socket(socket).map_err(Fault::wire(WHAT))?;
                socket.register_recv_waker(&wakers[n]);
            }
            if measured.is_none() && start.elapsed() >= time {
                measured = Some(start.elapsed());
            }
            in_time(start)?;
        }
        Ok((counts, measured.unwrap_or(time).as_secs_f64()))
    }

    fn contacts(&mut self, kind: Kind, concurrent: usize, time: Duration) -> Result<Contacts, Fault> {
        while self.crowd.host.stack.next_event().is_some() {}
        let mut pending: Vec<(SocketHandle, Instant)> = Vec::with_capacity(concurrent);
        let mut contacts = Contacts { count: 0, nanos: Vec::new(), cost: Cost::default() };
        let start = Instant::now();
        loop {
            // One at least, however short the time.
            let is_over = start.elapsed() >= time && contacts.count > 0;
            while !is_over && pending.len() < concurrent {
                let mut options = kind.options();
                options.local_port = Some(self.ports.next());
                match self.crowd.host.stack.connect(kind.server(), options) {
                    Ok(socket) => pending.push((socket, Instant::now())),
                    // Without a free place, as many closed ones still linger: later.
                    Err(_) => break,
                }
            }
            if is_over && pending.is_empty() {
                contacts.cost.seconds = start.elapsed().as_secs_f64();
                return Ok(contacts);
            }
            self.crowd.poll()?;
            while let Some(event) = self.crowd.host.stack.next_event() {
                match event {
                    Event::Connected { socket, .. } => {
                        let Some(at) = pending.iter().position(|(other, _)| *other == socket) else {
                            continue;
                        };
                        let (_, begun) = pending.swap_remove(at);
                        contacts.nanos.push(begun.elapsed().as_nanos() as u64);
                        contacts.count += 1;
                        self.crowd.host.stack.socket(socket).map_err(Fault::wire(WHAT))?.close();
                    }
                    Event::Failed { error, .. } => return Err(Fault::wire("a contact")(error)),
                    _ => {}
                }
            }
            in_time(start)?;
        }
    }
}
