//! The completer: what ACKs, NAKs and RDMA READ responses do to the requests
//! they answer (IBTA §9.7.5.1, §9.7.5.2).

use smolsmc_verbs::{QpState, WcStatus};
use smolsmc_wire::Psn;

use crate::packet::{Aeth, NakCode, OpcodeFacts, Operation, Position, RnrTimer, RocePacket, Syndrome};

use super::board::Board;
use super::memory::Cursor;
use super::qp::Qp;
use super::queues::Kind;

/// What a response means to the packets that were sent.
enum Heard {
    /// It speaks of the packet with this number, which waits for an answer.
    Of(u64),
    /// Nobody waits for it any more.
    Stale,
    /// It speaks of a packet that was never sent.
    Ghost,
}

impl Qp {
    /// A response packet that passed every check on its way here.
    #[inline]
    pub(super) fn take_response(&mut self, packet: &RocePacket<'_>, facts: OpcodeFacts, board: &mut Board) {
        match (facts.operation, packet.ext.aeth()) {
            (Operation::Ack, Some(aeth)) => self.take_ack(packet.bth.psn, aeth, board),
            (Operation::ReadResponse, aeth) => self.take_read_response(packet, facts.position, aeth, board),
            _ => board.counters.dropped.meaningless += 1,
        }
    }

    #[inline]
    fn take_ack(&mut self, psn: Psn, aeth: Aeth, board: &mut Board) {
        let number = match (self.hear(psn), aeth.syndrome) {
            (Heard::Of(number), _) => number,
            // Says only that all that was sent has arrived.
            (Heard::Ghost, Syndrome::Nak { code: NakCode::PSN_SEQUENCE_ERROR })
                if psn == self.req.psn(self.req.sent) =>
            {
                self.req.sent
            }
            (Heard::Stale, _) => return board.counters.dropped.stale += 1,
            (Heard::Ghost, _) => return board.counters.dropped.ghost += 1,
        };
        match aeth.syndrome {
            Syndrome::Ack { .. } => {
                board.counters.acks_received += 1;
                self.arrived_before(number + 1, board);
            }
            Syndrome::Nak { code } => self.take_nak(number, code, board),
            Syndrome::RnrNak { timer } => self.take_rnr_nak(number, timer, board),
            Syndrome::Reserved(_) => board.counters.dropped.meaningless += 1,
        }
    }

    #[inline]
    fn hear(&self, psn: Psn) -> Heard {
        let ahead = psn.distance_from(self.req.psn(self.req.una));
        if ahead < 0 {
            return Heard::Stale;
        }
        let number = self.req.una + ahead as u64;
        if number < self.req.sent { Heard::Of(number) } else { Heard::Ghost }
    }

    /// Every packet before `number` has arrived: completes what is done and
    /// goes on. An RDMA READ is done only by its responses; if a later packet
    /// is answered, they were lost. Returns `false` then, or if the queue pair
    /// failed.
    #[inline]
    fn arrived_before(&mut self, number: u64, board: &mut Board) -> bool {
        let before = self.req.una;
        let mut read_lost = false;
        while let Some(wqe) = self.sq.get(self.sq.head) {
            if wqe.kind == Kind::Read {
                read_lost = number > self.req.una;
                break;
            }
            if number < wqe.end() {
                self.req.una = self.req.una.max(number);
                break;
            }
            self.req.una = wqe.end();
            self.complete_send(WcStatus::Success, board);
        }
        if self.req.una != before {
            self.progressed(board);
        }
        if read_lost {
            board.counters.read_responses_lost += 1;
            self.go_back_once(board);
        }
        !read_lost && self.state == QpState::ReadyToSend
    }

    /// `una` has moved.
    #[inline]
    fn progressed(&mut self, board: &mut Board) {
        self.req.progress(board.now);
        if self.req.next < self.req.una {
            // What was to be sent again has arrived after all.
            self.req.next = self.req.una;
            self.req.current = self.sq.head;
        }
        self.fail_in_turn(board);
        self.wake(board);
    }

    /// Obeys a NAK, but only one until something new arrives: what comes
    /// before that was caused by the same loss.
    fn go_back_once(&mut self, board: &mut Board) {
        if self.state == QpState::ReadyToSend && self.req.gone_back != Some(self.req.una) {
            self.req.gone_back = Some(self.req.una);
            self.retry(board);
        }
    }

    // ---- NAKs ----

