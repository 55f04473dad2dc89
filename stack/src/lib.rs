//! SMC-R as a value: TCP with the SMC option, CLC, LLC, CDC and RDMA behind one
//! [`Stack::poll`], without a socket, a thread or a clock of its own.
//!
//! ```text
//!   application --- Socket ------------------------.
//!                                                  v
//!   devices --- port ---> demux ---> tcp ---> rendezvous ---> connection
//!                 |        (SYN)                  |            |     ^
//!                 v                               v            v     |
//!              provider <---------------------- group: link  transmit, completions
//! ```
//!
//! Frames of the RDMA port go to the provider, if it is a NIC in software; all
//! others to smoltcp, one socket in a set of its own per connection. Both SYNs
//! with the option lead to the rendezvous, and from there to SMC-R or, with a
//! reason, to TCP on the same handle. A connection's octets wait in its send
//! ring until RDMA WRITEs have taken them to the peer's RMB and a CDC message
//! behind them has been acknowledged.
//!
//! The owner of a stack decides how to wait: it calls `poll` in a loop, or arms
//! ([`Stack::arm`]) and sleeps until a frame, a notification, or
//! [`Stack::poll_at`].

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod arming;
mod completions;
mod config;
mod connection;
mod connection_summary;
mod deadlines;
mod demux;
mod draws;
mod ending;
mod error;
mod event;
mod failover;
mod further_link;
mod group;
mod group_life;
mod handle;
mod held;
mod listener;
mod options;
mod place;
mod port;
mod probe;
mod quiet;
mod ready;
mod receives;
mod rendezvous;
mod serving;
mod shared;
mod socket;
mod spare;
mod stack;
mod stats;
mod summary;
mod tcp;
mod time_wait;
mod transmit;
mod transport;
mod wakers;
mod work;

pub use config::{Config, Limits, MAX_PORTS, MIN_TCP_BUFFER, PortConfig, Timers};
pub use connection_summary::{ConnectionSummary, ListenerSummary, RingSummary};
pub use error::{
    ConfigError, ConnectError, ConnectionError, ListenError, NoSuchListener, NoSuchSocket, RecvError,
    SendError,
};
pub use event::Event;
pub use handle::{ListenerHandle, SocketHandle};
pub use held::Held;
pub use options::{ListenOptions, SocketOptions};
pub use smolsmc_llc::Role;
pub use smolsmc_verbs::RemoteSpan;
pub use socket::{ReadableSpan, Readiness, Socket};
#[cfg(feature = "embedded-io")]
pub use socket::{Stream, StreamError};
pub use stack::{PollOutcome, Stack, Wakeup};
pub use stats::{
    FALLBACK_REASONS, FallbackCount, MessageStats, SIZE_CLASSES, SizeCounts, SocketStats, StackStats,
};
pub use summary::{GroupSummary, LinkSummary};
pub use transport::{Fallback, GroupNumber, Transport};
pub use work::WorkStats;
