//! Queue pairs that were destroyed, for a while: what a peer still asks of one
//! is refused, so that it ends too.
//!
//! IBTA has packets for a queue pair that is not there dropped in
//! silence, and hardware does that. A peer whose retries never end, as those of
//! Linux 6.12 `rdma_rxe` with a retry count of 7, then asks for ever, and who
//! waits there for its requests hangs for ever. So whoever counts retries hears
//! the silence that is due, and a peer that still asks after [`SILENT_FOR`] is
//! refused. That takes nothing that a silence would not: it goes only to the queue pair's own peer, only as an answer
//! to a sound request, and acknowledges only what was received.

use alloc::collections::VecDeque;

use smolsmc_wire::{Duration, Instant, Msn, Psn, Qpn};

use crate::packet::{Aeth, Direction, Ext, NakCode, Opcode, OpcodeFacts, RocePacket, Syndrome};

use super::board::Board;
use super::path::{Emitted, Path, Plan};
use super::qp::Qp;

/// So long a destroyed queue pair is remembered, unless newer ones take all
/// places ([`Limits::gone_qps`](super::Limits::gone_qps)): as long as a link group
/// that nobody uses.
pub const GONE_FOR: Duration = Duration::from_secs(600);

/// So long a peer that asks is not answered: its retries, if they end at all, have
/// ended by then.
pub const SILENT_FOR: Duration = Duration::from_secs(2);

/// A queue pair that was destroyed.
#[derive(Debug)]
struct Gone {
    qpn: Qpn,
    port: u32,
    path: Path,
    expected: Psn,
    msn: Msn,
    until: Instant,
    /// When its peer was first heard.
    asked: Option<Instant>,
    /// A refusal is owed.
    owes: bool,
}

/// The queue pairs destroyed last, oldest first.
#[derive(Debug)]
pub(super) struct GoneQps {
    list: VecDeque<Gone>,
    room: usize,
    /// How many owe a refusal.
    owing: usize,
}

impl GoneQps {
    pub(super) fn new(room: u32) -> Self {
        let room = room as usize;
        Self { list: VecDeque::with_capacity(room), room, owing: 0 }
    }

    /// Remembers a queue pair, if it ever had a peer.
    pub(super) fn bury(&mut self, qp: Qp, now: Instant) {
        let Some(path) = qp.path.filter(|_| self.room > 0) else { return };
        if self.list.len() >= self.room
            && let Some(oldest) = self.list.pop_front()
        {
            self.owing -= usize::from(oldest.owes);
        }
        let (expected, msn) = (qp.resp.expected, qp.resp.msn);
        self.list.push_back(Gone {
            qpn: qp.qpn,
            port: qp.port,
            path,
            expected,
            msn,
            until: now + GONE_FOR,
            asked: None,
            owes: false,
        });
    }

    /// A port is there no more, and its place may be another's.
    pub(super) fn forget_port(&mut self, port: u32) {
        self.list.retain(|gone| gone.port != port);
        self.owing = self.list.iter().filter(|gone| gone.owes).count();
    }

    /// A packet for a queue pair that is not there.
    #[cold]
    pub(super) fn hear(&mut self, port: u32, packet: &RocePacket<'_>, facts: OpcodeFacts, now: Instant) {
        if facts.direction != Direction::Request {
            return;
        }
        // The number may have been used more than once.
        let number = packet.bth.dest_qpn;
        let Some(gone) = self.list.iter_mut().rfind(|gone| gone.qpn == number && gone.port == port) else {
            return;
        };
        let right = gone.path.is_from_peer(packet) && packet.bth.pkey & 0x7fff == 0x7fff;
        if !right || gone.owes || now >= gone.until || packet.verify_icrc().is_err() {
            return;
        }
        if now < *gone.asked.get_or_insert(now) + SILENT_FOR {
            return;
        }
        gone.owes = true;
        self.owing += 1;
    }

    /// The next refusal for a port.
    #[inline]
    pub(super) fn plan(&self, port: u32) -> Option<(usize, Plan)> {
        if self.owing == 0 {
            return None;
        }
        let index = self.list.iter().position(|gone| gone.owes && gone.port == port)?;
        let gone = self.list.get(index)?;
        let syndrome = Syndrome::Nak { code: NakCode::REMOTE_OPERATIONAL_ERROR };
        let plan = Plan {
            opcode: Opcode::ACK,
            ext: Ext::Aeth(Aeth { syndrome, msn: gone.msn }),
            psn: gone.expected,
            payload_len: 0,
            ack_request: false,
            solicited: false,
        };
        Some((index, plan))
    }

    pub(super) fn len_of(&self, index: usize, plan: &Plan) -> Option<usize> {
        Some(self.list.get(index)?.path.frame_len(plan))
    }

    /// Writes a planned refusal.
    #[cold]
    pub(super) fn emit(&mut self, index: usize, plan: &Plan, board: &mut Board, out: &mut [u8]) -> Emitted {
        let Some(gone) = self.list.get_mut(index) else { return Emitted::Failed };
        let Some(frame) = gone.path.open(plan, board.next_identification(), out) else {
            return Emitted::TooShort;
        };
        let len = frame.seal();
        gone.owes = false;
        self.owing -= 1;
        board.counters.naks_sent.operational += 1;
        board.counters.frames_out += 1;
        board.counters.octets_out += len as u64;
        Emitted::Frame(len)
    }

    /// Said on a port that is down: nobody heard it.
    pub(super) fn forget_owed(&mut self, port: u32) {
        if self.owing == 0 {
            return;
        }
        for gone in self.list.iter_mut().filter(|gone| gone.port == port && gone.owes) {
            gone.owes = false;
            self.owing -= 1;
        }
    }
}
