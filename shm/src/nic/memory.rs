//! Memory, its registrations, and who may touch what.
//!
//! Incoming memory lies in the data memory that the peers map; outgoing memory
//! is ours alone, so that a Rust reference to it is sound.

use core::marker::PhantomData;
use std::sync::Arc;

use rand_chacha::rand_core::Rng;
use smolsmc_verbs::{Access, MemHandle, MemoryUse, MrAttributes, MrHandle, RemoteSpan, Sge, VerbsError};
use smolsmc_wire::{Lkey, Rkey};

use super::entropy::{Entropy, draw};
use super::extents::Extents;
use super::queues::Cursor;
use super::slots::Slots;
use crate::map::{Map, PAGE};

/// A piece of memory.
#[derive(Debug)]
struct Memory {
    place: Place,
    len: usize,
    registrations: u32,
    /// A peer did not leave it in time: it may still be written, so it is never
    /// registered or used again.
    is_tainted: bool,
}

#[derive(Debug)]
enum Place {
    /// In the data memory, from here on.
    Shared(usize),
    /// Whole pages, from `start` on.
    Private { octets: Vec<u8>, start: usize },
}

/// A registration.
#[derive(Debug)]
pub(super) struct Mr {
    pub(super) pd: u32,
    pub(super) device: usize,
    memory: u32,
    pub(super) access: Access,
    lkey: u32,
    pub(super) rkey: u32,
    pub(super) iova: u64,
    pub(super) len: u64,
}

/// Octets to be copied from somewhere.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source<'a> {
    Private(&'a [u8]),
    Shared(&'a Map, usize, usize),
}

impl Source<'_> {
    #[inline]
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Private(octets) => octets.len(),
            Self::Shared(_, _, len) => *len,
        }
    }

    /// Copies all of it into mapped memory.
    #[inline]
    pub(super) fn copy_to(&self, map: &Map, at: usize) {
        match *self {
            Self::Private(octets) => map.write(at, octets),
            Self::Shared(from, from_at, len) => map.write_from(at, from, from_at, len),
        }
    }
}

/// A view of memory: it can be copied from, and nothing else is promised.
#[derive(Clone, Copy, Debug)]
pub struct ShmSpan<'a> {
    source: Source<'a>,
    life: PhantomData<&'a ()>,
}

impl RemoteSpan for ShmSpan<'_> {
    fn len(&self) -> usize {
        self.source.len()
    }

    fn copy_to(&self, offset: usize, out: &mut [u8]) -> usize {
        let len = self.len().saturating_sub(offset).min(out.len());
        let Some(out) = out.get_mut(..len) else { return 0 };
        match self.source {
            Source::Private(octets) => (&octets).copy_to(offset, out),
            Source::Shared(map, at, _) if len > 0 => {
                map.read(at + offset, out);
                len
            }
            Source::Shared(..) => 0,
        }
    }

    fn as_ptr(&self) -> *const u8 {
        match self.source {
            Source::Private(octets) => octets.as_ptr(),
            Source::Shared(map, at, _) => map.pointer(at),
        }
    }
}

/// All memory and all registrations.
#[derive(Debug)]
pub(super) struct MemoryTable {
    data: Arc<Map>,
    extents: Extents,
    memories: Slots<Memory>,
    mrs: Slots<Mr>,
    max_mr: u32,
    /// What was last registered in each place: the next must differ.
    last_rkey: Vec<u32>,
    private_left: u64,
    /// Registrations that are to be refused, to see what the caller does.
    pub(super) refuse: u32,
}

impl MemoryTable {
    pub(super) fn new(data: Arc<Map>, max_memories: u32, max_mr: u32, private_octets: u64) -> Self {
        Self {
            extents: Extents::new(data.len()),
            data,
            memories: Slots::new(max_memories),
            mrs: Slots::new(max_mr),
            max_mr,
            last_rkey: vec![0; max_mr as usize],
            private_left: private_octets,
            refuse: 0,
        }
    }

    // ---- memory ----

    pub(super) fn alloc(&mut self, len: usize, used_for: MemoryUse) -> Result<MemHandle, VerbsError> {
        if len == 0 {
            return Err(VerbsError::OutOfRange("memory of no length"));
        }
        if self.memories.is_full() {
            return Err(VerbsError::Exhausted("pieces of memory"));
        }
        let exhausted = VerbsError::Exhausted("octets of memory");
        let place = match used_for {
            MemoryUse::Outgoing => {
                self.private_left = self.private_left.checked_sub(len as u64).ok_or(exhausted)?;
                private(len)
            }
            MemoryUse::Incoming => {
                let at = self.extents.take(len).ok_or(exhausted)?;
                // Also what nobody had before: a peer can write there.
                self.data.zero(at, len);
                Place::Shared(at)
            }
        };
        let made = self.memories.insert(|_, _| Memory { place, len, registrations: 0, is_tainted: false });
        let (index, generation) = made.ok_or(VerbsError::Exhausted("pieces of memory"))?;
        Ok(MemHandle::new(index, generation))
    }

