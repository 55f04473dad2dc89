//! Where connections come in, as threads that block know it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, TryRecvError};

use crate::engine::Handle;
use crate::error::{EngineError, StreamError};
use crate::serving::App;
use crate::stream::SmcStream;

/// Takes connections: [`std::net::TcpListener`] as far as it goes. Threads may
/// share it, each connection goes to one of them.
///
/// When it is dropped the engine listens no more, and who waits to be accepted is
/// aborted.
#[derive(Debug)]
pub struct SmcListener {
    queue: Receiver<App>,
    gate: Arc<Gate>,
    local: SocketAddr,
    handle: Handle,
}

/// What the engine and a listener have in common.
#[derive(Debug)]
pub(crate) struct Gate {
    is_dropped: AtomicBool,
    waker: Waker,
}

impl Gate {
    pub(crate) fn new(waker: Waker) -> Arc<Self> {
        Arc::new(Self { is_dropped: AtomicBool::new(false), waker })
    }

    pub(crate) const fn waker(&self) -> &Waker {
        &self.waker
    }

    pub(crate) fn is_dropped(&self) -> bool {
        self.is_dropped.load(Ordering::Acquire)
    }
}

/// A gate on its way to the listener, closed if nobody takes it.
pub(crate) struct Opened {
    pub(crate) queue: Receiver<App>,
    pub(crate) gate: Option<Arc<Gate>>,
}

impl Drop for Opened {
    fn drop(&mut self) {
        if let Some(gate) = &self.gate {
            close(gate);
        }
    }
}

fn close(gate: &Gate) {
    gate.is_dropped.store(true, Ordering::Release);
    gate.waker.wake_by_ref();
}

impl SmcListener {
    pub(crate) fn new(mut opened: Opened, local: SocketAddr, handle: Handle) -> Option<Self> {
        let gate = opened.gate.take()?;
        Some(Self { queue: opened.queue.clone(), gate, local, handle })
    }

    /// Waits for the next connection whose handshake is done, be it SMC-R or TCP.
    ///
    /// # Errors
    /// If the engine has stopped.
    pub fn accept(&self) -> io::Result<(SmcStream, SocketAddr)> {
        self.taken(self.queue.recv().map_err(|_| self.gone()))
    }

    /// [`SmcListener::accept`] that waits so long at most.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`]; or if the engine has stopped.
    pub fn accept_timeout(&self, most: Duration) -> io::Result<(SmcStream, SocketAddr)> {
        self.taken(self.queue.recv_timeout(most).map_err(|error| match error {
            RecvTimeoutError::Timeout => StreamError::TimedOut,
            RecvTimeoutError::Disconnected => self.gone(),
        }))
    }

    /// [`SmcListener::accept`] that does not wait.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`]; or if the engine has stopped.
    pub fn try_accept(&self) -> io::Result<(SmcStream, SocketAddr)> {
        self.taken(self.queue.try_recv().map_err(|error| match error {
            TryRecvError::Empty => StreamError::WouldBlock,
            TryRecvError::Disconnected => self.gone(),
        }))
    }

    fn gone(&self) -> StreamError {
        self.handle.reason().unwrap_or(EngineError::Stopped).into()
    }

    fn taken(&self, app: Result<App, StreamError>) -> io::Result<(SmcStream, SocketAddr)> {
        let app = app?;
        // There is room for one more.
        self.gate.waker.wake_by_ref();
        let remote = app.0.remote;
        Ok((SmcStream::new(app, self.handle.clone()), remote))
    }

    /// All connections, one after the other, until the engine stops.
    #[must_use]
    pub const fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self, is_over: false }
    }

    /// Where it listens.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

impl Drop for SmcListener {
    fn drop(&mut self) {
        close(&self.gate);
    }
}

/// Connections of a listener: [`SmcListener::incoming`].
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a SmcListener,
    is_over: bool,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<SmcStream>;

    /// An error is the last item: the engine has stopped.
    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let next = self.listener.accept().map(|(stream, _)| stream);
        self.is_over = next.is_err();
        Some(next)
    }
}
