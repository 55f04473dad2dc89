//! The way from the RMB, or from TCP's buffer, to the application.

use smolsmc_verbs::{Provider, RemoteSpan};

use super::Socket;
use crate::connection::{Phase, Smc};
use crate::error::{ConnectionError, RecvError};

/// A view of octets that have arrived, in one piece: [`Socket::readable_span`].
///
/// They can be copied, each is read once, and there is no reference to them: a
/// device or another process may write the memory at any time. A peer that
/// keeps to the rules leaves them alone until they are consumed.
pub struct ReadableSpan<'s, P: Provider + 's> {
    place: Place<'s, P>,
}

enum Place<'s, P: Provider + 's> {
    Rmb(P::Span<'s>),
    Tcp(&'s [u8]),
}

impl<P: Provider> RemoteSpan for ReadableSpan<'_, P> {
    fn len(&self) -> usize {
        match &self.place {
            Place::Rmb(span) => span.len(),
            Place::Tcp(octets) => octets.len(),
        }
    }

    fn copy_to(&self, offset: usize, out: &mut [u8]) -> usize {
        match &self.place {
            Place::Rmb(span) => span.copy_to(offset, out),
            Place::Tcp(octets) => octets.copy_to(offset, out),
        }
    }

    fn as_ptr(&self) -> *const u8 {
        match &self.place {
            Place::Rmb(span) => span.as_ptr(),
            Place::Tcp(octets) => octets.as_ptr(),
        }
    }
}

impl<P: Provider> Socket<'_, P> {
    /// Receives octets into `out`, as many as there are; returns how many, 0 at
    /// the end of the stream: all the peer sent before its close has been read.
    /// (Linux 6.12 reads 0 after an abort, too; here that is an error, so that a
    /// stream cut short is never taken for a whole one.) It stops where an urgent octet is or was, so that
    /// [`Socket::is_at_urgent`] can be asked.
    ///
    /// # Errors
    /// [`RecvError::WouldBlock`] if there is nothing now; [`RecvError::Over`] once
    /// the connection has failed or the peer has aborted it, and what came before
    /// has been read.
    pub fn recv(&mut self, out: &mut [u8]) -> Result<usize, RecvError> {
        let received = self.take(out);
        self.received(received)
    }

    /// Receives octets into several places, one after the other; returns how
    /// many in all, 0 at the end of the stream.
    ///
    /// # Errors
    /// As [`Socket::recv`], if there is not a single octet.
    pub fn recv_vectored(&mut self, pieces: &mut [&mut [u8]]) -> Result<usize, RecvError> {
        let mut received = 0;
        for out in pieces.iter_mut().filter(|out| !out.is_empty()) {
            match self.take(out) {
                Ok(here) => {
                    received += here;
                    if here < out.len() {
                        break;
                    }
                }
                Err(error) if received == 0 => return self.received(Err(error)),
                Err(_) => break,
            }
        }
        self.received(Ok(received))
    }

    /// Copies the octets that [`Socket::recv`] would receive next, and leaves
    /// them where they are; returns how many, 0 at the end of the stream.
    ///
    /// # Errors
    /// As [`Socket::recv`].
    pub fn peek(&mut self, out: &mut [u8]) -> Result<usize, RecvError> {
        let len = self.next_read()?.min(out.len());
        let out = out.get_mut(..len).unwrap_or_default();
        match &self.connection.phase {
            Phase::Smc(smc) => Ok(smc.copy(&self.shared.provider, out)),
            _ => Ok(self.connection.tcp.peek_slice(out)),
        }
    }

