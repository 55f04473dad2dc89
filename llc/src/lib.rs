//! The words two SMC-R peers say about their link group: the LLC messages of
//! SMC-Rv1 (RFC 7609 Appendix A.3) and of SMC-Rv2 as Linux 6.12 speaks it.
//!
//! Each message is the payload of one RDMA SEND on a link of the group, which
//! it shares with CDC (type octet 0xfe, another room).
//!
//! ```text
//!   server                                     client
//!     | -- CONFIRM LINK ------------------------> |   the first link works
//!     | <----------------- CONFIRM LINK, resp. -- |
//!     | -- ADD LINK ----------------------------> |   a second one?
//!     | <--------------------- ADD LINK, resp. -- |
//!     | <-> CONFIRM RKEY, DELETE RKEY, TEST LINK  |   while there are links
//!     | -- DELETE LINK -------------------------> |
//! ```
//!
//! [`Message`] is header and [`Body`]; a request and its response have the same
//! layout. Octets that are reserved, or that follow the declared length, are
//! ignored; numbers without a name are kept; a message of an unknown type
//! is kept whole ([`UnknownMessage`]).
//!
//! [`Link`] is the machine over them: who says what when. Messages and time go
//! in, actions come out.
//!
//! What it refuses to know: queue pairs, memory, connections, clocks.
//!
//! # Example
//! ```
//! use smolsmc_llc::{Body, HostOrder, Message, TestLink, Version};
//!
//! let ask = Message {
//!     version: Version::V2(HostOrder::Little),
//!     response: false,
//!     body: Body::TestLink(TestLink { user_data: [7; 16] }),
//! };
//! let mut octets = [0; smolsmc_llc::MAX_LEN];
//! let len = ask.emit(&mut octets)?;
//! assert_eq!((len, &octets[..4]), (44, [0x27, 0x2c, 0x00, 0x00].as_slice()));
//!
//! let heard = Message::parse(&octets[..len])?;
//! let answer = Message { response: true, ..heard };
//! assert_eq!(answer.emit(&mut octets)?, 44);
//! assert_eq!(octets[3], 0x80);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod add_link;
mod confirm_link;
mod confirm_rkey;
mod delete_link;
mod delete_rkey;
mod header;
mod ledger;
mod link;
mod liveness;
mod message;
mod rkey;
mod test_link;
mod timers;
mod unknown;

pub use add_link::{AddLink, AddLinkContinuation, AddLinkExtension, RejectReason, RequestAddLink};
pub use confirm_link::{ConfirmLink, NoEyecatcher};
pub use confirm_rkey::{ConfirmRkey, ConfirmRkeyContinuation};
pub use delete_link::{DeleteLink, DeleteReason};
pub use delete_rkey::DeleteRkey;
pub use header::{HostOrder, MAX_LEN, MIN_LEN, Opcode, Version};
pub use ledger::{Ledger, MAX_LINKS, MAX_PEER_RMBS};
pub use link::{
    DownReason, Link, LinkAction, LinkState, MAX_REQUESTS_A_SECOND, MAX_RKEY_REQUESTS, Role, Siblings,
};
pub use message::{Body, Message};
pub use rkey::{LinkRkey, Others, RkeyMapping};
pub use test_link::TestLink;
pub use timers::Timers;
pub use unknown::UnknownMessage;

#[cfg(test)]
mod tests;
