//! What wakes a peer that sleeps: pipes, the cheapest there is that nobody else can make
//! us wait on.
//!
//! Whoever rings makes the pipe, and lends the peer its reading end. Nobody else has our
//! writing end, so that it never waits; the peer opens what it was lent once more, for
//! whether a descriptor waits is said for all who share it. An eventfd would be one object
//! for both, and the peer could fill it; a socket costs three times as much.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::pipe::PipeFlags;

use crate::error::OpenError;

/// Our end of a bell that the peer hears.
#[derive(Debug)]
pub(crate) struct Rope {
    writes: OwnedFd,
    /// Kept, so that a peer that is gone is no signal (SIGPIPE).
    reads: OwnedFd,
}

impl Rope {
    pub(crate) fn new() -> Result<Self, OpenError> {
        let (reads, writes) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        Ok(Self { writes, reads })
    }

    /// What the peer is to hear it by.
    pub(crate) fn lent(&self) -> BorrowedFd<'_> {
        self.reads.as_fd()
    }

    /// An octet that says nothing but that there is something.
    #[cold]
    pub(crate) fn ring(&self) {
        // Full means that enough rings are on the way.
        let _ = rustix::io::write(&self.writes, &[1]);
    }
}

/// A bell that the peer rings.
#[derive(Debug)]
pub(crate) struct Bell(OwnedFd);

impl Bell {
    /// The pipe whose descriptor a peer lent us.
    pub(crate) fn of_peer(lent: &OwnedFd) -> Result<Self, OpenError> {
        if FileType::from_raw_mode(rustix::fs::fstat(lent)?.st_mode) != FileType::Fifo {
            return Err(OpenError::Greeting("a bell is no pipe"));
        }
        let name = format!("/proc/self/fd/{}", lent.as_raw_fd());
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(name, flags, Mode::empty())?))
    }

    /// Takes what was rung; whether anybody can still ring. One call: who rings more is
    /// heard again next time.
    pub(crate) fn silence(&self) -> bool {
        !matches!(rustix::io::read(&self.0, &mut [0; 256]), Ok(0))
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
#[path = "bells_tests.rs"]
mod tests;
