//! A stack in somebody else's event loop: one descriptor to wait for, and until when.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::event::epoll;
use rustix::io::Errno;
use smolsmc_stack::PollOutcome;
use smolsmc_wire::Instant;

use crate::driver::Driver;
use crate::mode::Mode;
use crate::wakes::Fds;
use crate::{Clock, Drive};

/// A [`Driver`] that never sleeps itself: tokio's `AsyncFd`, mio, or an epoll set does,
/// on its descriptor (`AsFd`), which stays the same.
///
/// ```text
///   loop {
///       match guest.turn(&mut host, &mut clock)? {
///           Next::Again(_) => serve(&mut host.stack),         // and let others have their turn
///           Next::Wait(until) => wait_readable(&guest, until),
///       }
///   }
/// ```
///
/// What is asked of the stack after a [`Next::Wait`] wants a turn before the wait: a
/// turn is what moves it.
#[derive(Debug)]
pub struct Guest {
    driver: Driver,
    /// What others wait for: it has `current` in it.
    outer: OwnedFd,
    current: OwnedFd,
    /// What is in `current`, and whether for writing too; numbers only to see whether
    /// it still is the same.
    watched: Vec<(RawFd, bool)>,
    dozes: bool,
}

/// What is to be done after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Serve the sockets and turn again without waiting: something came, or the mode
    /// is to spin.
    Again(PollOutcome),
    /// There is nothing: wait until the descriptor is readable, or until then, if
    /// there is such a moment. To turn earlier is harmless.
    Wait(Option<Instant>),
}

impl Guest {
    /// A guest that waits by `mode`: in [`Mode::Busy`] it never lets wait.
    ///
    /// # Errors
    /// If the system has no more descriptors.
    pub fn new(mode: Mode) -> io::Result<Self> {
        let outer = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let current = Self::set_in(&outer)?;
        Ok(Self { driver: Driver::new(mode)?, outer, current, watched: Vec::new(), dozes: false })
    }

    /// An empty set inside of `outer`.
    fn set_in(outer: &OwnedFd) -> io::Result<OwnedFd> {
        let set = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(outer, &set, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?;
        Ok(set)
    }

    /// Its driver: for wakers, bells, foreign descriptors.
    pub const fn driver(&mut self) -> &mut Driver {
        &mut self.driver
    }

    /// Polls `host` once; if nothing came, asks for wake-ups, polls once more, and says
    /// what to wait for. The clock is read once.
    ///
    /// # Errors
    /// What epoll_ctl(2) and epoll_wait(2) say.
    pub fn turn(&mut self, host: &mut impl Drive, clock: &mut impl Clock) -> io::Result<Next> {
        if std::mem::take(&mut self.dozes) {
            self.driver.rouse()?;
            if self.driver.foreign().next().is_some() {
                // They are told of once, and only until the next turn.
                return Ok(Next::Again(host.poll(clock.now())));
            }
        }
        let (outcome, until, dozes) = self.driver.turn_to_doze(host, clock)?;
        if !dozes {
            return Ok(Next::Again(outcome));
        }
        self.dozes = true;
        self.watch(host)?;
        Ok(Next::Wait(until))
    }

    /// Makes the set what there is to sleep on now.
    fn watch(&mut self, host: &mut impl Drive) -> io::Result<()> {
        let mut fds = Fds::default();
        self.driver.own_fds(&mut fds);
        if self.driver.is_armed() {
            host.fds(&mut fds);
        }
        let numbers = fds.polled.iter().map(|fd| fd.as_fd().as_raw_fd());
        let wanted = numbers.zip(fds.writes.iter().copied());
        if !wanted.clone().eq(self.watched.iter().copied()) {
            self.watched = wanted.collect();
            let fresh = Self::set_in(&self.outer)?;
            epoll::delete(&self.outer, &self.current)?;
            self.current = fresh;
        }
        for (fd, writes) in fds.polled.iter().zip(fds.writes) {
            let (data, mut flags) = (epoll::EventData::new_u64(0), epoll::EventFlags::IN);
            flags.set(epoll::EventFlags::OUT, writes);
            // A number may be another descriptor's than last time: then it is not
            // there any more.
            match epoll::modify(&self.current, fd.as_fd(), data, flags) {
                Err(Errno::NOENT) => epoll::add(&self.current, fd.as_fd(), data, flags)?,
                other => other?,
            }
        }
        Ok(())
    }
}

impl AsFd for Guest {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.outer.as_fd()
    }
}

impl AsRawFd for Guest {
    fn as_raw_fd(&self) -> RawFd {
        self.outer.as_raw_fd()
    }
}

#[cfg(test)]
#[path = "guest_tests.rs"]
mod tests;
