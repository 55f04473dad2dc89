use alloc::vec::Vec;

use smolsmc_verbs::{Access, MemHandle, MemoryUse, MrAttributes, MrHandle, PdHandle, Provider, VerbsError};
use smolsmc_wire::RmbeSize;

/// Protection domains a pool can have at the same time: one for each link of a
/// group, each on the link's device.
pub const MAX_DOMAINS: usize = 3;

/// Which of a connection's two rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RingKind {
    /// The RMB, which the peer writes.
    Rmb,
    /// Where our own octets wait until they have arrived.
    Send,
}

/// A ring of one connection, as long as it has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ring {
    index: u32,
    /// Which kind.
    pub kind: RingKind,
    /// Its size class.
    pub size: RmbeSize,
    /// The memory.
    pub memory: MemHandle,
}

/// How a ring comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returned {
    /// No WRITE of the peer can come any more, as it has closed or aborted on the
    /// ring's link; or none can do harm, as the pool lends no ring again. Only the
    /// first `used` octets may be other than 0.
    Clean {
        /// Octets from the ring's start.
        used: u32,
    },
    /// The peer might still write.
    Unclean,
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

/// The rings of one link group, by kind and size class. Each is registered in
/// every domain of the pool.
#[derive(Debug)]
pub struct Pool {
    domains: [Option<PdHandle>; MAX_DOMAINS],
    /// Octets all rings together may have.
    octets_max: u64,
    rings: Vec<Option<Registered>>,
    /// Indices of the rings that wait, the one given back last at the end: it is
    /// the likeliest to be in a cache.
    free: Vec<u32>,
    stats: PoolStats,
}

#[derive(Clone, Copy, Debug)]
struct Registered {
    ring: Ring,
    in_use: bool,
    registrations: [Option<Registration>; MAX_DOMAINS],
}

#[derive(Clone, Copy, Debug)]
struct Registration {
    mr: MrHandle,
    keys: MrAttributes,
    /// The peer knows the key.
    announced: bool,
}

impl Pool {
    /// An empty pool without domains, whose rings together may have
    /// `octets_max` octets.
    #[must_use]
    pub const fn new(octets_max: u64) -> Self {
        Self {
            domains: [None; MAX_DOMAINS],
            octets_max,
            rings: Vec::new(),
            free: Vec::new(),
            stats: PoolStats { octets: 0, in_use: 0, free: 0, reused: 0, deregistered: 0 },
        }
    }

    /// What it holds.
    #[must_use]
    pub const fn stats(&self) -> PoolStats {
        PoolStats { free: self.free.len() as u32, ..self.stats }
    }

