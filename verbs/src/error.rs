use crate::QpState;

/// Why a call was refused. All but the last three are our caller's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerbsError {
    /// The handle's object is gone, or never was.
    #[error("no such {0}")]
    NoSuch(&'static str),
    /// Other objects still use this one.
    #[error("{0} is in use")]
    InUse(&'static str),
    /// An argument is outside what the provider allows.
    #[error("{0} is out of range")]
    OutOfRange(&'static str),
    /// The queue pair is not in a state that allows it (IBTA §10.3.1).
    #[error("not allowed in state {0}")]
    WrongState(QpState),
    /// Objects of different devices or protection domains do not go together.
    #[error("{0} belongs to another device or protection domain")]
    Foreign(&'static str),
    /// The memory's use does not allow these access rights.
    #[error("access rights do not fit the memory's use")]
    Access,
    /// A queue has no room for this request.
    #[error("the queue is full")]
    QueueFull,
    /// A named limit of the provider is reached.
    #[error("no more {0}: the limit is reached")]
    Exhausted(&'static str),
    /// The device is gone.
    #[error("the device is gone")]
    DeviceGone,
    /// The system refused, with its error number.
    #[error("the system refused: error {0}")]
    System(i32),
}

/// A list of requests that was not posted whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{posted} requests were posted, then: {error}")]
pub struct PostError {
    /// Requests at the front of the list that were posted and will complete.
    pub posted: usize,
    /// What is wrong with the next one.
    pub error: VerbsError,
}