    /// A view of the octets that [`Socket::recv`] would receive next, as far as
    /// they lie in one piece, where they have arrived; empty at the end of the
    /// stream. [`Socket::consume`] goes past them; then there may be more.
    ///
    /// # Errors
    /// As [`Socket::recv`].
    pub fn readable_span(&mut self) -> Result<ReadableSpan<'_, P>, RecvError> {
        let len = self.next_read()?;
        let place = match &self.connection.phase {
            Phase::Smc(_) if len == 0 => Place::Tcp(&[]),
            Phase::Smc(smc) => {
                let offset = smc.flow.read_offset();
                let len = len.min((smc.flow.sizes().own - offset) as usize);
                let span = self.shared.provider.incoming(smc.rmb.memory, offset as usize, len);
                Place::Rmb(span.map_err(|error| RecvError::Over(ConnectionError::Exhausted(error)))?)
            }
            _ => Place::Tcp(self.connection.tcp.readable_piece()),
        };
        Ok(ReadableSpan { place })
    }

    /// Goes past the next `n` octets as if they had been received; at most as
    /// many as [`Socket::recv`] would receive. Returns how many.
    pub fn consume(&mut self, n: usize) -> usize {
        let n = n.min(self.next_read().unwrap_or(0));
        match &mut self.connection.phase {
            // At most the ring.
            Phase::Smc(smc) => smc.flow.consume(n as u32),
            // In two pieces, if the buffer wraps among them.
            _ => {
                let tcp = &mut self.connection.tcp;
                let first = n.min(tcp.readable_piece().len());
                tcp.skip(first);
                tcp.skip(n - first);
            }
        }
        self.received(Ok(n)).unwrap_or(0)
    }

    /// Octets that a read gets now; 0 at the end of the stream.
    #[inline]
    fn next_read(&self) -> Result<usize, RecvError> {
        match &self.connection.phase {
            Phase::Opening | Phase::Rendezvous(_) => Err(RecvError::WouldBlock),
            Phase::Over(error) => Err(RecvError::Over(*error)),
            Phase::Smc(smc) => smc.next_read(),
            Phase::Tcp(_) if self.connection.may_cross => Err(RecvError::WouldBlock),
            Phase::Tcp(_) => {
                let tcp = &self.connection.tcp;
                match tcp.readable() {
                    0 if !tcp.is_at_end() => Err(RecvError::WouldBlock),
                    0 if tcp.is_reset() => Err(RecvError::Over(ConnectionError::Reset)),
                    readable => Ok(readable),
                }
            }
        }
    }

    /// Receives octets, without a thought for what follows.
    #[inline]
    fn take(&mut self, out: &mut [u8]) -> Result<usize, RecvError> {
        let len = self.next_read()?.min(out.len());
        let out = out.get_mut(..len).unwrap_or_default();
        match &mut self.connection.phase {
            Phase::Smc(smc) => {
                let received = smc.copy(&self.shared.provider, out);
                // At most the ring.
                smc.flow.consume(received as u32);
                Ok(received)
            }
            _ => Ok(self.connection.tcp.recv_slice(out)),
        }
    }
}

impl Smc {
    #[inline]
    fn next_read(&self) -> Result<usize, RecvError> {
        let state = self.flow.peer_state();
        match (self.flow.next_read(), self.error) {
            (0, _) if state.completes_stream() => Ok(0),
            (0, Some(error)) => Err(RecvError::Over(error)),
            // Aborted, with no error of its own: not the end of a stream either.
            (0, None) if state.ends_stream() => Err(RecvError::Over(ConnectionError::PeerAborted)),
            (0, None) => Err(RecvError::WouldBlock),
            (readable, _) => Ok(readable as usize),
        }
    }

    /// Copies the next octets, of which there are as many as `out` is long.
    #[inline]
    fn copy<P: Provider>(&self, provider: &P, out: &mut [u8]) -> usize {
        let mut copied = 0;
        let (mut offset, size) = (self.flow.read_offset(), self.flow.sizes().own);
        // Once more if the ring wraps among them.
        while copied < out.len() {
            let Some(rest) = out.get_mut(copied..) else { break };
            let len = rest.len().min((size - offset) as usize);
            let Ok(span) = provider.incoming(self.rmb.memory, offset as usize, len) else { break };
            let here = span.copy_to(0, rest);
            if here == 0 {
                break;
            }
            copied += here;
            offset = 0;
        }
        copied
    }
}