    pub(super) fn free(&mut self, memory: MemHandle) -> Result<(), VerbsError> {
        if self.named(memory)?.registrations != 0 {
            return Err(VerbsError::InUse("memory"));
        }
        if let Some(memory) = self.memories.remove(memory.index()) {
            self.give_back(&memory);
        }
        Ok(())
    }

    fn give_back(&mut self, memory: &Memory) {
        match memory.place {
            Place::Private { .. } => self.private_left += memory.len as u64,
            Place::Shared(_) if memory.is_tainted => {}
            Place::Shared(at) => self.extents.give(at, memory.len),
        }
    }

    pub(super) fn span(
        &self,
        memory: MemHandle,
        offset: usize,
        len: usize,
    ) -> Result<ShmSpan<'_>, VerbsError> {
        let source = self.named(memory)?.source(&self.data, offset, len);
        let source = source.ok_or(VerbsError::OutOfRange("stretch of memory"))?;
        Ok(ShmSpan { source, life: PhantomData })
    }

    pub(super) fn outgoing(
        &mut self,
        memory: MemHandle,
        offset: usize,
        len: usize,
    ) -> Result<&mut [u8], VerbsError> {
        let found = self.memories.named_mut(memory.index(), memory.generation());
        let found = found.ok_or(VerbsError::NoSuch("memory"))?;
        let Place::Private { octets, start } = &mut found.place else { return Err(VerbsError::Access) };
        let octets = octets.get_mut(*start..).and_then(|octets| octets.get_mut(..found.len));
        let octets = octets.and_then(|octets| octets.get_mut(offset..)?.get_mut(..len));
        octets.ok_or(VerbsError::OutOfRange("stretch of memory"))
    }

    pub(super) fn zero(&mut self, memory: MemHandle, offset: usize, len: usize) -> Result<(), VerbsError> {
        let found = self.named(memory)?;
        if let Place::Private { .. } = found.place {
            self.outgoing(memory, offset, len)?.fill(0);
            return Ok(());
        }
        match found.source(&self.data, offset, len) {
            Some(Source::Shared(map, at, len)) => map.zero(at, len),
            _ => return Err(VerbsError::OutOfRange("stretch of memory")),
        }
        Ok(())
    }

    fn named(&self, memory: MemHandle) -> Result<&Memory, VerbsError> {
        self.memories.named(memory.index(), memory.generation()).ok_or(VerbsError::NoSuch("memory"))
    }

    // ---- registrations ----

    pub(super) fn register(
        &mut self,
        (pd, device): (u32, usize),
        memory: MemHandle,
        access: Access,
        entropy: &mut Entropy,
    ) -> Result<MrHandle, VerbsError> {
        let piece = self.named(memory)?;
        let writes = access.intersects(Access::LOCAL_WRITE | Access::REMOTE_WRITE);
        let alone = access.contains(Access::REMOTE_WRITE) && !access.contains(Access::LOCAL_WRITE);
        if alone || writes && matches!(piece.place, Place::Private { .. }) {
            return Err(VerbsError::Access);
        }
        if piece.is_tainted {
            return Err(VerbsError::InUse("memory"));
        }
        if let Some(left) = self.refuse.checked_sub(1) {
            self.refuse = left;
            return Err(VerbsError::Exhausted("registrations"));
        }
        let (len, max_mr, last_rkey) = (piece.len as u64, self.max_mr, &self.last_rkey);
        let made = self.mrs.insert_random(entropy.rkey.next_u32(), |index, _| {
            let last = last_rkey.get(index as usize).copied().unwrap_or_default();
            let rkey = draw(&mut entropy.rkey, 32, max_mr, index, &[0, last]);
            // Not the rkey: who mixes them up shall notice.
            let lkey = draw(&mut entropy.lkey, 32, max_mr, index, &[0, rkey]);
            Mr { pd, device, memory: memory.index(), access, lkey, rkey, iova: entropy.iova(), len }
        });
        let (index, generation) = made.ok_or(VerbsError::Exhausted("registrations"))?;
        if let Some(piece) = self.memories.get_mut(memory.index()) {
            piece.registrations += 1;
        }
        Ok(MrHandle::new(index, generation))
    }

    pub(super) fn mr(&self, mr: MrHandle) -> Result<&Mr, VerbsError> {
        self.mrs.named(mr.index(), mr.generation()).ok_or(VerbsError::NoSuch("MR"))
    }

    pub(super) fn attributes(&self, mr: MrHandle) -> Result<MrAttributes, VerbsError> {
        let mr = self.mr(mr)?;
        let len = usize::try_from(mr.len).unwrap_or(usize::MAX);
        Ok(MrAttributes { lkey: Lkey(mr.lkey), rkey: Rkey(mr.rkey), iova: mr.iova, len })
    }

    /// Where a registration's memory lies, if the peer can reach it at all.
    pub(super) fn shared_place(&self, mr: &Mr) -> Option<usize> {
        match self.memories.get(mr.memory)?.place {
            Place::Shared(at) => Some(at),
            Place::Private { .. } => None,
        }
    }

    /// Ends a registration. `is_tainted` if a peer may still be writing.
    pub(super) fn deregister(&mut self, mr: MrHandle, is_tainted: bool) -> Result<Mr, VerbsError> {
        self.mr(mr)?;
        let found = self.mrs.remove(mr.index()).ok_or(VerbsError::NoSuch("MR"))?;
        if let Some(last) = self.last_rkey.get_mut(mr.index() as usize) {
            *last = found.rkey;
        }
        if let Some(piece) = self.memories.get_mut(found.memory) {
            piece.registrations -= 1;
            piece.is_tainted |= is_tainted;
        }
        Ok(found)
    }

    /// Registrations on a device.
    pub(super) fn on_device(&mut self, device: usize) -> impl Iterator<Item = u32> {
        self.mrs.iter_mut().filter(move |mr| mr.device == device).map(|mr| mr.rkey)
    }

    // ---- requests ----

    /// Whether every element lies in memory of `pd` with the right to `access`.
    pub(super) fn allows(&self, pd: u32, sges: &[Sge], access: Access) -> bool {
        sges.iter().all(|sge| sge.len == 0 || self.local(pd, sge, 0, sge.len, access).is_some())
    }

    /// The next stretch of the elements from `cursor` on, at most `want`
    /// octets; the cursor moves along.
    #[inline]
    pub(super) fn next(&self, pd: u32, sges: &[Sge], cursor: &mut Cursor, want: usize) -> Option<Source<'_>> {
        let (sge, len) = cursor.stretch(sges, want)?;
        let source = self.local(pd, sge, cursor.offset, len, Access::empty())?;
        cursor.offset += len;
        Some(source)
    }

    /// Spreads `octets` over the elements, from `cursor` on, which moves along.
    /// `false` if they may not be written, or end before `octets` do.
    #[inline]
    pub(super) fn scatter(&self, pd: u32, sges: &[Sge], cursor: &mut Cursor, mut octets: &[u8]) -> bool {
        while !octets.is_empty() {
            let Some((sge, len)) = cursor.stretch(sges, octets.len()) else { return false };
            let place = self.local(pd, sge, cursor.offset, len, Access::LOCAL_WRITE);
            // Only shared memory can be registered with that right.
            let Some(Source::Shared(map, at, len)) = place else { return false };
            let Some((now, rest)) = octets.split_at_checked(len) else { return false };
            map.write(at, now);
            octets = rest;
            cursor.offset += len as u32;
        }
        true
    }

    #[inline]
    fn local(&self, pd: u32, sge: &Sge, offset: u32, len: u32, access: Access) -> Option<Source<'_>> {
        let mr = self.mrs.get(sge.lkey.0 & (self.max_mr - 1))?;
        if mr.lkey != sge.lkey.0 || mr.pd != pd || !mr.access.contains(access) {
            return None;
        }
        self.octets(mr, sge.addr.wrapping_add(u64::from(offset)), len)
    }

    /// The octets a peer reads.
    pub(super) fn peer_reads(&self, pd: u32, rkey: u32, addr: u64, len: u32) -> Option<Source<'_>> {
        let mr = self.mrs.get(rkey & (self.max_mr - 1))?;
        if mr.rkey != rkey || mr.pd != pd || !mr.access.contains(Access::REMOTE_READ) {
            return None;
        }
        self.octets(mr, addr, len)
    }

    #[inline]
    fn octets(&self, mr: &Mr, addr: u64, len: u32) -> Option<Source<'_>> {
        // An address below the registration wraps to far beyond its end.
        let offset = addr.wrapping_sub(mr.iova);
        let left = mr.len.checked_sub(offset)?;
        if u64::from(len) > left {
            return None;
        }
        self.memories.get(mr.memory)?.source(&self.data, offset as usize, len as usize)
    }
}

impl Memory {
    #[inline]
    fn source<'a>(&'a self, data: &'a Map, offset: usize, len: usize) -> Option<Source<'a>> {
        if offset > self.len || len > self.len - offset {
            return None;
        }
        match &self.place {
            Place::Shared(at) => Some(Source::Shared(data, at + offset, len)),
            Place::Private { octets, start } => {
                octets.get(*start..)?.get(offset..)?.get(..len).map(Source::Private)
            }
        }
    }
}

/// Zeroed octets, page-aligned without unsafe code: room for a page more, begun
/// at its boundary.
fn private(len: usize) -> Place {
    let octets = vec![0; len + PAGE - 1];
    let start = octets.as_ptr().align_offset(PAGE).min(PAGE - 1);
    Place::Private { octets, start }
}
