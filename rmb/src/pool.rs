use alloc::vec::Vec;

use smolsmc_verbs::{Access, MemHandle, MemoryUse, MrAttributes, MrHandle, PdHandle, Provider, VerbsError};
use smolsmc_wire::RmbeSize;

/// Which of a connection's two rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RingKind {
    /// The RMB, which the peer writes.
    Rmb,
    /// Where our own octets wait until they have arrived.
    Send,
}

/// A ring of one connection: registered memory of one size class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ring {
    /// Which kind.
    pub kind: RingKind,
    /// Its size class.
    pub size: RmbeSize,
    /// The memory.
    pub memory: MemHandle,
    /// Its registration.
    pub mr: MrHandle,
    /// The registration's keys and address.
    pub keys: MrAttributes,
    /// Whether the peer knows the rkey already, from an earlier connection of
    /// the group.
    pub announced: bool,
}

/// What a pool holds, and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Octets in rings, in use or waiting.
    pub octets: u64,
    /// Rings in use.
    pub in_use: u32,
    /// Rings that wait for a connection.
    pub free: u32,
    /// Rings taken that had been used before.
    pub reused: u64,
    /// Rings that were deregistered because their connection did not end cleanly.
    pub deregistered: u64,
}

/// The rings of one link group, by kind and size class.
#[derive(Debug)]
pub struct Pool {
    pd: PdHandle,
    /// Octets all rings together may have.
    octets_max: u64,
    free: Vec<Ring>,
    stats: PoolStats,
}

impl Pool {
    /// An empty pool in `pd`, whose rings together may have `octets_max` octets.
    #[must_use]
    pub const fn new(pd: PdHandle, octets_max: u64) -> Self {
        Self {
            pd,
            octets_max,
            free: Vec::new(),
            stats: PoolStats { octets: 0, in_use: 0, free: 0, reused: 0, deregistered: 0 },
        }
    }

    /// What it holds.
    #[must_use]
    pub const fn stats(&self) -> PoolStats {
        self.stats
    }

    /// A zeroed ring of `size`, or of the next smaller size there is memory for,
    /// as Linux 6.12 smc_core does.
    ///
    /// # Errors
    /// What the provider said to the smallest size.
    pub fn take<P: Provider>(
        &mut self,
        provider: &mut P,
        kind: RingKind,
        size: RmbeSize,
    ) -> Result<Ring, VerbsError> {
        let mut code = size.code();
        loop {
            match self.take_exactly(provider, kind, RmbeSize::from_code(code)) {
                Err(_) if code > 0 => code -= 1,
                taken => return taken,
            }
        }
    }

    fn take_exactly<P: Provider>(
        &mut self,
        provider: &mut P,
        kind: RingKind,
        size: RmbeSize,
    ) -> Result<Ring, VerbsError> {
        let ring = match self.free.iter().rposition(|ring| ring.kind == kind && ring.size == size) {
            Some(at) => {
                self.stats.free -= 1;
                self.stats.reused += 1;
                self.free.swap_remove(at)
            }
            None => self.make(provider, kind, size)?,
        };
        self.stats.in_use += 1;
        Ok(ring)
    }

    fn make<P: Provider>(
        &mut self,
        provider: &mut P,
        kind: RingKind,
        size: RmbeSize,
    ) -> Result<Ring, VerbsError> {
        let octets = u64::from(size.octets());
        if self.stats.octets + octets > self.octets_max {
            return Err(VerbsError::Exhausted("octets of the link group's rings"));
        }
        let (used_for, access) = match kind {
            RingKind::Rmb => (MemoryUse::Incoming, Access::LOCAL_WRITE | Access::REMOTE_WRITE),
            RingKind::Send => (MemoryUse::Outgoing, Access::empty()),
        };
        let len = usize::try_from(octets).map_err(|_| VerbsError::OutOfRange("ring size"))?;
        let memory = provider.alloc_memory(len, used_for)?;
        let registered = provider.register(self.pd, memory, access).and_then(|mr| Ok((mr, provider.mr(mr)?)));
        match registered {
            Ok((mr, keys)) => {
                self.stats.octets += octets;
                Ok(Ring { kind, size, memory, mr, keys, announced: false })
            }
            Err(error) => {
                let _ = provider.free_memory(memory);
                Err(error)
            }
        }
    }

    /// Takes a ring back. `clean` says that no WRITE of the peer can come any
    /// more: it has closed or aborted on the ring's link. Then the ring waits,
    /// zeroed, with its rkey; else it is deregistered and its memory freed.
    pub fn give_back<P: Provider>(&mut self, provider: &mut P, ring: Ring, clean: bool) {
        self.stats.in_use -= 1;
        let zeroed = clean && provider.zero(ring.memory, 0, ring.size.octets() as usize).is_ok();
        if zeroed {
            self.stats.free += 1;
            self.free.push(ring);
        } else {
            self.stats.deregistered += 1;
            self.discard(provider, ring);
        }
    }

    /// Gives all waiting rings back to the provider, at the group's end.
    pub fn clear<P: Provider>(&mut self, provider: &mut P) {
        while let Some(ring) = self.free.pop() {
            self.stats.free -= 1;
            self.discard(provider, ring);
        }
    }

    fn discard<P: Provider>(&mut self, provider: &mut P, ring: Ring) {
        // A device that is gone may refuse; its objects are gone with it.
        let _ = provider.deregister(ring.mr);
        let _ = provider.free_memory(ring.memory);
        self.stats.octets -= u64::from(ring.size.octets());
    }
}
