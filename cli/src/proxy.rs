//! `smolsmc proxy`: ordinary TCP sockets of this host on one side, SMC on the
//! other.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use clap::Args;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};
use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::json;
use smolsmc::{ListenOptions, ListenerHandle, SocketOptions};
use smolsmc_ethernet::DownReason;

use crate::address::{self, Passage};
use crate::node::{Node, NodeArguments, Served, Service};
use crate::reach::listen;
use crate::relay::{News, Relays};

/// Pass connections between ordinary TCP sockets of this host and SMC
///
/// Programs that know nothing of SMC run unmodified: a client connects to a port
/// of this host and is passed on over SMC-R, a server is connected to by this host
/// for whoever comes over SMC-R. Each end of stream and each reset passes to the
/// other side, and neither side is read faster than the other takes it.
#[derive(Args)]
#[command(after_help = "\
Examples:
  redis-server --port 6379 &
  smolsmc proxy --to-tcp 6379=127.0.0.1:6379 --link unix-listen:/tmp/cable --ip 10.9.0.1/24 &
  smolsmc proxy --to-smc 6380=10.9.0.1:6379 --link unix:/tmp/cable --ip 10.9.0.2/24 &
  redis-cli -p 6380 ping                 through both of them

  smolsmc proxy --to-smc 8080=10.9.0.1:80 --to-smc 8443=10.9.0.1:443 --link tap:tap0 --ip 10.9.0.2/24
  smolsmc proxy --to-tcp 80=127.0.0.1:8000 --link packet:eth1 --ip 10.9.0.1/24 --strict --quiet

Ends on Ctrl-C, or when the peer of a socket has closed it.")]
pub(crate) struct Arguments {
    /// Connections to this TCP port of this host, at 127.0.0.1 unless an address
    /// stands before it, are passed on to that place over SMC; may be repeated
    #[arg(long, value_name = "[IP:]PORT=HOST:PORT", value_parser = address::passage, required_unless_present = "to_tcp")]
    to_smc: Vec<Passage>,

    /// Connections over SMC to this port of the node are passed on to that place
    /// over TCP of this host; may be repeated
    #[arg(long, value_name = "[IP:]PORT=HOST:PORT", value_parser = address::passage)]
    to_tcp: Vec<Passage>,

    /// No line for each connection, only for those that fail
    #[arg(long, short)]
    quiet: bool,

    #[command(flatten)]
    node: NodeArguments,
}

/// Connections that may wait for us, on either side.
const BACKLOG: usize = 1024;

/// Connections taken from a listener before others have their turn.
const ACCEPTED_AT_ONCE: usize = 64;

/// Runs the command; an error is one sentence.
pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    raise_descriptor_limit();
    let failed = |error: io::Error| format!("the proxy cannot start: {error}");
    let mut relays = Relays::new().map_err(failed)?;
    let gates = gates(arguments, &mut relays)?;
    let mut node = arguments.node.start_with(|config| {
        // All of them come from one other proxy.
        config.limits.handshakes = BACKLOG;
        config.limits.handshakes_per_source = BACKLOG;
    })?;
    let mut options = arguments.node.socket_options();
    options.urgent_inline = true;
    let mut wanted = ListenOptions::USUAL;
    (wanted.socket, wanted.backlog) = (options, BACKLOG);
    let mut doors = Vec::new();
    for passage in &arguments.to_tcp {
        for listener in listen(&mut node, passage.address, passage.port, wanted)? {
            doors.push(Door { listener, to: passage.to });
        }
    }
    let mut proxy = Proxy {
        relays,
        gates,
        doors,
        options,
        quiet: arguments.quiet,
        json: arguments.node.json,
        passed: 0,
        failed: false,
    };
    node.run(&mut proxy)?;
    let ended = proxy.ports_ended(&node);
    proxy.relays.reset_all(&mut node.stack);
    node.leave()?;
    ended
}

/// As many descriptors as this process may have: each connection has one.
fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // What there is must do.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// The listening sockets of this host.
fn gates(arguments: &Arguments, relays: &mut Relays) -> Result<Vec<Gate>, String> {
    let mut gates = Vec::new();
    for (passage, number) in arguments.to_smc.iter().zip(0..) {
        let address = passage.address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let here = SocketAddr::new(address, passage.port);
        let named = |error: io::Error| format!("{here}: {error}");
        let listener = TcpListener::bind(here).map_err(named)?;
        listener.set_nonblocking(true).map_err(named)?;
        relays.watch(&listener, number).map_err(named)?;
        gates.push(Gate { listener, to: passage.to, knocked: false, paused: false });
    }
    Ok(gates)
}

/// Where TCP of this host comes in.
struct Gate {
    listener: TcpListener,
    to: SocketAddr,
    /// Somebody may wait.
    knocked: bool,
    /// There was no descriptor left; until a pair has ended nobody is let in.
    paused: bool,
}

/// Where SMC comes in.
struct Door {
    listener: ListenerHandle,
    to: SocketAddr,
}

struct Proxy {
    relays: Relays,
    gates: Vec<Gate>,
    doors: Vec<Door>,
    options: SocketOptions,
    quiet: bool,
    json: bool,
    passed: u64,
    /// A connection failed in the last turn.
    failed: bool,
}

