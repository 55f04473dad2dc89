//! Our own stack at the other end of a guest's NIC.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use smolsmc::{
    Config, ConnectionError, Eid, ListenOptions, ListenerHandle, Mac, PortConfig, RecvError, SendError,
    Socket, SocketHandle, SocketOptions, SoftNic, Stack, Transport, Wakeup,
};
use smolsmc_ethernet::{DEFAULT_MTU, Port, StreamPort, wait};

use crate::scenario::{Stage, ensure};
use crate::{Direction, Error, Fate, Pending, Result, Wire, pattern};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(150);

/// Octets moved by one call.
const CHUNK: usize = 32 * 1024;

/// A port more: the next MAC, the next free address.
pub(crate) fn add_port(config: &mut Config) {
    let number = config.ports.len() as u8;
    let mut port = PortConfig::new(Mac([0x52, 0x54, 0, 0, 0x64, number + 1]), DEFAULT_MTU);
    let [a, b, c, d] = Stage::free_address().octets();
    port.addresses.push((IpAddr::from([a, b, c, d + number]), 24));
    config.ports.push(port);
}

/// 32 octets of the system's randomness.
pub(crate) fn entropy() -> Result<[u8; 32]> {
    let mut entropy = [0; 32];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut entropy));
    read.map_err(Error::io("urandom"))?;
    Ok(entropy)
}

/// Our stack as a host in a guest's network.
pub(crate) struct Host {
    pub(crate) stack: Stack<SoftNic>,
    /// From [`Stage::free_address`] on, each on a guest's NIC of the same number.
    ports: Vec<Port>,
    /// The cables of the ports, where a scenario wants a hand on them.
    wires: Vec<Wire>,
    start: Instant,
    /// Sockets whose octets are sent back.
    echoing: Vec<Echo>,
}

struct Echo {
    socket: SocketHandle,
    /// Received and not sent back yet.
    waiting: VecDeque<u8>,
    ended: bool,
}

impl Host {
    /// With one port, unless `change` gives it more.
    pub(crate) fn on(stage: &Stage<'_>, change: impl FnOnce(&mut Config)) -> Result<Self> {
        Self::of(stage, entropy()?, false, change)
    }

    /// As [`Host::on`], over wires whose [judges](Host::judge) can be told what
    /// becomes of frames.
    pub(crate) fn across(stage: &Stage<'_>, change: impl FnOnce(&mut Config)) -> Result<Self> {
        Self::of(stage, entropy()?, true, change)
    }

    /// A host whose every draw follows from `entropy`.
    pub(crate) fn of(
        stage: &Stage<'_>,
        entropy: [u8; 32],
        wired: bool,
        change: impl FnOnce(&mut Config),
    ) -> Result<Self> {
        let mut config = Config::new(entropy);
        config.eids.extend(Eid::from_ascii(Stage::ueid()));
        // Half of the usual time: a guest next door answers in milliseconds.
        config.timers.linger = smolsmc::Duration::from_secs(1);
        add_port(&mut config);
        change(&mut config);
        let (mut ports, mut wires) = (Vec::new(), Vec::new());
        for (nic, port) in config.ports.iter().enumerate() {
            let mut end = stage.attach(0, nic)?;
            if wired {
                let (ours, far) = UnixStream::pair().map_err(Error::io("a pair of sockets"))?;
                wires.push(Wire::between(end, far).map_err(Error::io("cannot make a wire"))?);
                end = ours;
            }
            let stream = StreamPort::from_stream(end, port.ethernet_mtu);
            ports.push(Port::Stream(stream.map_err(Error::io("a NIC's socket"))?));
        }
        let stack = smolsmc::soft(config, smolsmc::Instant::ZERO);
        let stack = stack.map_err(|error| Error::Scenario(error.to_string()))?;
        Ok(Self { stack, ports, wires, start: Instant::now(), echoing: Vec::new() })
    }

    /// From now on `judge` decides about frames on the cable of a port: those
    /// from the guest go [`Direction::AToB`], ours the other way.
    pub(crate) fn judge(
        &self,
        port: usize,
        judge: impl FnMut(Direction, &[u8]) -> Fate + Send + 'static,
    ) -> Result<()> {
        let wire = self.wires.get(port).ok_or_else(|| Error::Scenario("no wire to judge".to_owned()))?;
        wire.judge(judge);
        Ok(())
    }

