//! The side of a queue pair that asks, from its queue: what can be carried out
//! now, what is complete, and how long to wait for what is not.

use smolsmc_verbs::{QpState, WcStatus};
use smolsmc_wire::{Duration, Instant};

use super::board::Board;
use super::message::{Envelope, flag};
use super::qp::{Qp, reasons_of};
use super::queues::{Cursor, Kind};
use super::requester::{Step, Who, Why};
use crate::error::WireFault;
use crate::layout::qp;
use crate::sync::bell::wish;
use crate::sync::ring::SLOT_LEN;

/// How often the peer's line of answers is looked at while nothing comes from it
/// anyway: it costs a cache line, and messages bring the same news.
const LOOKS: u32 = 8;

impl Qp {
    pub(super) const fn who(&self) -> Who {
        Who { qpn: self.qpn.value(), pd: self.pd, answered: self.resp.answered() as u16 }
    }

    /// Whether there is something to do, or to wait for.
    #[inline]
    pub(super) fn has_work(&self) -> bool {
        self.sq.len() > 0 || self.req.owes_refusal || self.resp.has_work()
    }

    /// Does what can be done now, and completes what is complete.
    #[inline]
    pub(super) fn ask(&mut self, board: &mut Board) {
        if self.sq.len() > 0 {
            self.hear_answers(board);
            self.retire(board);
            if !self.sq.is_done() && !self.req.halted {
                self.carry_on(board);
                self.retire(board);
            }
            self.mind_silence(board);
        }
        if self.req.owes_refusal {
            let who = self.who();
            let device = board.device_mut(self.device);
            self.req.refuse(&who, device);
            device.ring_for(wish::FAILURE);
            self.req.owes_refusal &= device.wire.fault().is_none();
        }
    }

    /// Carries out what waits, until something has to wait longer.
    fn carry_on(&mut self, board: &mut Board) {
        let mut reasons = 0;
        while !self.req.halted {
            let who = self.who();
            let Some(job) = self.sq.to_do() else { break };
            let (device, memory) = board.device_and_memory(self.device);
            let step = self.req.carry_out(&job, &who, device, memory);
            // Pieces that are in the ring are worth waking for, too.
            if step == Step::Done || self.req.within > 0 {
                reasons |= reasons_of(&job);
            }
            match step {
                Step::Done => {
                    self.sq.mark_done(self.req.sent, None);
                    self.req.waiting = None;
                }
                step => {
                    self.after(step, board);
                    break;
                }
            }
        }
        board.device(self.device).ring_for(reasons);
    }

    /// A request was not done.
    #[cold]
    pub(super) fn after(&mut self, step: Step, board: &mut Board) {
        match step {
            Step::Done => {}
            Step::Fails(status) => {
                self.sq.mark_done(self.req.sent, Some(status));
                self.req.stop();
            }
            Step::Stalls(why) => self.stall(why, board),
        }
    }

    /// Waits, unless it has waited long enough.
    #[cold]
    fn stall(&mut self, why: Why, board: &mut Board) {
        let now = Board::now();
        let deadline = match self.req.waiting {
            Some((before, deadline)) if before == why => deadline,
            _ => {
                let patience = match why {
                    Why::Silence => self.req.silence,
                    Why::NoReceive if self.req.rnr_retry == 7 => None,
                    Why::NoReceive => {
                        board.counters.rnr_waits += 1;
                        let times = u64::from(self.req.rnr_retry);
                        Some(Duration::from_micros(RNR_MICROS[self.req.rnr_timer as usize & 31] * times))
                    }
                    Why::Full => None,
                };
                let deadline = patience.map(|patience| now + patience);
                self.req.waiting = Some((why, deadline));
                deadline
            }
        };
        let is_gone = why == Why::Silence && board.device(self.device).wire.fault().is_some();
        if is_gone || deadline.is_some_and(|deadline| now >= deadline) {
            self.req.waiting = None;
            match why {
                // What was sent before is as unanswered as this.
                Why::Silence | Why::Full => {
                    self.retire(board);
                    if self.state == QpState::ReadyToSend {
                        self.fail_oldest(WcStatus::RetryExceeded, board);
                    }
                }
                Why::NoReceive => {
                    self.sq.mark_done(self.req.sent, Some(WcStatus::RnrRetryExceeded));
                    self.req.stop();
                }
            }
        }
    }

    /// Completes what is complete, in order.
    #[inline]
    pub(super) fn retire(&mut self, board: &mut Board) {
        while let Some(wqe) = self.sq.oldest_done() {
            if !self.req.is_answered(wqe.needs) {
                return;
            }
            if let Some(status) = wqe.failed {
                return self.fail_oldest(status, board);
            }
            let is_read = wqe.kind == Kind::Read;
            if is_read && !wqe.has_come {
                return;
            }
            if wqe.signalled {
                let mut completion = self.completion(wqe.wr_id, WcStatus::Success, wqe.kind.wc_opcode());
                completion.byte_len = if is_read { wqe.len } else { 0 };
                board.complete(self.send_cq, completion, false);
            }
            self.sq.pop();
        }
    }

    /// Looks at the peer's line of answers, if there is one to wait for and it
    /// has not been looked at just now.
    #[inline]
    fn hear_answers(&mut self, board: &Board) {
        if !self.req.awaits() {
            return;
        }
        self.req.looks = self.req.looks.wrapping_add(1);
        let is_due = self.req.looks.is_multiple_of(LOOKS) || board.is_tick || board.is_arming;
        if self.req.all_answered() || !is_due {
            return;
        }
        let device = board.device(self.device);
        if self.req.stand == 0 || device.hear(self.req.peer_at + qp::STAND) >> 16 != self.req.stand >> 16 {
            return;
        }
        let answered = device.hear(self.req.peer_at + qp::ANSWERED);
        if answered.wrapping_sub(self.req.answered) > self.req.sent.wrapping_sub(self.req.answered) {
            device.wire.condemn(WireFault::RingIndex);
            return;
        }
        self.req.answered = answered;
    }

