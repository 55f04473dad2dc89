//! The requester: turns send requests into packets, as far as the window
//! allows, and goes back when something was lost (IBTA §9.7.2, §9.7.5).
//!
//! Packets are numbered from 0 on, in 64 bits that never wrap; a PSN is such a
//! number's low 24 bits, moved by the first PSN.
//!
//! ```text
//!    una <= next <= sent <= una + window      (RDMA READs may reach beyond)
//!     |      |       `--- no packet from here on was ever sent
//!     |      `--- the next one to send; behind `sent` after going back
//!     `--- the oldest that is not acknowledged, in the request at `head`
//! ```

use smolsmc_verbs::{Access, QpState, RtsAttributes, WcStatus};
use smolsmc_wire::{Duration, Instant, Psn};

use crate::packet::{Ext, ImmDt, Opcode, Reth};

use super::board::Board;
use super::memory::Cursor;
use super::path::{Emitted, Plan};
use super::qp::Qp;
use super::queues::{Kind, SendQueue, SendWqe};

/// The state of a requester.
#[derive(Debug, Default)]
pub(super) struct Requester {
    /// PSN of packet 0.
    base: Psn,
    pub(super) una: u64,
    pub(super) next: u64,
    pub(super) sent: u64,
    /// Position of the request `next` belongs to.
    pub(super) current: u32,
    /// Where packet `cursor_at` begins in its elements.
    cursor: Cursor,
    cursor_at: u64,
    /// Packets since the last one that asked for an ACK.
    unasked: u32,
    /// RDMA READs that were sent and are not complete, before `current`.
    pub(super) reads: u8,
    max_reads: u8,
    /// Why the request at `current` cannot be sent. It completes when those
    /// before it have.
    pub(super) fault: Option<WcStatus>,

    /// Time to wait for an ACK; zero is for ever.
    timeout: Duration,
    pub(super) deadline: Option<Instant>,
    retry_count: u8,
    pub(super) retries_left: u8,
    /// Where `una` was when a NAK was last obeyed: once is enough.
    pub(super) gone_back: Option<u64>,
    /// Until when the peer asked us to wait.
    pub(super) rnr_until: Option<Instant>,
    rnr_retry: u8,
    pub(super) rnr_retries_left: u8,
}

impl Requester {
    /// A requester whose next request is at `position`.
    pub(super) fn new(to: &RtsAttributes, position: u32) -> Self {
        Self {
            base: to.sq_psn,
            current: position,
            max_reads: to.max_rd_atomic,
            timeout: ack_timeout(to.timeout),
            retry_count: to.retry_count,
            retries_left: to.retry_count,
            rnr_retry: to.rnr_retry,
            rnr_retries_left: to.rnr_retry,
            ..Self::default()
        }
    }

    #[inline]
    pub(super) const fn una(&self) -> u64 {
        self.una
    }

    /// The PSN of packet `number`.
    #[inline]
    pub(super) const fn psn(&self, number: u64) -> Psn {
        self.base.add(number as u32)
    }

    /// Whether RNR NAKs are borne for ever.
    pub(super) const fn bears_rnr(&self) -> bool {
        self.rnr_retry == 7
    }

    /// The peer is there: patience with its silence is restored.
    pub(super) const fn heard(&mut self) {
        self.retries_left = self.retry_count;
    }

    /// Something new was acknowledged: all patience is restored.
    #[inline]
    pub(super) fn progress(&mut self, now: Instant) {
        self.heard();
        self.rnr_retries_left = self.rnr_retry;
        // If none runs, packets are to be sent again, and that starts it.
        if self.deadline.is_some() {
            self.deadline = if self.una < self.sent { self.deadline_from(now) } else { None };
        }
    }

    /// Nothing is sent and nothing is waited for any more.
    pub(super) fn stop(&mut self) {
        self.deadline = None;
        self.rnr_until = None;
    }

    fn deadline_from(&self, now: Instant) -> Option<Instant> {
        (self.timeout > Duration::ZERO).then(|| now + self.timeout)
    }
}

impl Qp {
    /// Whether a request packet may be sent.
    #[inline]
    pub(super) fn has_request(&self, window: u32) -> bool {
        let req = &self.req;
        self.state == QpState::ReadyToSend
            && req.current != self.sq.tail
            && req.next - req.una < u64::from(window)
            && req.fault.is_none()
            && req.rnr_until.is_none()
    }

    /// The next request packet.
    #[inline]
    pub(super) fn plan_request(&self, window: u32) -> Option<Plan> {
        if !self.has_request(window) {
            return None;
        }
        let wqe = self.sq.get(self.req.current)?;
        let mtu = self.path.as_ref()?.mtu;
        let done = (self.req.next - wqe.first) as u32;
        let offset = done * mtu;
        if wqe.kind == Kind::Read {
            return self.plan_read(wqe, offset);
        }
        let left = wqe.len.saturating_sub(offset);
        let (first, last) = (done == 0, done + 1 == wqe.packets);
        let opcode = opcode(wqe.kind, first, last);
        Some(Plan {
            opcode,
            ext: ext(wqe, first, last),
            psn: self.req.psn(self.req.next),
            payload_len: left.min(mtu) as usize,
            ack_request: last || self.must_ask(window),
            solicited: last && wqe.solicited && wqe.kind != Kind::Write,
        })
    }

