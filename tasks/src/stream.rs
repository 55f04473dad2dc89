//! A connection, as tasks know it.

use std::future::poll_fn;
use std::task::{Context, Poll};

use smolsmc_stack::{ConnectionError, RecvError, SendError, Socket, SocketHandle, Transport};
use smolsmc_verbs::Provider;

use crate::executor::Core;

/// A connection over SMC-R, or TCP where the peer has none. One task may wait for
/// octets and another for room; a second one of either takes the place of the first.
/// Dropped, it is closed ([`Socket::close`]).
pub struct Stream<P: Provider, D> {
    core: Core<P, D>,
    handle: SocketHandle,
}

/// Somebody closed it behind its back.
const GONE: ConnectionError = ConnectionError::AbortedHere;

impl<P: Provider, D> Stream<P, D> {
    pub(crate) const fn new(core: Core<P, D>, handle: SocketHandle) -> Self {
        Self { core, handle }
    }

    /// Anything else a socket can do.
    ///
    /// # Errors
    /// [`ConnectionError::AbortedHere`] if somebody has closed it behind its back
    /// ([`Core::with`]).
    ///
    /// # Panics
    /// If `f` uses a stream or a core: the stack is lent to it.
    pub fn with<T>(&self, f: impl FnOnce(Socket<'_, P>) -> T) -> Result<T, ConnectionError> {
        self.core.with(|stack| stack.socket(self.handle).map(f).map_err(|_| GONE))
    }

    /// Until it stands.
    pub(crate) async fn open(&self) -> Result<(), ConnectionError> {
        poll_fn(|context| {
            let open = self.with(|mut socket| {
                let readiness = socket.readiness();
                if let Some(error) = socket.error() {
                    return Poll::Ready(Err(error));
                }
                if readiness.is_open {
                    return Poll::Ready(Ok(()));
                }
                socket.register_send_waker(context.waker());
                Poll::Pending
            });
            open.unwrap_or_else(|gone| Poll::Ready(Err(gone)))
        })
        .await
    }

    /// [`Socket::recv`], or the task is woken when there is something.
    ///
    /// # Errors
    /// In [`Poll::Ready`], as [`Socket::recv`].
    pub fn poll_recv(&self, context: &Context<'_>, out: &mut [u8]) -> Poll<Result<usize, ConnectionError>> {
        let received = self.with(|mut socket| match socket.recv(out) {
            Ok(len) => Poll::Ready(Ok(len)),
            Err(RecvError::WouldBlock) => {
                socket.register_recv_waker(context.waker());
                Poll::Pending
            }
            Err(RecvError::Over(error)) => Poll::Ready(Err(error)),
            Err(_) => Poll::Ready(Err(GONE)),
        });
        received.unwrap_or_else(|gone| Poll::Ready(Err(gone)))
    }

    /// [`Socket::send`], or the task is woken when there is room.
    ///
    /// # Errors
    /// In [`Poll::Ready`], as [`Socket::send`].
    pub fn poll_send(&self, context: &Context<'_>, octets: &[u8]) -> Poll<Result<usize, SendError>> {
        let sent = self.with(|mut socket| match socket.send(octets) {
            Err(SendError::WouldBlock) => {
                socket.register_send_waker(context.waker());
                Poll::Pending
            }
            sent => Poll::Ready(sent),
        });
        sent.unwrap_or_else(|gone| Poll::Ready(Err(SendError::Over(gone))))
    }

    /// Receives octets, as many as there are; 0 at the end of the stream.
    ///
    /// # Errors
    /// As [`Socket::recv`].
    pub async fn recv(&self, out: &mut [u8]) -> Result<usize, ConnectionError> {
        poll_fn(|context| self.poll_recv(context, out)).await
    }

    /// Receives until `out` is full or the stream ends; how many came.
    ///
    /// # Errors
    /// As [`Socket::recv`].
    pub async fn recv_full(&self, out: &mut [u8]) -> Result<usize, ConnectionError> {
        let mut received = 0;
        while let Some(rest) = out.get_mut(received..).filter(|rest| !rest.is_empty()) {
            match self.recv(rest).await? {
                0 => break,
                len => received += len,
            }
        }
        Ok(received)
    }

    /// Sends octets, as many as there is room for; returns how many.
    ///
    /// # Errors
    /// As [`Socket::send`].
    pub async fn send(&self, octets: &[u8]) -> Result<usize, SendError> {
        poll_fn(|context| self.poll_send(context, octets)).await
    }

    /// Sends all of them.
    ///
    /// # Errors
    /// As [`Socket::send`]; some may have been sent.
    pub async fn send_all(&self, octets: &[u8]) -> Result<(), SendError> {
        let mut rest = octets;
        while !rest.is_empty() {
            let sent = self.send(rest).await?;
            rest = rest.get(sent..).unwrap_or_default();
        }
        Ok(())
    }

    /// Sends no more ([`Socket::shutdown`]).
    pub fn shutdown(&self) {
        // One that is gone sends nothing any more either.
        let _ = self.with(|mut socket| socket.shutdown());
    }

    /// Ends it at once; the peer is told so.
    pub fn abort(self) {
        let _ = self.with(|socket| {
            socket.abort();
        });
    }

    /// What carries it.
    #[must_use]
    pub fn transport(&self) -> Option<Transport> {
        self.with(|socket| socket.transport()).ok().flatten()
    }
}

impl<P: Provider, D> Drop for Stream<P, D> {
    fn drop(&mut self) {
        // It may have been aborted.
        let _ = self.with(|socket| {
            socket.close();
        });
    }
}