    /// What a message of the peer's says by the way: the lower bits of its
    /// count of answers.
    #[inline]
    pub(super) fn note_answers(&mut self, answered: u16, board: &Board) {
        let more = u32::from(answered.wrapping_sub(self.req.answered as u16));
        let outstanding = self.req.sent.wrapping_sub(self.req.answered);
        // Older news than we have, or those of another life, look like too many.
        if more != 0 && more <= outstanding {
            let device = board.device(self.device);
            if device.hear(self.req.peer_at + qp::STAND) >> 16 == self.req.stand >> 16 {
                self.req.answered = self.req.answered.wrapping_add(more);
            }
        }
    }

    /// Requests that were sent and that nobody will answer, or for too long.
    #[inline]
    fn mind_silence(&mut self, board: &mut Board) {
        if self.sq.len() == 0 || self.state != QpState::ReadyToSend {
            return;
        }
        let is_waiting = self.req.waiting.is_some();
        if !board.is_tick && !self.req.looks.is_multiple_of(LOOKS) && !is_waiting {
            return;
        }
        if self.req.awaits() && (self.sq.is_done() || self.req.halted) {
            if self.req.is_reachable(board.device(self.device), self.qpn.value()) {
                self.req.waiting = None;
            } else {
                self.stall(Why::Silence, board);
            }
        }
        if board.is_tick && self.state == QpState::ReadyToSend {
            self.mind_patience(board);
        }
    }

    /// Fails if the peer has answered nothing for longer than we bear.
    #[cold]
    fn mind_patience(&mut self, board: &mut Board) {
        let is_full = matches!(self.req.waiting, Some((Why::Full, _)));
        if !self.req.awaits() && !is_full || board.patience.micros() == 0 {
            self.req.quiet = None;
            return;
        }
        let now = Board::now();
        match self.req.quiet {
            Some((answered, since)) if answered == self.req.answered => {
                if now.since(since) >= board.patience {
                    self.req.quiet = None;
                    self.fail_oldest(WcStatus::RetryExceeded, board);
                }
            }
            _ => self.req.quiet = Some((self.req.answered, now)),
        }
    }

    /// Whether somebody who sleeps would hear of what the peer answers or posts.
    pub(super) fn wants_progress(&self, board: &Board) -> bool {
        !self.sq.is_done()
            || self.resp.has_work()
            || self.req.owes_refusal
            || self.sq.has_signalled() && board.cqs.tells_of_success(self.send_cq)
    }

    /// When something waits for no longer.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.req.waiting.and_then(|(_, deadline)| deadline)
    }

    // ---- what comes back ----

    /// The peer refused the oldest request it has not answered.
    #[cold]
    pub(super) fn refused(&mut self, argument: u32, board: &mut Board) {
        self.retire(board);
        let status = match argument {
            1 => WcStatus::RemoteInvalidRequest,
            2 => WcStatus::RemoteAccess,
            3 => WcStatus::RemoteOperation,
            _ => WcStatus::BadResponse,
        };
        // A message of which only a piece was sent can fail, too.
        let is_asked = !self.req.all_answered() || self.req.within > 0;
        if self.state == QpState::ReadyToSend && is_asked {
            self.fail_oldest(status, board);
        }
    }

    /// Octets of the oldest READ.
    pub(super) fn take_read_response(&mut self, envelope: &Envelope, board: &mut Board) {
        let len = u64::from(envelope.len);
        let pd = self.pd;
        let Some(position) = self.sq.reading() else { return self.fail_reading(board) };
        let Some((wqe, sges)) = self.sq.at(position) else { return };
        let end = self.req.read_len + len;
        let is_last = envelope.flags & flag::LAST != 0;
        if end > u64::from(wqe.len) || is_last != (end == u64::from(wqe.len)) {
            return self.fail_reading(board);
        }
        let mut buffer = [0; SLOT_LEN];
        for start in (0..usize::from(envelope.len)).step_by(SLOT_LEN) {
            let some = &mut buffer[..SLOT_LEN.min(usize::from(envelope.len) - start)];
            board.device(self.device).incoming.read(start, some);
            if !board.memory.scatter(pd, sges, &mut self.req.read_cursor, some) {
                return self.fail_oldest(WcStatus::LocalProtection, board);
            }
        }
        self.req.read_len = end;
        if is_last {
            wqe.has_come = true;
            self.req.read_len = 0;
            self.req.read_cursor = Cursor::default();
            self.req.reads = self.req.reads.saturating_sub(1);
        }
    }

    /// An answer that was not asked for, or is too long.
    #[cold]
    fn fail_reading(&mut self, board: &mut Board) {
        board.counters.nonsense += 1;
        self.fail_oldest(WcStatus::BadResponse, board);
    }
}

/// Times of RNR NAK timer codes, in microseconds (IBTA §9.7.5.2.8, table 45).
const RNR_MICROS: [u64; 32] = [
    655_360, 10, 20, 30, 40, 60, 80, 120, 160, 240, 320, 480, 640, 960, 1280, 1920, 2560, 3840, 5120, 7680,
    10_240, 15_360, 20_480, 30_720, 40_960, 61_440, 81_920, 122_880, 163_840, 245_760, 327_680, 491_520,
];
