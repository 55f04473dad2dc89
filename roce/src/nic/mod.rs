//! A NIC in software: reliable connections over RoCEv2, as Linux 6.12
//! `rdma_rxe` speaks them.
//!
//! ```text
//!    verbs                                                            frames
//!   post_send --> queues --> requester --.                    .--> next_len, emit
//!                              ^         +--> schedule, path -+
//!                              |         |                    `<-- take <-- admit
//!   poll_cq <-- cq <------ completer     answers                     |
//!                 ^            ^----------------- responses ---------+
//!                 `------- responder <----------- requests ----------'
//!                              |
//!   register --> memory <------'          timers, counters: everybody
//! ```
//!
//! Everything is sized once: tables with the NIC, rings with their objects.
//! Posting, polling, taking and emitting frames, and timers allocate nothing,
//! look at no queue pair but the one concerned, and find it without a search.
//! A packet that is sent again is read from registered memory again.
//!
//! Same entropy, same calls, same frames: there is no other input.
//!
//! # Deviations
//! * `retry_count` counts, 7 too, as IBTA §9.9.2.4.1 says; Linux 6.12
//!   `rdma_rxe` retries for ever with 7.
//! * After an RNR NAK packets ahead are dropped in silence; Linux sends one NAK
//!   0x60 more, which cuts short the wait it has just asked for.
//! * ACKs are coalesced: what is owed when a frame can be sent is sent, once.
//!   Linux sends one for each packet that asks for it.
//! * A destroyed queue pair refuses, with NAK 0x63, what its peer still asks after
//!   [`SILENT_FOR`], for as long as [`GONE_FOR`]; IBTA and hardware are silent.
//! * Atomics and SEND with invalidate are refused with NAK 0x61.
//! * Frames to a port's own address are emitted like all others; Linux loops
//!   them back inside.
//!
//! # Example
//! ```
//! use smolsmc_roce::nic::{Config, DeviceConfig, PortConfig, SoftNic};
//! use smolsmc_verbs::{DeviceId, MemoryUse, Provider};
//! use smolsmc_wire::Mac;
//!
//! let mut config = Config::new([7; 32]);
//! config.devices.push(DeviceConfig::new(vec![PortConfig::new(Mac([2, 0, 0, 0, 0, 1]), 1500)]));
//! let mut nic = SoftNic::new(&config)?;
//! let pd = nic.alloc_pd(DeviceId(0))?;
//! let memory = nic.alloc_memory(4096, MemoryUse::Outgoing)?;
//! nic.outgoing(memory, 0, 5)?.copy_from_slice(b"hello");
//! # let _ = pd;
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

mod admit;
mod answers;
mod board;
mod completer;
mod config;
mod counters;
mod cq;
mod engine;
mod entropy;
mod event;
mod fault;
mod gone;
mod memory;
#[expect(clippy::module_inception, reason = "the NIC is what this room is about")]
mod nic;
mod path;
mod provider;
mod qp;
mod queues;
mod requester;
mod responder;
mod schedule;
mod slots;
mod timers;

pub use config::{
    Config, ConfigError, DeviceConfig, Limits, MAX_CQE, MAX_GIDS, MAX_INLINE, MAX_MEMORY, MAX_MESSAGE,
    MAX_MR, MAX_OBJECTS, MAX_PORTS, MAX_QP, MAX_RD_ATOMIC, MAX_SGE, MAX_SHARD_BITS, MAX_WINDOW, MAX_WR,
    PortConfig, Shard,
};
pub use counters::{Counters, Dropped, Naks, Objects, QpCounters};
pub use gone::{GONE_FOR, SILENT_FOR};
pub use nic::SoftNic;

#[cfg(test)]
mod tests;
