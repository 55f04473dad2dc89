//! What was compared, how often it was equal, and what was wrong.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::exceptions::{self, Kind};
use crate::rows::{self, Row};
use crate::shown::ShownLayer;

/// The names of layers in which no field may be overlooked. Below them tshark
/// shows much that it has worked out itself, more with every version.
const COMPLETE: [&str; 2] = ["smc.", "infiniband."];

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    compared: u64,
    equal: u64,
}

/// The counts, by the places of groups, rows and exceptions in their tables.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    tallies: BTreeMap<(usize, usize), Tally>,
    exceptions: BTreeMap<usize, u64>,
    faults: Vec<String>,
}

impl Ledger {
    /// Notes that something other than a value is wrong.
    pub(crate) fn fault(&mut self, place: &str, what: &str) {
        self.faults.push(format!("{place}: {what}"));
    }

    /// Whether the table of exceptions allows this; then it has been used.
    pub(crate) fn excuse(&mut self, kind: Kind, field: &str, ours: &Value) -> bool {
        let found = exceptions::find(kind, field, ours);
        if let Some(place) = found {
            *self.exceptions.entry(place).or_default() += 1;
        }
        found.is_some()
    }

    /// Compares all rows of the group `name`, and looks for fields that have none.
    pub(crate) fn compare(&mut self, place: &str, name: &str, shown: &ShownLayer, ours: &Value) {
        let Some((at, group)) = rows::groups().enumerate().find(|(_, group)| group.name == name) else {
            return self.fault(place, &format!("there are no rows for {name}"));
        };
        for (n, row) in group.rows().enumerate() {
            self.compare_row(place, (at, n), row, shown, ours);
        }
        let known = |field: &str| group.rows().any(|row| row.shown == field);
        for field in shown.keys().filter(|field| !known(field)) {
            let must_be_known = COMPLETE.iter().any(|prefix| field.starts_with(prefix));
            if !self.excuse(Kind::NotOurs, field, ours) && must_be_known {
                self.fault(place, &format!("{name}: tshark shows {field}, which nothing compares"));
            }
        }
    }

    fn compare_row(&mut self, place: &str, key: (usize, usize), row: &Row, shown: &ShownLayer, ours: &Value) {
        let (theirs, values) = (row.shown_values(shown), row.our_values(ours));
        if theirs.is_empty() && (values.is_empty() || self.excuse(Kind::OnlyOurs, row.shown, ours)) {
            return;
        }
        if row.really.is_some() && !self.excuse(Kind::Misnamed, row.shown, ours) {
            self.fault(place, &format!("{} is no exception, but its row says so", row.shown));
        }
        let same = |n: &usize| match (theirs.get(*n), values.get(*n)) {
            (Some(theirs), Some(value)) => {
                row.form.of_shown(theirs).is_some_and(|text| Some(text) == row.form.of_ours(value))
            }
            _ => false,
        };
        let compared = theirs.len().max(values.len());
        let equal = (0..compared).filter(same).count();
        let tally = self.tallies.entry(key).or_default();
        tally.compared += compared as u64;
        tally.equal += equal as u64;
        if equal < compared {
            let values: Vec<_> = values.iter().map(ToString::to_string).collect();
            let (theirs, values) = (theirs.join(" "), values.join(" "));
            self.fault(place, &format!("{}: tshark says {theirs:?}, we say {values:?}", row.label()));
        }
    }

    fn tally(&self, key: (usize, usize)) -> Tally {
        self.tallies.get(&key).copied().unwrap_or_default()
    }

    /// Everything that is wrong: unlike values, and rows and exceptions that no
    /// frame needed.
    pub(crate) fn faults(&self) -> Vec<String> {
        let idle = all_rows().filter(|(key, ..)| self.tally(*key).compared == 0);
        let idle = idle.map(|(_, group, row)| format!("{group}: {} was never compared", row.label()));
        let unused = exceptions::TABLE.iter().enumerate().filter(|(n, _)| !self.exceptions.contains_key(n));
        let unused = unused.map(|(_, e)| format!("the exception {:?} {} was never needed", e.kind, e.field));
        self.faults.iter().cloned().chain(idle).chain(unused).collect()
    }

    /// Of a ledger whose values of ours were all spoilt: the rows that called
    /// one equal nevertheless.
    pub(crate) fn blind_rows(&self) -> Vec<String> {
        let blind = all_rows().filter(|(key, ..)| self.tally(*key).equal > 0);
        blind.map(|(_, group, row)| format!("{group}: {} is blind to a change", row.label())).collect()
    }
}

fn all_rows() -> impl Iterator<Item = ((usize, usize), &'static str, &'static Row)> {
    let groups = rows::groups().enumerate();
    groups.flat_map(|(at, group)| group.rows().enumerate().map(move |(n, row)| ((at, n), group.name, row)))
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut total = Tally::default();
        writeln!(f, "{:<16}  {:<66} {:>8} {:>8}", "layer", "field", "compared", "equal")?;
        for (key, group, row) in all_rows() {
            let tally = self.tally(key);
            total.compared += tally.compared;
            total.equal += tally.equal;
            writeln!(f, "{group:<16}  {:<66} {:>8} {:>8}", row.label(), tally.compared, tally.equal)?;
        }
        let rows = format!("{} rows", all_rows().count());
        writeln!(f, "{:<16}  {rows:<66} {:>8} {:>8}\n", "total", total.compared, total.equal)?;

        writeln!(f, "{:<9} {:<40} {:>6}  why", "exception", "field", "used")?;
        for (n, e) in exceptions::TABLE.iter().enumerate() {
            let used = self.exceptions.get(&n).copied().unwrap_or(0);
            let kind = format!("{:?}", e.kind);
            writeln!(f, "{kind:<9} {:<40} {used:>6}  {}", e.field, e.why)?;
        }
        Ok(())
    }
}
