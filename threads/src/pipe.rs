//! Octets on their way between the engine and the threads of an application: a
//! ring, and who waits for it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::error::{EngineError, StreamError};

/// One direction of a stream.
pub(crate) struct Pipe {
    inner: Mutex<Inner>,
    /// By the engine, for the application.
    changed: Condvar,
    /// Counts those changes, for who spins.
    stamp: AtomicU32,
}

/// The ring, and what there is to say beside octets.
pub(crate) struct Inner {
    octets: Box<[u8]>,
    at: usize,
    len: usize,
    /// The engine has nothing more to say: none will come, or none be taken.
    pub(crate) end: Option<End>,
    /// The application wants no more of this direction.
    pub(crate) is_shut: bool,
    /// The connection stands.
    pub(crate) is_open: bool,
    /// The engine wants to be woken when the application has changed something.
    pub(crate) engine_waits: bool,
    /// Threads that sleep.
    sleepers: usize,
}

/// Why a direction is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The peer has sent all it had.
    Orderly,
    /// Anything else.
    Failed(StreamError),
}

/// How long a call waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// On its core, before it sleeps.
    pub(crate) spin: Duration,
    pub(crate) most: Most,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Most {
    Nothing,
    For(Duration),
    Forever,
}

impl Most {
    pub(crate) const fn of(timeout: Option<Duration>) -> Self {
        match timeout {
            Some(timeout) => Self::For(timeout),
            None => Self::Forever,
        }
    }
}

/// Between two looks at the clock of a thread that spins.
const SPINS: u32 = 64;

