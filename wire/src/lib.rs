//! The vocabulary every other room speaks: identifiers, time, serial
//! arithmetic, and the two hands that touch octets, [`Reader`] and [`Writer`].
//!
//! ```text
//!   octets --Reader--> values            values --Writer--> octets
//!             |                                     |
//!        ParseError (their fault)            EmitError (our caller's fault)
//! ```
//!
//! `wire` is a leaf: it knows no message, no state and no other room. What it
//! refuses to know: which protocol an octet belongs to.
//!
//! # Example
//! ```
//! use smolsmc_wire::{Qpn, Reader, Writer};
//!
//! let mut octets = [0u8; 4];
//! let mut w = Writer::new("example", &mut octets, 4)?;
//! w.u8(0xfe);
//! w.u24(Qpn::new(0x123).value());
//! assert_eq!(w.finish(), 4);
//!
//! let mut r = Reader::new("example", &octets);
//! assert_eq!(r.u8()?, 0xfe);
//! assert_eq!(Qpn::new(r.u24()?), Qpn::new(0x123));
//! assert!(r.u8().is_err(), "nothing is left");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![no_std]
#![forbid(unsafe_code)]

mod address;
mod error;
mod id;
mod number;
mod reader;
mod serial;
mod time;
mod writer;

pub use address::{Gid, Mac, PeerId};
pub use error::{EmitError, ParseError, ParseErrorKind};
pub use id::{AlertToken, LinkNumber, LinkUid, Lkey, MtuCode, Qpn, Rkey, RmbeIndex, RmbeSize};
pub use reader::Reader;
pub use serial::{Msn, Psn, SeqNo};
pub use time::{Duration, Instant};
pub use writer::Writer;

#[cfg(test)]
mod tests;
