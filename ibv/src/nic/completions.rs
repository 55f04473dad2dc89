#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "hardware lives in real time")]

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ibverbs::{ibv_wc, ibv_wc_opcode, ibv_wc_status};
use smolsmc_verbs::{ArmFor, Completion, CqHandle, DeviceId, QpHandle, VerbsError, WcOpcode, WcStatus};

use super::MAX_OBJECTS;
use super::queue_pair::QueuePair;
use crate::outstanding::{MAX_PLACES, Token};
use crate::raw::{Cq, refusal};
use crate::slots::Slots;

/// How long a device that goes may take to flush what was posted: Linux's rxe takes
/// some 100 us for it.
const FLUSH: Duration = Duration::from_millis(10);

/// Completions taken from a device at a time.
const BATCH: usize = 32;

/// A completion queue.
#[derive(Debug)]
pub(super) struct CompletionQueue {
    pub(super) device: DeviceId,
    /// `None` once the device is gone.
    pub(super) raw: Option<Arc<Cq>>,
    pub(super) users: u32,
    /// Taken from the device and not yet polled: by those who had to know what
    /// is still outstanding.
    backlog: VecDeque<Completion>,
    armed: Option<ArmFor>,
    has_notified: bool,
}

impl CompletionQueue {
    pub(super) fn new(device: DeviceId, raw: Arc<Cq>, entries: u32) -> Self {
        let backlog = VecDeque::with_capacity(entries as usize);
        Self { device, raw: Some(raw), users: 0, backlog, armed: None, has_notified: false }
    }

    pub(super) fn forget(&mut self, qp: QpHandle) {
        self.backlog.retain(|completion| completion.qp != qp);
    }

    fn request_notify(&self, for_what: ArmFor) -> Result<(), VerbsError> {
        let raw = self.raw.as_ref().ok_or(VerbsError::DeviceGone)?;
        raw.request_notify(for_what == ArmFor::Solicited).map_err(|errno| refusal(errno, "notifications"))
    }
}

/// Queue pairs and completion queues: what a poll needs.
#[derive(Debug)]
pub(super) struct Traffic {
    pub(super) qps: Slots<QueuePair>,
    pub(super) cqs: Slots<CompletionQueue>,
    batch: Vec<ibv_wc>,
    armed: u32,
}

impl Traffic {
    pub(super) fn new() -> Self {
        let (qps, cqs) = (Slots::new(MAX_PLACES), Slots::new(MAX_OBJECTS));
        Self { qps, cqs, batch: vec![ibv_wc::default(); BATCH], armed: 0 }
    }

    pub(super) fn cq(&self, cq: CqHandle) -> Result<&CompletionQueue, VerbsError> {
        self.cqs.get(cq.index(), cq.generation()).ok_or(VerbsError::NoSuch("CQ"))
    }

    pub(super) fn cq_mut(&mut self, cq: CqHandle) -> Result<&mut CompletionQueue, VerbsError> {
        self.cqs.get_mut(cq.index(), cq.generation()).ok_or(VerbsError::NoSuch("CQ"))
    }

    pub(super) fn qp_mut(&mut self, qp: QpHandle) -> Result<&mut QueuePair, VerbsError> {
        self.qps.get_mut(qp.index(), qp.generation()).ok_or(VerbsError::NoSuch("QP"))
    }

    /// The handle of the completion queue in a place.
    pub(super) fn cq_at(&mut self, place: u32) -> Option<CqHandle> {
        self.cqs.at_mut(place).map(|(generation, _)| CqHandle::new(place, generation))
    }

    /// The queue pair in a place is said to be in ERR.
    pub(super) fn has_failed(&mut self, place: u32) -> Option<QpHandle> {
        let (generation, qp) = self.qps.at_mut(place)?;
        qp.fail();
        Some(QpHandle::new(place, generation))
    }

