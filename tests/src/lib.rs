//! The yard: what the tests of several rooms share. It knows everyone, and
//! nobody knows it.

pub mod vectors;
