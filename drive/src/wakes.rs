//! What a thread can sleep on.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::event::{PollFd, PollFlags};
use smolsmc_wire::Duration;

/// Descriptors to sleep on, as they are right now.
#[derive(Debug, Default)]
pub struct Fds<'a> {
    pub(crate) polled: Vec<PollFd<'a>>,
    /// Of each, whether it is waited for to be writable too.
    pub(crate) writes: Vec<bool>,
}

impl<'a> Fds<'a> {
    /// Wakes when `fd` can be read. One that is there already is not waited for twice.
    pub fn read(&mut self, fd: BorrowedFd<'a>) {
        if self.polled.iter().any(|known| known.as_fd().as_raw_fd() == fd.as_raw_fd()) {
            return;
        }
        self.polled.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
        self.writes.push(false);
    }

    /// Wakes when `fd` can be read or written.
    pub fn read_or_write(&mut self, fd: BorrowedFd<'a>) {
        self.polled.push(PollFd::from_borrowed_fd(fd, PollFlags::IN | PollFlags::OUT));
        self.writes.push(true);
    }
}

/// A device or a provider that can wake who sleeps.
pub trait Wakes {
    /// Asks for a wake-up. True if something waits already: then do not sleep.
    /// A provider's completion queues are armed by the stack.
    fn arm(&mut self) -> bool {
        false
    }

    /// Whether it carries anything now. A change is told before the next sleep.
    fn is_up(&self) -> bool {
        true
    }

    /// Whether it refuses frames until it can be written again.
    fn wants_write(&self) -> bool {
        false
    }

    /// How long to sleep at most, by a clock of its own; `None` for ever.
    fn timeout(&self) -> Option<Duration> {
        None
    }

    /// What to sleep on. Asked anew for each sleep: descriptors may change.
    fn fds<'a>(&'a self, into: &mut Fds<'a>);
}

/// Its frames come from the devices; it has nothing of its own to wait for.
#[cfg(feature = "roce")]
impl Wakes for smolsmc_roce::nic::SoftNic {
    fn fds<'a>(&'a self, _into: &mut Fds<'a>) {}
}

#[cfg(feature = "ethernet")]
impl Wakes for smolsmc_ethernet::Port {
    fn is_up(&self) -> bool {
        Self::is_up(self)
    }

    fn wants_write(&self) -> bool {
        !self.has_ended() && Self::wants_write(self)
    }

    fn fds<'a>(&'a self, into: &mut Fds<'a>) {
        // One that has ended is readable for ever, and has nothing to say.
        if self.has_ended() {
        } else if Self::wants_write(self) {
            into.read_or_write(self.as_fd());
        } else {
            into.read(self.as_fd());
        }
    }
}

#[cfg(feature = "ethernet")]
impl<D: Wakes, W> Wakes for smolsmc_ethernet::Watched<D, W> {
    fn is_up(&self) -> bool {
        self.device().is_up()
    }

    fn wants_write(&self) -> bool {
        self.device().wants_write()
    }

    fn fds<'a>(&'a self, into: &mut Fds<'a>) {
        self.device().fds(into);
    }
}

#[cfg(feature = "shm")]
impl Wakes for smolsmc_shm::ShmNic {
    fn timeout(&self) -> Option<Duration> {
        Self::timeout(self)
    }

    fn fds<'a>(&'a self, into: &mut Fds<'a>) {
        Self::fds(self).for_each(|fd| into.read(fd));
    }
}

/// One descriptor for all its devices: completions, and what happened to ports.
#[cfg(feature = "ibverbs")]
impl Wakes for smolsmc_ibv::IbvNic {
    fn arm(&mut self) -> bool {
        self.look_soon();
        false
    }

    fn fds<'a>(&'a self, into: &mut Fds<'a>) {
        use std::os::fd::AsFd;
        into.read(self.as_fd());
    }
}

/// A wire that is gone is not waited for: its descriptors are readable for ever.
#[cfg(feature = "shm")]
impl Wakes for smolsmc_shm::ShmPort {
    fn is_up(&self) -> bool {
        self.fault().is_none()
    }

    fn arm(&mut self) -> bool {
        self.fault().is_none() && Self::arm(self)
    }

    fn fds<'a>(&'a self, into: &mut Fds<'a>) {
        if self.fault().is_none() {
            Self::fds(self).into_iter().for_each(|fd| into.read(fd));
        }
    }
}
