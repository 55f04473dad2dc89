//! The whole stack over shared memory, driven by its caller's own thread.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "here time enters")]

use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use smolsmc::{
    Duration, Eid, ListenOptions, ListenerHandle, Mac, RdmaPort, RmbeSize, SocketHandle, SocketOptions, Stack,
};
use smolsmc_drive::{Drive, Driver, Host, Mode};
use smolsmc_shm::{Opening, ShmNic, ShmPort};
use smolsmc_verbs::{DeviceId, PortNumber};

use crate::end::End;
use crate::fault::{Alive, Fault};
use crate::raw::{GREETING, opening};

const MTU: u16 = 9000;
/// Polls between two looks at the clock while busy: what waits for time waits
/// milliseconds.
const CLOCK: u32 = 32;
/// Polls between two questions whether the other end lives.
const LOOKS: u32 = 1024;
/// Messages of a stream handed over between two polls.
const BURST: u32 = 32;
/// The longest sleep.
const SLEEP: Duration = Duration::from_secs(1);
/// The longest sleep of an end that has sent everything and waits to be told
/// that it has arrived.
const SHORT_SLEEP: Duration = Duration::from_millis(1);
/// The server's ports: one for SMC-R, one for TCP.
const PORTS: [u16; 2] = [5000, 5001];
/// 1 MiB, as the bare ring has.
const RING: RmbeSize = RmbeSize::from_code(6);
/// Octets that the other end may write.
const MEMORY: u64 = 1 << 24;

/// What carries a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// SMC-R.
    Smc,
    /// smoltcp's TCP, over the same wire's Ethernet.
    Tcp,
}

/// One end: a stack with a connection of either kind.
pub struct Ours {
    host: Host<ShmNic, ShmPort>,
    driver: Driver,
    alive: Alive,
    listeners: Vec<ListenerHandle>,
    sockets: [Option<SocketHandle>; 2],
    /// Which of them.
    carrier: Carrier,
    start: Instant,
    now: smolsmc::Instant,
    polls: u32,
    /// Octets of the first lap, there and back, that are done.
    lap: [usize; 2],
}

/// A wire's end that waits to hear of the other one.
pub struct OursOpening(u8, Opening);

impl OursOpening {
    /// Greets: end 1, which connects, or 2.
    ///
    /// # Errors
    /// [`Fault::Wire`].
    pub fn greet(number: u8, socket: UnixStream) -> Result<Self, Fault> {
        Ok(Self(number, opening(number, socket, smolsmc_shm::Config::new([number; 32]), MEMORY)?))
    }

    /// The end, which [joins](Ours::join) the other one from here on.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn complete(self, alive: &Alive) -> Result<Ours, Fault> {
        let number = self.0;
        let host = self.host()?;
        let driver = Driver::new(Mode::Busy).map_err(Fault::system("descriptors"))?;
        let mut ours = Ours {
            host,
            driver,
            alive: alive.clone(),
            listeners: Vec::new(),
            sockets: [None; 2],
            carrier: Carrier::Smc,
            start: Instant::now(),
            now: smolsmc::Instant::ZERO,
            polls: 0,
            lap: [0; 2],
        };
        for (n, carrier) in [Carrier::Smc, Carrier::Tcp].into_iter().enumerate() {
            ours.open(n, carrier, number == 1)?;
        }
        Ok(ours)
    }

    /// Its stack and device, once the other end has greeted too.
    ///
    /// # Errors
    /// [`Fault`].
    pub(crate) fn host(self) -> Result<Host<ShmNic, ShmPort>, Fault> {
        let Self(number, opening) = self;
        let (nic, devices) = opening.complete(GREETING).map_err(Fault::wire("shared memory"))?;
        let stack = Stack::new(config(number), nic, smolsmc::Instant::ZERO);
        Ok(Host { stack: stack.map_err(Fault::wire("the stack's configuration"))?, devices })
    }
}

fn config(number: u8) -> smolsmc::Config {
    let mut config = smolsmc::Config::new([number; 32]);
    config.eids.extend(Eid::from_ascii("BENCH"));
    let mut port = smolsmc::PortConfig::new(Mac([2, 0, 0, 0, 0, number]), MTU);
    port.addresses.push(([10, 9, 0, number].into(), 24));
    port.rdma = Some(RdmaPort { device: DeviceId(0), port: PortNumber(1) });
    config.ports.push(port);
    // As large as the bare ring: what fits the caches makes much of the difference.
    config.rmb_size = RING;
    config.send_size = RING;
    config.limits.receives = 256;
    // One end rests while others are measured.
    config.timers.link.test_link = Duration::ZERO;
    config
}

