//! What the numbers should come to.

use crate::report::{Ratio, Report};

/// A ratio and its bound.
#[derive(Clone, Copy, Debug)]
pub struct Aim {
    /// What is compared, for people.
    pub words: &'static str,
    section: &'static str,
    key: f64,
    figure: &'static str,
    ours: &'static str,
    baseline: &'static str,
    /// What it should come to.
    pub bound: Bound,
}

/// What a ratio should come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// Not more.
    AtMost(f64),
    /// Not less.
    AtLeast(f64),
}

/// An aim that was measured.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Which.
    pub aim: Aim,
    /// What it came to.
    pub ratio: Ratio,
}

const fn aim(
    words: &'static str,
    (section, key, figure): (&'static str, f64, &'static str),
    (ours, baseline): (&'static str, &'static str),
    bound: Bound,
) -> Aim {
    Aim { words, section, key, figure, ours, baseline, bound }
}

const TRIP: &str = "round-trips";
const KIB_64: f64 = 65_536.0;

/// All of them.
pub const AIMS: [Aim; 19] = [
    aim(
        "64 B round trip, p50: raw verbs polling to the bare ring",
        (TRIP, 64.0, "p50"),
        ("verbs-poll", "bare"),
        Bound::AtMost(2.5),
    ),
    aim(
        "64 B round trip, p50: SMC-R busy to raw verbs polling",
        (TRIP, 64.0, "p50"),
        ("busy", "verbs-poll"),
        Bound::AtMost(1.3),
    ),
    aim(
        "64 B round trip, p50: SMC-R busy to kernel TCP spinning",
        (TRIP, 64.0, "p50"),
        ("busy", "tcp-spin"),
        Bound::AtMost(0.1),
    ),
    aim(
        "64 B round trip, p99.9: SMC-R busy to raw verbs polling",
        (TRIP, 64.0, "p99.9"),
        ("busy", "verbs-poll"),
        Bound::AtMost(2.0),
    ),
    aim(
        "64 KiB stream: SMC-R busy to kernel TCP spinning",
        ("streams", KIB_64, "rate"),
        ("busy", "tcp-spin"),
        Bound::AtLeast(4.0),
    ),
    aim(
        "64 KiB stream: SMC-R busy to the bare ring",
        ("streams", KIB_64, "rate"),
        ("busy", "bare"),
        Bound::AtLeast(0.75),
    ),
    aim(
        "64 B messages: SMC-R busy to kernel TCP spinning",
        ("messages", 64.0, "rate"),
        ("busy", "tcp-spin"),
        Bound::AtLeast(60.0),
    ),
    aim(
        "64 B messages: SMC-R busy to the bare ring",
        ("messages", 64.0, "rate"),
        ("busy", "bare"),
        Bound::AtLeast(0.2),
    ),
    aim(
        "wake-up, 64 B, on one core: SMC-R interrupt to eventfds",
        ("wake-ups", 1.0, "p50"),
        ("interrupt", "eventfd"),
        Bound::AtMost(1.3),
    ),
    aim(
        "wake-up, 64 B, each on its core: SMC-R interrupt to eventfds",
        ("wake-ups", 2.0, "p50"),
        ("interrupt", "eventfd"),
        Bound::AtMost(1.3),
    ),
    aim(
        "200000 requests a second, p50: adaptive to busy",
        ("rates", 200_000.0, "p50"),
        ("adaptive", "busy"),
        Bound::AtMost(1.15),
    ),
    aim(
        "1000 requests a second, p50: adaptive to interrupt",
        ("rates", 1000.0, "p50"),
        ("adaptive", "interrupt"),
        Bound::AtMost(1.15),
    ),
    aim(
        "200000 requests a second, p99: adaptive to busy",
        ("rates", 200_000.0, "p99"),
        ("adaptive", "busy"),
        Bound::AtMost(1.15),
    ),
    aim(
        "1000 requests a second, p99: adaptive to interrupt",
        ("rates", 1000.0, "p99"),
        ("adaptive", "interrupt"),
        Bound::AtMost(1.15),
    ),
    aim(
        "1000 requests a second, processor time: adaptive to interrupt",
        ("rates", 1000.0, "of a core"),
        ("adaptive", "interrupt"),
        Bound::AtMost(1.15),
    ),
    aim(
        "200000 requests a second, processor time: adaptive to busy",
        ("rates", 200_000.0, "of a core"),
        ("adaptive", "busy"),
        Bound::AtMost(1.15),
    ),
    aim(
        "64 B p50 beside 10000 idle connections to beside none",
        ("idle-crowd", 64.0, "p50"),
        ("idle-10000", "idle-0"),
        Bound::AtMost(1.1),
    ),
    aim(
        "round trips on 1000 connections at once to those on 10",
        ("active-crowd", 64.0, "rate"),
        ("active-1000", "active-10"),
        Bound::AtLeast(0.8),
    ),
    aim(
        "64 B p99 beside 8 streams to alone",
        ("beside-streams", 64.0, "p99"),
        ("beside-8", "alone"),
        Bound::AtMost(5.0),
    ),
];

/// Those of which the report has both lines.
#[must_use]
pub fn outcomes(report: &Report) -> Vec<Outcome> {
    let outcome = |aim: &Aim| {
        let rows = &report.section(aim.section)?.rows;
        let row = rows.iter().find(|row| row.key == aim.key)?;
        Some(Outcome { aim: *aim, ratio: row.ratio(aim.ours, aim.baseline, aim.figure)? })
    };
    AIMS.iter().filter_map(outcome).collect()
}

impl Outcome {
    /// One word.
    #[must_use]
    pub fn verdict(&self) -> &'static str {
        let value = self.ratio.value;
        let is_met = match self.aim.bound {
            Bound::AtMost(most) => value <= most,
            Bound::AtLeast(least) => value >= least,
        };
        match (self.ratio.noise, is_met) {
            (true, _) => "noise",
            (false, true) => "met",
            (false, false) => "missed",
        }
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "at most {most}"),
            Self::AtLeast(least) => write!(f, "at least {least}"),
        }
    }
}
