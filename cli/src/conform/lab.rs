//! What cases are made of: a host of ours on the cable, and what it does with the
//! peer.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use smolsmc::{Config, Duration, RecvError, SendError, SocketHandle, SocketOptions, Transport};

use super::cases::Case;
use super::hostile::{Damage, Vandal};
use crate::node::{Node, NodeArguments, sentence};
use crate::pattern;
use crate::reach::connect;
use crate::witness::{At, Heard, Witness};

/// Octets sent or received by one call.
const CHUNK: usize = 64 * 1024;

pub(super) struct Lab<'a> {
    pub(super) node: Node,
    arguments: &'a NodeArguments,
    echo: SocketAddr,
    sink: Option<SocketAddr>,
    timeout: u32,
    witness: Rc<RefCell<Witness>>,
    /// Tells streams of octets from each other.
    streams: u64,
}

impl<'a> Lab<'a> {
    pub(super) fn new(
        arguments: &'a NodeArguments,
        echo: SocketAddr,
        sink: Option<u16>,
        timeout: u32,
    ) -> Result<Self, String> {
        let node = arguments.start_with(hasten)?;
        let sink = sink.map(|port| SocketAddr::new(echo.ip(), port));
        let witness = Witness::shared(arguments.has_roce_frames());
        let mut lab = Self { node, arguments, echo, sink, timeout, witness, streams: 0 };
        lab.look_on();
        Ok(lab)
    }

    fn look_on(&mut self) {
        self.witness = Witness::shared(self.arguments.has_roce_frames());
        let witness = Rc::clone(&self.witness);
        self.node.watch_no_more();
        self.node.watch(|| Box::new(At(Rc::clone(&witness))));
    }

    /// Plays a case on a fresh stack.
    pub(super) fn play(&mut self, case: &Case) -> Result<(), String> {
        self.node.say_goodbye()?;
        self.look_on();
        self.node.replace_stack(self.arguments, hasten)?;
        let played = (case.play)(self);
        if case.is_hostile {
            // The peer may have ended anything; it must serve the next one.
            self.look_on();
            self.node.replace_stack(self.arguments, hasten)?;
            played?;
            return self.serves().map_err(|why| format!("afterwards: {why}"));
        }
        played?;
        match self.witness.borrow().heard.violations.first() {
            Some(violation) => Err(format!("the peer broke a rule: {violation}")),
            None => Ok(()),
        }
    }

    /// What was heard in this case so far.
    pub(super) fn heard<R>(&self, look: impl FnOnce(&Heard) -> R) -> R {
        look(&self.witness.borrow().heard)
    }

    /// Another stack, with something changed; the old one is silent from now on.
    pub(super) fn restart(&mut self, change: impl FnOnce(&mut Config)) -> Result<(), String> {
        self.look_on();
        self.node.replace_stack(self.arguments, |config| {
            hasten(config);
            change(config);
        })
    }

    /// From now on frames of ours are damaged; returns how many were.
    pub(super) fn damage(&mut self, damage: Damage) -> Rc<RefCell<u32>> {
        let count = Rc::new(RefCell::new(0));
        self.node.watch(|| Box::new(Vandal::new(damage, Rc::clone(&count))));
        count
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(self.timeout.into())
    }

    /// A connection to the echo, whatever carries it.
    pub(super) fn connect_any(
        &mut self,
        options: SocketOptions,
    ) -> Result<(SocketHandle, Transport), String> {
        connect(&mut self.node, self.echo, options, self.timeout)
    }

    /// A connection over SMC-R to the echo.
    pub(super) fn connect_with(&mut self, options: SocketOptions) -> Result<(SocketHandle, bool), String> {
        smcr(self.connect_any(options)?)
    }

    pub(super) fn connect(&mut self) -> Result<SocketHandle, String> {
        Ok(self.connect_with(SocketOptions::default())?.0)
    }

    /// A connection over SMC-R to the sink.
    pub(super) fn connect_sink(&mut self) -> Result<SocketHandle, String> {
        let sink = self.sink.ok_or("there is no sink")?;
        let made = connect(&mut self.node, sink, SocketOptions::default(), self.timeout)?;
        Ok(smcr(made)?.0)
    }

    /// A stream of octets to be sent and to come back.
    pub(super) fn stream(&mut self, len: u64) -> Stream {
        self.streams += 1;
        Stream { number: self.streams, len, sent: 0, received: 0 }
    }

    /// Waits until `done`; an error says what was waited for.
    pub(super) fn wait(
        &mut self,
        what: &str,
        mut done: impl FnMut(&mut Node) -> Result<bool, String>,
    ) -> Result<(), String> {
        let mut failed = None;
        let came = self.node.until(self.patience(), |node| match done(node) {
            Ok(done) => done,
            Err(why) => {
                failed = Some(why);
                true
            }
        })?;
        match failed {
            Some(why) => Err(format!("{what}: {why}")),
            None if came => Ok(()),
            None => Err(format!("{what}: nothing in {} s", self.timeout)),
        }
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, time: Duration) -> Result<(), String> {
        self.node.until(time, |_| false).map(drop)
    }

    /// All of these octets there and back.
    pub(super) fn echo(&mut self, socket: SocketHandle, len: u64) -> Result<(), String> {
        let stream = self.stream(len);
        self.carry("the echo", socket, stream)
    }

    /// Sends and receives until all is back; that may last, as long as it goes on.
    fn carry(&mut self, what: &str, socket: SocketHandle, mut stream: Stream) -> Result<(), String> {
        let mut chunk = vec![0; CHUNK];
        while stream.received < stream.len {
            let before = (stream.sent, stream.received);
            self.wait(what, |node| {
                stream.go_on(node, socket, &mut chunk)?;
                Ok(before != (stream.sent, stream.received))
            })
            .map_err(|why| format!("{why}; {} of {} octets came back", stream.received, stream.len))?;
        }
        Ok(())
    }