impl Carrier {
    const fn name(self) -> &'static str {
        match self {
            Self::Smc => "SMC-R over shared memory",
            Self::Tcp => "smoltcp over shared memory",
        }
    }
}

impl Ours {
    fn open(&mut self, n: usize, carrier: Carrier, connects: bool) -> Result<(), Fault> {
        let mut options = SocketOptions::default();
        options.plain_tcp = carrier == Carrier::Tcp;
        options.strict = carrier == Carrier::Smc;
        let server = SocketAddr::from(([10, 9, 0, 2], PORTS[n]));
        if connects {
            let socket = self.host.stack.connect(server, options);
            self.sockets[n] = Some(socket.map_err(Fault::wire(carrier.name()))?);
        } else {
            let mut listen = ListenOptions::USUAL;
            listen.socket = options;
            let listener = self.host.stack.listen(server, listen);
            self.listeners.push(listener.map_err(Fault::wire(carrier.name()))?);
        }
        Ok(())
    }

    /// Both ends, for one process.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn pair() -> Result<[Self; 2], Fault> {
        let (a, b) = UnixStream::pair().map_err(Fault::system("a socket pair"))?;
        let (a, b) = (OursOpening::greet(1, a)?, OursOpening::greet(2, b)?);
        let alive = Alive::default();
        let (mut a, mut b) = (a.complete(&alive)?, b.complete(&alive)?);
        loop {
            // Both have their turn in each round.
            let joined = [a.join()?, b.join()?];
            if joined == [true; 2] {
                return Ok([a, b]);
            }
        }
    }

    /// One step of connecting to the other end; whether that is done.
    ///
    /// # Errors
    /// [`Fault::Impossible`] if it takes too long.
    pub fn join(&mut self) -> Result<bool, Fault> {
        self.poll();
        for (socket, listener) in self.sockets.iter_mut().zip(&self.listeners) {
            *socket = socket.or_else(|| self.host.stack.accept(*listener));
        }
        let stack = &mut self.host.stack;
        let stand = self
            .sockets
            .iter()
            .flatten()
            .filter(|socket| stack.socket(**socket).is_ok_and(|socket| socket.transport().is_some()));
        if stand.count() == self.sockets.len() && self.first_lap()? {
            return Ok(true);
        }
        if self.start.elapsed().as_secs() > GREETING.micros() / 1_000_000 {
            return Err(Fault::Impossible("the two stacks did not come to a connection in time".to_owned()));
        }
        self.look()?;
        Ok(false)
    }

    /// Goes once around the rings, there and back, so that no page of them is touched for
    /// the first time later on (the bare ring's are zeroed by both ends); whether that is
    /// done. Who connects begins, and is done when all has come back.
    fn first_lap(&mut self) -> Result<bool, Fault> {
        let len = RING.octets() as usize;
        let begins = self.listeners.is_empty();
        let mut piece = [0; 65_536];
        let [there, back] = self.lap;
        let sends = if begins { there < len } else { there == len && back < len };
        let receives = if begins { there == len && back < len } else { there < len };
        self.carrier = Carrier::Smc;
        let at = usize::from(!(begins && sends || !begins && receives));
        if sends {
            let some = &piece[..piece.len().min(len - self.lap[at])];
            match self.socket()?.send(some) {
                Ok(sent) => self.lap[at] += sent,
                Err(smolsmc::SendError::WouldBlock) => {}
                Err(error) => return Err(Fault::wire(self.carrier.name())(error)),
            }
        } else if receives {
            self.lap[at] += self.take(&mut piece)?;
        }
        Ok(self.lap == [len; 2])
    }

    /// Which connection is used, and how it waits.
    pub fn set(&mut self, carrier: Carrier, mode: Mode) {
        self.carrier = carrier;
        self.driver.set_mode(mode);
    }

    /// Moves the stack forward, and does not wait.
    #[inline]
    pub fn poll(&mut self) {
        if self.polls.is_multiple_of(CLOCK) || self.driver.mode() != Mode::Busy {
            self.now = now(self.start);
        }
        self.polls = self.polls.wrapping_add(1);
        self.host.poll(self.now);
    }

    /// Moves the stack forward, and waits as the mode says.
    #[inline]
    fn turn(&mut self, most: Duration) -> Result<(), Fault> {
        if self.driver.mode() == Mode::Busy {
            self.poll();
        } else {
            let start = self.start;
            let turn = self.driver.turn(&mut self.host, &mut || now(start), most);
            self.polls = self.polls.wrapping_add(1);
            if turn.map_err(Fault::system("a sleep"))?.timed_out {
                self.alive.check()?;
            }
        }
        self.look()
    }

    /// Polls, and takes what there is, which may be nothing.
    pub(crate) fn receive_some(&mut self, octets: &mut [u8]) -> Result<usize, Fault> {
        self.poll();
        self.look()?;
        self.take(octets)
    }

    /// Waits for nothing in particular, as the mode says.
    pub(crate) fn rest(&mut self, millis: u64) -> Result<(), Fault> {
        let end = now(self.start) + Duration::from_millis(millis);
        loop {
            let left = end.since(now(self.start));
            if left == Duration::ZERO {
                return Ok(());
            }
            self.turn(left)?;
        }
    }

    #[inline]
    fn look(&self) -> Result<(), Fault> {
        if self.polls.is_multiple_of(LOOKS) { self.alive.check() } else { Ok(()) }
    }

    #[inline]
    fn socket(&mut self) -> Result<smolsmc::Socket<'_, ShmNic>, Fault> {
        let name = self.carrier.name();
        match self.sockets[self.carrier as usize] {
            Some(socket) => self.host.stack.socket(socket).map_err(Fault::wire(name)),
            None => Err(Fault::Wire { what: name, why: "there is no connection".to_owned() }),
        }
    }

    /// Hands over; polls only when there is no room.
    #[inline]
    fn put(&mut self, octets: &[u8]) -> Result<(), Fault> {
        let mut sent = 0;
        while sent < octets.len() {
            match self.socket()?.send(&octets[sent..]) {
                Ok(len) => sent += len,
                Err(smolsmc::SendError::WouldBlock) => self.turn(SLEEP)?,
                Err(error) => return Err(Fault::wire(self.carrier.name())(error)),
            }
        }
        Ok(())
    }

    #[inline]
    fn take(&mut self, octets: &mut [u8]) -> Result<usize, Fault> {
        match self.socket()?.recv(octets) {
            Ok(0) => Err(Fault::Gone),
            Ok(len) => Ok(len),
            Err(smolsmc::RecvError::WouldBlock) => Ok(0),
            Err(error) => Err(Fault::wire(self.carrier.name())(error)),
        }
    }
}

