//! SMC-R for programs with threads: one engine thread owns a stack and moves it,
//! any number of other threads have blocking listeners and streams, as those of
//! `std::net`.
//!
//! ```text
//!   SmcStream ---- Pipe ----.                          Read + Write, timeouts, try_clone
//!   SmcStream ---- Pipe ----+--- Worker: Driver, Host  one thread
//!   SmcListener -- channel -'
//!   Handle, Engine -- channel (connect, listen, options, jobs, stop)
//! ```
//!
//! Each stream has a ring of octets in each direction between its threads and the
//! engine: a copy and a hand-over between cores more than for a program that polls
//! the stack in its own thread ([`smolsmc_drive`]), which is why that is the
//! default and this is for programs that block.
//!
//! What it refuses to know: protocols, and which wire it is.

#![forbid(unsafe_code)]
#![expect(clippy::disallowed_types, reason = "blocking calls have the timeouts of std::net")]

mod engine;
mod error;
mod listener;
mod pipe;
mod serving;
mod stream;
mod worker;

pub use engine::{Ended, Engine, Handle, Options, monotonic};
pub use error::{EngineError, StreamError};
pub use listener::{Incoming, SmcListener};
pub use stream::SmcStream;
