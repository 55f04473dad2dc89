//! A bystander inside a node: what the decoder makes of the frames that pass, as
//! far as commands ask for it.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::Value;
use smolsmc_decode::{Dissector, Frame, FrameReport, Kind};
use smolsmc_ethernet::Watch;
use smoltcp::time::Instant;

/// Frames that were understood, counted and partly kept.
#[derive(Default)]
pub(crate) struct Witness {
    dissector: Dissector,
    frames: u64,
    pub(crate) heard: Heard,
}

/// What was heard of one connection and its link.
#[derive(Default)]
pub(crate) struct Heard {
    /// Frames that came, from anybody.
    pub(crate) received: u64,
    /// IP packets that came, by source: the first few.
    pub(crate) sources: Vec<String>,
    /// The answer to our SYN: whether it had the SMC option.
    pub(crate) syn_ack: Option<bool>,
    /// CLC messages in their order: who said it, all fields, and when.
    pub(crate) clc: Vec<Clc>,
    /// LLC messages in their order, as lines.
    pub(crate) llc: Vec<String>,
    /// RoCE frames that came; `None` where they need not pass a port of ours.
    pub(crate) roce_received: Option<u64>,
    /// Frames of the peer that break a rule.
    pub(crate) violations: Vec<String>,
    /// Microseconds of the node's clock: our SYN, its answer.
    pub(crate) syn_at: Option<u64>,
    pub(crate) syn_ack_at: Option<u64>,
}

pub(crate) struct Clc {
    pub(crate) from_peer: bool,
    pub(crate) fields: Value,
    pub(crate) line: String,
}

impl Clc {
    /// A field in words; empty if there is none.
    pub(crate) fn field(&self, name: &str) -> String {
        match self.fields.get(name) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
        }
    }

    fn is(&self, kind: &str) -> bool {
        self.fields.get("type").is_some_and(|said| said == kind)
    }
}

/// Things of a kind that are kept at most.
const KEPT: usize = 64;

impl Heard {
    /// The last CLC message of this type by this side.
    pub(crate) fn clc(&self, kind: &str, from_peer: bool) -> Option<&Clc> {
        self.clc.iter().rev().find(|clc| clc.is(kind) && clc.from_peer == from_peer)
    }

    fn note(&mut self, report: &FrameReport, time: u64, came: bool) {
        self.received += u64::from(came);
        if let Some(count) = &mut self.roce_received {
            *count += u64::from(came && report.context.qp.is_some());
        }
        let layer = |name: &str, field: &str| report.layers.get(name).and_then(|layer| layer.get(field));
        if came
            && let Some(source) = layer("ip", "src").and_then(Value::as_str)
            && self.sources.len() < KEPT
            && self.sources.iter().all(|known| known != source)
        {
            self.sources.push(source.to_owned());
        }
        let flags = layer("tcp", "flags").and_then(Value::as_u64).unwrap_or(0);
        match (flags & SYN_ACK, came) {
            (SYN, false) => self.syn_at = self.syn_at.or(Some(time)),
            (SYN_ACK, true) => {
                self.syn_ack = Some(report.protocol == Kind::TcpOption);
                self.syn_ack_at = self.syn_ack_at.or(Some(time));
            }
            _ => {}
        }
        if let Some(fields) = report.layers.get("clc").filter(|_| self.clc.len() < KEPT) {
            let line = report.summary.rsplit("; ").next().unwrap_or_default().to_owned();
            self.clc.push(Clc { from_peer: came, fields: fields.clone(), line });
        }
        if report.protocol == Kind::Llc && self.llc.len() < KEPT {
            self.llc.push(report.summary.clone());
        }
        if came && self.violations.len() < KEPT {
            self.violations.extend(report.violations.iter().cloned());
        }
    }
}

const SYN: u64 = 0x02;
const SYN_ACK: u64 = 0x12;

impl Witness {
    /// One witness, to be called to every port.
    pub(crate) fn shared(has_roce_frames: bool) -> Rc<RefCell<Self>> {
        let heard = Heard { roce_received: has_roce_frames.then_some(0), ..Heard::default() };
        Rc::new(RefCell::new(Self { heard, ..Self::default() }))
    }

    fn frame(&mut self, time: Instant, octets: &[u8], came: bool) {
        self.frames += 1;
        let time = u64::try_from(time.total_micros()).unwrap_or(0);
        let frame = Frame { number: self.frames, time_ns: time * 1000, original_len: octets.len(), octets };
        let report = self.dissector.frame(&frame);
        self.heard.note(&report, time, came);
    }
}

/// A witness at one port.
pub(crate) struct At(pub(crate) Rc<RefCell<Witness>>);

impl Watch for At {
    fn received(&mut self, time: Instant, frame: &[u8]) {
        self.0.borrow_mut().frame(time, frame, true);
    }

    fn sending(&mut self, time: Instant, frame: &mut [u8]) {
        self.0.borrow_mut().frame(time, frame, false);
    }
}
