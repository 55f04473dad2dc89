//! One stream as the engine sees it: octets between its pipes and its socket.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use smolsmc_stack::{RecvError, SendError, Socket, SocketHandle, Stack, Transport};
use smolsmc_verbs::Provider;

use crate::error::{EngineError, StreamError};
use crate::pipe::{End, Inner, Pipe};

/// Octets moved in one direction before other streams have their turn.
const TURN: usize = 256 * 1024;

/// What the engine and the application's threads have in common of one stream.
pub(crate) struct Shared {
    /// From the peer to the application.
    pub(crate) inward: Pipe,
    /// The other way round.
    pub(crate) outward: Pipe,
    /// Lets the engine look at the stream.
    pub(crate) waker: Waker,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    /// Number of the stream, for what is asked of the engine about it.
    pub(crate) token: u64,
    /// Spinning before sleep.
    pub(crate) spin: Duration,
    transport: Mutex<Option<Transport>>,
    /// The last of the application's handles is gone.
    is_dropped: AtomicBool,
    /// The application has got it.
    pub(crate) is_taken: AtomicBool,
    pub(crate) nonblocking: AtomicBool,
    /// In nanoseconds; 0 for none.
    pub(crate) read_timeout: AtomicU64,
    pub(crate) write_timeout: AtomicU64,
}

/// What a stream is made of, beside its socket.
pub(crate) struct Sizes {
    pub(crate) inward: usize,
    pub(crate) outward: usize,
    pub(crate) spin: Duration,
}

impl Shared {
    pub(crate) fn new<P: Provider>(
        socket: &Socket<'_, P>,
        token: u64,
        waker: Waker,
        sizes: &Sizes,
    ) -> Arc<Self> {
        let is_open = socket.readiness().is_open;
        Arc::new(Self {
            inward: Pipe::new(sizes.inward, is_open),
            outward: Pipe::new(sizes.outward, is_open),
            waker,
            local: socket.local_addr(),
            remote: socket.remote_addr(),
            token,
            spin: sizes.spin,
            transport: Mutex::new(socket.transport()),
            is_dropped: AtomicBool::new(false),
            is_taken: AtomicBool::new(false),
            nonblocking: AtomicBool::new(false),
            read_timeout: AtomicU64::new(0),
            write_timeout: AtomicU64::new(0),
        })
    }

    pub(crate) fn transport(&self) -> MutexGuard<'_, Option<Transport>> {
        self.transport.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, error: &StreamError) {
        self.inward.end(End::Failed(error.clone()));
        self.outward.end(End::Failed(error.clone()));
    }

    pub(crate) fn abandon(&self, error: &EngineError) {
        self.inward.abandon(error.clone());
        self.outward.abandon(error.clone());
    }
}

/// All handles of the application share it; with the last of them the stream is
/// closed.
pub(crate) struct App(pub(crate) Arc<Shared>);

impl Drop for App {
    fn drop(&mut self) {
        self.0.is_dropped.store(true, Ordering::Release);
        self.0.waker.wake_by_ref();
    }
}

/// The engine's side.
pub(crate) struct Serving {
    socket: SocketHandle,
    pub(crate) shared: Arc<Shared>,
    is_open: bool,
    /// The application has shut down sending, and all of it is sent.
    has_said_end: bool,
    /// Nothing more comes.
    has_heard_end: bool,
    transport: Option<Transport>,
    /// It is being closed, and is given up after a while.
    pub(crate) is_closing: bool,
}

/// What serving a stream came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It waits for the socket or the application.
    Waits,
    /// There is more, after the others.
    More,
    /// The application has closed it; what is still to be sent takes time.
    Closing,
    /// It is gone.
    Over,
}

/// What moving octets in one direction came to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Waits,
    More,
}

impl Serving {
    pub(crate) fn new(socket: SocketHandle, shared: Arc<Shared>) -> Self {
        Self {
            socket,
            shared,
            is_open: false,
            has_said_end: false,
            has_heard_end: false,
            transport: None,
            is_closing: false,
        }
    }

    pub(crate) const fn socket(&self) -> SocketHandle {
        self.socket
    }

    /// Moves what can be moved. With `is_stopping` it is closed, whatever the
    /// application has in mind.
    pub(crate) fn serve<P: Provider>(&mut self, stack: &mut Stack<P>, is_stopping: bool) -> Step {
        let Ok(mut socket) = stack.socket(self.socket) else {
            self.shared.abandon(&EngineError::Stopped);
            return Step::Over;
        };
        if self.shared.is_dropped.load(Ordering::Acquire) || is_stopping {
            return self.close(socket);
        }
        if !self.is_open && !self.open(&mut socket) {
            return Step::Waits;
        }
        if self.transport != socket.transport() {
            // It may go back to TCP by a Decline that comes late.
            self.transport = socket.transport();
            *self.shared.transport() = self.transport;
        }
        match (self.inward(&mut socket), self.outward(&mut socket)) {
            (Way::Waits, Way::Waits) => Step::Waits,
            _ => Step::More,
        }
    }

