//! What can go wrong, and how `std::io` says it.

use std::io::{self, ErrorKind};

use smolsmc_stack::{ConnectError, ConnectionError, ListenError};

/// What is wrong with the engine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The system has no more threads.
    #[error("the engine's thread cannot be started: {0}")]
    NoThread(String),
    /// The host could not be made: the caller's fault, or a limit.
    #[error("the engine's host: {0}")]
    NoHost(String),
    /// Waiting failed, by the system's fault.
    #[error("the engine cannot wait: {0}")]
    Wait(String),
    /// The engine has been stopped.
    #[error("the engine has stopped")]
    Stopped,
    /// The engine's thread panicked.
    #[error("the engine's thread panicked")]
    Panicked,
}

/// Why a call of a stream or a listener failed: what `io::Error::get_ref` of its
/// error is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The connection ended otherwise than in order.
    #[error("{0}")]
    Over(#[from] ConnectionError),
    /// The peer has closed: nobody would read it.
    #[error("the peer has closed")]
    PeerClosed,
    /// This direction was shut down here.
    #[error("sending is shut down")]
    ShutDown,
    /// It did not become possible in time, by the timeout that was set.
    #[error("timed out")]
    TimedOut,
    /// It is not possible now, and the stream is not to wait.
    #[error("would block")]
    WouldBlock,
    /// A connection that could not be begun.
    #[error("{0}")]
    Connect(#[from] ConnectError),
    /// A listener that could not be made.
    #[error("{0}")]
    Listen(#[from] ListenError),
    /// The engine is not there any more.
    #[error("{0}")]
    Engine(#[from] EngineError),
}

impl StreamError {
    /// The nearest kind that `std::io` has.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Over(error) => kind_of(error),
            Self::PeerClosed | Self::ShutDown => ErrorKind::BrokenPipe,
            Self::TimedOut => ErrorKind::TimedOut,
            Self::WouldBlock => ErrorKind::WouldBlock,
            Self::Connect(ConnectError::BadAddress) | Self::Listen(ListenError::NoPort) => {
                ErrorKind::InvalidInput
            }
            Self::Connect(ConnectError::NoRoute) => ErrorKind::HostUnreachable,
            Self::Connect(ConnectError::NoFreePort) | Self::Listen(ListenError::NoSuchAddress) => {
                ErrorKind::AddrNotAvailable
            }
            Self::Listen(ListenError::InUse) => ErrorKind::AddrInUse,
            Self::Connect(_) | Self::Listen(_) => ErrorKind::OutOfMemory,
            Self::Engine(_) => ErrorKind::NotConnected,
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

impl From<StreamError> for io::Error {
    fn from(error: StreamError) -> Self {
        Self::new(error.kind(), error)
    }
}
