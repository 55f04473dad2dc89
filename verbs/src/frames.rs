use smolsmc_wire::Instant;

use crate::RdmaPort;

/// What a NIC in software asks of whoever owns the network device: its frames
/// carried in and out, and a look at the clock.
///
/// ```text
///   device --frame--> claims? --yes--> take            (else: the IP stack's)
///          --frame--> take_own                         (the two in one)
///   device <--buffer-- emit <--length-- next_len       until None
///   clock  ----------> poll_at, run_timers
/// ```
pub trait FrameEngine {
    /// Whether the frame is RDMA's own. Looks at addresses and port only; a
    /// claimed frame must not reach another stack.
    fn claims(&self, port: RdmaPort, frame: &[u8]) -> bool;

    /// Takes a frame that is [claimed](Self::claims). What is wrong with it is
    /// counted, answered as the protocol asks, or dropped.
    fn take(&mut self, now: Instant, port: RdmaPort, frame: &[u8]);

    /// Takes a frame if it is [claimed](Self::claims), and says whether it was: the
    /// two in one, for whoever can look at both with one pass over the headers.
    fn take_own(&mut self, now: Instant, port: RdmaPort, frame: &[u8]) -> bool {
        let is_own = self.claims(port, frame);
        if is_own {
            self.take(now, port, frame);
        }
        is_own
    }

    /// Length in octets of the next frame to send on `port`, `None` if there is
    /// none now.
    fn next_len(&mut self, now: Instant, port: RdmaPort) -> Option<usize>;

    /// Writes the next frame into `out` and returns its length; 0 if there is
    /// none, or `out` is shorter than [`next_len`](Self::next_len) said.
    fn emit(&mut self, now: Instant, port: RdmaPort, out: &mut [u8]) -> usize;

    /// When [`run_timers`](Self::run_timers) has something to do, `None` for
    /// never. A soft deadline: to be early is harmless.
    fn poll_at(&self) -> Option<Instant>;

    /// Does what is due at `now`.
    fn run_timers(&mut self, now: Instant);
}

/// The engine of a provider that has none; there is no value of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoFrames {}

impl FrameEngine for NoFrames {
    fn claims(&self, _port: RdmaPort, _frame: &[u8]) -> bool {
        match *self {}
    }

    fn take(&mut self, _now: Instant, _port: RdmaPort, _frame: &[u8]) {
        match *self {}
    }

    fn next_len(&mut self, _now: Instant, _port: RdmaPort) -> Option<usize> {
        match *self {}
    }

    fn emit(&mut self, _now: Instant, _port: RdmaPort, _out: &mut [u8]) -> usize {
        match *self {}
    }

    fn poll_at(&self) -> Option<Instant> {
        match *self {}
    }

    fn run_timers(&mut self, _now: Instant) {
        match *self {}
    }
}
