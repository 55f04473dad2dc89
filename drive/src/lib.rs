//! How a stack is driven by its caller's thread: the loop around
//! [`Stack::poll`](smolsmc_stack::Stack::poll), and how it waits.
//!
//! ```text
//!   Host { stack, devices } ---.                .--- Bell, Waker   other threads, sockets
//!                              +--- Driver -----+
//!   Clock ---------------------'    turn()      '--- add(fd)       whatever else is open
//! ```
//!
//! A [`Driver::turn`] polls once and then, by its [`Mode`], returns at once or
//! sleeps until something comes. The caller serves its sockets and turns again.
//! A turn reads the clock once and never by itself: only through [`Clock`]. In
//! somebody else's event loop a [`Guest`] says what to sleep on, and for how long.
//!
//! What it refuses to know: protocols, and which wire it is; those that can be
//! slept on are behind features (`roce`, `ethernet`, `shm`, `ibverbs`), others implement
//! [`Wakes`].

#![forbid(unsafe_code)]

mod bell;
mod driver;
mod guest;
mod host;
mod mode;
mod wakes;

pub use bell::Bell;
pub use driver::{Driver, FOREIGN_BATCH, FOREIGN_EVERY, Stats, Token, Turn};
pub use guest::{Guest, Next};
pub use host::{Drive, Host};
pub use mode::Mode;
pub use wakes::{Fds, Wakes};

use smolsmc_wire::Instant;

/// Where the time comes from. Any `FnMut() -> Instant` is one.
pub trait Clock {
    /// Now, in microseconds since a moment of the clock's choice; never back.
    fn now(&mut self) -> Instant;
}

impl<F: FnMut() -> Instant> Clock for F {
    fn now(&mut self) -> Instant {
        self()
    }
}