fn now(start: Instant) -> smolsmc::Instant {
    smolsmc::Instant::from_micros(start.elapsed().as_micros() as u64)
}

impl End for Ours {
    #[inline]
    fn send(&mut self, octets: &[u8]) -> Result<(), Fault> {
        self.put(octets)?;
        self.poll();
        Ok(())
    }

    #[inline]
    fn receive(&mut self, octets: &mut [u8]) -> Result<(), Fault> {
        // The last poll may have brought it: who sleeps looks first.
        let mut got = if self.driver.mode() == Mode::Busy { 0 } else { self.take(octets)? };
        while got < octets.len() {
            self.turn(SLEEP)?;
            got += self.take(&mut octets[got..])?;
        }
        Ok(())
    }

    /// One call where that is enough: there is never more than one frame.
    fn receive_frame(&mut self, frame: &mut [u8]) -> Result<usize, Fault> {
        let mut got = self.take(frame)?;
        loop {
            if got >= crate::end::HEADER_LEN && got >= crate::end::frame_len(frame)? {
                return Ok(got);
            }
            self.turn(SLEEP)?;
            got += self.take(&mut frame[got..])?;
        }
    }

    fn send_many(&mut self, octets: &[u8], times: u32) -> Result<(), Fault> {
        let burst = if octets.len() > 1024 { 1 } else { BURST };
        for n in 1..=times {
            self.put(octets)?;
            if n.is_multiple_of(burst) {
                self.poll();
            }
        }
        Ok(())
    }

    /// What is there is taken before it is asked for more.
    fn receive_many(&mut self, octets: &mut [u8], times: u32) -> Result<(), Fault> {
        for _ in 0..times {
            let mut got = 0;
            loop {
                got += self.take(&mut octets[got..])?;
                if got == octets.len() {
                    break;
                }
                self.turn(SLEEP)?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, done: &mut dyn FnMut() -> bool) -> Result<(), Fault> {
        loop {
            self.turn(SHORT_SLEEP)?;
            // A question is a system call.
            if (self.driver.mode() != Mode::Busy || self.polls.is_multiple_of(64)) && done() {
                return Ok(());
            }
        }
    }
}
