//! What comes back from the provider: messages of peers, acknowledgements of
//! ours, and the ends of queue pairs and ports.

use smolsmc_cdc::CdcMessage;
use smolsmc_llc::{self as llc, LinkAction};
use smolsmc_verbs::{AsyncEvent, Completion, Provider, QpHandle, RdmaPort, WcStatus};

use crate::connection::Phase;
use crate::error::ConnectionError;
use crate::group::{GroupKey, RECEIVE_BIT, Said};
use crate::shared::{Connections, Shared};

/// Completions taken from a queue at a time.
const BATCH: usize = 32;

/// LLC messages that wait for a place on a link at most: more than a peer can
/// ask for without hearing answers.
const UNSAID_MAX: usize = 64;

impl<P: Provider> Shared<P> {
    /// Takes completions, at most as many as `poll` may; returns how many.
    pub(crate) fn completions(&mut self, connections: &mut Connections) -> usize {
        let mut taken = 0;
        let mut batch = [Completion::EMPTY; BATCH];
        for index in 0..self.cqs.len() {
            while taken < self.config.limits.completions {
                let Some(&(_, cq)) = self.cqs.get(index) else { break };
                // A queue of a device that is gone has nothing more to say.
                let count = self.provider.poll_cq(cq, &mut batch).unwrap_or(0);
                for completion in batch.iter().take(count) {
                    self.completion(connections, completion);
                }
                taken += count;
                if count < BATCH {
                    break;
                }
            }
        }
        taken
    }

    #[inline]
    fn completion(&mut self, connections: &mut Connections, completion: &Completion) {
        let Some(&key) = self.by_qp.get(&completion.qp) else { return };
        if completion.status != WcStatus::Success {
            self.link_failed(key, completion);
        }
        if completion.wr_id & RECEIVE_BIT != 0 {
            if completion.status == WcStatus::Success {
                self.received(connections, key, completion);
            }
        } else {
            self.sent(connections, key, completion);
        }
    }

    /// A SEND has completed, well or not.
    #[inline]
    fn sent(&mut self, connections: &mut Connections, key: GroupKey, completion: &Completion) {
        let Some(group) = self.groups.get_mut(key) else { return };
        let said = group.link.completed(completion.wr_id);
        let waits = !group.link.unsaid.is_empty();
        if !group.is_queued && !group.link.ready.is_empty() {
            group.is_queued = true;
            self.ready.push_back(key);
        }
        if waits {
            self.say_unsaid(key);
        }
        let Some(Said::Cdc { connection: handle, written }) = said else { return };
        let Some(connection) = connections.get_mut(handle) else { return };
        let Phase::Smc(smc) = &mut connection.phase else { return };
        smc.in_flight -= 1;
        if completion.status == WcStatus::Success {
            let room = smc.flow.room();
            smc.flow.complete(written);
            self.readiness_changed |= smc.flow.room() > room;
        }
        if smc.is_done() {
            self.touch(handle, connection);
        } else {
            self.queue(handle, connection);
        }
    }

    /// A message of the peer. Its receive is posted again before anything else.
    #[inline]
    fn received(&mut self, connections: &mut Connections, key: GroupKey, completion: &Completion) {
        let slot = (completion.wr_id & !RECEIVE_BIT) as u32;
        let Some(group) = self.groups.get_mut(key) else { return };
        let mut short = [0; CdcMessage::LEN];
        let len = group.link.received(&self.provider, slot, completion.byte_len, &mut short);
        let is_cdc = len > 0 && short.first() == Some(&CdcMessage::TYPE);
        let mut long_len = 0;
        if !is_cdc {
            long_len = group.link.received(&self.provider, slot, completion.byte_len, &mut self.scratch);
        }
        // In ERR it comes back flushed, which is as good.
        let _ = group.link.repost(&mut self.provider, slot);
        if let Some(llc) = &mut group.link.llc {
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
            self.hear_llc(connections, key, long_len);
        }
    }

    #[cold]
    fn hear_llc(&mut self, connections: &mut Connections, key: GroupKey, len: usize) {
        // What is no LLC message is ignored, as in Linux 6.12 smc_llc.
        let Some(Ok(message)) = self.scratch.get(..len).map(llc::Message::parse) else { return };
        let Some(group) = self.groups.get_mut(key) else { return };
        if let Some(link) = &mut group.link.llc {
            link.hear(self.now, &message);
        }
        self.run_link(key);
        self.tell_rkeys(connections);
    }

