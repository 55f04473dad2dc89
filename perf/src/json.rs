//! A report for programs.

use serde_json::{Map, Value, json};

use crate::aims::outcomes;
use crate::report::{Cell, Figure, Report, Row, Section};

/// All of it: sections, rows, columns, figures, and of each the blocks.
#[must_use]
pub fn json(report: &Report) -> Value {
    let aims: Vec<_> = outcomes(report)
        .iter()
        .map(|outcome| {
            json!({
                "what": outcome.aim.words, "ratio": outcome.ratio.value, "noise": outcome.ratio.noise,
                "aim": outcome.aim.bound.to_string(), "verdict": outcome.verdict(),
            })
        })
        .collect();
    json!({
        "kind": "perf", "ends": report.ends,
        "cores": [report.cores.near, report.cores.far],
        "cache_line_ns": report.cache_line, "load": report.load, "quick": report.quick,
        "sections": report.sections.iter().map(section).collect::<Vec<_>>(),
        "aims": aims,
    })
}

fn section(section: &Section) -> Value {
    let rows: Vec<_> = section.rows.iter().map(|row| self::row(row, section.baselines)).collect();
    json!({ "id": section.id, "title": section.title, "note": section.note, "rows": rows })
}

fn row(row: &Row, baselines: &[&str]) -> Value {
    let columns: Vec<_> = row.cells.iter().map(|cell| self::cell(row, cell, baselines)).collect();
    json!({ "label": row.label, "key": row.key, "columns": columns })
}

fn cell(row: &Row, cell: &Cell, baselines: &[&str]) -> Value {
    let label = &cell.label;
    let figures: Map<_, _> = cell
        .figures
        .iter()
        .map(|figure| (figure.name.to_owned(), self::figure(row, cell, figure, baselines)))
        .collect();
    json!({ "id": label.id, "wire": label.wire, "what": label.what, "mode": label.mode, "figures": figures })
}

fn figure(row: &Row, cell: &Cell, figure: &Figure, baselines: &[&str]) -> Value {
    let ratios: Map<_, _> = baselines
        .iter()
        .filter_map(|id| {
            let ratio = row.ratio(&cell.label.id, id, figure.name)?;
            Some(((*id).to_owned(), json!({ "ratio": ratio.value, "noise": ratio.noise })))
        })
        .collect();
    json!({ "unit": figure.unit.name(), "value": figure.value(), "blocks": figure.blocks, "ratios": ratios })
}
