//! A wire of shared memory: RDMA verbs and Ethernet between two processes of one
//! host, without privileges.
//!
//! ```text
//!   process A                                        process B
//!     ShmNic   (Provider) --.                    .-- ShmNic
//!     ShmPort  (Ethernet) --+-- Wire ===== Wire --+-- ShmPort
//!
//!     A's control memory    A writes, B reads        rings, queue pairs, keys
//!     A's data memory       B's WRITEs land here     receives, RMBs
//!     unix socket           passes the memory; says when the other is gone
//! ```
//!
//! An RDMA WRITE is one copy into the peer's registered memory while it is
//! posted; a SEND of up to 44 octets, as SMC-R's are, is one cache line in a
//! ring. While both poll there is no system call; who sleeps says so in a word,
//! and is woken by an octet on a socket.
//!
//! # What a peer can do
//! Neither side trusts the other. All memory is memory files sealed against
//! shrinking, passed over the socket: a file with a name could be cut short
//! under whoever maps it. A peer can read our control memory, keys included,
//! and cannot write it. It can write our whole data memory at any time,
//! registered or not: RDMA's protection holds between honest peers, and for who
//! is not, memory is where the line is drawn. It can say anything in its own
//! control memory: every word is read once and held against what is mapped, and
//! what cannot be ends in [`WireFault`], the port down, and requests that fail.
//! It cannot make us block, or touch memory that was not shared with it.
//!
//! A peer's WRITEs pass a gate that its owner watches, so that an honest peer
//! never writes after [`deregister`](smolsmc_verbs::Provider::deregister) has
//! returned; one that stays in the gate loses the wire, and the memory is not
//! used again.
//!
//! # Example
//! Both ends in one thread; two processes do the same, each with its end.
//! ```
//! use std::os::unix::net::UnixStream;
//! use smolsmc_shm::{Config, Opening, PortConfig};
//! use smolsmc_verbs::{GidEntry, GidKind};
//! use smolsmc_wire::{Duration, Gid, Mac};
//!
//! let (a, b) = UnixStream::pair()?;
//! let mut sides = Vec::new();
//! for (number, socket) in [(1, a), (2, b)] {
//!     let gid = Gid::from_ipv4([10, 9, 0, number]);
//!     let port = PortConfig::new(Mac([2, 0, 0, 0, 0, number]), GidEntry { gid, kind: GidKind::RoCEv2, vlan: None });
//!     let mut opening = Opening::new(Config::new([number; 32]))?;
//!     opening.greet(socket, port)?;
//!     sides.push(opening);
//! }
//! for opening in sides {
//!     let (nic, ethernet) = opening.complete(Duration::from_secs(1))?;
//!     assert_eq!((nic.fault(smolsmc_verbs::DeviceId(0)), ethernet.len()), (None, 1));
//! }
//! # Ok::<(), smolsmc_shm::OpenError>(())
//! ```

#![deny(unsafe_code)]

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("memory files are Linux's, and shared words of eight octets want a 64-bit target");

mod bells;
mod clock;
mod config;
mod error;
mod greeting;
mod layout;
mod map;
mod nic;
mod open;
#[cfg(test)]
mod open_tests;
mod port;
#[cfg(any(test, feature = "rogue"))]
pub mod rogue;
mod sync;
mod wire;

pub use config::{
    Config, Limits, MAX_CQE, MAX_DEVICES, MAX_GIDS, MAX_INLINE, MAX_MEMORY, MAX_MESSAGE, MAX_MR, MAX_MTU,
    MAX_OBJECTS, MAX_QP, MAX_RD_ATOMIC, MAX_SGE, MAX_SLOTS, MAX_WR, PortConfig,
};
pub use error::{ConfigError, MemoryError, OpenError, WireFault};
pub use nic::{Counters, ShmNic, ShmSpan};
pub use open::{Listener, Opening, connect, listen};
pub use port::{ShmPort, ShmRxToken, ShmTxToken};
