//! `smolsmc perf`: what it measures, what it writes, and how it fails.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a process is waited for")]

mod common;

use common::{assert_refused, command, file_path, smolsmc, text};
use serde_json::Value;

const COLUMNS: [&str; 11] = [
    "tcp-spin",
    "tcp-block",
    "smoltcp",
    "bare",
    "verbs-poll",
    "verbs-event",
    "busy",
    "interrupt",
    "adaptive",
    "engine",
    "poller",
];
const WITHOUT_SPINNING: [&str; 4] = ["tcp-block", "verbs-event", "interrupt", "engine"];

fn columns() -> &'static [&'static str] {
    match std::thread::available_parallelism().map_or(1, usize::from) {
        1 => &WITHOUT_SPINNING,
        _ => &COLUMNS,
    }
}

/// Open loops and crowds want a core for each end.
fn tables() -> &'static [&'static str] {
    let all = &[
        "round-trips",
        "requests",
        "streams",
        "messages",
        "wake-ups",
        "idle",
        "rates",
        "idle-crowd",
        "active-crowd",
        "beside-streams",
        "contacts",
        "tasks",
    ];
    if columns() == WITHOUT_SPINNING { &all[..6] } else { all }
}

fn columns_of(section: &Value, row: usize) -> &'static [&'static str] {
    match (section["id"].as_str().unwrap(), row) {
        ("wake-ups", _) => &["eventfd", "tcp-block", "verbs-event", "interrupt"],
        ("idle", _) => &["interrupt", "adaptive"],
        ("rates", _) => &["busy", "interrupt", "adaptive"],
        ("idle-crowd", 0) => &["idle-0", "idle-10", "idle-100"],
        ("idle-crowd", _) => &["memory-10", "memory-100"],
        ("active-crowd", _) => &["active-10", "active-30"],
        ("beside-streams", 0) => &["alone", "beside-8"],
        ("beside-streams", _) => &["streams-8"],
        ("contacts", 0) => &["first"],
        ("contacts", _) => &["smc", "tcp"],
        ("tasks", _) => &["tasks-1", "tasks-8", "tasks-30"],
        _ => columns(),
    }
}

fn strings<'a>(list: &'a Value, field: &str) -> Vec<&'a str> {
    let list = list.as_array().expect("a list");
    list.iter().map(|value| value[field].as_str().expect("a string")).collect()
}

/// Every number of every block is one that can be.
fn assert_sound(column: &Value) {
    for field in ["wire", "what", "mode"] {
        assert!(!column[field].as_str().unwrap().is_empty(), "{column}");
    }
    for (name, figure) in column["figures"].as_object().unwrap() {
        let blocks = figure["blocks"].as_array().unwrap();
        assert!(!blocks.is_empty(), "{name} of {}", column["id"]);
        // JSON has no word for what is not finite: that would be null here.
        let sound =
            |value: &Value| value.as_f64().is_some_and(|value| value > 0.0 || name.starts_with("added"));
        assert!(blocks.iter().all(sound) && sound(&figure["value"]), "{name} of {}: {figure}", column["id"]);
    }
}

fn percentiles_rise(column: &Value) {
    let value = |name: &str| column["figures"][name]["value"].as_f64().unwrap();
    let rising = ["p50", "p99", "p99.9", "max"].map(value);
    assert!(rising.is_sorted(), "{}: {rising:?}", column["id"]);
}

