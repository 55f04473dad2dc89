//! What it costs to sleep, and to be woken.

use super::{Progress, row_of, share_figures, shares};
use crate::What;
use crate::fault::Fault;
use crate::near::Lab;
use crate::plan::Plan;
use crate::report::{Section, Unit};

/// Octets of a round trip.
const SIZE: usize = 64;

/// Those that sleep until they are woken.
const SLEEPERS: [What; 4] = [What::Eventfd, What::TcpBlock, What::VerbsEvent, What::Interrupt];

/// Round trips with both ends asleep in between, each on its core and both on one.
///
/// # Errors
/// [`Fault`].
pub fn wake_ups(lab: &mut Lab, plan: &Plan, progress: Progress<'_>) -> Result<Section, Fault> {
    let mut rows = Vec::new();
    let mut nanos = Vec::new();
    lab.shape(SIZE)?;
    for cores in 1..=lab.cores().count() {
        lab.move_far(cores)?;
        let place = if cores == 1 { "both ends on one core" } else { "each end on its core" };
        let label = (format!("round trip of {SIZE} B asleep, {place}"), cores as f64);
        let (times, figures) = (plan.times(SIZE), share_figures("CPU a trip"));
        rows.push(row_of(&SLEEPERS, label, lab, plan.blocks, &figures, progress, |lab, what| {
            let cost = lab.trips(what, SIZE, times, &mut nanos)?;
            Ok(shares(&nanos, cost.cpu))
        })?);
    }
    let note = "Both ends sleep in poll(2) (kernel TCP in read(2)) whenever nothing is there. The eventfds wake \
                each other and carry nothing.";
    Ok(Section {
        id: "wake-ups",
        title: "Asleep between messages".to_owned(),
        note: note.to_owned(),
        key: "cores",
        baselines: &["eventfd", "tcp-block"],
        scatters: &[],
        rows,
    })
}

/// Both ends of a connection on which nothing happens.
///
/// # Errors
/// [`Fault`].
pub fn idle(lab: &mut Lab, plan: &Plan, progress: Progress<'_>) -> Result<Section, Fault> {
    let (millis, columns) = (plan.idle, [What::Interrupt, What::Adaptive]);
    let label = format!("nothing happens for {} s", f64::from(millis) / 1e3);
    let figures = [("CPU", Unit::Cpu), ("of a core", Unit::Part)];
    let label = (label, f64::from(millis) / 1e3);
    let row = row_of(&columns, label, lab, 1, &figures, progress, |lab, what| {
        let cost = lab.idle(what, millis)?;
        Ok(vec![cost.cpu * 1e9, cost.cpu / cost.seconds / 2.0])
    })?;
    let note = "The processor time of both ends of an idle connection, together.";
    Ok(Section {
        id: "idle",
        title: "Idle".to_owned(),
        note: note.to_owned(),
        key: "seconds",
        baselines: &[],
        scatters: &[],
        rows: vec![row],
    })
}
