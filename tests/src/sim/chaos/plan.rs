use smolsmc_wire::RmbeSize;

use crate::sim::{Burst, Faults, Random, Rate};

/// How bad it can get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weather {
    /// Nothing befalls anybody.
    Calm,
    /// Frames are late, twice or out of order, but none is lost.
    Shuffled,
    /// Some frames are lost or bent.
    Lossy,
    /// Anything.
    Storm,
}

/// What a seed decides once and for all.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) weather: Weather,
    pub(super) hosts: Vec<HostPlan>,
    pub(super) ticks: u64,
    pub(super) talks: u64,
    /// Microseconds between ticks at most.
    pub(super) gap: u64,
    /// Whether a bystander listens.
    pub(super) is_watched: bool,
}

/// What a host is made of in all its lives.
#[derive(Clone, Debug)]
pub(super) struct HostPlan {
    pub(super) second_port: bool,
    pub(super) max_conns: u8,
    pub(super) rmb_size: RmbeSize,
    pub(super) send_size: RmbeSize,
    pub(super) frames: usize,
    pub(super) completions: usize,
    pub(super) write_turn: u32,
    pub(super) receives: u32,
    pub(super) messages: u32,
    pub(super) groups: usize,
    pub(super) short_idle: bool,
    pub(super) strict_listener: bool,
    /// Registrations its NIC has room for, if those are few.
    pub(super) scarce: Option<u32>,
    pub(super) smc: bool,
}

impl Plan {
    pub(super) fn draw(random: &mut Random) -> Self {
        use Weather::{Calm, Lossy, Shuffled, Storm};
        let weather = random.pick(&[Calm, Shuffled, Lossy, Storm, Storm, Storm]);
        let count = random.between(2, 3);
        let two_ports = random.chance(0.4);
        Self {
            weather,
            hosts: (0..count).map(|_| HostPlan::draw(random, weather, two_ports)).collect(),
            ticks: random.between(30, 90),
            talks: random.between(1, 7),
            gap: random.pick(&[200, 1000, 5000, 20_000, 300_000]),
            is_watched: weather != Storm && weather != Lossy && random.chance(0.3),
        }
    }
}

impl HostPlan {
    fn draw(random: &mut Random, weather: Weather, two_ports: bool) -> Self {
        let budget = random.pick(&[1, 3, 64, 256]);
        Self {
            second_port: two_ports && random.chance(0.9),
            max_conns: random.pick(&[16, 255]),
            rmb_size: RmbeSize::from_code(random.pick(&[0, 0, 1, 2])),
            send_size: RmbeSize::from_code(random.pick(&[0, 0, 1, 2])),
            frames: budget,
            completions: random.pick(&[1, budget, 256]),
            write_turn: random.pick(&[97, 1460, 5000, 65_536]),
            receives: random.pick(&[1, 2, 8, 64]),
            messages: random.pick(&[1, 2, 16]),
            groups: random.pick(&[2, 4, 8]),
            short_idle: random.chance(0.3),
            strict_listener: random.chance(0.1),
            scarce: (weather == Weather::Storm && random.chance(0.2)).then(|| random.between(3, 20) as u32),
            smc: !random.chance(0.03),
        }
    }
}

/// Faults of a wire that TCP and RC queue pairs can live with.
pub(super) fn bearable(random: &mut Random, weather: Weather) -> Faults {
    let mut faults = Faults::unruly(random);
    if random.chance(0.2) {
        faults.rate = Some(Rate { octets_per_second: 12_500_000, queue_octets: 1 << 20 });
    }
    if matches!(weather, Weather::Lossy | Weather::Storm) {
        faults.loss = Faults::share(random, 0.02);
        faults.corrupt = Faults::share(random, 0.02);
        if random.chance(0.2) {
            // It counts frames, not time: whoever is alone on the wire must not
            // lose all eight tries of a packet.
            faults.burst = Some(Burst { enter: 0.01, leave: 0.9, loss: 0.9 });
        }
    }
    faults
}
