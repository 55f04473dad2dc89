//! `smolsmc nc`: standard input and output over a connection.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use clap::Args;
use serde_json::json;
use smolsmc::{Duration, ListenOptions, SocketHandle, SocketOptions, Transport};

use crate::address;
use crate::node::{Node, NodeArguments, Served, Service};
use crate::reach::{connect, listen};
use crate::relay::{Broken, Counts, News, Relays};

/// Send standard input to a peer, and write what it sends to standard output
///
/// The end of standard input closes that direction alone: what the peer still
/// sends is written until it has ended too. Neither side is read faster than the
/// other takes it. One line on standard error says what carries the connection,
/// and why if that is TCP.
#[derive(Args)]
#[command(after_help = "\
Examples:
  smolsmc nc -l 5000 --link unix-listen:/tmp/cable --ip 10.9.0.1/24 > copy.tar
  smolsmc nc 10.9.0.1 5000 --link unix:/tmp/cable --ip 10.9.0.2/24 < files.tar
                                         a file to the other end, whole or an error
  echo GET / | smolsmc nc 10.9.0.1 80 --link tap:tap0 --ip 10.9.0.2/24
  smolsmc nc 10.9.0.1 5000 --link packet:eth1 --ip 10.9.0.2/24 --eid MYEID --strict

The exit status is 0 if both directions came to their end in order, else 1. With
--json, what was done is told on standard error.")]
pub(crate) struct Arguments {
    /// Wait for one connection, instead of making one
    #[arg(long, short)]
    listen: bool,

    /// The peer's address and port; with --listen a port, perhaps after one of
    /// this host's addresses
    #[arg(value_names = ["HOST", "PORT"], num_args = 1..=2, required = true)]
    place: Vec<String>,

    /// Seconds to wait for a connection that is made
    #[arg(long, value_name = "S", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    timeout: u32,

    #[command(flatten)]
    node: NodeArguments,
}

/// Whom to talk to.
enum Place {
    Peer(SocketAddr),
    Here(Option<IpAddr>, u16),
}

impl Arguments {
    fn place(&self) -> Result<Place, String> {
        let named = |text: &str, why: String| format!("invalid value '{text}': {why}");
        let host = |text: &str| address::host(text).map_err(|why| named(text, why));
        let port = |text: &str| address::port(text).map_err(|why| named(text, why));
        match self.place.as_slice() {
            [here] if self.listen => Ok(Place::Here(None, port(here)?)),
            [address, here] if self.listen => Ok(Place::Here(Some(host(address)?), port(here)?)),
            [peer] => address::host_and_port(peer).map(Place::Peer).map_err(|why| named(peer, why)),
            [address, there] => Ok(Place::Peer(SocketAddr::new(host(address)?, port(there)?))),
            _ => Err("an address and a port are wanted".to_owned()),
        }
    }
}

/// Runs the command; an error is one sentence.
pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let place = arguments.place()?;
    let mut node = arguments.node.start()?;
    let Some((socket, remote, transport)) = meet(arguments, &place, &mut node)? else { return node.leave() };
    eprintln!("{remote}: {transport}");
    let standard = standard().map_err(|error| format!("standard input and output: {error}"))?;
    let Standard { socket: local, input, output } = standard;
    let mut talk = Talk::new(local, input, socket, remote).map_err(|error| format!("{remote}: {error}"))?;
    node.run(&mut talk)?;
    let ports_ended = node.ports_ended();
    let interrupted = node.is_stopped();
    talk.relays.reset_all(&mut node.stack);
    node.leave()?;
    let end = match talk.end {
        Some(end) => end,
        None if interrupted => return Err("interrupted".to_owned()),
        None => return Err(ports_ended.unwrap_or_default()),
    };
    // All of it has left the stack; whoever reads may take his time.
    let written = output.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()));
    if arguments.node.json {
        report(remote, transport, talk.counts, end.as_ref().err());
    }
    match (written, end) {
        // What broke may be standard output, and its thread knows better why.
        (Err(error), Ok(()) | Err(Broken::Local(_))) => Err(format!("standard output: {error}")),
        (_, end) => end.map_err(|why| match why {
            Broken::Input(error) => format!("standard input: {error}"),
            why => format!("{remote}: {why}"),
        }),
    }
}

