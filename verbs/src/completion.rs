use core::fmt;

use crate::QpHandle;

/// How a request ended (IBTA §11.6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum WcStatus {
    /// Done.
    Success,
    /// A receive was too short for its message, or a request longer than the
    /// largest message.
    LocalLength,
    /// Something inside the queue pair is inconsistent.
    LocalQpOperation,
    /// An element names no memory the queue pair may use.
    LocalProtection,
    /// The queue pair went to ERR before it was done.
    Flushed,
    /// The peer's response made no sense.
    BadResponse,
    /// A peer's request hit memory it may not touch. On the responder.
    LocalAccess,
    /// The peer refused it as invalid: NAK 0x61.
    RemoteInvalidRequest,
    /// The peer refused the key, the range or the right: NAK 0x62.
    RemoteAccess,
    /// The peer could not do it: NAK 0x63.
    RemoteOperation,
    /// No answer, as often as it was tried.
    RetryExceeded,
    /// The peer had no receive posted, as often as it was tried.
    RnrRetryExceeded,
}

impl fmt::Display for WcStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Success => "success",
            Self::LocalLength => "local length error",
            Self::LocalQpOperation => "local QP operation error",
            Self::LocalProtection => "local protection error",
            Self::Flushed => "flushed",
            Self::BadResponse => "bad response",
            Self::LocalAccess => "local access error",
            Self::RemoteInvalidRequest => "remote invalid request",
            Self::RemoteAccess => "remote access error",
            Self::RemoteOperation => "remote operation error",
            Self::RetryExceeded => "retries exceeded",
            Self::RnrRetryExceeded => "RNR retries exceeded",
        })
    }
}

/// Which kind of request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WcOpcode {
    /// A SEND of ours.
    Send,
    /// An RDMA WRITE of ours, with immediate or without.
    Write,
    /// An RDMA READ of ours.
    Read,
    /// A receive that took a SEND.
    Receive,
    /// A receive that took the immediate of a peer's RDMA WRITE.
    ReceiveWriteWithImmediate,
}

/// A request that ended (IBTA §11.4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The request's.
    pub wr_id: u64,
    /// Where it was posted.
    pub qp: QpHandle,
    /// How it ended. Unless it is success, only `wr_id` and `qp` mean anything.
    pub status: WcStatus,
    /// What it was.
    pub opcode: WcOpcode,
    /// Octets of a received message, or of a READ.
    pub byte_len: u32,
    /// The four octets of an immediate, as on the wire.
    pub immediate: Option<[u8; 4]>,
}

impl Completion {
    /// What an array for [`crate::Provider::poll_cq`] is filled with at first.
    pub const EMPTY: Self = Self {
        wr_id: 0,
        qp: QpHandle::new(u32::MAX, u32::MAX),
        status: WcStatus::Success,
        opcode: WcOpcode::Send,
        byte_len: 0,
        immediate: None,
    };
}

/// What an armed completion queue waits for (IBTA §11.4.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ArmFor {
    /// The next completion of any kind.
    Next,
    /// The next one of a solicited message, or of a failure.
    Solicited,
}
