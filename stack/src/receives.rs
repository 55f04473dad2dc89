//! A link's receives: where they lie, and what came into them.

use smolsmc_llc as llc;
use smolsmc_verbs::{
    Access, MemHandle, MemoryUse, MrAttributes, MrHandle, PdHandle, Provider, QpHandle, RecvRequest,
    RemoteSpan, Sge, VerbsError,
};

use crate::group::{GroupKey, RECEIVE_BIT};

/// Octets of a receive of its own: what CDC and most of LLC need. Longer
/// messages go on in an area all receives share, as in Linux 6.12 smc_wr: a
/// peer has only one of them under way.
pub(crate) const RECEIVE_LEN: u32 = llc::MIN_LEN as u32;
const SPILL_LEN: u32 = (llc::MAX_LEN - llc::MIN_LEN) as u32;
/// Receives lie so far apart.
const RECEIVE_STRIDE: u32 = 64;

/// Where a link's receives lie.
#[derive(Clone, Copy)]
pub(crate) struct Receives {
    memory: MemHandle,
    mr: MrHandle,
    keys: MrAttributes,
    count: u32,
}

/// Receives posted again in one go at most.
const REFILL: usize = 8;

/// Receives of one link whose messages were taken, and that are to be posted again.
#[derive(Default)]
pub(crate) struct Refill {
    link: Option<(GroupKey, usize)>,
    slots: [u32; REFILL],
    count: usize,
}

impl Refill {
    /// Whether one more of this link has no place.
    #[inline]
    pub(crate) fn is_full_for(&self, link: (GroupKey, usize)) -> bool {
        self.count == REFILL || self.count > 0 && self.link != Some(link)
    }

    /// Adds one, for which there is a place.
    #[inline]
    pub(crate) fn add(&mut self, link: (GroupKey, usize), slot: u32) {
        self.link = Some(link);
        if let Some(place) = self.slots.get_mut(self.count) {
            *place = slot;
            self.count += 1;
        }
    }

    /// Which link's, and which of them; none are left.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<((GroupKey, usize), &[u32])> {
        let slots = self.slots.get(..core::mem::take(&mut self.count))?;
        Some((self.link.take()?, slots))
    }
}

impl Receives {
    /// Posts these, with one call.
    #[inline]
    pub(crate) fn post<P: Provider>(
        &self,
        provider: &mut P,
        qp: QpHandle,
        slots: &[u32],
    ) -> Result<(), VerbsError> {
        if let [slot] = slots {
            let sges = self.sges(*slot);
            let request = RecvRequest { wr_id: u64::from(*slot) | RECEIVE_BIT, sges: &sges };
            return provider.post_recv(qp, &[request]).map_err(|error| error.error);
        }
        self.post_several(provider, qp, slots)
    }

    fn post_several<P: Provider>(
        &self,
        provider: &mut P,
        qp: QpHandle,
        slots: &[u32],
    ) -> Result<(), VerbsError> {
        let mut sges = [[Sge::default(); 2]; REFILL];
        for (sges, slot) in sges.iter_mut().zip(slots) {
            *sges = self.sges(*slot);
        }
        let mut requests = [RecvRequest { wr_id: 0, sges: &[] }; REFILL];
        for ((request, slot), sges) in requests.iter_mut().zip(slots).zip(&sges) {
            *request = RecvRequest { wr_id: u64::from(*slot) | RECEIVE_BIT, sges };
        }
        let requests = requests.get(..slots.len()).unwrap_or_default();
        provider.post_recv(qp, requests).map_err(|error| error.error)
    }

    pub(crate) const fn count(&self) -> u32 {
        self.count
    }

    pub(crate) fn new<P: Provider>(provider: &mut P, pd: PdHandle, count: u32) -> Result<Self, VerbsError> {
        let len = (count * RECEIVE_STRIDE + SPILL_LEN) as usize;
        let memory = provider.alloc_memory(len, MemoryUse::Incoming)?;
        let registered =
            provider.register(pd, memory, Access::LOCAL_WRITE).and_then(|mr| Ok((mr, provider.mr(mr)?)));
        match registered {
            Ok((mr, keys)) => Ok(Self { memory, mr, keys, count }),
            Err(error) => {
                let _ = provider.free_memory(memory);
                Err(error)
            }
        }
    }

    #[inline]
    pub(crate) fn sges(&self, slot: u32) -> [Sge; 2] {
        let MrAttributes { iova, lkey, .. } = self.keys;
        let own = u64::from(slot) * u64::from(RECEIVE_STRIDE);
        let spill = u64::from(self.count) * u64::from(RECEIVE_STRIDE);
        [Sge { addr: iova + own, len: RECEIVE_LEN, lkey }, Sge { addr: iova + spill, len: SPILL_LEN, lkey }]
    }

    #[inline]
    pub(crate) fn copy<P: Provider>(&self, provider: &P, slot: u32, len: u32, out: &mut [u8]) -> usize {
        let mut copied = 0;
        let own = (slot * RECEIVE_STRIDE) as usize;
        let spill = (self.count * RECEIVE_STRIDE) as usize;
        let own_len = len.min(RECEIVE_LEN) as usize;
        for (offset, len) in [(own, own_len), (spill, len as usize - own_len)] {
            if len == 0 {
                break;
            }
            let Ok(span) = provider.incoming(self.memory, offset, len) else { break };
            let Some(out) = out.get_mut(copied..) else { break };
            copied += span.copy_to(0, out);
        }
        copied
    }

    pub(crate) fn free<P: Provider>(&self, provider: &mut P) {
        let _ = provider.deregister(self.mr);
        let _ = provider.free_memory(self.memory);
    }
}
