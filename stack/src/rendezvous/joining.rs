//! What both roles do to join a link group.

use smolsmc_clc::{Diagnosis, Eid, SmcrTerms, Version};
use smolsmc_llc::{self as llc, Ledger, LinkRkey, MAX_LINKS, Role};
use smolsmc_rmb::Pool;
use smolsmc_verbs::Provider;
use smolsmc_wire::{Gid, PeerId, RmbeIndex};

use super::FIRST;
use crate::connection::{Half, PeerRing};
use crate::deadlines::Deadline;
use crate::group::{Group, GroupKey, Link};
use crate::handle::SocketHandle;
use crate::place::Place;
use crate::shared::Shared;
use crate::transport::GroupNumber;

/// What both sides have agreed on when a group is made.
pub(super) struct Founding {
    pub(super) role: Role,
    pub(super) peer_id: PeerId,
    pub(super) peer_gid: Gid,
    pub(super) port: usize,
    pub(super) version: Version,
    pub(super) eid: Eid,
    pub(super) release: u8,
    pub(super) max_conns: u8,
    pub(super) max_links: u8,
}

impl Founding {
    /// The group with its first link, on which nothing has happened yet.
    fn group(self, number: GroupNumber, link: Link, pool: Pool) -> Group {
        let Self { role, peer_id, peer_gid, port, version, eid, release, max_conns, max_links } = self;
        Group {
            number,
            role,
            peer_id,
            peer_gid,
            port,
            version,
            eid,
            release,
            max_conns,
            max_links,
            pool,
            ledger: Ledger::default(),
            links: [Some(link), None, None],
            links_made: 1,
            was_up: false,
            offered: None,
            connections_ever: 0,
            connections: 0,
            idle_since: None,
            lingers_until: None,
            deadline: Deadline::default(),
            is_queued: false,
        }
    }
}

impl<P: Provider> Shared<P> {
    /// A new group with one link, its queue pair in RESET.
    pub(super) fn new_group(&mut self, place: Place, founding: Founding) -> Result<GroupKey, Diagnosis> {
        let limits = self.config.limits;
        if self.groups.len() >= limits.groups {
            return Err(Diagnosis::MEMORY);
        }
        let psn = self.draws.psn();
        let link = Link::new(&mut self.provider, place, psn, &limits).map_err(|_| Diagnosis::MEMORY)?;
        let mut pool = Pool::new(limits.group_octets);
        // Without rings there is nothing to register yet.
        let _ = pool.add_domain(&mut self.provider, FIRST, link.pd);
        let qp = link.qp;
        self.groups_made += 1;
        let key = self.groups.insert(founding.group(GroupNumber(self.groups_made), link, pool));
        self.by_qp.insert(qp, (key, FIRST));
        Ok(key)
    }

    /// What we say about ourselves in Accept and Confirm; the peer knows the RMB
    /// from then on.
    pub(super) fn own_terms(&mut self, half: &Half) -> Option<SmcrTerms> {
        let peer_id = self.peer_id;
        let group = self.groups.get_mut(half.group)?;
        group.pool.announce(&half.rmb, half.link);
        let keys = group.pool.keys(&half.rmb, half.link)?;
        let link = group.link(half.link)?;
        Some(SmcrTerms {
            peer_id,
            gid: link.gid,
            mac: link.mac,
            qpn: link.qpn,
            rkey: keys.rkey,
            rmbe_index: RmbeIndex::FIRST,
            alert_token: half.token,
            rmbe_size: half.rmb.size,
            mtu: link.mtu,
            rmb_address: keys.iova,
            psn: link.psn,
        })
    }

    /// The link's machine, from RTR (client) or RTS (server) on.
    pub(super) fn start_link(&mut self, key: GroupKey, waiter: SocketHandle) {
        let (now, timers) = (self.now, self.config.timers.link);
        let Some(group) = self.groups.get_mut(key) else { return };
        let (role, own) = (group.role, group.confirm_link(FIRST));
        let is_v1 = group.version.is_v1();
        let (Some(own), Some(link)) = (own, group.link_mut(FIRST)) else { return };
        let first = llc::Link::first(role, own, timers, now);
        link.llc = Some(if is_v1 { first.speaking(llc::Version::V1) } else { first });
        link.waiter = Some(waiter);
        self.run_link(key, FIRST);
    }

    /// Notes where the peer's ring is. False if it told of more RMBs than there
    /// may be, or of none.
    pub(super) fn note_peer(&mut self, half: &mut Half, terms: &SmcrTerms) -> bool {
        let size = terms.rmbe_size.octets();
        let Some(offset) = terms.rmbe_index.offset(size) else { return false };
        let Some(address) = terms.rmb_address.checked_add(offset) else { return false };
        if address.checked_add(u64::from(size)).is_none() {
            return false;
        }
        half.peer = Some(PeerRing { rkey: terms.rkey, address, offset, size, token: terms.alert_token });
        let Some(group) = self.groups.get_mut(half.group) else { return false };
        let Some(link_number) = group.link(half.link).map(Link::number) else { return false };
        group.ledger.learn(LinkRkey { link_number, rkey: terms.rkey, address: terms.rmb_address })
    }

    /// Announces the connection's RMB on a link that exists; whether that takes
    /// an answer to be waited for.
    pub(super) fn announce(&mut self, handle: SocketHandle, half: &Half) -> Result<bool, Diagnosis> {
        let (now, key, place) = (self.now, half.group, half.link);
        let group = self.groups.get_mut(key).ok_or(Diagnosis::NO_ACTIVE_LINK)?;
        if group.pool.is_announced(&half.rmb) {
            return Ok(false);
        }
        let keys = group.pool.keys(&half.rmb, place).ok_or(Diagnosis::NO_ACTIVE_LINK)?;
        let others = group.keys_elsewhere(&half.rmb, place);
        let link =
            group.link_mut(place).and_then(|link| link.llc.as_mut()).ok_or(Diagnosis::NO_ACTIVE_LINK)?;
        if !link.confirm_rkey(now, keys.rkey, keys.iova, others) {
            return Err(Diagnosis::NO_ACTIVE_LINK);
        }
        for place in 0..MAX_LINKS {
            group.pool.announce(&half.rmb, place);
        }
        self.waiting_for_rkey.push_back((key, keys.rkey, handle));
        self.run_link(key, place);
        Ok(true)
    }
}
