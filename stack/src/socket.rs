//! What an application does with a connection.

use core::net::SocketAddr;

use smolsmc_cdc::{CloseEvent, StateFlags};
use smolsmc_verbs::{Provider, RemoteSpan};

use crate::connection::{Connection, Phase, Smc};
use crate::error::{ConnectionError, RecvError, SendError};
use crate::handle::SocketHandle;
use crate::shared::Shared;
use crate::transport::Transport;

/// A connection, borrowed from its stack. Calls touch buffers and state only:
/// what is to be sent leaves with the next [`Stack::poll`](crate::Stack::poll).
pub struct Socket<'a, P: Provider> {
    pub(crate) handle: SocketHandle,
    pub(crate) connection: &'a mut Connection,
    pub(crate) shared: &'a mut Shared<P>,
}

/// What can be done with a socket now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Both handshakes are done; [`Socket::transport`] says how.
    pub is_open: bool,
    /// [`Socket::recv`] would not block: octets, the end of the stream, or an
    /// error.
    pub readable: bool,
    /// [`Socket::send`] would not block.
    pub writable: bool,
    /// The connection ended with an error: [`Socket::error`].
    pub failed: bool,
}

impl<P: Provider> Socket<'_, P> {
    /// Sends octets, as many as there is room for; returns how many.
    ///
    /// # Errors
    /// [`SendError::WouldBlock`] if there is no room, or no connection yet.
    pub fn send(&mut self, octets: &[u8]) -> Result<usize, SendError> {
        if octets.is_empty() {
            return Ok(0);
        }
        let sent = match &mut self.connection.phase {
            Phase::Opening | Phase::Rendezvous(_) => return Err(SendError::WouldBlock),
            Phase::Over(error) => return Err(SendError::Over(*error)),
            Phase::Smc(smc) => smc.send(&mut self.shared.provider, octets)?,
            Phase::Tcp(_) => {
                let tcp = &mut self.connection.tcp;
                if !tcp.may_send() {
                    return Err(tcp_send_error(tcp.is_reset()));
                }
                match tcp.socket_mut().send_slice(octets) {
                    Ok(0) => return Err(SendError::WouldBlock),
                    Ok(sent) => sent,
                    Err(_) => return Err(SendError::ShutDown),
                }
            }
        };
        self.settle();
        Ok(sent)
    }

    /// Receives octets into `out`, as many as there are; returns how many, 0 at
    /// the end of the stream.
    ///
    /// # Errors
    /// [`RecvError::WouldBlock`] if there is nothing now.
    pub fn recv(&mut self, out: &mut [u8]) -> Result<usize, RecvError> {
        let received = match &mut self.connection.phase {
            Phase::Opening | Phase::Rendezvous(_) => return Err(RecvError::WouldBlock),
            Phase::Over(error) => return Err(RecvError::Over(*error)),
            Phase::Smc(smc) => smc.recv(&self.shared.provider, out)?,
            Phase::Tcp(_) if self.connection.may_cross => return Err(RecvError::WouldBlock),
            Phase::Tcp(_) => {
                let tcp = &mut self.connection.tcp;
                if tcp.readable() == 0 {
                    return match tcp.is_at_end() {
                        true if tcp.is_reset() => Err(RecvError::Over(ConnectionError::Reset)),
                        true => Ok(0),
                        false => Err(RecvError::WouldBlock),
                    };
                }
                tcp.socket_mut().recv_slice(out).unwrap_or(0)
            }
        };
        self.settle();
        Ok(received)
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
        let until = self.shared.now + self.shared.config.timers.close;
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
        let until = self.shared.now + self.shared.config.timers.close;
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

    fn release(&mut self) {
        self.connection.is_released = true;
        self.settle();
    }

    fn settle(&mut self) {
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
        match &self.connection.phase {
            Phase::Opening | Phase::Rendezvous(_) => Readiness::default(),
            Phase::Over(_) => Readiness { is_open: false, readable: true, writable: true, failed: true },
            Phase::Smc(smc) => Readiness {
                is_open: true,
                readable: smc.flow.readable() > 0
                    || smc.flow.peer_state().ends_stream()
                    || smc.error.is_some(),
                writable: smc.flow.room() > 0 || smc.send_error().is_some(),
                failed: smc.error.is_some(),
            },
            Phase::Tcp(_) => {
                let tcp = &self.connection.tcp;
                Readiness {
                    is_open: true,
                    readable: !self.connection.may_cross && (tcp.readable() > 0 || tcp.is_at_end()),
                    writable: tcp.room() > 0 || !tcp.may_send(),
                    failed: tcp.is_reset(),
                }
            }
        }
    }

    /// Our end.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.connection.tuple.local
    }

    /// The peer's end.
    #[must_use]
    pub const fn remote_addr(&self) -> SocketAddr {
        self.connection.tuple.remote
    }
}

const fn tcp_send_error(is_reset: bool) -> SendError {
    if is_reset { SendError::Over(ConnectionError::Reset) } else { SendError::ShutDown }
}

impl Smc {
    /// Why nothing can be sent any more.
    fn send_error(&self) -> Option<SendError> {
        if let Some(error) = self.error {
            return Some(SendError::Over(error));
        }
        if !self.close.said().is_empty() {
            return Some(SendError::ShutDown);
        }
        let c_or_a = StateFlags::CLOSED.union(StateFlags::ABNORMAL_CLOSE);
        self.flow.peer_state().intersects(c_or_a).then_some(SendError::PeerClosed)
    }

    #[inline]
    fn send<P: Provider>(&mut self, provider: &mut P, octets: &[u8]) -> Result<usize, SendError> {
        if let Some(error) = self.send_error() {
            return Err(error);
        }
        let len = octets.len().min(self.flow.room() as usize);
        if len == 0 {
            return Err(SendError::WouldBlock);
        }
        let mut rest = octets.get(..len).unwrap_or_default();
        while !rest.is_empty() {
            let offset = self.flow.prepare_offset();
            let to_end = (self.flow.sizes().send - offset) as usize;
            let (now, later) = rest.split_at(rest.len().min(to_end));
            let Ok(memory) = provider.outgoing(self.send.memory, offset as usize, now.len()) else { break };
            memory.copy_from_slice(now);
            // Both are at most the ring.
            self.flow.prepare(now.len() as u32);
            rest = later;
        }
        Ok(len - rest.len())
    }

    #[inline]
    fn recv<P: Provider>(&mut self, provider: &P, out: &mut [u8]) -> Result<usize, RecvError> {
        if self.flow.readable() == 0 {
            return match self.error {
                _ if self.flow.peer_state().ends_stream() => Ok(0),
                Some(error) => Err(RecvError::Over(error)),
                None => Err(RecvError::WouldBlock),
            };
        }
        let mut received = 0;
        while received < out.len() && self.flow.readable() > 0 {
            let offset = self.flow.read_offset();
            let len = self.flow.readable().min(self.flow.sizes().own - offset) as usize;
            let Some(rest) = out.get_mut(received..) else { break };
            let len = len.min(rest.len());
            let Ok(span) = provider.incoming(self.rmb.memory, offset as usize, len) else { break };
            let copied = span.copy_to(0, rest);
            if copied == 0 {
                break;
            }
            self.flow.consume(copied as u32);
            received += copied;
        }
        Ok(received)
    }
}
