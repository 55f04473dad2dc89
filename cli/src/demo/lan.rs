//! Two hosts on a cable, with a simulated clock.

use std::fs::File;
use std::io::BufWriter;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use smolsmc::{
    Config, Duration, Eid, Instant, ListenOptions, ListenerHandle, PortConfig, RecvError, SendError, Socket,
    SocketHandle, SocketOptions, SoftNic, Stack, Transport, Wakeup,
};
use smolsmc_ethernet::{DEFAULT_MTU, Loss, Pcap, Wire, pair};

use crate::address::mac_of;
use crate::node::sentence;
use crate::pattern;

/// The two hosts.
pub(super) const CLIENT: usize = 0;
pub(super) const SERVER: usize = 1;

/// The last octet of their addresses: the server's is the lower one, as it was
/// there first.
const LAST_OCTETS: [u8; 2] = [2, 1];

/// What a host's turn takes.
const TURN: Duration = Duration::from_micros(2);

/// Nothing takes longer than this, not even with lost frames.
const PATIENCE: Duration = Duration::from_secs(300);

/// Octets moved by one call.
const CHUNK: usize = 16 * 1024;

struct Host {
    stack: Stack<SoftNic>,
    device: [Pcap<Wire, BufWriter<File>>; 1],
}

pub(super) struct Lan {
    hosts: [Host; 2],
    listener: Option<ListenerHandle>,
    now: Instant,
    /// How many stacks there were: each has other secrets.
    stacks: u8,
}

/// One host's end of a connection.
#[derive(Clone, Copy)]
pub(super) struct End {
    host: usize,
    socket: SocketHandle,
}

/// Octets on their way from one end to the other.
pub(super) struct Flow {
    from: End,
    to: End,
    stream: u64,
    len: u64,
    sent: u64,
    received: u64,
}

impl Flow {
    pub(super) const fn new(from: End, to: End, stream: u64, len: u64) -> Self {
        Self { from, to, stream, len, sent: 0, received: 0 }
    }
}

impl Lan {
    /// Both hosts with this enterprise id, and a capture at the server's port.
    pub(super) fn new(eid: Eid, capture: Option<BufWriter<File>>) -> Result<Self, String> {
        let (client, server) = pair(DEFAULT_MTU);
        let server = match capture {
            Some(capture) => Pcap::new(server, capture, 0),
            None => Pcap::without(server),
        };
        let now = Instant::ZERO;
        let client = Host { stack: stack(CLIENT, 1, eid, now)?, device: [Pcap::without(client)] };
        let server = Host { stack: stack(SERVER, 2, eid, now)?, device: [server] };
        Ok(Self { hosts: [client, server], listener: None, now, stacks: 2 })
    }

