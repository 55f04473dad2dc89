//! A report for a terminal.

use std::fmt::Write;

use crate::aims::outcomes;
use crate::report::{Report, Row, Section};

/// All of it.
#[must_use]
pub fn text(report: &Report) -> String {
    let mut out = head(report);
    for section in &report.sections {
        // Writing to a string does not fail.
        let _ = writeln!(out, "\n{}\n{}", section.title, wrapped(&section.note));
        for row in &section.rows {
            out.push_str(&table(section, row));
        }
    }
    let outcomes = outcomes(report);
    if !outcomes.is_empty() {
        out.push_str("\nWhat it should come to, as medians of the blocks' ratios\n");
    }
    for outcome in outcomes {
        let (ratio, bound) = (outcome.ratio.to_string(), outcome.aim.bound.to_string());
        let _ = writeln!(out, "  {:<62} {ratio:>12}  {bound:<13} {}", outcome.aim.words, outcome.verdict());
    }
    out
}

/// What is true of all of it.
pub(crate) fn head(report: &Report) -> String {
    let mut out = String::new();
    let cores = report.cores;
    let _ = match report.cache_line {
        Some(nanos) => writeln!(
            out,
            "{}, pinned to cores {} and {}; a cache line needs {nanos:.0} ns from one to the other",
            report.ends, cores.near, cores.far
        ),
        None => writeln!(
            out,
            "{} on one core, {}: ends that spin are left out, they would wait for each other's time slice",
            report.ends, cores.near
        ),
    };
    let [before, after] = report.load;
    let _ = writeln!(out, "load of the machine: {before:.1} before, {after:.1} after");
    if report.quick {
        out.push_str("a quick run: no number of it is worth keeping\n");
    }
    out
}

/// A row's lines under each other, each with its wire and mode.
fn table(section: &Section, row: &Row) -> String {
    let Some(first) = row.cells.first() else { return String::new() };
    let mut lines = vec![vec!["wire".to_owned(), "what".to_owned(), "mode".to_owned()]];
    lines[0].extend(first.figures.iter().map(|figure| figure.name.to_owned()));
    let baselines: Vec<_> = section.baselines.iter().filter(|id| row.cell(id).is_some()).collect();
    lines[0].extend(baselines.iter().map(|id| format!("to {id}")));
    for cell in &row.cells {
        let mut line = [cell.label.wire, &cell.label.what, cell.label.mode].map(str::to_owned).to_vec();
        line.extend(cell.figures.iter().map(crate::report::Figure::shown));
        let name = first.figures.first().map_or("", |figure| figure.name);
        line.extend(baselines.iter().map(|id| {
            row.ratio(&cell.label.id, id, name).map_or_else(String::new, |ratio| ratio.to_string())
        }));
        lines.push(line);
    }
    let mut out = format!("\n  {}\n", row.label);
    out.push_str(&aligned(&lines));
    out
}

/// Columns as wide as they need be; the first three begin at the left.
fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(String::len).max();
    let widths: Vec<_> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
    let mut out = String::new();
    for line in lines {
        out.push_str("   ");
        for (n, (word, width)) in line.iter().zip(&widths).enumerate() {
            let _ = match n {
                0..3 => write!(out, " {word:<width$} "),
                _ => write!(out, " {word:>width$} "),
            };
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
    }
    out
}

/// Lines of at most 100 columns.
fn wrapped(words: &str) -> String {
    let mut out = String::new();
    let mut len = 0;
    for word in words.split_whitespace() {
        if len > 0 && len + word.len() + 1 > 98 {
            out.push('\n');
            len = 0;
        }
        out.push_str(if len == 0 { "  " } else { " " });
        out.push_str(word);
        len += word.len() + 1;
    }
    out
}
