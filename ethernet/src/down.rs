use std::io;

use crate::MAX_FRAME_LEN;

/// Why a port carries no frames.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DownReason {
    /// The port listens, and its one peer has not come yet.
    #[error("no peer has connected yet")]
    NoPeerYet,
    /// The peer closed its end of the socket. It stays down.
    #[error("the peer closed the socket")]
    PeerClosed,
    /// The peer announced a frame longer than [`MAX_FRAME_LEN`]; where the next
    /// one would begin cannot be known. It stays down.
    #[error("the peer announced a frame of {announced} octets, and the longest is {MAX_FRAME_LEN}")]
    FrameTooLong {
        /// Octets it announced.
        announced: u32,
    },
    /// The interface is not up; frames flow again once it is.
    #[error("the interface is down (ip link set … up)")]
    InterfaceDown,
    /// The interface does not exist any more. It stays down.
    #[error("the interface is gone")]
    InterfaceGone,
    /// The operating system refused further use. It stays down.
    #[error("the port failed: {0}")]
    Io(io::Error),
}

impl DownReason {
    /// Whether the port can come up (again) by itself.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::NoPeerYet | Self::InterfaceDown)
    }
}
