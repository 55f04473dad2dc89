//! `smolsmc ping`: rounds of octets to an echo and back, verified and measured.

use std::net::SocketAddr;

use clap::Args;
use serde_json::json;
use smolsmc::{Duration, RecvError, SendError, SocketHandle, Transport};

use crate::address;
use crate::node::{Node, NodeArguments, sentence};
use crate::pattern;
use crate::reach::{connect, unfinished};
use crate::rtt::RoundTrips;

/// Send octets to an echo, verify that the same come back, and say how long it
/// took
///
/// One line on standard error says what carries the connection, and why if that
/// is TCP. Works with `smolsmc echo`, and with any echo of a Linux SMC or TCP
/// socket.
#[derive(Args)]
#[command(after_help = "\
Examples:
  smolsmc ping 10.9.0.1:5000 --link unix:/tmp/cable --ip 10.9.0.2/24
  smolsmc ping 10.9.0.1:5000 --link tap:tap0 --ip 10.9.0.2/24 --size 1 --count 10000 --mode busy
  smolsmc ping 10.9.0.1:5000 --link unix:guest.sock --ip 10.9.0.2/24 --eid LINUXEID --strict
  smolsmc ping 10.9.0.1:5000 --link unix:/tmp/cable --ip 10.9.0.2/24 --json | jq .rtt_us.p99
  smolsmc ping 10.9.0.1:5000 --rdma ibverbs:rxe0 --link packet:eth0 --ip 10.9.0.2/24

The exit status is 0 if every octet came back as it was sent, else 1.")]
pub(crate) struct Arguments {
    /// The echo's address and port
    #[arg(value_name = "HOST:PORT", value_parser = address::host_and_port)]
    remote: SocketAddr,

    /// Octets of each round
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1 << 30))]
    size: u32,

    /// Rounds
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    count: u32,

    /// Milliseconds from the end of a round to the next
    #[arg(long, value_name = "MS", default_value_t = 0)]
    interval: u32,

    /// Seconds to wait for the connection, and for each round
    #[arg(long, value_name = "S", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    timeout: u32,

    #[command(flatten)]
    node: NodeArguments,
}

/// Octets sent or received by one call.
const CHUNK: usize = 64 * 1024;

/// Runs the command; an error is one sentence.
pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let mut node = arguments.node.start()?;
    let options = arguments.node.socket_options();
    let (socket, transport) = connect(&mut node, arguments.remote, options, arguments.timeout)
        .map_err(|why| format!("cannot connect to {}: {why}", arguments.remote))?;
    eprintln!("{}: {transport}", arguments.remote);
    let mut round_trips = RoundTrips::default();
    let result = rounds(arguments, &mut node, socket, &mut round_trips);
    if !round_trips.is_empty() {
        report(arguments, transport, &mut round_trips);
    }
    if let Ok(socket) = node.stack.socket(socket) {
        match result {
            Ok(()) => socket.close(),
            Err(_) => socket.abort(),
        }
    }
    node.leave()?;
    result
}

fn rounds(
    arguments: &Arguments,
    node: &mut Node,
    socket: SocketHandle,
    round_trips: &mut RoundTrips,
) -> Result<(), String> {
    let mut chunk = vec![0; CHUNK.min(arguments.size as usize)];
    for number in 0..u64::from(arguments.count) {
        if number > 0 && arguments.interval > 0 {
            node.until(Duration::from_millis(arguments.interval.into()), |_| false)?;
        }
        if node.is_stopped() {
            return Ok(());
        }
        let before = node.clock().nanos();
        let mut round = Round { number, size: arguments.size.into(), sent: 0, received: 0 };
        let mut failed = None;
        let done = node.until(Duration::from_secs(arguments.timeout.into()), |node| {
            match round.go_on(node, socket, &mut chunk) {
                Ok(done) => done,
                Err(why) => {
                    failed = Some(why);
                    true
                }
            }
        })?;
        if let Some(why) = failed {
            return Err(why);
        }
        if !done {
            let why = unfinished(node, arguments.timeout);
            return Err(format!(
                "round {number} came back with {} of {} octets: {why}",
                round.received, round.size
            ));
        }
        round_trips.add(node.clock().nanos() - before);
    }
    Ok(())
}

/// Octets on their way there and back.
struct Round {
    number: u64,
    size: u64,
    sent: u64,
    received: u64,
}

impl Round {
    /// Sends and receives what can be; whether all is back.
    fn go_on(&mut self, node: &mut Node, socket: SocketHandle, chunk: &mut [u8]) -> Result<bool, String> {
        let mut socket = node.stack.socket(socket).map_err(|error| error.to_string())?;
        let mut moved = true;
        while moved && self.received < self.size {
            moved = false;
            let len = usize::try_from(self.size - self.sent).unwrap_or(usize::MAX).min(chunk.len());
            let octets = chunk.get_mut(..len).unwrap_or_default();
            if !octets.is_empty() {
                pattern::fill(octets, self.number, self.sent);
                match socket.send(octets) {
                    Ok(len) => {
                        self.sent += len as u64;
                        moved = true;
                    }
                    Err(SendError::WouldBlock) => {}
                    Err(SendError::Over(error)) => return Err(sentence(error)),
                    Err(error) => return Err(error.to_string()),
                }
            }
            match socket.recv(chunk) {
                Ok(0) => return Err("the echo closed before all was back".to_owned()),
                Ok(len) => {
                    pattern::verify(chunk.get(..len).unwrap_or_default(), self.number, self.received)?;
                    self.received += len as u64;
                    moved = true;
                }
                Err(RecvError::WouldBlock) => {}
                Err(RecvError::Over(error)) => return Err(sentence(error)),
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(self.received >= self.size)
    }
}

fn report(arguments: &Arguments, transport: Transport, round_trips: &mut RoundTrips) {
    let rounds = round_trips.len();
    if arguments.node.json {
        let object = json!({
            "kind": "ping", "remote": arguments.remote.to_string(), "transport": transport.to_string(),
            "smcr": matches!(transport, Transport::SmcR { .. }),
            "size": arguments.size, "rounds": rounds, "rtt_us": round_trips.to_json(),
        });
        println!("{object}");
    } else {
        println!("{rounds} rounds of {} octets there and back, all as sent", arguments.size);
        println!("{round_trips}");
    }
}
