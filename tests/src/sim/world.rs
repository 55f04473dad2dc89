use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::hash::{DefaultHasher, Hash, Hasher};

use smolsmc_verbs::{DeviceId, FrameEngine, PortNumber, Provider, RdmaPort};
use smolsmc_wire::{Duration, Instant, Mac};

use super::cable::Cable;
use super::{Faults, Random};

/// Frames taken from a port before the next one's turn.
const FRAMES_A_TURN: usize = 256;

/// Time moves at least so far when nothing is to be done.
const IDLE: Duration = Duration::from_millis(1);

/// A port of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attachment {
    /// The node, in the order of [`Sim::add`].
    pub node: usize,
    /// Its port.
    pub port: RdmaPort,
}

/// What the wire did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames the nodes sent.
    pub sent: u64,
    /// Frames that arrived, copies too.
    pub delivered: u64,
    /// Lost to chance, a blackhole or a full queue.
    pub lost: u64,
    /// Arrived twice.
    pub duplicated: u64,
    /// Bent where the ICRC sees it, or where it kills the frame before.
    pub corrupted: u64,
    /// Bent where a router may.
    pub masked: u64,
    /// For nobody, or nobody claimed them.
    pub unclaimed: u64,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flight {
    at: Instant,
    /// Makes the order of flights that arrive together their order of sending.
    number: u64,
    to: Attachment,
    frame: Vec<u8>,
}

type Deed<P> = Box<dyn FnOnce(&mut P)>;

/// Nodes on one Ethernet, whose frames find their way by MAC address.
pub struct Sim<P: Provider> {
    nodes: Vec<P>,
    ports: BTreeMap<Mac, Attachment>,
    cables: BTreeMap<Attachment, Cable>,
    in_flight: BinaryHeap<Reverse<Flight>>,
    schedule: BTreeMap<(Instant, u64), (usize, Deed<P>)>,
    now: Instant,
    numbers: u64,
    random: Random,
    trace: DefaultHasher,
    counters: Counters,
    buffer: Vec<u8>,
}