    /// Sends until nothing more is taken.
    pub(super) fn fill(&mut self, socket: SocketHandle, stream: &mut Stream) -> Result<(), String> {
        let mut chunk = vec![0; CHUNK];
        let (mut before, mut quiet) = (stream.sent, 0);
        while quiet < 10 && stream.sent < stream.len {
            self.node.until(Duration::from_millis(50), |_| false)?;
            while stream.send(&mut self.node, socket, &mut chunk)? {}
            quiet = if stream.sent == before { quiet + 1 } else { 0 };
            before = stream.sent;
        }
        Ok(())
    }

    /// Receives what of the stream has still to come, and sends what has to be sent.
    pub(super) fn finish(&mut self, socket: SocketHandle, stream: Stream) -> Result<(), String> {
        self.carry("the rest", socket, stream)
    }

    pub(super) fn shutdown(&mut self, socket: SocketHandle) -> Result<(), String> {
        self.node.stack.socket(socket).map_err(|error| error.to_string())?.shutdown();
        Ok(())
    }

    /// Waits for the end of the peer's stream, before which nothing more may come.
    pub(super) fn expect_end(&mut self, socket: SocketHandle) -> Result<(), String> {
        self.wait("the end of the stream", |node| {
            let mut socket = node.stack.socket(socket).map_err(|error| error.to_string())?;
            match socket.recv(&mut [0; 16]) {
                Ok(0) => socket.error().map_or(Ok(true), |error| Err(sentence(error))),
                Ok(len) => Err(format!("{len} octets more than were sent")),
                Err(RecvError::WouldBlock) => Ok(false),
                Err(error) => Err(error.to_string()),
            }
        })
    }

    pub(super) fn close(&mut self, socket: SocketHandle) {
        if let Ok(socket) = self.node.stack.socket(socket) {
            socket.close();
        }
    }

    pub(super) fn abort(&mut self, socket: SocketHandle) {
        if let Ok(socket) = self.node.stack.socket(socket) {
            socket.abort();
        }
    }

    /// All connections have ended in order.
    pub(super) fn expect_gone(&mut self) -> Result<(), String> {
        self.wait("the end of the connection", |node| Ok(!node.stack.has_connections()))
    }

    /// Half closes, waits for the peer's end, closes.
    pub(super) fn part(&mut self, socket: SocketHandle) -> Result<(), String> {
        self.shutdown(socket)?;
        self.expect_end(socket)?;
        self.close(socket);
        Ok(())
    }

    /// The peer serves an ordinary connection over SMC-R.
    pub(super) fn serves(&mut self) -> Result<(), String> {
        let socket = self.connect()?;
        self.echo(socket, 10_000)?;
        self.part(socket)?;
        self.expect_gone()
    }
}

/// Between cases nobody waits longer for last words than a cable needs. Each frame
/// is looked at, which takes its time: the peer is to be answered before its queue
/// pair loses patience (1 s) all the same, so few are taken at once.
const fn hasten(config: &mut Config) {
    config.timers.linger = Duration::from_millis(300);
    config.limits.frames = 32;
}

fn smcr((socket, transport): (SocketHandle, Transport)) -> Result<(SocketHandle, bool), String> {
    match transport {
        Transport::SmcR { first_contact, .. } => Ok((socket, first_contact)),
        _ => Err(format!("not SMC-R but {transport}")),
    }
}

/// Octets on their way there and back.
pub(super) struct Stream {
    number: u64,
    pub(super) len: u64,
    pub(super) sent: u64,
    pub(super) received: u64,
}

impl Stream {
    /// Sends and receives what can be; whether all is back.
    pub(super) fn go_on(
        &mut self,
        node: &mut Node,
        socket: SocketHandle,
        chunk: &mut [u8],
    ) -> Result<bool, String> {
        while self.send(node, socket, chunk)? | self.receive(node, socket, chunk)? {}
        Ok(self.received >= self.len)
    }

    /// Whether octets were taken.
    pub(super) fn send(
        &mut self,
        node: &mut Node,
        socket: SocketHandle,
        chunk: &mut [u8],
    ) -> Result<bool, String> {
        let len = usize::try_from(self.len - self.sent).unwrap_or(usize::MAX).min(chunk.len());
        let octets = chunk.get_mut(..len).unwrap_or_default();
        if octets.is_empty() {
            return Ok(false);
        }
        pattern::fill(octets, self.number, self.sent);
        let mut socket = node.stack.socket(socket).map_err(|error| error.to_string())?;
        match socket.send(octets) {
            Ok(len) => {
                self.sent += len as u64;
                Ok(true)
            }
            Err(SendError::WouldBlock) => Ok(false),
            Err(SendError::Over(error)) => Err(sentence(error)),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Whether octets came.
    fn receive(&mut self, node: &mut Node, socket: SocketHandle, chunk: &mut [u8]) -> Result<bool, String> {
        if self.received >= self.len {
            return Ok(false);
        }
        let mut socket = node.stack.socket(socket).map_err(|error| error.to_string())?;
        match socket.recv(chunk) {
            Ok(0) => Err(format!("the peer ended the stream after {} of {} octets", self.received, self.len)),
            Ok(len) => {
                pattern::verify(chunk.get(..len).unwrap_or_default(), self.number, self.received)?;
                self.received += len as u64;
                Ok(true)
            }
            Err(RecvError::WouldBlock) => Ok(false),
            Err(RecvError::Over(error)) => Err(sentence(error)),
            Err(error) => Err(error.to_string()),
        }
    }
}
