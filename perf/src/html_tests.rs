use super::*;
use crate::column::What;
use crate::near::Cores;
use crate::report::Cell;

fn report(keys: &[f64]) -> Report {
    let figures = [("p50", Unit::Nanos)];
    let row = |key: &f64| {
        let cells = [What::TcpSpin, What::Busy].map(|what| {
            let mut cell = Cell::new(what.label(), &figures);
            (1..4).for_each(|block| cell.add(&[key * f64::from(block)]));
            cell
        });
        Row { label: format!("row {key}"), key: *key, cells: cells.into() }
    };
    let section = Section {
        id: "round-trips",
        title: "Round <trips>".to_owned(),
        note: String::new(),
        key: "octets",
        baselines: &["tcp-spin"],
        scatters: &[],
        rows: keys.iter().map(row).collect(),
    };
    let cores = Cores { near: 0, far: 1 };
    Report {
        ends: "two processes",
        cores,
        cache_line: Some(80.0),
        load: [0.0; 2],
        quick: false,
        sections: vec![section],
    }
}

#[test]
fn the_page_is_whole_and_has_each_row_and_line() {
    let page = html(&report(&[1.0, 64.0, 4096.0]));
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
    assert!(page.contains("Round &lt;trips&gt;"), "{page}");
    for row in ["row 1", "row 64", "row 4096"] {
        assert!(page.contains(row), "{row}");
    }
    assert_eq!((page.matches("<svg").count(), page.matches("<polyline").count()), (1, 2));
    assert_eq!(page.matches("<tr><td>shm<td>smolsmc SMC-R<td>busy").count(), 3);
    // Nothing is fetched from anywhere.
    assert!(!page.contains("src=") && !page.contains("href="));
}

#[test]
fn too_few_rows_for_a_curve_are_bars() {
    let page = html(&report(&[1.0]));
    assert_eq!((page.matches("<svg").count(), page.matches("<polyline").count()), (1, 0));
}
