//! What a NIC in hardware would do by itself, done whenever its owner calls:
//! messages in, requests on, completions out.

use smolsmc_verbs::QpHandle;
use smolsmc_wire::Duration;

use super::ShmNic;
use super::board::Board;
use super::message::{Envelope, flag};
use super::notes::Note;
use crate::error::WireFault;
use crate::layout;
use crate::sync::bell::wish;

/// Messages of one wire taken in one go: more wait their turn, so that nobody
/// waits for ever.
const BATCH: u32 = 64;

/// How often the clock is looked at: it costs as much as a few turns.
const CLOCK_LOOKS: u32 = 64;

/// How often peers and patience are looked at, at most.
const TICK: Duration = Duration::from_millis(1);

impl ShmNic {
    /// Does what can be done now. Every call that polls does this first; who
    /// only looks at memory calls it.
    #[inline]
    pub fn progress(&mut self) {
        self.turns = self.turns.wrapping_add(1);
        self.board.is_tick = self.turns.is_multiple_of(CLOCK_LOOKS) && self.is_time();
        if self.board.is_tick {
            self.look_around();
        }
        for index in 0..self.board.devices().len() {
            self.messages_in(index);
        }
        if !self.board.active.is_empty() {
            self.queue_pairs_on();
        }
        self.settle();
        if self.has_wishes && self.board.cqs.is_unarmed() {
            self.forget_wishes();
        }
    }

    /// Whether it is time for what need not be done every time. By the clock, and
    /// not by turns alone: who polls seldom shall not notice late.
    #[cold]
    fn is_time(&mut self) -> bool {
        let now = Board::now();
        let is_time = now.since(self.ticked) >= TICK;
        if is_time {
            self.ticked = now;
        }
        is_time
    }

    /// What need not be done every time: whether the peers are there.
    #[cold]
    fn look_around(&mut self) {
        for device in self.board.devices() {
            if !device.gone && device.wire.fault().is_none() {
                device.wire.look_for_peer();
            }
        }
        self.note_ports();
    }

    /// Notes ports whose state changed; whether there are any.
    pub(super) fn note_ports(&mut self) -> bool {
        let mut any = false;
        for index in 0..self.board.devices().len() {
            let device = self.board.device_mut(index);
            if !device.gone && device.port_changed() {
                let name = device.name();
                self.board.notes.push_once(Note::PortState(name));
                any = true;
            }
        }
        any
    }

    /// Takes messages of one wire.
    #[inline]
    fn messages_in(&mut self, index: usize) {
        let device = self.board.device_mut(index);
        if device.incoming.peek().is_none() {
            if device.owes {
                // Nothing goes back that would carry it: the peer may sleep.
                device.owes = false;
                device.ring_for(wish::PROGRESS);
            }
            return;
        }
        if device.gone || device.wire.fault().is_some() {
            return;
        }
        let mut batch = 0;
        while batch < BATCH
            && let Some(header) = self.board.device(index).incoming.peek()
        {
            batch += 1;
            if !self.take(index, Envelope::read(header)) {
                self.board.device(index).wire.condemn(WireFault::Message);
                self.note_ports();
                return;
            }
        }
        let device = self.board.device_mut(index);
        device.incoming.publish(device.wire.own.word(layout::CONSUMED));
        device.owes = true;
        self.board.counters.messages_in += u64::from(batch);
    }

    /// Takes one message; `false` if there can be none such.
    #[inline]
    fn take(&mut self, index: usize, envelope: Option<Envelope>) -> bool {
        let Some(envelope) = envelope else { return false };
        let len = usize::from(envelope.len);
        let device = self.board.device_mut(index);
        if len > device.incoming.max_len() || envelope.flags > (flag::FIRST | flag::LAST | flag::SOLICITED) {
            return false;
        }
        let place = envelope.qpn & (self.limits.max_qp - 1);
        match self.qps.get_mut(place) {
            Some(qp) if qp.device == index && qp.hears(&envelope) => {
                qp.take(&envelope, &mut self.board);
                self.board.activate(qp);
            }
            _ => self.board.counters.strays += 1,
        }
        self.board.device_mut(index).incoming.advance(len);
        true
    }

    /// Lets queue pairs with something to do go on.
    #[inline]
    fn queue_pairs_on(&mut self) {
        let mut n = 0;
        while let Some(&place) = self.board.active.get(n) {
            let is_idle = match self.qps.get_mut(place) {
                None => true,
                Some(qp) => {
                    qp.ask(&mut self.board);
                    qp.respond(&mut self.board);
                    qp.is_active = qp.has_work();
                    !qp.is_active
                }
            };
            if is_idle {
                self.board.active.swap_remove(n);
            } else {
                n += 1;
            }
        }
    }

    /// Does what a completion queue that overflowed means for its queue pairs.
    #[inline]
    pub(super) fn settle(&mut self) {
        while let Some((index, handle)) = self.board.cqs.next_lost() {
            self.board.counters.cq_overflows += 1;
            self.board.notes.push(Note::CqError(handle));
            for qp in self.qps.iter_mut().filter(|qp| qp.send_cq == index || qp.recv_cq == index) {
                qp.fail(&mut self.board);
            }
        }
    }

    /// A queue pair is no more.
    pub(super) fn forget_active(&mut self, qp: QpHandle) {
        self.board.active.retain(|place| *place != qp.index());
    }
}
