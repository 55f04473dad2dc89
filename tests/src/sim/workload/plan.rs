use smolsmc_verbs::WcStatus;
use smolsmc_wire::{Duration, Instant, MtuCode, Psn};

use crate::sim::{Burst, Faults, Random, Rate};

/// What goes wrong in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Nothing but delay.
    Clean,
    /// Frames are lost, both ways.
    Loss,
    /// Frames are lost, one way.
    OneWayLoss,
    /// Frames are lost in bursts; retries may run out.
    Burst,
    /// Frames arrive twice, the copy late.
    Duplicates,
    /// Frames overtake each other.
    Reordering,
    /// Bits flip, and routers change what they may.
    Corruption,
    /// A slow line with a short queue; retries may run out.
    Rate,
    /// Nothing gets through for a while, then all is well.
    ShortBlackhole,
    /// Nothing gets through for longer than retries last.
    LongBlackhole,
    /// Receives come late, and frames may be lost meanwhile.
    Starved,
    /// A port goes down and up.
    PortFlap,
    /// A queue pair is put into ERR in the middle.
    QpError,
    /// A WRITE with a wrong rkey in the middle.
    WrongKey,
    /// A little of everything.
    Everything,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Clean,
        Self::Loss,
        Self::OneWayLoss,
        Self::Burst,
        Self::Duplicates,
        Self::Reordering,
        Self::Corruption,
        Self::Rate,
        Self::ShortBlackhole,
        Self::LongBlackhole,
        Self::Starved,
        Self::PortFlap,
        Self::QpError,
        Self::WrongKey,
        Self::Everything,
    ];

    /// The class of a seed.
    #[must_use]
    pub const fn of(seed: u64) -> Self {
        Self::ALL[(seed % Self::ALL.len() as u64) as usize]
    }

    /// Statuses other than success that a request may end with.
    #[must_use]
    pub const fn failures(self) -> &'static [WcStatus] {
        match self {
            Self::Burst | Self::Rate | Self::LongBlackhole => &[WcStatus::RetryExceeded],
            Self::QpError => &[WcStatus::RetryExceeded, WcStatus::Flushed],
            Self::WrongKey => &[WcStatus::RemoteAccess, WcStatus::Flushed],
            _ => &[],
        }
    }
}

/// Octets of a message at most: several packets of every MTU but the largest.
pub(super) const LEN_MAX: usize = 8192;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Send,
    Write,
    WriteWithImmediate,
    Read,
    /// Eight octets, a number that grows, always to the same place.
    Cell,
    /// A WRITE with a wrong key.
    WrongKey,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Planned {
    pub(super) kind: Kind,
    pub(super) len: usize,
}

/// One direction of a queue pair.
#[derive(Clone, Debug)]
pub(super) struct LanePlan {
    pub(super) requests: Vec<Planned>,
    /// One request of so many is signalled, at least.
    pub(super) signal_every: usize,
    /// Requests posted with one call at most.
    pub(super) list: usize,
    /// A receive is posted again so late at most.
    pub(super) repost_after: Duration,
}

#[derive(Clone, Debug)]
pub(super) struct QpPlan {
    pub(super) nodes: [usize; 2],
    /// Which device of both.
    pub(super) device: usize,
    pub(super) mtu: MtuCode,
    pub(super) psn: [Psn; 2],
    pub(super) timeout: u8,
    pub(super) min_rnr_timer: u8,
    pub(super) send_depth: usize,
    pub(super) recv_depth: usize,
    pub(super) lanes: [LanePlan; 2],
}

/// A disturbance at a time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mishap {
    /// A queue pair of the plan, and which end of it.
    QpError { qp: usize, end: usize },
    /// A node's device loses its carrier until then.
    PortDown { node: usize, device: usize, until: Instant },
}

#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) nodes: usize,
    pub(super) faults: Faults,
    /// The only node whose frames suffer, `None` for all.
    pub(super) sender: Option<usize>,
    pub(super) mishaps: Vec<(Instant, Mishap)>,
    pub(super) qps: Vec<QpPlan>,
}

impl Plan {
    pub(super) fn new(class: Class, random: &mut Random) -> Self {
        let nodes = random.pick(&[2, 2, 3]);
        let count = random.pick(&[1, 1, 2, 3, 5]);
        let qps: Vec<_> = (0..count).map(|_| qp(class, nodes, random)).collect();
        let sender = match class {
            Class::OneWayLoss => Some(random.below(nodes as u64) as usize),
            Class::ShortBlackhole | Class::LongBlackhole if random.chance(0.5) => {
                Some(random.below(nodes as u64) as usize)
            }
            _ => None,
        };
        let mishaps = mishaps(class, nodes, &qps, random);
        Self { nodes, faults: faults(class, random), sender, mishaps, qps }
    }
}

