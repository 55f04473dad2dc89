//! A connection, as threads that block know it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use smolsmc_stack::Transport;

use crate::engine::{Handle, Wish};
use crate::error::StreamError;
use crate::pipe::{End, Most, Patience};
use crate::serving::{App, Shared};

/// A connection over SMC-R, or TCP where the peer has none: [`std::net::TcpStream`]
/// as far as it goes. `Read` and `Write` are there for `&SmcStream` too: one thread
/// may read while another writes, without a lock.
///
/// With the last of its clones the stream is closed: what was written still goes,
/// unless octets were left unread, which is an abort.
pub struct SmcStream {
    app: Arc<App>,
    handle: Handle,
}

impl std::fmt::Debug for SmcStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shared = self.shared();
        f.debug_struct("SmcStream")
            .field("local", &shared.local)
            .field("remote", &shared.remote)
            .field("transport", &self.transport())
            .finish_non_exhaustive()
    }
}

impl SmcStream {
    pub(crate) fn new(app: App, handle: Handle) -> Self {
        app.0.is_taken.store(true, Ordering::Release);
        Self { app: Arc::new(app), handle }
    }

    fn shared(&self) -> &Shared {
        &self.app.0
    }

    /// Until the connection stands.
    pub(crate) fn wait_open(&self, most: Most) -> Result<(), StreamError> {
        let patience = Patience { spin: self.shared().spin, most };
        self.shared().outward.wait(patience, |inner| match &inner.end {
            Some(End::Failed(error)) => Some(Err(error.clone())),
            _ => inner.is_open.then_some(Ok(())),
        })?
    }