    /// Registers every ring in a further domain, in place `domain`, which must
    /// be free; rings to come will be too.
    ///
    /// # Errors
    /// [`VerbsError::InUse`]; what the provider said: then none is registered
    /// there.
    pub fn add_domain<P: Provider>(
        &mut self,
        provider: &mut P,
        domain: usize,
        pd: PdHandle,
    ) -> Result<(), VerbsError> {
        match self.domains.get_mut(domain) {
            Some(place) if place.is_none() => *place = Some(pd),
            Some(_) => return Err(VerbsError::InUse("protection domain")),
            None => return Err(VerbsError::OutOfRange("protection domain")),
        }
        for entry in self.rings.iter_mut().flatten() {
            if let Err(error) = entry.register(provider, domain, pd) {
                self.remove_domain(provider, domain);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Ends all registrations in the domain in place `domain`, and forgets it.
    pub fn remove_domain<P: Provider>(&mut self, provider: &mut P, domain: usize) {
        for entry in self.rings.iter_mut().flatten() {
            entry.deregister(provider, domain);
        }
        if let Some(place) = self.domains.get_mut(domain) {
            *place = None;
        }
    }

    /// A ring's keys in a domain.
    #[inline]
    #[must_use]
    pub fn keys(&self, ring: &Ring, domain: usize) -> Option<MrAttributes> {
        self.registration(ring, domain).map(|registration| registration.keys)
    }

    /// Whether the peer knows a ring's key in each domain there is, from an
    /// earlier connection of the group.
    #[must_use]
    pub fn is_announced(&self, ring: &Ring) -> bool {
        self.rings
            .get(ring.index as usize)
            .into_iter()
            .flatten()
            .all(|entry| entry.registrations.iter().flatten().all(|registration| registration.announced))
    }

    /// The peer has been told a ring's key in a domain.
    pub fn announce(&mut self, ring: &Ring, domain: usize) {
        let entry = self.rings.get_mut(ring.index as usize).and_then(Option::as_mut);
        let registration = entry.and_then(|entry| entry.registrations.get_mut(domain)?.as_mut());
        if let Some(registration) = registration {
            registration.announced = true;
        }
    }

    /// All RMBs a peer must know on a further link: those in use, and those it
    /// has been told of.
    #[must_use]
    pub fn told_of(&self) -> Vec<Ring> {
        let told = |entry: &&Registered| {
            let announced = entry.registrations.iter().flatten().any(|registration| registration.announced);
            entry.ring.kind == RingKind::Rmb && (entry.in_use || announced)
        };
        self.rings.iter().flatten().filter(told).map(|entry| entry.ring).collect()
    }

    fn registration(&self, ring: &Ring, domain: usize) -> Option<Registration> {
        *self.rings.get(ring.index as usize)?.as_ref()?.registrations.get(domain)?
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
        let Self { rings, free, .. } = self;
        let fits = |index: &u32| {
            let entry = rings.get(*index as usize).and_then(Option::as_ref);
            entry.is_some_and(|entry| (entry.ring.kind, entry.ring.size) == (kind, size))
        };
        // All but always one of the last two, as a connection gives back two.
        let waiting = free.iter().rposition(fits).map(|at| free.remove(at));
        let entry = waiting.and_then(|index| rings.get_mut(index as usize)?.as_mut());
        let ring = match entry {
            Some(entry) => {
                entry.in_use = true;
                self.stats.reused += 1;
                entry.ring
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
        let used_for = match kind {
            RingKind::Rmb => MemoryUse::Incoming,
            RingKind::Send => MemoryUse::Outgoing,
        };
        let len = usize::try_from(octets).map_err(|_| VerbsError::OutOfRange("ring size"))?;
        let memory = provider.alloc_memory(len, used_for)?;
        let index = self.rings.iter().position(Option::is_none).unwrap_or(self.rings.len());
        let ring = Ring { index: index as u32, kind, size, memory };
        let mut entry = Registered { ring, in_use: true, registrations: [None; MAX_DOMAINS] };
        for (domain, pd) in self.domains.iter().enumerate() {
            let Some(pd) = pd else { continue };
            if let Err(error) = entry.register(provider, domain, *pd) {
                entry.discard(provider);
                return Err(error);
            }
        }
        match self.rings.get_mut(index) {
            Some(place) => *place = Some(entry),
            None => self.rings.push(Some(entry)),
        }
        self.stats.octets += octets;
        Ok(ring)
    }

    /// Takes a ring back. One that is clean waits, zeroed, with its keys; else it
    /// is deregistered and its memory freed.
    pub fn give_back<P: Provider>(&mut self, provider: &mut P, ring: Ring, returned: Returned) {
        let Some(place) = self.rings.get_mut(ring.index as usize) else { return };
        let Some(entry) = place.as_mut().filter(|entry| entry.in_use) else { return };
        self.stats.in_use -= 1;
        if let Returned::Clean { used } = returned
            && (used == 0 || provider.zero(ring.memory, 0, used.min(ring.size.octets()) as usize).is_ok())
        {
            entry.in_use = false;
            self.free.push(ring.index);
            return;
        }
        entry.discard(provider);
        *place = None;
        self.stats.deregistered += 1;
        self.stats.octets -= u64::from(ring.size.octets());
    }

    /// Gives all waiting rings back to the provider, at the group's end.
    pub fn clear<P: Provider>(&mut self, provider: &mut P) {
        for index in self.free.drain(..) {
            if let Some(mut entry) = self.rings.get_mut(index as usize).and_then(Option::take) {
                entry.discard(provider);
                self.stats.octets -= u64::from(entry.ring.size.octets());
            }
        }
    }
}

impl Registered {
    fn register<P: Provider>(
        &mut self,
        provider: &mut P,
        domain: usize,
        pd: PdHandle,
    ) -> Result<(), VerbsError> {
        let access = match self.ring.kind {
            RingKind::Rmb => Access::LOCAL_WRITE | Access::REMOTE_WRITE,
            RingKind::Send => Access::empty(),
        };
        let mr = provider.register(pd, self.ring.memory, access)?;
        match provider.mr(mr) {
            Ok(keys) => {
                if let Some(place) = self.registrations.get_mut(domain) {
                    *place = Some(Registration { mr, keys, announced: false });
                }
                Ok(())
            }
            Err(error) => {
                let _ = provider.deregister(mr);
                Err(error)
            }
        }
    }

    fn deregister<P: Provider>(&mut self, provider: &mut P, domain: usize) {
        if let Some(registration) = self.registrations.get_mut(domain).and_then(Option::take) {
            // A device that is gone may refuse; its objects are gone with it.
            let _ = provider.deregister(registration.mr);
        }
    }

    fn discard<P: Provider>(&mut self, provider: &mut P) {
        for domain in 0..MAX_DOMAINS {
            self.deregister(provider, domain);
        }
        let _ = provider.free_memory(self.ring.memory);
    }
}
