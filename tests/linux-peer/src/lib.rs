//! Real Linux guests in QEMU as SMC-R peers: fetches Debian's kernel, boots it
//! with one static program as init, commands that program, runs scenarios and
//! keeps what a failure needs to be understood.
//!
//! A guest's NIC is a Unix stream socket that carries Ethernet frames, each after
//! its length as four octets, big-endian. [`Wire`] joins two of them; any other
//! program that speaks this framing can be at the other end of one
//! ([`Guest::nic`] says where).
#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a std edge: guests are real, and so are the deadlines"
)]

mod commands;
mod control;
mod cpio;
mod error;
pub mod frames;
mod guest;
mod hold;
mod host;
mod ibv;
mod initramfs;
mod kernel;
mod lab;
mod latency;
mod linux_to_linux;
mod log_rules;
mod machine;
mod modules;
mod ours;
mod pcap;
mod plug;
mod programs;
mod qmp;
mod runner;
mod scenario;
mod table;
mod wire;

pub use control::Pending;
pub use error::Error;
pub use guest::{Guest, GuestConfig, Nic};
pub use hold::hold;
pub use ibv::scenarios as ibv;
pub use kernel::{Kernel, Series};
pub use lab::Lab;
pub use latency::{Latency, LatencyOptions, latency};
pub use linux_to_linux::scenarios as linux_to_linux;
pub use ours::scenarios as ours;
pub use pcap::Pcap;
pub use plug::Plug;
pub use runner::{Options, Outcome, Summary, run};
pub use scenario::{Scenario, Stage, ensure};
pub use smolsmc_linux_agent::{pattern, protocol};
pub use table::table;
pub use wire::{Direction, Fate, Wire};

/// What can go wrong here, or nothing.
pub type Result<T> = std::result::Result<T, Error>;
