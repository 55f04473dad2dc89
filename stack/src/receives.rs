//! A link's receives: where they lie, and what came into them.

use smolsmc_llc as llc;
use smolsmc_verbs::{
    Access, MemHandle, MemoryUse, MrAttributes, MrHandle, PdHandle, Provider, RemoteSpan, Sge, VerbsError,
};

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

impl Receives {
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
