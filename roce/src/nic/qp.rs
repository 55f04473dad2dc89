//! A queue pair: its state, its way through life, and how it ends.
//!
//! ```text
//!   RESET --Init--> INIT --ReadyToReceive--> RTR --ReadyToSend--> RTS
//!     ^                    any state --Error or failure--> ERR     |
//!     `---------------------- Reset, from any state --------------'
//! ```

use smolsmc_verbs::{
    Access, Completion, DeviceId, InitAttributes, PostError, QpAttributes, QpCapabilities, QpHandle, QpState,
    RecvRequest, RtrAttributes, RtsAttributes, SendOperation, SendRequest, VerbsError, WcOpcode, WcStatus,
};
use smolsmc_wire::Qpn;

use super::QpCounters;
use super::board::Board;
use super::config::MAX_RD_ATOMIC;
use super::event::Note;
use super::path::Path;
use super::queues::{Kind, RecvQueue, SendQueue};
use super::requester::Requester;
use super::responder::Responder;

/// No port yet, or none any more.
pub(super) const NO_PORT: u32 = u32::MAX;

/// A queue pair. What it does is in `requester`, `completer`, `responder`.
#[derive(Debug)]
pub(super) struct Qp {
    pub(super) handle: QpHandle,
    pub(super) qpn: Qpn,
    pub(super) device: DeviceId,
    pub(super) pd: u32,
    pub(super) send_cq: u32,
    pub(super) recv_cq: u32,
    caps: QpCapabilities,
    pub(super) state: QpState,
    pub(super) port: u32,
    /// Its device is gone.
    pub(super) dead: bool,
    /// There is, or was, a note that it failed; only one in each life.
    told: bool,
    pub(super) access: Access,
    pub(super) path: Option<Path>,
    pub(super) sq: SendQueue,
    pub(super) rq: RecvQueue,
    pub(super) req: Requester,
    pub(super) resp: Responder,
    /// Whether it is in its port's list of those with data.
    pub(super) has_turn: bool,
    /// Whether it is in its port's list of those with an answer.
    pub(super) has_answer: bool,
    pub(super) counters: QpCounters,
}

/// What a queue pair belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner {
    pub(super) device: DeviceId,
    pub(super) pd: u32,
    pub(super) send_cq: u32,
    pub(super) recv_cq: u32,
}

impl Qp {
    pub(super) fn new(handle: QpHandle, qpn: Qpn, owner: Owner, caps: QpCapabilities) -> Self {
        let Owner { device, pd, send_cq, recv_cq } = owner;
        Self {
            handle,
            qpn,
            device,
            pd,
            send_cq,
            recv_cq,
            caps,
            state: QpState::Reset,
            port: NO_PORT,
            dead: false,
            told: false,
            access: Access::empty(),
            path: None,
            sq: SendQueue::new(&caps),
            rq: RecvQueue::new(&caps),
            req: Requester::default(),
            resp: Responder::default(),
            has_turn: false,
            has_answer: false,
            counters: QpCounters::default(),
        }
    }

    pub(super) fn attributes(&self) -> QpAttributes {
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
        self.leave_schedule(board);
        self.forget_failure(board);
        self.sq.clear();
        self.rq.clear();
        self.req = Requester::default();
        self.resp = Responder::default();
        self.path = None;
        self.port = NO_PORT;
        self.access = Access::empty();
        self.state = QpState::Reset;
    }

    pub(super) fn init(&mut self, attributes: &InitAttributes, port: Option<u32>) -> Result<(), VerbsError> {
        self.expect(QpState::Reset)?;
        let port = port.ok_or(VerbsError::OutOfRange("port"))?;
        if attributes.pkey_index != 0 {
            return Err(VerbsError::OutOfRange("P_Key index"));
        }
        self.port = port;
        self.access = attributes.access;
        self.state = QpState::Init;
        Ok(())
    }

    pub(super) fn ready_to_receive(&mut self, to: &RtrAttributes, board: &Board) -> Result<(), VerbsError> {
        self.expect(QpState::Init)?;
        let port = board.ports.get(self.port).ok_or(VerbsError::DeviceGone)?;
        let mtu = to.path_mtu.octets().filter(|_| to.path_mtu <= port.active_mtu);
        let mtu = mtu.ok_or(VerbsError::OutOfRange("path MTU"))?;
        let entry = port.gids.get(usize::from(to.path.source_gid_index)).copied().flatten();
        let entry = entry.ok_or(VerbsError::OutOfRange("source GID index"))?;
        check(to.min_rnr_timer <= 31, "RNR timer code")?;
        check(to.max_dest_rd_atomic <= MAX_RD_ATOMIC, "number of RDMA READs")?;
        check(to.path.hop_limit != 0, "hop limit")?;
        check(!to.path.destination_gid.is_zero(), "destination GID")?;
        let source = (port.mac, entry, self.qpn);
        let path = Path::new(source, &to.path, to.destination_qpn, u32::from(mtu));
        self.path = Some(path.ok_or(VerbsError::OutOfRange("destination GID"))?);
        self.resp = Responder::new(to);
        self.state = QpState::ReadyToReceive;
        Ok(())
    }

    pub(super) fn ready_to_send(&mut self, to: &RtsAttributes) -> Result<(), VerbsError> {
        self.expect(QpState::ReadyToReceive)?;
        check(to.timeout <= 31, "ACK timeout code")?;
        check(to.retry_count <= 7, "retry count")?;
        check(to.rnr_retry <= 7, "RNR retry count")?;
        check(to.max_rd_atomic <= MAX_RD_ATOMIC, "number of RDMA READs")?;
        self.req = Requester::new(to, self.sq.head);
        self.state = QpState::ReadyToSend;
        Ok(())
    }

