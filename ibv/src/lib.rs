//! RDMA devices of the kernel as a [`Provider`](smolsmc_verbs::Provider),
//! through libibverbs: RNICs, and software ones such as rxe.
//!
//! ```text
//!   Selector  "rxe0:1:2"            which device, port, GID
//!   survey()                        what there is, and why it is not usable
//!   IbvNic::open(selectors)         one provider over several devices
//!     nic      handles, limits, order of destruction, what is outstanding
//!     raw      libibverbs' objects as owned values; all that is unsafe
//! ```
//!
//! The provider is behind the feature `ibverbs`, which is off by default: it
//! binds libibverbs, and a program with it does not start where that library is
//! missing. Without it [`Selector`] is all there is.
//!
//! Waiting: `IbvNic` is one file descriptor, readable when an armed completion
//! queue has something, a port or device came or went.
//!
//! What it refuses to know: SMC, TCP, frames. RoCE packets are the kernel's or
//! the hardware's business, and their source is the kernel's GID.

#![deny(clippy::undocumented_unsafe_blocks)]
#![cfg_attr(not(feature = "ibverbs"), forbid(unsafe_code))]

#[cfg(feature = "ibverbs")]
mod nic;
#[cfg(any(feature = "ibverbs", test))]
#[cfg_attr(not(feature = "ibverbs"), allow(dead_code, reason = "only its tests are built"))]
mod outstanding;
#[cfg(feature = "ibverbs")]
mod raw;
mod selector;
#[cfg(any(feature = "ibverbs", test))]
#[cfg_attr(not(feature = "ibverbs"), allow(dead_code, reason = "only its tests are built"))]
mod slots;
#[cfg(feature = "ibverbs")]
mod survey;
#[cfg(feature = "ibverbs")]
mod usable;

#[cfg(feature = "ibverbs")]
pub use nic::{IbvNic, OpenError};
#[cfg(feature = "ibverbs")]
pub use raw::Span;
pub use selector::{Selector, SelectorError};
#[cfg(feature = "ibverbs")]
pub use survey::{DeviceReport, GidReport, PortReport, SurveyError, survey};
#[cfg(feature = "ibverbs")]
pub use usable::{Unusable, usable};
