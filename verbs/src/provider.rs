use crate::{
    Access, ArmFor, AsyncEvent, Completion, CompletionVector, CqHandle, DeviceAttributes, DeviceId,
    FrameEngine, GidEntry, MemHandle, MemoryUse, MrAttributes, MrHandle, PdHandle, PortAttributes, PostError,
    QpAttributes, QpHandle, QpInit, QpStats, QpTransition, RdmaPort, RecvRequest, RemoteSpan, SendRequest,
    VerbsError,
};
use smolsmc_wire::Rkey;

/// One stack's whole RDMA context: its devices, and everything made on them.
///
/// Every call returns at once. An object can be destroyed only when nothing
/// made from it is left ([`VerbsError::InUse`]); a handle of a destroyed object
/// is refused ([`VerbsError::NoSuch`]). After [`AsyncEvent::DeviceGone`] all
/// that is left to do with a device's objects is to poll what had completed, a
/// peer's SENDs above all, who was told that they arrived, and to destroy them.
pub trait Provider {
    /// A view of memory a remote may write.
    type Span<'a>: RemoteSpan
    where
        Self: 'a;

    /// How frames reach a NIC in software; [`crate::NoFrames`] for the others.
    type Frames: FrameEngine;

    // ---- devices, ports, GIDs ----

    /// Writes the devices there are into `out`, as many as fit; returns how
    /// many there are.
    fn devices(&self, out: &mut [DeviceId]) -> usize;

    /// What a device can do.
    ///
    /// # Errors
    /// [`VerbsError::NoSuch`].
    fn device(&self, device: DeviceId) -> Result<DeviceAttributes, VerbsError>;

    /// A port as it is now.
    ///
    /// # Errors
    /// [`VerbsError::NoSuch`].
    fn port(&self, port: RdmaPort) -> Result<PortAttributes, VerbsError>;

    /// An entry of a port's GID table, `None` if it is not used.
    ///
    /// # Errors
    /// [`VerbsError::NoSuch`]; [`VerbsError::OutOfRange`] beyond the table.
    fn gid(&self, port: RdmaPort, index: u16) -> Result<Option<GidEntry>, VerbsError>;

    /// The next thing that happened, if any. Bounded: if events are not
    /// fetched, the newest state of each object is still told.
    fn next_event(&mut self) -> Option<AsyncEvent>;

    // ---- protection domains and memory ----

    /// A new protection domain on `device`.
    ///
    /// # Errors
    /// [`VerbsError::NoSuch`], [`VerbsError::Exhausted`].
    fn alloc_pd(&mut self, device: DeviceId) -> Result<PdHandle, VerbsError>;

    /// Ends a protection domain.
    ///
    /// # Errors
    /// [`VerbsError::InUse`] while it has registrations or queue pairs.
    fn dealloc_pd(&mut self, pd: PdHandle) -> Result<(), VerbsError>;

    /// `len` octets of zeroed, page-aligned memory.
    ///
    /// # Errors
    /// [`VerbsError::Exhausted`]; [`VerbsError::OutOfRange`] for length 0.
    fn alloc_memory(&mut self, len: usize, used_for: MemoryUse) -> Result<MemHandle, VerbsError>;

    /// Gives memory back.
    ///
    /// # Errors
    /// [`VerbsError::InUse`] while it is registered.
    fn free_memory(&mut self, memory: MemHandle) -> Result<(), VerbsError>;

    /// Registers the whole of `memory` in `pd`. One memory can be registered
    /// any number of times, on several devices too.
    ///
    /// # Errors
    /// [`VerbsError::Access`] for a right to write [`MemoryUse::Outgoing`]
    /// memory, or `REMOTE_WRITE` without `LOCAL_WRITE`;
    /// [`VerbsError::Exhausted`].
    fn register(&mut self, pd: PdHandle, memory: MemHandle, access: Access) -> Result<MrHandle, VerbsError>;

    /// Keys of a registration.
    ///
    /// # Errors
    /// [`VerbsError::NoSuch`].
    fn mr(&self, mr: MrHandle) -> Result<MrAttributes, VerbsError>;

    /// Ends a registration: from the return of this call on, no peer can reach
    /// the memory with its rkey.
    ///
    /// # Errors
    /// [`VerbsError::NoSuch`].
    fn deregister(&mut self, mr: MrHandle) -> Result<(), VerbsError>;

    /// [`MemoryUse::Outgoing`] memory, to be filled. What a posted request
    /// covers must not be changed before it has completed.
    ///
    /// # Errors
    /// [`VerbsError::Access`] for [`MemoryUse::Incoming`] memory;
    /// [`VerbsError::OutOfRange`].
    fn outgoing(&mut self, memory: MemHandle, offset: usize, len: usize) -> Result<&mut [u8], VerbsError>;

    /// A view of memory of any use.
    ///
    /// # Errors
    /// [`VerbsError::OutOfRange`].
    fn incoming(&self, memory: MemHandle, offset: usize, len: usize) -> Result<Self::Span<'_>, VerbsError>;

