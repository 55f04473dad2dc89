//! Frames in and out, and the clock.

use smolsmc_verbs::{FrameEngine, PortState, RdmaPort};
use smolsmc_wire::Instant;

use super::SoftNic;
use super::path::{Emitted, Plan};
use super::qp::Qp;

/// The next packet of a port.
enum Next {
    Answer(u32, Plan),
    ReadResponse(u32, Plan),
    Request(u32, Plan),
    /// The refusal of a queue pair that is gone.
    LastWord(usize, Plan),
}

impl FrameEngine for SoftNic {
    #[inline]
    fn claims(&self, port: RdmaPort, frame: &[u8]) -> bool {
        self.is_ours(port, frame)
    }

    #[inline]
    fn take(&mut self, now: Instant, port: RdmaPort, frame: &[u8]) {
        self.board.tick(now);
        self.take_frame(port, frame);
        self.settle();
    }

    #[inline]
    fn take_own(&mut self, now: Instant, port: RdmaPort, frame: &[u8]) -> bool {
        if !Self::may_be_ours(frame) {
            return false;
        }
        self.board.tick(now);
        let is_ours = self.take_if_ours(port, frame);
        self.settle();
        is_ours
    }

    #[inline]
    fn next_len(&mut self, now: Instant, port: RdmaPort) -> Option<usize> {
        self.board.tick(now);
        while let Some((_, next)) = self.next(port) {
            if let Some(len) = self.len_of(&next) {
                return Some(len);
            }
        }
        self.settle();
        None
    }

    #[inline]
    fn emit(&mut self, now: Instant, port: RdmaPort, out: &mut [u8]) -> usize {
        self.board.tick(now);
        let mut len = 0;
        while let Some((slot, next)) = self.next(port) {
            match self.emit_next(slot, &next, out) {
                Emitted::Frame(octets) => {
                    len = octets;
                    break;
                }
                Emitted::TooShort => break,
                // Something failed and completed; what comes next?
                Emitted::Failed => {}
            }
        }
        self.settle();
        len
    }

    fn poll_at(&self) -> Option<Instant> {
        self.board.timers.next()
    }

    fn run_timers(&mut self, now: Instant) {
        self.board.tick(now);
        while let Some(index) = self.board.timers.pop(self.board.now) {
            if let Some(qp) = self.qps.get_mut(index) {
                qp.timer_due(&mut self.board);
            }
        }
        self.settle();
    }
}

impl SoftNic {
    /// What `port` sends next. Queue pairs that have nothing after all lose
    /// their place in the queue.
    #[inline]
    fn next(&mut self, port: RdmaPort) -> Option<(u32, Next)> {
        let slot = self.port_slot(port)?;
        if self.board.ports.get(slot)?.state != PortState::Active {
            self.send_into_the_void(slot);
            return None;
        }
        if let Some((index, plan)) = self.gone.plan(slot) {
            return Some((slot, Next::LastWord(index, plan)));
        }
        loop {
            let schedule = &mut self.board.ports.get_mut(slot)?.schedule;
            if let Some(&index) = schedule.answers.front() {
                let plan = self.qps.get(index).and_then(|qp| qp.plan_answer());
                if let Some(plan) = plan {
                    return Some((slot, Next::Answer(index, plan)));
                }
                schedule.answers.pop_front();
                self.lost_place(index, |qp| &mut qp.has_answer);
                continue;
            }
            let index = schedule.turn()?;
            if let Some(qp) = self.qps.get(index) {
                if let Some(plan) = qp.plan_read_response() {
                    return Some((slot, Next::ReadResponse(index, plan)));
                }
                if let Some(plan) = qp.plan_request(self.board.window) {
                    return Some((slot, Next::Request(index, plan)));
                }
            }
            schedule.pass();
            self.lost_place(index, |qp| &mut qp.has_turn);
        }
    }

    /// The length of the frame that [`emit`](FrameEngine::emit) will write, of
    /// which it is certain: what would fail there fails here, and is `None`.
    #[inline]
    fn len_of(&mut self, next: &Next) -> Option<usize> {
        let (index, plan) = match next {
            Next::LastWord(index, plan) => return self.gone.len_of(*index, plan),
            Next::Answer(index, plan) | Next::ReadResponse(index, plan) | Next::Request(index, plan) => {
                (index, plan)
            }
        };
        let qp = self.qps.get_mut(*index)?;
        let fine = match next {
            Next::Answer(..) | Next::LastWord(..) => true,
            Next::ReadResponse(..) => qp.is_readable(&mut self.board),
            Next::Request(..) => qp.is_sendable(&mut self.board),
        };
        if fine { Some(qp.path.as_ref()?.frame_len(plan)) } else { None }
    }

    #[inline]
    fn lost_place(&mut self, index: u32, flag: impl Fn(&mut Qp) -> &mut bool) {
        if let Some(qp) = self.qps.get_mut(index) {
            *flag(qp) = false;
        }
    }

    #[inline]
    fn emit_next(&mut self, slot: u32, next: &Next, out: &mut [u8]) -> Emitted {
        let index = match *next {
            Next::LastWord(index, ref plan) => return self.gone.emit(index, plan, &mut self.board, out),
            Next::Answer(index, _) | Next::ReadResponse(index, _) | Next::Request(index, _) => index,
        };
        let Some(qp) = self.qps.get_mut(index) else { return Emitted::Failed };
        let board = &mut self.board;
        let emitted = match next {
            Next::Answer(_, plan) => qp.emit_answer(plan, board, out),
            Next::ReadResponse(_, plan) => qp.emit_read_response(plan, board, out),
            Next::Request(_, plan) => qp.emit_request(plan, board, out),
            Next::LastWord(..) => Emitted::Failed,
        };
        let Emitted::Frame(len) = emitted else { return emitted };
        qp.counters.packets_out += 1;
        board.counters.frames_out += 1;
        board.counters.octets_out += len as u64;
        if let Some(port) = board.ports.get_mut(slot) {
            match next {
                Next::Answer(..) => {
                    qp.has_answer = false;
                    port.schedule.answers.pop_front();
                }
                Next::ReadResponse(..) | Next::Request(..) | Next::LastWord(..) => port.schedule.sent(),
            }
        }
        emitted
    }

    /// What a port that is down is given to send is lost: the requesters wait
    /// for their ACK in vain, as they would with a cable pulled.
    #[cold]
    fn send_into_the_void(&mut self, slot: u32) {
        self.gone.forget_owed(slot);
        loop {
            let Some(port) = self.board.ports.get_mut(slot) else { return };
            let Some(index) = port.schedule.pass() else { break };
            if let Some(qp) = self.qps.get_mut(index) {
                qp.has_turn = false;
                qp.resp.reads.clear();
                if qp.has_request(self.board.window) {
                    qp.start_timer(&mut self.board);
                }
            }
        }
        while let Some(port) = self.board.ports.get_mut(slot) {
            let Some(index) = port.schedule.answers.pop_front() else { break };
            if let Some(qp) = self.qps.get_mut(index) {
                qp.has_answer = false;
                qp.resp.forget_owed();
            }
        }
    }
}