    /// All frames pass again.
    pub(crate) fn heal(&self) {
        self.wires.iter().for_each(Wire::heal);
    }

    /// One turn of everything; sleeps if there is nothing to do.
    pub(crate) fn turn(&mut self) {
        let now = |start: Instant| smolsmc::Instant::from_micros(start.elapsed().as_micros() as u64);
        let outcome = self.stack.poll(now(self.start), &mut self.ports);
        self.ports.iter_mut().for_each(Port::flush);
        let echoed = self.echo();
        if outcome.progressed || outcome.more || echoed {
            return;
        }
        let until = match self.stack.poll_at() {
            Wakeup::Now => return,
            Wakeup::At(at) => at.since(now(self.start)).micros(),
            Wakeup::OnInput => u64::MAX,
        };
        // The guest's answers come another way: look at them now and then.
        let _ = wait(&self.ports, Some(Duration::from_micros(until.min(1000))));
    }

    /// Takes turns until `done` says something.
    pub(crate) fn until<T>(
        &mut self,
        what: &str,
        mut done: impl FnMut(&mut Self) -> Result<Option<T>>,
    ) -> Result<T> {
        let start = Instant::now();
        loop {
            if let Some(value) = done(self)? {
                return Ok(value);
            }
            if start.elapsed() > PATIENCE {
                return Err(Error::Deadline { what: what.to_owned(), within: PATIENCE });
            }
            self.turn();
        }
    }

    /// Takes turns until the guest has answered.
    pub(crate) fn during<T: DeserializeOwned>(&mut self, mut pending: Pending<T>) -> Result<T> {
        self.until("the guest's answer", |_| pending.poll())
    }

    /// Takes turns for so long.
    pub(crate) fn during_time(&mut self, time: Duration) {
        let start = Instant::now();
        while start.elapsed() < time {
            self.turn();
        }
    }

    /// Connects to a guest; returns once it is known what carries the octets.
    pub(crate) fn connect(&mut self, port: u16, options: SocketOptions) -> Result<SocketHandle> {
        let socket = self.begin_connect(port, options)?;
        self.until("our connection", |host| Ok(host.state(socket)?.map(|_| socket)))
    }

    pub(crate) fn begin_connect(&mut self, port: u16, options: SocketOptions) -> Result<SocketHandle> {
        let remote = SocketAddr::new(IpAddr::V4(Stage::address(0)), port);
        self.stack.connect(remote, options).map_err(|error| Error::Scenario(error.to_string()))
    }

    pub(crate) fn listen(&mut self, port: u16) -> Result<ListenerHandle> {
        self.listen_with(port, SocketOptions::USUAL)
    }

    /// Listens for sockets with such options.
    pub(crate) fn listen_with(&mut self, port: u16, socket: SocketOptions) -> Result<ListenerHandle> {
        let local = SocketAddr::new(IpAddr::V4(Stage::free_address()), port);
        let mut options = ListenOptions::USUAL;
        options.socket = socket;
        self.stack.listen(local, options).map_err(|error| Error::Scenario(error.to_string()))
    }

    pub(crate) fn accept(&mut self, listener: ListenerHandle) -> Result<SocketHandle> {
        self.until("a connection of the guest", |host| Ok(host.stack.accept(listener)))
    }

    /// Why a socket of ours is over, once it is; it does nothing meanwhile.
    pub(crate) fn end_of(&mut self, socket: SocketHandle) -> Result<ConnectionError> {
        self.until("the end of our connection", |host| Ok(host.at(socket)?.error()))
    }

    /// Sends a stream until nothing has gone for half a second; how many octets.
    pub(crate) fn send_until_full(&mut self, socket: SocketHandle, stream: u64) -> Result<u64> {
        let (mut sent, mut last) = (0, Instant::now());
        self.until("a full ring", |host| {
            let more = host.send_some(socket, stream, sent, u64::MAX)?;
            if more > 0 {
                (sent, last) = (sent + more, Instant::now());
            }
            Ok((last.elapsed() > Duration::from_millis(500)).then_some(sent))
        })
    }

