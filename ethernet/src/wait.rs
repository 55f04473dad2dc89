use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::Port;

/// Waits until a port has frames, room for those that wait
/// ([`Port::wants_write`]), or until `timeout` has passed; for ever without one.
/// A signal ends the wait too. Ports that have ended are not waited for; without
/// any other and without a timeout it returns at once.
///
/// # Errors
/// What poll(2) says, apart from a signal.
#[expect(clippy::disallowed_types, reason = "an operating system is asked to wait")]
pub fn wait<'a>(
    ports: impl IntoIterator<Item = &'a Port>,
    timeout: Option<std::time::Duration>,
) -> io::Result<()> {
    wait_also(ports, [], timeout)
}

/// [`wait`], and for one of `others` to be readable: an application's own
/// descriptors, or an epoll set of many.
///
/// # Errors
/// As [`wait`].
#[expect(clippy::disallowed_types, reason = "an operating system is asked to wait")]
pub fn wait_also<'a>(
    ports: impl IntoIterator<Item = &'a Port>,
    others: impl IntoIterator<Item = BorrowedFd<'a>>,
    timeout: Option<std::time::Duration>,
) -> io::Result<()> {
    let ports = ports.into_iter().filter(|port| !port.has_ended()).map(|port| {
        let write = if port.wants_write() { PollFlags::OUT } else { PollFlags::empty() };
        PollFd::from_borrowed_fd(port.as_fd(), PollFlags::IN | write)
    });
    let others = others.into_iter().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
    let mut descriptors: Vec<_> = ports.chain(others).collect();
    if descriptors.is_empty() && timeout.is_none() {
        return Ok(());
    }
    // A time that the kernel cannot count is for ever.
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    match poll(&mut descriptors, timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
#[path = "wait_tests.rs"]
mod tests;
