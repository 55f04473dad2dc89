//! Explains captured frames of SMC-R: the TCP option, CLC, LLC, CDC and RoCEv2,
//! with context across frames.
//!
//! ```text
//!   file --Capture--> Frame --Dissector--> FrameReport     a line, an object, all fields
//!                              |   |
//!                    tcp ------+   +------ rdma            what a frame says
//!                 clc_rules          llc_rules, cdc_rules  what it means, and what it breaks
//!                    |                   |
//!                Connections          Groups               what is known so far
//!                    +------ Summary ----+
//! ```
//!
//! A bystander's view: it follows connections, link groups, links, queue pairs,
//! alert tokens and RMBs from what it sees, says what each frame belongs to, and
//! flags what breaks a rule. Retransmissions and gaps are facts, not violations.
//!
//! What it refuses to know: how to speak. It never answers a frame.
//!
//! # Example
//! ```
//! use smolsmc_decode::{Capture, Dissector};
//!
//! # let file: &[u8] = include_bytes!("../../tests/vectors/linux612/linux612-no-ueid.pcap");
//! let mut capture = Capture::new(file)?;
//! let mut dissector = Dissector::new();
//! while let Some(frame) = capture.next_frame()? {
//!     println!("{}", dissector.frame(&frame).to_line());
//! }
//! let summary = dissector.summary();
//! assert_eq!(summary.connections[0].transport, "TCP");
//! # Ok::<(), smolsmc_decode::CaptureError>(())
//! ```

#![forbid(unsafe_code)]

mod capture;
mod cdc_rules;
mod clc_rules;
mod connection;
mod describe_clc;
mod describe_link;
mod describe_packet;
mod dissector;
mod group;
mod llc_rules;
mod merge;
mod rdma;
mod report;
mod requests;
mod stream;
mod summary;
mod tcp;

pub use capture::{Capture, CaptureError, Frame, MAX_BLOCK_LEN, MAX_INTERFACES};
pub use dissector::Dissector;
pub use group::{LinkCounts, MAX_LINKS, MAX_RMBS, MAX_TRACKED};
pub use merge::{MergeError, MergedCapture};
pub use report::{Context, Fields, FrameReport, Icrc, Kind};
pub use requests::{MAX_MISSING, MAX_SEND_LEN};
pub use stream::{MAX_AHEAD, MAX_AHEAD_OCTETS, MAX_KEPT};
pub use summary::{ConnectionSummary, GroupSummary, LinkSummary, Summary};