    const fn expect(&self, state: QpState) -> Result<(), VerbsError> {
        if self.state as u8 == state as u8 { Ok(()) } else { Err(VerbsError::WrongState(self.state)) }
    }

    // ---- work ----

    pub(super) fn post_send(
        &mut self,
        requests: &[SendRequest<'_>],
        board: &mut Board,
    ) -> Result<(), PostError> {
        let mut result = Ok(());
        for (posted, request) in requests.iter().enumerate() {
            if let Err(error) = self.post_one_send(request, board) {
                result = Err(PostError { posted, error });
                break;
            }
        }
        self.wake(board);
        result
    }

    #[inline]
    fn post_one_send(&mut self, request: &SendRequest<'_>, board: &mut Board) -> Result<(), VerbsError> {
        match self.state {
            _ if self.dead => Err(VerbsError::DeviceGone),
            QpState::ReadyToSend => {
                let first = self.sq.newest_end().unwrap_or(self.req.una());
                let mtu = self.path.as_ref().map_or(u32::MAX, |path| path.mtu);
                self.sq.push(request, first, mtu)
            }
            QpState::Error => {
                self.sq.check(request)?;
                let opcode = match request.operation {
                    SendOperation::Send => Kind::Send,
                    SendOperation::Write { .. } | SendOperation::WriteWithImmediate { .. } => Kind::Write,
                    SendOperation::Read { .. } => Kind::Read,
                };
                self.flush_one(self.send_cq, request.wr_id, opcode.wc_opcode(), board);
                Ok(())
            }
            state => Err(VerbsError::WrongState(state)),
        }
    }

    pub(super) fn post_recv(
        &mut self,
        requests: &[RecvRequest<'_>],
        board: &mut Board,
    ) -> Result<(), PostError> {
        for (posted, request) in requests.iter().enumerate() {
            let done = match self.state {
                _ if self.dead => Err(VerbsError::DeviceGone),
                QpState::Reset => Err(VerbsError::WrongState(QpState::Reset)),
                QpState::Error => self.rq.check(request).map(|()| {
                    self.flush_one(self.recv_cq, request.wr_id, WcOpcode::Receive, board);
                }),
                _ => self.rq.push(request),
            };
            done.map_err(|error| PostError { posted, error })?;
        }
        Ok(())
    }

    // ---- schedule ----

    /// Queues up for a turn if there is data to send.
    #[inline]
    pub(super) fn wake(&mut self, board: &mut Board) {
        if !self.has_turn
            && self.has_data(board.window)
            && let Some(port) = board.ports.get_mut(self.port)
        {
            self.has_turn = true;
            port.schedule.add_data(self.handle.index());
        }
    }

    /// Queues up for an answer if one is owed and can be sent.
    #[inline]
    pub(super) fn wake_answer(&mut self, board: &mut Board) {
        if !self.has_answer
            && self.plan_answer().is_some()
            && let Some(port) = board.ports.get_mut(self.port)
        {
            self.has_answer = true;
            port.schedule.add_answer(self.handle.index());
        }
    }

    /// Whether a turn would not be in vain.
    #[inline]
    fn has_data(&self, window: u32) -> bool {
        self.has_read_response() || self.has_request(window)
    }

    /// Forgets to tell that it failed, as it has a new life now, or none.
    pub(super) fn forget_failure(&mut self, board: &mut Board) {
        if core::mem::take(&mut self.told) {
            board.notes.forget(Note::QpFatal(self.handle));
        }
    }

    pub(super) fn leave_schedule(&mut self, board: &mut Board) {
        let index = self.handle.index();
        board.timers.remove(index);
        if self.has_turn || self.has_answer {
            self.has_turn = false;
            self.has_answer = false;
            if let Some(port) = board.ports.get_mut(self.port) {
                port.schedule.remove(index);
            }
        }
    }

    // ---- the end ----

    /// Completes the oldest send request.
    #[inline]
    pub(super) fn complete_send(&mut self, status: WcStatus, board: &mut Board) {
        let Some(&wqe) = self.sq.get(self.sq.head) else { return };
        self.sq.head = self.sq.head.wrapping_add(1);
        if !wqe.signalled && status == WcStatus::Success {
            return;
        }
        let completion = Completion {
            wr_id: wqe.wr_id,
            qp: self.handle,
            status,
            opcode: wqe.kind.wc_opcode(),
            byte_len: if wqe.kind == Kind::Read { wqe.len } else { 0 },
            immediate: None,
        };
        board.complete(self.send_cq, completion, false);
    }

    /// The oldest send request fails, and with it the queue pair.
    #[cold]
    pub(super) fn fail_send(&mut self, status: WcStatus, board: &mut Board) {
        self.complete_send(status, board);
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
        self.state = QpState::Error;
        self.req.stop();
        self.resp.stop();
        self.leave_schedule(board);
        while let Some(wqe) = self.sq.get(self.sq.head) {
            let (wr_id, opcode) = (wqe.wr_id, wqe.kind.wc_opcode());
            self.sq.head = self.sq.head.wrapping_add(1);
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

    const fn completion(&self, wr_id: u64, status: WcStatus, opcode: WcOpcode) -> Completion {
        Completion { wr_id, qp: self.handle, status, opcode, byte_len: 0, immediate: None }
    }
}

const fn check(fine: bool, what: &'static str) -> Result<(), VerbsError> {
    if fine { Ok(()) } else { Err(VerbsError::OutOfRange(what)) }
}
