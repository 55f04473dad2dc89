//! The server: its choice from a Proposal, Accept, and its look at the Confirm.

use smolsmc_clc::{
    Agreement, AgreementV2, Choice, Confirm, Decline, Diagnosis, Message, Os, Proposal, Sender,
};
use smolsmc_llc::Role;
use smolsmc_verbs::Provider;

use super::client::common_mtu;
use super::joining::Founding;
use super::{Next, Step, peer_end, say, take_half};
use crate::connection::{Connection, Half, Phase, Rendezvous};
use crate::error::ConnectionError;
use crate::group::{Group, GroupKey};
use crate::handle::SocketHandle;
use crate::place::Place;
use crate::shared::Shared;

/// What a Proposal leads to.
enum Found {
    /// A group with an active link.
    Known(GroupKey),
    /// One whose link is just being confirmed.
    Pending,
    None,
}

impl<P: Provider> Shared<P> {
    pub(super) fn proposed(
        &mut self,
        handle: SocketHandle,
        connection: &mut Connection,
        proposal: Proposal,
    ) -> Step {
        let chosen = self.choose(connection, &proposal);
        let half = chosen.and_then(|choice| {
            let place = self.place(connection).ok_or(Diagnosis::NO_SMCR_DEVICE)?;
            let is_direct = self.is_direct(place.port, choice.gid).ok_or(Diagnosis::NO_ROUTE)?;
            let sender = sender(&proposal);
            match self.find_group(connection, &sender, &choice) {
                Found::Pending => Ok(None),
                Found::Known(key) => self.serve_known(handle, connection, key, choice).map(Some),
                Found::None => {
                    let place = Place { is_direct, ..place };
                    self.serve_new(handle, connection, place, &sender, choice).map(Some)
                }
            }
        });
        match half {
            Ok(Some(half)) if half.first_contact => self.say_accept(connection, half),
            Ok(Some(half)) => match self.announce(handle, &half) {
                Ok(true) => {
                    self.await_next(connection, Rendezvous::Rkey(half));
                    Ok(Next::Again)
                }
                Ok(false) => self.say_accept(connection, half),
                Err(why) => {
                    self.release_half(handle, half);
                    self.refuse(handle, connection, &proposal, why)
                }
            },
            Ok(None) => {
                self.wait_for_group(handle, connection, proposal);
                Ok(Next::Wait)
            }
            Err(why) => self.refuse(handle, connection, &proposal, why),
        }
    }

    /// Version 2 if that can be agreed on, else version 1; why not is what the
    /// first of those that both sides have says (Linux 6.12 af_smc).
    fn choose(&self, connection: &Connection, proposal: &Proposal) -> Result<Choice, Diagnosis> {
        let v2 = match self.config.smc_v2 {
            true => self.offer().choose(proposal),
            false => Err(Diagnosis::NO_SMC_DEVICE),
        };
        let Some(area) = self.own_subnet(connection).filter(|_| self.config.smc_v1) else { return v2 };
        match (v2, Choice::v1(proposal, area.0, area.1)) {
            (Ok(choice), _) | (Err(_), Ok(choice)) => Ok(choice),
            (Err(Diagnosis::NO_SMC_DEVICE), Err(why)) | (Err(why), Err(_)) => Err(why),
        }
    }

    /// In the version of the Proposal.
    fn refuse(
        &mut self,
        handle: SocketHandle,
        connection: &mut Connection,
        proposal: &Proposal,
        why: Diagnosis,
    ) -> Step {
        let decline = match proposal.version().is_v1() {
            true => Decline::v1(self.peer_id, why),
            false => Decline::v2(self.peer_id, why, Os::UNKNOWN),
        };
        self.decline_with(handle, connection, decline)
    }

    /// Keeps the deadline of whoever waits already.
    fn wait_for_group(&mut self, handle: SocketHandle, connection: &mut Connection, proposal: Proposal) {
        connection.phase = Phase::Rendezvous(Rendezvous::Group(proposal));
        self.waiting_for_group.push_back(handle);
    }

    /// The group that was waited for is there, or failed: the Proposal is looked
    /// at again.
    pub(super) fn retry_proposal(&mut self, handle: SocketHandle, connection: &mut Connection) -> Step {
        if self.waiting_for_group.contains(&handle) {
            return Ok(Next::Wait);
        }
        match core::mem::replace(&mut connection.phase, Phase::Rendezvous(Rendezvous::Proposal)) {
            Phase::Rendezvous(Rendezvous::Group(proposal)) => self.proposed(handle, connection, proposal),
            phase => {
                connection.phase = phase;
                Ok(Next::Wait)
            }
        }
    }

    /// A link group is used again by the same client over the same link, unless
    /// it is full (Linux 6.12 smc_core).
    fn find_group(&self, connection: &Connection, sender: &Sender, choice: &Choice) -> Found {
        let same_peer = |group: &&Group| {
            group.role == Role::Server
                && group.lingers_until.is_none()
                && group.version == choice.version
                && group.peer_id == sender.peer_id
                && group.port == connection.tuple.port
                && group.peer_gid == choice.gid
        };
        let mut found = Found::None;
        for (key, group) in &self.groups {
            match same_peer(&group) {
                true if group.is_active() && group.has_room() => return Found::Known(key),
                true if group.is_activating() && group.has_room() => found = Found::Pending,
                _ => {}
            }
        }
        found
    }