    /// Does what a link's machine asks for.
    pub(crate) fn run_link(&mut self, key: GroupKey) {
        while let Some(action) = self.next_action(key) {
            match action {
                LinkAction::ReadyToSend => self.link_ready_to_send(key),
                LinkAction::Send(message) => self.say_llc(key, message),
                LinkAction::Active => self.link_active(key),
                LinkAction::RkeyConfirmed(rkey, well) => self.rkeys_confirmed.push_back((key, rkey, well)),
                LinkAction::AddLinkRejected => self.add_link_rejected(key),
                LinkAction::Eyecatcher => self.end_group(key, ConnectionError::Eyecatcher),
                LinkAction::Down(reason) => self.end_group(key, ConnectionError::LinkDown(reason)),
                _ => {}
            }
        }
        self.set_group_deadline(key);
    }

    fn next_action(&mut self, key: GroupKey) -> Option<LinkAction> {
        self.groups.get_mut(key)?.link.llc.as_mut()?.next_action()
    }

    fn link_ready_to_send(&mut self, key: GroupKey) {
        let Some(group) = self.groups.get_mut(key) else { return };
        if let Err(error) = group.link.make_ready_to_send(&mut self.provider) {
            self.end_group(key, ConnectionError::Exhausted(error));
        }
    }

    /// Those who wait for the link may go on.
    fn link_active(&mut self, key: GroupKey) {
        if let Some(waiter) = self.groups.get(key).and_then(|group| group.link.waiter) {
            self.woken.push_back(waiter);
        }
        self.woken.append(&mut self.waiting_for_group);
    }

    fn add_link_rejected(&mut self, key: GroupKey) {
        if let Some(group) = self.groups.get_mut(key) {
            group.link.add_link_rejected = true;
            self.woken.extend(group.link.waiter);
        }
    }

    fn say_llc(&mut self, key: GroupKey, message: llc::Message) {
        let Some(group) = self.groups.get_mut(key) else { return };
        if group.link.unsaid.len() < UNSAID_MAX {
            group.link.unsaid.push_back(message);
        }
        self.say_unsaid(key);
    }

    /// Posts the LLC messages there is room for.
    fn say_unsaid(&mut self, key: GroupKey) {
        let Self { groups, provider, .. } = self;
        let Some(group) = groups.get_mut(key) else { return };
        let mut octets = [0; llc::MIN_LEN];
        while group.link.has_llc_slot() {
            let Some(message) = group.link.unsaid.pop_front() else { return };
            // All that is said here has the least length.
            let Ok(len) = message.emit(&mut octets) else { continue };
            let Some(octets) = octets.get(..len) else { continue };
            if group.link.post(provider, &[], octets, Said::Llc).is_err() {
                return;
            }
        }
    }

    /// Answers to CONFIRM RKEY, to those who wait for them.
    pub(crate) fn tell_rkeys(&mut self, connections: &mut Connections) {
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
    fn link_failed(&mut self, key: GroupKey, completion: &Completion) {
        let Some(group) = self.groups.get_mut(key) else { return };
        // The first failure says why; the rest are flushed.
        if group.link.failed.is_none() {
            group.link.failed = Some(completion.status);
            self.end_group(key, ConnectionError::LinkFailed(completion.status));
        }
    }

    /// What happened outside of any request.
    pub(crate) fn provider_events(&mut self) {
        while let Some(event) = self.provider.next_event() {
            match event {
                AsyncEvent::PortDown(port) => self.port_down(|rdma| rdma == port),
                AsyncEvent::DeviceGone(device) => {
                    self.port_down(|rdma| rdma.device == device);
                    self.cqs.retain(|(of, _)| *of != device);
                }
                AsyncEvent::QpFatal(qp) => self.qp_fatal(qp),
                _ => {}
            }
        }
    }

    fn port_down(&mut self, is_it: impl Fn(RdmaPort) -> bool) {
        let hit = |(key, group): (GroupKey, &crate::group::Group)| is_it(group.link.rdma).then_some(key);
        let keys: alloc::vec::Vec<_> = self.groups.iter().filter_map(hit).collect();
        for key in keys {
            if let Some(group) = self.groups.get_mut(key) {
                group.link.failed.get_or_insert(WcStatus::Flushed);
            }
            self.end_group(key, ConnectionError::PortDown);
        }
    }

    fn qp_fatal(&mut self, qp: QpHandle) {
        let Some(&key) = self.by_qp.get(&qp) else { return };
        if let Some(group) = self.groups.get_mut(key)
            && group.link.failed.is_none()
        {
            group.link.failed = Some(WcStatus::LocalQpOperation);
            self.end_group(key, ConnectionError::LinkFailed(WcStatus::LocalQpOperation));
        }
    }
}
