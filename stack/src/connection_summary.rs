//! The connections and listeners there are, in the columns that users of `smcss`
//! know: values, not views.

use alloc::vec::Vec;
use core::net::SocketAddr;

use smolsmc_cdc::{CloseState, Cursors, ProducerFlags, StateFlags};
use smolsmc_llc::Role;
use smolsmc_verbs::Provider;
use smolsmc_wire::AlertToken;

use crate::connection::{Connection, Phase, Smc};
use crate::error::ConnectionError;
use crate::handle::SocketHandle;
use crate::stack::Stack;
use crate::stats::SocketStats;
use crate::transport::Transport;

/// A connection as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionSummary {
    /// Its handle; without use if `is_released`.
    pub socket: SocketHandle,
    /// Our end.
    pub local: SocketAddr,
    /// The peer's end.
    pub remote: SocketAddr,
    /// The Ethernet port it is on.
    pub port: usize,
    /// Which side of the handshake this is.
    pub role: Role,
    /// Its state by the name `smcss` has for it: `INIT`, `ACTIVE`,
    /// `PEERCLOSEWAIT1` and so on. TCP is `ACTIVE`, as there.
    pub state: &'static str,
    /// The application has closed it; it ends by itself.
    pub is_released: bool,
    /// What carries it, once that is known.
    pub transport: Option<Transport>,
    /// Why it ended, if not by both sides closing it.
    pub error: Option<ConnectionError>,
    /// Its rings, if it is SMC-R.
    pub rings: Option<RingSummary>,
    /// What it has done.
    pub stats: SocketStats,
}

/// The rings of an SMC-R connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RingSummary {
    /// Our alert token.
    pub token: AlertToken,
    /// Octets of the send ring.
    pub send: u32,
    /// Octets of our RMBE.
    pub own: u32,
    /// Octets of the peer's RMBE.
    pub peer: u32,
    /// Octets that have come and were not received yet.
    pub readable: u32,
    /// Octets that were sent and are not written yet.
    pub waiting: u32,
    /// Octets of the send ring that the peer has not acknowledged.
    pub unacknowledged: u32,
    /// Octets the peer's RMBE has room for.
    pub space: u32,
    /// Where it is in each of them.
    pub cursors: Cursors,
    /// What the peer says: its producer's flags and the state of its side.
    pub rx_flags: (ProducerFlags, StateFlags),
    /// What we say.
    pub tx_flags: (ProducerFlags, StateFlags),
}

/// A listener as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenerSummary {
    /// Where it listens.
    pub local: SocketAddr,
    /// Connections in their handshake.
    pub opening: usize,
    /// Connections that wait to be accepted.
    pub ready: usize,
}

impl<P: Provider> Stack<P> {
    /// The connections there are, those that are being made or ended included.
    #[must_use]
    pub fn connections(&self) -> Vec<ConnectionSummary> {
        self.connections.iter().map(|(handle, connection)| summary(handle, connection)).collect()
    }

    /// The listeners there are.
    #[must_use]
    pub fn listeners(&self) -> Vec<ListenerSummary> {
        let listeners = self.shared.listeners.values();
        listeners
            .map(|listener| ListenerSummary {
                local: listener.local,
                opening: listener.opening,
                ready: listener.ready.len(),
            })
            .collect()
    }
}

fn summary(socket: SocketHandle, connection: &Connection) -> ConnectionSummary {
    let (transport, error, rings) = match &connection.phase {
        Phase::Opening | Phase::Rendezvous(_) => (None, None, None),
        Phase::Over(error) => (None, Some(*error), None),
        Phase::Tcp(fallback) => (Some(Transport::Tcp(*fallback)), None, None),
        Phase::Smc(smc) => (Some(smc.transport), smc.error, Some(rings(smc))),
    };
    ConnectionSummary {
        socket,
        local: connection.tuple.local,
        remote: connection.tuple.remote,
        port: connection.tuple.port,
        role: connection.role,
        state: state(connection),
        is_released: connection.is_released,
        transport,
        error,
        rings,
        stats: connection.stats(),
    }
}

fn rings(smc: &Smc) -> RingSummary {
    let sizes = smc.flow.sizes();
    let (ours, theirs) = smc.flow.producer_flags();
    RingSummary {
        token: smc.token,
        send: sizes.send,
        own: sizes.own,
        peer: sizes.peer,
        readable: smc.flow.readable(),
        waiting: smc.flow.waiting(),
        unacknowledged: sizes.send - smc.flow.room(),
        space: smc.flow.space(),
        cursors: smc.flow.cursors(),
        rx_flags: (theirs, smc.flow.peer_state()),
        tx_flags: (ours, smc.said),
    }
}

fn state(connection: &Connection) -> &'static str {
    match &connection.phase {
        Phase::Opening | Phase::Rendezvous(_) => "INIT",
        Phase::Over(_) => "CLOSED",
        Phase::Tcp(_) if connection.tcp.is_reset() => "CLOSED",
        Phase::Tcp(_) => "ACTIVE",
        Phase::Smc(smc) => match smc.close.state() {
            CloseState::Active => "ACTIVE",
            CloseState::PeerCloseWait1 => "PEERCLOSEWAIT1",
            CloseState::PeerCloseWait2 => "PEERCLOSEWAIT2",
            CloseState::AppCloseWait1 => "APPCLOSEWAIT1",
            CloseState::AppCloseWait2 => "APPCLOSEWAIT2",
            CloseState::AppFinCloseWait => "APPFINCLOSEWAIT",
            CloseState::PeerFinCloseWait => "PEERFINCLOSEWAIT",
            CloseState::ProcessAbort => "PROCESSABORT",
            CloseState::Closed => "CLOSED",
        },
    }
}
