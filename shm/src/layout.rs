//! Where things lie in a side's control memory, which that side writes and its
//! peer reads.
//!
//! ```text
//!   0     lines of one word each: port state, wishes, gate, how far the rings are read
//!   4096  ring of messages to the peer
//!         ring of Ethernet frames to the peer
//!         queue pairs: a line that seldom changes, a line that often does
//!         registrations a peer may write to
//! ```
//!
//! Each line has one writer and, in the steady state, at most one word that
//! changes.

use crate::sync::ring::SLOT_LEN;

const LINE: usize = 64;
const RINGS: usize = 4096;

/// What [`PORT`] holds.
pub(crate) mod port {
    /// Not ready, or taken down.
    pub(crate) const DOWN: u32 = 0;
    /// Carries traffic.
    pub(crate) const ACTIVE: u32 = 1;
    /// Gone for good.
    pub(crate) const GONE: u32 = 2;
}

/// The port's state.
pub(crate) const PORT: usize = 0;
/// What would wake the owner of the NIC.
pub(crate) const WISHES: usize = LINE;
/// What would wake the owner of the Ethernet device.
pub(crate) const FRAME_WISHES: usize = 2 * LINE;
/// Whether we are writing into the peer's memory.
pub(crate) const GATE: usize = 3 * LINE;
/// How far we have read the peer's messages.
pub(crate) const CONSUMED: usize = 4 * LINE;
/// How far we have read the peer's frames.
pub(crate) const FRAMES_CONSUMED: usize = 5 * LINE;

/// Words of a queue pair, counted from its place.
pub(crate) mod qp {
    /// `life << 16 | open`: 1 while requests are answered.
    pub(crate) const STAND: usize = 0;
    /// Its number.
    pub(crate) const QPN: usize = 4;
    /// The peer's queue pair.
    pub(crate) const PEER_QPN: usize = 8;
    /// PSN of the first request it awaits.
    pub(crate) const PSN: usize = 12;
    /// Its protection domain.
    pub(crate) const PD: usize = 16;
    /// What the peer may do.
    pub(crate) const ACCESS: usize = 20;
    /// How long to wait when it has no receive, as a code.
    pub(crate) const RNR_TIMER: usize = 24;
    /// Receives that were ever posted in this life.
    pub(crate) const POSTED: usize = 64;
    /// Requests that were ever answered in this life.
    pub(crate) const ANSWERED: usize = 68;
    /// Octets of a queue pair.
    pub(crate) const LEN: usize = 128;
}

/// Words of a registration, counted from its place.
pub(crate) mod mr {
    /// Its key, 0 for none.
    pub(crate) const RKEY: usize = 0;
    /// Its protection domain.
    pub(crate) const PD: usize = 4;
    /// Address of its first octet.
    pub(crate) const IOVA: usize = 8;
    /// Where that lies in its owner's memory.
    pub(crate) const OFFSET: usize = 16;
    /// Octets.
    pub(crate) const OCTETS: usize = 24;
    /// Octets of a registration's entry.
    pub(crate) const LEN: usize = 64;
}

/// Numbers of everything, from which follows where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Slots of the ring of messages; a power of two.
    pub(crate) message_slots: u32,
    /// Slots of the ring of frames; a power of two.
    pub(crate) frame_slots: u32,
    /// Places for queue pairs; a power of two.
    pub(crate) qps: u32,
    /// Places for registrations; a power of two.
    pub(crate) mrs: u32,
}

impl Layout {
    /// Where the ring of messages begins.
    pub(crate) const fn messages(&self) -> usize {
        RINGS
    }

    /// Where the ring of frames begins.
    pub(crate) const fn frames(&self) -> usize {
        self.messages() + self.message_slots as usize * SLOT_LEN
    }

    const fn qp_table(&self) -> usize {
        self.frames() + self.frame_slots as usize * SLOT_LEN
    }

    const fn mr_table(&self) -> usize {
        self.qp_table() + self.qps as usize * qp::LEN
    }

    /// Octets of all.
    pub(crate) const fn len(&self) -> usize {
        self.mr_table() + self.mrs as usize * mr::LEN
    }

    /// The queue pair in a place, which the number's lower bits name: always
    /// one of the table.
    #[inline]
    pub(crate) const fn qp(&self, place: u32) -> usize {
        self.qp_table() + (place & (self.qps - 1)) as usize * qp::LEN
    }

    /// The registration in a place, likewise.
    #[inline]
    pub(crate) const fn mr(&self, place: u32) -> usize {
        self.mr_table() + (place & (self.mrs - 1)) as usize * mr::LEN
    }
}
