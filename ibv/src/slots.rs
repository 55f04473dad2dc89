//! A table of objects. A handle is a place and how often it was used before, so
//! one that outlived its object names nothing.

/// Objects in places 0, 1, ... up to a limit.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    limit: u32,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Slots<T> {
    /// An empty table of at most `limit` places.
    pub(crate) const fn new(limit: u32) -> Self {
        Self { slots: Vec::new(), free: Vec::new(), limit }
    }

    /// The place and the generation that [`insert`](Self::insert) is to use;
    /// `None` if all are taken.
    pub(crate) fn vacant(&self) -> Option<(u32, u32)> {
        match self.free.last() {
            Some(index) => Some((*index, self.slots.get(*index as usize)?.generation)),
            None => {
                u32::try_from(self.slots.len()).ok().filter(|next| *next < self.limit).map(|next| (next, 0))
            }
        }
    }

    /// Puts an object where [`vacant`](Self::vacant) says.
    pub(crate) fn insert(&mut self, value: T) -> Option<(u32, u32)> {
        let (index, generation) = self.vacant()?;
        if self.free.pop().is_none() {
            self.slots.push(Slot { generation: 0, value: None });
        }
        self.slots.get_mut(index as usize)?.value = Some(value);
        Some((index, generation))
    }

    /// The object in a place, and its generation.
    #[inline]
    pub(crate) fn at_mut(&mut self, index: u32) -> Option<(u32, &mut T)> {
        let slot = self.slots.get_mut(index as usize)?;
        Some((slot.generation, slot.value.as_mut()?))
    }

    /// The object a handle names.
    #[inline]
    pub(crate) fn get(&self, index: u32, generation: u32) -> Option<&T> {
        self.slots.get(index as usize).filter(|slot| slot.generation == generation)?.value.as_ref()
    }

    /// The object a handle names.
    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32, generation: u32) -> Option<&mut T> {
        self.slots.get_mut(index as usize).filter(|slot| slot.generation == generation)?.value.as_mut()
    }

    /// Takes an object out; its handles are dead from now on.
    pub(crate) fn remove(&mut self, index: u32, generation: u32) -> Option<T> {
        let slot = self.slots.get_mut(index as usize).filter(|slot| slot.generation == generation)?;
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(index);
        Some(value)
    }

    /// Places that are or were taken.
    pub(crate) const fn places(&self) -> usize {
        self.slots.len()
    }

    /// All objects.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().filter_map(|slot| slot.value.as_mut())
    }
}

#[cfg(test)]
mod tests {
    use super::Slots;

    #[test]
    fn a_handle_never_names_a_later_object() {
        let mut slots = Slots::new(2);
        let first = slots.insert('a').unwrap();
        let second = slots.insert('b').unwrap();
        assert_eq!((first, second, slots.insert('c')), ((0, 0), (1, 0), None));
        assert_eq!(slots.remove(0, 0), Some('a'));
        assert_eq!((slots.remove(0, 0), slots.get(0, 0)), (None, None));
        assert_eq!(slots.vacant(), Some((0, 1)));
        assert_eq!(slots.insert('d'), Some((0, 1)));
        assert_eq!((slots.get(0, 0), slots.get(0, 1)), (None, Some(&'d')));
        assert_eq!(slots.iter_mut().count(), 2);
    }
}
