//! The words of the SMC rendezvous: the TCP option by which two hosts tell each
//! other that they speak SMC, and the CLC messages with which they then agree
//! on a link group, or on staying with TCP (RFC 7609 §3, Appendix A.1 and A.2;
//! the SMCv2 layouts as in Linux 6.12 smc_clc).
//!
//! ```text
//!   client                                server
//!     | SYN + option                        |
//!     |------------------------------------>|   [`option`]
//!     |                 SYN-ACK + option    |
//!     |<------------------------------------|
//!     | Proposal: what I could do           |
//!     |------------------------------------>|   on the TCP stream,
//!     |            Accept: what we will do  |   before any octet of
//!     |<------------------------------------|   the application
//!     | Confirm: where you may write        |
//!     |------------------------------------>|
//!
//!   Decline, by either side, in place of any of the three: stay with TCP
//!
//!   +---------------+-----------------------+-----------------+
//!   | Header (8)    | body, by type/version | trailer (4)     |
//!   +---------------+-----------------------+-----------------+
//! ```
//!
//! A reader of the stream takes [`Header::LEN`] octets, learns the length from
//! [`Header::parse`], takes the rest and no octet more (the next one belongs to
//! the application), and hands the whole to [`Message::parse`].
//!
//! It turns octets into values and back, and [`Offer`] says what two hosts can
//! agree on. What this room refuses to know: whose turn it is, how long to wait,
//! and what a device, a link group or memory is.
//!
//! # Example
//! ```
//! use smolsmc_clc::{Decline, Diagnosis, Header, Message, MessageType, Os};
//! use smolsmc_wire::PeerId;
//!
//! let sorry = Message::from(Decline::v2(PeerId::default(), Diagnosis::NO_SMC_DEVICE, Os::LINUX));
//! let mut octets = [0; 64];
//! let len = sorry.emit(&mut octets)?;
//!
//! let header = Header::parse(&octets)?;
//! assert_eq!((header.message_type, header.message_len()), (MessageType::DECLINE, len));
//! assert_eq!(Message::parse(&octets[..len])?, sorry);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod agreement;
mod decline;
mod diagnosis;
mod eid;
mod first_contact;
mod header;
mod message;
mod negotiation;
pub mod option;
mod proposal;
mod terms;
mod version1;

pub use agreement::{Accept, AcceptV2, Agreement, AgreementV2, Confirm, ConfirmFirstContact, ConfirmV2};
pub use decline::Decline;
pub use diagnosis::Diagnosis;
pub use eid::{Eid, EidError};
pub use first_contact::{FirstContact, HostName, HostNameError, Os};
pub use header::{Eyecatcher, Header, MAX_MESSAGE_LEN, MessageType, PathTypes, TRAILER_LEN, Version};
pub use message::Message;
pub use negotiation::{Choice, FEATURE_MASK, MIN_CONNS, Offer, RELEASE};
pub use option::{AppendError, SmcOption, SynKind};
pub use proposal::{
    IpArea, Ipv6Prefix, IsmGid, Locator, Proposal, ProposalV1, ProposalV2, Sender, SmcdV2Extension,
    V2Extension,
};
pub use terms::{OpaqueTerms, SmcrTerms, TermsV1};

#[cfg(test)]
mod tests;
