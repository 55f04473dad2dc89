//! What an application does with a connection.

mod cork;
mod options;
mod pass;
mod recv;
mod send;
#[cfg(feature = "embedded-io")]
mod stream;
mod urgent;

use smolsmc_cdc::CloseEvent;
use smolsmc_verbs::Provider;
use smolsmc_wire::Instant;

use crate::connection::{Connection, Phase};
use crate::error::ConnectionError;
use crate::handle::SocketHandle;
use crate::shared::Shared;
use crate::transport::Transport;
use crate::wakers::Wakers;

pub(crate) use cork::Cork;
pub use recv::ReadableSpan;
#[cfg(feature = "embedded-io")]
pub use stream::{Stream, StreamError};

/// A connection, borrowed from its stack. Calls touch buffers and state only:
/// what is to be sent leaves with the next [`Stack::poll`](crate::Stack::poll), or the
/// word of it, where octets lie in the peer's memory already.
pub struct Socket<'a, P: Provider> {
    pub(crate) handle: SocketHandle,
    pub(crate) connection: &'a mut Connection,
    pub(crate) shared: &'a mut Shared<P>,
    /// Octets that the last [`Socket::reserve`] lent.
    reserved: usize,
}

/// What can be done with a socket now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Both handshakes are done; [`Socket::transport`] says how.
    pub is_open: bool,
    /// [`Socket::recv`] would not block: octets, the end of the stream, or an
    /// error.
    pub readable: bool,
    /// [`Socket::recv_urgent`] would return an octet.
    pub urgent: bool,
    /// [`Socket::send`] would not block.
    pub writable: bool,
    /// The connection ended with an error: [`Socket::error`].
    pub failed: bool,
}

impl<'a, P: Provider> Socket<'a, P> {
    pub(crate) const fn new(
        handle: SocketHandle,
        connection: &'a mut Connection,
        shared: &'a mut Shared<P>,
    ) -> Self {
        Self { handle, connection, shared, reserved: 0 }
    }

    /// Sends no more: the peer reads to the end of what was sent, and finds the
    /// end of the stream. Receiving goes on.
    pub fn shutdown(&mut self) {
        match &mut self.connection.phase {
            Phase::Smc(smc) => smc.close.step(CloseEvent::Shutdown),
            Phase::Tcp(_) => self.connection.tcp.close(),
            _ => {}
        }
        self.settle();
    }

    /// Closes: what was sent still arrives. With octets unread it is an abort,
    /// as with TCP and Linux 6.12 smc_close. The handle is gone; the connection
    /// ends by itself.
    pub fn close(mut self) {
        let until = self.until_gone();
        self.shared.wait_no_longer(self.handle, self.connection);
        match &mut self.connection.phase {
            Phase::Smc(smc) => {
                let unread = smc.flow.readable() > 0;
                smc.close.step(if unread { CloseEvent::Abort } else { CloseEvent::Close });
                self.connection.phase_until = Some(until);
            }
            Phase::Tcp(_) => {
                if self.connection.tcp.readable() > 0 {
                    self.connection.tcp.abort();
                } else {
                    self.connection.tcp.close();
                }
                self.connection.phase_until = Some(until);
            }
            Phase::Opening | Phase::Rendezvous(_) => {
                self.shared.break_off(self.handle, self.connection, ConnectionError::AbortedHere);
            }
            Phase::Over(_) => {}
        }
        self.release();
    }

    /// Ends the connection at once; the peer is told so.
    pub fn abort(mut self) {
        let until = self.until_gone();
        self.shared.wait_no_longer(self.handle, self.connection);
        match &mut self.connection.phase {
            Phase::Smc(smc) => {
                smc.close.step(CloseEvent::Abort);
                self.connection.phase_until = Some(until);
            }
            Phase::Tcp(_) => self.connection.tcp.abort(),
            Phase::Opening | Phase::Rendezvous(_) => {
                self.shared.break_off(self.handle, self.connection, ConnectionError::AbortedHere);
            }
            Phase::Over(_) => {}
        }
        self.release();
    }

    /// When the end has taken too long.
    fn until_gone(&self) -> Instant {
        let linger = self.connection.options.linger;
        self.shared.now + linger.unwrap_or(self.shared.config.timers.close)
    }

    fn release(&mut self) {
        self.connection.is_released = true;
        self.connection.wakers = Wakers::default();
        self.settle();
    }

    pub(crate) fn settle(&mut self) {
        match self.connection.phase {
            // On the hot path only what has something to say costs anything.
            Phase::Smc(_) if !self.connection.is_released => self.shared.queue(self.handle, self.connection),
            _ => {
                self.shared.queue(self.handle, self.connection);
                self.shared.touch(self.handle, self.connection);
            }
        }
    }

    /// What carries it, once the handshake is done.
    #[must_use]
    pub const fn transport(&self) -> Option<Transport> {
        match &self.connection.phase {
            Phase::Smc(smc) => Some(smc.transport),
            Phase::Tcp(fallback) => Some(Transport::Tcp(*fallback)),
            _ => None,
        }
    }

    /// Why it ended, if it did otherwise than by both sides closing it.
    #[must_use]
    pub const fn error(&self) -> Option<ConnectionError> {
        match &self.connection.phase {
            Phase::Over(error) => Some(*error),
            Phase::Smc(smc) => smc.error,
            _ => None,
        }
    }

    /// What can be done now.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        self.connection.readiness()
    }

    /// Whether it still holds TCP buffers: over SMC-R they go with the peer's
    /// first CDC message.
    #[must_use]
    pub const fn has_tcp_buffers(&self) -> bool {
        self.connection.tcp.quiet.is_none()
    }
}
