use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr};

use smolsmc::{Config, Eid, Mac, PortConfig, SoftNic, Stack, Wakeup};
use smolsmc_wire::{Duration, Instant};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};

use super::cable::Cable;
use super::{Faults, Random};

/// Whole stacks on one simulated Ethernet, one clock, one seed. Frames find
/// their way by MAC address, as on a switch that knows everybody.
pub struct Lan {
    hosts: Vec<Host>,
    in_flight: BinaryHeap<Reverse<Flight>>,
    now: Instant,
    numbers: u64,
    random: Random,
    trace: DefaultHasher,
    /// Changes frames on their way, by the host that sent them.
    pub meddler: Option<Meddler>,
    /// Every frame that was sent, and when, if it is kept.
    pub log: Option<Vec<(Instant, Vec<u8>)>>,
}

/// Sees every frame that is sent, with its host, and may change it.
pub type Meddler = Box<dyn FnMut(usize, &mut Vec<u8>)>;

struct Host {
    stack: Stack<SoftNic>,
    /// By port.
    devices: Vec<Queues>,
    macs: Vec<Mac>,
    /// Of what each port sends.
    cables: Vec<Cable>,
    /// It is polled once in so long, and when next.
    pace: Option<(Duration, Instant)>,
    /// It asked to be polled again at once.
    has_more: bool,
    /// Its RoCE frames are lost.
    without_roce: bool,
    /// By port: RoCE frames sent, and after how many the path is dead.
    roce_sent: Vec<(u64, u64)>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flight {
    at: Instant,
    number: u64,
    /// Host and port.
    to: (usize, usize),
    frame: Vec<u8>,
}

/// Time moves at least so far when nothing is to be done.
const IDLE: Duration = Duration::from_millis(10);

/// The address of a host in a [`Lan`].
#[must_use]
pub const fn address_of(host: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 9, 0, host as u8 + 1))
}

/// A second port for [`host_config`], in a network of its own, and two links a
/// group.
pub fn second_port(host: usize, config: &mut Config) {
    let number = host as u8 + 1;
    let mut port = PortConfig::new(Mac([0x52, 0x54, 0, 0, 1, number]), 1500);
    port.addresses.push((IpAddr::V4(Ipv4Addr::new(10, 9, 1, number)), 24));
    config.ports.push(port);
    config.max_links = 2;
}

/// The usual configuration of a host: one port, enterprise id `SIM`.
///
/// # Panics
/// Never.
#[must_use]
pub fn host_config(host: usize, random: &mut Random) -> Config {
    let mut entropy = [0; 32];
    for word in entropy.chunks_exact_mut(8) {
        word.copy_from_slice(&random.number().to_le_bytes());
    }
    let mut config = Config::new(entropy);
    config.eids.push(Eid::from_ascii("SIM").expect("a UEID"));
    let mut port = PortConfig::new(Mac([0x52, 0x54, 0, 0, 0, host as u8 + 1]), 1500);
    port.addresses.push((address_of(host), 24));
    config.ports.push(port);
    config
}

impl Lan {
    /// Hosts of these configurations, on a clean wire.
    ///
    /// # Panics
    /// If a configuration is refused.
    #[must_use]
    pub fn new(seed: u64, configs: Vec<Config>) -> Self {
        Self::with(seed, configs, |config, now| smolsmc::soft(config, now).expect("a sound configuration"))
    }

    /// Hosts of these configurations, whose stacks are made by `make`.
    pub fn with(
        seed: u64,
        configs: Vec<Config>,
        mut make: impl FnMut(Config, Instant) -> Stack<SoftNic>,
    ) -> Self {
        let now = Instant::from_millis(1);
        let host = |config: Config| Host {
            macs: config.ports.iter().map(|port| port.mac).collect(),
            devices: config.ports.iter().map(|_| Queues::default()).collect(),
            cables: config.ports.iter().map(|_| Cable::default()).collect(),
            roce_sent: config.ports.iter().map(|_| (0, u64::MAX)).collect(),
            stack: make(config, now),
            pace: None,
            has_more: false,
            without_roce: false,
        };
        Self {
            hosts: configs.into_iter().map(host).collect(),
            in_flight: BinaryHeap::new(),
            now,
            numbers: 0,
            random: Random::new(seed),
            trace: DefaultHasher::new(),
            meddler: None,
            log: None,
        }
    }

    /// `count` usual hosts, changed by `change`.
    #[must_use]
    pub fn of(seed: u64, count: usize, change: impl Fn(usize, &mut Config)) -> Self {
        let mut random = Random::new(seed);
        let configs = (0..count).map(|host| {
            let mut config = host_config(host, &mut random);
            change(host, &mut config);
            config
        });
        let configs = configs.collect();
        Self::new(random.number(), configs)
    }

