//! The responder: a ladder. A request climbs rung by rung and is executed at the
//! top, or falls (IBTA §9.7.4; the order is that of Linux 6.12 `rdma_rxe`).
//!
//! ```text
//!   PSN -> order -> allowed -> resources -> length -> memory -> execute -> acknowledge
//!    |       |         |           |           |         |         |
//!    |       `---------+-----------|-----------+---------+---------'--> Refused: NAK, ERR
//!    |                             `--> NotReady: RNR NAK, PSN not consumed
//!    |`--> Ahead: one NAK 0x60 per gap
//!    `--> Duplicate: ACK again, never execute again (but an RDMA READ)
//! ```

use smolsmc_verbs::{Access, Completion, QpState, RtrAttributes, WcOpcode, WcStatus};
use smolsmc_wire::{Msn, Psn, Rkey};

use crate::packet::{Ext, NakCode, OpcodeFacts, Operation, Position, RnrTimer, RocePacket};

use super::answers::{Owed, ReadJobs};
use super::board::Board;
use super::config::MAX_MESSAGE;
use super::memory::Cursor;
use super::qp::Qp;
use super::queues::packets;

/// The message whose packets are coming in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Message {
    #[default]
    None,
    /// A SEND, of which `got` octets are in the front receive.
    Send { got: u32, cursor: Cursor },
    /// An RDMA WRITE, `left` octets of which are missing, the next one at `at`.
    Write { rkey: Rkey, at: u64, left: u32, total: u32 },
}

/// The state of a responder.
#[derive(Debug, Default)]
pub(super) struct Responder {
    pub(super) expected: Psn,
    pub(super) msn: Msn,
    message: Message,
    pub(super) owed: Owed,
    /// A NAK for the packet that is expected was sent or is owed.
    pub(super) complained: bool,
    /// The PSN after the last packet that was dropped since then.
    pub(super) gap_end: Psn,
    pub(super) rnr_timer: u8,
    pub(super) reads: ReadJobs,
}

/// How a request falls from the ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fall {
    /// It came before.
    Duplicate,
    /// One before it is missing.
    Ahead,
    /// No receive is posted.
    NotReady,
    /// The NAK, and what becomes of the receive that was to take the message.
    Refused(NakCode, Option<WcStatus>),
}

/// What a rung says: on to the next one, or down.
type Rung = Result<(), Fall>;

const INVALID: Rung = Err(Fall::Refused(NakCode::INVALID_REQUEST, None));
const TOO_LONG: Rung = Err(Fall::Refused(NakCode::INVALID_REQUEST, Some(WcStatus::LocalLength)));
/// Our own receive names memory it may not fill.
const OWN_FAULT: Rung =
    Err(Fall::Refused(NakCode::REMOTE_OPERATIONAL_ERROR, Some(WcStatus::LocalProtection)));

/// A request on the ladder.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) packet: &'a RocePacket<'a>,
    pub(super) facts: OpcodeFacts,
}

impl Request<'_> {
    fn takes_receive(&self) -> bool {
        match self.facts.operation {
            Operation::Send => self.facts.position.is_start(),
            Operation::Write => self.packet.ext.imm().is_some(),
            _ => false,
        }
    }

    fn len(&self) -> u32 {
        self.packet.payload.len() as u32
    }
}

impl Responder {
    pub(super) fn new(to: &RtrAttributes) -> Self {
        Self {
            expected: to.rq_psn,
            rnr_timer: to.min_rnr_timer,
            reads: ReadJobs::new(to.max_dest_rd_atomic),
            ..Self::default()
        }
    }

    /// Nothing is answered any more. Only a refusal is still told, after the
    /// RDMA READs before it.
    pub(super) fn stop(&mut self) {
        self.message = Message::None;
        if !matches!(self.owed, Owed::Refusal(..)) {
            self.reads.clear();
            self.owed = Owed::Nothing;
        }
    }
}

