//! libibverbs' objects as owned values. Everything unsafe of this crate is here.
//!
//! Three arguments carry all of it:
//!
//! - **Life.** An owner holds its C object from a successful `create` to its
//!   drop, and `Arc`s of everything the object was made from; so a pointer in an
//!   owner is valid for as long as the owner is, and objects end in the order
//!   that libibverbs asks for.
//! - **Threads.** libibverbs' verbs may be called from any thread at any time
//!   (`ibv_*` are documented as fully thread safe), so owners are `Send` and `Sync`.
//! - **Memory.** A device reaches nothing but registered pages. An [`Mr`] holds
//!   its pages and ends before they do, so whatever addresses a work request or a
//!   remote peer names, a device reads and writes only pages that are still
//!   mapped. And pages a device may write are never seen through a reference.

mod completion;
mod context;
mod memory;
mod queue_pair;

pub(crate) use completion::{Channel, Cq};
pub(crate) use context::{Context, Happened, IfNames};
pub use memory::Span;
pub(crate) use memory::{Mr, Pages, Pd};
pub(crate) use queue_pair::{Qp, Scratch};

use std::ffi::c_int;
use std::io;

use smolsmc_verbs::VerbsError;

/// An error number of the system, never 0.
pub(crate) type Errno = i32;

pub(crate) const ENOMEM: Errno = 12;
pub(crate) const EINVAL: Errno = 22;
const EIO: Errno = 5;
const ENODEV: Errno = 19;
const EAGAIN: Errno = 11;
const ENOSPC: Errno = 28;
const ENODATA: Errno = 61;

/// What the last call said that answered with a null pointer or -1.
fn last_errno() -> Errno {
    io::Error::last_os_error().raw_os_error().filter(|errno| *errno != 0).unwrap_or(EIO)
}

/// Verbs answer with 0, an error number, its negative, or -1 and `errno`.
fn check(code: c_int) -> Result<(), Errno> {
    match code {
        0 => Ok(()),
        -1 => Err(last_errno()),
        code => Err(code.saturating_abs()),
    }
}

/// What an error number of a call that makes `what` means.
pub(crate) const fn refusal(errno: Errno, what: &'static str) -> VerbsError {
    match errno {
        EIO | ENODEV => VerbsError::DeviceGone,
        ENOMEM | ENOSPC | EAGAIN => VerbsError::Exhausted(what),
        errno => VerbsError::System(errno),
    }
}
