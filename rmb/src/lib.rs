//! The memory of SMC-R: the ring a peer writes (an RMB of one RMBE, RFC 7609
//! §4.2), the ring our own octets wait in until they have arrived, and how a
//! stretch of one is laid onto the other.
//!
//! ```text
//!   send ring   [ 3 3 . . . . 1 1 2 2 ]         two wraps: at most two RDMA
//!                             \ \ / /           WRITEs of at most two elements
//!   peer's ring [ 2 2 3 3 . . . . 1 1 ]
//! ```
//!
//! A [`Pool`] belongs to one link group; its rings are registered in a protection
//! domain for each of the group's links. A ring that
//! comes back clean keeps its registration, zeroed, for the next connection of
//! the group: the peer knows its rkey already. One that does not is deregistered
//! first, so that a WRITE with a dead connection's key meets nothing. Nothing
//! leaves a pool but deregistered and zeroed.
//!
//! What it refuses to know: cursors, tokens, queue pairs, whose turn it is.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod pool;
mod span;

pub use pool::{MAX_DOMAINS, Pool, PoolStats, Returned, Ring, RingKind};
pub use span::{Piece, Write, Writes};

#[cfg(test)]
mod tests;
