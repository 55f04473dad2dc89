//! What a stack counts, in the shape `smcss` and `smcr stats` users know: values
//! to read, added up where things happen.

use smolsmc_clc::Diagnosis;
use smolsmc_llc::Role;
use smolsmc_verbs::Provider;

use crate::connection::{Connection, Phase};
use crate::error::{RecvError, SendError};
use crate::socket::Socket;
use crate::stack::Stack;
use crate::transport::{Fallback, Transport};
use crate::work::WorkStats;

/// What one connection has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketStats {
    /// Octets the application sent.
    pub octets_sent: u64,
    /// Octets the application received.
    pub octets_received: u64,
    /// Calls that sent octets.
    pub sends: u64,
    /// Calls that received octets.
    pub receives: u64,
    /// Calls that found no room to send: `smcr stats`, buffer full.
    pub sends_blocked: u64,
    /// Calls that found nothing to receive.
    pub receives_blocked: u64,
    /// What went over the link; zero on TCP.
    pub messages: MessageStats,
}

/// What one connection has said and heard over SMC-R so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MessageStats {
    /// CDC messages sent.
    pub sent: u64,
    /// Of those, the ones without new octets: cursors and flags.
    pub updates: u64,
    /// Of those, the ones that said the peer's ring was full (B): `smcr stats`,
    /// buffer full (remote).
    pub blocked: u64,
    /// CDC messages heard.
    pub heard: u64,
    /// RDMA WRITEs posted, or carried out at once.
    pub writes: u64,
    /// Urgent octets the application sent.
    pub urgent_sent: u64,
    /// Urgent octets that came.
    pub urgent_heard: u64,
}

/// Connections that stay with TCP for one reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FallbackCount {
    /// The reason.
    pub fallback: Fallback,
    /// Connections of ours.
    pub as_client: u64,
    /// Connections of peers.
    pub as_server: u64,
}

/// Reasons that are told apart: [`StackStats::fallbacks`].
pub const FALLBACK_REASONS: usize = 24;

/// Sizes that are told apart, as `smcr stats` does: up to 8 KiB, 16 KiB and so on to
/// 512 KiB, and above.
pub const SIZE_CLASSES: usize = 8;

/// How many there were of each size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SizeCounts(pub [u64; SIZE_CLASSES]);

impl SizeCounts {
    #[inline]
    pub(crate) const fn count(&mut self, octets: u64) {
        let class = (u64::BITS - (octets.saturating_sub(1) >> 13).leading_zeros()) as usize;
        self.0[if class < SIZE_CLASSES { class } else { SIZE_CLASSES - 1 }] += 1;
    }
}

/// What a stack has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StackStats {
    /// SMC-R connections of ours that made a link group.
    pub first_contacts_as_client: u64,
    /// SMC-R connections of peers that made a link group.
    pub first_contacts_as_server: u64,
    /// SMC-R connections of ours in a group that stood.
    pub later_contacts_as_client: u64,
    /// SMC-R connections of peers in a group that stood.
    pub later_contacts_as_server: u64,
    /// Of all these, the ones of SMC version 1.
    pub version_1: u64,
    /// TCP connections because SMC was not wanted here.
    pub plain_tcp: u64,
    /// TCP connections for other reasons, by reason, in the order of their first
    /// appearance; the rest is zero.
    pub fallbacks: [FallbackCount; FALLBACK_REASONS],
    /// TCP connections for reasons that found no place there: a peer can make
    /// up any.
    pub fallbacks_of_other_reasons: u64,
    /// SMC-R connections that went on over TCP by a Decline that came late; they
    /// are among `fallbacks` too.
    pub late_fallbacks: u64,
    /// Handshakes that failed.
    pub handshakes_failed: u64,
    /// SYNs that were dropped since a limit was reached.
    pub syns_dropped: u64,
    /// What all SMC-R connections together have done, those that are gone included.
    pub smcr: SocketStats,
    /// Their RMBs.
    pub rmbs_by_size: SizeCounts,
    /// Their send rings.
    pub send_rings_by_size: SizeCounts,
    /// Their calls that sent octets.
    pub sends_by_size: SizeCounts,
    /// Their calls that received octets.
    pub receives_by_size: SizeCounts,
    /// Their corks that were put in ([`Socket::set_cork`]).
    pub corked: u64,
    /// How often nodelay was set on one ([`Socket::set_nodelay`]).
    pub nodelays: u64,
    /// Octets all applications sent.
    pub octets_sent: u64,
    /// Octets all applications received.
    pub octets_received: u64,
    /// Link groups that were ever made.
    pub groups_made: u64,
    /// Link groups there are now.
    pub groups: u64,
    /// Connections there are now, those that are being made or ended included.
    pub connections: u64,
    /// Calls of [`Stack::poll`].
    pub polls: u64,
    /// Calls of [`Stack::poll`] that had nothing to do.
    pub idle_polls: u64,
    /// What all calls did: frames taken and given, completions taken, turns of
    /// connections. There is no clock here: how long a call takes is for the
    /// caller to measure, and grows with this.
    pub poll_work: u64,
    /// The most that one call did.
    pub longest_poll: u64,
    /// Connections in TIME-WAIT now.
    pub time_waits: u64,
    /// Those that left it early, as there may be only
    /// [`Limits::time_waits`](crate::Limits::time_waits).
    pub time_waits_dropped: u64,
    /// What links have worked, in sum over those there were and are.
    pub work: WorkStats,
}

impl StackStats {
    /// The reasons for TCP that there were.
    pub fn fallback_reasons(&self) -> impl Iterator<Item = &FallbackCount> {
        self.fallbacks.iter().filter(|count| count.as_client + count.as_server > 0)
    }