    /// Opens, uses and closes `total` connections to a guest's echo, `width` at
    /// a time.
    pub(crate) fn churn(&mut self, port: u16, total: usize, width: usize, octets: u64) -> Result<()> {
        let (mut begun, mut done) = (0, 0);
        let mut running: Vec<(SocketHandle, u64, u64)> = Vec::new();
        self.until("many connections", |host| {
            while begun < total && running.len() < width {
                running.push((host.begin_connect(port, SocketOptions::default())?, 0, 0));
                begun += 1;
            }
            let mut still = Vec::with_capacity(running.len());
            for (socket, mut sent, mut received) in running.drain(..) {
                if host.state(socket)?.is_some() {
                    sent += host.send_some(socket, 1, sent, octets)?;
                    received += host.receive_some(socket, 1, received)?.unwrap_or(0);
                }
                if received == octets {
                    host.close(socket);
                    done += 1;
                } else {
                    still.push((socket, sent, received));
                }
            }
            running = still;
            Ok((done == total).then_some(()))
        })
    }

    /// Every connection that waits is accepted, and echoes.
    pub(crate) fn echo_all(&mut self, listener: ListenerHandle) {
        while let Some(socket) = self.stack.accept(listener) {
            self.echo_on(socket);
        }
    }

    /// A socket of ours.
    pub(crate) fn at(&mut self, socket: SocketHandle) -> Result<Socket<'_, SoftNic>> {
        self.stack.socket(socket).map_err(|error| Error::Scenario(error.to_string()))
    }

    fn state(&mut self, socket: SocketHandle) -> Result<Option<Transport>> {
        let socket = self.at(socket)?;
        match socket.error() {
            Some(error) => Err(Error::Scenario(format!("our socket: {error}"))),
            None => Ok(socket.transport()),
        }
    }

    pub(crate) fn transport(&mut self, socket: SocketHandle) -> Result<Transport> {
        self.state(socket)?.ok_or_else(|| Error::Scenario("not connected".to_owned()))
    }

    /// From now on, what this socket receives is sent back.
    pub(crate) fn echo_on(&mut self, socket: SocketHandle) {
        self.echoing.push(Echo { socket, waiting: VecDeque::new(), ended: false });
    }

    /// Whether something was moved. A socket whose peer has ended is closed when
    /// all is sent back.
    fn echo(&mut self) -> bool {
        let mut moved = false;
        let stack = &mut self.stack;
        self.echoing.retain_mut(|echo| {
            let Ok(mut socket) = stack.socket(echo.socket) else { return false };
            let mut octets = [0; CHUNK];
            if !echo.ended && echo.waiting.len() < CHUNK {
                match socket.recv(&mut octets) {
                    Ok(0) => echo.ended = true,
                    Ok(len) => {
                        echo.waiting.extend(&octets[..len]);
                        moved = true;
                    }
                    Err(RecvError::WouldBlock) => {}
                    Err(_) => echo.ended = true,
                }
            }
            match socket.send(echo.waiting.make_contiguous()) {
                Ok(sent) => {
                    echo.waiting.drain(..sent);
                    moved |= sent > 0;
                }
                Err(SendError::WouldBlock) => {}
                // Nobody is there to read it.
                Err(_) => {
                    echo.waiting.clear();
                    echo.ended = true;
                }
            }
            let done = echo.ended && (echo.waiting.is_empty() || socket.error().is_some());
            if done {
                socket.close();
            }
            !done
        });
        moved
    }

    /// Sends `octets` of a stream and receives as many of it, at the same time.
    pub(crate) fn exchange(&mut self, socket: SocketHandle, stream: u64, octets: u64) -> Result<()> {
        let (mut sent, mut received) = (0, 0);
        self.until("the exchange", |host| {
            sent += host.send_some(socket, stream, sent, octets)?;
            received += host.receive_some(socket, stream, received)?.unwrap_or(0);
            Ok((received == octets).then_some(()))
        })
    }

    /// Sends all octets of a stream up to `octets`.
    pub(crate) fn send(&mut self, socket: SocketHandle, stream: u64, octets: u64) -> Result<()> {
        let mut sent = 0;
        self.until("our sending", |host| {
            sent += host.send_some(socket, stream, sent, octets)?;
            Ok((sent == octets).then_some(()))
        })
    }

    /// Receives so many octets of a stream, and verifies.
    pub(crate) fn receive(&mut self, socket: SocketHandle, stream: u64, octets: u64) -> Result<()> {
        self.receive_from(socket, stream, 0, octets)
    }

    /// Receives a stream from one octet to another, and verifies.
    pub(crate) fn receive_from(
        &mut self,
        socket: SocketHandle,
        stream: u64,
        from: u64,
        to: u64,
    ) -> Result<()> {
        let mut at = from;
        self.until("the guest's octets", |host| {
            let most = (to - at).min(CHUNK as u64) as usize;
            at += host.receive_at_most(socket, stream, at, most)?.unwrap_or(0);
            Ok((at == to).then_some(()))
        })
    }

    /// Sends a stream from one octet to another, as far as there is room; how far.
    pub(crate) fn send_from(&mut self, socket: SocketHandle, stream: u64, from: u64, to: u64) -> Result<u64> {
        let mut at = from;
        loop {
            match self.send_some(socket, stream, at, to)? {
                0 => return Ok(at),
                more => at += more,
            }
        }
    }

    /// Receives to the end of the stream, and verifies; how many octets.
    pub(crate) fn receive_to_end(&mut self, socket: SocketHandle, stream: u64) -> Result<u64> {
        let mut received = 0;
        self.until("the end of the guest's stream", |host| {
            match host.receive_some(socket, stream, received)? {
                Some(0) => Ok(Some(received)),
                more => {
                    received += more.unwrap_or(0);
                    Ok(None)
                }
            }
        })
    }

    pub(crate) fn send_some(&mut self, socket: SocketHandle, stream: u64, at: u64, end: u64) -> Result<u64> {
        let len = (end - at).min(CHUNK as u64) as usize;
        let mut octets = [0; CHUNK];
        pattern::fill(stream, at, &mut octets[..len]);
        let mut socket = self.at(socket)?;
        match socket.send(&octets[..len]) {
            Ok(sent) => Ok(sent as u64),
            Err(SendError::WouldBlock) => Ok(0),
            Err(error) => Err(Error::Scenario(format!("we send octet {at}: {error}"))),
        }
    }

    /// `None` if there is nothing now, 0 at the end.
    pub(crate) fn receive_some(&mut self, socket: SocketHandle, stream: u64, at: u64) -> Result<Option<u64>> {
        self.receive_at_most(socket, stream, at, CHUNK)
    }

    fn receive_at_most(
        &mut self,
        socket: SocketHandle,
        stream: u64,
        at: u64,
        most: usize,
    ) -> Result<Option<u64>> {
        let mut octets = vec![0; most];
        let mut socket = self.at(socket)?;
        match socket.recv(&mut octets) {
            Ok(len) => {
                let wrong = pattern::mismatch(stream, at, &octets[..len]);
                ensure(wrong.is_none(), || format!("octet {wrong:?} is wrong"))?;
                Ok(Some(len as u64))
            }
            Err(RecvError::WouldBlock) => Ok(None),
            Err(error) => Err(Error::Scenario(format!("we receive octet {at}: {error}"))),
        }
    }

    pub(crate) fn abort(&mut self, socket: SocketHandle) {
        if let Ok(socket) = self.stack.socket(socket) {
            socket.abort();
        }
    }

    pub(crate) fn shutdown(&mut self, socket: SocketHandle) {
        if let Ok(mut socket) = self.stack.socket(socket) {
            socket.shutdown();
        }
    }

    pub(crate) fn close(&mut self, socket: SocketHandle) {
        if let Ok(socket) = self.stack.socket(socket) {
            socket.close();
        }
    }

    /// Says good-bye without waiting for the ends of connections.
    pub(crate) fn leave_at_once(&mut self) -> Result<()> {
        self.stack.leave();
        self.until("the end of our link groups", |host| Ok(host.stack.groups().is_empty().then_some(())))
    }

    /// As [`Host::leave`]; and nothing is left of our rings, queue pairs and
    /// registrations either.
    pub(crate) fn leave_home(mut self) -> Result<()> {
        self.until("the end of our connections", |host| Ok((!host.stack.has_connections()).then_some(())))?;
        self.leave_at_once()?;
        let left = self.stack.provider_mut().objects();
        let none = left.qps == 0 && left.pds == 0 && left.memories == 0 && left.mrs == 0;
        ensure(none, || format!("left on our NIC: {left:?}"))
    }

    /// Ends everything in order: nothing is left in the guest that knows us.
    pub(crate) fn leave(mut self) -> Result<()> {
        self.until("the end of our connections", |host| Ok((!host.stack.has_connections()).then_some(())))?;
        self.stack.leave();
        self.until("the end of our link groups", |host| Ok(host.stack.is_idle().then_some(())))
    }
}