impl Qp {
    /// A request packet that passed every check on its way here.
    #[inline]
    pub(super) fn take_request(&mut self, request: &Request<'_>, board: &mut Board) {
        match self.climb(request, board) {
            Ok(()) => {}
            Err(Fall::Duplicate) => self.answer_again(request, board),
            Err(Fall::Ahead) => self.complain(request, board),
            Err(Fall::NotReady) => self.not_ready(request),
            Err(Fall::Refused(code, status)) => self.refuse(code, status, board),
        }
        self.wake_answer(board);
    }

    #[inline]
    fn climb(&mut self, request: &Request<'_>, board: &mut Board) -> Rung {
        self.check_psn(request)?;
        self.check_order(request)?;
        self.check_allowed(request)?;
        self.check_resources(request)?;
        self.check_length(request)?;
        self.check_memory(request, board)?;
        self.execute(request, board)?;
        self.acknowledge(request);
        Ok(())
    }

    #[inline]
    fn check_psn(&self, request: &Request<'_>) -> Rung {
        match request.packet.bth.psn.distance_from(self.resp.expected) {
            0 => Ok(()),
            behind if behind < 0 => Err(Fall::Duplicate),
            _ => Err(Fall::Ahead),
        }
    }

    #[inline]
    fn check_order(&self, request: &Request<'_>) -> Rung {
        let OpcodeFacts { operation, position, .. } = request.facts;
        let fits = match self.resp.message {
            Message::None => position.is_start(),
            Message::Send { .. } => operation == Operation::Send && !position.is_start(),
            Message::Write { .. } => operation == Operation::Write && !position.is_start(),
        };
        if fits { Ok(()) } else { INVALID }
    }

    #[inline]
    fn check_allowed(&self, request: &Request<'_>) -> Rung {
        let allowed = match request.facts.operation {
            // To invalidate a registration is not offered.
            Operation::Send => !matches!(request.packet.ext, Ext::Ieth(_)),
            Operation::Write => self.access.contains(Access::REMOTE_WRITE),
            Operation::ReadRequest => self.access.contains(Access::REMOTE_READ),
            // Atomics are not offered either.
            _ => false,
        };
        if allowed { Ok(()) } else { INVALID }
    }

    #[inline]
    fn check_resources(&mut self, request: &Request<'_>) -> Rung {
        if request.takes_receive() && self.rq.len() == 0 {
            return Err(Fall::NotReady);
        }
        // A peer with more RDMA READs than it was granted breaks the rules.
        if request.facts.operation == Operation::ReadRequest && !self.resp.reads.make_room() {
            return INVALID;
        }
        Ok(())
    }

    #[inline]
    fn check_length(&self, request: &Request<'_>) -> Rung {
        let (len, mtu) = (request.len(), self.path.as_ref().map_or(0, |path| path.mtu));
        let position = request.facts.position;
        let fills = match position {
            Position::First | Position::Middle => len == mtu,
            Position::Last => len > 0 && len <= mtu,
            Position::Only => len <= mtu,
        };
        if !fills {
            return INVALID;
        }
        match request.facts.operation {
            Operation::Send => self.check_room(len),
            Operation::Write => self.check_total(request, len),
            _ if len > 0 || request.packet.ext.reth().is_none_or(|r| u64::from(r.dma_len) > MAX_MESSAGE) => {
                INVALID
            }
            _ => Ok(()),
        }
    }

    /// Whether a SEND still fits its receive.
    #[inline]
    fn check_room(&self, len: u32) -> Rung {
        let got = match self.resp.message {
            Message::Send { got, .. } => got,
            _ => 0,
        };
        match self.rq.front() {
            Some((wqe, _)) if u64::from(got) + u64::from(len) <= wqe.room => Ok(()),
            _ => TOO_LONG,
        }
    }

    /// Whether the packets of an RDMA WRITE add up to what its first announced.
    #[inline]
    fn check_total(&self, request: &Request<'_>, len: u32) -> Rung {
        let left = match (request.packet.ext.reth(), self.resp.message) {
            (Some(reth), _) => reth.dma_len,
            (None, Message::Write { left, .. }) => left,
            _ => return INVALID,
        };
        let adds_up = if request.facts.position.is_end() { left == len } else { left > len };
        if adds_up && u64::from(left) <= MAX_MESSAGE { Ok(()) } else { INVALID }
    }