    /// A host's stack.
    pub fn stack(&mut self, host: usize) -> &mut Stack<SoftNic> {
        &mut self.hosts[host].stack
    }

    /// Replaces a host by a new life of it; nothing of the old one is left.
    ///
    /// # Panics
    /// If the configuration is refused.
    pub fn restart(&mut self, host: usize, config: Config) {
        let stack = smolsmc::soft(config, self.now).expect("a sound configuration");
        self.restart_as(host, stack);
    }

    /// As [`Lan::restart`], with a stack that was made already.
    pub fn restart_as(&mut self, host: usize, stack: Stack<SoftNic>) {
        let host = &mut self.hosts[host];
        host.stack = stack;
        host.devices.fill_with(Queues::default);
    }

    /// What happens to frames that this host sends from now on, on all ports.
    pub fn set_faults(&mut self, host: usize, faults: Faults) {
        for cable in &mut self.hosts[host].cables {
            cable.faults = faults.clone();
        }
    }

    /// What happens to frames that this host sends on one port from now on.
    pub fn set_port_faults(&mut self, host: usize, port: usize, faults: Faults) {
        self.hosts[host].cables[port].faults = faults;
    }

    /// From the `after`th RoCE frame on that this host sends on a port, all are
    /// lost, and all that would arrive there too; counted from now. Returns how
    /// many were counted before.
    pub fn cut_roce(&mut self, host: usize, port: usize, after: u64) -> u64 {
        let (sent, _) = std::mem::replace(&mut self.hosts[host].roce_sent[port], (0, after));
        sent
    }

    /// Whether RoCE frames of this host are lost, as behind a firewall.
    pub fn block_roce(&mut self, host: usize, block: bool) {
        self.hosts[host].without_roce = block;
    }

    /// From now on this host is polled once in so long, whatever comes: with a
    /// small [`Limits::completions`](smolsmc::Limits::completions) its NIC
    /// acknowledges what it works on only later.
    pub fn set_pace(&mut self, host: usize, every: Duration) {
        self.hosts[host].pace = Some((every, self.now));
    }

    /// From now on this host's first port takes so many frames until the next step, as a
    /// NIC with a short queue.
    pub fn set_room(&mut self, host: usize, frames: usize) {
        self.set_port_room((host, 0), frames);
    }

    /// As [`Lan::set_room`], of any of the host's ports.
    pub fn set_port_room(&mut self, (host, port): (usize, usize), frames: usize) {
        self.hosts[host].devices[port].room = Some(frames);
    }

    /// The time.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// A number that is the same only for the same frames at the same times.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.trace.finish()
    }

    /// Polls every host until it has nothing to do now, carries their frames,
    /// and moves the clock to what comes next.
    pub fn step(&mut self) {
        self.step_within(Duration::from_micros(u64::MAX));
    }

    /// As [`Lan::step`], but moves the clock so far at most.
    pub fn step_within(&mut self, most: Duration) {
        let latest = self.now + most;
        for host in 0..self.hosts.len() {
            self.turn(host);
        }
        let wakeups = self.hosts.iter_mut().map(|host| {
            let at = match host.stack.poll_at() {
                Wakeup::Now => Some(self.now),
                Wakeup::At(at) => Some(at),
                Wakeup::OnInput => None,
            };
            match host.pace {
                Some((_, next)) if host.has_more => Some(next),
                Some((_, next)) => at.map(|at| at.max(next)),
                None => at,
            }
        });
        let next = wakeups.flatten().min().into_iter();
        let next = next.chain(self.in_flight.peek().map(|Reverse(flight)| flight.at)).min();
        let next = next.unwrap_or(self.now + IDLE).max(self.now + Duration::from_micros(1));
        self.now = next.min(latest);
        while self.in_flight.peek().is_some_and(|Reverse(flight)| flight.at <= self.now) {
            let Some(Reverse(flight)) = self.in_flight.pop() else { break };
            (flight.at.micros(), flight.to, &flight.frame).hash(&mut self.trace);
            let (host, port) = flight.to;
            self.hosts[host].devices[port].inbox.push_back(flight.frame);
        }
    }

    /// Puts a frame before a port of a host, from nobody.
    pub fn inject(&mut self, host: usize, port: usize, frame: Vec<u8>) {
        self.hosts[host].devices[port].inbox.push_back(frame);
    }

    /// Steps until `done`, at most for so long.
    ///
    /// # Panics
    /// If it takes longer.
    pub fn until(&mut self, most: Duration, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let end = self.now + most;
        while !done(self) {
            assert!(self.now < end, "{what}: not within {} ms", most.micros() / 1000);
            self.step();
        }
    }

    /// Steps for so long, and no longer.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step_within(end.since(self.now));
        }
    }

    fn turn(&mut self, index: usize) {
        let host = &mut self.hosts[index];
        if let Some((every, next)) = host.pace {
            if self.now < next {
                host.has_more |= host.devices.iter().any(|device| !device.inbox.is_empty());
                return;
            }
            host.pace = Some((every, self.now + every));
        }
        loop {
            let outcome = host.stack.poll(self.now, &mut host.devices);
            host.has_more = outcome.more;
            if host.pace.is_some() || (!outcome.progressed && !outcome.more) {
                break;
            }
        }
        for port in 0..self.hosts[index].devices.len() {
            let frames: Vec<_> = self.hosts[index].devices[port].outbox.drain(..).collect();
            for frame in frames {
                self.send((index, port), frame);
            }
        }
    }

    fn send(&mut self, from: (usize, usize), mut frame: Vec<u8>) {
        if let Some(meddle) = &mut self.meddler {
            meddle(from.0, &mut frame);
        }
        if let Some(log) = &mut self.log {
            log.push((self.now, frame.clone()));
        }
        if frame_is_roce(&frame) && self.loses_roce(from, &frame) {
            return;
        }
        let to: [u8; 6] = frame[..6].try_into().expect("six octets");
        let is_for = |mac: Mac| to[0] & 1 != 0 || mac == Mac(to);
        let sent = frame.clone();
        let fate = self.hosts[from.0].cables[from.1].carry(self.now, &mut frame, &mut self.random);
        if !frame_is_roce(&sent) {
            match fate.corrupted {
                true => leave_what_sums_find(&sent, &mut frame),
                false => frame.copy_from_slice(&sent),
            }
        }
        for at in [fate.arrives, fate.again].into_iter().flatten() {
            for (number, host) in self.hosts.iter().enumerate() {
                for (port, mac) in host.macs.iter().enumerate() {
                    let to = (number, port);
                    if to != from && is_for(*mac) {
                        self.numbers += 1;
                        let frame = frame.clone();
                        self.in_flight.push(Reverse(Flight { at, number: self.numbers, to, frame }));
                    }
                }
            }
        }
    }
}

