use smolsmc_wire::{Lkey, Rkey};

/// A stretch of registered memory (scatter/gather element, IBTA §10.7.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sge {
    /// Address of the first octet, counted from the registration's iova.
    pub addr: u64,
    /// Length in octets.
    pub len: u32,
    /// The registration.
    pub lkey: Lkey,
}

/// What a send request carries, or where an RDMA READ puts what it fetches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// Registered memory, one stretch after the other. It must stay as it is
    /// until the request has completed: retransmission reads it again.
    Registered(&'a [Sge]),
    /// Octets that are copied while posting, at most the queue pair's
    /// `max_inline_data`.
    Inline(&'a [u8]),
}

/// What is to be done (IBTA §9.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendOperation {
    /// Into the peer's next receive.
    Send,
    /// Into the peer's memory, without its notice.
    Write {
        /// Address in the peer's registration.
        remote_addr: u64,
        /// The peer's key.
        rkey: Rkey,
    },
    /// Into the peer's memory, and these four octets into its next receive.
    WriteWithImmediate {
        /// Address in the peer's registration.
        remote_addr: u64,
        /// The peer's key.
        rkey: Rkey,
        /// As they stand on the wire.
        immediate: [u8; 4],
    },
    /// From the peer's memory.
    Read {
        /// Address in the peer's registration.
        remote_addr: u64,
        /// The peer's key.
        rkey: Rkey,
    },
}

/// A request to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendRequest<'a> {
    /// Comes back in its completion.
    pub wr_id: u64,
    /// What is to be done.
    pub operation: SendOperation,
    /// With what.
    pub payload: Payload<'a>,
    /// Whether success is reported. Failure always is. A signalled completion
    /// says that all requests posted before it on this queue pair are done too.
    pub signalled: bool,
    /// Whether the peer's armed completion queue is to notify
    /// (IBTA §9.2.3, solicited event).
    pub solicited: bool,
}

/// A place for one incoming message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecvRequest<'a> {
    /// Comes back in its completion.
    pub wr_id: u64,
    /// Where the octets go. Registered with [`crate::Access::LOCAL_WRITE`].
    pub sges: &'a [Sge],
}
