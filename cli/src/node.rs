//! A host of our own: a stack, the port it stands on, and how it waits.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "here time enters")]

use std::fs::File;
use std::io::BufWriter;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};
use signal_hook::consts::{SIGINT, SIGTERM};
use smolsmc::{
    Config, ConnectionError, Duration, Eid, Mac, PollOutcome, PortConfig, SocketOptions, SoftNic, Stack,
    Wakeup,
};
use smolsmc_ethernet::{Pcap, Port, wait};

use crate::address;

/// The enterprise id of nodes that were given none: two smolsmc commands find
/// each other, and nobody else.
pub(crate) const DEFAULT_EID: &str = "SMOLSMC";

/// The longest sleep: so late is a signal noticed at worst that comes between
/// looking for one and falling asleep.
pub(crate) const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// How long a node that leaves waits for its peers' last words.
const FAREWELL: Duration = Duration::from_secs(5);

/// Options that all nodes share.
#[derive(Args)]
#[command(next_help_heading = "Node")]
pub(crate) struct NodeArguments {
    /// Where the Ethernet cable goes: unix:PATH, unix-listen:PATH (a socket in
    /// QEMU's framing), tap:NAME (needs CAP_NET_ADMIN or an interface made for
    /// this user) or packet:IFNAME (needs CAP_NET_RAW)
    #[arg(long, value_name = "PORT")]
    link: String,

    /// This host's address and its subnet's prefix length; once or twice
    #[arg(long, value_name = "ADDR/PREFIX", required = true, value_parser = address::subnet_address)]
    ip: Vec<(IpAddr, u8)>,

    /// The router for other subnets
    #[arg(long, value_name = "IP")]
    gateway: Option<Ipv4Addr>,

    /// This host's Ethernet address [default: made from the IP address]
    #[arg(long, value_parser = address::mac)]
    mac: Option<Mac>,

    /// Enterprise id, the preferred one first; may be repeated. Hosts without one
    /// in common fall back to TCP
    #[arg(long, value_name = "EID", default_value = DEFAULT_EID, value_parser = address::eid)]
    eid: Vec<Eid>,

    /// Octets of IP in a frame [default: 1500, or what the interface has]
    #[arg(long, value_name = "N")]
    mtu: Option<u16>,

    /// Writes all frames to this file, for `smolsmc decode`
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,

    /// SMC-R or nothing: a connection that would be TCP is an error
    #[arg(long)]
    strict: bool,

    /// How to wait: asking again and again, or asleep until something comes
    #[arg(long, value_enum, default_value_t = Mode::Interrupt)]
    mode: Mode,

    /// Results as JSON, one object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// How a node waits.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    Busy,
    Interrupt,
}

/// A host.
pub(crate) struct Node {
    pub(crate) stack: Stack<SoftNic>,
    device: [Pcap<Port, BufWriter<File>>; 1],
    name: String,
    capture: Option<PathBuf>,
    was_up: bool,
    mode: Mode,
    clock: Clock,
    stop: Arc<AtomicBool>,
}

/// Time since a node's start.
#[derive(Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Nanoseconds since the start: 64 bits are good for 584 years.
    pub(crate) fn nanos(self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn now(self) -> smolsmc::Instant {
        smolsmc::Instant::from_micros(self.nanos() / 1000)
    }
}

impl NodeArguments {
    /// What a socket of this node wants.
    pub(crate) fn socket_options(&self) -> SocketOptions {
        let mut options = SocketOptions::default();
        options.strict = self.strict;
        options
    }

    /// Opens the port and starts a stack on it; an error is one sentence.
    pub(crate) fn start(&self) -> Result<Node, String> {
        let stop = stop_on_signals().map_err(|error| format!("signals cannot be handled: {error}"))?;
        let port = Port::open_with_mtu(&self.link, self.mtu).map_err(|error| error.to_string())?;
        let clock = Clock::start();
        let stack =
            smolsmc::soft(self.config(port.mtu())?, clock.now()).map_err(|error| error.to_string())?;
        let was_up = port.is_up();
        if let Some(reason) = port.down_reason() {
            eprintln!("{}: {reason}", self.link);
        }
        let device = match &self.pcap {
            None => Pcap::without(port),
            Some(path) => {
                let file = File::create(path).map_err(|error| format!("{}: {error}", path.display()))?;
                let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
                Pcap::new(port, BufWriter::new(file), u64::try_from(epoch).unwrap_or(0))
            }
        };
        let (name, capture) = (self.link.clone(), self.pcap.clone());
        Ok(Node { stack, device: [device], name, capture, was_up, mode: self.mode, clock, stop })
    }

