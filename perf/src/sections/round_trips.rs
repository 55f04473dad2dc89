//! There and back.

use super::{Progress, baselines, octets, row, share_figures, shares};
use crate::fault::Fault;
use crate::near::Lab;
use crate::plan::Plan;
use crate::report::Section;

/// Round trips of all sizes: as many octets come back as went there.
///
/// # Errors
/// [`Fault`].
pub fn round_trips(lab: &mut Lab, plan: &Plan, progress: Progress<'_>) -> Result<Section, Fault> {
    let mut rows = Vec::new();
    for &size in &plan.sizes {
        lab.shape(size)?;
        let mut nanos = Vec::new();
        let label = (format!("round trip of {}", octets(size)), size as f64);
        let times = plan.times(size);
        let figures = share_figures("CPU a trip");
        rows.push(row(label, lab, plan, &figures, progress, |lab, what| {
            let cost = lab.trips(what, size, times, &mut nanos)?;
            Ok(shares(&nanos, cost.cpu))
        })?);
    }
    let note = "The octets go there and as many come back, copied in and out at each end. Verbs: an RDMA WRITE \
                and a SEND of 44 octets. p50, p99 and p99.9 are medians of the blocks', max the greatest of all; \
                the processor time is that of both ends.";
    Ok(Section {
        id: "round-trips",
        title: "Round trips".to_owned(),
        note: note.to_owned(),
        key: "octets",
        baselines: baselines(plan),
        scatters: &[],
        rows,
    })
}
