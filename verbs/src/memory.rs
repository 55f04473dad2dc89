use bitflags::bitflags;
use smolsmc_wire::{Lkey, Rkey};

bitflags! {
    /// What a registration allows besides reading by the device itself
    /// (IBTA §10.6.3.1).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Access: u8 {
        /// The device may write for local requests: receives, RDMA READ.
        const LOCAL_WRITE = 0x1;
        /// A remote peer may write. Asks for [`LOCAL_WRITE`](Self::LOCAL_WRITE) too.
        const REMOTE_WRITE = 0x2;
        /// A remote peer may read.
        const REMOTE_READ = 0x4;
    }
}

/// Who writes a piece of memory; settled when it is allocated.
///
/// Memory that hardware or another process may write at any time must never be
/// seen through a Rust reference; memory that only we write may. One piece is
/// never both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemoryUse {
    /// Only we write, devices read: send rings, message slots. Cannot be
    /// registered with a right to write.
    Outgoing,
    /// Devices write, on behalf of receives or of a remote peer.
    Incoming,
}

/// Keys of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MrAttributes {
    /// Names it in local requests.
    pub lkey: Lkey,
    /// Names it for a remote peer. Another one at each registration.
    pub rkey: Rkey,
    /// Address of the first octet, in requests and for a remote peer: a random
    /// number where the provider allows, never a promise of a pointer.
    pub iova: u64,
    /// Length in octets.
    pub len: usize,
}

/// A view of [`MemoryUse::Incoming`] memory: it can be copied from, and nothing
/// else is promised, since a peer may write at any time.
pub trait RemoteSpan {
    /// Length in octets.
    fn len(&self) -> usize;

    /// Whether there is nothing to copy.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies octets from `offset` on, as many as fit `out` and are there;
    /// returns how many. Each octet is read once.
    fn copy_to(&self, offset: usize, out: &mut [u8]) -> usize;

    /// Where the span lies, for copies the caller answers for. The octets may
    /// change while they are read.
    fn as_ptr(&self) -> *const u8;
}

/// Memory of a NIC in software: nobody writes while it is borrowed.
impl RemoteSpan for &[u8] {
    fn len(&self) -> usize {
        <[u8]>::len(self)
    }

    fn copy_to(&self, offset: usize, out: &mut [u8]) -> usize {
        let from = self.get(offset..).unwrap_or_default();
        let len = from.len().min(out.len());
        if let (Some(out), Some(from)) = (out.get_mut(..len), from.get(..len)) {
            out.copy_from_slice(from);
        }
        len
    }

    fn as_ptr(&self) -> *const u8 {
        <[u8]>::as_ptr(self)
    }
}
