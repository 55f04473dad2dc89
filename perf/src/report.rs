//! What was measured, block by block, and what it comes to.

use std::fmt;

use crate::column::Label;
use crate::near::Cores;
use crate::statistics::{is_noise, median, ratio};

/// Everything one run has measured.
#[derive(Clone, Debug)]
pub struct Report {
    /// What the ends were: `two processes`, or `two threads` of one.
    pub ends: &'static str,
    /// Where they ran.
    pub cores: Cores,
    /// Nanoseconds a cache line needs from one core to the other; `None` on one.
    pub cache_line: Option<f64>,
    /// How much the machine had to do besides, when the run began and when it
    /// ended: the load of a minute.
    pub load: [f64; 2],
    /// Too short for numbers worth keeping.
    pub quick: bool,
    /// What was measured.
    pub sections: Vec<Section>,
}

/// Rows of one kind.
#[derive(Clone, Debug)]
pub struct Section {
    /// One word, for programs.
    pub id: &'static str,
    /// What it is, for people.
    pub title: String,
    /// How it was measured: a sentence or two.
    pub note: String,
    /// What rows differ in: octets, connections, a rate.
    pub key: &'static str,
    /// The lines that others are held against.
    pub baselines: &'static [&'static str],
    /// Pairs of figures that are plotted against each other, instead of one
    /// against the rows' keys.
    pub scatters: &'static [(&'static str, &'static str)],
    /// One for each size, or number of connections.
    pub rows: Vec<Row>,
}

/// Lines that were measured side by side.
#[derive(Clone, Debug)]
pub struct Row {
    /// What it is about.
    pub label: String,
    /// What a plot has it under, see [`Section::key`].
    pub key: f64,
    /// The lines.
    pub cells: Vec<Cell>,
}

/// One line.
#[derive(Clone, Debug)]
pub struct Cell {
    /// Its wire, what is on it, and how it waits.
    pub label: Label,
    /// What was measured of it.
    pub figures: Vec<Figure>,
}

/// One number, of each block.
#[derive(Clone, Debug)]
pub struct Figure {
    /// One word.
    pub name: &'static str,
    /// What it counts.
    pub unit: Unit,
    /// The blocks.
    pub blocks: Vec<f64>,
}

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds.
    Nanos,
    /// Nanoseconds of processor time.
    Cpu,
    /// Seconds of processor time for 10^9 octets.
    CpuPerGb,
    /// 10^9 octets a second.
    GbPerSecond,
    /// So many a second.
    PerSecond,
    /// A part of a whole.
    Part,
    /// Octets.
    Octets,
}

/// A ratio of two lines.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// The median of the blocks' own ratios.
    pub value: f64,
    /// The baseline's own blocks differ by more than a factor of two.
    pub noise: bool,
}

impl Figure {
    /// What stands for all blocks: the median; of maxima the greatest.
    #[must_use]
    pub fn value(&self) -> f64 {
        match self.name {
            "max" => self.blocks.iter().copied().fold(f64::NAN, f64::max),
            _ => median(&self.blocks),
        }
    }

    /// It, for people.
    #[must_use]
    pub fn shown(&self) -> String {
        self.unit.shown(self.value())
    }
}

impl Unit {
    /// How it is abbreviated.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nanos => "ns",
            Self::Cpu => "CPU ns",
            Self::CpuPerGb => "CPU s/GB",
            Self::GbPerSecond => "GB/s",
            Self::PerSecond => "/s",
            Self::Part => "",
            Self::Octets => "octets",
        }
    }

    /// A value of this unit, for people.
    #[must_use]
    pub fn shown(self, value: f64) -> String {
        match self {
            Self::Nanos | Self::Cpu if value < 9999.5 => format!("{value:.0} ns"),
            Self::Nanos | Self::Cpu if value < 9_999_500.0 => format!("{:.1} us", value / 1e3),
            Self::Nanos | Self::Cpu => format!("{:.1} ms", value / 1e6),
            Self::CpuPerGb => format!("{value:.3} s"),
            Self::GbPerSecond => format!("{value:.2} GB/s"),
            Self::PerSecond if value >= 1e6 => format!("{:.2} M/s", value / 1e6),
            Self::PerSecond if value >= 1e4 => format!("{:.1} k/s", value / 1e3),
            Self::PerSecond => format!("{value:.0} /s"),
            Self::Part => format!("{value:.4}"),
            Self::Octets => format!("{value:.0} B"),
        }
    }
}

impl Cell {
    /// A line of which nothing was measured yet.
    #[must_use]
    pub fn new(label: Label, figures: &[(&'static str, Unit)]) -> Self {
        let figures = figures.iter().map(|&(name, unit)| Figure { name, unit, blocks: Vec::new() });
        Self { label, figures: figures.collect() }
    }

    /// One block's numbers, in the order of the figures.
    pub fn add(&mut self, values: &[f64]) {
        self.figures.iter_mut().zip(values).for_each(|(figure, value)| figure.blocks.push(*value));
    }

    /// A figure by its name.
    #[must_use]
    pub fn figure(&self, name: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.name == name)
    }
}

impl Row {
    /// A line by its [id](Label::id).
    #[must_use]
    pub fn cell(&self, id: &str) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.label.id == id)
    }

    /// How a figure of one line compares with that of another.
    #[must_use]
    pub fn ratio(&self, ours: &str, baseline: &str, figure: &str) -> Option<Ratio> {
        let ours = &self.cell(ours)?.figure(figure)?.blocks;
        let baseline = &self.cell(baseline)?.figure(figure)?.blocks;
        Some(Ratio { value: ratio(ours, baseline), noise: is_noise(baseline) })
    }
}

impl Report {
    /// A section by its name.
    #[must_use]
    pub fn section(&self, id: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.id == id)
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noise = if self.noise { " noise" } else { "" };
        match self.value {
            value if value >= 100.0 => write!(f, "{value:.0}{noise}"),
            value if value >= 10.0 => write!(f, "{value:.1}{noise}"),
            value if value >= 1.0 => write!(f, "{value:.2}{noise}"),
            value => write!(f, "{value:.3}{noise}"),
        }
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
