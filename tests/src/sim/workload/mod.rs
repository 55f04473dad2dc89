//! Random traffic over a faulty wire, and what must be true of it.
//!
//! A seed decides everything: queue pairs, MTUs, first PSNs (mostly just before
//! the wrap), requests, sizes, faults. In each direction of each queue pair runs
//! a lane: SENDs, WRITEs, READs and WRITEs with immediate over one stream of
//! model octets. What must hold, and is looked at at every step:
//!
//! - a message arrives once, in order, whole, in the receive posted for it;
//! - what was written before it is there when it arrives;
//! - a request that succeeded has done its work on the other side;
//! - memory nobody named is not touched, and what was written, taken and zeroed
//!   stays zero: nothing is done twice;
//! - a cell that only grows never falls back;
//! - completions come in order, failures flush what is behind them;
//! - when the wire heals all is done; when it cannot, the status says why.

mod lane;
mod model;
mod plan;
mod run;

pub use plan::Class;
pub use run::{Broken, Summary, run};
