//! Our own stack at the other end of a guest's NIC.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use smolsmc::{
    Config, Eid, ListenOptions, ListenerHandle, Mac, PortConfig, RecvError, SendError, SocketHandle,
    SocketOptions, SoftNic, Stack, Transport, Wakeup,
};
use smolsmc_ethernet::{DEFAULT_MTU, Port, StreamPort, wait};

use crate::scenario::{Stage, ensure};
use crate::{Error, Pending, Result, pattern};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Octets moved by one call.
const CHUNK: usize = 32 * 1024;

const MAC: Mac = Mac([0x52, 0x54, 0, 0, 0x64, 1]);

/// Our stack as a host in a guest's network.
pub(crate) struct Host {
    stack: Stack<SoftNic>,
    port: Port,
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
    /// At [`Stage::free_address`], on a guest's first NIC.
    pub(crate) fn on(stage: &Stage<'_>, change: impl FnOnce(&mut Config)) -> Result<Self> {
        let mut entropy = [0; 32];
        File::open("/dev/urandom")
            .and_then(|mut f| f.read_exact(&mut entropy))
            .map_err(Error::io("urandom"))?;
        let mut config = Config::new(entropy);
        config.eids.extend(Eid::from_ascii(Stage::ueid()));
        let mut port = PortConfig::new(MAC, 1500);
        port.addresses.push((IpAddr::V4(Stage::free_address()), 24));
        config.ports.push(port);
        change(&mut config);
        let stack = smolsmc::soft(config, smolsmc::Instant::ZERO);
        let stack = stack.map_err(|error| Error::Scenario(error.to_string()))?;
        let stream = StreamPort::from_stream(stage.attach(0)?, DEFAULT_MTU);
        let port = Port::Stream(stream.map_err(Error::io("a NIC's socket"))?);
        Ok(Self { stack, port, start: Instant::now(), echoing: Vec::new() })
    }

    /// One turn of everything; sleeps if there is nothing to do.
    pub(crate) fn turn(&mut self) {
        let now = |start: Instant| smolsmc::Instant::from_micros(start.elapsed().as_micros() as u64);
        let outcome = self.stack.poll(now(self.start), core::slice::from_mut(&mut self.port));
        self.port.flush();
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
        let _ = wait([&self.port], Some(Duration::from_micros(until.min(1000))));
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
        let remote = SocketAddr::new(IpAddr::V4(Stage::address(0)), port);
        let connected = self.stack.connect(remote, options);
        let socket = connected.map_err(|error| Error::Scenario(error.to_string()))?;
        self.until("our connection", |host| Ok(host.state(socket)?.map(|_| socket)))
    }

    pub(crate) fn listen(&mut self, port: u16) -> Result<ListenerHandle> {
        let local = SocketAddr::new(IpAddr::V4(Stage::free_address()), port);
        self.stack.listen(local, ListenOptions::USUAL).map_err(|error| Error::Scenario(error.to_string()))
    }

    pub(crate) fn accept(&mut self, listener: ListenerHandle) -> Result<SocketHandle> {
        self.until("a connection of the guest", |host| Ok(host.stack.accept(listener)))
    }

    fn state(&mut self, socket: SocketHandle) -> Result<Option<Transport>> {
        let socket = self.stack.socket(socket).map_err(|error| Error::Scenario(error.to_string()))?;
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
            if let Ok(sent) = socket.send(echo.waiting.make_contiguous()) {
                echo.waiting.drain(..sent);
                moved |= sent > 0;
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
        let mut received = 0;
        self.until("the guest's octets", |host| {
            received += host.receive_some(socket, stream, received)?.unwrap_or(0);
            Ok((received == octets).then_some(()))
        })
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

    fn send_some(&mut self, socket: SocketHandle, stream: u64, at: u64, end: u64) -> Result<u64> {
        let len = (end - at).min(CHUNK as u64) as usize;
        let mut octets = [0; CHUNK];
        pattern::fill(stream, at, &mut octets[..len]);
        let mut socket = self.stack.socket(socket).map_err(|error| Error::Scenario(error.to_string()))?;
        match socket.send(&octets[..len]) {
            Ok(sent) => Ok(sent as u64),
            Err(SendError::WouldBlock) => Ok(0),
            Err(error) => Err(Error::Scenario(format!("we send octet {at}: {error}"))),
        }
    }

    /// `None` if there is nothing now, 0 at the end.
    fn receive_some(&mut self, socket: SocketHandle, stream: u64, at: u64) -> Result<Option<u64>> {
        let mut octets = [0; CHUNK];
        let mut socket = self.stack.socket(socket).map_err(|error| Error::Scenario(error.to_string()))?;
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

    /// Ends everything in order: nothing is left in the guest that knows us.
    pub(crate) fn leave(mut self) -> Result<()> {
        self.until("the end of our connections", |host| Ok((!host.stack.has_connections()).then_some(())))?;
        self.stack.leave();
        self.until("the end of our link groups", |host| Ok(host.stack.is_idle().then_some(())))
    }
}