    /// Inside a long message an ACK is asked for at every half window, so that
    /// none closes without one: else both sides could wait for each other.
    #[inline]
    const fn must_ask(&self, window: u32) -> bool {
        self.req.unasked + 1 >= window / 2
    }

    /// An RDMA READ request for what is still missing from `offset` on.
    fn plan_read(&self, wqe: &SendWqe, offset: u32) -> Option<Plan> {
        // With none allowed at all the request fails, when it is its turn.
        if self.req.reads >= self.req.max_reads.max(1) {
            return None;
        }
        let reth = Reth {
            vaddr: wqe.remote_addr.wrapping_add(u64::from(offset)),
            rkey: wqe.rkey,
            dma_len: wqe.len.saturating_sub(offset),
        };
        Some(Plan {
            opcode: Opcode::READ_REQUEST,
            ext: Ext::Reth(reth),
            psn: self.req.psn(self.req.next),
            payload_len: 0,
            ack_request: true,
            solicited: false,
        })
    }

    /// Writes the planned packet, straight from registered memory.
    #[inline]
    pub(super) fn emit_request(&mut self, plan: &Plan, board: &mut Board, out: &mut [u8]) -> Emitted {
        let Some(&wqe) = self.sq.get(self.req.current) else { return Emitted::Failed };
        if self.req.next == wqe.first
            && let Err(status) = self.check_request(&wqe, board)
        {
            return self.cannot_send(status, board);
        }
        let Some(path) = &self.path else { return Emitted::Failed };
        let Some(mut frame) = path.open(plan, board.next_identification(), out) else {
            return Emitted::TooShort;
        };
        if plan.payload_len > 0
            && !self.req.fill(&wqe, &self.sq, self.pd, path.mtu, board, frame.payload_mut())
        {
            return self.cannot_send(WcStatus::LocalProtection, board);
        }
        let len = frame.seal();
        self.request_sent(&wqe, plan, board);
        Emitted::Frame(len)
    }

    /// Whether the planned packet can be written; if not, its request fails.
    #[inline]
    pub(super) fn is_sendable(&mut self, board: &mut Board) -> bool {
        let Some(&wqe) = self.sq.get(self.req.current) else { return false };
        let checked = self.check_request(&wqe, board);
        checked.map_err(|status| self.cannot_send(status, board)).is_ok()
    }

    /// Checks a request before its first packet leaves.
    fn check_request(&self, wqe: &SendWqe, board: &Board) -> Result<(), WcStatus> {
        if wqe.oversize {
            return Err(WcStatus::LocalLength);
        }
        let access = match wqe.kind {
            Kind::Read if self.req.max_reads == 0 => return Err(WcStatus::LocalQpOperation),
            Kind::Read => Access::LOCAL_WRITE,
            _ => Access::empty(),
        };
        if wqe.inline || board.memory.allows(self.pd, self.sq.sges(self.req.current), access) {
            Ok(())
        } else {
            Err(WcStatus::LocalProtection)
        }
    }

    /// The request at `current` fails: at once if it is the oldest, else in its
    /// turn, as completions come in order.
    #[cold]
    fn cannot_send(&mut self, status: WcStatus, board: &mut Board) -> Emitted {
        self.req.fault = Some(status);
        self.fail_in_turn(board);
        Emitted::Failed
    }

    /// Lets a faulty request fail if everything before it is complete.
    #[inline]
    pub(super) fn fail_in_turn(&mut self, board: &mut Board) {
        if let Some(status) = self.req.fault
            && self.req.current == self.sq.head
        {
            self.req.fault = None;
            self.fail_send(status, board);
        }
    }

    #[inline]
    fn request_sent(&mut self, wqe: &SendWqe, plan: &Plan, board: &mut Board) {
        let req = &mut self.req;
        if req.next < req.sent {
            board.counters.retransmitted += 1;
            self.counters.retransmitted += 1;
        }
        req.unasked = if plan.ack_request { 0 } else { req.unasked + 1 };
        if wqe.kind == Kind::Read {
            if let Some(wqe) = self.sq.get_mut(req.current) {
                wqe.asked_from = (req.next - wqe.first) as u32;
            }
            req.reads += 1;
            req.next = wqe.end();
        } else {
            req.next += 1;
        }
        if req.next == wqe.end() {
            req.current = req.current.wrapping_add(1);
        }
        req.sent = req.sent.max(req.next);
        self.start_timer(board);
    }

