//! A queue pair: its state, its way through life, and how it ends.
//!
//! ```text
//!   RESET --Init--> INIT --ReadyToReceive--> RTR --ReadyToSend--> RTS
//!     ^                    any state --Error or failure--> ERR     |
//!     `---------------------- Reset, from any state --------------'
//! ```

use smolsmc_verbs::{
    Access, Completion, InitAttributes, PostError, QpAttributes, QpCapabilities, QpHandle, QpState,
    RecvRequest, RtrAttributes, RtsAttributes, SendRequest, VerbsError, WcOpcode, WcStatus,
};
use smolsmc_wire::{MtuCode, Qpn, Rkey};

use super::board::Board;
use super::notes::Note;
use super::queues::{Job, Kind, RecvQueue, SendQueue};
use super::requester::{Requester, Step};
use super::responder::Responder;
use crate::config::MAX_RD_ATOMIC;
use crate::layout::qp;
use crate::sync::bell::wish;

/// A queue pair. What it does is in `requester` and `responder`.
#[derive(Debug)]
pub(super) struct Qp {
    pub(super) handle: QpHandle,
    pub(super) qpn: Qpn,
    pub(super) device: usize,
    pub(super) pd: u32,
    pub(super) send_cq: u32,
    pub(super) recv_cq: u32,
    caps: QpCapabilities,
    pub(super) state: QpState,
    /// Its device is gone.
    pub(super) dead: bool,
    /// There is, or was, a note that it failed; only one in each life.
    told: bool,
    pub(super) access: Access,
    /// Where it stands in our control memory.
    pub(super) at: usize,
    /// Counts how often its place has seen RESET: what was meant for an earlier
    /// life reaches nobody.
    pub(super) life: u16,
    pub(super) sq: SendQueue,
    pub(super) rq: RecvQueue,
    pub(super) req: Requester,
    pub(super) resp: Responder,
    /// Whether it is in the list of those with something to do.
    pub(super) is_active: bool,
}

/// What a queue pair belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner {
    pub(super) device: usize,
    pub(super) pd: u32,
    pub(super) send_cq: u32,
    pub(super) recv_cq: u32,
}

impl Qp {
    pub(super) fn new(handle: QpHandle, qpn: Qpn, owner: Owner, caps: QpCapabilities, board: &Board) -> Self {
        let Owner { device, pd, send_cq, recv_cq } = owner;
        let wire = &board.device(device).wire;
        let at = wire.own_layout.qp(handle.index());
        let last = wire.own.word(at + qp::STAND).load(core::sync::atomic::Ordering::Relaxed) >> 16;
        let mut made = Self {
            handle,
            qpn,
            device,
            pd,
            send_cq,
            recv_cq,
            caps,
            state: QpState::Reset,
            dead: false,
            told: false,
            access: Access::empty(),
            at,
            life: last as u16,
            sq: SendQueue::new(&caps),
            rq: RecvQueue::new(&caps),
            req: Requester::default(),
            resp: Responder::default(),
            is_active: false,
        };
        made.begin_life(board);
        made
    }

    /// A new life: what the peer knew of the last one means nothing.
    fn begin_life(&mut self, board: &Board) {
        self.life = self.life.wrapping_add(1);
        let device = board.device(self.device);
        device.say(self.at + qp::STAND, u32::from(self.life) << 16);
        device.say(self.at + qp::POSTED, 0);
        device.say(self.at + qp::ANSWERED, 0);
    }

    /// Whether requests of the peer are answered.
    #[inline]
    pub(super) const fn is_open(&self) -> bool {
        matches!(self.state, QpState::ReadyToReceive | QpState::ReadyToSend)
    }

    /// From here on nothing is answered, and nothing of the peer's is written
    /// with this queue pair's leave.
    fn close(&self, board: &mut Board) {
        if self.is_open() {
            let patience = board.withdrawal;
            let device = board.device_mut(self.device);
            device.say(self.at + qp::STAND, u32::from(self.life) << 16);
            // Who stays inside has lost the wire: its QPs fail by themselves.
            device.await_writer(patience);
            device.owes = true;
        }
    }

    pub(super) const fn attributes(&self) -> QpAttributes {
        QpAttributes {
            qpn: self.qpn,
            state: self.state,
            capabilities: self.caps,
            send_outstanding: self.sq.len(),
            recv_posted: self.rq.len(),
        }
    }

    // ---- transitions ----

    /// To RESET: everything is as if it had just been made.
    pub(super) fn reset(&mut self, board: &mut Board) {
        self.close(board);
        self.forget_failure(board);
        self.sq.clear();
        self.rq.clear();
        self.req = Requester::default();
        self.resp = Responder::default();
        self.access = Access::empty();
        self.state = QpState::Reset;
        self.begin_life(board);
    }