impl Service for Proxy {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.relays.descriptor())
    }

    fn serve(&mut self, node: &mut Node) -> Result<Served, String> {
        let came = self.let_in_smc(node) | self.let_in_tcp(node);
        let Self { relays, gates, quiet, json, .. } = self;
        let (mut ended, mut failed) = (false, false);
        let tell = |news| {
            ended |= matches!(news, News::End { .. });
            failed |= matches!(news, News::End { why: Err(_), .. });
            say(&news, *quiet, *json);
        };
        let knock = |number| {
            if let Some(gate) = usize::try_from(number).ok().and_then(|number| gates.get_mut(number)) {
                gate.knocked = true;
            }
        };
        let moved = relays.step(&mut node.stack, tell, knock).map_err(|error| error.to_string())?;
        self.failed = failed;
        if ended {
            self.reopen_gates();
        }
        let knocked = self.gates.iter().any(|gate| gate.knocked && !gate.paused);
        Ok(Served::busy_if(moved || came || knocked))
    }
}

fn say(news: &News, quiet: bool, json: bool) {
    match news {
        News::Open { name, transport } if !quiet => eprintln!("{name}: {transport}"),
        News::Open { .. } => {}
        News::End { name, transport, counts, why } => {
            if let Err(why) = why {
                eprintln!("{name}: {why}");
            }
            if json {
                let object = json!({
                    "kind": "connection", "name": name, "transport": transport.map(|how| how.to_string()),
                    "sent": counts.sent, "received": counts.received,
                    "error": why.as_ref().err().map(ToString::to_string),
                });
                println!("{object}");
            }
        }
    }
}

impl Proxy {
    /// Lets in who comes over TCP; whether anybody did.
    fn let_in_tcp(&mut self, node: &mut Node) -> bool {
        let Self { relays, gates, options, passed, .. } = self;
        let mut came = false;
        for gate in gates.iter_mut().filter(|gate| gate.knocked && !gate.paused) {
            gate.knocked = false;
            for _ in 0..ACCEPTED_AT_ONCE {
                let (stream, from) = match gate.listener.accept() {
                    Ok(accepted) => accepted,
                    Err(error) if is_for_later(&error) => break,
                    Err(error) => {
                        eprintln!("no more connections are let in for now: {error}");
                        gate.paused = relays.unwatch(&gate.listener).is_ok();
                        break;
                    }
                };
                came = true;
                *passed += 1;
                let name = format!("{from} > {}", gate.to);
                // A segment for each write, as the program on the other side would have it.
                drop(stream.set_nodelay(true));
                let local = OwnedFd::from(stream);
                let socket = match node.stack.connect(gate.to, *options) {
                    Ok(socket) => socket,
                    Err(error) => {
                        reset(&local);
                        eprintln!("{name}: {error}");
                        continue;
                    }
                };
                if let Err(error) = relays.tie(local, socket, name.clone(), false) {
                    eprintln!("{name}: {error}");
                    if let Ok(socket) = node.stack.socket(socket) {
                        socket.abort();
                    }
                }
            }
        }
        came
    }

    /// Lets in who comes over SMC; whether anybody did.
    fn let_in_smc(&mut self, node: &mut Node) -> bool {
        let mut came = false;
        for door in &self.doors {
            for _ in 0..ACCEPTED_AT_ONCE {
                let Some(handle) = node.stack.accept(door.listener) else { break };
                came = true;
                self.passed += 1;
                let Ok(socket) = node.stack.socket(handle) else { continue };
                let name = format!("{} > {}", socket.remote_addr(), door.to);
                let tied = begin_connect(door.to)
                    .and_then(|local| self.relays.tie(local, handle, name.clone(), true));
                if let Err(error) = tied {
                    eprintln!("{name}: {error}");
                    if let Ok(socket) = node.stack.socket(handle) {
                        socket.abort();
                    }
                }
            }
        }
        came
    }

    /// There are descriptors again.
    fn reopen_gates(&mut self) {
        for (gate, number) in self.gates.iter_mut().zip(0..).filter(|(gate, _)| gate.paused) {
            gate.paused = self.relays.watch(&gate.listener, number).is_err();
        }
    }

    /// A peer that has closed the socket, with all connections over, is the end
    /// and no failure; unless it is what ended them.
    fn ports_ended(&self, node: &Node) -> Result<(), String> {
        let Some(sentence) = node.ports_ended() else { return Ok(()) };
        if matches!(node.down_reason(), Some(DownReason::PeerClosed))
            && self.relays.is_empty()
            && !self.failed
        {
            eprintln!("{sentence}; connections passed: {}", self.passed);
            return Ok(());
        }
        Err(sentence)
    }
}

fn is_for_later(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, Interrupted, WouldBlock};
    matches!(error.kind(), WouldBlock | Interrupted | ConnectionAborted)
}

/// A TCP socket on its way to `to`.
fn begin_connect(to: SocketAddr) -> io::Result<OwnedFd> {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let local = socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_tcp_nodelay(&local, true)?;
    match connect(local.as_fd(), &to) {
        Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(local),
        Err(error) => Err(error.into()),
    }
}

/// Lets a TCP socket end with a RST.
#[expect(clippy::disallowed_types, reason = "an operating system's timer")]
fn reset(local: &OwnedFd) {
    let _ = sockopt::set_socket_linger(local, Some(std::time::Duration::ZERO));
}
