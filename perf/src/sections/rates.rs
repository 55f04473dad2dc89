//! Latency and processor time at a given rate of requests.

use super::{Progress, row_of, shares};
use crate::What;
use crate::fault::Fault;
use crate::near::Lab;
use crate::plan::Plan;
use crate::report::{Section, Unit};

/// Octets of a request, and of its answer.
const SIZE: usize = 64;

/// An open loop: requests go at moments that do not depend on the answers, and
/// are answered by an end in each of the modes.
///
/// # Errors
/// [`Fault`]; also on one core, where who asks would be in the way of who answers.
pub fn rates(lab: &mut Lab, plan: &Plan, progress: Progress<'_>) -> Result<Section, Fault> {
    let columns = [What::Busy, What::Interrupt, What::Adaptive];
    let columns: Vec<_> = columns.into_iter().filter(|what| plan.columns.contains(what)).collect();
    let mut rows = Vec::new();
    let mut nanos = Vec::new();
    for &rate in &plan.rates {
        let label = (format!("{rate} requests a second"), f64::from(rate));
        let figures = [
            ("p50", Unit::Nanos),
            ("p99", Unit::Nanos),
            ("p99.9", Unit::Nanos),
            ("max", Unit::Nanos),
            ("CPU a request", Unit::Cpu),
            ("of a core", Unit::Part),
        ];
        let times = (rate / 1000 * plan.paced).max(20);
        rows.push(row_of(&columns, label, lab, plan.blocks, &figures, progress, |lab, what| {
            let cost = lab.paced(what, SIZE, times, rate, &mut nanos)?;
            let mut values = shares(&nanos, cost.cpu);
            values.push(cost.cpu / cost.seconds);
            Ok(values)
        })?);
    }
    let note = "64 octets there and back. Who asks spins on a core of its own, and sends at random moments \
                (exponential gaps) at that rate, whether answers have come or not; who answers waits as the mode \
                says. Times are from the moment a request was due to its answer's end; the processor time is \
                that of the end that answers.";
    Ok(Section {
        id: "rates",
        title: "Latency against processor time at a given rate".to_owned(),
        note: note.to_owned(),
        key: "requests a second",
        baselines: &["busy", "interrupt"],
        scatters: &[("of a core", "p50"), ("of a core", "p99")],
        rows,
    })
}
