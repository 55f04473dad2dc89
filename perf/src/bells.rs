//! Two eventfds that two processes wake each other with: the least that a
//! wake-up costs. They carry no octets.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use crate::end::End;
use crate::fault::{Alive, Fault};

/// One end.
#[derive(Debug)]
pub(crate) struct Bells {
    own: OwnedFd,
    other: OwnedFd,
    alive: Alive,
}

impl Bells {
    pub(crate) fn bell() -> Result<OwnedFd, Fault> {
        eventfd(0, EventfdFlags::CLOEXEC).map_err(Fault::system("an eventfd"))
    }

    pub(crate) fn new(own: OwnedFd, other: OwnedFd, alive: &Alive) -> Self {
        Self { own, other, alive: alive.clone() }
    }
}

impl End for Bells {
    fn send(&mut self, _octets: &[u8]) -> Result<(), Fault> {
        rustix::io::write(&self.other, &1_u64.to_ne_bytes()).map(drop).map_err(Fault::system("a wake-up"))
    }

    /// Waits as all others that sleep do, in poll(2).
    fn receive(&mut self, _octets: &mut [u8]) -> Result<(), Fault> {
        loop {
            let mut fds = [PollFd::from_borrowed_fd(self.own.as_fd(), PollFlags::IN)];
            match poll(&mut fds, Some(&Timespec { tv_sec: 1, tv_nsec: 0 })) {
                Ok(0) | Err(rustix::io::Errno::INTR) => self.alive.check()?,
                Ok(_) => break,
                Err(error) => return Err(Fault::system("a sleep")(error)),
            }
        }
        rustix::io::read(&self.own, &mut [0; 8]).map(drop).map_err(Fault::system("a wake-up"))
    }
}