    #[inline]
    fn check_memory(&self, request: &Request<'_>, board: &Board) -> Rung {
        let (pd, memory) = (self.pd, &board.memory);
        let reachable = match (request.facts.operation, request.packet.ext.reth(), self.resp.message) {
            (Operation::Send, _, Message::None) => {
                let own = self.rq.front().is_some_and(|(_, s)| memory.allows(pd, s, Access::LOCAL_WRITE));
                return if own { Ok(()) } else { OWN_FAULT };
            }
            (Operation::Send, ..) => true,
            // Keys of nothing are not looked at.
            (_, Some(reth), _) if reth.dma_len == 0 => true,
            (Operation::Write, Some(reth), _) => {
                memory.reachable(pd, reth.rkey, reth.vaddr, reth.dma_len, Access::REMOTE_WRITE)
            }
            (Operation::ReadRequest, Some(reth), _) => {
                memory.reachable(pd, reth.rkey, reth.vaddr, reth.dma_len, Access::REMOTE_READ)
            }
            // The registration may have ended since the first packet.
            (_, None, Message::Write { rkey, at, .. }) => {
                memory.reachable(pd, rkey, at, request.len(), Access::REMOTE_WRITE)
            }
            _ => false,
        };
        if reachable {
            return Ok(());
        }
        let receive = request.takes_receive().then_some(WcStatus::LocalAccess);
        Err(Fall::Refused(NakCode::REMOTE_ACCESS_ERROR, receive))
    }

    #[inline]
    fn execute(&mut self, request: &Request<'_>, board: &mut Board) -> Rung {
        match request.facts.operation {
            Operation::Send => self.execute_send(request, board)?,
            Operation::Write => self.execute_write(request, board),
            _ => return self.execute_read(request, board),
        }
        self.resp.expected = self.resp.expected.add(1);
        if request.facts.position.is_end() {
            self.resp.msn = self.resp.msn.next();
            self.message_done(request, board);
        }
        Ok(())
    }

    /// Takes as many PSNs as there will be responses. The MSN counts it at once
    /// (IBTA §9.7.7.1).
    fn execute_read(&mut self, request: &Request<'_>, board: &mut Board) -> Rung {
        let (Some(reth), Some(path)) = (request.packet.ext.reth(), &self.path) else { return INVALID };
        let taken = packets(reth.dma_len, path.mtu);
        self.resp.reads.add(self.resp.expected, taken, reth);
        self.resp.expected = self.resp.expected.add(taken);
        self.resp.msn = self.resp.msn.next();
        self.wake(board);
        Ok(())
    }

    #[inline]
    fn execute_send(&mut self, request: &Request<'_>, board: &mut Board) -> Rung {
        let (mut got, mut cursor) = match self.resp.message {
            Message::Send { got, cursor } => (got, cursor),
            _ => (0, Cursor::default()),
        };
        let Some((_, sges)) = self.rq.front() else { return OWN_FAULT };
        got += request.len();
        let done = board.memory.scatter(self.pd, sges, &mut cursor, request.packet.payload);
        self.resp.message = Message::Send { got, cursor };
        if done { Ok(()) } else { OWN_FAULT }
    }

    #[inline]
    fn execute_write(&mut self, request: &Request<'_>, board: &mut Board) {
        let (rkey, at, left, total) = match (request.packet.ext.reth(), self.resp.message) {
            (Some(reth), _) => (reth.rkey, reth.vaddr, reth.dma_len, reth.dma_len),
            (None, Message::Write { rkey, at, left, total }) => (rkey, at, left, total),
            _ => return,
        };
        let len = request.len();
        if len > 0
            && let Some(into) = board.memory.peer_writes(self.pd, rkey, at, len)
        {
            into.copy_from_slice(request.packet.payload);
        }
        let at = at.wrapping_add(u64::from(len));
        self.resp.message = Message::Write { rkey, at, left: left.saturating_sub(len), total };
    }