    fn config(&self, mtu: u16) -> Result<Config, String> {
        let mut entropy = [0; 32];
        getrandom::fill(&mut entropy).map_err(|error| format!("the system has no randomness: {error}"))?;
        let mut config = Config::new(entropy);
        config.eids.clone_from(&self.eid);
        let first = self.ip.first().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |(address, _)| *address);
        let mac = self.mac.unwrap_or_else(|| address::mac_of(first));
        let mut port = PortConfig::new(mac, mtu);
        port.addresses.clone_from(&self.ip);
        port.gateway = self.gateway;
        config.ports.push(port);
        Ok(config)
    }
}

/// Becomes true with SIGINT or SIGTERM; a second one ends the process.
fn stop_on_signals() -> std::io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

impl Node {
    /// Whether the user wants it to end.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(crate) const fn clock(&self) -> Clock {
        self.clock
    }

    pub(crate) const fn port(&self) -> &Port {
        self.device[0].device()
    }

    /// Moves the stack forward.
    pub(crate) fn poll(&mut self) -> PollOutcome {
        let outcome = self.stack.poll(self.clock.now(), &mut self.device);
        self.note_port();
        outcome
    }

    /// Why the port will carry no more frames, as a sentence.
    pub(crate) fn port_ended(&self) -> Option<String> {
        let reason = self.port().down_reason().filter(|_| self.port().has_ended())?;
        Some(format!("{}: {reason}", self.name))
    }

    /// Waits for whatever comes first: a frame, the stack's next deadline, or
    /// `most`. To be called when there was nothing to do.
    pub(crate) fn rest(&mut self, most: Duration) -> Result<(), String> {
        if self.mode == Mode::Busy {
            std::hint::spin_loop();
            return Ok(());
        }
        if self.stack.arm() {
            return Ok(());
        }
        let next = match self.stack.poll_at() {
            // What the port does not take now must wait for the port.
            Wakeup::Now if self.port().wants_write() => LONGEST_SLEEP,
            Wakeup::Now => return Ok(()),
            Wakeup::At(at) => at.since(self.clock.now()),
            Wakeup::OnInput => LONGEST_SLEEP,
        };
        self.flush();
        let sleep = next.min(most).min(LONGEST_SLEEP).micros();
        wait([self.port()], Some(std::time::Duration::from_micros(sleep)))
            .map_err(|error| format!("{}: cannot be waited for: {error}", self.name))
    }

    /// Polls until `done`, or `most` has passed; whether it was done.
    pub(crate) fn until(
        &mut self,
        most: Duration,
        mut done: impl FnMut(&mut Self) -> bool,
    ) -> Result<bool, String> {
        let end = self.clock.now() + most;
        loop {
            let outcome = self.poll();
            if done(self) {
                return Ok(true);
            }
            let left = end.since(self.clock.now());
            if left == Duration::ZERO || self.is_stopped() || self.port().has_ended() {
                return Ok(false);
            }
            if !outcome.progressed && !outcome.more {
                self.rest(left)?;
            }
        }
    }

    /// Says good-bye to the peers, and waits a while until they have heard.
    /// Sockets must have been closed.
    pub(crate) fn leave(mut self) -> Result<(), String> {
        self.until(FAREWELL, |node| !node.stack.has_connections())?;
        self.stack.leave();
        self.until(FAREWELL, |node| node.stack.is_idle())?;
        self.flush();
        Ok(())
    }

    /// Tells the user once when the port goes down for a while, and up again.
    fn note_port(&mut self) {
        let port = self.device[0].device();
        let is_up = port.is_up();
        if is_up != self.was_up && !port.has_ended() {
            match port.down_reason() {
                Some(reason) => eprintln!("{}: {reason}", self.name),
                None => eprintln!("{}: the port is up", self.name),
            }
            self.was_up = is_up;
        }
    }

    /// Hands the capture to the system; when that fails, says so once.
    fn flush(&mut self) {
        let [device] = &mut self.device;
        device.flush();
        if let (Some(error), Some(path)) = (device.error(), &self.capture) {
            eprintln!("{}: {error}; no more frames are written to it", path.display());
            self.capture = None;
        }
    }
}

/// An error with its reasons, where there are any.
pub(crate) fn sentence(error: ConnectionError) -> String {
    let ConnectionError::NotSmc { local, peer } = error else { return error.to_string() };
    let reasons: Vec<_> = [("we", local), ("peer", peer)]
        .into_iter()
        .filter_map(|(who, why)| why.map(|why| format!("{who}: {:#010x} {why}", why.0)))
        .collect();
    format!("{error} ({})", reasons.join("; "))
}