    pub(super) const fn address(&self, host: usize) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 9, 0, LAST_OCTETS[host]))
    }

    /// From now on, frames are lost both ways.
    pub(super) fn lose(&mut self, loss: Loss) {
        for (host, number) in self.hosts.iter_mut().zip(0..) {
            let seed = loss.seed.wrapping_mul(2).wrapping_add(number);
            host.device[0].device_mut().set_loss(Loss { seed, ..loss });
        }
    }

    /// The client's stack is gone, and a new one takes its place.
    pub(super) fn replace_client(&mut self, eid: Eid) -> Result<(), String> {
        self.stacks += 1;
        self.hosts[CLIENT].stack = stack(CLIENT, self.stacks, eid, self.now)?;
        Ok(())
    }

    pub(super) fn listen(&mut self, port: u16) -> Result<(), String> {
        let local = SocketAddr::new(self.address(SERVER), port);
        let listener = self.hosts[SERVER].stack.listen(local, ListenOptions::USUAL);
        self.listener = Some(listener.map_err(|error| error.to_string())?);
        Ok(())
    }

    /// Connects, and accepts.
    pub(super) fn connect(&mut self, port: u16) -> Result<(End, End), String> {
        let remote = SocketAddr::new(self.address(SERVER), port);
        let socket = self.hosts[CLIENT].stack.connect(remote, SocketOptions::default());
        let client = End { host: CLIENT, socket: socket.map_err(|error| error.to_string())? };
        let mut accepted = None;
        self.until("the connection", |lan| {
            let listener = lan.listener.ok_or("nobody listens")?;
            accepted = accepted.or_else(|| lan.hosts[SERVER].stack.accept(listener));
            let socket = lan.socket(client)?;
            match socket.error() {
                Some(error) => Err(sentence(error)),
                None => Ok(socket.transport().is_some() && accepted.is_some()),
            }
        })?;
        let socket = accepted.ok_or("nothing was accepted")?;
        Ok((client, End { host: SERVER, socket }))
    }

    pub(super) fn transport(&mut self, end: End) -> Result<Transport, String> {
        self.socket(end)?.transport().ok_or_else(|| "the connection is not open".to_owned())
    }

    /// Moves all octets of all flows, and verifies them.
    pub(super) fn carry(&mut self, flows: &mut [Flow]) -> Result<(), String> {
        let mut chunk = vec![0; CHUNK];
        self.until("octets", |lan| {
            let mut done = true;
            for flow in &mut *flows {
                lan.go_on(flow, &mut chunk)?;
                done &= flow.received == flow.len;
            }
            Ok(done)
        })
    }

    fn go_on(&mut self, flow: &mut Flow, chunk: &mut [u8]) -> Result<(), String> {
        let left = usize::try_from(flow.len - flow.sent).unwrap_or(usize::MAX).min(chunk.len());
        let octets = chunk.get_mut(..left).unwrap_or_default();
        pattern::fill(octets, flow.stream, flow.sent);
        match self.socket(flow.from)?.send(octets) {
            Ok(len) => flow.sent += len as u64,
            Err(SendError::WouldBlock) => {}
            Err(SendError::Over(error)) => return Err(sentence(error)),
            Err(error) => return Err(error.to_string()),
        }
        match self.socket(flow.to)?.recv(chunk) {
            Ok(0) => Err("the stream ended before all was received".to_owned()),
            Ok(len) => {
                pattern::verify(chunk.get(..len).unwrap_or_default(), flow.stream, flow.received)?;
                flow.received += len as u64;
                Ok(())
            }
            Err(RecvError::WouldBlock) => Ok(()),
            Err(RecvError::Over(error)) => Err(sentence(error)),
            Err(error) => Err(error.to_string()),
        }
    }

    pub(super) fn shutdown(&mut self, end: End) -> Result<(), String> {
        self.socket(end)?.shutdown();
        Ok(())
    }

    pub(super) fn close(&mut self, end: End) -> Result<(), String> {
        self.socket(end)?.close();
        Ok(())
    }

    /// Waits for the end of the stream, before which nothing may come.
    pub(super) fn expect_end(&mut self, end: End) -> Result<(), String> {
        self.until("the end of the stream", |lan| match lan.socket(end)?.recv(&mut [0]) {
            Ok(0) => Ok(true),
            Ok(_) => Err("octets came that nobody sent".to_owned()),
            Err(RecvError::WouldBlock) => Ok(false),
            Err(RecvError::Over(error)) => Err(sentence(error)),
            Err(error) => Err(error.to_string()),
        })
    }

    /// Waits until both hosts have forgotten all connections.
    pub(super) fn settle(&mut self) -> Result<(), String> {
        self.until("the close", |lan| Ok(lan.hosts.iter().all(|host| !host.stack.has_connections())))
    }

    /// Lets a host say good-bye to the other.
    pub(super) fn leave(&mut self, host: usize) -> Result<(), String> {
        self.hosts[host].stack.leave();
        self.until("the good-bye", |lan| Ok(lan.hosts[host].stack.is_idle()))
    }

    /// Writes the capture to its end; an error is what went wrong with it at any
    /// time.
    pub(super) fn finish_capture(&mut self) -> Result<(), String> {
        let [device] = &mut self.hosts[SERVER].device;
        device.flush();
        device.error().map_or(Ok(()), |error| Err(error.to_string()))
    }

    fn socket(&mut self, end: End) -> Result<Socket<'_, SoftNic>, String> {
        self.hosts[end.host].stack.socket(end.socket).map_err(|error| error.to_string())
    }

    /// Takes turns until `done`.
    fn until(
        &mut self,
        what: &str,
        mut done: impl FnMut(&mut Self) -> Result<bool, String>,
    ) -> Result<(), String> {
        let start = self.now;
        while !done(self)? {
            if self.now.since(start) > PATIENCE {
                return Err(format!(
                    "the demo waited {} s of its clock for {what}",
                    PATIENCE.micros() / 1_000_000
                ));
            }
            self.turn();
        }
        Ok(())
    }

    /// A turn of each host. With nothing to do, time jumps to the next deadline.
    fn turn(&mut self) {
        let mut progressed = false;
        for host in &mut self.hosts {
            let outcome = host.stack.poll(self.now, &mut host.device);
            progressed |= outcome.progressed | outcome.more;
            self.now = self.now + TURN;
        }
        if progressed {
            return;
        }
        let deadlines = self.hosts.iter_mut().filter_map(|host| match host.stack.poll_at() {
            Wakeup::Now => Some(Instant::ZERO),
            Wakeup::At(at) => Some(at),
            Wakeup::OnInput => None,
        });
        let next = deadlines.min().unwrap_or(self.now + PATIENCE);
        self.now = self.now.max(next);
    }
}

fn stack(host: usize, number: u8, eid: Eid, now: Instant) -> Result<Stack<SoftNic>, String> {
    // A simulation, and the same each time: no randomness is wanted.
    let mut config = Config::new([number; 32]);
    config.eids.push(eid);
    let address = IpAddr::V4(Ipv4Addr::new(10, 9, 0, LAST_OCTETS[host]));
    let mut port = PortConfig::new(mac_of(address), DEFAULT_MTU);
    port.addresses.push((address, 24));
    config.ports.push(port);
    smolsmc::soft(config, now).map_err(|error| error.to_string())
}
