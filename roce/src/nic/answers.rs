//! What a responder has to say: one pending ACK or NAK, of which only the
//! newest counts, and the RDMA READs it is answering. Neither can grow.

use alloc::collections::VecDeque;

use smolsmc_verbs::{Access, QpState};
use smolsmc_wire::Psn;

use crate::packet::{Aeth, Ext, NakCode, Opcode, Reth, Syndrome};

use super::board::Board;
use super::path::{Emitted, Plan};
use super::qp::Qp;
use super::queues::packets;
use super::responder::{Request, Responder};

/// What a responder owes its peer. Which PSN it is about is decided when it is
/// sent: an ACK is about the last good packet, a NAK about the expected one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Owed {
    #[default]
    Nothing,
    Ack,
    SequenceNak,
    RnrNak,
    /// The last thing a queue pair says, and about which packet.
    Refusal(NakCode, Psn),
}

/// An RDMA READ in progress.
#[derive(Clone, Copy, Debug)]
struct ReadJob {
    /// PSN of its first response.
    psn: Psn,
    packets: u32,
    /// Responses sent.
    done: u32,
    reth: Reth,
    /// It is answered a second time, so a new one may take its place.
    again: bool,
}

/// RDMA READs in progress, in the order of their requests.
#[derive(Debug, Default)]
pub(super) struct ReadJobs {
    jobs: VecDeque<ReadJob>,
    room: usize,
}

impl ReadJobs {
    pub(super) fn new(room: u8) -> Self {
        let room = usize::from(room);
        Self { jobs: VecDeque::with_capacity(room), room }
    }

    pub(super) fn clear(&mut self) {
        self.jobs.clear();
    }

    /// Whether there is room for one more, if need be instead of a repeated one.
    pub(super) fn make_room(&mut self) -> bool {
        if self.jobs.len() >= self.room
            && let Some(repeated) = self.jobs.iter().position(|job| job.again)
        {
            self.jobs.remove(repeated);
        }
        self.jobs.len() < self.room
    }

    /// Adds a new one, for which [there is room](Self::make_room).
    pub(super) fn add(&mut self, psn: Psn, packets: u32, reth: Reth) {
        if self.jobs.len() < self.room {
            self.jobs.push_back(ReadJob { psn, packets, done: 0, reth, again: false });
        }
    }

    /// Adds one that was there before: in its own place if it is still there.
    fn add_again(&mut self, psn: Psn, packets: u32, reth: Reth) -> bool {
        let job = ReadJob { psn, packets, done: 0, reth, again: true };
        let full = self.jobs.len() >= self.room;
        let own = self.jobs.iter_mut().find(|own| {
            let ahead = psn.distance_from(own.psn);
            ahead >= 0 && ahead < own.packets as i32
        });
        match own {
            Some(own) => *own = ReadJob { again: own.again, ..job },
            None if full => return false,
            None => self.jobs.push_back(job),
        }
        true
    }
}

impl Qp {
    /// Answers an RDMA READ request that was answered before. `false` if there
    /// is no room, or it is not one that was.
    pub(super) fn read_again(&mut self, request: &Request<'_>, board: &mut Board) -> bool {
        let (psn, Some(reth)) = (request.packet.bth.psn, request.packet.ext.reth()) else { return false };
        let Some(path) = &self.path else { return false };
        let taken = packets(reth.dma_len, path.mtu);
        let behind = self.resp.expected.distance_from(psn);
        if i64::from(taken) > i64::from(behind) || !self.access.contains(Access::REMOTE_READ) {
            return false;
        }
        let reachable = reth.dma_len == 0
            || board.memory.reachable(self.pd, reth.rkey, reth.vaddr, reth.dma_len, Access::REMOTE_READ);
        let added = reachable && self.resp.reads.add_again(psn, taken, reth);
        self.wake(board);
        added
    }

    // ---- RDMA READ responses ----

    #[inline]
    pub(super) fn has_read_response(&self) -> bool {
        !self.resp.reads.jobs.is_empty()
    }

    /// The next RDMA READ response.
    #[inline]
    pub(super) fn plan_read_response(&self) -> Option<Plan> {
        let job = self.resp.reads.jobs.front()?;
        let mtu = self.path.as_ref()?.mtu;
        let (first, last) = (job.done == 0, job.done + 1 == job.packets);
        let opcode = match (first, last) {
            (true, true) => Opcode::READ_RESPONSE_ONLY,
            (true, false) => Opcode::READ_RESPONSE_FIRST,
            (false, false) => Opcode::READ_RESPONSE_MIDDLE,
            (false, true) => Opcode::READ_RESPONSE_LAST,
        };
        let ext = if first || last { self.aeth(Syndrome::ACK) } else { Ext::None };
        let left = job.reth.dma_len.saturating_sub(job.done * mtu);
        Some(Plan {
            opcode,
            ext,
            psn: job.psn.add(job.done),
            payload_len: left.min(mtu) as usize,
            ack_request: false,
            solicited: false,
        })
    }