impl Pipe {
    /// # Panics
    /// Never; a ring of no octets would let nothing pass, so it has one.
    pub(crate) fn new(size: usize, is_open: bool) -> Self {
        let inner = Inner {
            octets: vec![0; size.max(1)].into(),
            at: 0,
            len: 0,
            end: None,
            is_shut: false,
            is_open,
            engine_waits: false,
            sleepers: 0,
        };
        Self { inner: Mutex::new(inner), changed: Condvar::new(), stamp: AtomicU32::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // What is in there is whole between two statements of ours.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The application's turn: `look` until it finds something.
    ///
    /// # Errors
    /// [`StreamError::WouldBlock`], [`StreamError::TimedOut`].
    pub(crate) fn wait<T>(
        &self,
        patience: Patience,
        mut look: impl FnMut(&mut Inner) -> Option<T>,
    ) -> Result<T, StreamError> {
        let mut inner = self.lock();
        if let Some(found) = look(&mut inner) {
            return Ok(found);
        }
        if patience.most == Most::Nothing {
            return Err(StreamError::WouldBlock);
        }
        let begun = now();
        while self.spin(inner, begun, patience) {
            inner = self.lock();
            if let Some(found) = look(&mut inner) {
                return Ok(found);
            }
        }
        inner = self.lock();
        inner.sleepers += 1;
        loop {
            let found = look(&mut inner);
            let left = match patience.most {
                Most::For(most) => most.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()),
                Most::Nothing | Most::Forever => Some(Duration::MAX),
            };
            let (None, Some(left)) = (&found, left) else {
                inner.sleepers -= 1;
                return found.ok_or(StreamError::TimedOut);
            };
            inner = match left {
                Duration::MAX => self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner),
                left => self.changed.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
    }

    /// Spins until the engine has changed something; false if it takes too long.
    fn spin(&self, inner: MutexGuard<'_, Inner>, begun: Instant, patience: Patience) -> bool {
        let most = match patience.most {
            Most::For(most) => most.min(patience.spin),
            Most::Nothing | Most::Forever => patience.spin,
        };
        let seen = self.stamp.load(Ordering::Relaxed);
        drop(inner);
        if most.is_zero() {
            return false;
        }
        loop {
            for _ in 0..SPINS {
                if self.stamp.load(Ordering::Acquire) != seen {
                    return true;
                }
                std::hint::spin_loop();
            }
            if begun.elapsed() >= most {
                return false;
            }
        }
    }

    /// The engine's turn. `turn` says whether the application wants to know.
    pub(crate) fn serve<T>(&self, turn: impl FnOnce(&mut Inner) -> (T, bool)) -> T {
        let mut inner = self.lock();
        let (value, changed) = turn(&mut inner);
        if changed {
            self.stamp.fetch_add(1, Ordering::Release);
        }
        let wakes = changed && inner.sleepers > 0;
        drop(inner);
        if wakes {
            self.changed.notify_all();
        }
        value
    }

    /// Something the application does without waiting, which other threads of it may
    /// wait for. `change` says whether the engine is to look.
    pub(crate) fn change(&self, waker: &Waker, change: impl FnOnce(&mut Inner) -> bool) {
        let wakes = self.serve(|inner| (change(inner), true));
        if wakes {
            waker.wake_by_ref();
        }
    }

    /// Nothing more, unless it had ended before.
    pub(crate) fn end(&self, end: End) {
        self.serve(|inner| {
            let is_new = inner.end.is_none();
            inner.end.get_or_insert(end);
            ((), is_new)
        });
    }

    /// As [`Pipe::end`], by an engine that is there no more.
    pub(crate) fn abandon(&self, error: EngineError) {
        self.end(End::Failed(error.into()));
    }
}

impl Inner {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Octets there is room for.
    pub(crate) const fn room(&self) -> usize {
        self.octets.len() - self.len
    }

    /// Whether more than half of it is free: enough to trouble the engine for.
    pub(crate) const fn is_roomy(&self) -> bool {
        self.len <= self.octets.len() / 2
    }

    /// The next octets, as far as they lie in one piece.
    pub(crate) fn piece(&self) -> &[u8] {
        let end = self.octets.len().min(self.at + self.len);
        self.octets.get(self.at..end).unwrap_or_default()
    }

    /// Goes past so many octets of the piece.
    pub(crate) fn taken(&mut self, n: usize) {
        let n = n.min(self.len);
        self.len -= n;
        // Empty: begin again, so that pieces are long.
        self.at = if self.len == 0 { 0 } else { (self.at + n) % self.octets.len() };
    }

    /// Room for the next octets, as far as it lies in one piece.
    pub(crate) fn free_piece(&mut self) -> &mut [u8] {
        let size = self.octets.len();
        let from = (self.at + self.len) % size;
        let to = if from < self.at { self.at } else { size };
        let to = if self.len == size { from } else { to };
        self.octets.get_mut(from..to).unwrap_or_default()
    }

    /// The first `n` octets of the free piece have come.
    pub(crate) fn filled(&mut self, n: usize) {
        self.len += n.min(self.room());
    }

    /// Puts octets in; returns how many there was room for.
    pub(crate) fn put(&mut self, octets: &[u8]) -> usize {
        let mut put = 0;
        // Once more if the ring wraps among them.
        while put < octets.len() && self.room() > 0 {
            let rest = octets.get(put..).unwrap_or_default();
            let piece = self.free_piece();
            let len = rest.len().min(piece.len());
            if let (Some(to), Some(from)) = (piece.get_mut(..len), rest.get(..len)) {
                to.copy_from_slice(from);
            }
            self.filled(len);
            put += len;
        }
        put
    }

    /// Takes octets out; returns how many there were.
    pub(crate) fn take(&mut self, out: &mut [u8]) -> usize {
        let taken = self.copy(out);
        self.taken(taken);
        taken
    }

    /// Copies the next octets; returns how many there were.
    pub(crate) fn copy(&self, out: &mut [u8]) -> usize {
        let first = self.piece();
        let second = self.octets.get(..self.len - first.len()).unwrap_or_default();
        let mut copied = 0;
        for piece in [first, second] {
            let rest = out.get_mut(copied..).unwrap_or_default();
            let len = rest.len().min(piece.len());
            if let (Some(to), Some(from)) = (rest.get_mut(..len), piece.get(..len)) {
                to.copy_from_slice(from);
            }
            copied += len;
        }
        copied
    }
}

#[expect(clippy::disallowed_methods, reason = "timeouts of blocking calls")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
#[path = "pipe_tests.rs"]
mod tests;
