use smolsmc_wire::{Duration, Instant};

use super::Random;

/// What happens to frames in one direction of a cable. Probabilities are 0 to 1.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    /// A frame is lost.
    pub loss: f64,
    /// Frames are lost in bursts.
    pub burst: Option<Burst>,
    /// A frame arrives twice; the copy is late by up to `reorder_by`.
    pub duplicate: f64,
    /// A frame is held back while later ones pass.
    pub reorder: f64,
    /// Held back by this at most.
    pub reorder_by: Duration,
    /// One to three bits of a frame flip, anywhere. Every such frame must be
    /// refused or harmless: the ICRC finds up to three in a frame of this size.
    pub corrupt: f64,
    /// Bits flip that routers may change and the ICRC does not cover: TOS, TTL
    /// (with the right IPv4 checksum) and the congestion bits of the BTH. Such
    /// a frame is as good as any.
    pub masked: f64,
    /// Time on the way, beside the one microsecond every frame takes.
    pub delay: Duration,
    /// More time, 0 to this; order is kept.
    pub jitter: Duration,
    /// The line takes its time, and its queue is bounded.
    pub rate: Option<Rate>,
    /// From here to there every frame is lost.
    pub blackhole: Option<(Instant, Instant)>,
}

impl Faults {
    /// Frames that come late, twice, out of order or changed where it does not
    /// matter; none is lost.
    #[must_use]
    pub fn unruly(random: &mut Random) -> Self {
        Self {
            duplicate: Self::share(random, 0.05),
            reorder: Self::share(random, 0.1),
            reorder_by: Duration::from_micros(random.between(1, 3000)),
            delay: Duration::from_micros(random.between(0, 2000)),
            jitter: Duration::from_micros(random.between(0, 300)),
            masked: Self::share(random, 0.1),
            ..Self::default()
        }
    }

    /// None, as often as not, or up to `most`.
    #[must_use]
    pub fn share(random: &mut Random, most: f64) -> f64 {
        if random.chance(0.5) { random.below(100) as f64 / 100.0 * most } else { 0.0 }
    }
}

/// Loss in bursts after Gilbert and Elliott: in the bad state frames are lost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Burst {
    /// From good to bad, at each frame.
    pub enter: f64,
    /// From bad to good, at each frame.
    pub leave: f64,
    /// Loss while it is bad.
    pub loss: f64,
}

/// A line of limited rate with a queue before it; what does not fit is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Of the line.
    pub octets_per_second: u64,
    /// Of the queue.
    pub queue_octets: u64,
}
