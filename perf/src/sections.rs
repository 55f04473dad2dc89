//! What is measured: one function for each table.

mod asleep;
mod crowd;
mod one_way;
mod rates;
mod requests;
mod round_trips;
mod tasks;

pub use asleep::{idle, wake_ups};
pub use crowd::{Start, active_crowd, beside_streams, contacts, idle_crowd};
pub use one_way::{messages, streams};
pub use rates::rates;
pub use requests::requests;
pub use round_trips::round_trips;
pub use tasks::tasks;

use crate::What;
use crate::fault::Fault;
use crate::near::Lab;
use crate::plan::Plan;
use crate::report::{Cell, Row, Unit};

/// Told what is done just now.
pub type Progress<'a> = &'a mut dyn FnMut(&str);

/// What everything is held against: on one core, those that sleep.
fn baselines(plan: &Plan) -> &'static [&'static str] {
    if plan.columns.iter().any(|what| what.spins()) {
        &["tcp-spin", "verbs-poll", "bare"]
    } else {
        &["tcp-block", "verbs-event"]
    }
}

/// Shares of times: their names, and how many are below.
const TIMES: [(&str, f64); 4] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];

/// A row: all columns in turn, block after block; the first block does not count.
fn row(
    label: (String, f64),
    lab: &mut Lab,
    plan: &Plan,
    figures: &[(&'static str, Unit)],
    progress: Progress<'_>,
    block: impl FnMut(&mut Lab, What) -> Result<Vec<f64>, Fault>,
) -> Result<Row, Fault> {
    row_of(&plan.columns, label, lab, plan.blocks, figures, progress, block)
}

/// [`row`] of other columns than the plan's. A single block counts at once.
fn row_of(
    columns: &[What],
    (label, key): (String, f64),
    lab: &mut Lab,
    blocks: usize,
    figures: &[(&'static str, Unit)],
    progress: Progress<'_>,
    mut block: impl FnMut(&mut Lab, What) -> Result<Vec<f64>, Fault>,
) -> Result<Row, Fault> {
    let cells = columns.iter().map(|what| Cell::new(what.label(), figures)).collect();
    let mut row = Row { label, key, cells };
    let first = usize::from(blocks == 1);
    for number in first..=blocks {
        progress(&format!("{}: block {number} of {blocks}", row.label));
        for (cell, what) in row.cells.iter_mut().zip(columns) {
            let values = block(lab, *what)?;
            if number > 0 {
                cell.add(&values);
            }
        }
    }
    Ok(row)
}

/// The shares of these times, and the processor time of one.
fn shares(nanos: &[u64], cpu: f64) -> Vec<f64> {
    let mut values: Vec<_> = nanos.iter().map(|nanos| *nanos as f64).collect();
    let mut shares: Vec<_> =
        TIMES.iter().map(|(_, part)| crate::statistics::quantile(&mut values, *part)).collect();
    shares.push(cpu / nanos.len() as f64 * 1e9);
    shares
}

/// What [`shares`] yields.
fn share_figures(cpu: &'static str) -> Vec<(&'static str, Unit)> {
    TIMES.iter().map(|(name, _)| (*name, Unit::Nanos)).chain([(cpu, Unit::Cpu)]).collect()
}

/// Octets, for people.
pub(crate) fn octets(size: usize) -> String {
    match size {
        size if size >= 1 << 20 && size.is_multiple_of(1 << 20) => format!("{} MiB", size >> 20),
        size if size >= 1 << 10 && size.is_multiple_of(1 << 10) => format!("{} KiB", size >> 10),
        size => format!("{size} B"),
    }
}