    fn serve_known(
        &mut self,
        handle: SocketHandle,
        connection: &Connection,
        key: GroupKey,
        choice: Choice,
    ) -> Result<Half, Diagnosis> {
        let place = self.groups.get(key).and_then(Group::least_used).ok_or(Diagnosis::NO_ACTIVE_LINK)?;
        let half = self.take_half(handle, connection, key, place, false).map_err(|_| Diagnosis::MEMORY)?;
        Ok(Half { choice: Some(choice), ..half })
    }

    fn serve_new(
        &mut self,
        handle: SocketHandle,
        connection: &Connection,
        place: Place,
        sender: &Sender,
        choice: Choice,
    ) -> Result<Half, Diagnosis> {
        // A client waits for the offer of a second link where two were agreed on;
        // release 0 knows no other number than two.
        let has_second = self.ports.iter().filter(|port| port.rdma.is_some()).count() > 1;
        let knows_less = choice.release > 0 || choice.version.is_v1();
        let max_links = if knows_less && !has_second { 1 } else { choice.max_links };
        let choice = Choice { max_links, ..choice };
        let founding = Founding {
            role: Role::Server,
            peer_id: sender.peer_id,
            peer_gid: choice.gid,
            port: connection.tuple.port,
            version: choice.version,
            eid: choice.eid,
            release: choice.release,
            max_conns: choice.max_conns,
            max_links,
        };
        let key = self.new_group(place, founding)?;
        let half = self.half_of_new(handle, connection, key)?;
        Ok(Half { choice: Some(choice), ..half })
    }

    /// CONFIRM RKEY was answered.
    pub(super) fn accept_subsequent(&mut self, connection: &mut Connection) -> Step {
        match take_half(connection) {
            Some(half) => self.say_accept(connection, half),
            None => Ok(Next::Wait),
        }
    }

    fn say_accept(&mut self, connection: &mut Connection, half: Half) -> Step {
        let terms = self.own_terms(&half);
        let message = terms.zip(self.groups.get(half.group)).map(|(terms, group)| {
            let Group { version, release, max_conns, max_links, eid, .. } = *group;
            let is_direct = group.link(half.link).is_some_and(|link| link.is_direct);
            let first = || self.offer().first_contact(is_direct, release, max_conns, max_links);
            let first_contact = half.first_contact.then(first);
            AgreementV2 { version, terms, eid, first_contact }.in_its_version(half.first_contact)
        });
        self.await_next(connection, Rendezvous::Confirm(half));
        match message {
            Some(message) => say(connection, &Message::Accept(message)).map(|()| Next::Again),
            None => Err(ConnectionError::OutOfTurn),
        }
    }

    pub(super) fn confirmed(
        &mut self,
        handle: SocketHandle,
        connection: &mut Connection,
        confirm: &Confirm,
    ) -> Step {
        let converted;
        let confirm = match confirm {
            Agreement::V2(v2) => v2,
            Agreement::V1(v1) => {
                converted = v1.as_confirm();
                &converted
            }
            Agreement::SmcD(_) => return Err(ConnectionError::OutOfTurn),
        };
        let Some(mut half) = take_half(connection) else { return Ok(Next::Wait) };
        let version = self.groups.get(half.group).map(|group| group.version);
        let terms = &confirm.terms;
        let checked = match half.choice {
            _ if half.is_doomed => Err(Diagnosis::NO_ACTIVE_LINK),
            _ if version.is_none_or(|version| version.is_v1() != confirm.version.is_v1()) => {
                Err(Diagnosis::VERSION_MISMATCH)
            }
            Some(choice) if half.first_contact => choice.check_confirm(confirm),
            _ => Ok(()),
        };
        let ready = checked.and_then(|()| {
            if half.first_contact {
                self.ready_link(connection, &half, confirm)?;
                self.start_link(half.group, handle);
            }
            if self.note_peer(&mut half, terms) { Ok(()) } else { Err(Diagnosis::RTOKEN) }
        });
        let first_contact = half.first_contact;
        self.await_next(connection, Rendezvous::Link(half));
        match ready {
            Err(why) => self.decline(handle, connection, why),
            Ok(()) if first_contact => Ok(Next::Again),
            Ok(()) => self.become_smc(handle, connection),
        }
    }

    /// RESET to RTS. QPN, PSN and MTU are the Confirm's; the GID stays that of
    /// the Proposal (Linux 6.12 smc_core).
    fn ready_link(
        &mut self,
        connection: &Connection,
        half: &Half,
        confirm: &smolsmc_clc::ConfirmV2,
    ) -> Result<(), Diagnosis> {
        let Self { groups, provider, .. } = self;
        let group = groups.get_mut(half.group).ok_or(Diagnosis::NO_ACTIVE_LINK)?;
        let peer = peer_end(&confirm.terms, group.peer_gid, connection);
        let link = group.link_mut(half.link).ok_or(Diagnosis::NO_ACTIVE_LINK)?;
        let mtu = common_mtu(link.mtu, confirm.terms.mtu).ok_or(Diagnosis::CONFIGURATION)?;
        link.make_ready_to_receive(provider, peer, mtu)
            .and_then(|()| link.make_ready_to_send(provider))
            .map_err(|_| Diagnosis::READY_LINK)
    }
}

/// Who proposes.
const fn sender(proposal: &Proposal) -> Sender {
    match proposal {
        Proposal::V2(v2) => v2.sender,
        Proposal::V1(v1) => v1.sender,
    }
}
