use super::*;
use crate::column::What;

fn row() -> Row {
    let figures = [("p50", Unit::Nanos), ("max", Unit::Nanos)];
    let cells = [What::TcpSpin, What::Busy].map(|what| Cell::new(what.label(), &figures));
    let mut row = Row { label: "64 octets".to_owned(), key: 64.0, cells: cells.into() };
    for (tcp, ours) in [(100.0, 10.0), (120.0, 24.0), (110.0, 22.0)] {
        row.cells[0].add(&[tcp, 2.0 * tcp]);
        row.cells[1].add(&[ours, 3.0 * ours]);
    }
    row
}

#[test]
fn a_figure_is_the_median_and_a_maximum_the_greatest() {
    let row = row();
    let busy = row.cell("busy").unwrap();
    assert_eq!(busy.figure("p50").unwrap().value(), 22.0);
    assert_eq!(busy.figure("max").unwrap().value(), 72.0);
    assert!(busy.figure("p99").is_none());
}

#[test]
fn ratios_are_of_blocks_and_know_noise() {
    let mut row = row();
    assert_eq!(row.ratio("busy", "tcp-spin", "p50").unwrap(), Ratio { value: 0.2, noise: false });
    assert_eq!(row.ratio("busy", "bare", "p50"), None);
    for _ in 0..10 {
        row.cells[0].add(&[900.0, 900.0]);
        row.cells[1].add(&[90.0, 90.0]);
    }
    let ratio = row.ratio("busy", "tcp-spin", "p50").unwrap();
    assert!(ratio.noise);
    assert_eq!(ratio.to_string(), "0.100 noise");
}

#[test]
fn values_are_shown_in_a_unit_that_fits() {
    let shown = [
        (Unit::Nanos, 1095.2, "1095 ns"),
        (Unit::Nanos, 9999.9, "10.0 us"),
        (Unit::Cpu, 12_345_678.0, "12.3 ms"),
        (Unit::PerSecond, 21_900_000.0, "21.90 M/s"),
        (Unit::PerSecond, 12_345.0, "12.3 k/s"),
        (Unit::GbPerSecond, 6.612, "6.61 GB/s"),
    ];
    for (unit, value, words) in shown {
        assert_eq!(unit.shown(value), words);
    }
}
