//! Tasks on one core.

use super::Progress;
use super::crowd::{Start, label};
use crate::fault::Fault;
use crate::many::Many;
use crate::plan::Plan;
use crate::report::{Cell, Row, Section, Unit};

/// A task for each connection, one core and one stack: what being one of many costs.
///
/// # Errors
/// [`Fault`].
pub fn tasks(start: &Start<'_>, plan: &Plan, progress: Progress<'_>) -> Result<Section, Fault> {
    let most = plan.tasks.iter().copied().max().unwrap_or(1);
    progress(&format!("{most} connections are made"));
    let mut many = Many::new(start.crowd()?, most)?;
    let figures =
        [("in turn", Unit::Nanos), ("added a wake-up", Unit::Nanos), ("all at once", Unit::PerSecond)];
    let named = |count: &usize| {
        let plural = if *count == 1 { "task" } else { "tasks" };
        Cell::new(label(format!("tasks-{count}"), format!("SMC-R, {count} {plural}")), &figures)
    };
    let mut cells: Vec<_> = plan.tasks.iter().map(named).collect();
    // As many rounds for all, so that each task of the most has some.
    let rounds = plan.times.max(4 * most as u32);
    for block in 0..=plan.blocks {
        progress(&format!("tasks: block {block} of {}", plan.blocks));
        let mut alone = None;
        for (cell, &count) in cells.iter_mut().zip(&plan.tasks) {
            let in_turn = many.in_turn(count, rounds)?;
            let at_once = many.at_once(count, rounds)?;
            let alone = *alone.get_or_insert(in_turn);
            if block > 0 {
                cell.add(&[in_turn, (in_turn - alone) / 2.0, at_once]);
            }
        }
    }
    let note = format!(
        "A task for each connection, all on one core with one stack that never sleeps; {most} connections there \
         are for each line. In turn: a task makes a round trip of 64 B and wakes the next one, so that it is woken \
         twice for each; added is half of what that takes more than with one task. All at once: each goes as fast \
         as its answers come."
    );
    let rows = vec![Row { label: "round trips of 64 B by tasks".to_owned(), key: 64.0, cells }];
    Ok(Section {
        id: "tasks",
        title: "Tasks on one core".to_owned(),
        note,
        key: "tasks",
        baselines: &["tasks-1"],
        scatters: &[],
        rows,
    })
}