#[test]
fn a_quick_run_has_every_table_and_column_with_numbers_that_can_be() {
    let (path, page) = (file_path("perf-quick.json"), file_path("perf-quick.html"));
    let output = smolsmc(&["perf", "--quick", "--json", &path, "--html", &page]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let page = std::fs::read_to_string(&page).unwrap();
    assert!(page.contains("<svg") && !page.contains("NaN"), "{page}");
    let report: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!((&report["kind"], &report["quick"]), (&"perf".into(), &true.into()));
    let sections = report["sections"].as_array().unwrap();
    assert_eq!(strings(&report["sections"], "id"), tables());
    for section in sections {
        for (n, row) in section["rows"].as_array().unwrap().iter().enumerate() {
            assert_eq!(strings(&row["columns"], "id"), columns_of(section, n), "{}", row["label"]);
            row["columns"].as_array().unwrap().iter().for_each(assert_sound);
        }
    }
    let columns = |section: &Value| section["rows"][0]["columns"].as_array().unwrap().clone();
    sections.iter().take(2).flat_map(columns).for_each(|column| percentiles_rise(&column));
    let said = text(&output.stdout);
    for row in sections.iter().flat_map(|section| section["rows"].as_array().unwrap()) {
        assert!(said.contains(row["label"].as_str().unwrap()), "{said}");
    }
    assert!(said.contains("quick run"), "{said}");
}

#[test]
fn ratios_are_those_of_the_blocks() {
    let path = file_path("perf-ratios.json");
    let wanted = ["--columns", "tcp-block,interrupt", "--only", "round-trips", "--sizes", "1,2K"];
    let output = smolsmc(&[&["perf", "--quick", "--json", &path], &wanted[..]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let rows = report["sections"][0]["rows"].as_array().unwrap();
    assert_eq!(strings(&rows.clone().into(), "label"), ["round trip of 1 B", "round trip of 2 KiB"]);
    for row in rows {
        assert_eq!(strings(&row["columns"], "id"), ["tcp-block", "interrupt"]);
        let [baseline, ours] = [0, 1].map(|n| &row["columns"][n]["figures"]["p50"]);
        let blocks = |figure: &Value| {
            let blocks = figure["blocks"].as_array().unwrap();
            blocks.iter().map(|value| value.as_f64().unwrap()).collect::<Vec<_>>()
        };
        let mut ratios: Vec<_> =
            blocks(ours).iter().zip(blocks(baseline)).map(|(ours, baseline)| ours / baseline).collect();
        ratios.sort_by(f64::total_cmp);
        assert_eq!(ratios.len(), 3);
        // JSON's numbers are read to the last digit but one.
        let told = |figure: &Value| figure["ratios"]["tcp-block"]["ratio"].as_f64().unwrap();
        assert!((told(ours) / ratios[1] - 1.0).abs() < 1e-12, "{} and {}", told(ours), ratios[1]);
        assert!((told(baseline) - 1.0).abs() < 1e-12);
    }
}

#[test]
fn what_cannot_be_measured_is_refused() {
    assert_refused(&["perf", "--sizes", "0"], "a size is 1 to 16M octets");
    assert_refused(&["perf", "--sizes", "17M"], "a size is 1 to 16M octets");
    assert_refused(&["perf", "--columns", "quic"], "the columns are tcp-spin,");
    assert_refused(&["perf", "--only", "everything"], "invalid value 'everything'");
    assert_refused(&["perf", "--far-end"], "standard input is not the socket of a near end");
    let nowhere =
        ["perf", "--quick", "--only", "messages", "--columns", "tcp-block", "--json", "/nonexistent/f"];
    assert_refused_late(&nowhere, "/nonexistent/f");
}

/// As [`assert_refused`], after it has said what it was doing.
fn assert_refused_late(arguments: &[&str], words: &str) {
    let output = smolsmc(arguments);
    let said = text(&output.stderr);
    let last = said.lines().last().unwrap_or_default();
    assert!(!output.status.success() && output.stdout.is_empty(), "{said}");
    assert!(last.starts_with("smolsmc: ") && last.contains(words), "{said}");
}

/// The process that `parent` has started.
fn child_of(parent: u32) -> Option<i32> {
    let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

#[test]
fn a_far_end_that_is_killed_ends_in_one_sentence_whatever_is_measured() {
    for column in columns() {
        let arguments =
            ["perf", "--only", "round-trips", "--sizes", "64", "--blocks", "1001", "--columns", column];
        let mut running = common::Running::start(&mut command(&arguments));
        // It says what it measures once the far end is there.
        let line = running.line();
        assert!(line.contains("round trip of 64 B"), "{line}");
        let far = child_of(running.child.id()).and_then(rustix::process::Pid::from_raw).expect("a far end");
        std::thread::sleep(std::time::Duration::from_millis(100));
        rustix::process::kill_process(far, rustix::process::Signal::KILL).expect("it runs");
        let ended = running.end();
        assert!(!ended.success && ended.stdout.is_empty(), "{column}: {}", ended.stderr);
        assert_eq!(ended.stderr, "smolsmc: the far end is gone (signal: 9 (SIGKILL))\n", "{column}");
    }
}

#[test]
fn a_far_end_does_not_outlive_its_near_end() {
    let arguments = ["perf", "--only", "round-trips", "--sizes", "64", "--blocks", "1001"];
    let mut running = common::Running::start(&mut command(&arguments));
    running.line();
    let far = child_of(running.child.id()).and_then(rustix::process::Pid::from_raw).expect("a far end");
    let its_end = rustix::process::pidfd_open(far, rustix::process::PidfdFlags::empty()).expect("it runs");
    running.child.kill().expect("it runs");
    running.end();
    let mut fds = [rustix::event::PollFd::new(&its_end, rustix::event::PollFlags::IN)];
    let timeout = rustix::event::Timespec { tv_sec: 20, tv_nsec: 0 };
    assert_eq!(rustix::event::poll(&mut fds, Some(&timeout)).expect("a descriptor"), 1);
}