fn faults(class: Class, random: &mut Random) -> Faults {
    let delay = Duration::from_micros(random.pick(&[0, 5, 100, 1000]));
    let jitter = Duration::from_micros(random.pick(&[0, 0, 20, 500]));
    let reorder_by = Duration::from_micros(random.pick(&[10, 200, 3000]));
    let calm = Faults { delay, jitter, reorder_by, ..Faults::default() };
    let few = random.pick(&[0.002, 0.01, 0.03]);
    let many = random.pick(&[0.01, 0.1, 0.3]);
    let start = Instant::from_micros(1000 + random.below(4000));
    match class {
        Class::Loss | Class::OneWayLoss => Faults { loss: few, ..calm },
        Class::Burst => {
            let burst = Burst { enter: few / 3.0, leave: 0.3, loss: 0.9 };
            Faults { burst: Some(burst), ..calm }
        }
        Class::Duplicates => Faults { duplicate: many, ..calm },
        Class::Reordering => Faults { reorder: few, ..calm },
        Class::Corruption => Faults { corrupt: few, masked: many, ..calm },
        Class::Rate => {
            let octets_per_second = random.pick(&[10_000_000, 100_000_000]);
            let queue_octets = random.pick(&[30_000, 100_000, 300_000]);
            Faults { rate: Some(Rate { octets_per_second, queue_octets }), ..calm }
        }
        Class::ShortBlackhole => {
            // Shorter than seven times the shortest timeout of a plan, 4 ms.
            let end = start + Duration::from_micros(random.between(100, 20_000));
            Faults { blackhole: Some((start, end)), ..calm }
        }
        Class::LongBlackhole => Faults { blackhole: Some((start, start + Duration::from_secs(100))), ..calm },
        Class::Everything => Faults {
            loss: few / 3.0,
            duplicate: many / 3.0,
            reorder: few / 3.0,
            corrupt: few / 3.0,
            masked: many,
            ..calm
        },
        // Not ready, and not heard either: patience with the one is not the other's.
        Class::Starved => Faults { loss: random.pick(&[0.0, few]), ..calm },
        Class::Clean | Class::PortFlap | Class::QpError | Class::WrongKey => calm,
    }
}

fn mishaps(class: Class, nodes: usize, qps: &[QpPlan], random: &mut Random) -> Vec<(Instant, Mishap)> {
    let when = Instant::from_micros(1000 + random.below(6000));
    match class {
        Class::QpError => {
            let qp = random.below(qps.len() as u64) as usize;
            vec![(when, Mishap::QpError { qp, end: random.below(2) as usize })]
        }
        Class::PortFlap => {
            let node = random.below(nodes as u64) as usize;
            let until = when + Duration::from_micros(random.between(1, 15_000));
            vec![(when, Mishap::PortDown { node, device: random.below(2) as usize, until })]
        }
        _ => Vec::new(),
    }
}

fn qp(class: Class, nodes: usize, random: &mut Random) -> QpPlan {
    let first = random.below(nodes as u64) as usize;
    let second = (first + 1 + random.below(nodes as u64 - 1) as usize) % nodes;
    let mtu = MtuCode::from_code(random.between(1, 5) as u8);
    // A round trip is up to 3 ms, a timeout at least 4 ms.
    let timeout = random.between(10, 13) as u8;
    let mut lanes = [lane(class, mtu, random), lane(class, mtu, random)];
    if class == Class::WrongKey && random.chance(0.8) {
        let requests = &mut lanes[0].requests;
        let at = random.below(requests.len() as u64 + 1) as usize;
        requests.insert(at, Planned { kind: Kind::WrongKey, len: random.between(1, 3000) as usize });
    }
    QpPlan {
        nodes: [first, second],
        device: random.below(2) as usize,
        mtu,
        psn: [first_psn(random), first_psn(random)],
        timeout,
        min_rnr_timer: random.pick(&[1, 5, 12]),
        send_depth: random.between(2, 24) as usize,
        recv_depth: random.between(1, 16) as usize,
        lanes,
    }
}

/// Mostly just before the wrap, or before the half of the circle.
fn first_psn(random: &mut Random) -> Psn {
    let around = random.pick(&[0, 0, 0, 1 << 23]);
    match random.below(5) {
        0 => Psn::new(random.number() as u32),
        _ => Psn::new(around).sub(random.below(60) as u32),
    }
}

fn lane(class: Class, mtu: MtuCode, random: &mut Random) -> LanePlan {
    let count = random.pick(&[0, 3, 12, 25]);
    let repost_after = match class {
        Class::Starved => random.pick(&[300, 3000, 20_000, 60_000]),
        _ => random.pick(&[0, 0, 0, 50]),
    };
    LanePlan {
        requests: (0..count).map(|_| planned(mtu, random)).collect(),
        signal_every: random.between(1, 6) as usize,
        list: random.between(1, 8) as usize,
        repost_after: Duration::from_micros(repost_after),
    }
}

fn planned(mtu: MtuCode, random: &mut Random) -> Planned {
    let kind = match random.below(12) {
        0..4 => Kind::Send,
        4..8 => Kind::Write,
        8 => Kind::WriteWithImmediate,
        9 => Kind::Read,
        _ => Kind::Cell,
    };
    let mtu = u64::from(mtu.octets().unwrap_or(256));
    let len = match random.below(8) {
        0 => 0,
        1 => 44,
        2 => random.pick(&[1, 2, 3, 4]) * mtu - 1,
        3 => random.pick(&[1, 2, 3, 4]) * mtu,
        4 => random.pick(&[1, 2, 3, 4]) * mtu + 1,
        5 => random.below(LEN_MAX as u64),
        _ => random.below(600),
    };
    let len = if kind == Kind::Cell { 8 } else { (len as usize).min(LEN_MAX) };
    Planned { kind, len }
}
