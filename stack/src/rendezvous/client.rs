//! The client: Proposal, Confirm, and its look at the Accept in between.

use alloc::vec;

use smolsmc_clc::{
    Accept, AcceptV2, Agreement, AgreementV2, ConfirmFirstContact, Decline, Diagnosis, Message, Proposal,
    Sender,
};
use smolsmc_llc::Role;
use smolsmc_verbs::Provider;
use smolsmc_wire::{Gid, MtuCode};

use super::joining::Founding;
use super::{FIRST, Next, Step, peer_end, say, take_half};
use crate::connection::{Connection, Half, Rendezvous};
use crate::error::ConnectionError;
use crate::group::{Group, GroupKey};
use crate::handle::SocketHandle;
use crate::place::Place;
use crate::shared::Shared;

impl<P: Provider> Shared<P> {
    /// Both SYNs carried the option: says what could be done. Without a device
    /// or enterprise id that is nothing, which Linux 6.12 smc_clc says with a
    /// Decline of version 1 in place of a Proposal.
    pub(super) fn propose(&mut self, handle: SocketHandle, connection: &mut Connection) -> Step {
        let (v1, v2) = (self.config.smc_v1, self.config.speaks_v2());
        let place = self.place(connection).filter(|_| v1 || v2);
        let Some(place) = place else {
            return self.decline_with(
                handle,
                connection,
                Decline::v1(self.peer_id, Diagnosis::NO_SMC_DEVICE),
            );
        };
        // Without version 1 its GID stays zero; peer ID and MAC do not, for a
        // server finds link groups by the one and sends packets to the other.
        let gid = if v1 { place.gid } else { Gid([0; 16]) };
        let sender = Sender { peer_id: self.peer_id, gid, mac: place.mac };
        let proposal = match self.ip_area(connection).filter(|_| v1) {
            Some(area) if !v2 => Proposal::v1(sender, area),
            Some(area) => Proposal::from(self.offer().propose(sender, place.gid)).with_smcr_v1(area),
            None => Proposal::from(self.offer().propose(sender, place.gid)),
        };
        say(connection, &Message::Proposal(proposal))?;
        self.await_next(connection, Rendezvous::Accept { gid_index: place.gid_index });
        Ok(Next::Again)
    }

    pub(super) fn accepted(
        &mut self,
        handle: SocketHandle,
        connection: &mut Connection,
        accept: &Accept,
        gid_index: u16,
    ) -> Step {
        let (accept, checked) = match accept {
            Agreement::V2(v2) if self.config.speaks_v2() => (*v2, self.offer().check_accept(v2)),
            Agreement::V1(v1) if self.config.smc_v1 => (v1.as_accept(), Ok(())),
            _ => return self.decline(handle, connection, Diagnosis::MODE_MISMATCH),
        };
        let accept = &accept;
        let half = checked.and_then(|()| match accept.first_contact {
            Some(_) => self.join_new(handle, connection, accept, gid_index),
            None => self.join_known(handle, connection, accept),
        });
        let half = match half {
            Ok(half) => half,
            Err(why) => return self.decline(handle, connection, why),
        };
        if half.first_contact {
            return self.confirm_first(handle, connection, half, accept);
        }
        match self.announce(handle, &half) {
            Ok(true) => {
                self.await_next(connection, Rendezvous::Rkey(half));
                Ok(Next::Again)
            }
            Ok(false) => {
                self.await_next(connection, Rendezvous::Rkey(half));
                self.confirm_subsequent(handle, connection)
            }
            Err(why) => {
                self.release_half(handle, half);
                self.decline(handle, connection, why)
            }
        }
    }

    /// First contact: a new group, its queue pair ready to receive before the
    /// server hears of it.
    fn join_new(
        &mut self,
        handle: SocketHandle,
        connection: &Connection,
        accept: &AcceptV2,
        gid_index: u16,
    ) -> Result<Half, Diagnosis> {
        let place = self.place(connection).filter(|place| place.gid_index == gid_index);
        let place = place.ok_or(Diagnosis::NO_SMCR_DEVICE)?;
        let is_direct = self.is_direct(place.port, accept.terms.gid).ok_or(Diagnosis::NO_ROUTE)?;
        let told_direct = accept.first_contact.is_some_and(|first| first.v2_direct);
        if is_direct && !told_direct {
            return Err(Diagnosis::INDIRECT_MISMATCH);
        }
        let mtu = common_mtu(place.mtu, accept.terms.mtu).ok_or(Diagnosis::CONFIGURATION)?;
        let first = accept.first_contact;
        let release = first.map_or(0, |first| first.release);
        let limits = first.filter(|_| release > 0);
        let founding = Founding {
            role: Role::Client,
            peer_id: accept.terms.peer_id,
            peer_gid: accept.terms.gid,
            port: connection.tuple.port,
            version: accept.version,
            eid: accept.eid,
            release,
            max_conns: limits.map_or(u8::MAX, |first| first.max_conns),
            max_links: limits.map_or(if accept.version.is_v1() { 1 } else { 2 }, |first| first.max_links),
        };
        let key = self.new_group(Place { is_direct, ..place }, founding)?;
        let mut half = self.half_of_new(handle, connection, key)?;
        let peer = peer_end(&accept.terms, accept.terms.gid, connection);
        let Self { groups, provider, .. } = self;
        let ready = groups.get_mut(key).and_then(|group| group.link_mut(FIRST));
        let ready = ready.map(|link| link.make_ready_to_receive(provider, peer, mtu));
        if !matches!(ready, Some(Ok(()))) {
            self.release_half(handle, half);
            return Err(Diagnosis::READY_LINK);
        }
        if !self.note_peer(&mut half, &accept.terms) {
            self.release_half(handle, half);
            return Err(Diagnosis::RTOKEN);
        }
        Ok(half)
    }

