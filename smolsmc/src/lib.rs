//! SMC-R in user space: TCP applications get RDMA speed behind a socket
//! interface, and plain TCP on the same socket where the peer has none.
//!
//! This crate is the front door: it re-exports what an embedder needs, and
//! [`soft`] makes a stack on a NIC in software, which needs nothing but a
//! network device and a clock.
//!
//! ```
//! use core::net::{IpAddr, Ipv4Addr, SocketAddr};
//! use smolsmc::{Config, Eid, Instant, ListenOptions, Mac, PortConfig};
//!
//! let mut config = Config::new([7; 32]); // 32 octets of real randomness, outside of examples
//! config.eids.push(Eid::from_ascii("EXAMPLE")?);
//! let mut port = PortConfig::new(Mac([2, 0, 0, 0, 0, 1]), 1500);
//! port.addresses.push((IpAddr::V4(Ipv4Addr::new(10, 9, 0, 1)), 24));
//! config.ports.push(port);
//!
//! let mut stack = smolsmc::soft(config, Instant::ZERO)?;
//! let listener = stack.listen(SocketAddr::from(([0, 0, 0, 0], 5000)), ListenOptions::USUAL)?;
//! assert!(stack.accept(listener).is_none());
//! // stack.poll(now, &mut [device]) moves everything forward.
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use core::net::IpAddr;

pub use smolsmc_cdc::{Cursor, Cursors, ProducerFlags, StateFlags};
pub use smolsmc_clc::{Diagnosis, Eid, EidError, HostName, HostNameError};
pub use smolsmc_roce::nic::SoftNic;
pub use smolsmc_stack::{
    Config, ConfigError, ConnectError, ConnectionError, ConnectionSummary, Event, FALLBACK_REASONS, Fallback,
    FallbackCount, GroupNumber, GroupSummary, Held, Limits, LinkSummary, ListenError, ListenOptions,
    ListenerHandle, ListenerSummary, MessageStats, NoSuchListener, NoSuchSocket, PollOutcome, PortConfig,
    ReadableSpan, Readiness, RecvError, RingSummary, Role, SIZE_CLASSES, SendError, SizeCounts, Socket,
    SocketHandle, SocketOptions, SocketStats, Stack, StackStats, Timers, Transport, Wakeup,
};
#[cfg(feature = "embedded-io")]
pub use smolsmc_stack::{Stream, StreamError};
pub use smolsmc_verbs::{Provider, RdmaPort, RemoteSpan};
pub use smolsmc_wire::{Duration, Instant, LinkNumber, Mac, RmbeSize};

use smolsmc_roce::nic;
use smolsmc_verbs::{DeviceId, GidEntry, GidKind, PortNumber};
use smolsmc_wire::Gid;

/// Why [`soft`] made no stack. Our caller's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SoftError {
    /// The stack's configuration.
    #[error("{0}")]
    Stack(#[from] ConfigError),
    /// What follows from it for the NIC.
    #[error("the NIC in software: {0}")]
    Nic(#[from] nic::ConfigError),
}

/// Room for what the stack may ask for: two rings a connection and a few
/// pieces a link, each registered once for every link of its group.
fn fit(nic: &mut nic::Limits, config: &Config) {
    let at_most = |count: usize, most: u32| u32::try_from(count).unwrap_or(u32::MAX).min(most);
    let Limits { connections, groups, receives, .. } = config.limits;
    let links = groups.saturating_mul(2);
    let pieces = connections.saturating_mul(2).saturating_add(links.saturating_mul(2));
    nic.max_memories = nic.max_memories.max(at_most(pieces, nic::MAX_OBJECTS));
    nic.max_mr = nic.max_mr.max(at_most(pieces.saturating_mul(2), nic::MAX_MR));
    nic.max_qp = nic.max_qp.max(at_most(links, nic::MAX_QP));
    nic.max_pd = nic.max_pd.max(at_most(links, nic::MAX_OBJECTS));
    nic.max_wr = nic.max_wr.max(receives.min(nic::MAX_WR));
    let rings = u64::from(config.rmb_size.octets()) + u64::from(config.send_size.octets());
    let octets = usize::try_from(rings).unwrap_or(usize::MAX).saturating_mul(connections);
    nic.memory_octets = nic.memory_octets.max(octets.min(nic::MAX_MEMORY));
}

/// A stack on a NIC in software with one device per port of `config`, whose
/// GIDs are the port's addresses.
///
/// # Errors
/// [`SoftError`].
pub fn soft(config: Config, now: Instant) -> Result<Stack<SoftNic>, SoftError> {
    soft_as(config, now, core::convert::identity)
}

/// [`soft`] with the NIC inside of something else that passes on what it does: a
/// provider that is one of several, chosen at run time.
///
/// # Errors
/// [`SoftError`].
pub fn soft_as<P: Provider>(
    mut config: Config,
    now: Instant,
    wrap: impl FnOnce(SoftNic) -> P,
) -> Result<Stack<P>, SoftError> {
    let mut nic = nic::Config::new(config.entropy);
    fit(&mut nic.limits, &config);
    for (port, number) in config.ports.iter_mut().zip(0..) {
        let mut rdma = nic::PortConfig::new(port.mac, port.ethernet_mtu);
        for &(address, _) in &port.addresses {
            let gid = match address {
                IpAddr::V4(address) => Gid::from_ipv4(address.octets()),
                IpAddr::V6(address) => Gid(address.octets()),
            };
            rdma.gids.push(GidEntry { gid, kind: GidKind::RoCEv2, vlan: port.vlan });
        }
        nic.devices.push(nic::DeviceConfig::new(alloc::vec![rdma]));
        port.rdma = Some(RdmaPort { device: DeviceId(number), port: PortNumber(1) });
    }
    Ok(Stack::new(config, wrap(SoftNic::new(&nic)?), now)?)
}
