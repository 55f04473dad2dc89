/// What a NIC has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Messages taken out of rings.
    pub messages_in: u64,
    /// Of these, messages for no queue pair there is, or for an earlier life of
    /// one.
    pub strays: u64,
    /// Answers that were not asked for.
    pub nonsense: u64,
    /// Requests that had to wait for a receive to be posted.
    pub rnr_waits: u64,
    /// Queue pairs that went to ERR by themselves.
    pub qp_errors: u64,
    /// Requests that were flushed.
    pub flushed: u64,
    /// Completion queues that overflowed.
    pub cq_overflows: u64,
}
