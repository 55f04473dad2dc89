//! What happened, counted. Nothing is dropped without a trace here.

/// NAKs by what they say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Naks {
    /// 0x60: packets are missing.
    pub sequence: u64,
    /// 0x61: invalid request.
    pub invalid: u64,
    /// 0x62: remote access error.
    pub access: u64,
    /// 0x63, and codes without a meaning.
    pub operational: u64,
    /// RNR NAK: no receive was posted.
    pub rnr: u64,
}

/// Frames that came in and were not worked on, by the rung of the ladder they
/// fell from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dropped {
    /// Of a device or port that is not there.
    pub no_such_port: u64,
    /// The port is down.
    pub port_down: u64,
    /// Not RoCEv2 at all: it should not have been claimed.
    pub not_roce: u64,
    /// Lengths, versions or checksums that contradict each other.
    pub malformed: u64,
    /// An opcode without a meaning, a congestion notification for example.
    pub unknown_opcode: u64,
    /// No queue pair has this number.
    pub no_such_qp: u64,
    /// The queue pair is of another port, or not yet or no longer in a state
    /// that takes this.
    pub wrong_state: u64,
    /// Not from the peer's address to the queue pair's own, or on another VLAN.
    pub wrong_address: u64,
    /// Another partition.
    pub wrong_pkey: u64,
    /// The ICRC is wrong.
    pub wrong_icrc: u64,
    /// Requests ahead of a gap.
    pub ahead: u64,
    /// Repeated RDMA READ requests that could not be answered again.
    pub repeated_read: u64,
    /// ACKs and responses older than anything unacknowledged.
    pub stale: u64,
    /// ACKs and responses to what was never sent.
    pub ghost: u64,
    /// Responses whose kind means nothing to a requester here: answers to
    /// atomics, reserved syndromes.
    pub meaningless: u64,
    /// RDMA READ responses after a lost one.
    pub read_ahead: u64,
}

/// Everything a NIC counts, since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Frames taken.
    pub frames_in: u64,
    /// Octets of them.
    pub octets_in: u64,
    /// Frames emitted.
    pub frames_out: u64,
    /// Octets of them.
    pub octets_out: u64,
    /// Request packets emitted again.
    pub retransmitted: u64,
    /// Requests received again: re-acknowledged, not executed again.
    pub duplicates: u64,
    /// ACKs sent.
    pub acks_sent: u64,
    /// ACKs received that acknowledged something.
    pub acks_received: u64,
    /// NAKs sent.
    pub naks_sent: Naks,
    /// NAKs received.
    pub naks_received: Naks,
    /// RDMA READ response packets sent.
    pub read_responses_sent: u64,
    /// RDMA READ responses that must have been lost, as later ones came.
    pub read_responses_lost: u64,
    /// Times no ACK came in time.
    pub timeouts: u64,
    /// Queue pairs lost after too many retries.
    pub retries_exceeded: u64,
    /// Queue pairs lost after too many RNR NAKs.
    pub rnr_retries_exceeded: u64,
    /// Queue pairs that went to ERR by themselves.
    pub qp_errors: u64,
    /// Requests and receives that completed as flushed.
    pub flushed: u64,
    /// Completion queues that overflowed.
    pub cq_overflows: u64,
    /// Frames not worked on.
    pub dropped: Dropped,
}

/// What one queue pair counts, since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QpCounters {
    /// Packets that passed every check on the way to it.
    pub packets_in: u64,
    /// Packets it sent.
    pub packets_out: u64,
    /// Request packets it sent again.
    pub retransmitted: u64,
    /// Requests it received again.
    pub duplicates: u64,
    /// Requests it dropped as they were ahead of a gap.
    pub ahead: u64,
    /// NAKs it sent, RNR NAKs included.
    pub naks_sent: u64,
    /// NAKs it received, RNR NAKs included.
    pub naks_received: u64,
    /// RNR NAKs it sent.
    pub rnr_naks_sent: u64,
    /// RNR NAKs it received.
    pub rnr_naks_received: u64,
    /// Times no ACK came in time.
    pub timeouts: u64,
}

/// What there is on a NIC now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Objects {
    /// Protection domains.
    pub pds: usize,
    /// Completion queues.
    pub cqs: usize,
    /// Queue pairs.
    pub qps: usize,
    /// Pieces of memory.
    pub memories: usize,
    /// Registrations.
    pub mrs: usize,
}
