//! Data between two events: many packets, few lines.

use super::Way;
use super::words::Step;

/// Turns that get a line each; of more, only the sums are told.
const TURNS_SHOWN: usize = 6;

/// What went one way.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    /// Nanoseconds, of the first frame.
    since: Option<u64>,
    writes: u64,
    octets: u64,
    cursors: u64,
    segments: u64,
    again: u64,
}

/// Data that was sent since the last event.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    /// Who sent data in turn, at most [`TURNS_SHOWN`] of them.
    turns: Vec<(Way, Sums)>,
    turns_counted: usize,
    /// Messages against the turn: they only say what was read.
    updates: [Sums; 2],
    all: [Sums; 2],
}

impl Traffic {
    /// Adds a frame, if it is data; whether it was.
    pub(super) fn add(&mut self, time_ns: u64, way: Way, step: &Step, again: bool) -> bool {
        let is_data = match step {
            Step::Write(_) | Step::Octets(_) => true,
            Step::Cursors => false,
            _ => return false,
        };
        let is_turn_of = self.turns.last().is_some_and(|(last, _)| *last == way);
        if is_data && !is_turn_of {
            self.turns_counted += 1;
            if self.turns.len() < TURNS_SHOWN {
                self.turns.push((way, Sums::default()));
            } else if let Some((last, _)) = self.turns.last_mut() {
                *last = way; // the lines will not be shown any more
            }
        }
        self.all[way.index()].add(time_ns, step, again);
        match self.turns.last_mut() {
            Some((last, sums)) if *last == way => sums.add(time_ns, step, again),
            _ => self.updates[way.index()].add(time_ns, step, again),
        }
        true
    }

    /// Takes the lines: time, way and words of each.
    pub(super) fn take(&mut self) -> Vec<(u64, Way, String)> {
        let traffic = std::mem::take(self);
        let shown: Vec<(Way, Sums)> = if traffic.turns_counted <= TURNS_SHOWN {
            let updates = Way::BOTH.into_iter().zip(traffic.updates);
            traffic.turns.into_iter().chain(updates).collect()
        } else {
            Way::BOTH.into_iter().zip(traffic.all).collect()
        };
        let turns = match traffic.turns_counted {
            0..=TURNS_SHOWN => String::new(),
            turns => format!(", in {turns} turns"),
        };
        let mut lines: Vec<_> = shown
            .into_iter()
            .filter_map(|(way, sums)| Some((sums.since?, way, format!("{}{turns}", sums.words()))))
            .collect();
        lines.sort_by_key(|(since, ..)| *since);
        lines
    }
}

impl Sums {
    fn add(&mut self, time_ns: u64, step: &Step, again: bool) {
        self.since.get_or_insert(time_ns);
        self.again += u64::from(again);
        match step {
            _ if again => {}
            Step::Write(Some(octets)) => {
                self.writes += 1;
                self.octets += octets;
            }
            Step::Octets(octets) => {
                self.segments += 1;
                self.octets += octets;
            }
            Step::Cursors => self.cursors += 1,
            _ => {}
        }
    }

    fn words(&self) -> String {
        let mut words = Vec::new();
        if self.writes > 0 {
            words.push(format!("RDMA WRITE{}, {} octets", times(self.writes), self.octets));
        }
        if self.segments > 0 {
            words.push(format!("TCP data{}, {} octets", times(self.segments), self.octets));
        }
        if self.cursors > 0 {
            words.push(format!("CDC{}", times(self.cursors)));
        }
        if self.again > 0 {
            words.push(format!("{} sent again", self.again));
        }
        words.join("; ")
    }
}

fn times(count: u64) -> String {
    if count == 1 { String::new() } else { format!(" x{count}") }
}
