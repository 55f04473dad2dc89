//! What a stack is made from, and every limit it has.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use smolsmc_clc::{Eid, HostName};
use smolsmc_llc as llc;
use smolsmc_verbs::RdmaPort;
use smolsmc_wire::{Duration, Mac, RmbeSize};

use crate::error::ConfigError;

/// Everything a stack is made from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where the instance id, PSNs, tokens, TCP sequence numbers and ephemeral
    /// ports come from. Use 32 octets of the system's randomness, except in
    /// simulations.
    pub entropy: [u8; 32],
    /// Its Ethernet ports; `poll` is lent their devices in this order.
    pub ports: Vec<PortConfig>,
    /// Whether SMC is offered and answered at all; else all is plain TCP and no
    /// SYN carries the option.
    pub smc: bool,
    /// Decides, before the SYN, whether SMC is offered to this peer, or answered:
    /// if not, it is plain TCP, and the SYN does not carry the option. `None` for
    /// all. For peers behind something that drops SYNs with unknown options, or
    /// that are known to have no RDMA.
    pub smc_with: Option<fn(SocketAddr) -> bool>,
    /// Whether SMC-Rv1 is offered and answered: between hosts of one IPv4 subnet,
    /// over one link. Where both sides can do both, it is version 2. Linux speaks
    /// version 1 over RoCEv1 only, so that it declines it here.
    pub smc_v1: bool,
    /// Whether SMC-Rv2 is; it needs an enterprise id.
    pub smc_v2: bool,
    /// Enterprise ids, the preferred one first, at most eight. Without one, no
    /// connection becomes SMC-Rv2.
    pub eids: Vec<Eid>,
    /// This host's name, told to peers on first contact.
    pub host_name: HostName,
    /// Connections a link group may carry: 16 to 255.
    pub max_conns: u8,
    /// Links a link group may have, 1 or 2. A client with 2 waits for the server's
    /// ADD LINK; one with a single RDMA port rejects it.
    pub max_links: u8,
    /// Size of RMBs, unless a socket says otherwise.
    pub rmb_size: RmbeSize,
    /// Size of send rings, unless a socket says otherwise.
    pub send_size: RmbeSize,
    /// While a message of a connection is unacknowledged, so many waiting octets
    /// are held back at most, and half of the send ring: many small sends become
    /// few messages. 0 for none; a socket may say otherwise.
    pub autocork: u32,
    /// How long is waited for what.
    pub timers: Timers,
    /// How much there can be of everything.
    pub limits: Limits,
}

impl Config {
    /// A stack without ports and enterprise ids.
    #[must_use]
    pub const fn new(entropy: [u8; 32]) -> Self {
        Self {
            entropy,
            ports: Vec::new(),
            smc: true,
            smc_with: None,
            smc_v1: false,
            smc_v2: true,
            eids: Vec::new(),
            host_name: HostName::NONE,
            max_conns: 255,
            max_links: 1,
            rmb_size: RmbeSize::KIB_64,
            send_size: RmbeSize::KIB_64,
            autocork: 64 * 1024,
            timers: Timers::USUAL,
            limits: Limits::USUAL,
        }
    }

    /// Whether SMC-Rv2 can be offered at all.
    pub(crate) const fn speaks_v2(&self) -> bool {
        self.smc_v2 && !self.eids.is_empty()
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.ports.is_empty() || self.ports.len() > MAX_PORTS {
            return Err(ConfigError::Ports(self.ports.len()));
        }
        if self.eids.len() > smolsmc_clc::V2Extension::MAX_EIDS {
            return Err(ConfigError::Eids(self.eids.len()));
        }
        if !(1..=2).contains(&self.max_links) {
            return Err(ConfigError::MaxLinks(self.max_links));
        }
        if self.max_conns < smolsmc_clc::MIN_CONNS {
            return Err(ConfigError::MaxConns(self.max_conns));
        }
        if self.limits.tcp_buffer < MIN_TCP_BUFFER {
            return Err(ConfigError::TcpBuffer(self.limits.tcp_buffer));
        }
        self.limits.check()?;
        self.ports.iter().try_for_each(PortConfig::check)
    }
}

/// Ports at most.
pub const MAX_PORTS: usize = 8;

/// Octets of a TCP buffer at least: the longest CLC messages must fit.
pub const MIN_TCP_BUFFER: usize = 16 * 1024;

/// Receives a peer must have on a link: with few, TEST LINK and the answers to
/// it would be worth a TEST LINK.
const MIN_PEER_RECEIVES: u32 = 16;

/// One Ethernet port.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PortConfig {
    /// Its Ethernet address.
    pub mac: Mac,
    /// Octets an Ethernet frame carries on it: 1500 as a rule.
    pub ethernet_mtu: u16,
    /// The VLAN it is in, 1 to 4094: all of its frames carry that tag, TCP's and
    /// RoCE's, and others are not for it. Links of a group are in one VLAN.
    pub vlan: Option<u16>,
    /// Its addresses, each with its prefix length; at most two.
    pub addresses: Vec<(IpAddr, u8)>,
    /// The router for what lies beyond the prefixes.
    pub gateway: Option<Ipv4Addr>,
    /// The provider's port on the same cable; without one all is TCP here.
    pub rdma: Option<RdmaPort>,
}

impl PortConfig {
    /// A port without addresses.
    #[must_use]
    pub const fn new(mac: Mac, ethernet_mtu: u16) -> Self {
        Self { mac, ethernet_mtu, vlan: None, addresses: Vec::new(), gateway: None, rdma: None }
    }

