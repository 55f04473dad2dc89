//! A table of objects with a fixed number of places. A handle is a place and
//! how often it was used before, so one that outlived its object names nothing.

/// Objects in places 0 to `limit - 1`. Only [`new`](Self::new) allocates.
#[derive(Debug)]
pub(super) struct Slots<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Slots<T> {
    /// An empty table of `limit` places.
    pub(super) fn new(limit: u32) -> Self {
        let slots = (0..limit).map(|_| Slot { generation: 0, value: None }).collect();
        // Taken from the end: the first object is in place 0.
        Self { slots, free: (0..limit).rev().collect() }
    }

    /// Puts what `make` returns for its place and generation into the place
    /// that was freed last. `None` if all are taken.
    pub(super) fn insert(&mut self, make: impl FnOnce(u32, u32) -> T) -> Option<(u32, u32)> {
        let last = self.free.len().checked_sub(1)?;
        self.insert_at(last, make)
    }

    /// As [`insert`](Self::insert), into one of the free places, which `pick`
    /// chooses: where it is random, so is the place.
    pub(super) fn insert_random(
        &mut self,
        pick: u32,
        make: impl FnOnce(u32, u32) -> T,
    ) -> Option<(u32, u32)> {
        self.insert_at((pick as usize).checked_rem(self.free.len())?, make)
    }

    fn insert_at(&mut self, nth_free: usize, make: impl FnOnce(u32, u32) -> T) -> Option<(u32, u32)> {
        let index = self.free.swap_remove(nth_free);
        let slot = self.slots.get_mut(index as usize)?;
        slot.value = Some(make(index, slot.generation));
        Some((index, slot.generation))
    }

    /// The object in a place.
    #[inline]
    pub(super) fn get(&self, index: u32) -> Option<&T> {
        self.slots.get(index as usize)?.value.as_ref()
    }

    /// The object in a place.
    #[inline]
    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.slots.get_mut(index as usize)?.value.as_mut()
    }

    /// The object a handle names.
    #[inline]
    pub(super) fn named(&self, index: u32, generation: u32) -> Option<&T> {
        self.slots.get(index as usize).filter(|slot| slot.generation == generation)?.value.as_ref()
    }

    /// The object a handle names.
    #[inline]
    pub(super) fn named_mut(&mut self, index: u32, generation: u32) -> Option<&mut T> {
        self.slots.get_mut(index as usize).filter(|slot| slot.generation == generation)?.value.as_mut()
    }

    /// Takes the object out; handles of it are dead from now on.
    pub(super) fn remove(&mut self, index: u32) -> Option<T> {
        let slot = self.slots.get_mut(index as usize)?;
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(index);
        Some(value)
    }

    /// Whether all places are taken.
    pub(super) fn is_full(&self) -> bool {
        self.free.is_empty()
    }

    /// How often a place was used before.
    pub(super) fn generation(&self, index: u32) -> u32 {
        self.slots.get(index as usize).map_or(0, |slot| slot.generation)
    }

    /// All objects, by place.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().filter_map(|slot| slot.value.as_mut())
    }
}
