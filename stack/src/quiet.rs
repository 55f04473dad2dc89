//! What is left of a TCP connection whose octets go over SMC-R: no buffers, a
//! few numbers. It answers keepalive probes, takes and gives FIN, notes a RST.

use smolsmc_wire::{Duration, Instant};

use crate::port::Segment;
use crate::time_wait::LastWords;

/// TCP without octets (RFC 9293 §3.3.2, from ESTABLISHED on).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quiet {
    /// Of the next octet we would send.
    next: u32,
    /// Of the next octet the peer would send.
    expected: u32,
    state: State,
    /// An ACK, a RST, or a FIN is to be sent.
    owes_ack: bool,
    owes_reset: bool,
    owes_fin: bool,
    /// How often the FIN was sent, and when it is sent again.
    tries: u8,
    again_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Established,
    FinWait1,
    FinWait2,
    Closing,
    CloseWait,
    LastAck,
    TimeWait,
    /// Closed, or given up.
    Over,
}

/// A segment to be sent; none carries octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bare {
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) fin: bool,
    pub(crate) reset: bool,
}

/// Octets the peer may send: none are expected, but a window of 0 would make it
/// probe.
pub(crate) const WINDOW: u16 = 4096;

const FIRST_TRY: Duration = Duration::from_secs(1);
const TRIES: u8 = 6;

impl Quiet {
    /// An established connection on which all is acknowledged: the numbers of
    /// the next octet each way.
    pub(crate) const fn new(next: u32, expected: u32) -> Self {
        Self {
            next,
            expected,
            state: State::Established,
            owes_ack: false,
            owes_reset: false,
            owes_fin: false,
            tries: 0,
            again_at: None,
        }
    }

    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.state, State::TimeWait | State::Over)
    }

    /// The numbers to wait with, in TIME-WAIT.
    pub(crate) fn time_wait(&self) -> Option<LastWords> {
        let words = LastWords { next: self.next.wrapping_add(self.fin_sent()), expected: self.expected };
        (self.state == State::TimeWait).then_some(words)
    }

    /// The peer will send no more.
    pub(crate) const fn is_at_end(&self) -> bool {
        !matches!(self.state, State::Established | State::FinWait1 | State::FinWait2)
    }

    /// Nothing is to be sent.
    pub(crate) const fn is_silent(&self) -> bool {
        !self.owes_ack && !self.owes_reset && !self.owes_fin
    }

    pub(crate) const fn due(&self) -> Option<Instant> {
        self.again_at
    }

    pub(crate) const fn close(&mut self) {
        self.state = match self.state {
            State::Established => State::FinWait1,
            State::CloseWait => State::LastAck,
            _ => return,
        };
        self.owes_fin = true;
    }

    pub(crate) const fn abort(&mut self) {
        if !self.is_over() {
            self.owes_reset = true;
        }
        self.end();
    }

    const fn end(&mut self) {
        self.end_in(State::Over);
    }

    const fn end_in(&mut self, state: State) {
        self.state = state;
        self.owes_fin = false;
        self.again_at = None;
    }

    /// A segment of the peer.
    pub(crate) const fn hear(&mut self, segment: &Segment) {
        let ahead = segment.seq.wrapping_sub(self.expected);
        if segment.reset {
            // RFC 5961 §3.2: only the expected number counts.
            if ahead == 0 {
                self.owes_ack = false;
                self.end();
            }
            return;
        }
        if self.is_over() {
            // TIME-WAIT: our last ACK may have been lost.
            self.owes_ack = segment.fin;
            return;
        }
        if segment.has_ack && segment.ack == self.next.wrapping_add(self.fin_sent()) && self.fin_sent() == 1 {
            self.fin_acknowledged();
        }
        if ahead != 0 || segment.payload_len > 0 {
            // A keepalive probe, a repetition, or octets, of which there should be
            // none: what is expected is said again.
            self.owes_ack |= segment.payload_len > 0 || segment.fin || ahead != 0;
            return;
        }
        if segment.fin {
            self.expected = self.expected.wrapping_add(1);
            self.owes_ack = true;
            match self.state {
                State::Established => self.state = State::CloseWait,
                State::FinWait1 => self.state = State::Closing,
                State::FinWait2 => self.end_in(State::TimeWait),
                _ => {}
            }
        }
    }

    const fn fin_sent(&self) -> u32 {
        (self.tries > 0) as u32
    }

    const fn fin_acknowledged(&mut self) {
        match self.state {
            State::FinWait1 => {
                self.state = State::FinWait2;
                self.again_at = None;
                self.owes_fin = false;
            }
            State::Closing => self.end_in(State::TimeWait),
            State::LastAck => self.end(),
            _ => {}
        }
    }

    /// What is due at `now`.
    pub(crate) fn run_timer(&mut self, now: Instant) {
        if self.again_at.is_some_and(|at| at <= now) {
            self.again_at = None;
            if self.tries >= TRIES {
                self.end();
            } else {
                self.owes_fin = true;
            }
        }
    }

    /// The next segment to be sent.
    pub(crate) fn next_segment(&mut self, now: Instant) -> Option<Bare> {
        let fin_done = self.fin_sent();
        if core::mem::take(&mut self.owes_reset) {
            self.owes_ack = false;
            let seq = self.next.wrapping_add(fin_done);
            return Some(Bare { seq, ack: self.expected, fin: false, reset: true });
        }
        if core::mem::take(&mut self.owes_fin) {
            self.owes_ack = false;
            self.again_at = Some(now + Duration::from_micros(FIRST_TRY.micros() << self.tries));
            self.tries += 1;
            return Some(Bare { seq: self.next, ack: self.expected, fin: true, reset: false });
        }
        core::mem::take(&mut self.owes_ack).then(|| Bare {
            seq: self.next.wrapping_add(fin_done),
            ack: self.expected,
            fin: false,
            reset: false,
        })
    }
}

#[cfg(test)]
#[path = "quiet_tests.rs"]
mod tests;
