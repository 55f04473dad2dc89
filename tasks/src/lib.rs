//! Any number of tasks on one core, over one stack: an executor that polls the stack
//! between tasks and sleeps when there is nothing to do.
//!
//! ```text
//!   Executor: run() ---> Driver::turn (poll, or sleep until poll_at) ---> wakers
//!      |  ^------------------- tasks that were woken, each once <-----------'
//!      '--- tasks: Stream, Listener, Core::sleep
//! ```
//!
//! A socket's waker puts its task into the driver's queue: two atomic operations and
//! no system call, as the thread it wakes is the one that runs. Only a waker that
//! another thread calls while this one sleeps costs one.
//!
//! What it refuses to know: protocols, which wire it is, and other threads. A core of
//! its own has an executor, a stack and a provider of its own.

#![forbid(unsafe_code)]

mod executor;
mod listener;
mod sleep;
mod stream;

pub use executor::{Core, Executor, TASKS_AT_ONCE};
pub use listener::Listener;
pub use sleep::Sleep;
pub use stream::Stream;
