//! Which stretches of the data memory are free: whole pages, first fit.

use crate::map::PAGE;

/// Free stretches, in order, none beside another.
#[derive(Debug)]
pub(super) struct Extents {
    free: Vec<Extent>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Extent {
    at: usize,
    len: usize,
}

/// Octets a piece of memory takes: whole pages.
pub(super) const fn pages(len: usize) -> Option<usize> {
    len.checked_next_multiple_of(PAGE)
}

impl Extents {
    /// All of `len` octets are free.
    pub(super) fn new(len: usize) -> Self {
        Self { free: vec![Extent { at: 0, len: len / PAGE * PAGE }] }
    }

    /// Takes whole pages for `len` octets; where they begin.
    pub(super) fn take(&mut self, len: usize) -> Option<usize> {
        let len = pages(len)?;
        let index = self.free.iter().position(|extent| extent.len >= len)?;
        let extent = self.free.get_mut(index)?;
        let at = extent.at;
        extent.at += len;
        extent.len -= len;
        if extent.len == 0 {
            self.free.remove(index);
        }
        Some(at)
    }

    /// Gives back what was taken for `len` octets.
    pub(super) fn give(&mut self, at: usize, len: usize) {
        let Some(len) = pages(len) else { return };
        let index = self.free.partition_point(|extent| extent.at < at);
        self.free.insert(index, Extent { at, len });
        self.merge(index);
        if let Some(before) = index.checked_sub(1) {
            self.merge(before);
        }
    }

    /// Joins a stretch with the next one if they touch.
    fn merge(&mut self, index: usize) {
        if let [one, other, ..] = self.free.get_mut(index..).unwrap_or_default()
            && one.at + one.len == other.at
        {
            one.len += other.len;
            self.free.remove(index + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Nothing is given out twice, and all of it comes back as one.
        #[test]
        fn stretches_never_overlap(steps in prop::collection::vec((any::<bool>(), 1_usize..40_000), 1..200)) {
            const LEN: usize = 1 << 19;
            let mut extents = Extents::new(LEN);
            let mut taken: Vec<(usize, usize)> = Vec::new();
            for (is_take, len) in steps {
                if is_take {
                    if let Some(at) = extents.take(len) {
                        let end = at + len;
                        prop_assert!(end <= LEN && at % PAGE == 0);
                        prop_assert!(taken.iter().all(|(other, len)| end <= *other || other + len <= at));
                        taken.push((at, len));
                    }
                } else if !taken.is_empty() {
                    let (at, len) = taken.swap_remove(len % taken.len());
                    extents.give(at, len);
                }
            }
            for (at, len) in taken {
                extents.give(at, len);
            }
            prop_assert_eq!(extents.free, vec![Extent { at: 0, len: LEN }]);
        }
    }
}