    pub(super) fn init(&mut self, attributes: &InitAttributes, is_port: bool) -> Result<(), VerbsError> {
        self.expect(QpState::Reset)?;
        check(is_port, "port")?;
        check(attributes.pkey_index == 0, "P_Key index")?;
        self.access = attributes.access;
        self.state = QpState::Init;
        Ok(())
    }

    pub(super) fn ready_to_receive(
        &mut self,
        to: &RtrAttributes,
        board: &mut Board,
    ) -> Result<(), VerbsError> {
        self.expect(QpState::Init)?;
        let device = board.device_mut(self.device);
        let mtu = to.path_mtu;
        check(mtu.octets().is_some() && mtu <= MtuCode::OCTETS_4096, "path MTU")?;
        check(usize::from(to.path.source_gid_index) < device.gids.len(), "source GID index")?;
        check(to.min_rnr_timer <= 31, "RNR timer code")?;
        check(to.max_dest_rd_atomic <= MAX_RD_ATOMIC, "number of RDMA READs")?;
        check(to.path.hop_limit != 0, "hop limit")?;
        check(!to.path.destination_gid.is_zero(), "destination GID")?;
        self.req = Requester::new(to, &device.wire);
        self.resp = Responder::new(to);
        let words = [
            (qp::QPN, self.qpn.value()),
            (qp::PEER_QPN, to.destination_qpn.value()),
            (qp::PSN, to.rq_psn.value()),
            (qp::PD, self.pd),
            (qp::ACCESS, u32::from(self.access.bits())),
            (qp::RNR_TIMER, u32::from(to.min_rnr_timer)),
        ];
        for (place, word) in words {
            device.say(self.at + place, word);
        }
        device.say(self.at + qp::STAND, u32::from(self.life) << 16 | 1);
        device.owes = true;
        self.state = QpState::ReadyToReceive;
        Ok(())
    }

    pub(super) fn ready_to_send(&mut self, to: &RtsAttributes) -> Result<(), VerbsError> {
        self.expect(QpState::ReadyToReceive)?;
        check(to.timeout <= 31, "ACK timeout code")?;
        check(to.retry_count <= 7, "retry count")?;
        check(to.rnr_retry <= 7, "RNR retry count")?;
        check(to.max_rd_atomic <= MAX_RD_ATOMIC, "number of RDMA READs")?;
        self.req.begin(to);
        self.state = QpState::ReadyToSend;
        Ok(())
    }

    const fn expect(&self, state: QpState) -> Result<(), VerbsError> {
        if self.state as u8 == state as u8 { Ok(()) } else { Err(VerbsError::WrongState(self.state)) }
    }

    // ---- work ----

