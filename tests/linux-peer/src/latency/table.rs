//! What was measured, block by block, and what it comes to.

use std::fmt::Write;

use smolsmc_perf::{Cell, Label, Row, Section, Unit};

use super::meeting::Measured;
use super::{BASELINE, CARRIERS, Carrier, Latency, LatencyOptions, WORKS};
use crate::Error;

/// Works that are a size, and so have a place on an axis.
const SIZES: usize = 4;
/// What is measured of each.
const FIGURES: [(&str, Unit); 2] = [("p50", Unit::Nanos), ("p99", Unit::Nanos)];

pub(super) struct Table {
    options: LatencyOptions,
    kernel: String,
    rows: Vec<Row>,
    missing: Vec<(String, String)>,
}

impl Table {
    pub(super) fn new(options: LatencyOptions, kernel: String) -> Self {
        let row = |(work, name): &(&str, &str)| Row {
            label: (*name).to_owned(),
            key: work.parse().unwrap_or(0.0),
            cells: CARRIERS.iter().map(cell).collect(),
        };
        Self { options, kernel, rows: WORKS.iter().map(row).collect(), missing: Vec::new() }
    }

    pub(super) fn is_missing(&self, carrier: &Carrier) -> bool {
        self.missing.iter().any(|(id, _)| id == carrier.id)
    }

    /// One block.
    pub(super) fn add(&mut self, carrier: &Carrier, measured: &[Measured]) {
        for (row, measured) in self.rows.iter_mut().zip(measured) {
            if let Some(cell) = row.cells.iter_mut().find(|cell| cell.label.id == carrier.id) {
                cell.add(&[measured.p50, measured.p99]);
            }
        }
    }

    /// Without this line from now on: what it has no number for in one block would
    /// be held against another block's.
    pub(super) fn give_up(&mut self, carrier: &Carrier, error: &Error) {
        self.missing.push((carrier.id.to_owned(), error.to_string()));
        for row in &mut self.rows {
            row.cells.retain(|cell| cell.label.id != carrier.id);
        }
    }

    pub(super) fn finish(self) -> Latency {
        let LatencyOptions { blocks, rounds } = self.options;
        let about = format!(
            "{}, two guests with 2 processors each, emulated (TCG) on {} processors, rxe over virtio-net, \
             their NICs wired directly; the ends on a processor of their own, which runs when nothing else \
             does; {blocks} blocks of {rounds} rounds in turn; medians of the blocks, ratios are medians \
             of the blocks' own",
            self.kernel,
            std::thread::available_parallelism().map_or(0, std::num::NonZero::get)
        );
        let mut sizes = self.rows;
        let requests = sizes.split_off(SIZES);
        let section = |id, title: &str, note: &str, rows| Section {
            id,
            title: title.to_owned(),
            note: note.to_owned(),
            key: "octets",
            baselines: &[BASELINE],
            scatters: &[],
            rows,
        };
        let sections = vec![
            section("sizes", "Messages there and back", "The same octets come back; verified.", sizes),
            section(
                "rpc",
                "Requests with answers",
                "64 octets there, 1024 back, each behind its length: two reads at each end.",
                requests,
            ),
        ];
        Latency { about, sections, missing: self.missing }
    }
}

fn cell(carrier: &Carrier) -> Cell {
    let Carrier { id, name, mode, .. } = *carrier;
    Cell::new(Label { id: id.into(), wire: "rxe", what: name.into(), mode }, &FIGURES)
}

impl Latency {
    fn rows(&self) -> impl Iterator<Item = &Row> {
        self.sections.iter().flat_map(|section| &section.rows)
    }

    /// Two tables in Markdown: microseconds, and ratios to verbs that are polled.
    #[must_use]
    pub fn markdown(&self) -> String {
        let names: Vec<_> = self.rows().map(|row| row.label.as_str()).collect();
        let head = |first: &str| {
            format!("| {first} | {} |\n|---|{}\n", names.join(" | "), "---:|".repeat(names.len()))
        };
        let mut out = format!("{}.\n\n{}", self.about, head("p50 / p99, us"));
        let line = |out: &mut String, of: &dyn Fn(&Row, &Cell) -> String| {
            for carrier in &CARRIERS {
                let cells = self.rows().filter_map(|row| Some((row, row.cell(carrier.id)?)));
                let cells: Vec<_> = cells.map(|(row, cell)| of(row, cell)).collect();
                if !cells.is_empty() {
                    // Writing to a string does not fail.
                    let _ = writeln!(out, "| {}, {} | {} |", carrier.name, carrier.mode, cells.join(" | "));
                }
            }
        };
        let micros = |cell: &Cell, name| cell.figure(name).map_or(f64::NAN, |figure| figure.value() / 1e3);
        line(&mut out, &|_, cell| format!("{:.0} / {:.0}", micros(cell, "p50"), micros(cell, "p99")));
        let _ = write!(out, "\n{}", head("p50, to raw verbs polling"));
        line(&mut out, &|row, cell| {
            row.ratio(&cell.label.id, BASELINE, "p50").map_or_else(String::new, |ratio| ratio.to_string())
        });
        for (id, why) in &self.missing {
            let _ = writeln!(out, "\n{id} was not measured: {why}");
        }
        out
    }

    /// A page with plots.
    #[must_use]
    pub fn html(&self) -> String {
        smolsmc_perf::page("Latency between two Linux guests", &self.about, &self.sections)
    }
}

#[cfg(test)]
mod tests {
    use super::{CARRIERS, LatencyOptions, Measured, Table, WORKS};
    use crate::Error;

    fn table() -> Table {
        let mut table = Table::new(LatencyOptions { blocks: 2, rounds: 9 }, "Linux 6.12".to_owned());
        for block in 1..=2 {
            for (n, carrier) in CARRIERS.iter().enumerate() {
                let p50 = f64::from(block) * 1e4 * (n + 1) as f64;
                table.add(carrier, &vec![Measured { p50, p99: 2.0 * p50 }; WORKS.len()]);
            }
        }
        table
    }

    #[test]
    fn each_line_has_its_times_and_its_ratio() {
        let text = table().finish().markdown();
        // Of two blocks the upper one is the median.
        assert!(text.contains("| kernel TCP, blocking | 20 / 40 |"), "{text}");
        assert!(text.contains("| raw verbs, WRITE and SEND, polling | 1.00 |"), "{text}");
        assert!(text.contains("| smolsmc SMC-R, busy | 1.60 |"), "{text}");
        assert!(text.contains("RPC 64 B / 1 KiB") && !text.contains("not measured"), "{text}");
    }

    #[test]
    fn a_line_that_failed_is_left_out_and_said_to_be() {
        let mut table = table();
        let error = Error::Scenario("no such device".to_owned());
        table.give_up(&CARRIERS[2], &error);
        assert!(table.is_missing(&CARRIERS[2]) && !table.is_missing(&CARRIERS[1]));
        let latency = table.finish();
        let text = latency.markdown();
        assert!(text.contains("rsockets was not measured: no such device"), "{text}");
        assert!(!text.contains("| rsockets"), "{text}");
        let page = latency.html();
        assert!(page.contains("<svg") && page.contains("smolsmc SMC-R, busy (rxe)"), "plots");
    }
}