    /// The device is gone: nothing of it is posted or told any more, but what had
    /// completed can be polled.
    pub(super) fn lose(&mut self, device: DeviceId) {
        self.flush(device);
        self.qps.iter_mut().filter(|qp| qp.device == device).for_each(QueuePair::lose);
        for cq in self.cqs.iter_mut().filter(|cq| cq.device == device) {
            cq.raw = None;
            cq.has_notified = false;
            self.armed -= u32::from(cq.armed.take().is_some());
        }
    }

    /// Brings a device's queue pairs to ERR and takes what completes: nothing
    /// arrives on one any more once its last receive came back. A device that is
    /// really gone may owe that, so nobody waits long.
    fn flush(&mut self, device: DeviceId) {
        let mut owes = false;
        for qp in self.qps.iter_mut().filter(|qp| qp.device == device) {
            owes |= qp.stop();
        }
        let since = Instant::now();
        loop {
            self.drain_device(device);
            if !owes || since.elapsed() > FLUSH {
                return;
            }
            std::thread::yield_now();
            owes = self.qps.iter_mut().any(|qp| qp.device == device && qp.receives.len() > 0);
        }
    }

    fn drain_device(&mut self, device: DeviceId) {
        let places = u32::try_from(self.cqs.places()).unwrap_or(u32::MAX);
        for place in 0..places {
            let Some((generation, cq)) = self.cqs.at_mut(place) else { continue };
            if cq.device == device {
                // One that cannot be polled has nothing more to say.
                let _ = self.drain(CqHandle::new(place, generation));
            }
        }
    }

    #[inline]
    pub(super) fn poll(&mut self, cq: CqHandle, out: &mut [Completion]) -> Result<usize, VerbsError> {
        let Self { qps, cqs, batch, .. } = self;
        let cq = cqs.get_mut(cq.index(), cq.generation()).ok_or(VerbsError::NoSuch("CQ"))?;
        let mut out = out.iter_mut();
        let room = out.len();
        while !cq.backlog.is_empty() {
            let Some(place) = out.next() else { return Ok(room) };
            if let Some(completion) = cq.backlog.pop_front() {
                *place = completion;
            }
        }
        let Some(raw) = cq.raw.as_ref() else { return Ok(room - out.len()) };
        while out.len() > 0 {
            let most = batch.len().min(out.len());
            let batch = batch.get_mut(..most).unwrap_or_default();
            let count = raw.poll(batch).map_err(|errno| refusal(errno, "completions"))?;
            let told = batch.iter().take(count).filter_map(|wc| translate(qps, wc));
            for (completion, place) in told.zip(&mut out) {
                *place = completion;
            }
            if count < most {
                break;
            }
        }
        Ok(room - out.len())
    }

    /// Takes all that the device has for a completion queue.
    pub(super) fn drain(&mut self, cq: CqHandle) -> Result<(), VerbsError> {
        let Self { qps, cqs, batch, .. } = self;
        let cq = cqs.get_mut(cq.index(), cq.generation()).ok_or(VerbsError::NoSuch("CQ"))?;
        let Some(raw) = cq.raw.as_ref() else { return Ok(()) };
        loop {
            let count = raw.poll(batch).map_err(|errno| refusal(errno, "completions"))?;
            cq.backlog.extend(batch.iter().take(count).filter_map(|wc| translate(qps, wc)));
            if count < batch.len() {
                return Ok(());
            }
        }
    }

    pub(super) fn arm(&mut self, cq: CqHandle, for_what: ArmFor) -> Result<bool, VerbsError> {
        let found = self.cq_mut(cq)?;
        found.request_notify(for_what)?;
        found.has_notified = false;
        let was_armed = found.armed.replace(for_what).is_some();
        self.armed += u32::from(!was_armed);
        // What came before the request does not notify; what comes now does.
        self.drain(cq)?;
        Ok(!self.cq(cq)?.backlog.is_empty())
    }

    pub(super) fn disarm(&mut self, cq: CqHandle) -> Result<(), VerbsError> {
        let was_armed = self.cq_mut(cq)?.armed.take().is_some();
        self.armed -= u32::from(was_armed);
        Ok(())
    }

    pub(super) const fn any_armed(&self) -> bool {
        self.armed > 0
    }

