//! What comes back from the provider: messages of peers, acknowledgements of
//! ours, and the ends of queue pairs and ports.

use alloc::vec::Vec;

use smolsmc_cdc::CdcMessage;
use smolsmc_llc::{self as llc, DownReason, LinkAction, Siblings};
use smolsmc_verbs::{AsyncEvent, Completion, Provider, QpHandle, RdmaPort, WcStatus};

use crate::connection::Phase;
use crate::error::ConnectionError;
use crate::group::{Group, GroupKey, RECEIVE_BIT, Said, WRITE_BIT};
use crate::probe::is_test;
use crate::receives::Refill;
use crate::shared::{Connections, Shared};

/// Completions taken from a queue at a time.
pub(crate) const BATCH: usize = 32;

/// LLC messages that wait for a place on a link at most: more than a peer can
/// ask for without hearing answers.
const UNSAID_MAX: usize = 64;

impl<P: Provider> Shared<P> {
    /// Takes completions, at most as many as `poll` may; returns how many.
    #[inline]
    pub(crate) fn completions(&mut self, connections: &mut Connections) -> usize {
        let mut taken = 0;
        for index in 0..self.cqs.len() {
            while taken < self.config.limits.completions {
                let Some(&(_, cq)) = self.cqs.get(index) else { break };
                let most = self.batch.len().min(self.config.limits.completions - taken);
                let Some(batch) = self.batch.get_mut(..most) else { break };
                // A queue of a device that is gone has nothing more to say.
                let count = self.provider.poll_cq(cq, batch).unwrap_or(0);
                if count == 0 {
                    break;
                }
                self.take_batch(connections, count);
                taken += count;
                if count < most {
                    break;
                }
            }
        }
        taken
    }

    /// Apart from the look whether there are any, which every poll takes, and twice with
    /// a NIC in software.
    #[inline(never)]
    pub(crate) fn take_batch(&mut self, connections: &mut Connections, count: usize) {
        let batch = core::mem::take(&mut self.batch);
        let mut refill = Refill::default();
        for completion in batch.iter().take(count) {
            self.completion(connections, completion, &mut refill);
        }
        self.refill(&mut refill);
        self.batch = batch;
    }

    #[inline]
    fn completion(&mut self, connections: &mut Connections, completion: &Completion, refill: &mut Refill) {
        let Some(&(key, place)) = self.by_qp.get(&completion.qp) else { return };
        if completion.status != WcStatus::Success {
            self.link_failed(key, place, completion.status);
        }
        if completion.wr_id & RECEIVE_BIT != 0 {
            if completion.status == WcStatus::Success {
                self.received(connections, (key, place), completion, refill);
            }
        } else if completion.wr_id & WRITE_BIT == 0 {
            self.sent(connections, key, place, completion);
        }
    }

    /// A SEND has completed, well or not, and with it those before it that have
    /// no completion of their own.
    #[inline]
    fn sent(&mut self, connections: &mut Connections, key: GroupKey, place: usize, completion: &Completion) {
        let well = completion.status == WcStatus::Success;
        loop {
            let Some(group) = self.groups.get_mut(key) else { return };
            let Some(link) = group.link_mut(place) else { return };
            let Some((said, is_last)) = link.completed(completion.wr_id) else { return };
            if is_last {
                let (waits, has_ready) = (!link.unsaid.is_empty(), !link.ready.is_empty());
                if !group.is_queued && has_ready {
                    group.is_queued = true;
                    self.ready.push_back(key);
                }
                if waits {
                    self.say_unsaid(key, place);
                }
            }
            self.settled(connections, said, well);
            if is_last {
                return;
            }
        }
    }

    /// A message of ours has arrived, if all went `well`, or perhaps has not.
    #[inline]
    fn settled(&mut self, connections: &mut Connections, said: Said, well: bool) {
        let (handle, mark) = match said {
            Said::Cdc { connection, mark } => (connection, Some(mark)),
            Said::Validation { connection } => (connection, None),
            Said::Llc => return,
        };
        let Some(connection) = connections.get_mut(handle) else { return };
        let Phase::Smc(smc) = &mut connection.phase else { return };
        smc.in_flight -= 1;
        let mut has_room = false;
        if let (true, Some(mark)) = (well, mark) {
            let room = smc.flow.room();
            smc.flow.complete(mark);
            has_room = smc.flow.room() > room;
        }
        let is_done = smc.is_done();
        if has_room {
            self.readiness_changed = true;
            self.notice(handle, connection);
        }
        if is_done {
            self.touch(handle, connection);
        } else {
            self.queue(handle, connection);
        }
    }