    /// A half of a group that was just made for it; without one the group goes.
    pub(super) fn half_of_new(
        &mut self,
        handle: SocketHandle,
        connection: &Connection,
        key: GroupKey,
    ) -> Result<Half, Diagnosis> {
        self.take_half(handle, connection, key, FIRST, true).map_err(|_| {
            self.end_group(key, ConnectionError::AbortedHere);
            Diagnosis::MEMORY
        })
    }

    /// Subsequent contact: the server names a link we must know.
    fn join_known(
        &mut self,
        handle: SocketHandle,
        connection: &Connection,
        accept: &AcceptV2,
    ) -> Result<Half, Diagnosis> {
        let terms = &accept.terms;
        let named = |group: &Group| {
            let same = group.peer_id == terms.peer_id && group.version == accept.version;
            let usable = group.role == Role::Client && group.is_active() && same;
            group.active().filter(|_| usable).find(|&place| {
                let end = group.link(place).and_then(|link| link.peer).map(|peer| (peer.qpn, peer.gid));
                end == Some((terms.qpn, terms.gid))
            })
        };
        let found = self.groups.iter().find_map(|(key, group)| named(group).map(|place| (key, place)));
        let (key, place) = found.ok_or(Diagnosis::OUT_OF_SYNC)?;
        let half = self.take_half(handle, connection, key, place, false);
        let mut half = half.map_err(|_| Diagnosis::MEMORY)?;
        if !self.note_peer(&mut half, terms) {
            self.release_half(handle, half);
            return Err(Diagnosis::RTOKEN);
        }
        Ok(half)
    }

    fn confirm_first(
        &mut self,
        handle: SocketHandle,
        connection: &mut Connection,
        half: Half,
        accept: &AcceptV2,
    ) -> Step {
        let key = half.group;
        let terms = self.own_terms(&half);
        let group = self.groups.get(key);
        let message = terms.zip(group).and_then(|(terms, group)| {
            let Group { version, release, max_conns, max_links, .. } = *group;
            let is_direct = group.link(FIRST)?.is_direct;
            let extension = self.offer().first_contact(is_direct, release, max_conns, max_links);
            let first_contact = Some(ConfirmFirstContact { extension, gids: Some(vec![terms.gid]) });
            Some(AgreementV2 { version, terms, eid: accept.eid, first_contact }.in_its_version(true))
        });
        self.await_next(connection, Rendezvous::Link(half));
        // The machine runs before the Confirm is said: the server may be quick.
        self.start_link(key, handle);
        match message {
            Some(message) => say(connection, &Message::Confirm(message)).map(|()| Next::Again),
            None => Err(ConnectionError::OutOfTurn),
        }
    }

    /// On a subsequent contact the Confirm is the last word: octets may follow.
    pub(super) fn confirm_subsequent(&mut self, handle: SocketHandle, connection: &mut Connection) -> Step {
        let Some(half) = take_half(connection) else { return Ok(Next::Wait) };
        let terms = self.own_terms(&half);
        let message = terms.zip(self.groups.get(half.group)).map(|(terms, group)| {
            let Group { version, eid, .. } = *group;
            AgreementV2 { version, terms, eid, first_contact: None }.in_its_version(false)
        });
        self.await_next(connection, Rendezvous::Rkey(half));
        let Some(message) = message else { return Err(ConnectionError::OutOfTurn) };
        say(connection, &Message::Confirm(message))?;
        self.become_smc(handle, connection)
    }
}

/// The smaller of both; `None` if the peer's is no path MTU, which RFC 7609
/// §C.6 lets be declined.
pub(crate) fn common_mtu(own: MtuCode, peer: MtuCode) -> Option<MtuCode> {
    peer.octets().map(|_| own.min(peer))
}