    /// The last packet of a SEND or RDMA WRITE is in its place.
    #[inline]
    fn message_done(&mut self, request: &Request<'_>, board: &mut Board) {
        let message = core::mem::take(&mut self.resp.message);
        let immediate = request.packet.ext.imm().map(|imm| imm.0);
        let (opcode, byte_len) = match message {
            Message::Send { got, .. } => (WcOpcode::Receive, got),
            Message::Write { total, .. } if immediate.is_some() => {
                (WcOpcode::ReceiveWriteWithImmediate, total)
            }
            _ => return,
        };
        let Some(wqe) = self.rq.pop() else { return };
        let status = WcStatus::Success;
        let completion =
            Completion { wr_id: wqe.wr_id, qp: self.handle, status, opcode, byte_len, immediate };
        board.complete(self.recv_cq, completion, request.packet.bth.solicited);
    }

    /// The expected packet has come. A complaint that was not sent yet still
    /// holds if packets after it were dropped.
    #[inline]
    fn acknowledge(&mut self, request: &Request<'_>) {
        let resp = &mut self.resp;
        let asked = request.packet.bth.ack_request && request.facts.operation != Operation::ReadRequest;
        resp.owed = match resp.owed {
            Owed::SequenceNak | Owed::RnrNak if resp.expected.is_before(resp.gap_end) => Owed::SequenceNak,
            Owed::SequenceNak | Owed::RnrNak => Owed::Ack,
            Owed::Nothing if asked => Owed::Ack,
            owed => owed,
        };
        resp.complained = resp.owed == Owed::SequenceNak;
    }

    #[cold]
    fn answer_again(&mut self, request: &Request<'_>, board: &mut Board) {
        board.counters.duplicates += 1;
        self.counters.duplicates += 1;
        if request.facts.operation == Operation::ReadRequest {
            if !self.read_again(request, board) {
                board.counters.dropped.repeated_read += 1;
            }
        } else if self.resp.owed == Owed::Nothing {
            self.resp.owed = Owed::Ack;
        }
    }

    #[cold]
    fn complain(&mut self, request: &Request<'_>, board: &mut Board) {
        board.counters.dropped.ahead += 1;
        self.counters.ahead += 1;
        let after = request.packet.bth.psn.add(1);
        let resp = &mut self.resp;
        if !resp.complained {
            resp.complained = true;
            resp.gap_end = after;
            resp.owed = Owed::SequenceNak;
        } else if resp.gap_end.is_before(after) {
            resp.gap_end = after;
        }
    }

    /// No receive is posted. This is the complaint about this packet: what
    /// follows it is dropped in silence (IBTA §9.7.5.2.8), where Linux 6.12
    /// `rdma_rxe` sends a NAK 0x60 too, which cuts the peer's wait short.
    #[cold]
    fn not_ready(&mut self, request: &Request<'_>) {
        let resp = &mut self.resp;
        if !resp.complained {
            resp.complained = true;
            resp.gap_end = request.packet.bth.psn.add(1);
        }
        resp.owed = Owed::RnrNak;
    }

    /// Says no for good, and goes to ERR.
    #[cold]
    fn refuse(&mut self, code: NakCode, status: Option<WcStatus>, board: &mut Board) {
        self.resp.owed = Owed::Refusal(code, self.resp.expected);
        match status {
            Some(status) => self.fail_receive(status, board),
            None => self.fail(board),
        }
        self.wake(board);
    }

    /// Whether requests are answered at all.
    pub(super) const fn answers(&self) -> bool {
        matches!(self.state, QpState::ReadyToReceive | QpState::ReadyToSend)
    }

    /// Whether there may be requests that wait for responses.
    pub(super) const fn sends(&self) -> bool {
        matches!(self.state, QpState::ReadyToSend)
    }

    pub(super) const fn rnr_timer(&self) -> RnrTimer {
        RnrTimer::from_code(self.resp.rnr_timer)
    }
}