    /// Posts receives again.
    #[inline]
    fn refill(&mut self, refill: &mut Refill) {
        let Some(((key, place), slots)) = refill.take() else { return };
        let Self { groups, provider, .. } = self;
        if let Some(link) = groups.get_mut(key).and_then(|group| group.link_mut(place)) {
            // In ERR they come back flushed, which is as good.
            let _ = link.post_receives(provider, slots);
        }
    }

    /// A message of the peer. Its receive is posted again with those of the few after it,
    /// and before anything is said that would tell the peer of it.
    #[inline]
    fn received(
        &mut self,
        connections: &mut Connections,
        (key, place): (GroupKey, usize),
        completion: &Completion,
        refill: &mut Refill,
    ) {
        if refill.is_full_for((key, place)) {
            self.refill(refill);
        }
        let slot = (completion.wr_id & !RECEIVE_BIT) as u32;
        let Some(link) = self.groups.get_mut(key).and_then(|group| group.link_mut(place)) else { return };
        let mut short = [0; CdcMessage::LEN];
        let len = link.received(&self.provider, slot, completion.byte_len, &mut short);
        let is_cdc = len > 0 && short.first() == Some(&CdcMessage::TYPE);
        let mut long_len = 0;
        if !is_cdc {
            long_len = link.received(&self.provider, slot, completion.byte_len, &mut self.scratch);
        }
        link.messages_received += 1;
        refill.add((key, place), slot);
        if let Some(llc) = &mut link.llc {
            llc.heard(self.now);
        }
        if is_cdc {
            // One that is longer, or shorter, is no CDC message: ignored, as in Linux.
            let whole = completion.byte_len as usize == CdcMessage::LEN;
            if let Some(message) =
                short.get(..len).filter(|_| whole).and_then(|octets| CdcMessage::parse(octets).ok())
            {
                self.hear_cdc(connections, key, &message);
            }
        } else {
            self.refill(refill);
            self.hear_llc(connections, key, place, long_len);
        }
    }

    #[cold]
    fn hear_llc(&mut self, connections: &mut Connections, key: GroupKey, place: usize, len: usize) {
        // What is no LLC message is ignored, as in Linux 6.12 smc_llc.
        let Some(Ok(message)) = self.scratch.get(..len).map(llc::Message::parse) else { return };
        let now = self.now;
        let Some(group) = self.groups.get_mut(key) else { return };
        let (numbers, count) = group.numbers();
        let Group { links, ledger, .. } = group;
        let mut siblings = Siblings { ledger, links: numbers.get(..count).unwrap_or_default() };
        let link = links.get_mut(place).and_then(Option::as_mut).and_then(|link| link.llc.as_mut());
        if let Some(link) = link {
            link.hear(now, &message, &mut siblings);
        }
        self.run_link(key, place);
        self.tell_rkeys(connections);
    }

    /// Does what a link's machine asks for.
    pub(crate) fn run_link(&mut self, key: GroupKey, place: usize) {
        while let Some(action) = self.next_action(key, place) {
            match action {
                LinkAction::ReadyToSend => self.link_ready_to_send(key, place),
                LinkAction::Send(message) => self.say_llc(key, place, message),
                LinkAction::Active => self.link_active(key, place),
                LinkAction::Tested => self.link_tested(key, place),
                LinkAction::RkeyConfirmed(rkey, well) => self.rkeys_confirmed.push_back((key, rkey, well)),
                LinkAction::AddLinkOffered(offer) => self.add_link_offered(key, place, &offer),
                LinkAction::AddLinkAnswered(answer) => self.add_link_answered(key, place, answer.as_deref()),
                LinkAction::Eyecatcher => self.link_down(key, place, ConnectionError::Eyecatcher),
                LinkAction::LinkDeleted(number, reason) => self.link_deleted(key, number, reason),
                LinkAction::GroupDeleted(reason) => {
                    self.end_group(key, ConnectionError::LinkDown(DownReason::Deleted(reason)));
                }
                LinkAction::Down(reason) => self.link_down(key, place, ConnectionError::LinkDown(reason)),
                _ => {}
            }
        }
        self.set_group_deadline(key);
    }

    fn next_action(&mut self, key: GroupKey, place: usize) -> Option<LinkAction> {
        self.groups.get_mut(key)?.link_mut(place)?.llc.as_mut()?.next_action()
    }

    fn link_ready_to_send(&mut self, key: GroupKey, place: usize) {
        let Some(link) = self.groups.get_mut(key).and_then(|group| group.link_mut(place)) else { return };
        if let Err(error) = link.make_ready_to_send(&mut self.provider) {
            self.link_down(key, place, ConnectionError::Exhausted(error));
        }
    }

