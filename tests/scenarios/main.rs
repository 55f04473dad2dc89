//! Everything that looks at more than one room.

// A test that cannot go on says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod captures;
mod corpus;
mod nic;
mod replay;
mod rings;
mod shm;
mod stack;
mod tidy;
mod violations;
