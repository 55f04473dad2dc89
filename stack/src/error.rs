//! What can go wrong, by whose fault.

use core::net::IpAddr;

use smolsmc_cdc::CdcViolation;
use smolsmc_clc::Diagnosis;
use smolsmc_llc::DownReason;
use smolsmc_verbs::{VerbsError, WcStatus};
use smolsmc_wire::{Mac, ParseError};

/// What is wrong with a [`Config`](crate::Config): our caller's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A stack has one to eight ports.
    #[error("a stack has 1 to 8 ports, not {0}")]
    Ports(usize),
    /// A Proposal lists at most eight.
    #[error("a stack has at most 8 enterprise ids, not {0}")]
    Eids(usize),
    /// One or two.
    #[error("a link group has 1 or 2 links, not {0}")]
    MaxLinks(u8),
    /// At least sixteen.
    #[error("a link group carries 16 to 255 connections, not {0}")]
    MaxConns(u8),
    /// The longest CLC message must fit.
    #[error("a TCP buffer has at least 16384 octets, not {0}")]
    TcpBuffer(usize),
    /// Not the address of one station.
    #[error("{0} is no station's Ethernet address")]
    Mac(Mac),
    /// Too small for IPv4 hosts.
    #[error("an Ethernet MTU is at least 576, not {0}")]
    EthernetMtu(u16),
    /// More than the interface holds.
    #[error("a port has no room for {0} addresses")]
    Addresses(usize),
    /// Not the address of a host, or a prefix too long for it.
    #[error("{0}/{1} is no host's address")]
    Address(IpAddr, u8),
    /// With none of it nothing would ever move.
    #[error("the limit {0} is 0")]
    NoneAllowed(&'static str),
    /// No VLAN has this number.
    #[error("{0} is no VLAN: 1 to 4094 are")]
    Vlan(u16),
    /// So few that there would be little room beside TEST LINK.
    #[error("peer_receives must be at least 16, not {0}")]
    PeerReceives(u32),
    /// The provider refused what every stack needs.
    #[error("the RDMA provider: {0}")]
    Provider(#[from] VerbsError),
}

/// Why a listener could not be made: our caller's fault, or a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// Port 0.
    #[error("a listener needs a port other than 0")]
    NoPort,
    /// There is a listener on this port already.
    #[error("the port is in use")]
    InUse,
    /// No port of the stack has this address.
    #[error("no port has this address")]
    NoSuchAddress,
    /// [`Limits::listeners`](crate::Limits::listeners).
    #[error("no more listeners: the limit is reached")]
    Exhausted,
}

/// Why a connection could not even be begun: our caller's fault, or a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Port 0, or an address that is no host's.
    #[error("the remote address is no host's")]
    BadAddress,
    /// No port leads there.
    #[error("no route to the host")]
    NoRoute,
    /// All ephemeral ports toward this host are in use.
    #[error("no free local port")]
    NoFreePort,
    /// [`Limits::connections`](crate::Limits::connections).
    #[error("no more connections: the limit is reached")]
    Exhausted,
}

/// The handle's socket is gone, or never was: our caller's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such socket")]
pub struct NoSuchSocket;

/// The handle's listener is gone, or never was: our caller's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such listener")]
pub struct NoSuchListener;

/// Why a connection ended otherwise than by both sides closing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The peer refused the TCP connection.
    #[error("connection refused")]
    Refused,
    /// The peer reset the TCP connection.
    #[error("connection reset by the peer")]
    Reset,
    /// TCP, or a CLC message, did not come in time.
    #[error("timed out waiting for {0}")]
    TimedOut(&'static str),
    /// The peer ended the TCP stream in the middle of the handshake.
    #[error("the peer closed in the middle of the handshake")]
    ClosedInHandshake,
    /// The peer's CLC message is no message.
    #[error("the peer's handshake: {0}")]
    BadMessage(#[from] ParseError),
    /// A CLC message that was not the peer's to send now.
    #[error("the peer sent a CLC message out of turn")]
    OutOfTurn,
    /// SMC-R was demanded, and TCP is all there is.
    #[error("SMC-R was demanded; TCP is all there is")]
    NotSmc {
        /// Why, if it was us.
        local: Option<Diagnosis>,
        /// Why, if it was the peer.
        peer: Option<Diagnosis>,
    },
    /// The link's queue pair failed.
    #[error("the link failed: {0}")]
    LinkFailed(WcStatus),
    /// The link, or its group, came to its end.
    #[error("the link went down: {0:?}")]
    LinkDown(DownReason),
    /// The peer keeps eyecatchers in its RMBEs.
    #[error("the peer wants RMBE eyecatchers")]
    Eyecatcher,
    /// The peer does not know the link group any more.
    #[error("the peer does not know the link group")]
    OutOfSync,
    /// The peer's port, or ours, is gone.
    #[error("the RDMA port went down")]
    PortDown,
    /// The peer's CDC message breaks a rule.
    #[error("the peer broke a rule: {0}")]
    PeerMisbehaved(#[from] CdcViolation),
    /// The peer aborted the connection.
    #[error("connection aborted by the peer")]
    PeerAborted,
    /// The application aborted the connection.
    #[error("connection aborted here")]
    AbortedHere,
    /// The peer did not answer our close in time.
    #[error("the peer never closed")]
    CloseTimeout,
    /// A limit of ours was reached after SMC-R had been agreed on.
    #[error("out of resources: {0}")]
    Exhausted(VerbsError),
}

/// Why nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// There is no room, or no connection yet: later.
    #[error("would block")]
    WouldBlock,
    /// The application has closed this direction.
    #[error("sending is shut down")]
    ShutDown,
    /// The peer has closed: nobody would read it.
    #[error("the peer has closed")]
    PeerClosed,
    /// TCP carries the connection, and has no urgent octets here: smoltcp knows
    /// none.
    #[error("TCP carries no urgent octets here")]
    NoUrgent,
    /// The connection is over.
    #[error("{0}")]
    Over(ConnectionError),
}

/// Why nothing was received. The orderly end of the stream is no error but 0
/// octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecvError {
    /// There is nothing, or no connection yet: later.
    #[error("would block")]
    WouldBlock,
    /// The connection is over.
    #[error("{0}")]
    Over(ConnectionError),
}