    /// Those who wait for the link may go on.
    fn link_active(&mut self, key: GroupKey, place: usize) {
        let Some(link) = self.groups.get_mut(key).and_then(|group| group.link_mut(place)) else { return };
        let (planned, number) = (link.planned, link.number());
        link.planned = number;
        self.woken.extend(link.waiter);
        if let Some(group) = self.groups.get_mut(key) {
            group.ledger.renumber(planned, number);
            group.links_made = group.links_made.max(number.0);
        }
        self.tell_link_up(key, number);
        self.woken.append(&mut self.waiting_for_group);
        self.offer_further_link(key, place);
    }

    pub(crate) fn say_llc(&mut self, key: GroupKey, place: usize, message: llc::Message) {
        let Some(link) = self.groups.get_mut(key).and_then(|group| group.link_mut(place)) else { return };
        // The one question that is out goes before all that waits for its answer.
        // A peer that answers before it is sent gets no further one.
        let is_question = |message: &llc::Message| is_test(message) && !message.response;
        match is_question(&message) {
            true if link.unsaid.front().is_some_and(is_question) => {}
            true => link.unsaid.push_front(message),
            false if link.unsaid.len() < UNSAID_MAX => link.unsaid.push_back(message),
            false => {}
        }
        self.say_unsaid(key, place);
    }

    /// Posts the LLC messages there is room for.
    pub(crate) fn say_unsaid(&mut self, key: GroupKey, place: usize) {
        let Self { groups, provider, scratch, .. } = self;
        let Some(link) = groups.get_mut(key).and_then(|group| group.link_mut(place)) else { return };
        while link.has_llc_slot() {
            let Some(message) = link.next_unsaid() else { break };
            // What does not fit the longest message was never put together.
            let Ok(len) = message.emit(scratch) else { continue };
            let Some(octets) = scratch.get(..len) else { continue };
            if link.post_llc(provider, octets).is_err() {
                return;
            }
        }
        if link.unproven.is_due() {
            self.probe(key, place);
        }
    }

    /// Answers to CONFIRM RKEY, to those who wait for them.
    #[inline]
    pub(crate) fn tell_rkeys(&mut self, connections: &mut Connections) {
        if !self.rkeys_confirmed.is_empty() {
            self.tell_rkeys_there_are(connections);
        }
    }

    #[cold]
    fn tell_rkeys_there_are(&mut self, connections: &mut Connections) {
        while let Some((key, rkey, well)) = self.rkeys_confirmed.pop_front() {
            let waits = |waiter: &(GroupKey, _, _)| (waiter.0, waiter.1) == (key, rkey);
            let Some(at) = self.waiting_for_rkey.iter().position(waits) else { continue };
            let Some((_, _, handle)) = self.waiting_for_rkey.remove(at) else { continue };
            let Some(connection) = connections.get_mut(handle) else { continue };
            if let Phase::Rendezvous(rendezvous) = &mut connection.phase
                && let Some(half) = rendezvous.half_mut()
            {
                half.rkey_confirmed = Some(well);
            }
            self.touch(handle, connection);
        }
    }

    #[cold]
    fn link_failed(&mut self, key: GroupKey, place: usize, status: WcStatus) {
        let Some(link) = self.groups.get_mut(key).and_then(|group| group.link_mut(place)) else { return };
        // The first failure says why; the rest are flushed.
        if link.failed.is_none() {
            link.failed = Some(status);
            self.link_down(key, place, ConnectionError::LinkFailed(status));
        }
    }

    /// What happened outside of any request.
    pub(crate) fn provider_events(&mut self, connections: &mut Connections) {
        while let Some(event) = self.provider.next_event() {
            match event {
                AsyncEvent::PortActive(_) | AsyncEvent::GidChange(_) => self.port_up(),
                AsyncEvent::PortDown(port) => self.port_down(|rdma| rdma == port),
                AsyncEvent::DeviceGone(device) => {
                    self.port_down(|rdma| rdma.device == device);
                    // What came over it is heard before its queue is forgotten.
                    self.move_connections(connections);
                    self.cqs.retain(|(of, _)| *of != device);
                }
                AsyncEvent::QpFatal(qp) => self.qp_fatal(qp),
                _ => {}
            }
        }
    }

    fn port_down(&mut self, is_it: impl Fn(RdmaPort) -> bool) {
        let mut hit = Vec::new();
        for (key, group) in &mut self.groups {
            for (place, link) in group.links.iter_mut().enumerate() {
                if let Some(link) = link.as_mut().filter(|link| is_it(link.rdma) && link.failed.is_none()) {
                    link.failed = Some(WcStatus::Flushed);
                    hit.push((key, place));
                }
            }
        }
        for (key, place) in hit {
            self.link_down(key, place, ConnectionError::PortDown);
        }
    }

    fn qp_fatal(&mut self, qp: QpHandle) {
        if let Some(&(key, place)) = self.by_qp.get(&qp) {
            self.link_failed(key, place, WcStatus::LocalQpOperation);
        }
    }
}