    /// Zeroes memory of any use, so that it can change hands.
    ///
    /// # Errors
    /// [`VerbsError::OutOfRange`].
    fn zero(&mut self, memory: MemHandle, offset: usize, len: usize) -> Result<(), VerbsError>;

    // ---- completion queues ----

    /// A completion queue of at least `entries` entries.
    ///
    /// # Errors
    /// [`VerbsError::NoSuch`], [`VerbsError::OutOfRange`], [`VerbsError::Exhausted`].
    fn create_cq(
        &mut self,
        device: DeviceId,
        entries: u32,
        vector: CompletionVector,
    ) -> Result<CqHandle, VerbsError>;

    /// Ends a completion queue.
    ///
    /// # Errors
    /// [`VerbsError::InUse`] while a queue pair completes to it.
    fn destroy_cq(&mut self, cq: CqHandle) -> Result<(), VerbsError>;

    /// Moves completions into `out`, oldest first; returns how many. What a
    /// completion speaks of can be read from then on.
    ///
    /// # Errors
    /// [`VerbsError::NoSuch`].
    fn poll_cq(&mut self, cq: CqHandle, out: &mut [Completion]) -> Result<usize, VerbsError>;

    /// Asks for one notification. Returns whether completions wait already:
    /// then poll again instead of sleeping, and no wake-up is ever lost.
    ///
    /// # Errors
    /// [`VerbsError::NoSuch`].
    fn arm_cq(&mut self, cq: CqHandle, for_what: ArmFor) -> Result<bool, VerbsError>;

    /// Asks for one notification once `count` completions wait, or one failed: completion
    /// moderation by count, for a provider whose peer or device can count while nobody
    /// polls. Returns whether so many wait already; `None` if it cannot count, and nothing
    /// was asked for. How long to wait for the last of them is for the caller to say. A
    /// queue that is armed for less stays so.
    ///
    /// # Errors
    /// [`VerbsError::NoSuch`].
    fn arm_cq_after(&mut self, _cq: CqHandle, _count: u16) -> Result<Option<bool>, VerbsError> {
        Ok(None)
    }

    /// The next armed completion queue that has something to poll.
    fn next_notification(&mut self) -> Option<CqHandle>;

    // ---- queue pairs ----

    /// A reliable connected queue pair in RESET.
    ///
    /// # Errors
    /// [`VerbsError::Foreign`] if PD and completion queues are of different
    /// devices; [`VerbsError::OutOfRange`], [`VerbsError::Exhausted`].
    fn create_qp(&mut self, init: QpInit) -> Result<QpHandle, VerbsError>;

    /// A queue pair as it is now.
    ///
    /// # Errors
    /// [`VerbsError::NoSuch`].
    fn qp(&self, qp: QpHandle) -> Result<QpAttributes, VerbsError>;

    /// Changes a queue pair's state.
    ///
    /// # Errors
    /// [`VerbsError::WrongState`] if the transition does not start there;
    /// [`VerbsError::OutOfRange`] for attributes the port cannot do. The state
    /// is then as before.
    fn modify_qp(&mut self, qp: QpHandle, transition: QpTransition) -> Result<(), VerbsError>;

    /// Ends a queue pair. What is posted is forgotten; completions that were
    /// not polled are gone.
    ///
    /// # Errors
    /// [`VerbsError::NoSuch`].
    fn destroy_qp(&mut self, qp: QpHandle) -> Result<(), VerbsError>;

    /// Posts requests in order, with one doorbell. In ERR they complete as
    /// flushed.
    ///
    /// # Errors
    /// [`PostError`] with how many were posted: wrong state (below RTS), queue
    /// full, too many elements, too long inline data.
    fn post_send(&mut self, qp: QpHandle, requests: &[SendRequest<'_>]) -> Result<(), PostError>;

    /// Carries out an RDMA WRITE of octets that need not be registered before it
    /// returns, for a provider that copies while posting: nothing is posted, and
    /// nothing completes. What is posted afterwards comes after it.
    ///
    /// False if it cannot be done so, or not now; then nobody is told anything, though
    /// some of the octets may be in the peer's memory. Posting the same request says
    /// why.
    fn write_now(&mut self, _qp: QpHandle, _remote_addr: u64, _rkey: Rkey, _octets: &[u8]) -> bool {
        false
    }

    /// Posts receives in order. In ERR they complete as flushed.
    ///
    /// # Errors
    /// [`PostError`] with how many were posted: wrong state (RESET), queue full,
    /// too many elements.
    fn post_recv(&mut self, qp: QpHandle, requests: &[RecvRequest<'_>]) -> Result<(), PostError>;

    /// What a queue pair has counted, if its device tells; plain verbs have such
    /// counters for a port at best.
    fn qp_stats(&self, _qp: QpHandle) -> Option<QpStats> {
        None
    }

    // ---- frames, for a NIC in software ----

    /// The engine that wants frames carried, `None` for hardware.
    fn frames(&mut self) -> Option<&mut Self::Frames>;
}