    #[inline]
    pub(super) fn post_send(
        &mut self,
        requests: &[SendRequest<'_>],
        board: &mut Board,
    ) -> Result<(), PostError> {
        let mut result = Ok(());
        let mut reasons = 0;
        for (posted, request) in requests.iter().enumerate() {
            if let Err(error) = self.post_one_send(request, &mut reasons, board) {
                result = Err(PostError { posted, error });
                break;
            }
        }
        board.device(self.device).ring_for(reasons);
        board.activate(self);
        result
    }

    #[inline]
    fn post_one_send(
        &mut self,
        request: &SendRequest<'_>,
        reasons: &mut u32,
        board: &mut Board,
    ) -> Result<(), VerbsError> {
        match self.state {
            _ if self.dead => return Err(VerbsError::DeviceGone),
            QpState::ReadyToSend => self.sq.check(request)?,
            QpState::Error => {
                self.sq.check(request)?;
                self.flush_one(self.send_cq, request.wr_id, Job::of(request).kind.wc_opcode(), board);
                return Ok(());
            }
            state => return Err(VerbsError::WrongState(state)),
        }
        let job = Job::of(request);
        // What cannot be done at once is kept, and with it all that follows. A
        // READ's elements are needed until its octets have come.
        let at_once = self.sq.is_done() && !self.req.is_halted() && job.kind != Kind::Read;
        if at_once {
            let who = self.who();
            let (device, memory) = board.device_and_memory(self.device);
            let step = self.req.carry_out(&job, &who, device, memory);
            if step == Step::Done {
                *reasons |= reasons_of(&job);
                self.sq.push_done(request, job.kind, self.req.sent());
                return Ok(());
            }
            self.sq.push(request, &job);
            self.after(step, board);
            let is_refused = matches!(step, Step::Fails(_));
            *reasons |= if is_refused { wish::FAILURE } else { wish::MESSAGE | wish::SOLICITED };
            return Ok(());
        }
        self.sq.push(request, &job);
        Ok(())
    }

    /// Writes at once, if nothing that was posted is still to be done.
    #[inline]
    pub(super) fn write_now(
        &mut self,
        remote_addr: u64,
        rkey: Rkey,
        octets: &[u8],
        board: &mut Board,
    ) -> bool {
        let may = !self.dead && self.state == QpState::ReadyToSend && self.sq.is_done();
        if !may || self.req.is_halted() {
            return false;
        }
        let job = Job::write(remote_addr, rkey, octets);
        let who = self.who();
        let (device, memory) = board.device_and_memory(self.device);
        self.req.write_now(&job, &who, device, memory)
    }

    #[inline]
    pub(super) fn post_recv(
        &mut self,
        requests: &[RecvRequest<'_>],
        board: &mut Board,
    ) -> Result<(), PostError> {
        let mut result = Ok(());
        for (posted, request) in requests.iter().enumerate() {
            let done = match self.state {
                _ if self.dead => Err(VerbsError::DeviceGone),
                QpState::Reset => Err(VerbsError::WrongState(QpState::Reset)),
                QpState::Error => self.rq.check(request).map(|()| {
                    self.flush_one(self.recv_cq, request.wr_id, WcOpcode::Receive, board);
                }),
                _ => self.rq.push(request),
            };
            if let Err(error) = done {
                result = Err(PostError { posted, error });
                break;
            }
        }
        if self.state != QpState::Error {
            let device = board.device_mut(self.device);
            device.say(self.at + qp::POSTED, self.rq.posted());
            device.owes = true;
        }
        result
    }

    // ---- the end ----

    /// Forgets to tell that it failed, as it has a new life now, or none.
    pub(super) fn forget_failure(&mut self, board: &mut Board) {
        if core::mem::take(&mut self.told) {
            board.notes.forget(Note::QpFatal(self.handle));
        }
    }

    /// The end of all lives.
    pub(super) fn bury(&mut self, board: &mut Board) {
        self.close(board);
        self.forget_failure(board);
    }

    /// The oldest send request fails, and with it the queue pair.
    #[cold]
    pub(super) fn fail_oldest(&mut self, status: WcStatus, board: &mut Board) {
        if let Some(wqe) = self.sq.oldest() {
            let failed = self.completion(wqe.wr_id, status, wqe.kind.wc_opcode());
            self.sq.pop();
            board.complete(self.send_cq, failed, false);
        }
        self.fail(board);
    }

    /// The receive that was being filled fails, and with it the queue pair.
    #[cold]
    pub(super) fn fail_receive(&mut self, status: WcStatus, board: &mut Board) {
        if let Some(wqe) = self.rq.pop() {
            let failed = self.completion(wqe.wr_id, status, WcOpcode::Receive);
            board.complete(self.recv_cq, failed, false);
        }
        self.fail(board);
    }

    /// To ERR by itself.
    #[cold]
    pub(super) fn fail(&mut self, board: &mut Board) {
        if self.state == QpState::Error {
            return;
        }
        self.enter_error(board);
        board.counters.qp_errors += 1;
        self.told = true;
        board.notes.push(Note::QpFatal(self.handle));
    }

    /// To ERR: everything posted completes as flushed, in order.
    #[cold]
    pub(super) fn enter_error(&mut self, board: &mut Board) {
        if self.state == QpState::Error {
            return;
        }
        self.close(board);
        self.state = QpState::Error;
        self.req.stop();
        self.resp.stop();
        while let Some(wqe) = self.sq.oldest() {
            let (wr_id, opcode) = (wqe.wr_id, wqe.kind.wc_opcode());
            self.sq.pop();
            self.flush_one(self.send_cq, wr_id, opcode, board);
        }
        while let Some(wqe) = self.rq.pop() {
            self.flush_one(self.recv_cq, wqe.wr_id, WcOpcode::Receive, board);
        }
    }

    fn flush_one(&self, cq: u32, wr_id: u64, opcode: WcOpcode, board: &mut Board) {
        board.counters.flushed += 1;
        board.complete(cq, self.completion(wr_id, WcStatus::Flushed, opcode), false);
    }

    pub(super) const fn completion(&self, wr_id: u64, status: WcStatus, opcode: WcOpcode) -> Completion {
        Completion { wr_id, qp: self.handle, status, opcode, byte_len: 0, immediate: None }
    }
}

/// What a request's message would wake the peer for.
#[inline]
pub(super) const fn reasons_of(job: &Job<'_>) -> u32 {
    match job.kind {
        Kind::Write => 0,
        _ if job.solicited => wish::MESSAGE | wish::SOLICITED,
        _ => wish::MESSAGE,
    }
}

const fn check(fine: bool, what: &'static str) -> Result<(), VerbsError> {
    if fine { Ok(()) } else { Err(VerbsError::OutOfRange(what)) }
}