/// A connection made, or the one that came; none if the user did not want to
/// wait.
fn meet(
    arguments: &Arguments,
    place: &Place,
    node: &mut Node,
) -> Result<Option<(SocketHandle, SocketAddr, Transport)>, String> {
    let mut options: SocketOptions = arguments.node.socket_options();
    // Every octet that is sent is to come out.
    options.urgent_inline = true;
    match *place {
        Place::Peer(remote) => {
            let (socket, transport) = connect(node, remote, options, arguments.timeout)
                .map_err(|why| format!("cannot connect to {remote}: {why}"))?;
            Ok(Some((socket, remote, transport)))
        }
        Place::Here(address, port) => {
            let mut wanted = ListenOptions::USUAL;
            wanted.socket = options;
            let listeners = listen(node, address, port, wanted)?;
            let mut came = None;
            while came.is_none() && !node.is_stopped() && !node.has_ended() {
                node.until(Duration::from_secs(3600), |node| {
                    came = listeners.iter().find_map(|listener| node.stack.accept(*listener));
                    came.is_some()
                })?;
            }
            for listener in listeners {
                node.stack.unlisten(listener);
            }
            let Some(handle) = came else { return node.ports_ended().map_or(Ok(None), Err) };
            let socket = node.stack.socket(handle).map_err(|error| error.to_string())?;
            let remote = socket.remote_addr();
            let transport = socket.transport().ok_or("the connection is gone")?;
            Ok(Some((handle, remote, transport)))
        }
    }
}

/// Standard input and output as one local socket. Two threads serve a direction
/// each: they may block, and must be left as they are, since other programs may
/// have the same pipes or terminal.
struct Standard {
    socket: OwnedFd,
    input: Arc<Mutex<Option<io::Error>>>,
    output: JoinHandle<io::Result<()>>,
}

/// Octets passed on at once.
const CHUNK: usize = 64 * 1024;

/// Copies to the end, and everything as soon as it is there. (`io::copy` splices,
/// and a splice that waits for a socket holds the pipe so that nobody can read
/// what is in it.)
fn pass_on(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut octets = vec![0; CHUNK];
    loop {
        match from.read(&mut octets) {
            Ok(0) => return Ok(()),
            Ok(len) => to.write_all(octets.get(..len).unwrap_or_default())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a terminal or a pipe may block, and the stack must not")]
fn standard() -> io::Result<Standard> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut stdin = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let (mut into, mut out_of) = (theirs.try_clone()?, theirs);
    let input = Arc::new(Mutex::new(None));
    let failed = Arc::clone(&input);
    thread::spawn(move || {
        match pass_on(&mut stdin, &mut into) {
            // Whoever takes it has gone, and knows better why.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) => *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error),
            Ok(()) => {}
        }
        drop(into.shutdown(Shutdown::Write));
    });
    let output = thread::spawn(move || {
        let copied = pass_on(&mut out_of, &mut stdout);
        drop(out_of.shutdown(Shutdown::Read));
        // Whoever reads is to see the end now, not when this process has ended.
        drop(stdout);
        let nowhere = File::create("/dev/null")?;
        rustix::stdio::dup2_stdout(&nowhere)?;
        copied
    });
    Ok(Standard { socket: ours.into(), input, output })
}

/// The one conversation.
struct Talk {
    relays: Relays,
    /// Why standard input cannot be read.
    input: Arc<Mutex<Option<io::Error>>>,
    counts: Counts,
    end: Option<Result<(), Broken>>,
}

impl Talk {
    fn new(
        local: OwnedFd,
        input: Arc<Mutex<Option<io::Error>>>,
        socket: SocketHandle,
        remote: SocketAddr,
    ) -> io::Result<Self> {
        let mut relays = Relays::new()?;
        relays.end_with_peer = io::stdin().is_terminal();
        relays.tie(local, socket, remote.to_string(), false)?;
        Ok(Self { relays, input, counts: Counts::default(), end: None })
    }
}

impl Service for Talk {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.relays.descriptor())
    }

    fn serve(&mut self, node: &mut Node) -> Result<Served, String> {
        let Self { relays, input, counts, end } = self;
        let tell = |news| {
            if let News::End { counts: moved, why, .. } = news {
                *counts = moved;
                *end = Some(why);
            }
        };
        let moved = relays.step(&mut node.stack, tell, |_| {}).map_err(|error| error.to_string())?;
        // What could not be read is no end of the stream: the peer must not take it
        // for one.
        if let Some(error) = input.lock().unwrap_or_else(PoisonError::into_inner).take() {
            relays.reset_all(&mut node.stack);
            *end = Some(Err(Broken::Input(error)));
        }
        Ok(if end.is_some() { Served::Done } else { Served::busy_if(moved) })
    }
}

fn report(remote: SocketAddr, transport: Transport, counts: Counts, error: Option<&Broken>) {
    let object = json!({
        "kind": "nc", "remote": remote.to_string(), "transport": transport.to_string(),
        "smcr": matches!(transport, Transport::SmcR { .. }),
        "sent": counts.sent, "received": counts.received, "error": error.map(ToString::to_string),
    });
    eprintln!("{object}");
}
