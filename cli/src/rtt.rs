//! Round trip times, and what they come to.

use std::fmt;

use serde_json::{Map, Value};

/// Measured times.
#[derive(Default)]
pub(crate) struct RoundTrips {
    nanos: Vec<u64>,
}

/// What is reported, and the share of all times that are not above it, in
/// thousandths. The least time has the share 0.
const REPORTED: [(&str, &str, u64); 5] = [
    ("min", "min", 0),
    ("p50", "p50", 500),
    ("p99", "p99", 990),
    ("p99.9", "p99_9", 999),
    ("max", "max", 1000),
];

impl RoundTrips {
    /// Adds one, in nanoseconds.
    pub(crate) fn add(&mut self, nanos: u64) {
        self.nanos.push(nanos);
    }

    pub(crate) const fn len(&self) -> usize {
        self.nanos.len()
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.nanos.is_empty()
    }

    /// In microseconds, by name.
    pub(crate) fn to_json(&self) -> Value {
        let ranked = self.ranked();
        let fields: Map<String, Value> = REPORTED
            .iter()
            .zip(ranked)
            .map(|((_, name, _), nanos)| ((*name).to_owned(), (nanos as f64 / 1000.0).into()))
            .collect();
        fields.into()
    }

    /// Nearest rank: a time that was measured, never one between two.
    fn ranked(&self) -> [u64; REPORTED.len()] {
        let mut sorted = self.nanos.clone();
        sorted.sort_unstable();
        REPORTED.map(|(.., share)| {
            let rank = (sorted.len() as u64 * share).div_ceil(1000).max(1);
            sorted.get(rank as usize - 1).copied().unwrap_or(0)
        })
    }
}

impl fmt::Display for RoundTrips {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("round trip in us:")?;
        for ((name, ..), nanos) in REPORTED.iter().zip(self.ranked()) {
            write!(f, "  {name} {}.{}", nanos / 1000, nanos % 1000 / 100)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_those_of_times_that_were_measured() {
        let mut trips = RoundTrips::default();
        trips.add(7000);
        assert_eq!(trips.ranked(), [7000; 5]);
        for micros in (1..=1000).rev().filter(|micros| *micros != 7) {
            trips.add(micros * 1000);
        }
        assert_eq!(trips.ranked(), [1000, 500_000, 990_000, 999_000, 1_000_000]);
        assert_eq!(
            trips.to_string(),
            "round trip in us:  min 1.0  p50 500.0  p99 990.0  p99.9 999.0  max 1000.0"
        );
    }
}
