//! `smolsmc echo`: sends back what comes.

use std::net::SocketAddr;

use clap::Args;
use serde_json::json;
use smolsmc::{ListenOptions, ListenerHandle, RecvError, SendError, SocketHandle, Stack};
use smolsmc_ethernet::DownReason;

use crate::node::{Nic, Node, NodeArguments, Served, Service, sentence};
use crate::reach::listen;

/// Be a host that sends back what it receives, over SMC-R or TCP
///
/// With --sink it is what `smolsmc conform` wants at the other end. One line on
/// standard error for each connection says what carries it, and why
/// if that is TCP. Ends on Ctrl-C, or when the peer of a socket has closed it.
#[derive(Args)]
#[command(after_help = "\
Examples:
  smolsmc echo 5000 --link unix-listen:/tmp/cable --ip 10.9.0.1/24
  smolsmc ping 10.9.0.1:5000 --link unix:/tmp/cable --ip 10.9.0.2/24    the other end

  qemu-system-x86_64 … -netdev stream,id=n,server=off,addr.type=unix,addr.path=/tmp/cable
                                         a guest at the other end, its NIC being on netdev n
  smolsmc echo 5000 --link tap:tap0 --ip 10.9.0.1/24 --pcap echo.pcap
  smolsmc echo 5000 --link packet:eth1 --ip 10.9.0.1/24 --eid MYEID --strict
  smolsmc echo 5000 --rdma ibverbs:mlx5_0 --link packet:eth1 --ip 10.9.0.1/24    over an RDMA device")]
pub(crate) struct Arguments {
    /// The TCP port to listen on
    #[arg(value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,

    /// Another port, on which octets are received and thrown away
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    sink: Option<u16>,

    #[command(flatten)]
    node: NodeArguments,
}

/// Octets on their way back, of each connection.
const BUFFER_LEN: usize = 16 * 1024;

/// Runs the command; an error is one sentence.
pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let mut node = arguments.node.start()?;
    let mut options = ListenOptions::USUAL;
    options.socket = arguments.node.socket_options();
    let listeners = listen(&mut node, None, arguments.port, options)?;
    let sinks = arguments.sink.map_or(Ok(Vec::new()), |port| listen(&mut node, None, port, options))?;
    let listeners = listeners.into_iter().map(|listener| (listener, false));
    let listeners = listeners.chain(sinks.into_iter().map(|listener| (listener, true))).collect();
    let mut service =
        Echoes { listeners, echoes: Vec::new(), served: 0, failed: false, json: arguments.node.json };
    node.run(&mut service)?;
    if node.has_ended() {
        return service.ports_ended(&node);
    }
    service.close_all(&mut node.stack);
    node.leave()
}

struct Echoes {
    /// Whether what comes there is thrown away.
    listeners: Vec<(ListenerHandle, bool)>,
    echoes: Vec<Echo>,
    served: u64,
    /// A connection failed in the last turn.
    failed: bool,
    json: bool,
}

/// One connection.
struct Echo {
    socket: SocketHandle,
    remote: SocketAddr,
    octets: Box<[u8]>,
    /// Received and not sent back yet.
    waiting: std::ops::Range<usize>,
    echoed: u64,
    ended: bool,
    /// Nothing is sent back.
    sink: bool,
}

impl Service for Echoes {
    fn serve(&mut self, node: &mut Node) -> Result<Served, String> {
        for index in 0..self.listeners.len() {
            let Some((listener, sink)) = self.listeners.get(index).copied() else { break };
            while let Some(socket) = node.stack.accept(listener) {
                self.welcome(&mut node.stack, socket, sink);
            }
        }
        Ok(Served::busy_if(self.echo(&mut node.stack)))
    }
}

impl Echoes {
    fn welcome(&mut self, stack: &mut Stack<Nic>, handle: SocketHandle, sink: bool) {
        let Ok(socket) = stack.socket(handle) else { return };
        let remote = socket.remote_addr();
        self.served += 1;
        if let Some(transport) = socket.transport() {
            eprintln!("{remote}: {transport}");
            if self.json {
                println!(
                    "{}",
                    json!({ "kind": "connection", "peer": remote.to_string(), "transport": transport.to_string() })
                );
            }
        }
        let octets = vec![0; BUFFER_LEN].into();
        self.echoes.push(Echo {
            socket: handle,
            remote,
            octets,
            waiting: 0..0,
            echoed: 0,
            ended: false,
            sink,
        });
    }

    /// Sends back what can be; whether anything was moved.
    fn echo(&mut self, stack: &mut Stack<Nic>) -> bool {
        let mut moved = false;
        let json = self.json;
        let mut failed = false;
        self.echoes.retain_mut(|echo| {
            let before = (echo.waiting.clone(), echo.echoed);
            let done = echo.serve(stack);
            moved |= done.is_err() || (echo.waiting.clone(), echo.echoed) != before;
            match done {
                Ok(()) if echo.ended && echo.waiting.is_empty() => {
                    if let Ok(socket) = stack.socket(echo.socket) {
                        socket.close();
                    }
                    echo.tell_end(json, None);
                    moved = true;
                    false
                }
                Ok(()) => true,
                Err(why) => {
                    if let Ok(socket) = stack.socket(echo.socket) {
                        socket.abort();
                    }
                    eprintln!("{}: {why}", echo.remote);
                    echo.tell_end(json, Some(&why));
                    failed = true;
                    false
                }
            }
        });
        self.failed = failed;
        moved
    }

    fn close_all(&mut self, stack: &mut Stack<Nic>) {
        for echo in self.echoes.drain(..) {
            if let Ok(socket) = stack.socket(echo.socket) {
                socket.close();
            }
        }
    }

    /// A peer that has closed the socket, with all of its connections over, is
    /// the end of the service and no failure; unless it is what ended them.
    fn ports_ended(&self, node: &Node) -> Result<(), String> {
        let Some(sentence) = node.ports_ended() else { return Ok(()) };
        let is_closed = matches!(node.down_reason(), Some(DownReason::PeerClosed));
        if is_closed && self.served > 0 && self.echoes.is_empty() && !self.failed {
            eprintln!("{sentence}; connections served: {}", self.served);
            return Ok(());
        }
        Err(sentence)
    }
}

impl Echo {
    /// Moves octets in and out until nothing more can be; an error is why the
    /// connection is over.
    fn serve(&mut self, stack: &mut Stack<Nic>) -> Result<(), String> {
        let mut socket = stack.socket(self.socket).map_err(|error| error.to_string())?;
        loop {
            while !self.waiting.is_empty() {
                match socket.send(self.octets.get(self.waiting.clone()).unwrap_or_default()) {
                    Ok(len) => {
                        self.waiting.start += len;
                        self.echoed += len as u64;
                    }
                    Err(SendError::WouldBlock) => return Ok(()),
                    Err(SendError::Over(error)) => return Err(sentence(error)),
                    Err(error) => return Err(error.to_string()),
                }
            }
            if self.ended {
                return Ok(());
            }
            match socket.recv(&mut self.octets) {
                Ok(0) => self.ended = true,
                Ok(_) if self.sink => {}
                Ok(len) => self.waiting = 0..len,
                Err(RecvError::WouldBlock) => return Ok(()),
                Err(RecvError::Over(error)) => return Err(sentence(error)),
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    fn tell_end(&self, json: bool, why: Option<&str>) {
        if json {
            let peer = self.remote.to_string();
            println!("{}", json!({ "kind": "end", "peer": peer, "octets": self.echoed, "error": why }));
        }
    }
}
