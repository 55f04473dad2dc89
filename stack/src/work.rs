//! What links have posted, and what became of it: per link, and in sum.

use smolsmc_verbs::{Provider, QpStats};

use crate::group::Link;

/// What one link, or all links of a stack, have worked so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkStats {
    /// Work requests posted: RDMA WRITEs and SENDs.
    pub requests: u64,
    /// The most messages of a link that were unacknowledged at a time, to be
    /// compared with [`Limits::messages`](crate::Limits::messages) and the 16
    /// places of LLC.
    pub in_flight_most: u64,
    /// Times connections had to wait since all those places were taken.
    pub slot_waits: u64,
    /// The most messages of a link that the peer was not known to have handled,
    /// to be compared with [`Limits::peer_receives`](crate::Limits::peer_receives).
    pub unproven_most: u64,
    /// TEST LINKs sent, after silence or since too much was unproven.
    pub tests_sent: u64,
    /// Times messages waited for the answer.
    pub test_waits: u64,
    /// Packets sent again.
    pub retransmitted: u64,
    /// Times no ACK came in time.
    pub timeouts: u64,
    /// RNR NAKs sent: a message came and no receive was posted.
    pub rnr_naks_sent: u64,
    /// RNR NAKs received: the peer had no receive posted.
    pub rnr_naks_received: u64,
}

impl WorkStats {
    /// Of one link; the last four are zero for a provider that does not tell.
    pub(crate) fn of<P: Provider>(link: &Link, provider: &P) -> Self {
        let QpStats { retransmitted, timeouts, rnr_naks_sent, rnr_naks_received, .. } =
            provider.qp_stats(link.qp).unwrap_or_default();
        let unproven = &link.unproven;
        Self {
            requests: link.requests,
            in_flight_most: link.in_flight_most as u64,
            slot_waits: link.slot_waits,
            unproven_most: unproven.most,
            tests_sent: unproven.tests,
            test_waits: unproven.waited,
            retransmitted,
            timeouts,
            rnr_naks_sent,
            rnr_naks_received,
        }
    }

    /// Adds what another link has worked.
    pub(crate) fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.in_flight_most = self.in_flight_most.max(other.in_flight_most);
        self.slot_waits += other.slot_waits;
        self.unproven_most = self.unproven_most.max(other.unproven_most);
        self.tests_sent += other.tests_sent;
        self.test_waits += other.test_waits;
        self.retransmitted += other.retransmitted;
        self.timeouts += other.timeouts;
        self.rnr_naks_sent += other.rnr_naks_sent;
        self.rnr_naks_received += other.rnr_naks_received;
    }
}
