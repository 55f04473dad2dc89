//! How others wake the driver's thread.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

use rustix::event::{EventfdFlags, eventfd};

use crate::driver::Token;

/// Ends a driver's sleep from any thread, or keeps it from falling asleep. Costs
/// two atomic operations while the driver is awake, a system call while it sleeps.
#[derive(Clone, Debug)]
pub struct Bell(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    rung: AtomicBool,
    asleep: AtomicBool,
    fd: OwnedFd,
    /// Each waker is in it once at most.
    ready: Mutex<VecDeque<Arc<Ready>>>,
}

#[derive(Debug)]
struct Ready {
    token: Token,
    is_queued: AtomicBool,
    bell: Bell,
}

impl Wake for Ready {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_queued.swap(true, Ordering::AcqRel) {
            self.bell.ready().push_back(self.clone());
        }
        self.bell.ring();
    }
}

impl Bell {
    pub(crate) fn new() -> io::Result<Self> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let (rung, asleep) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Self(Arc::new(Inner { rung, asleep, fd, ready: Mutex::default() })))
    }

    /// Wakes the driver. What the caller did before is seen by who turns it.
    pub fn ring(&self) {
        // Either we see that it sleeps, or it sees that it was rung: each side
        // writes its word before it reads the other's.
        self.0.rung.store(true, Ordering::SeqCst);
        if self.0.asleep.load(Ordering::SeqCst) {
            // A counter that is full is readable, which is all that is wanted.
            let _ = rustix::io::write(&self.0.fd, &1_u64.to_ne_bytes());
        }
    }

    pub(crate) fn waker(&self, token: Token) -> Waker {
        Arc::new(Ready { token, is_queued: AtomicBool::new(false), bell: self.clone() }).into()
    }

    pub(crate) fn next_ready(&self) -> Option<Token> {
        let next = self.ready().pop_front()?;
        // Before its token is served: what comes meanwhile queues it again.
        next.is_queued.store(false, Ordering::Release);
        Some(next.token)
    }

    pub(crate) fn has_ready(&self) -> bool {
        !self.ready().is_empty()
    }

    fn ready(&self) -> MutexGuard<'_, VecDeque<Arc<Ready>>> {
        // Nothing in here panics half-way.
        self.0.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on a ring is heard by the descriptor. False if it was rung
    /// before: then do not sleep.
    pub(crate) fn doze(&self) -> bool {
        self.0.asleep.store(true, Ordering::SeqCst);
        !self.0.rung.load(Ordering::SeqCst)
    }

    /// The sleep is over, or there was none. `heard`: the descriptor was readable.
    pub(crate) fn rouse(&self, heard: bool) {
        self.0.asleep.store(false, Ordering::SeqCst);
        if heard {
            let _ = rustix::io::read(&self.0.fd, &mut [0; 8]);
        }
        self.0.rung.swap(false, Ordering::SeqCst);
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.fd.as_fd()
    }
}
