//! The words two SMC-R peers say about data: the CDC message, its cursors and
//! its flags.
//!
//! Payload travels by RDMA WRITE and says nothing about itself. After it, on
//! the same queue pair, comes one 44-octet CDC message: how far the sender has
//! written into the peer's ring, how far it has read from its own, and whether
//! it is still open. Every message carries the whole state, so the newest one
//! is all a receiver needs.
//!
//! ```text
//!   writer                                      reader's ring (its RMBE)
//!     | --- RDMA WRITE octets --------------->  [ . . x x x x . . ]
//!     | --- CDC: producer, consumer, flags -->      ^       ^
//!                                             consumer     producer
//!                                               0/2          0/6
//! ```
//!
//! [`Flow`] is one connection's sums over such messages: how much may be written
//! or read now, and whether the peer should be told; [`Close`] is its end, as a
//! table of states and events.
//!
//! What it refuses to know: queue pairs, memory and whose token it is. It is
//! octets and arithmetic only, and allocates nothing.
//!
//! # Example
//! ```
//! use smolsmc_cdc::{CdcMessage, Cursor, ProducerFlags, StateFlags};
//! use smolsmc_wire::{AlertToken, SeqNo};
//!
//! let ring = 65_536;
//! let start = Cursor::default();
//! let written = start.advance(1000, ring).ok_or("more than the ring holds")?;
//!
//! let message = CdcMessage {
//!     seq: SeqNo(1),
//!     token: AlertToken(0x17),
//!     producer: written,
//!     consumer: start,
//!     producer_flags: ProducerFlags::empty(),
//!     state_flags: StateFlags::empty(),
//! };
//! let mut octets = [0; CdcMessage::LEN];
//! message.emit(&mut octets);
//!
//! let heard = CdcMessage::parse(&octets)?;
//! assert_eq!(Cursor::distance(start, heard.producer, ring), Some(1000));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate alloc;

mod close;
mod cursor;
mod flags;
mod flow;
mod message;
mod urgent;

pub use close::{Close, CloseEvent, CloseState};
pub use cursor::Cursor;
pub use flags::{ProducerFlags, StateFlags};
pub use flow::{CdcViolation, Cursors, Flow, Heard, Mark, RingSizes};
pub use message::CdcMessage;

#[cfg(test)]
mod tests;
