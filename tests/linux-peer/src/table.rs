//! The results as a page to be committed: which scenarios held against which
//! kernel, and what its scenarios taught.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::{Outcome, Summary};

/// What stands before the results.
const HEAD: &str = include_str!("../interop-head.md");
/// What stands behind them.
const TAIL: &str = include_str!("../interop-tail.md");

/// The page, in Markdown.
#[must_use]
pub fn table(summary: &Summary) -> String {
    let mut page = String::from(HEAD);
    let passed = summary.scenarios.iter().filter(|outcome| outcome.passed).count();
    let (all, boots) = (summary.scenarios.len(), summary.boots.len());
    // A String takes everything.
    let _ = write!(
        page,
        "\nRun on {} against Linux {} ({}): {passed} of {all} scenarios passed, {boots} boots, {:.0} s.\n\n\
         | scenario | we are | result | seconds | what carried it |\n|---|---|---|---:|---|\n",
        date(),
        summary.kernel,
        summary.package,
        summary.seconds
    );
    for outcome in &summary.scenarios {
        let _ = writeln!(page, "{}", row(outcome));
    }
    for outcome in &summary.scenarios {
        if let Some((_, figures)) = outcome.transport.split_once('\n') {
            let _ = write!(page, "\n## {}\n\n{}", outcome.scenario, figures_table(figures));
        }
    }
    page.push('\n');
    page.push_str(TAIL);
    page
}

/// Lines of cells, the first one the heads of the columns.
fn figures_table(figures: &str) -> String {
    let mut table = String::new();
    for (number, line) in figures.lines().enumerate() {
        let _ = writeln!(table, "| {line} |");
        if number == 0 {
            let columns = line.split('|').count();
            let _ = writeln!(table, "|---|{}", "---:|".repeat(columns - 1));
        }
    }
    table
}

fn row(outcome: &Outcome) -> String {
    let result = if outcome.passed { "pass" } else { "FAIL" };
    // What stands behind the first line is for a table of its own.
    let said = outcome.failure.as_ref().unwrap_or(&outcome.transport).lines().next().unwrap_or_default();
    let said = said.replace('|', "\\|");
    let (name, role, seconds) = (&outcome.scenario, &outcome.role, outcome.seconds);
    format!("| {name} | {role} | {result} | {seconds:.1} | {said} |")
}

/// Today, in UTC.
fn date() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (year, month, day) = civil(seconds / 86_400);
    format!("{year}-{month:02}-{day:02}")
}

/// Days since 1970 as year, month, day: the Gregorian calendar repeats every
/// 146 097 days, and years counted from March have their leap day at the end.
const fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (year_of_era + era * 400 + later, month, day)
}

#[cfg(test)]
mod tests {
    use super::{civil, figures_table, row, table};
    use crate::{Outcome, Summary};

    #[test]
    fn days_are_dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(20_782), (2026, 11, 25));
    }

    fn outcome(passed: bool) -> Outcome {
        Outcome {
            scenario: "peek-client".to_owned(),
            role: "client".to_owned(),
            passed,
            seconds: 2.04,
            transport: if passed { "SMC-R" } else { "" }.to_owned(),
            failure: (!passed).then(|| "a | b".to_owned()),
            evidence: None,
        }
    }

    #[test]
    fn figures_become_a_table() {
        let table = figures_table("what | up | down\nwe | 1.00 | 2.00");
        assert_eq!(table, "| what | up | down |\n|---|---:|---:|\n| we | 1.00 | 2.00 |\n");
    }

    #[test]
    fn a_page_says_what_held_and_what_did_not() {
        assert_eq!(row(&outcome(true)), "| peek-client | client | pass | 2.0 | SMC-R |");
        assert_eq!(row(&outcome(false)), "| peek-client | client | FAIL | 2.0 | a \\| b |");
        let page = table(&Summary {
            kernel: "6.12".to_owned(),
            package: "a package".to_owned(),
            boots: vec![3.0],
            seconds: 9.0,
            scenarios: vec![outcome(true), outcome(false)],
        });
        assert!(page.contains("1 of 2 scenarios passed, 1 boots"));
        let rows = page.lines().filter(|line| line.starts_with("| peek-client"));
        assert!(rows.map(|row| row.replace("\\|", "").matches('|').count()).eq([6, 6]));
    }
}
