//! A stack and its peer, with somebody hostile between them and at both ends:
//! calls in any order, frames lost, repeated, out of order, and changed with
//! every sum made right.

use std::net::SocketAddr;

use smolsmc::{
    Config, Held, Limits, ListenOptions, ListenerHandle, SocketHandle, SocketOptions, SoftNic, Stack, Wakeup,
};
use smolsmc_verbs::{DeviceId, PortNumber, PortState, RdmaPort};
use smolsmc_wire::{Duration, Instant};

use super::octets::Octets;
use super::spoil::spoil;
use super::under_way::UnderWay;
use crate::sim::{Queues, Random, address_of, host_config, small_stack};

const OPERATIONS_MAX: usize = 128;
const FRAMES_MAX: usize = 64;
const SOCKETS_MAX: usize = 6;
const PORT: u16 = 5000;
const RDMA_PORT: RdmaPort = RdmaPort { device: DeviceId(0), port: PortNumber(1) };

/// Closed connections are gone within this, and groups after that within as
/// much.
const HOME: Duration = Duration::from_secs(200);

struct Side {
    stack: Stack<SoftNic>,
    device: [Queues; 1],
    listener: ListenerHandle,
    sockets: Vec<SocketHandle>,
}

struct World {
    sides: [Side; 2],
    frames: UnderWay,
    now: Instant,
}

/// Any sequence of calls and frames: no panic, limits hold, and when all is
/// closed and time has passed, everything is home on both sides.
///
/// # Panics
/// If any of that does not hold.
pub fn stack(data: &[u8]) {
    let mut octets = Octets(data);
    let mut world = World::new(octets.u8());
    octets.each(OPERATIONS_MAX, |octets| {
        world.operation(octets);
        world.limits_hold();
    });
    world.end();
}

/// Few of everything.
fn config(side: usize, how: u8) -> Config {
    let mut config = host_config(side, &mut Random::new(side as u64));
    let limits = &mut config.limits;
    (limits.connections, limits.handshakes, limits.groups) = (8, 4, 3);
    (limits.tcp_buffer, limits.frames, limits.completions) = (16 * 1024, 16, 16);
    (limits.receives, limits.messages) = if how & 1 == 0 { (8, 4) } else { (1, 1) };
    (config.rmb_size, config.send_size) = (smolsmc::RmbeSize::from_code(0), smolsmc::RmbeSize::from_code(0));
    config.max_conns = 16;
    config.max_links = if how & 2 == 0 { 1 } else { 2 };
    config
}

impl Side {
    fn new(side: usize, how: u8, now: Instant) -> Self {
        let mut stack = small_stack(config(side, how), 64, now);
        let mut options = ListenOptions::USUAL;
        options.backlog = 4;
        options.socket.strict = how & 4 != 0;
        let local = SocketAddr::new(address_of(side), PORT);
        let listener = stack.listen(local, options).expect("nobody listens yet");
        Self { stack, device: [Queues::default()], listener, sockets: Vec::new() }
    }

    fn poll(&mut self, now: Instant) {
        while self.stack.poll(now, &mut self.device).more {}
        while let Some(socket) = self.stack.accept(self.listener) {
            self.sockets.push(socket);
        }
    }

    fn call(&mut self, peer: usize, octets: &mut Octets<'_>) {
        let (what, which) = (octets.u8(), octets.u8());
        if what % 8 == 0 {
            let mut options = SocketOptions::default();
            (options.strict, options.plain_tcp) = (which & 7 == 1, which & 7 == 2);
            if self.sockets.len() < SOCKETS_MAX
                && let Ok(socket) = self.stack.connect(SocketAddr::new(address_of(peer), PORT), options)
            {
                self.sockets.push(socket);
            }
            return;
        }
        let Some(index) = usize::from(which).checked_rem(self.sockets.len()) else { return };
        let handle = self.sockets[index];
        let mut socket = self.stack.socket(handle).expect("not closed yet");
        match what % 8 {
            1 | 2 => {
                let _ = socket.send(&vec![which; usize::from(octets.u16()) & 0x3fff]);
            }
            3 | 4 => {
                let _ = socket.recv(&mut vec![0; usize::from(octets.u16()) & 0x7fff]);
            }
            5 => socket.shutdown(),
            6 => {
                socket.close();
                self.sockets.swap_remove(index);
            }
            _ => {
                socket.abort();
                self.sockets.swap_remove(index);
            }
        }
    }

    fn disturb(&mut self, octets: &mut Octets<'_>) {
        let how = octets.u8();
        let groups = self.stack.groups();
        let qp = groups.iter().flat_map(|group| &group.links).map(|link| link.qp).next();
        let nic = self.stack.provider_mut();
        match (how % 5, qp) {
            (0, Some(qp)) => nic.fail_qp(qp).expect("the stack has it"),
            (1, _) => nic.set_port_state(RDMA_PORT, PortState::Down).expect("it is there"),
            (2, _) => nic.set_port_state(RDMA_PORT, PortState::Active).expect("it is there"),
            (3, _) => nic.refuse_registrations(u32::from(how >> 4)),
            _ => self.stack.leave(),
        }
    }

