//! Requests and their answers, in frames.

use super::{Progress, baselines, octets, row, share_figures, shares};
use crate::end::HEADER_LEN;
use crate::fault::Fault;
use crate::near::Lab;
use crate::plan::Plan;
use crate::report::{Section, Unit};

/// Octets of requests and their answers.
const SIZES: [(usize, usize); 2] = [(100, 1000), (100, 16 << 10)];

/// RPC: a framed request, a framed answer with the request's number.
///
/// # Errors
/// [`Fault`].
pub fn requests(lab: &mut Lab, plan: &Plan, progress: Progress<'_>) -> Result<Section, Fault> {
    let mut rows = Vec::new();
    for sizes @ (request, answer) in SIZES {
        lab.shape(answer + HEADER_LEN)?;
        let mut nanos = Vec::new();
        let label = format!("request of {}, answer of {}", octets(request), octets(answer));
        let times = plan.times(request + answer);
        let mut figures = share_figures("CPU a request");
        figures.push(("rate", Unit::PerSecond));
        rows.push(row((label, answer as f64), lab, plan, &figures, progress, |lab, what| {
            let cost = lab.requests(what, sizes, times, &mut nanos)?;
            let mut values = shares(&nanos, cost.cpu);
            values.push(nanos.len() as f64 * 1e9 / nanos.iter().sum::<u64>() as f64);
            Ok(values)
        })?);
    }
    let note = "Each frame has a header of 8 octets: how long it is, and a number that comes back in the answer. \
                Who receives does not know how long a frame is before it has read that.";
    Ok(Section {
        id: "requests",
        title: "Requests and answers, framed".to_owned(),
        note: note.to_owned(),
        key: "octets",
        baselines: baselines(plan),
        scatters: &[],
        rows,
    })
}
