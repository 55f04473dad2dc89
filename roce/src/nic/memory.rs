//! Memory, its registrations, and who may touch what.

use alloc::vec;
use alloc::vec::Vec;

use aligned_vec::{AVec, ConstAlign};
use smolsmc_verbs::{Access, MemHandle, MemoryUse, MrAttributes, MrHandle, Sge, VerbsError};
use smolsmc_wire::{Lkey, Rkey};

use rand_chacha::rand_core::Rng;

use super::entropy::{Entropy, KeySpace};
use super::slots::Slots;

const PAGE: usize = 4096;

/// A piece of memory, which begins with a page.
#[derive(Debug)]
struct Memory {
    octets: AVec<u8, ConstAlign<PAGE>>,
    used_for: MemoryUse,
    registrations: u32,
}

/// A registration.
#[derive(Debug)]
struct Mr {
    pd: u32,
    memory: u32,
    access: Access,
    lkey: u32,
    rkey: u32,
    iova: u64,
    len: u64,
}

/// A stretch of memory that somebody was found to be allowed to touch.
#[derive(Clone, Copy, Debug)]
struct Place {
    memory: u32,
    offset: usize,
    len: usize,
}

/// Where in a list of elements the next octet belongs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) sge: u32,
    pub(super) offset: u32,
}

/// All memory and all registrations.
#[derive(Debug)]
pub(super) struct MemoryTable {
    memories: Slots<Memory>,
    mrs: Slots<Mr>,
    /// What was last registered in each place: the next must differ.
    last_rkey: Vec<u32>,
    keys: KeySpace,
    octets_left: usize,
    /// Registrations that are to be refused, to see what the caller does.
    pub(super) refuse: u32,
}

impl MemoryTable {
    pub(super) fn new(max_memories: u32, max_mr: u32, octets: usize, keys: KeySpace) -> Self {
        Self {
            memories: Slots::new(max_memories),
            mrs: Slots::new(max_mr),
            last_rkey: vec![0; max_mr as usize],
            keys,
            octets_left: octets,
            refuse: 0,
        }
    }

