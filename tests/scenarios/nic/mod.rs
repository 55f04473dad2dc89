//! The NIC in software against its contract: the conformance suite on every
//! kind of wire, random traffic from many seeds, and limits from both sides.

mod conformance;
mod limits;
mod traffic;
