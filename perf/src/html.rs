//! A report with plots: one file that needs nothing else.

use std::fmt::Write;

use crate::aims::outcomes;
use crate::plot::{Curve, Plot, bars};
use crate::report::{Figure, Report, Row, Section, Unit};

/// How it looks.
const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:1100px;padding:0 1em;\
color:#222;background:#fff}table{border-collapse:collapse;margin:.6em 0 1.6em;font-size:13px}\
th,td{padding:.2em .7em;text-align:right;border-bottom:1px solid #ddd;white-space:nowrap}\
th:nth-child(-n+3),td:nth-child(-n+3){text-align:left}caption{text-align:left;font-weight:600}\
.noise{color:#999}.met{color:#17692d}.missed{color:#a11}svg{max-width:100%;height:auto;margin:.4em 0}\
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}svg{background:#fff}}";

/// All of it.
#[must_use]
pub fn html(report: &Report) -> String {
    let mut out = begin("smolsmc perf", &crate::text::head(report));
    aims(report, &mut out);
    end(out, &report.sections)
}

/// A page of sections that were measured elsewhere.
#[must_use]
pub fn page(title: &str, head: &str, sections: &[Section]) -> String {
    end(begin(title, head), sections)
}

fn begin(title: &str, head: &str) -> String {
    let (title, head) = (escaped(title), escaped(head).replace('\n', "<br>"));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n<p>{head}</p>\n"
    )
}

fn end(mut out: String, sections: &[Section]) -> String {
    for section in sections {
        // Writing to a string does not fail.
        let _ = writeln!(out, "<h2>{}</h2>\n<p>{}</p>", escaped(&section.title), escaped(&section.note));
        plots(section, &mut out);
        section.rows.iter().for_each(|row| table(section, row, &mut out));
    }
    out.push_str("</body></html>\n");
    out
}

/// Text as HTML.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn aims(report: &Report, out: &mut String) {
    let outcomes = outcomes(report);
    if outcomes.is_empty() {
        return;
    }
    out.push_str("<table><caption>What it should come to, as medians of the blocks' ratios</caption>\n");
    for outcome in outcomes {
        let (words, bound, verdict) = (escaped(outcome.aim.words), outcome.aim.bound, outcome.verdict());
        let _ =
            writeln!(out, "<tr><td>{words}<td>{}<td>{bound}<td class=\"{verdict}\">{verdict}", outcome.ratio);
    }
    out.push_str("</table>\n");
}

/// A curve for each line where there are enough rows for one, else bars.
fn plots(section: &Section, out: &mut String) {
    for scatter in section.scatters {
        out.push_str(&scattered(section, *scatter));
    }
    let Some(first) = section.rows.first().and_then(|row| row.cells.first()) else { return };
    let Some(figure) = first.figures.first() else { return };
    if section.rows.len() >= 3 && section.scatters.is_empty() {
        out.push_str(&curves(section, figure));
    } else if section.scatters.is_empty() {
        for row in &section.rows {
            out.push_str(&row_bars(row, figure));
        }
    }
}

fn name(cell: &crate::report::Cell) -> String {
    format!("{}, {} ({})", cell.label.what, cell.label.mode, cell.label.wire)
}

fn axis(figure: &Figure) -> String {
    match figure.unit {
        Unit::Nanos => format!("{}, us", figure.name),
        Unit::PerSecond => "millions a second".to_owned(),
        unit => format!("{} {}", figure.name, unit.name()).trim().to_owned(),
    }
}

/// In the unit of [`axis`].
fn scaled(figure: &Figure) -> f64 {
    match figure.unit {
        Unit::Nanos => figure.value() / 1e3,
        Unit::PerSecond => figure.value() / 1e6,
        _ => figure.value(),
    }
}

fn curves(section: &Section, figure: &Figure) -> String {
    let mut curves: Vec<Curve> = Vec::new();
    for row in &section.rows {
        for cell in &row.cells {
            let Some(value) = cell.figure(figure.name) else { continue };
            let name = name(cell);
            let at = curves.iter().position(|curve| curve.name == name).unwrap_or_else(|| {
                curves.push(Curve { name, points: Vec::new() });
                curves.len() - 1
            });
            curves[at].points.push((row.key, scaled(value)));
        }
    }
    let title = format!("{}: {}", section.title, figure.name);
    Plot { title, x: section.key.to_owned(), y: axis(figure), curves }.svg()
}

/// One figure against another: each row is a point of its line.
fn scattered(section: &Section, (x, y): (&'static str, &'static str)) -> String {
    let mut curves: Vec<Curve> = Vec::new();
    let mut axes = (String::new(), String::new());
    for cell in section.rows.iter().flat_map(|row| &row.cells) {
        let (Some(x), Some(y)) = (cell.figure(x), cell.figure(y)) else { continue };
        axes = (axis(x), axis(y));
        let name = name(cell);
        let at = curves.iter().position(|curve| curve.name == name).unwrap_or_else(|| {
            curves.push(Curve { name, points: Vec::new() });
            curves.len() - 1
        });
        curves[at].points.push((scaled(x), scaled(y)));
    }
    Plot { title: section.title.clone(), x: axes.0, y: axes.1, curves }.svg()
}

fn row_bars(row: &Row, figure: &Figure) -> String {
    let bar = |cell: &crate::report::Cell| {
        let figure = cell.figure(figure.name)?;
        Some((name(cell), figure.value(), figure.shown()))
    };
    let values: Vec<_> = row.cells.iter().filter_map(bar).collect();
    bars(&format!("{}: {}", row.label, figure.name), &values)
}

fn table(section: &Section, row: &Row, out: &mut String) {
    let Some(first) = row.cells.first() else { return };
    let baselines: Vec<_> = section.baselines.iter().filter(|id| row.cell(id).is_some()).collect();
    let _ = write!(out, "<table><caption>{}</caption>\n<tr><th>wire<th>what<th>mode", escaped(&row.label));
    for figure in &first.figures {
        let _ = write!(out, "<th>{}", escaped(figure.name));
    }
    for id in &baselines {
        let _ = write!(out, "<th>to {id}");
    }
    out.push('\n');
    let figure = first.figures.first().map_or("", |figure| figure.name);
    for cell in &row.cells {
        let label = &cell.label;
        let _ = write!(out, "<tr><td>{}<td>{}<td>{}", label.wire, escaped(&label.what), label.mode);
        for figure in &cell.figures {
            let _ = write!(out, "<td>{}", figure.shown());
        }
        for id in &baselines {
            let ratio = row.ratio(&label.id, id, figure);
            let class = if ratio.is_some_and(|ratio| ratio.noise) { " class=\"noise\"" } else { "" };
            let _ = write!(out, "<td{class}>{}", ratio.map_or_else(String::new, |ratio| ratio.to_string()));
        }
        out.push('\n');
    }
    out.push_str("</table>\n");
}

#[cfg(test)]
#[path = "html_tests.rs"]
mod tests;
