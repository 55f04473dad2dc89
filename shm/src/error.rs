use std::io;

/// Why a wire does not come about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The system refused.
    #[error("the system refused: {0}")]
    System(#[from] io::Error),
    /// Our configuration cannot be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Nothing was heard of the peer in time.
    #[error("the peer did not answer in time")]
    TimedOut,
    /// The peer went away.
    #[error("the peer went away before the wire was there")]
    Closed,
    /// The peer is another user's process.
    #[error("the peer belongs to another user: {0}")]
    Stranger(u32),
    /// What the peer said makes no sense, or is of another version.
    #[error("the peer's greeting is wrong: {0}")]
    Greeting(&'static str),
    /// The peer's memory cannot be used.
    #[error("the peer's memory cannot be used: {0}")]
    Memory(#[from] MemoryError),
}

impl From<rustix::io::Errno> for OpenError {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::System(errno.into())
    }
}

/// Why memory of a peer's cannot be used. All the peer's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MemoryError {
    /// A file on a disk, or huge pages, can fail when they are touched.
    #[error("it is not a memory file of ordinary pages")]
    Kind,
    /// It could be cut short under us.
    #[error("it is not sealed against shrinking")]
    Unsealed,
    /// It is not as long as was said.
    #[error("it has {got} octets instead of {said}")]
    Length {
        /// What the peer said.
        said: u64,
        /// What there is.
        got: u64,
    },
}

/// What is wrong with a configuration. All our caller's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A limit is outside of what a NIC can be made for.
    #[error("{what} must be {least} to {most}")]
    Limit {
        /// The field.
        what: &'static str,
        /// Its smallest value.
        least: u64,
        /// Its largest.
        most: u64,
    },
    /// A limit must be a power of two.
    #[error("{0} must be a power of two")]
    PowerOfTwo(&'static str),
    /// GIDs of this number are none, or too many.
    #[error("a port has 1 to {max} GIDs, not {0}", max = crate::MAX_GIDS)]
    Gids(usize),
    /// A GID of zeros.
    #[error("the GID is zero")]
    ZeroGid,
    /// No such device or port.
    #[error("no such {0}")]
    NoSuch(&'static str),
}

/// Why a wire that was there is gone; its port is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireFault {
    /// The peer's process ended, or closed its end.
    #[error("the peer is gone")]
    PeerGone,
    /// The peer claims to have consumed what was never sent.
    #[error("the peer misbehaved: a ring's index makes no sense")]
    RingIndex,
    /// The peer's ring holds a message that cannot be.
    #[error("the peer misbehaved: a message makes no sense")]
    Message,
    /// The peer did not leave memory whose registration ended.
    #[error("the peer did not leave memory that was withdrawn from it")]
    StuckInside,
}
