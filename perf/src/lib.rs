//! How fast smolsmc is between two processes of one host, beside everything it
//! should be held against: the kernel's TCP, smoltcp's, a bare ring, and the
//! verbs under it.
//!
//! ```text
//!   Lab (near: measures) === orders, reports === obey (far: does as it is told)
//!     Ends: Tcp, Bare, Raw, Ours ------------- Ends       each pair a connection
//! ```
//!
//! The far end is a process ([`Lab::with_process`]) or a thread
//! ([`Lab::with_thread`]); each end has a core of its own. Between blocks both
//! sleep, so that there are never more threads that spin than cores. The
//! sections measure all columns ([`What`]) in interleaved blocks and keep each
//! block's figures; a [`Report`] says what they come to.
//!
//! What it refuses to know: where a report goes, and how a far end's process is
//! started.

#![deny(unsafe_code)]

mod aims;
mod bare;
mod bells;
mod column;
mod cores;
mod crowd;
mod crowd_far;
mod crowd_host;
mod end;
mod ends;
mod far;
mod fault;
mod html;
mod json;
mod many;
mod map;
mod near;
mod order;
mod ours;
mod peer;
mod plan;
mod plot;
mod raw;
mod report;
pub mod sections;
mod statistics;
mod tcp;
mod text;
mod threaded;

pub use aims::{AIMS, Aim, Bound, Outcome, outcomes};
pub use bare::Bare;
pub use column::{Label, What};
pub use cores::{load, pin, usable};
pub use end::{End, HEADER_LEN};
pub use far::obey_standard_input;
pub use fault::{Alive, Fault};
pub use html::{html, page};
pub use json::json;
pub use near::{Cores, Cost, Lab, MOST};
pub use ours::{Carrier, Ours, OursOpening};
pub use plan::Plan;
pub use raw::{Names, Raw, RawOpening};
pub use report::{Cell, Figure, Ratio, Report, Row, Section, Unit};
pub use statistics::{fairness, is_noise, median, quantile, ratio};
pub use tcp::Tcp;
pub use text::text;