    /// Counts a connection whose handshake is over.
    pub(crate) fn handshake_over(&mut self, connection: &Connection) {
        match (&connection.phase, connection.role) {
            (Phase::Smc(smc), role) => {
                let first = smc.transport.is_first_contact();
                self.version_1 += u64::from(matches!(smc.transport, Transport::SmcR { version: 1, .. }));
                let sizes = smc.flow.sizes();
                self.rmbs_by_size.count(sizes.own.into());
                self.send_rings_by_size.count(sizes.send.into());
                *match (first, role) {
                    (true, Role::Client) => &mut self.first_contacts_as_client,
                    (true, Role::Server) => &mut self.first_contacts_as_server,
                    (false, Role::Client) => &mut self.later_contacts_as_client,
                    (false, Role::Server) => &mut self.later_contacts_as_server,
                } += 1;
            }
            (Phase::Tcp(Fallback { local: None, peer: None }), _) => self.plain_tcp += 1,
            (Phase::Tcp(fallback), role) => self.fallback(*fallback, role),
            _ => self.handshakes_failed += 1,
        }
    }

    pub(crate) fn fallback(&mut self, fallback: Fallback, role: Role) {
        let is_free = |count: &FallbackCount| count.as_client + count.as_server == 0;
        let place = self.fallbacks.iter_mut().find(|count| is_free(count) || count.fallback == fallback);
        let Some(count) = place else {
            self.fallbacks_of_other_reasons += 1;
            return;
        };
        count.fallback = fallback;
        *match role {
            Role::Client => &mut count.as_client,
            Role::Server => &mut count.as_server,
        } += 1;
    }

    /// Connections that stay with TCP for this reason of ours.
    #[must_use]
    pub fn fallbacks_for(&self, local: Diagnosis) -> u64 {
        let of_it = self.fallbacks.iter().filter(|count| count.fallback.local == Some(local));
        of_it.map(|count| count.as_client + count.as_server).sum()
    }
}

impl Connection {
    /// What it has done so far.
    pub(crate) const fn stats(&self) -> SocketStats {
        let messages = match &self.phase {
            Phase::Smc(smc) => smc.stats,
            _ => self.stats.messages,
        };
        SocketStats { messages, ..self.stats }
    }
}

impl SocketStats {
    /// Adds what a connection has done, if it is SMC-R.
    pub(crate) fn add_smcr(&mut self, connection: &Connection) {
        if !matches!(connection.phase, Phase::Smc(_)) {
            return;
        }
        let SocketStats {
            octets_sent,
            octets_received,
            sends,
            receives,
            sends_blocked,
            receives_blocked,
            messages,
        } = connection.stats();
        self.octets_sent += octets_sent;
        self.octets_received += octets_received;
        self.sends += sends;
        self.receives += receives;
        self.sends_blocked += sends_blocked;
        self.receives_blocked += receives_blocked;
        self.messages.sent += messages.sent;
        self.messages.updates += messages.updates;
        self.messages.blocked += messages.blocked;
        self.messages.heard += messages.heard;
        self.messages.writes += messages.writes;
        self.messages.urgent_sent += messages.urgent_sent;
        self.messages.urgent_heard += messages.urgent_heard;
    }
}

impl<P: Provider> Stack<P> {
    /// What it has done so far, in sum.
    #[must_use]
    pub fn stats(&self) -> StackStats {
        let mut work = self.shared.stats.work;
        for link in self.shared.groups.values().flat_map(|group| group.links.iter().flatten()) {
            work.add(&WorkStats::of(link, &self.shared.provider));
        }
        let mut smcr = self.shared.stats.smcr;
        for connection in self.connections.values() {
            smcr.add_smcr(connection);
        }
        StackStats {
            smcr,
            work,
            time_waits: self.shared.time_waits.len() as u64,
            time_waits_dropped: self.shared.time_waits.dropped,
            groups_made: u64::from(self.shared.groups_made),
            groups: self.shared.groups.len() as u64,
            connections: self.connections.len() as u64,
            ..self.shared.stats
        }
    }
}

impl<P: Provider> Socket<'_, P> {
    /// What it has done so far.
    #[must_use]
    pub const fn stats(&self) -> SocketStats {
        self.connection.stats()
    }

    /// Octets were sent, or not: counts that, and sees to what follows.
    #[inline]
    pub(crate) fn sent(&mut self, sent: Result<usize, SendError>) -> Result<usize, SendError> {
        let Connection { stats, phase, .. } = &mut *self.connection;
        match sent {
            Ok(octets) if octets > 0 => {
                stats.octets_sent += octets as u64;
                stats.sends += 1;
                self.shared.stats.octets_sent += octets as u64;
                if matches!(phase, Phase::Smc(_)) {
                    self.shared.stats.sends_by_size.count(octets as u64);
                }
                self.settle();
            }
            Err(SendError::WouldBlock) => stats.sends_blocked += 1,
            _ => {}
        }
        sent
    }

    /// Octets were received, or not: counts that, and sees to what follows.
    #[inline]
    pub(crate) fn received(&mut self, received: Result<usize, RecvError>) -> Result<usize, RecvError> {
        let Connection { stats, phase, .. } = &mut *self.connection;
        match received {
            Ok(octets) if octets > 0 => {
                stats.octets_received += octets as u64;
                stats.receives += 1;
                self.shared.stats.octets_received += octets as u64;
                if matches!(phase, Phase::Smc(_)) {
                    self.shared.stats.receives_by_size.count(octets as u64);
                }
                self.settle();
            }
            Err(RecvError::WouldBlock) => stats.receives_blocked += 1,
            _ => {}
        }
        received
    }
}

#[cfg(test)]
#[path = "stats_tests.rs"]
mod tests;
