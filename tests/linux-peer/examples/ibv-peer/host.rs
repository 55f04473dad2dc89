//! The stack, what it stands on, and how it waits.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use smolsmc::{Config, Eid, Mac, PortConfig, SocketHandle, Stack, Wakeup};
use smolsmc_ethernet::Port;
use smolsmc_ibv::{IbvNic, Selector};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(120);

const MAC: Mac = Mac([0x52, 0x54, 0, 0, 0x64, 2]);

pub(crate) struct Host {
    pub(crate) stack: Stack<IbvNic>,
    port: Port,
    start: Instant,
    /// What carried connections, and how many.
    told: BTreeMap<String, usize>,
}

impl Host {
    pub(crate) fn new(rdma: &Selector, link: &str, ip: Ipv4Addr, eid: &str) -> Result<Self, String> {
        let nic = IbvNic::open(std::slice::from_ref(rdma)).map_err(|error| error.to_string())?;
        let mut entropy = [0; 32];
        let filled = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut entropy));
        filled.map_err(|error| format!("randomness: {error}"))?;
        let mut config = Config::new(entropy);
        config.eids.push(Eid::from_ascii(eid).map_err(|error| error.to_string())?);
        let link = Port::open_with_mtu(link, None).map_err(|error| error.to_string())?;
        link.pass_over_roce()
            .map_err(|error| format!("the port cannot leave RoCE to the kernel: {error}"))?;
        let mut port = PortConfig::new(MAC, link.mtu());
        port.addresses.push((IpAddr::V4(ip), 24));
        port.rdma = nic.port_of(rdma);
        config.ports.push(port);
        let stack = Stack::new(config, nic, smolsmc::Instant::ZERO).map_err(|error| error.to_string())?;
        Ok(Self { stack, port: link, start: Instant::now(), told: BTreeMap::new() })
    }

    fn now(&self) -> smolsmc::Instant {
        smolsmc::Instant::from_micros(self.start.elapsed().as_micros() as u64)
    }

    /// One turn of everything; sleeps if there is nothing to do and `is_idle`.
    pub(crate) fn turn(&mut self, is_idle: bool) -> Result<(), String> {
        let now = self.now();
        let outcome = self.stack.poll(now, core::slice::from_mut(&mut self.port));
        if outcome.progressed || outcome.more || !is_idle || self.stack.arm() {
            return Ok(());
        }
        let sleep = match self.stack.poll_at() {
            Wakeup::Now => return Ok(()),
            Wakeup::At(at) => at.since(self.now()).micros(),
            Wakeup::OnInput => u64::MAX,
        };
        let timeout = Timespec::try_from(Duration::from_micros(sleep).min(Duration::from_secs(1))).ok();
        let write = if self.port.wants_write() { PollFlags::OUT } else { PollFlags::empty() };
        let port = PollFd::from_borrowed_fd(self.port.as_fd(), PollFlags::IN | write);
        let nic = self.stack.provider_mut();
        let mut descriptors = [port, PollFd::new(nic, PollFlags::IN)];
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

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Done,
    Moved,
    Idle,
}