    /// Pieces of memory, and registrations.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.memories.count(), self.mrs.count())
    }

    // ---- memory ----

    pub(super) fn alloc(&mut self, len: usize, used_for: MemoryUse) -> Result<MemHandle, VerbsError> {
        if len == 0 {
            return Err(VerbsError::OutOfRange("memory of no length"));
        }
        let left = self.octets_left.checked_sub(len).ok_or(VerbsError::Exhausted("octets of memory"))?;
        let (index, generation) = self
            .memories
            .insert(|_, _| Memory::new(len, used_for))
            .ok_or(VerbsError::Exhausted("pieces of memory"))?;
        self.octets_left = left;
        Ok(MemHandle::new(index, generation))
    }

    pub(super) fn free(&mut self, memory: MemHandle) -> Result<(), VerbsError> {
        let piece = self.named(memory)?;
        if piece.registrations != 0 {
            return Err(VerbsError::InUse("memory"));
        }
        self.octets_left += piece.octets.len();
        self.memories.remove(memory.index());
        Ok(())
    }

    pub(super) fn slice(&self, memory: MemHandle, offset: usize, len: usize) -> Result<&[u8], VerbsError> {
        self.named(memory)?.slice(offset, len).ok_or(VerbsError::OutOfRange("stretch of memory"))
    }

    pub(super) fn slice_mut(
        &mut self,
        memory: MemHandle,
        offset: usize,
        len: usize,
    ) -> Result<&mut [u8], VerbsError> {
        self.memories
            .named_mut(memory.index(), memory.generation())
            .ok_or(VerbsError::NoSuch("memory"))?
            .slice_mut(offset, len)
            .ok_or(VerbsError::OutOfRange("stretch of memory"))
    }

    pub(super) fn used_for(&self, memory: MemHandle) -> Result<MemoryUse, VerbsError> {
        Ok(self.named(memory)?.used_for)
    }

    fn named(&self, memory: MemHandle) -> Result<&Memory, VerbsError> {
        self.memories.named(memory.index(), memory.generation()).ok_or(VerbsError::NoSuch("memory"))
    }

    // ---- registrations ----

    pub(super) fn register(
        &mut self,
        pd: u32,
        memory: MemHandle,
        access: Access,
        entropy: &mut Entropy,
    ) -> Result<MrHandle, VerbsError> {
        let piece = self.named(memory)?;
        let writes = access.intersects(Access::LOCAL_WRITE | Access::REMOTE_WRITE);
        let alone = access.contains(Access::REMOTE_WRITE) && !access.contains(Access::LOCAL_WRITE);
        if alone || writes && piece.used_for == MemoryUse::Outgoing {
            return Err(VerbsError::Access);
        }
        if let Some(left) = self.refuse.checked_sub(1) {
            self.refuse = left;
            return Err(VerbsError::Exhausted("registrations"));
        }
        let (len, keys, last_rkey) = (piece.octets.len() as u64, self.keys, &mut self.last_rkey);
        let (index, generation) = self
            .mrs
            .insert_random(entropy.rkey.next_u32(), |index, _| {
                let last = last_rkey.get(index as usize).copied().unwrap_or_default();
                let rkey = keys.draw(&mut entropy.rkey, index, &[0, last]);
                // Not the rkey: who mixes them up shall notice.
                let lkey = keys.draw(&mut entropy.lkey, index, &[0, rkey]);
                Mr { pd, memory: memory.index(), access, lkey, rkey, iova: entropy.iova(), len }
            })
            .ok_or(VerbsError::Exhausted("registrations"))?;
        if let Some(piece) = self.memories.get_mut(memory.index()) {
            piece.registrations += 1;
        }
        Ok(MrHandle::new(index, generation))
    }

    pub(super) fn attributes(&self, mr: MrHandle) -> Result<MrAttributes, VerbsError> {
        let mr = self.mrs.named(mr.index(), mr.generation()).ok_or(VerbsError::NoSuch("MR"))?;
        Ok(MrAttributes {
            lkey: Lkey(mr.lkey),
            rkey: Rkey(mr.rkey),
            iova: mr.iova,
            len: usize::try_from(mr.len).unwrap_or(usize::MAX),
        })
    }

    /// Ends a registration and returns its protection domain.
    pub(super) fn deregister(&mut self, mr: MrHandle) -> Result<u32, VerbsError> {
        let found = self.mrs.named(mr.index(), mr.generation()).ok_or(VerbsError::NoSuch("MR"))?;
        let (pd, rkey, memory) = (found.pd, found.rkey, found.memory);
        self.mrs.remove(mr.index());
        if let Some(last) = self.last_rkey.get_mut(mr.index() as usize) {
            *last = rkey;
        }
        if let Some(piece) = self.memories.get_mut(memory) {
            piece.registrations -= 1;
        }
        Ok(pd)
    }

    // ---- local requests ----

    /// Whether every element lies in memory of `pd` with the right to `access`.
    pub(super) fn allows(&self, pd: u32, sges: &[Sge], access: Access) -> bool {
        sges.iter().all(|sge| sge.len == 0 || self.local(pd, sge, 0, sge.len, access).is_some())
    }

    /// Fills `out` from the elements, from `cursor` on, which moves along.
    /// `false` if they may not be read, or end before `out` does.
    #[inline]
    pub(super) fn gather(&self, pd: u32, sges: &[Sge], cursor: &mut Cursor, mut out: &mut [u8]) -> bool {
        while !out.is_empty() {
            let Some((sge, len)) = cursor.stretch(sges, out.len()) else { return false };
            let from = self.local(pd, sge, cursor.offset, len, Access::empty());
            let Some(from) = from.and_then(|place| self.at(place)) else { return false };
            let Some((into, rest)) = out.split_at_mut_checked(from.len()) else { return false };
            into.copy_from_slice(from);
            out = rest;
            cursor.offset += len;
        }
        true
    }

    /// Spreads `octets` over the elements, from `cursor` on, which moves along.
    /// `false` if they may not be written, or end before `octets` do.
    #[inline]
    pub(super) fn scatter(&mut self, pd: u32, sges: &[Sge], cursor: &mut Cursor, mut octets: &[u8]) -> bool {
        while !octets.is_empty() {
            let Some((sge, len)) = cursor.stretch(sges, octets.len()) else { return false };
            let place = self.local(pd, sge, cursor.offset, len, Access::LOCAL_WRITE);
            let Some(into) = place.and_then(|place| self.at_mut(place)) else { return false };
            let Some((from, rest)) = octets.split_at_checked(into.len()) else { return false };
            into.copy_from_slice(from);
            octets = rest;
            cursor.offset += len;
        }
        true
    }

    #[inline]
    fn local(&self, pd: u32, sge: &Sge, offset: u32, len: u32, access: Access) -> Option<Place> {
        let mr = self.mrs.get(self.keys.place(sge.lkey.0))?;
        if mr.lkey != sge.lkey.0 || mr.pd != pd || !mr.access.contains(access) {
            return None;
        }
        mr.place(sge.addr.wrapping_add(u64::from(offset)), len)
    }

    // ---- remote requests ----

    /// Whether a peer on a queue pair of `pd` may touch these octets.
    #[inline]
    pub(super) fn reachable(&self, pd: u32, rkey: Rkey, addr: u64, len: u32, access: Access) -> bool {
        self.remote(pd, rkey, addr, len, access).is_some()
    }

    /// The octets a peer reads.
    #[inline]
    pub(super) fn peer_reads(&self, pd: u32, rkey: Rkey, addr: u64, len: u32) -> Option<&[u8]> {
        self.at(self.remote(pd, rkey, addr, len, Access::REMOTE_READ)?)
    }

    /// The octets a peer writes.
    #[inline]
    pub(super) fn peer_writes(&mut self, pd: u32, rkey: Rkey, addr: u64, len: u32) -> Option<&mut [u8]> {
        self.at_mut(self.remote(pd, rkey, addr, len, Access::REMOTE_WRITE)?)
    }

    #[inline]
    fn remote(&self, pd: u32, rkey: Rkey, addr: u64, len: u32, access: Access) -> Option<Place> {
        let mr = self.mrs.get(self.keys.place(rkey.0))?;
        if mr.rkey != rkey.0 || mr.pd != pd || !mr.access.contains(access) {
            return None;
        }
        mr.place(addr, len)
    }

    #[inline]
    fn at(&self, place: Place) -> Option<&[u8]> {
        self.memories.get(place.memory)?.slice(place.offset, place.len)
    }

    #[inline]
    fn at_mut(&mut self, place: Place) -> Option<&mut [u8]> {
        self.memories.get_mut(place.memory)?.slice_mut(place.offset, place.len)
    }
}

