//! The side of a queue pair that is asked: messages of the peer's, each held
//! against what its queue pair allows, and what it owes the peer.

use std::collections::VecDeque;

use smolsmc_verbs::{Access, RtrAttributes, Sge, WcOpcode, WcStatus};

use super::board::Board;
use super::device::{Device, Room};
use super::memory::{MemoryTable, Source};
use super::message::{Envelope, Kind, NakCode, flag};
use super::qp::Qp;
use super::queues::Cursor;
use crate::config::MAX_RD_ATOMIC;
use crate::layout::qp;
use crate::sync::bell::wish;
use crate::sync::ring::{Consumer, SLOT_LEN};
use crate::wire::WireRing;

/// The side that is asked.
#[derive(Debug, Default)]
pub(super) struct Responder {
    /// Requests answered in this life.
    answered: u32,
    /// How far the message that is coming in has come.
    cursor: Cursor,
    within: u64,
    is_within: bool,
    /// READs that are to be answered, oldest first.
    reads: VecDeque<ReadJob>,
    max_reads: usize,
    /// What the peer must be told, once there is room.
    owes: Option<NakCode>,
}

/// A READ of the peer's.
#[derive(Clone, Copy, Debug)]
struct ReadJob {
    addr: u64,
    rkey: u32,
    len: u32,
    done: u32,
}

/// The next message's payload, where it still lies in the ring.
pub(super) type Ring = Consumer<WireRing>;

impl Responder {
    pub(super) fn new(to: &RtrAttributes) -> Self {
        let max_reads = usize::from(to.max_dest_rd_atomic.clamp(1, MAX_RD_ATOMIC));
        Self { reads: VecDeque::with_capacity(max_reads), max_reads, ..Self::default() }
    }

    /// What was asked is not answered any more; what must be said still is.
    pub(super) fn stop(&mut self) {
        self.reads.clear();
        self.is_within = false;
    }

    #[inline]
    pub(super) const fn answered(&self) -> u32 {
        self.answered
    }

    #[inline]
    pub(super) fn has_work(&self) -> bool {
        self.owes.is_some() || !self.reads.is_empty()
    }
}

impl Qp {
    /// Takes a message of the peer's queue pair.
    #[inline]
    pub(super) fn take(&mut self, envelope: &Envelope, board: &mut Board) {
        self.note_answers(envelope.answered, board);
        match envelope.kind {
            Kind::Send => self.take_send(envelope, board),
            Kind::Immediate => self.take_immediate(envelope, board),
            Kind::ReadRequest => self.take_read(envelope, board),
            Kind::ReadResponse => self.take_read_response(envelope, board),
            Kind::Nak => self.refused(envelope.argument, board),
            // A request of the peer's was not done, as it hit what it may not.
            Kind::Refused => self.fail(board),
        }
    }

    /// A piece of a SEND.
    #[inline]
    fn take_send(&mut self, envelope: &Envelope, board: &mut Board) {
        let is_first = envelope.flags & flag::FIRST != 0;
        let len = usize::from(envelope.len);
        if is_first == self.resp.is_within {
            return self.nak(NakCode::InvalidRequest, None, board);
        }
        let Some((wqe, sges)) = self.rq.front() else {
            // The peer knows what is posted; it ignores it.
            return self.nak(NakCode::InvalidRequest, None, board);
        };
        let wr_id = wqe.wr_id;
        if is_first {
            (self.resp.cursor, self.resp.within) = (Cursor::default(), 0);
        }
        if self.resp.within + len as u64 > wqe.room {
            return self.nak(NakCode::InvalidRequest, Some(WcStatus::LocalLength), board);
        }
        if is_first && !board.memory.allows(self.pd, sges, Access::LOCAL_WRITE)
            || !pour(
                &board.device(self.device).incoming,
                len,
                sges,
                self.pd,
                &mut self.resp.cursor,
                &board.memory,
            )
        {
            return self.nak(NakCode::Operation, Some(WcStatus::LocalProtection), board);
        }
        self.resp.within += len as u64;
        self.resp.is_within = envelope.flags & flag::LAST == 0;
        if !self.resp.is_within {
            self.rq.pop();
            let mut completion = self.completion(wr_id, WcStatus::Success, WcOpcode::Receive);
            completion.byte_len = self.resp.within as u32;
            board.complete(self.recv_cq, completion, envelope.flags & flag::SOLICITED != 0);
            self.answer(board);
        }
    }

    fn take_immediate(&mut self, envelope: &Envelope, board: &mut Board) {
        if envelope.len != 4 || self.resp.is_within || !self.access.contains(Access::REMOTE_WRITE) {
            return self.nak(NakCode::InvalidRequest, None, board);
        }
        let Some(wqe) = self.rq.pop() else { return self.nak(NakCode::InvalidRequest, None, board) };
        let mut len = [0; 4];
        board.device(self.device).incoming.read(0, &mut len);
        let mut completion =
            self.completion(wqe.wr_id, WcStatus::Success, WcOpcode::ReceiveWriteWithImmediate);
        completion.byte_len = u32::from_be_bytes(len);
        completion.immediate = Some(envelope.argument.to_be_bytes());
        board.complete(self.recv_cq, completion, envelope.flags & flag::SOLICITED != 0);
        self.answer(board);
    }

