//! Whatever carries a node's RDMA, behind one type: commands are written once.

#[cfg(feature = "ibverbs")]
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;

use smolsmc::{Duration, Provider, RdmaPort, RemoteSpan, SoftNic};
#[cfg(feature = "ibverbs")]
use smolsmc_ibv::IbvNic;
use smolsmc_shm::{ShmNic, ShmSpan};
use smolsmc_verbs::{
    Access, ArmFor, AsyncEvent, Completion, CompletionVector, CqHandle, DeviceAttributes, DeviceId, GidEntry,
    MemHandle, MemoryUse, MrAttributes, MrHandle, PdHandle, PortAttributes, PostError, QpAttributes,
    QpHandle, QpInit, QpStats, QpTransition, RecvRequest, SendRequest, VerbsError,
};
use smolsmc_wire::Rkey;

/// A node's NIC.
#[expect(clippy::large_enum_variant, reason = "a node has one")]
pub(crate) enum Nic {
    /// In software, over any Ethernet port.
    Soft(SoftNic),
    /// A wire of shared memory.
    Shm(ShmNic),
    /// RDMA devices of the kernel.
    #[cfg(feature = "ibverbs")]
    Ibv(IbvNic),
}

/// The same said to any of them.
macro_rules! each {
    ($of:expr, $nic:ident => $what:expr) => {
        match $of {
            Self::Soft($nic) => $what,
            Self::Shm($nic) => $what,
            #[cfg(feature = "ibverbs")]
            Self::Ibv($nic) => $what,
        }
    };
}

/// What a node that wants to sleep must know of its NIC.
impl Nic {
    /// Asks for a wake-up by what is no completion: the stack arms those.
    pub(super) const fn arm(&mut self) {
        #[cfg(feature = "ibverbs")]
        if let Self::Ibv(nic) = self {
            nic.look_soon();
        }
    }

    /// How long to sleep at most for its own sake; `None` for ever.
    pub(super) fn timeout(&self) -> Option<Duration> {
        match self {
            Self::Shm(nic) => nic.timeout(),
            _ => None,
        }
    }

    /// What wakes beside the ports.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let wires = match self {
            Self::Shm(nic) => Some(nic.fds()),
            _ => None,
        };
        let devices: Option<BorrowedFd<'_>> = match self {
            #[cfg(feature = "ibverbs")]
            Self::Ibv(nic) => Some(nic.as_fd()),
            _ => None,
        };
        wires.into_iter().flatten().chain(devices)
    }
}