    /// The completion queue in a place notified.
    pub(super) fn notified(&mut self, place: u32) {
        if let Some((_, cq)) = self.cqs.at_mut(place) {
            cq.has_notified = cq.armed.is_some();
        }
    }

    /// An armed completion queue that notified and has something to poll. One
    /// that was polled empty in the meantime is armed again: its owner still waits.
    pub(super) fn next_notification(&mut self) -> Option<CqHandle> {
        let places = u32::try_from(self.cqs.places()).unwrap_or(u32::MAX);
        for place in 0..places {
            let Some((generation, cq)) = self.cqs.at_mut(place) else { continue };
            if !std::mem::take(&mut cq.has_notified) {
                continue;
            }
            let Some(for_what) = cq.armed else { continue };
            let handle = CqHandle::new(place, generation);
            if !self.is_empty(handle) || (self.rearm(handle, for_what) && !self.is_empty(handle)) {
                let _ = self.disarm(handle);
                return Some(handle);
            }
        }
        None
    }

    fn is_empty(&mut self, cq: CqHandle) -> bool {
        let _ = self.drain(cq);
        self.cq(cq).is_ok_and(|cq| cq.backlog.is_empty())
    }

    fn rearm(&self, cq: CqHandle, for_what: ArmFor) -> bool {
        self.cq(cq).and_then(|cq| cq.request_notify(for_what)).is_ok()
    }
}

/// A device's completion in our words; `None` if it is of a request that nobody
/// waits for any more.
#[inline]
fn translate(qps: &mut Slots<QueuePair>, wc: &ibv_wc) -> Option<Completion> {
    let token = Token(wc.wr_id());
    let (generation, qp) = qps.at_mut(token.place())?;
    let status = wc.error().map_or(WcStatus::Success, |(status, _)| read_status(status));
    if status != WcStatus::Success {
        qp.fail();
    }
    let handle = QpHandle::new(token.place(), generation);
    if token.is_receive() {
        let wr_id = qp.receives.complete(token.sequence())?;
        let opcode = match wc.opcode() {
            ibv_wc_opcode::IBV_WC_RECV_RDMA_WITH_IMM => WcOpcode::ReceiveWriteWithImmediate,
            _ => WcOpcode::Receive,
        };
        let immediate = wc.imm_data().map(u32::to_ne_bytes);
        let byte_len = u32::try_from(wc.len()).unwrap_or(u32::MAX);
        return Some(Completion { wr_id, qp: handle, status, opcode, byte_len, immediate });
    }
    let sent = qp.sends.complete(token.sequence())?;
    let byte_len = if sent.opcode == WcOpcode::Read { sent.len } else { 0 };
    Some(Completion { wr_id: sent.wr_id, qp: handle, status, opcode: sent.opcode, byte_len, immediate: None })
}

const fn read_status(status: ibv_wc_status::Type) -> WcStatus {
    match status {
        ibv_wc_status::IBV_WC_SUCCESS => WcStatus::Success,
        ibv_wc_status::IBV_WC_LOC_LEN_ERR => WcStatus::LocalLength,
        ibv_wc_status::IBV_WC_LOC_PROT_ERR => WcStatus::LocalProtection,
        ibv_wc_status::IBV_WC_WR_FLUSH_ERR => WcStatus::Flushed,
        ibv_wc_status::IBV_WC_BAD_RESP_ERR => WcStatus::BadResponse,
        ibv_wc_status::IBV_WC_LOC_ACCESS_ERR => WcStatus::LocalAccess,
        ibv_wc_status::IBV_WC_REM_INV_REQ_ERR => WcStatus::RemoteInvalidRequest,
        ibv_wc_status::IBV_WC_REM_ACCESS_ERR => WcStatus::RemoteAccess,
        ibv_wc_status::IBV_WC_REM_OP_ERR => WcStatus::RemoteOperation,
        ibv_wc_status::IBV_WC_RETRY_EXC_ERR => WcStatus::RetryExceeded,
        ibv_wc_status::IBV_WC_RNR_RETRY_EXC_ERR => WcStatus::RnrRetryExceeded,
        _ => WcStatus::LocalQpOperation,
    }
}