    /// Whether the planned response can be written; if not, the queue pair fails.
    pub(super) fn is_readable(&mut self, board: &mut Board) -> bool {
        let Some(ReadJob { reth, .. }) = self.resp.reads.jobs.front() else { return false };
        let (rkey, vaddr, len) = (reth.rkey, reth.vaddr, reth.dma_len);
        let fine = len == 0 || board.memory.reachable(self.pd, rkey, vaddr, len, Access::REMOTE_READ);
        if !fine {
            self.read_ended(board);
        }
        fine
    }

    /// Writes the planned response, straight from registered memory.
    pub(super) fn emit_read_response(&mut self, plan: &Plan, board: &mut Board, out: &mut [u8]) -> Emitted {
        let Some(job) = self.resp.reads.jobs.front_mut() else { return Emitted::Failed };
        let Some(path) = &self.path else { return Emitted::Failed };
        let Some(mut frame) = path.open(plan, board.next_identification(), out) else {
            return Emitted::TooShort;
        };
        if plan.payload_len > 0 {
            let addr = job.reth.vaddr.wrapping_add(u64::from(job.done * path.mtu));
            let from = board.memory.peer_reads(self.pd, job.reth.rkey, addr, plan.payload_len as u32);
            let Some(from) = from else { return self.read_ended(board) };
            frame.payload_mut().copy_from_slice(from);
        }
        let len = frame.seal();
        job.done += 1;
        if job.done == job.packets {
            self.resp.reads.jobs.pop_front();
            // What was owed meanwhile had to come after the responses.
            self.wake_answer(board);
        }
        board.counters.read_responses_sent += 1;
        Emitted::Frame(len)
    }

    /// The registration ended while it was being read.
    #[cold]
    fn read_ended(&mut self, board: &mut Board) -> Emitted {
        let asked = self.resp.reads.jobs.front().map(|job| job.psn.add(job.done));
        self.resp.owed = Owed::Refusal(NakCode::REMOTE_ACCESS_ERROR, asked.unwrap_or(self.resp.expected));
        self.resp.reads.clear();
        self.fail(board);
        self.wake_answer(board);
        Emitted::Failed
    }

    // ---- ACKs and NAKs ----

    /// The answer that is owed, unless it has to wait for RDMA READ responses.
    #[inline]
    pub(super) fn plan_answer(&self) -> Option<Plan> {
        if !self.resp.reads.jobs.is_empty() {
            return None;
        }
        let alive = self.answers();
        let (syndrome, psn) = match self.resp.owed {
            Owed::Ack if alive => (Syndrome::ACK, self.resp.expected.sub(1)),
            Owed::SequenceNak if alive => {
                (Syndrome::Nak { code: NakCode::PSN_SEQUENCE_ERROR }, self.resp.expected)
            }
            Owed::RnrNak if alive => (Syndrome::RnrNak { timer: self.rnr_timer() }, self.resp.expected),
            Owed::Refusal(code, psn) if self.state == QpState::Error => (Syndrome::Nak { code }, psn),
            _ => return None,
        };
        Some(Plan {
            opcode: Opcode::ACK,
            ext: self.aeth(syndrome),
            psn,
            payload_len: 0,
            ack_request: false,
            solicited: false,
        })
    }

    /// Writes the planned answer.
    #[inline]
    pub(super) fn emit_answer(&mut self, plan: &Plan, board: &mut Board, out: &mut [u8]) -> Emitted {
        let Some(path) = &self.path else { return Emitted::Failed };
        let Some(frame) = path.open(plan, board.next_identification(), out) else {
            return Emitted::TooShort;
        };
        let len = frame.seal();
        let counters = &mut board.counters;
        let nak = &mut counters.naks_sent;
        match core::mem::take(&mut self.resp.owed) {
            Owed::Nothing => {}
            Owed::Ack => counters.acks_sent += 1,
            Owed::SequenceNak => nak.sequence += 1,
            Owed::RnrNak => {
                nak.rnr += 1;
                self.counters.rnr_naks_sent += 1;
            }
            Owed::Refusal(NakCode::INVALID_REQUEST, _) => nak.invalid += 1,
            Owed::Refusal(NakCode::REMOTE_ACCESS_ERROR, _) => nak.access += 1,
            Owed::Refusal(..) => nak.operational += 1,
        }
        self.counters.naks_sent += u64::from(plan.ext != self.aeth(Syndrome::ACK));
        Emitted::Frame(len)
    }

    #[inline]
    fn aeth(&self, syndrome: Syndrome) -> Ext {
        Ext::Aeth(Aeth { syndrome, msn: self.resp.msn })
    }
}

impl Responder {
    /// What was owed was said, and nobody heard it.
    pub(super) fn forget_owed(&mut self) {
        self.owed = Owed::Nothing;
    }
}