    /// Whether it stands.
    fn open<P: Provider>(&mut self, socket: &mut Socket<'_, P>) -> bool {
        let readiness = socket.readiness();
        if let Some(error) = socket.error().filter(|_| readiness.failed && !readiness.is_open) {
            self.shared.end(&error.into());
            return false;
        }
        if !readiness.is_open {
            socket.register_send_waker(&self.shared.waker);
            return false;
        }
        self.is_open = true;
        self.transport = socket.transport();
        *self.shared.transport() = self.transport;
        for pipe in [&self.shared.inward, &self.shared.outward] {
            pipe.serve(|inner| ((), !std::mem::replace(&mut inner.is_open, true)));
        }
        true
    }

    /// From the application to the peer.
    fn outward<P: Provider>(&mut self, socket: &mut Socket<'_, P>) -> Way {
        if self.has_said_end {
            return Way::Waits;
        }
        let Self { shared, has_said_end, .. } = self;
        shared.outward.serve(|inner| {
            let before = inner.len();
            let way = loop {
                if before - inner.len() >= TURN {
                    break Way::More;
                }
                if inner.len() == 0 {
                    inner.engine_waits = true;
                    if inner.is_shut {
                        *has_said_end = true;
                        socket.shutdown();
                    }
                    break Way::Waits;
                }
                match socket.send(inner.piece()) {
                    Ok(sent) => inner.taken(sent),
                    Err(SendError::WouldBlock) => {
                        socket.register_send_waker(&shared.waker);
                        break Way::Waits;
                    }
                    Err(error) => {
                        *has_said_end = true;
                        inner.end.get_or_insert(End::Failed(failure(error)));
                        break Way::Waits;
                    }
                }
            };
            (way, before != inner.len() || inner.end.is_some())
        })
    }

    /// From the peer to the application.
    fn inward<P: Provider>(&mut self, socket: &mut Socket<'_, P>) -> Way {
        if self.has_heard_end {
            return Way::Waits;
        }
        let Self { shared, has_heard_end, .. } = self;
        shared.inward.serve(|inner| {
            let mut moved = 0;
            let way = loop {
                if moved >= TURN {
                    break Way::More;
                }
                if inner.room() == 0 {
                    inner.engine_waits = true;
                    break Way::Waits;
                }
                match socket.recv(inner.free_piece()) {
                    Ok(0) => {
                        *has_heard_end = true;
                        inner.end.get_or_insert(End::Orderly);
                        break Way::Waits;
                    }
                    Ok(len) => {
                        moved += len;
                        came(inner, len);
                    }
                    Err(RecvError::WouldBlock) => {
                        socket.register_recv_waker(&shared.waker);
                        break Way::Waits;
                    }
                    Err(error) => {
                        *has_heard_end = true;
                        let error = match error {
                            RecvError::Over(error) => StreamError::Over(error),
                            _ => StreamError::PeerClosed,
                        };
                        inner.end.get_or_insert(End::Failed(error));
                        break Way::Waits;
                    }
                }
            };
            (way, moved > 0 || inner.end.is_some())
        })
    }

    /// The application wants no more of it: what it wrote still goes, then the
    /// socket is closed. With octets that it did not read it is an abort, as the
    /// stack has it, and if it never got the stream.
    fn close<P: Provider>(&mut self, mut socket: Socket<'_, P>) -> Step {
        self.is_closing = true;
        let stopped = EngineError::Stopped;
        self.shared.abandon(&stopped);
        let unread = self.shared.inward.serve(|inner| (inner.len() > 0 && !inner.is_shut, false));
        if unread || !self.is_open || !self.shared.is_taken.load(Ordering::Acquire) {
            socket.abort();
            return Step::Over;
        }
        let is_sent = self.shared.outward.serve(|inner| {
            while !self.has_said_end && inner.len() > 0 {
                match socket.send(inner.piece()) {
                    Ok(sent) => inner.taken(sent),
                    Err(SendError::WouldBlock) => {
                        socket.register_send_waker(&self.shared.waker);
                        return (false, false);
                    }
                    Err(_) => break,
                }
            }
            (true, false)
        });
        if is_sent {
            socket.close();
            return Step::Over;
        }
        Step::Closing
    }

    /// It has taken too long to close.
    pub(crate) fn abort<P: Provider>(&self, stack: &mut Stack<P>) {
        if let Ok(socket) = stack.socket(self.socket) {
            socket.abort();
        }
    }
}

/// Octets have come; who has shut down reading does not want them, and the peer is
/// not to wait for that.
fn came(inner: &mut Inner, len: usize) {
    inner.filled(len);
    if inner.is_shut {
        inner.taken(len);
    }
}

fn failure(error: SendError) -> StreamError {
    match error {
        SendError::Over(error) => StreamError::Over(error),
        SendError::ShutDown => StreamError::ShutDown,
        _ => StreamError::PeerClosed,
    }
}
