//! The stack, what it stands on, and how it waits.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use smolsmc::{Config, Eid, LinkSummary, Mac, PortConfig, SocketHandle, Stack, Wakeup};
use smolsmc_ethernet::Port;
use smolsmc_ibv::{IbvNic, Selector};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Between two lines that say how much came.
const MARK: u64 = 1 << 20;

pub(crate) struct Host {
    pub(crate) stack: Stack<IbvNic>,
    ports: Vec<Port>,
    start: Instant,
    /// Active links of the largest group, as last told.
    links: usize,
    /// Octets that came, of all connections.
    received: u64,
    /// What carried connections, and how many.
    told: BTreeMap<String, usize>,
}

impl Host {
    /// One port for each device, in the same order.
    pub(crate) fn new(
        rdma: &[Selector],
        links: &[String],
        ips: &[Ipv4Addr],
        eid: &str,
    ) -> Result<Self, String> {
        let nic = IbvNic::open(rdma).map_err(|error| error.to_string())?;
        let mut entropy = [0; 32];
        let filled = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut entropy));
        filled.map_err(|error| format!("randomness: {error}"))?;
        let mut config = Config::new(entropy);
        config.eids.push(Eid::from_ascii(eid).map_err(|error| error.to_string())?);
        let mut ports = Vec::new();
        for (((rdma, link), ip), number) in rdma.iter().zip(links).zip(ips).zip(2..) {
            let link = Port::open_with_mtu(link, None).map_err(|error| error.to_string())?;
            link.pass_over_roce()
                .map_err(|error| format!("the port cannot leave RoCE to the kernel: {error}"))?;
            let mut port = PortConfig::new(Mac([0x52, 0x54, 0, 0, 0x64, number]), link.mtu());
            port.addresses.push((IpAddr::V4(*ip), 24));
            port.rdma = nic.port_of(rdma);
            config.ports.push(port);
            ports.push(link);
        }
        config.max_links = if ports.len() > 1 { 2 } else { 1 };
        let stack = Stack::new(config, nic, smolsmc::Instant::ZERO).map_err(|error| error.to_string())?;
        Ok(Self { stack, ports, start: Instant::now(), links: 0, received: 0, told: BTreeMap::new() })
    }

    fn now(&self) -> smolsmc::Instant {
        smolsmc::Instant::from_micros(self.start.elapsed().as_micros() as u64)
    }

    /// One turn of everything; sleeps if there is nothing to do and `is_idle`.
    pub(crate) fn turn(&mut self, is_idle: bool) -> Result<(), String> {
        let now = self.now();
        let outcome = self.stack.poll(now, &mut self.ports);
        self.tell_links();
        if outcome.progressed || outcome.more || !is_idle || self.stack.arm() {
            return Ok(());
        }
        let sleep = match self.stack.poll_at() {
            Wakeup::Now => return Ok(()),
            Wakeup::At(at) => at.since(self.now()).micros(),
            Wakeup::OnInput => u64::MAX,
        };
        let timeout = Timespec::try_from(Duration::from_micros(sleep).min(Duration::from_secs(1))).ok();
        let mut descriptors: Vec<_> = self.ports.iter().map(wanted).collect();
        descriptors.push(PollFd::new(self.stack.provider_mut(), PollFlags::IN));
        match poll(&mut descriptors, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(format!("cannot wait: {error}")),
        }
    }

    /// Takes turns until `done` says so; it also says whether it moved something.
    pub(crate) fn until(
        &mut self,
        what: &str,
        mut step: impl FnMut(&mut Self) -> Result<Step, String>,
    ) -> Result<(), String> {
        let mut since = Instant::now();
        loop {
            let step = step(self)?;
            match step {
                Step::Done => return Ok(()),
                Step::Moved => since = Instant::now(),
                Step::Idle if since.elapsed() > PATIENCE => {
                    return Err(format!("{what}: nothing happened for {} s", PATIENCE.as_secs()));
                }
                Step::Idle => {}
            }
            self.turn(step == Step::Idle)?;
        }
    }

    /// Octets have come, all right.
    pub(crate) fn came(&mut self, octets: u64) {
        let before = self.received / MARK;
        self.received += octets;
        if self.received / MARK > before {
            println!("{} MiB came", self.received / MARK);
        }
    }

    /// How many links of our largest group carry data; told whenever it changes.
    pub(crate) const fn links(&self) -> usize {
        self.links
    }

    fn tell_links(&mut self) {
        // With one device there is one link, and a group for each 255 connections.
        if self.ports.len() < 2 {
            self.links = 1;
            return;
        }
        let groups = self.stack.groups();
        let active = |links: &[LinkSummary]| links.iter().filter(|link| link.is_active).count();
        let links = groups.iter().map(|group| active(&group.links)).max().unwrap_or(0);
        match links.cmp(&self.links) {
            Ordering::Less => println!("{links} of {} links left after {} octets", self.links, self.received),
            Ordering::Equal => {}
            Ordering::Greater => println!("links: {links}"),
        }
        self.links = links;
    }

    /// Remembers what carries a connection.
    pub(crate) fn tell(&mut self, socket: SocketHandle) {
        let Ok(socket) = self.stack.socket(socket) else { return };
        let Some(transport) = socket.transport() else { return };
        let text = transport.to_string();
        let kind = if text.starts_with("SMC-R") { "SMC-R".to_owned() } else { text.clone() };
        let count = self.told.entry(kind).or_default();
        *count += 1;
        if *count == 1 {
            println!("carried by {text}");
        }
    }

    /// Ends everything in order, and says what there was.
    pub(crate) fn leave(&mut self) -> Result<(), String> {
        let step = |done| if done { Step::Done } else { Step::Idle };
        self.until("the end of connections", |host| Ok(step(!host.stack.has_connections())))?;
        self.stack.leave();
        self.until("the end of link groups", |host| Ok(step(host.stack.is_idle())))?;
        for (kind, count) in &self.told {
            println!("{count} over {kind}");
        }
        Ok(())
    }
}

/// What to wait for at a port.
fn wanted(port: &Port) -> PollFd<'_> {
    let write = if port.wants_write() { PollFlags::OUT } else { PollFlags::empty() };
    PollFd::from_borrowed_fd(port.as_fd(), PollFlags::IN | write)
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Done,
    Moved,
    Idle,
}
