//! How tables are hashed whose keys peers choose.

use core::hash::{BuildHasher, Hasher};

/// A secret of this stack: who does not know it cannot choose keys that meet in one
/// place of a table.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Secret {
    start: u64,
    factor: u64,
}

impl Secret {
    pub(crate) const fn new(start: u64, factor: u64) -> Self {
        // A factor of 0 would make all keys equal.
        Self { start, factor: factor | 1 }
    }
}

impl BuildHasher for Secret {
    type Hasher = Folding;

    fn build_hasher(&self) -> Folding {
        Folding { state: self.start, factor: self.factor }
    }
}

/// Each word goes in by a multiplication to 128 bits, whose halves are laid over each
/// other, as in wyhash.
pub(crate) struct Folding {
    state: u64,
    factor: u64,
}

impl Hasher for Folding {
    #[inline]
    fn write_u64(&mut self, word: u64) {
        let product = u128::from(self.state ^ word) * u128::from(self.factor);
        self.state = product as u64 ^ (product >> 64) as u64;
    }

    #[inline]
    fn write_u32(&mut self, word: u32) {
        self.write_u64(word.into());
    }

    fn write(&mut self, octets: &[u8]) {
        for chunk in octets.chunks(8) {
            let word = chunk.iter().fold(0, |word, octet| word << 8 | u64::from(*octet));
            self.write_u64(word);
        }
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.state
    }
}

#[cfg(test)]
#[path = "secret_tests.rs"]
mod tests;
