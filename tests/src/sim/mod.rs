//! A world that can be run twice: NICs on a simulated wire, one clock, one seed.
//!
//! ```text
//!   Sim<P>   nodes (any Provider with frames) --frames--> Cable (one per direction, Faults)
//!     |                                                      |
//!   step: time to the next event <-- in flight <-- lost, late, twice, bent
//!     |
//!   trace_hash: every frame that arrived, and when
//! ```
//!
//! [`SimRig`] lets the conformance suite of `verbs` run on it; [`workload`]
//! runs random traffic and judges what came of it.

mod cable;
pub mod chaos;
mod faults;
mod lan;
mod random;
mod rig;
mod small;
mod soft;
pub mod workload;
mod world;

pub use faults::{Burst, Faults, Rate};
pub(crate) use lan::Queues;
pub use lan::{Lan, Meddler, address_of, host_config, second_port};
pub use random::Random;
pub use rig::{Controlled, SimRig};
pub use small::small_stack;
pub use soft::{SOFT_DEVICES, address_vector, careless_nic, port_of, soft_nic};
pub use world::{Attachment, Counters, Sim};