    fn check(&self) -> Result<(), ConfigError> {
        let Mac([first, ..]) = self.mac;
        if first & 1 != 0 || self.mac == Mac::default() {
            return Err(ConfigError::Mac(self.mac));
        }
        if self.ethernet_mtu < 576 {
            return Err(ConfigError::EthernetMtu(self.ethernet_mtu));
        }
        if self.vlan.is_some_and(|vid| !(1..=4094).contains(&vid)) {
            return Err(ConfigError::Vlan(self.vlan.unwrap_or_default()));
        }
        if self.addresses.len() > smoltcp::config::IFACE_MAX_ADDR_COUNT {
            return Err(ConfigError::Addresses(self.addresses.len()));
        }
        for &(address, prefix) in &self.addresses {
            let most = if address.is_ipv4() { 32 } else { 128 };
            if prefix > most || address.is_multicast() || address.is_unspecified() {
                return Err(ConfigError::Address(address, prefix));
            }
        }
        Ok(())
    }
}

/// How long is waited for what. Those of [`Timers::USUAL`] are Linux 6.12's,
/// where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timers {
    /// For the TCP handshake, and for TCP to acknowledge anything; for the
    /// latter at least 130 s, since a reader may sleep.
    pub tcp: Duration,
    /// How long the four numbers of a TCP connection that we closed first are kept
    /// for a FIN that comes again, and are not used again: Linux has 60 s.
    pub time_wait: Duration,
    /// For each CLC message.
    pub clc: Duration,
    /// A client with two links negotiated waits so long for ADD LINK.
    pub add_link: Duration,
    /// For a peer to answer our C or A; Linux waits for ever.
    pub close: Duration,
    /// An idle group we serve lives so long.
    pub idle_server: Duration,
    /// An idle group we are the client of.
    pub idle_client: Duration,
    /// How long a queue pair answers on after its group has ended, so that the
    /// peer's last words are acknowledged.
    pub linger: Duration,
    /// Those of each link.
    pub link: llc::Timers,
}

impl Timers {
    /// As Linux has them.
    pub const USUAL: Self = Self {
        tcp: Duration::from_secs(20),
        time_wait: Duration::from_secs(60),
        clc: Duration::from_secs(6),
        add_link: Duration::from_secs(3),
        close: Duration::from_secs(60),
        idle_server: Duration::from_secs(600),
        idle_client: Duration::from_secs(610),
        linger: Duration::from_secs(2),
        link: llc::Timers::LINUX,
    };
}

/// How much there can be of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Connections, those that are being made or ended included.
    pub connections: usize,
    /// Connections in their TCP or CLC handshake that peers began.
    pub handshakes: usize,
    /// Of those, with the same source address.
    pub handshakes_per_source: usize,
    /// Listeners.
    pub listeners: usize,
    /// TCP connections in TIME-WAIT, some 200 octets each; the oldest leaves it
    /// early. 0 for none.
    pub time_waits: usize,
    /// Link groups.
    pub groups: usize,
    /// Octets of rings in one link group.
    pub group_octets: u64,
    /// Octets of each TCP buffer, two a connection: at least 16 KiB. Up to 512
    /// pairs are kept for the next connections.
    pub tcp_buffer: usize,
    /// Receives posted on each link.
    pub receives: u32,
    /// Messages of a link that may be unacknowledged.
    pub messages: u32,
    /// Receives that peers post on a link, at least 16: messages that a peer may
    /// not have handled yet are kept below that, by asking it. Linux 6.12 posts
    /// 48.
    pub peer_receives: u32,
    /// Octets a connection writes before another one's turn.
    pub write_turn: u32,
    /// Octets written in one `poll`, and at most one turn more: then frames, messages
    /// and the application have theirs.
    pub octets: u32,
    /// Frames taken from a port, and given to it, in one `poll`.
    pub frames: usize,
    /// Completions taken in one `poll`.
    pub completions: usize,
    /// [Events](crate::Event) that wait to be fetched; those beyond are counted.
    pub events: usize,
}

impl Limits {
    /// Completions that a link can have in its queue: its receives, and for each message
    /// two WRITEs and a SEND that fail, and one for LLC's.
    pub(crate) const fn completions_per_link(&self) -> u32 {
        self.receives + self.messages * 4
    }

    /// For a host of some hundred connections.
    pub const USUAL: Self = Self {
        connections: 4096,
        handshakes: 256,
        handshakes_per_source: 128,
        listeners: 64,
        time_waits: 4096,
        groups: 64,
        group_octets: 256 << 20,
        tcp_buffer: 64 * 1024,
        receives: 128,
        messages: 16,
        peer_receives: 48,
        write_turn: 64 * 1024,
        octets: 128 * 1024,
        frames: 256,
        completions: 256,
        events: 256,
    };

    /// What every round of `poll` and every link needs at least one of.
    fn check(&self) -> Result<(), ConfigError> {
        let needed = [
            ("receives", self.receives as usize),
            ("messages", self.messages as usize),
            ("write_turn", self.write_turn as usize),
            ("octets", self.octets as usize),
            ("frames", self.frames),
            ("completions", self.completions),
        ];
        if self.peer_receives < MIN_PEER_RECEIVES {
            return Err(ConfigError::PeerReceives(self.peer_receives));
        }
        match needed.iter().find(|(_, count)| *count == 0) {
            Some((name, _)) => Err(ConfigError::NoneAllowed(name)),
            None => Ok(()),
        }
    }
}
