//! The yard: what the tests of several rooms share. It knows everyone, and
//! nobody knows it.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "all of it is test code")]

pub mod fuzzing;
pub mod sim;
pub mod vectors;