    fn take_read(&mut self, envelope: &Envelope, board: &mut Board) {
        if envelope.len != 16 || self.resp.is_within || self.resp.reads.len() >= self.resp.max_reads {
            return self.nak(NakCode::InvalidRequest, None, board);
        }
        if !self.access.contains(Access::REMOTE_READ) {
            return self.nak(NakCode::InvalidRequest, None, board);
        }
        let mut octets = [0; 16];
        board.device(self.device).incoming.read(0, &mut octets);
        let [a, b, c, d, e, f, g, h, k0, k1, k2, k3, l0, l1, l2, l3] = octets;
        let job = ReadJob {
            addr: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            rkey: u32::from_be_bytes([k0, k1, k2, k3]),
            len: u32::from_be_bytes([l0, l1, l2, l3]),
            done: 0,
        };
        if job.len > 0 && board.memory.peer_reads(self.pd, job.rkey, job.addr, job.len).is_none() {
            return self.nak(NakCode::Access, None, board);
        }
        self.resp.reads.push_back(job);
        self.answer(board);
    }

    /// One request more is answered.
    #[inline]
    fn answer(&mut self, board: &mut Board) {
        self.resp.answered = self.resp.answered.wrapping_add(1);
        let device = board.device_mut(self.device);
        device.say(self.at + qp::ANSWERED, self.resp.answered);
        device.owes = true;
    }

    /// The peer's request fails, and both queue pairs with it; so does the
    /// receive it was for, if it was for one.
    #[cold]
    fn nak(&mut self, code: NakCode, receive: Option<WcStatus>, board: &mut Board) {
        self.resp.owes = Some(code);
        match receive {
            Some(status) => self.fail_receive(status, board),
            None => self.fail(board),
        }
        self.respond(board);
    }

    /// Says what is owed, and sends what was read, as far as there is room.
    pub(super) fn respond(&mut self, board: &mut Board) {
        if !self.resp.has_work() {
            return;
        }
        if let Some(code) = self.resp.owes {
            let mut envelope = self.reply(Kind::Nak, flag::SOLICITED, board.device(self.device));
            envelope.argument = code as u32;
            let device = board.device_mut(self.device);
            if device.send(&envelope, &[]) == Room::There || device.wire.fault().is_some() {
                self.resp.owes = None;
            }
        }
        while let Some(job) = self.resp.reads.front().copied() {
            match self.read_on(job, board) {
                Ok(Some(job)) => self.resp.reads.iter_mut().take(1).for_each(|front| *front = job),
                Ok(None) => {
                    self.resp.reads.pop_front();
                }
                Err(Room::Not) => break,
                Err(Room::There) => return self.nak(NakCode::Access, None, board),
            }
        }
        board.device(self.device).ring_for(wish::FAILURE);
    }

    /// Sends the next piece of what was read; what is left of it then. `Err` if
    /// there is no room, or, with room, nothing to be read any more.
    fn read_on(&self, job: ReadJob, board: &mut Board) -> Result<Option<ReadJob>, Room> {
        let left = job.len - job.done;
        let len = (left as usize).min(board.device(self.device).max_piece);
        let last = if len == left as usize { flag::LAST } else { 0 };
        let mut envelope = self.reply(Kind::ReadResponse, last, board.device(self.device));
        envelope.len = len as u16;
        let (device, memory) = board.device_and_memory(self.device);
        if device.room(len) == Room::Not {
            return Err(Room::Not);
        }
        let mut message = device.begin();
        if len > 0 {
            let addr = job.addr.wrapping_add(job.done.into());
            match memory.peer_reads(self.pd, job.rkey, addr, len as u32) {
                Some(Source::Private(octets)) => message.put(octets),
                Some(Source::Shared(map, at, len)) => {
                    let mut octets = [0; SLOT_LEN];
                    for start in (0..len).step_by(SLOT_LEN) {
                        let some = &mut octets[..SLOT_LEN.min(len - start)];
                        map.read(at + start, some);
                        message.put(some);
                    }
                }
                None => return Err(Room::There),
            }
        }
        message.send(envelope.header());
        let job = ReadJob { done: job.done + len as u32, ..job };
        Ok((last == 0).then_some(job))
    }

    fn reply(&self, kind: Kind, flags: u16, device: &Device) -> Envelope {
        Envelope {
            kind,
            qpn: self.req.peer_qpn(),
            len: 0,
            flags,
            life: self.req.peer_life(device),
            answered: self.resp.answered as u16,
            argument: 0,
        }
    }

    /// Whether a message is for this queue pair as it is now.
    #[inline]
    pub(super) const fn hears(&self, envelope: &Envelope) -> bool {
        envelope.qpn == self.qpn.value() && envelope.life == self.life && self.is_open()
    }
}

/// Copies a message's payload to where the receive wants it. The octets are
/// read from the ring once.
#[inline]
fn pour(ring: &Ring, len: usize, sges: &[Sge], pd: u32, cursor: &mut Cursor, memory: &MemoryTable) -> bool {
    let mut buffer = [0; SLOT_LEN];
    for start in (0..len).step_by(SLOT_LEN) {
        let some = &mut buffer[..SLOT_LEN.min(len - start)];
        ring.read(start, some);
        if !memory.scatter(pd, sges, cursor, some) {
            return false;
        }
    }
    true
}