impl<P: Provider> Sim<P> {
    /// A world without nodes.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            nodes: Vec::new(),
            ports: BTreeMap::new(),
            cables: BTreeMap::new(),
            in_flight: BinaryHeap::new(),
            schedule: BTreeMap::new(),
            now: Instant::from_millis(1),
            numbers: 0,
            random: Random::new(seed),
            trace: DefaultHasher::new(),
            counters: Counters::default(),
            buffer: vec![0; 16_384],
        }
    }

    /// Adds a node with all its ports; returns its number, counted from 0.
    ///
    /// # Panics
    /// If it has no frames to carry, or its ports cannot be looked at.
    pub fn add(&mut self, mut nic: P) -> usize {
        assert!(nic.frames().is_some(), "only a NIC in software can be simulated");
        let node = self.nodes.len();
        let mut devices = [DeviceId(0); 16];
        let count = nic.devices(&mut devices);
        for device in devices.into_iter().take(count) {
            let ports = nic.device(device).expect("it was listed").ports;
            for number in 1..=ports {
                let port = RdmaPort { device, port: PortNumber(number) };
                let mac = nic.port(port).expect("the device has it").mac;
                let attachment = Attachment { node, port };
                let taken = self.ports.insert(mac, attachment);
                assert!(taken.is_none(), "two ports with {mac}");
                self.cables.insert(attachment, Cable::default());
            }
        }
        self.nodes.push(nic);
        node
    }

    /// A node.
    pub fn nic(&mut self, node: usize) -> &mut P {
        &mut self.nodes[node]
    }

    /// What happens to frames that this port sends from now on.
    ///
    /// # Panics
    /// If there is no such port.
    pub fn set_faults(&mut self, from: Attachment, faults: Faults) {
        self.cables.get_mut(&from).expect("a port of a node").faults = faults;
    }

    /// What happens to all frames from now on.
    pub fn set_all_faults(&mut self, faults: &Faults) {
        for cable in self.cables.values_mut() {
            cable.faults = faults.clone();
        }
    }

    /// Whether a frame may be lost, or bent so that it is as good as lost.
    #[must_use]
    pub fn loses(&self) -> bool {
        self.cables.values().any(|cable| {
            let Faults { loss, burst, corrupt, rate, blackhole, .. } = &cable.faults;
            *loss > 0.0 || *corrupt > 0.0 || burst.is_some() || rate.is_some() || blackhole.is_some()
        })
    }

    /// Does something to a node when its time comes.
    pub fn at(&mut self, when: Instant, node: usize, deed: impl FnOnce(&mut P) + 'static) {
        self.numbers += 1;
        self.schedule.insert((when, self.numbers), (node, Box::new(deed)));
    }

    /// The time.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// What the wire did until now.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Sums up every frame that arrived and when: the same for the same seed,
    /// nodes and calls.
    #[must_use]
    pub fn trace_hash(&self) -> u64 {
        self.trace.finish()
    }

    /// Frames out, time on to the next event but one millisecond at most, and
    /// what is due then.
    pub fn step(&mut self) {
        self.step_to(self.now + IDLE);
    }

    /// The same, but with time going to `limit` at most. Time moves on even if
    /// nothing is to be done.
    pub fn step_to(&mut self, limit: Instant) {
        let before = (self.now, self.counters);
        self.collect();
        let next = self.next_event().map_or(limit, |next| next.min(limit));
        self.now = self.now.max(next);
        self.act();
        self.deliver();
        for node in &mut self.nodes {
            if let Some(engine) = node.frames()
                && engine.poll_at().is_some_and(|at| at <= self.now)
            {
                engine.run_timers(self.now);
            }
        }
        self.collect();
        if before == (self.now, self.counters) {
            self.now = self.now + Duration::from_micros(1);
        }
    }

    /// Steps until `end`.
    pub fn run_until(&mut self, end: Instant) {
        while self.now < end {
            self.step_to(end);
        }
    }

    fn next_event(&mut self) -> Option<Instant> {
        let flight = self.in_flight.peek().map(|Reverse(flight)| flight.at);
        let deed = self.schedule.keys().next().map(|(at, _)| *at);
        let timers = self.nodes.iter_mut().filter_map(|node| node.frames()?.poll_at());
        flight.into_iter().chain(deed).chain(timers).min()
    }

    fn act(&mut self) {
        while let Some(entry) = self.schedule.first_entry() {
            let (at, number) = *entry.key();
            if at > self.now {
                break;
            }
            let (node, deed) = entry.remove();
            (at, number, node).hash(&mut self.trace);
            deed(&mut self.nodes[node]);
        }
    }

    fn deliver(&mut self) {
        while self.in_flight.peek().is_some_and(|Reverse(flight)| flight.at <= self.now) {
            let Some(Reverse(Flight { at, to, frame, .. })) = self.in_flight.pop() else { break };
            (at, to.node, to.port).hash(&mut self.trace);
            self.trace.write(&frame);
            let Some(engine) = self.nodes[to.node].frames() else { continue };
            if engine.claims(to.port, &frame) {
                self.counters.delivered += 1;
                engine.take(self.now, to.port, &frame);
            } else {
                self.counters.unclaimed += 1;
            }
        }
    }

    /// Takes the frames the nodes want to send.
    fn collect(&mut self) {
        let attachments: Vec<_> = self.cables.keys().copied().collect();
        for from in attachments {
            for _ in 0..FRAMES_A_TURN {
                let Some(engine) = self.nodes[from.node].frames() else { break };
                let Some(len) = engine.next_len(self.now, from.port) else { break };
                assert!(len <= self.buffer.len(), "a frame of {len} octets");
                let written = engine.emit(self.now, from.port, &mut self.buffer[..len]);
                assert_eq!(written, len, "a frame is as long as was announced");
                self.send(from, len);
            }
        }
    }

    fn send(&mut self, from: Attachment, len: usize) {
        self.counters.sent += 1;
        let Some(cable) = self.cables.get_mut(&from) else { return };
        let frame = &mut self.buffer[..len];
        // The way is found before bits flip: a switch drops what is bent.
        let to = frame.first_chunk().and_then(|mac| self.ports.get(&Mac(*mac)));
        let Some(to) = to.copied() else {
            self.counters.unclaimed += 1;
            return;
        };
        let fate = cable.carry(self.now, frame, &mut self.random);
        self.counters.corrupted += u64::from(fate.corrupted);
        self.counters.masked += u64::from(fate.masked);
        self.counters.duplicated += u64::from(fate.again.is_some());
        self.counters.lost += u64::from(fate.arrives.is_none());
        for at in fate.arrives.into_iter().chain(fate.again) {
            self.numbers += 1;
            let frame = self.buffer[..len].to_vec();
            self.in_flight.push(Reverse(Flight { at, number: self.numbers, to, frame }));
        }
    }
}
