//! One way, as fast as it goes, counted where it arrives.

use super::{Progress, baselines, octets, row};
use crate::fault::Fault;
use crate::near::Lab;
use crate::plan::Plan;
use crate::report::{Section, Unit};

/// Octets of the pieces of streams.
const PIECES: [usize; 2] = [4096, 65_536];
/// Octets of messages.
const MESSAGES: [usize; 2] = [64, 1000];

/// Streams: how much a second, and for how much processor time.
///
/// # Errors
/// [`Fault`].
pub fn streams(lab: &mut Lab, plan: &Plan, progress: Progress<'_>) -> Result<Section, Fault> {
    let mut rows = Vec::new();
    for size in PIECES {
        lab.shape(size)?;
        let times = ((plan.stream / size as u64) as u32 / if size < 65_536 { 4 } else { 1 }).max(1);
        let label = (format!("stream in pieces of {}", octets(size)), size as f64);
        let figures = [("rate", Unit::GbPerSecond), ("CPU a GB", Unit::CpuPerGb)];
        rows.push(row(label, lab, plan, &figures, progress, |lab, what| {
            let cost = lab.one_way(what, size, times)?;
            let gb = size as f64 * f64::from(times) / 1e9;
            Ok(vec![gb / cost.seconds, cost.cpu / gb])
        })?);
    }
    let note = "One way, handed over in pieces of that size, counted at the receiver, which has copied them out; \
                kernel TCP's receiver reads up to 64 KiB at a time.";
    Ok(Section {
        id: "streams",
        title: "Streams".to_owned(),
        note: note.to_owned(),
        key: "octets",
        baselines: baselines(plan),
        scatters: &[],
        rows,
    })
}

/// Small messages: how many a second, and for how much processor time each.
///
/// # Errors
/// [`Fault`].
pub fn messages(lab: &mut Lab, plan: &Plan, progress: Progress<'_>) -> Result<Section, Fault> {
    let mut rows = Vec::new();
    for size in MESSAGES {
        lab.shape(size)?;
        let label = (format!("messages of {} one way", octets(size)), size as f64);
        let figures = [("rate", Unit::PerSecond), ("CPU a message", Unit::Cpu)];
        rows.push(row(label, lab, plan, &figures, progress, |lab, what| {
            let cost = lab.one_way(what, size, plan.messages)?;
            let count = f64::from(plan.messages);
            Ok(vec![count / cost.seconds, cost.cpu / count * 1e9])
        })?);
    }
    let note = "Counted at the receiver, which takes them one at a time with a call for each (kernel TCP's reads \
                up to 64 KiB at a time, which is kindest to it). Our stack is polled after 32 messages; verbs \
                post a WRITE and a SEND for each; kernel TCP has TCP_NODELAY and a write(2) for each.";
    Ok(Section {
        id: "messages",
        title: "Small messages one way".to_owned(),
        note: note.to_owned(),
        key: "octets",
        baselines: baselines(plan),
        scatters: &[],
        rows,
    })
}
