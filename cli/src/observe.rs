//! `smolsmc ss` and `smolsmc stats`: what a running node has and has done.

mod stats;
mod table;

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use clap::Args;
use serde_json::{Value, json};

use crate::node::stop_on_signals;

/// Seconds that a node that says nothing is waited for; it answers within milliseconds.
const PATIENCE: u64 = 5;

/// Octets an answer may have, some 100 000 connections.
const MOST: u64 = 64 << 20;

/// How a node is asked.
#[derive(Args)]
struct Asking {
    /// The node's socket: what it was given as --control
    #[arg(long, value_name = "PATH")]
    control: PathBuf,

    /// Again every so many seconds, until Ctrl-C or the node's end
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    live: Option<u32>,

    /// As JSON, one object a line
    #[arg(long)]
    json: bool,
}

/// List the connections of a running node, in the columns of smcss
///
/// The node must have been started with --control. UID is the node's; an Inode
/// there is none; Intf is the number of the --link.
#[derive(Args)]
#[command(after_help = "\
Examples:
  smolsmc echo 5000 --link unix-listen:/tmp/cable --ip 10.9.0.1/24 --control /tmp/node
  smolsmc ss --control /tmp/node
  smolsmc ss --control /tmp/node --smcr --live 1
  smolsmc ss --control /tmp/node --json | jq '.connections[] | select(.mode != \"SMCR\")'")]
pub(crate) struct SsArguments {
    #[command(flatten)]
    asking: Asking,

    /// Listeners as well
    #[arg(long, short)]
    all: bool,

    /// Rings and counts of each connection
    #[arg(long, short = 'D')]
    details: bool,

    /// Link and GIDs of each SMC-R connection
    #[arg(long, short = 'R')]
    smcr: bool,

    /// Link groups and links instead of connections, in the columns of smcr
    #[arg(long, short)]
    groups: bool,
}

/// Show what a running node has done, in the shape of smcr stats
///
/// The node must have been started with --control. Only SMC-R connections count
/// below RX and TX, those that have ended included.
#[derive(Args)]
#[command(after_help = "\
Examples:
  smolsmc stats --control /tmp/node
  smolsmc stats --control /tmp/node --live 1
  smolsmc stats --control /tmp/node --json | jq .stats.smcr.octets_sent")]
pub(crate) struct StatsArguments {
    #[command(flatten)]
    asking: Asking,
}

/// Runs `ss`; an error is one sentence.
pub(crate) fn ss(arguments: &SsArguments) -> Result<(), String> {
    let asking = &arguments.asking;
    asking.run(|snapshot, out| {
        if asking.json {
            let kept = ["node", "listeners", "connections", "groups"];
            return writeln!(out, "{}", part("ss", snapshot, &kept));
        }
        if arguments.groups {
            return table::groups(snapshot, out);
        }
        let columns =
            table::Columns { listeners: arguments.all, details: arguments.details, smcr: arguments.smcr };
        table::connections(snapshot, columns, out)
    })
}

/// Runs `stats`; an error is one sentence.
pub(crate) fn stats(arguments: &StatsArguments) -> Result<(), String> {
    let asking = &arguments.asking;
    asking.run(|snapshot, out| {
        if asking.json {
            return writeln!(out, "{}", part("stats", snapshot, &["node", "uptime_us", "stats"]));
        }
        stats::show(snapshot, out)
    })
}

fn part(kind: &str, snapshot: &Value, kept: &[&str]) -> Value {
    let mut object = json!({ "kind": kind });
    for name in kept {
        object[*name] = snapshot[*name].clone();
    }
    object
}

impl Asking {
    /// Asks and shows, once or until somebody has had enough.
    fn run(&self, show: impl Fn(&Value, &mut dyn Write) -> io::Result<()>) -> Result<(), String> {
        let stop = stop_on_signals().map_err(|error| format!("signals cannot be handled: {error}"))?;
        let mut out = io::stdout().lock();
        let mut first = true;
        loop {
            let snapshot = match self.ask() {
                // Its end is the end of looking on.
                Err(_) if !first => return Ok(()),
                snapshot => snapshot?,
            };
            if !first && !self.json {
                let _ = writeln!(out);
            }
            match show(&snapshot, &mut out).and_then(|()| out.flush()) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                Err(error) => return Err(format!("the output cannot be written: {error}")),
                Ok(()) => {}
            }
            first = false;
            let Some(seconds) = self.live else { return Ok(()) };
            for _ in 0..seconds * 20 {
                if stop.load(Ordering::Relaxed) {
                    return Ok(());
                }
                pause();
            }
        }
    }

    fn ask(&self) -> Result<Value, String> {
        let path = self.control.display();
        let hint = |error: &io::Error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                "; is a node running with this --control?"
            }
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                "; whoever listens there says nothing, and is no smolsmc node"
            }
            _ => "",
        };
        let named = |error: io::Error| format!("{path}: {error}{}", hint(&error));
        let mut text = Vec::new();
        UnixStream::connect(&self.control)
            .and_then(|stream| {
                limit_patience(&stream)?;
                stream.take(MOST).read_to_end(&mut text)
            })
            .map_err(named)?;
        if text.len() as u64 == MOST {
            return Err(format!("{path}: the answer is longer than {} MiB", MOST >> 20));
        }
        let snapshot: Option<Value> = serde_json::from_slice(&text).ok();
        snapshot
            .filter(|snapshot| snapshot["kind"] == "node")
            .ok_or_else(|| format!("{path}: whoever listens there is no smolsmc node"))
    }
}

#[expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "somebody looks on, in his own time")]
fn pause() {
    std::thread::sleep(std::time::Duration::from_millis(50));
}

#[expect(clippy::disallowed_types, reason = "the socket counts the time, not a stack")]
fn limit_patience(stream: &UnixStream) -> io::Result<()> {
    stream.set_read_timeout(Some(std::time::Duration::from_secs(PATIENCE)))
}
