//! Where Ethernet frames come from and go to on a real machine: ports, as
//! [`smoltcp::phy::Device`] with file descriptors to wait on.
//!
//! ```text
//!   unix:PATH  unix-listen:PATH     a stream socket in QEMU's framing; no privileges
//!   tap:NAME                        the other side of a Linux tap interface
//!   packet:IFNAME                   beside the kernel on an interface (AF_PACKET)
//!        \      |      /
//!          Port::open ---- wait(ports, timeout) ---- poll of whoever owns the stack
//!             |
//!          Pcap<Port>               every frame, in and out, to a capture
//!
//!   pair() -> Wire, Wire            a cable inside one process, with loss if wanted
//! ```
//!
//! Nothing blocks but [`wait`]. Buffers are made once, when a port is opened; a
//! frame costs a copy and at most one system call. A [`Port`] whose other side is
//! gone says so ([`Port::down_reason`]) and yields no frames; it never panics.
//! "Link" is a word of SMC's; what carries Ethernet is a port here.
//!
//! What it refuses to know: what is in a frame, beyond the two MAC addresses.
//!
//! # Example
//! ```no_run
//! use smolsmc_ethernet::{Port, wait};
//! use smoltcp::phy::{Device, RxToken};
//! use smoltcp::time::Instant;
//!
//! let mut port = Port::open("unix:/tmp/guest.sock")?;
//! while port.is_up() {
//!     while let Some((frame, _reply)) = port.receive(Instant::ZERO) {
//!         frame.consume(|octets| println!("{} octets", octets.len()));
//!     }
//!     wait([&port], None)?;
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![deny(unsafe_code)]

mod down;
mod filter;
mod framing;
mod interface;
mod offload;
mod option;
mod pcap;
mod port;
mod room;
mod stream;
mod wait;
mod watched;
mod wire;

pub use down::DownReason;
pub use interface::InterfacePort;
pub use pcap::{Pcap, PcapFile};
pub use port::{MtuError, OpenError, Port, RxToken, TxToken};
pub use stream::StreamPort;
pub use wait::{wait, wait_also};
pub use watched::{Watch, Watched, WatchedRxToken, WatchedTxToken};
pub use wire::{Loss, WIRE_FRAMES, Wire, WireRxToken, WireTxToken, pair};

/// The MTU of a port that nobody gave another: octets of IP in a frame.
pub const DEFAULT_MTU: u16 = 1500;

/// The smallest MTU a port takes: what every IPv4 host must be able to receive
/// (RFC 791 §3.1).
pub const MIN_MTU: u16 = 576;

/// The largest MTU a port takes: jumbo frames.
pub const MAX_MTU: u16 = 9000;

/// Octets of an Ethernet header, and of one VLAN tag.
const HEADER_LEN: usize = 14;
const VLAN_LEN: usize = 4;

/// The longest frame a port carries, in octets: header, one VLAN tag and
/// [`MAX_MTU`]; the frame check sequence is not part of it.
pub const MAX_FRAME_LEN: usize = HEADER_LEN + VLAN_LEN + MAX_MTU as usize;
