//! What there is, for people and tests: values, not views.

use alloc::vec::Vec;

use smolsmc_llc::Role;
use smolsmc_rmb::PoolStats;
use smolsmc_verbs::{Provider, QpHandle};
use smolsmc_wire::{Gid, LinkNumber, PeerId};

use crate::stack::Stack;
use crate::transport::GroupNumber;
use crate::work::WorkStats;

/// A link group as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupSummary {
    /// Its number in this stack.
    pub number: GroupNumber,
    /// Which side this is.
    pub role: Role,
    /// The peer, as it calls itself.
    pub peer_id: PeerId,
    /// Connections that have a part of it.
    pub connections: usize,
    /// Connections that ever had a part of it.
    pub connections_ever: u64,
    /// Connections it may carry.
    pub max_conns: u8,
    /// What its links there are have worked, in sum.
    pub work: WorkStats,
    /// Its rings.
    pub rings: PoolStats,
    /// RMBs the peer has told of.
    pub peer_rmbs: usize,
    /// It has ended, and only acknowledges last words.
    pub is_ending: bool,
    /// Its links.
    pub links: Vec<LinkSummary>,
}

/// A link as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkSummary {
    /// Its number, the server's choice.
    pub number: LinkNumber,
    /// It carries data.
    pub is_active: bool,
    /// The port it is on.
    pub port: usize,
    /// Our end.
    pub gid: Gid,
    /// The peer's end, once it is known.
    pub peer_gid: Option<Gid>,
    /// Its queue pair.
    pub qp: QpHandle,
    /// Connections that are bound to it.
    pub connections: usize,
    /// Messages that are not known to be acknowledged; of answers a later one tells.
    pub in_flight: usize,
    /// CDC and LLC messages that were sent.
    pub messages_sent: u64,
    /// CDC and LLC messages that came.
    pub messages_received: u64,
    /// Messages that the peer is not known to have handled: it may not have
    /// posted their receives again.
    pub unproven: u64,
    /// What it has worked so far.
    pub work: WorkStats,
}

impl<P: Provider> Stack<P> {
    /// The link groups there are, the oldest first.
    #[must_use]
    pub fn groups(&self) -> Vec<GroupSummary> {
        let mut groups: Vec<_> =
            self.shared.groups.values().map(|group| summary(group, &self.shared.provider)).collect();
        groups.sort_by_key(|group| group.number);
        groups
    }
}

fn summary<P: Provider>(group: &crate::group::Group, provider: &P) -> GroupSummary {
    let links = group.links.iter().flatten().map(|link| LinkSummary {
        number: link.number(),
        is_active: link.is_active(),
        port: link.port,
        gid: link.gid,
        peer_gid: link.peer.map(|peer| peer.gid),
        qp: link.qp,
        connections: link.connections,
        in_flight: link.posted.len(),
        messages_sent: link.messages_sent(),
        messages_received: link.messages_received,
        unproven: link.unproven.count(),
        work: WorkStats::of(link, provider),
    });
    let links: Vec<LinkSummary> = links.collect();
    let mut work = WorkStats::default();
    links.iter().for_each(|link| work.add(&link.work));
    GroupSummary {
        work,
        number: group.number,
        role: group.role,
        peer_id: group.peer_id,
        connections: group.connections,
        connections_ever: group.connections_ever,
        max_conns: group.max_conns,
        rings: group.pool.stats(),
        peer_rmbs: group.ledger.len(),
        is_ending: group.lingers_until.is_some(),
        links,
    }
}
