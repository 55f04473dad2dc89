//! What becomes of connections when their link goes: with another link they go
//! over it and lose nothing, without one they end (RFC 7609 §4.6).

use smolsmc_cdc::StateFlags;
use smolsmc_llc::{DeleteReason, DownReason};
use smolsmc_verbs::{Provider, QpTransition, WcStatus};
use smolsmc_wire::LinkNumber;

use crate::completions::BATCH;
use crate::connection::{Connection, Phase, Smc};
use crate::error::ConnectionError;
use crate::event::Event;
use crate::group::{Group, GroupKey};
use crate::handle::SocketHandle;
use crate::shared::{Connections, Shared};
use crate::transport::Transport;
use crate::work::WorkStats;

impl<P: Provider> Shared<P> {
    /// A link carries nothing any more. The peer hears it on another one before
    /// anything is written there: then it takes nothing late from the old one.
    pub(crate) fn link_down(&mut self, key: GroupKey, place: usize, why: ConnectionError) {
        let Some(group) = self.groups.get_mut(key) else { return };
        let group_number = group.number;
        let Some(link) = group.link_mut(place) else { return };
        if core::mem::replace(&mut link.is_down, true) {
            return;
        }
        let number = link.number();
        self.events.tell(Event::LinkDown { group: group_number, link: number, why });
        link.failed.get_or_insert(WcStatus::Flushed);
        if let Some(llc) = &mut link.llc {
            llc.end();
        }
        if group.lingers_until.is_some() {
            return;
        }
        let Some(other) = group.active().next() else {
            return self.end_group(key, why);
        };
        let told = matches!(why, ConnectionError::LinkDown(DownReason::Deleted(_)));
        if let Some(llc) = group.link_mut(other).filter(|_| !told).and_then(|link| link.llc.as_mut()) {
            llc.delete_other(number, DeleteReason::LOST_PATH);
        }
        self.downed.push_back((key, place, why));
        self.run_link(key, other);
    }

    /// The peer has deleted a link.
    pub(crate) fn link_deleted(&mut self, key: GroupKey, number: LinkNumber, reason: DeleteReason) {
        let place = self.groups.get(key).and_then(|group| group.place_of(number));
        if let Some(place) = place {
            self.link_down(key, place, ConnectionError::LinkDown(DownReason::Deleted(reason)));
        }
    }

    /// Moves the connections of links that went down, and ends the links.
    pub(crate) fn move_connections(&mut self, connections: &mut Connections) {
        while let Some((key, place, why)) = self.downed.pop_front() {
            self.hear_out(connections, key, place);
            for (handle, connection) in connections.iter_mut() {
                if connection.link() == Some((key, place)) {
                    self.move_connection(handle, connection, why);
                }
            }
            self.destroy_link(key, place);
        }
    }

    /// Takes what still came over a link that is down: its peer was told that it
    /// arrived, and will not say it again. In ERR no more of it arrives.
    fn hear_out(&mut self, connections: &mut Connections, key: GroupKey, place: usize) {
        let Some(link) = self.groups.get(key).and_then(|group| group.link(place)) else { return };
        let (qp, of) = (link.qp, link.rdma.device);
        // Refused if it is in ERR, or its device is gone.
        let _ = self.provider.modify_qp(qp, QpTransition::Error);
        let Some(&(_, cq)) = self.cqs.iter().find(|(device, _)| *device == of) else { return };
        // No more than links can have there now: those of others may go on and on.
        let most = self.by_qp.len() * self.config.limits.completions_per_link() as usize;
        for _ in 0..=most / BATCH {
            let mut batch = core::mem::take(&mut self.batch);
            let count = self.provider.poll_cq(cq, &mut batch).unwrap_or(0);
            let is_last = count < batch.len();
            self.batch = batch;
            self.take_batch(connections, count);
            if is_last {
                return;
            }
        }
    }

    fn move_connection(&mut self, handle: SocketHandle, connection: &mut Connection, why: ConnectionError) {
        match &mut connection.phase {
            Phase::Smc(smc) => {
                let Some(group) = self.groups.get_mut(smc.group) else { return };
                if smc.move_over(group) {
                    self.queue(handle, connection);
                } else {
                    // Nobody will hear of what was posted on a queue pair that goes.
                    smc.in_flight = 0;
                    self.group_ended(handle, connection, why);
                }
            }
            // Still in its handshake: it gives up, and stays with TCP.
            _ => self.group_ended(handle, connection, why),
        }
    }

    /// A link goes, with its queue pair and the registrations for it. Its
    /// connections must have left it.
    pub(crate) fn destroy_link(&mut self, key: GroupKey, place: usize) {
        let Self { groups, provider, by_qp, stats, .. } = self;
        let Some(group) = groups.get_mut(key) else { return };
        let Some(mut link) = group.links.get_mut(place).and_then(Option::take) else { return };
        by_qp.remove(&link.qp);
        group.pool.remove_domain(provider, place);
        stats.work.add(&WorkStats::of(&link, provider));
        link.destroy(provider);
        group.ledger.forget_link(link.number());
        if group.offered == Some(place) {
            group.offered = None;
        }
    }
}

impl Smc {
    /// Goes over another link of its group: what was not acknowledged will be
    /// written again. False if there is none, or the rings are not known on it, or what
    /// was not acknowledged is not there any more.
    fn move_over(&mut self, group: &mut Group) -> bool {
        let Some(place) = group.least_used() else { return false };
        let number = |place| group.link(place).map(crate::group::Link::number);
        let (Some(from), Some(to)) = (number(self.link), number(place)) else { return false };
        let Some(theirs) = group.ledger.translate(from, self.peer.rkey, to) else { return false };
        let Some(keys) = group.pool.keys(&self.send, place) else { return false };
        let Some(address) = theirs.address.checked_add(self.peer.offset) else { return false };
        if address.checked_add(u64::from(self.peer.size)).is_none() {
            return false;
        }
        // What was written past the send ring cannot be written again.
        let (written, _) = self.flow.totals();
        let Some(seq) = self.flow.rewind() else { return false };
        self.link = place;
        if let Transport::SmcR { link, .. } = &mut self.transport {
            *link = to;
        }
        self.send_keys = keys;
        (self.peer.rkey, self.peer.address) = (theirs.rkey, address);
        self.proof.moves(written);
        self.validate = Some(seq);
        self.say_again = true;
        self.told = self.flow.totals().0;
        // D and C are said again too, behind the last octet that is written again.
        self.said = StateFlags::empty();
        self.in_flight = 0;
        self.is_queued = false;
        if let Some(link) = group.link_mut(place) {
            link.connections += 1;
            self.writes_now = link.writes_now;
        }
        true
    }
}