impl Memory {
    fn new(len: usize, used_for: MemoryUse) -> Self {
        let mut octets = AVec::with_capacity(PAGE, len);
        octets.resize(len, 0);
        Self { octets, used_for, registrations: 0 }
    }

    #[inline]
    fn slice(&self, offset: usize, len: usize) -> Option<&[u8]> {
        self.octets.get(offset..)?.get(..len)
    }

    #[inline]
    fn slice_mut(&mut self, offset: usize, len: usize) -> Option<&mut [u8]> {
        self.octets.get_mut(offset..)?.get_mut(..len)
    }
}

impl Mr {
    /// `len` octets at `addr`, if all of them are registered.
    #[inline]
    fn place(&self, addr: u64, len: u32) -> Option<Place> {
        // An address below the registration wraps to far beyond its end.
        let offset = addr.wrapping_sub(self.iova);
        let left = self.len.checked_sub(offset)?;
        let fits = u64::from(len) <= left;
        fits.then_some(Place { memory: self.memory, offset: offset as usize, len: len as usize })
    }
}

impl Cursor {
    /// The place `offset` octets into the elements.
    pub(super) fn seek(sges: &[Sge], mut offset: u32) -> Self {
        let mut cursor = Self::default();
        for sge in sges {
            if offset < sge.len {
                break;
            }
            offset -= sge.len;
            cursor.sge += 1;
        }
        cursor.offset = offset;
        cursor
    }

    /// The element at the cursor and how much of it there is to use, at most
    /// `want`. Passes over elements that are used up.
    #[inline]
    fn stretch<'a>(&mut self, sges: &'a [Sge], want: usize) -> Option<(&'a Sge, u32)> {
        loop {
            let sge = sges.get(self.sge as usize)?;
            let left = sge.len.saturating_sub(self.offset);
            if left > 0 {
                return Some((sge, left.min(u32::try_from(want).unwrap_or(u32::MAX))));
            }
            *self = Self { sge: self.sge + 1, offset: 0 };
        }
    }
}