/// A view of memory of any of them.
pub(crate) enum Span<'a> {
    Soft(&'a [u8]),
    Shm(ShmSpan<'a>),
    #[cfg(feature = "ibverbs")]
    Ibv(smolsmc_ibv::Span<'a>),
}

impl RemoteSpan for Span<'_> {
    fn len(&self) -> usize {
        each!(self, span => RemoteSpan::len(span))
    }

    fn copy_to(&self, offset: usize, out: &mut [u8]) -> usize {
        each!(self, span => span.copy_to(offset, out))
    }

    fn as_ptr(&self) -> *const u8 {
        each!(self, span => RemoteSpan::as_ptr(span))
    }
}

impl Provider for Nic {
    type Span<'a> = Span<'a>;
    type Frames = SoftNic;

    fn devices(&self, out: &mut [DeviceId]) -> usize {
        each!(self, nic => nic.devices(out))
    }

    fn device(&self, device: DeviceId) -> Result<DeviceAttributes, VerbsError> {
        each!(self, nic => nic.device(device))
    }

    fn port(&self, port: RdmaPort) -> Result<PortAttributes, VerbsError> {
        each!(self, nic => nic.port(port))
    }

    fn gid(&self, port: RdmaPort, index: u16) -> Result<Option<GidEntry>, VerbsError> {
        each!(self, nic => nic.gid(port, index))
    }

    fn next_event(&mut self) -> Option<AsyncEvent> {
        each!(self, nic => nic.next_event())
    }

    fn alloc_pd(&mut self, device: DeviceId) -> Result<PdHandle, VerbsError> {
        each!(self, nic => nic.alloc_pd(device))
    }

    fn dealloc_pd(&mut self, pd: PdHandle) -> Result<(), VerbsError> {
        each!(self, nic => nic.dealloc_pd(pd))
    }

    fn alloc_memory(&mut self, len: usize, used_for: MemoryUse) -> Result<MemHandle, VerbsError> {
        each!(self, nic => nic.alloc_memory(len, used_for))
    }

    fn free_memory(&mut self, memory: MemHandle) -> Result<(), VerbsError> {
        each!(self, nic => nic.free_memory(memory))
    }

    fn register(&mut self, pd: PdHandle, memory: MemHandle, access: Access) -> Result<MrHandle, VerbsError> {
        each!(self, nic => nic.register(pd, memory, access))
    }

    fn mr(&self, mr: MrHandle) -> Result<MrAttributes, VerbsError> {
        each!(self, nic => nic.mr(mr))
    }

    fn deregister(&mut self, mr: MrHandle) -> Result<(), VerbsError> {
        each!(self, nic => nic.deregister(mr))
    }

    fn outgoing(&mut self, memory: MemHandle, offset: usize, len: usize) -> Result<&mut [u8], VerbsError> {
        each!(self, nic => nic.outgoing(memory, offset, len))
    }

    fn incoming(&self, memory: MemHandle, offset: usize, len: usize) -> Result<Span<'_>, VerbsError> {
        Ok(match self {
            Self::Soft(nic) => Span::Soft(nic.incoming(memory, offset, len)?),
            Self::Shm(nic) => Span::Shm(nic.incoming(memory, offset, len)?),
            #[cfg(feature = "ibverbs")]
            Self::Ibv(nic) => Span::Ibv(nic.incoming(memory, offset, len)?),
        })
    }

    fn zero(&mut self, memory: MemHandle, offset: usize, len: usize) -> Result<(), VerbsError> {
        each!(self, nic => nic.zero(memory, offset, len))
    }

    fn create_cq(
        &mut self,
        device: DeviceId,
        entries: u32,
        vector: CompletionVector,
    ) -> Result<CqHandle, VerbsError> {
        each!(self, nic => nic.create_cq(device, entries, vector))
    }

    fn destroy_cq(&mut self, cq: CqHandle) -> Result<(), VerbsError> {
        each!(self, nic => nic.destroy_cq(cq))
    }

    fn poll_cq(&mut self, cq: CqHandle, out: &mut [Completion]) -> Result<usize, VerbsError> {
        each!(self, nic => nic.poll_cq(cq, out))
    }

    fn arm_cq(&mut self, cq: CqHandle, for_what: ArmFor) -> Result<bool, VerbsError> {
        each!(self, nic => nic.arm_cq(cq, for_what))
    }

    fn arm_cq_after(&mut self, cq: CqHandle, count: u16) -> Result<Option<bool>, VerbsError> {
        each!(self, nic => nic.arm_cq_after(cq, count))
    }

    fn next_notification(&mut self) -> Option<CqHandle> {
        each!(self, nic => nic.next_notification())
    }

    fn create_qp(&mut self, init: QpInit) -> Result<QpHandle, VerbsError> {
        each!(self, nic => nic.create_qp(init))
    }

    fn qp(&self, qp: QpHandle) -> Result<QpAttributes, VerbsError> {
        each!(self, nic => nic.qp(qp))
    }

    fn modify_qp(&mut self, qp: QpHandle, transition: QpTransition) -> Result<(), VerbsError> {
        each!(self, nic => nic.modify_qp(qp, transition))
    }

    fn destroy_qp(&mut self, qp: QpHandle) -> Result<(), VerbsError> {
        each!(self, nic => nic.destroy_qp(qp))
    }

    fn post_send(&mut self, qp: QpHandle, requests: &[SendRequest<'_>]) -> Result<(), PostError> {
        each!(self, nic => nic.post_send(qp, requests))
    }

    fn write_now(&mut self, qp: QpHandle, remote_addr: u64, rkey: Rkey, octets: &[u8]) -> bool {
        each!(self, nic => nic.write_now(qp, remote_addr, rkey, octets))
    }

    fn post_recv(&mut self, qp: QpHandle, requests: &[RecvRequest<'_>]) -> Result<(), PostError> {
        each!(self, nic => nic.post_recv(qp, requests))
    }

    fn qp_stats(&self, qp: QpHandle) -> Option<QpStats> {
        each!(self, nic => nic.qp_stats(qp))
    }

    fn frames(&mut self) -> Option<&mut SoftNic> {
        match self {
            Self::Soft(nic) => nic.frames(),
            Self::Shm(_) => None,
            // RoCE packets are the kernel's: none leaves by a port of ours.
            #[cfg(feature = "ibverbs")]
            Self::Ibv(_) => None,
        }
    }
}