    /// Starts waiting for an ACK, unless that is being done already.
    #[inline]
    pub(super) fn start_timer(&mut self, board: &mut Board) {
        if self.req.deadline.is_none() {
            self.req.deadline = self.req.deadline_from(board.now);
            if let Some(at) = self.req.deadline {
                board.timers.at_most(self.handle.index(), at);
            }
        }
    }

    // ---- going back ----

    /// To the oldest packet that is not acknowledged: everything from there on
    /// is sent again, numbered as before.
    pub(super) fn go_back(&mut self, board: &mut Board) {
        self.req.next = self.req.una;
        self.req.current = self.sq.head;
        self.req.reads = 0;
        self.req.unasked = 0;
        self.req.fault = None;
        self.req.deadline = None;
        self.wake(board);
    }

    /// As [`go_back`](Self::go_back), as long as there are retries left.
    pub(super) fn retry(&mut self, board: &mut Board) {
        match self.req.retries_left.checked_sub(1) {
            Some(left) => {
                self.req.retries_left = left;
                self.go_back(board);
            }
            None => {
                board.counters.retries_exceeded += 1;
                self.fail_send(WcStatus::RetryExceeded, board);
            }
        }
    }

    /// Its timer came up: does what is due, and comes up again if something
    /// will be.
    pub(super) fn timer_due(&mut self, board: &mut Board) {
        if self.req.rnr_until.is_some_and(|until| until <= board.now) {
            self.req.rnr_until = None;
            // What is sent now can be lost anew, and asked for anew.
            self.req.gone_back = None;
            self.wake(board);
        }
        if self.req.deadline.is_some_and(|deadline| deadline <= board.now) {
            board.counters.timeouts += 1;
            self.counters.timeouts += 1;
            self.req.gone_back = None;
            self.retry(board);
        }
        for at in [self.req.rnr_until, self.req.deadline].into_iter().flatten() {
            board.timers.at_most(self.handle.index(), at);
        }
    }
}

impl Requester {
    /// Fills a packet's payload from the request's elements or inline data.
    #[inline]
    fn fill(
        &mut self,
        wqe: &SendWqe,
        sq: &SendQueue,
        pd: u32,
        mtu: u32,
        board: &Board,
        out: &mut [u8],
    ) -> bool {
        let offset = (self.next - wqe.first) as u32 * mtu;
        if wqe.inline {
            let from = sq.inline(self.current).get(offset as usize..);
            let from = from.and_then(|from| from.get(..out.len()));
            from.inspect(|from| out.copy_from_slice(from)).is_some()
        } else {
            let sges = sq.sges(self.current);
            if self.cursor_at != self.next || offset == 0 {
                self.cursor = Cursor::seek(sges, offset);
            }
            self.cursor_at = self.next + 1;
            board.memory.gather(pd, sges, &mut self.cursor, out)
        }
    }
}

/// The opcode of a packet that is or is not the first or last of its message.
#[inline]
const fn opcode(kind: Kind, first: bool, last: bool) -> Opcode {
    match (kind, first, last) {
        (Kind::Send, true, true) => Opcode::SEND_ONLY,
        (Kind::Send, true, false) => Opcode::SEND_FIRST,
        (Kind::Send, false, false) => Opcode::SEND_MIDDLE,
        (Kind::Send, false, true) => Opcode::SEND_LAST,
        (Kind::Write, true, true) => Opcode::WRITE_ONLY,
        (Kind::WriteImm, true, true) => Opcode::WRITE_ONLY_IMM,
        (Kind::Write | Kind::WriteImm, true, false) => Opcode::WRITE_FIRST,
        (Kind::Write | Kind::WriteImm, false, false) => Opcode::WRITE_MIDDLE,
        (Kind::Write, false, true) => Opcode::WRITE_LAST,
        (Kind::WriteImm, false, true) => Opcode::WRITE_LAST_IMM,
        (Kind::Read, _, _) => Opcode::READ_REQUEST,
    }
}

/// The extension headers of such a packet.
#[inline]
fn ext(wqe: &SendWqe, first: bool, last: bool) -> Ext {
    let reth = || Reth { vaddr: wqe.remote_addr, rkey: wqe.rkey, dma_len: wqe.len };
    let immediate = ImmDt(wqe.immediate);
    match (wqe.kind, first, last) {
        (Kind::WriteImm, true, true) => Ext::RethImm(reth(), immediate),
        (Kind::WriteImm, false, true) => Ext::Imm(immediate),
        (Kind::Write | Kind::WriteImm, true, _) => Ext::Reth(reth()),
        _ => Ext::None,
    }
}

/// 4.096 us * 2^code, rounded up to whole microseconds; zero, for ever, for
/// code 0 (IBTA §9.9.2.4.2). Linux 6.12 `rdma_rxe` rounds to its ticks.
fn ack_timeout(code: u8) -> Duration {
    if code == 0 {
        return Duration::ZERO;
    }
    Duration::from_micros((4096_u64 << code.min(31)).div_ceil(1000))
}
