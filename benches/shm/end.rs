//! One end of something that carries octets between two threads.

use std::sync::atomic::{AtomicBool, Ordering};

/// One end: spins until what was asked for is done.
pub(crate) trait End: Send {
    /// Hands over all of `octets`.
    fn send(&mut self, octets: &[u8]);

    /// Takes as many as fit.
    fn receive(&mut self, octets: &mut [u8]);

    /// Hands over `octets` so many times; may return before all are there.
    fn send_many(&mut self, octets: &[u8], times: u32) {
        (0..times).for_each(|_| self.send(octets));
    }

    /// Takes `times` pieces as long as `octets`, one at a time.
    fn receive_many(&mut self, octets: &mut [u8], times: u32) {
        (0..times).for_each(|_| self.receive(octets));
    }

    /// Does what is left to do until the other end has everything.
    fn finish(&mut self, done: &AtomicBool) {
        while !done.load(Ordering::Acquire) {
            std::hint::spin_loop();
        }
    }
}