/// UDP port 4791 behind an IPv4 header without options.
fn frame_is_roce(frame: &[u8]) -> bool {
    frame.get(12..14) == Some(&[8, 0])
        && frame.get(23) == Some(&17)
        && frame.get(36..38) == Some(&[0x12, 0xb7])
}

/// There is no FCS here, which would find every corruption. The sums of IPv4
/// and TCP find every single bit, but not any three; ARP and the Ethernet
/// header have none.
fn leave_what_sums_find(sent: &[u8], bent: &mut [u8]) {
    const ETHERNET_LEN: usize = 14;
    let is_tcp = sent.get(12..14) == Some(&[8, 0]) && sent.get(23) == Some(&6);
    let differs = (ETHERNET_LEN..sent.len()).find(|&at| sent[at] != bent[at]);
    let flipped = differs.filter(|_| is_tcp).map(|at| (at, sent[at] ^ bent[at]));
    bent.copy_from_slice(sent);
    if let Some((at, bits)) = flipped {
        bent[at] ^= 1 << bits.trailing_zeros();
    }
}

impl Lan {
    fn loses_roce(&mut self, from: (usize, usize), frame: &[u8]) -> bool {
        let host = &mut self.hosts[from.0];
        let (sent, after) = &mut host.roce_sent[from.1];
        *sent += 1;
        let cut = *sent > *after;
        let to = |mac: &Mac| frame[..6] == mac.0;
        let dead = |host: &Host| {
            let ports = host.macs.iter().zip(&host.roce_sent);
            ports.clone().any(|(mac, (sent, after))| to(mac) && sent > after)
        };
        cut || self.hosts[from.0].without_roce || self.hosts.iter().any(dead)
    }
}

/// A device whose frames are put in and taken out by hand.
#[derive(Default)]
pub(crate) struct Queues {
    pub(crate) inbox: VecDeque<Vec<u8>>,
    pub(crate) outbox: Vec<Vec<u8>>,
    /// Frames that may be transmitted until the next step; answers do not count.
    pub(crate) room: Option<usize>,
}

pub(crate) struct Received(Vec<u8>);
pub(crate) struct Sending<'a>(&'a mut Vec<Vec<u8>>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        self.0.push(frame);
        result
    }
}

impl Device for Queues {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _now: smoltcp::time::Instant) -> Option<(Received, Sending<'_>)> {
        let frame = self.inbox.pop_front()?;
        Some((Received(frame), Sending(&mut self.outbox)))
    }

    fn transmit(&mut self, _now: smoltcp::time::Instant) -> Option<Sending<'_>> {
        let has_room = self.room.is_none_or(|room| self.outbox.len() < room);
        has_room.then_some(Sending(&mut self.outbox))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}
