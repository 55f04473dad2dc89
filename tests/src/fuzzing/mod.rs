//! What the fuzz targets do with their octets, and what must hold then.
//!
//! Each target of `fuzz/` is five lines around one function here, and the
//! corpus of each runs through the same function in `cargo test`
//! (`tests/scenarios/corpus.rs`). Not to panic is the least; the functions say
//! what else they assert.

mod cdc;
mod clc;
mod decode;
mod frames;
mod llc;
mod nic;
mod octets;
mod option;
mod roce;
mod shm;
mod spoil;
mod stack;
mod under_way;
mod world;

pub use cdc::cdc;
pub use clc::clc;
pub use decode::decode;
pub use frames::{CAPTURES, frames, seed};
pub use llc::llc;
pub use nic::nic;
pub use option::{append, option};
pub use roce::roce;
pub use shm::shm;
pub use stack::stack;

/// What a target does with its octets.
pub type Body = fn(&[u8]);

/// Every target by its name: of the file in `fuzz/fuzz_targets`, of the folder
/// in `fuzz/corpus`, and of the function.
pub const TARGETS: &[(&str, Body)] = &[
    ("append", append),
    ("cdc", cdc),
    ("clc", clc),
    ("decode", decode),
    ("frames", frames),
    ("llc", llc),
    ("nic", nic),
    ("option", option),
    ("roce", roce),
    ("shm", shm),
    ("stack", stack),
];
