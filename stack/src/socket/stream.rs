//! The traits of `embedded-io` over a socket.

use embedded_io::{Error, ErrorKind, ErrorType, Read, ReadReady, Write, WriteReady};
use smolsmc_verbs::Provider;

use super::Socket;
use crate::error::{ConnectionError, RecvError, SendError};

/// A socket with the traits of `embedded-io`. Nothing moves but by
/// [`Stack::poll`](crate::Stack::poll), so it never waits: where those traits
/// would block there is an error ([`StreamError::is_would_block`]). Ask
/// [`ReadReady`] and [`WriteReady`] before, or poll and try again.
pub struct Stream<'a, P: Provider>(Socket<'a, P>);

/// Why a call of [`Stream`] failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// Writing.
    #[error("{0}")]
    Send(#[from] SendError),
    /// Reading.
    #[error("{0}")]
    Recv(#[from] RecvError),
}

impl StreamError {
    /// Whether the same call may succeed after a poll. `embedded-io` has no kind
    /// for it: [`ErrorKind::Other`].
    #[must_use]
    pub const fn is_would_block(&self) -> bool {
        matches!(self, Self::Send(SendError::WouldBlock) | Self::Recv(RecvError::WouldBlock))
    }
}

impl Error for StreamError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Send(SendError::WouldBlock) | Self::Recv(RecvError::WouldBlock) => ErrorKind::Other,
            Self::Send(SendError::ShutDown | SendError::PeerClosed) => ErrorKind::BrokenPipe,
            Self::Send(SendError::NoUrgent) => ErrorKind::Unsupported,
            Self::Send(SendError::Over(error)) | Self::Recv(RecvError::Over(error)) => kind_of(error),
        }
    }
}

const fn kind_of(error: &ConnectionError) -> ErrorKind {
    match error {
        ConnectionError::Refused => ErrorKind::ConnectionRefused,
        ConnectionError::Reset | ConnectionError::PeerAborted => ErrorKind::ConnectionReset,
        ConnectionError::TimedOut(_) | ConnectionError::CloseTimeout => ErrorKind::TimedOut,
        ConnectionError::BadMessage(_) | ConnectionError::OutOfTurn | ConnectionError::PeerMisbehaved(_) => {
            ErrorKind::InvalidData
        }
        ConnectionError::NotSmc { .. } | ConnectionError::Eyecatcher => ErrorKind::Unsupported,
        ConnectionError::Exhausted(_) => ErrorKind::OutOfMemory,
        _ => ErrorKind::ConnectionAborted,
    }
}

impl<'a, P: Provider> Stream<'a, P> {
    /// The socket again.
    #[must_use]
    pub fn into_socket(self) -> Socket<'a, P> {
        self.0
    }
}

impl<'a, P: Provider> From<Socket<'a, P>> for Stream<'a, P> {
    fn from(socket: Socket<'a, P>) -> Self {
        Self(socket)
    }
}

impl<P: Provider> ErrorType for Stream<'_, P> {
    type Error = StreamError;
}

impl<P: Provider> Read for Stream<'_, P> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize, StreamError> {
        if out.is_empty() {
            return Ok(0);
        }
        Ok(self.0.recv(out)?)
    }
}

impl<P: Provider> Write for Stream<'_, P> {
    fn write(&mut self, octets: &[u8]) -> Result<usize, StreamError> {
        Ok(self.0.send(octets)?)
    }

    /// Succeeds once the peer has acknowledged all that was written.
    fn flush(&mut self) -> Result<(), StreamError> {
        match self.0.unacknowledged() {
            0 => Ok(()),
            _ => Err(SendError::WouldBlock.into()),
        }
    }
}

impl<P: Provider> ReadReady for Stream<'_, P> {
    fn read_ready(&mut self) -> Result<bool, StreamError> {
        Ok(self.0.readiness().readable)
    }
}

impl<P: Provider> WriteReady for Stream<'_, P> {
    fn write_ready(&mut self) -> Result<bool, StreamError> {
        Ok(self.0.readiness().writable)
    }
}