    fn heal(&mut self) {
        self.device = [Queues::default()];
        let nic = self.stack.provider_mut();
        nic.set_port_state(RDMA_PORT, PortState::Active).expect("it is there");
        nic.refuse_registrations(0);
    }

    fn close_all(&mut self) {
        for handle in self.sockets.drain(..) {
            self.stack.socket(handle).expect("not closed yet").close();
        }
    }

    fn is_home(&mut self) {
        let held = self.stack.held();
        let mut home = Held::default();
        home.listeners = 1;
        // They go with time, and until then there are so many at most.
        home.time_waits = held.time_waits.min(Limits::USUAL.time_waits);
        assert_eq!(held, home);
        let objects = self.stack.provider_mut().objects();
        assert_eq!((objects.pds, objects.qps, objects.memories, objects.mrs), (0, 0, 0, 0));
    }
}

impl World {
    fn new(how: u8) -> Self {
        let now = Instant::from_millis(1);
        let sides = [0, 1].map(|side| Side::new(side, how >> (4 * side), now));
        Self { sides, frames: UnderWay::new(FRAMES_MAX), now }
    }

    fn operation(&mut self, octets: &mut Octets<'_>) {
        let choice = octets.u8();
        let side = usize::from(choice >> 7);
        match choice & 0x0f {
            0..=3 => self.sides[side].call(1 - side, octets),
            4 => self.run(1 + usize::from(choice >> 4 & 7)),
            5 => self.run(40),
            6 | 7 => self.turn(),
            8 => self.deliver(octets, true),
            9 => self.deliver(octets, false),
            10 => drop(self.frames.arrive(octets, true)),
            11 | 12 => self.spoil(octets),
            13 => self.pass(Duration::from_millis(u64::from(octets.u8()))),
            14 => self.pass(Duration::from_secs(u64::from(octets.u8() & 0x3f))),
            _ => self.sides[side].disturb(octets),
        }
    }

    /// Both do what they can; what they send is on its way.
    fn turn(&mut self) {
        for side in [0, 1] {
            self.sides[side].poll(self.now);
            for frame in self.sides[side].device[0].outbox.drain(..) {
                self.frames.send(1 - side, frame);
            }
        }
    }

    fn deliver_all(&mut self) {
        for (to, frame) in self.frames.all() {
            self.sides[to].device[0].inbox.push_back(frame);
        }
    }

    /// Everything arrives, so many times back and forth.
    fn run(&mut self, rounds: usize) {
        for _ in 0..rounds {
            self.deliver_all();
            self.turn();
            self.now = self.now + Duration::from_micros(10);
            if self.frames.is_empty() {
                break;
            }
        }
    }

    fn deliver(&mut self, octets: &mut Octets<'_>, once: bool) {
        let Some((to, frame)) = self.frames.arrive(octets, once) else { return };
        self.sides[to].device[0].inbox.push_back(frame);
    }

    fn spoil(&mut self, octets: &mut Octets<'_>) {
        if let Some(frame) = self.frames.pick(octets) {
            spoil(frame, octets);
        }
    }

    /// Timers do what they do; frames stay where they are.
    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.turn();
    }

    fn limits_hold(&self) {
        for side in &self.sides {
            let held = side.stack.held();
            assert!(held.connections <= 8 && held.handshakes <= 4 && held.groups <= 3, "{held:?}");
            assert!(
                held.tokens <= 8 && held.backlog <= 4 && held.queued <= 100 && held.reminders <= 8 + 3,
                "{held:?}"
            );
        }
    }

    /// Runs until `done`, jumping to whatever comes next.
    fn until(&mut self, what: &str, mut done: impl FnMut(&mut [Side; 2]) -> bool) {
        let end = self.now + HOME;
        while !done(&mut self.sides) {
            self.run(40);
            assert!(self.now < end, "{what}: {:?}", [0, 1].map(|side: usize| self.sides[side].stack.held()));
            let wakeups = self.sides.iter_mut().filter_map(|side| match side.stack.poll_at() {
                Wakeup::Now => Some(self.now),
                Wakeup::At(at) => Some(at),
                Wakeup::OnInput => None,
            });
            let next = wakeups.min().unwrap_or(end);
            self.now = next.max(self.now + Duration::from_micros(1)).min(end);
        }
    }

    fn end(&mut self) {
        self.frames.all();
        self.sides.iter_mut().for_each(Side::heal);
        self.until("connections", |sides| {
            // What is still being accepted is closed as it comes.
            sides.iter_mut().for_each(Side::close_all);
            sides.iter().all(|side| !side.stack.has_connections())
        });
        self.sides.iter_mut().for_each(|side| side.stack.leave());
        self.until("link groups", |sides| sides.iter().all(|side| side.stack.is_idle()));
        self.sides.iter_mut().for_each(Side::is_home);
    }
}
