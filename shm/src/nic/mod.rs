//! The NIC: verbs over a wire of shared memory.

mod board;
mod completer;
mod counters;
mod cq;
mod device;
mod entropy;
mod extents;
mod memory;
mod message;
#[allow(clippy::module_inception, reason = "the NIC itself")]
mod nic;
mod notes;
mod progress;
mod provider;
mod qp;
mod queues;
mod requester;
mod responder;
mod slots;

#[cfg(test)]
mod tests;

pub use counters::Counters;
pub use memory::ShmSpan;
pub use nic::ShmNic;