    /// Another handle of the same stream.
    ///
    /// # Errors
    /// None; it is as that of `std::net`.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { app: Arc::clone(&self.app), handle: self.handle.clone() })
    }

    /// What carries it.
    #[must_use]
    pub fn transport(&self) -> Option<Transport> {
        *self.shared().transport()
    }

    /// Our end.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.shared().local
    }

    /// The peer's end.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.shared().remote
    }

    /// How long a read waits at most, for all clones; `None` for ever.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] for no time at all, as with `std::net`.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        set(&self.shared().read_timeout, timeout)
    }

    /// How long a write waits at most, for all clones; `None` for ever.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] for no time at all, as with `std::net`.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        set(&self.shared().write_timeout, timeout)
    }

    /// How long a read waits at most.
    #[must_use]
    pub fn read_timeout(&self) -> Option<Duration> {
        get(&self.shared().read_timeout)
    }

    /// How long a write waits at most.
    #[must_use]
    pub fn write_timeout(&self) -> Option<Duration> {
        get(&self.shared().write_timeout)
    }

    /// Whether reads and writes fail with [`io::ErrorKind::WouldBlock`] instead of
    /// waiting, for all clones.
    pub fn set_nonblocking(&self, nonblocking: bool) {
        self.shared().nonblocking.store(nonblocking, Ordering::Relaxed);
    }

    /// Short segments go at once (`true`, as from the start), or wait
    /// ([`smolsmc_stack::Socket::set_nodelay`]).
    ///
    /// # Errors
    /// If the engine has stopped.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        Ok(self.handle.wish(self.shared().token, Wish::Nodelay(nodelay))?)
    }

    /// Holds octets back until the cork is pulled
    /// ([`smolsmc_stack::Socket::set_cork`]).
    ///
    /// # Errors
    /// If the engine has stopped.
    pub fn set_cork(&self, cork: bool) -> io::Result<()> {
        Ok(self.handle.wish(self.shared().token, Wish::Cork(cork))?)
    }

    /// How often a silent TCP peer is asked whether it is there
    /// ([`smolsmc_stack::Socket::set_keep_alive`]).
    ///
    /// # Errors
    /// If the engine has stopped.
    pub fn set_keep_alive(&self, interval: Option<Duration>) -> io::Result<()> {
        Ok(self.handle.wish(self.shared().token, Wish::KeepAlive(interval.map(micros)))?)
    }

    /// How long the end may take after the last handle is gone
    /// ([`smolsmc_stack::Socket::set_linger`]).
    ///
    /// # Errors
    /// If the engine has stopped.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        Ok(self.handle.wish(self.shared().token, Wish::Linger(linger.map(micros)))?)
    }

    /// Shuts one direction down, or both. Of writing: what was written still goes,
    /// then the peer finds the end of the stream. Of reading: reads find the end of
    /// the stream, and what comes is thrown away.
    ///
    /// # Errors
    /// None; it is as that of `std::net`.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let shared = self.shared();
        if how != Shutdown::Read {
            shared.outward.change(&shared.waker, |inner| !std::mem::replace(&mut inner.is_shut, true));
        }
        if how != Shutdown::Write {
            shared.inward.change(&shared.waker, |inner| {
                let unread = inner.len();
                while inner.len() > 0 {
                    let piece = inner.piece().len();
                    inner.taken(piece);
                }
                !std::mem::replace(&mut inner.is_shut, true) && unread > 0
            });
        }
        Ok(())
    }

    /// Copies the octets that the next read would read, and leaves them there.
    ///
    /// # Errors
    /// As reading.
    pub fn peek(&self, out: &mut [u8]) -> io::Result<usize> {
        self.get(out, false)
    }

    fn get(&self, out: &mut [u8], takes: bool) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        let shared = self.shared();
        let mut wakes = false;
        let got = shared.inward.wait(self.patience(&shared.read_timeout), |inner| {
            if inner.is_shut {
                return Some(Ok(0));
            }
            if inner.len() == 0 {
                return inner.end.clone().map(|end| match end {
                    End::Orderly => Ok(0),
                    End::Failed(error) => Err(error),
                });
            }
            if !takes {
                return Some(Ok(inner.copy(out)));
            }
            let taken = inner.take(out);
            wakes = inner.engine_waits && inner.is_roomy();
            inner.engine_waits &= !wakes;
            Some(Ok(taken))
        });
        if wakes {
            shared.waker.wake_by_ref();
        }
        Ok(got??)
    }

    fn put(&self, octets: &[u8]) -> io::Result<usize> {
        if octets.is_empty() {
            return Ok(0);
        }
        let shared = self.shared();
        let mut wakes = false;
        let put = shared.outward.wait(self.patience(&shared.write_timeout), |inner| {
            if let Some(End::Failed(error)) = &inner.end {
                return Some(Err(error.clone()));
            }
            if inner.is_shut {
                return Some(Err(StreamError::ShutDown));
            }
            let put = inner.put(octets);
            wakes = put > 0 && std::mem::take(&mut inner.engine_waits);
            (put > 0).then_some(Ok(put))
        });
        if wakes {
            shared.waker.wake_by_ref();
        }
        Ok(put??)
    }

    fn patience(&self, timeout: &AtomicU64) -> Patience {
        let shared = self.shared();
        let most =
            if shared.nonblocking.load(Ordering::Relaxed) { Most::Nothing } else { Most::of(get(timeout)) };
        Patience { spin: shared.spin, most }
    }
}

fn micros(duration: Duration) -> smolsmc_wire::Duration {
    smolsmc_wire::Duration::from_micros(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}

fn set(place: &AtomicU64, timeout: Option<Duration>) -> io::Result<()> {
    let nanos = match timeout {
        Some(Duration::ZERO) => return Err(io::ErrorKind::InvalidInput.into()),
        Some(timeout) => u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX),
        None => 0,
    };
    place.store(nanos, Ordering::Relaxed);
    Ok(())
}

fn get(place: &AtomicU64) -> Option<Duration> {
    Some(place.load(Ordering::Relaxed)).filter(|nanos| *nanos > 0).map(Duration::from_nanos)
}

impl Read for &SmcStream {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.get(out, true)
    }
}

impl Write for &SmcStream {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.put(octets)
    }

    /// Nothing is kept back here: the engine sends on as fast as the peer takes it.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for SmcStream {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.get(out, true)
    }
}

impl Write for SmcStream {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.put(octets)
    }

    /// Nothing is kept back here: the engine sends on as fast as the peer takes it.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