    #[cold]
    fn take_nak(&mut self, number: u64, code: NakCode, board: &mut Board) {
        self.counters.naks_received += 1;
        let count = &mut board.counters.naks_received;
        let status = match code {
            NakCode::PSN_SEQUENCE_ERROR => {
                count.sequence += 1;
                if self.arrived_before(number, board) && self.req.una < self.req.sent {
                    self.go_back_once(board);
                }
                return;
            }
            NakCode::INVALID_REQUEST => {
                count.invalid += 1;
                WcStatus::RemoteInvalidRequest
            }
            NakCode::REMOTE_ACCESS_ERROR => {
                count.access += 1;
                WcStatus::RemoteAccess
            }
            _ => {
                count.operational += 1;
                WcStatus::RemoteOperation
            }
        };
        // A NAK in the middle of an RDMA READ is about the READ.
        let of_read = self.sq.get(self.sq.head).is_some_and(|w| w.kind == Kind::Read && number < w.end());
        if of_read || self.arrived_before(number, board) {
            self.fail_send(status, board);
        }
    }

    #[cold]
    fn take_rnr_nak(&mut self, number: u64, timer: RnrTimer, board: &mut Board) {
        self.counters.naks_received += 1;
        self.counters.rnr_naks_received += 1;
        board.counters.naks_received.rnr += 1;
        let before = self.req.una;
        if !self.arrived_before(number, board) || self.req.una == before && self.req.rnr_until.is_some() {
            return; // the second is a copy of the one that made us wait
        }
        match self.req.rnr_retries_left.checked_sub(1) {
            _ if self.req.bears_rnr() => {}
            Some(left) => self.req.rnr_retries_left = left,
            None => {
                board.counters.rnr_retries_exceeded += 1;
                return self.fail_send(WcStatus::RnrRetryExceeded, board);
            }
        }
        // Who is not ready is there: the other retries are for silence.
        self.req.heard();
        let until = board.now + timer.duration();
        self.req.rnr_until = Some(until);
        self.go_back(board);
        board.timers.at_most(self.handle.index(), until);
    }

    // ---- RDMA READ responses ----

    fn take_read_response(
        &mut self,
        packet: &RocePacket<'_>,
        position: Position,
        aeth: Option<Aeth>,
        board: &mut Board,
    ) {
        let number = match self.hear(packet.bth.psn) {
            Heard::Of(number) => number,
            Heard::Stale => return board.counters.dropped.stale += 1,
            Heard::Ghost => return board.counters.dropped.ghost += 1,
        };
        if aeth.is_some_and(|aeth| !matches!(aeth.syndrome, Syndrome::Ack { .. })) {
            return self.fail_send(WcStatus::BadResponse, board);
        }
        if self.is_read_ahead(number) {
            // Those before it were lost, and it is of no use without them.
            board.counters.dropped.read_ahead += 1;
            board.counters.read_responses_lost += 1;
            return self.go_back_once(board);
        }
        // It says that everything before the RDMA READ has arrived.
        if number > self.req.una && !self.arrived_before(number, board) {
            board.counters.dropped.read_ahead += 1;
            return;
        }
        self.place_read_response(number, packet.payload, position, board);
    }

    /// Whether `number` is further on in the RDMA READ at the head than its
    /// responses are.
    fn is_read_ahead(&self, number: u64) -> bool {
        let head = self.sq.get(self.sq.head);
        number > self.req.una && head.is_some_and(|wqe| wqe.kind == Kind::Read && number < wqe.end())
    }

    /// Response `number`, which is the one to come, is put into its place.
    fn place_read_response(&mut self, number: u64, payload: &[u8], position: Position, board: &mut Board) {
        let (head, mtu) = (self.sq.head, self.path.as_ref().map_or(0, |path| path.mtu));
        let Some(&wqe) = self.sq.get(head).filter(|w| w.kind == Kind::Read && self.req.una == number) else {
            return self.fail_send(WcStatus::BadResponse, board);
        };
        let done = (number - wqe.first) as u32;
        let offset = done * mtu;
        let wanted = wqe.len.saturating_sub(offset).min(mtu);
        // In the middle, an answer to the first request or to a later one.
        let starts = done == 0 || position.is_start() && done == wqe.asked_from;
        let fits = position.is_end() == (done + 1 == wqe.packets)
            && position.is_start() == starts
            && payload.len() == wanted as usize;
        if !fits {
            return self.fail_send(WcStatus::BadResponse, board);
        }
        let sges = self.sq.sges(head);
        if !board.memory.scatter(self.pd, sges, &mut Cursor::seek(sges, offset), payload) {
            return self.fail_send(WcStatus::LocalProtection, board);
        }
        self.req.una += 1;
        if self.req.una == wqe.end() {
            if self.req.current != head {
                self.req.reads -= 1;
            }
            self.complete_send(WcStatus::Success, board);
        }
        self.progressed(board);
    }
}
