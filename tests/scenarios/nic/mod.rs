//! The NIC in software against its contract: the conformance suite on every
//! kind of wire, random traffic from many seeds, and the wire itself.

mod conformance;
mod traffic;
mod wire;
