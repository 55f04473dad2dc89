//! The RDMA contract: what SMC-R asks of a NIC.
//!
//! ```text
//!   Provider (one stack's whole RDMA context)
//!     device 1..N --- port 1..M --- GIDs                    come and go
//!       |                                                   (AsyncEvent)
//!       PD ---- QP (RC) --- send CQ, receive CQ --- Completion
//!        |        `--- SendRequest, RecvRequest (Sge: iova, lkey)
//!        `----- MR (lkey, rkey, iova)
//!                `--- memory (allocated once, registered on any devices)
//! ```
//!
//! A [`Provider`] is pure verbs, in the terms of IBTA and libibverbs. Behind it
//! stands hardware, memory shared with another process, or a NIC in software;
//! the last also offers a [`FrameEngine`], since somebody must carry its
//! frames. Nothing here is RoCE-only.
//!
//! Time enters only through the [`FrameEngine`]; a provider of hardware has its
//! own. Nothing blocks, and nothing on the way of a message (post, poll,
//! frames) allocates.
//!
//! What it refuses to know: SMC. An RMB is memory, a link is a queue pair.
//!
//! # Example
//! Any provider brings a queue pair to life the same way:
//! ```
//! use smolsmc_verbs::*;
//!
//! fn ready<P: Provider>(
//!     nic: &mut P, qp: QpHandle, peer: RtrAttributes, own: RtsAttributes,
//! ) -> Result<(), VerbsError> {
//!     let init = InitAttributes { port: PortNumber(1), pkey_index: 0, access: Access::REMOTE_WRITE };
//!     nic.modify_qp(qp, QpTransition::Init(init))?;
//!     nic.modify_qp(qp, QpTransition::ReadyToReceive(peer))?;
//!     nic.modify_qp(qp, QpTransition::ReadyToSend(own))
//! }
//! ```

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod completion;
#[cfg(feature = "conformance")]
pub mod conformance;
mod device;
mod error;
mod event;
mod frames;
mod handle;
mod memory;
mod provider;
mod qp;
mod work;

pub use completion::{ArmFor, Completion, WcOpcode, WcStatus};
pub use device::{DeviceAttributes, GidEntry, GidKind, PortAttributes, PortState};
pub use error::{PostError, VerbsError};
pub use event::AsyncEvent;
pub use frames::{FrameEngine, NoFrames};
pub use handle::{
    CompletionVector, CqHandle, DeviceId, MemHandle, MrHandle, PdHandle, PortNumber, QpHandle, RdmaPort,
};
pub use memory::{Access, MemoryUse, MrAttributes, RemoteSpan};
pub use provider::Provider;
pub use qp::{
    AddressVector, InitAttributes, QpAttributes, QpCapabilities, QpInit, QpState, QpStats, QpTransition,
    RtrAttributes, RtsAttributes,
};
pub use work::{Payload, RecvRequest, SendOperation, SendRequest, Sge};
