//! Receives that the peer may not have posted again. An ACK says that a SEND
//! landed in a receive, not that the receive stands again: Linux 6.12 smc_wr
//! posts 48 of them, and each one again only after its message was handled. Its
//! receive queue is in order: the answer to TEST LINK says that all SENDs before
//! it were handled, and so does a consumer cursor that covers what a message
//! told of. What is not proven so is kept below what the peer posts, and the RNR
//! NAK does not arise.

use smolsmc_llc::{self as llc, Body};
use smolsmc_verbs::Provider;

use crate::group::{GroupKey, Link};
use crate::shared::Shared;

/// SENDs of one link, and which of them the peer is known to have handled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unproven {
    /// Receives the peer posts.
    receives: u64,
    sent: u64,
    /// All before this one are handled.
    proven: u64,
    /// Those before our TEST LINK, which is not answered yet.
    asked: Option<u64>,
    /// TEST LINKs that were sent, after silence or as a probe.
    pub(crate) tests: u64,
    /// The most that were unproven.
    pub(crate) most: u64,
    /// A message waits since too many are.
    waits: bool,
    /// Times one had to.
    pub(crate) waited: u64,
}

/// Places for TEST LINK and the answer to the peer's, which wait for nothing: so
/// that two links that are full each way go on.
const FOR_TESTS: u64 = 2;

/// The part of the peer's receives that CDC leaves to LLC.
const FOR_LLC: u64 = 6;

impl Unproven {
    pub(crate) fn new(receives: u32) -> Self {
        let receives = u64::from(receives);
        Self { receives, sent: 0, proven: 0, asked: None, tests: 0, most: 0, waits: false, waited: 0 }
    }

    #[inline]
    pub(crate) const fn count(&self) -> u64 {
        self.sent - self.proven
    }

    /// A SEND was posted.
    #[inline]
    pub(crate) fn sent(&mut self) {
        self.sent += 1;
        self.most = self.most.max(self.count());
    }

    /// SENDs so far: the number of the next one.
    pub(crate) const fn next(&self) -> u64 {
        self.sent
    }

    /// Whether the peer has a receive for one more CDC message.
    #[inline]
    pub(crate) fn takes_cdc(&self) -> bool {
        self.count() < self.receives - (self.receives / FOR_LLC).max(FOR_TESTS)
    }

    /// Whether it has one for an LLC message.
    pub(crate) const fn takes_llc(&self) -> bool {
        self.count() < self.receives - FOR_TESTS
    }

    /// Half of the peer's receives may be gone, and nobody has asked.
    #[inline]
    pub(crate) const fn is_due(&self) -> bool {
        self.asked.is_none() && self.count() >= self.receives / 2
    }

    /// A message waits.
    pub(crate) fn wait(&mut self) {
        self.waited += u64::from(!core::mem::replace(&mut self.waits, true));
    }

    /// TEST LINK is about to be posted.
    const fn ask(&mut self) {
        self.asked = Some(self.sent);
        self.tests += 1;
    }

    /// All before SEND `before` are handled; whether something waited for that.
    fn prove(&mut self, before: u64) -> bool {
        self.proven = self.proven.max(before.min(self.sent));
        core::mem::take(&mut self.waits)
    }
}

/// A message of one connection that told of octets: once the peer has read them
/// it has handled the message, and all SENDs before it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Proof {
    /// Where the octets end, and which SEND told of them.
    of: Option<(u64, u64)>,
    /// Octets up to here may have been told of on another link.
    beyond: u64,
}

impl Proof {
    /// SEND `send` tells of octets up to `written`.
    #[inline]
    pub(crate) const fn told(&mut self, written: u64, send: u64) {
        if self.of.is_none() && written > self.beyond {
            self.of = Some((written, send));
        }
    }

    /// The peer has read up to `consumed`: which SENDs it has handled, those
    /// before the one returned.
    #[inline]
    pub(crate) fn read(&mut self, consumed: u64) -> Option<u64> {
        let (_, send) = self.of.filter(|(written, _)| *written <= consumed)?;
        self.of = None;
        Some(send)
    }

    /// The connection goes over another link, having written so much.
    pub(crate) fn moves(&mut self, written: u64) {
        self.of = None;
        self.beyond = self.beyond.max(written);
    }
}

/// Whether a message asks TEST LINK or answers it.
pub(crate) const fn is_test(message: &llc::Message) -> bool {
    matches!(message.body, Body::TestLink(_))
}

impl Link {
    /// The next LLC message for which the peer has a receive. On a link that
    /// carries nothing yet, or no more, nobody can be asked.
    pub(crate) fn next_unsaid(&mut self) -> Option<llc::Message> {
        let waits = self.is_active() && !self.unproven.takes_llc();
        if waits && self.unsaid.front().is_some_and(|message| !is_test(message)) {
            let answer = self.unsaid.iter().position(is_test);
            if answer.is_none() {
                self.unproven.wait();
            }
            return self.unsaid.remove(answer?);
        }
        let message = self.unsaid.pop_front()?;
        if is_test(&message) && !message.response {
            self.unproven.ask();
        }
        Some(message)
    }
}

impl<P: Provider> Shared<P> {
    /// Asks the peer of a link, if it is time.
    #[cold]
    pub(crate) fn probe(&mut self, key: GroupKey, place: usize) {
        let now = self.now;
        let Some(link) = self.groups.get_mut(key).and_then(|group| group.link_mut(place)) else { return };
        let due = link.unproven.is_due();
        if let Some(llc) = link.llc.as_mut().filter(|_| due)
            && llc.probe(now)
        {
            self.run_link(key, place);
        }
    }

    /// TEST LINK was answered.
    pub(crate) fn link_tested(&mut self, key: GroupKey, place: usize) {
        let Some(link) = self.groups.get_mut(key).and_then(|group| group.link_mut(place)) else { return };
        if let Some(before) = link.unproven.asked.take() {
            self.prove(key, place, before);
        }
        self.probe(key, place);
    }

    /// The peer has handled all SENDs of a link before this one: what waited for
    /// a receive may go.
    #[inline]
    pub(crate) fn prove(&mut self, key: GroupKey, place: usize, before: u64) {
        let Some(group) = self.groups.get_mut(key) else { return };
        let Some(link) = group.link_mut(place) else { return };
        if link.unproven.prove(before) {
            let has_ready = !link.ready.is_empty();
            if has_ready && !core::mem::replace(&mut group.is_queued, true) {
                self.ready.push_back(key);
            }
            self.say_unsaid(key, place);
        }
    }
}
