//! Random numbers, one ChaCha stream per purpose: how many queue pairs were made
//! tells nothing about the keys, and a test that makes one more registration
//! sees the same queue pair numbers.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::Shard;

/// The streams.
#[derive(Debug)]
pub(super) struct Entropy {
    pub(super) qpn: ChaCha12Rng,
    pub(super) rkey: ChaCha12Rng,
    pub(super) lkey: ChaCha12Rng,
    pub(super) iova: ChaCha12Rng,
}

impl Entropy {
    pub(super) fn new(entropy: [u8; 32]) -> Self {
        let stream = |number| {
            let mut rng = ChaCha12Rng::from_seed(entropy);
            rng.set_stream(number);
            rng
        };
        Self { qpn: stream(1), rkey: stream(2), lkey: stream(3), iova: stream(4) }
    }

    /// A page-aligned address in the lower half of the address space, so that
    /// no length wraps it.
    pub(super) fn iova(&mut self) -> u64 {
        const PAGE: u64 = 4096;
        (self.iova.next_u64() >> 1) / PAGE * PAGE
    }
}

/// How a number that peers see is made: `shard | random | place`. The place
/// finds the object without a search, and is itself drawn at random among the
/// free ones; whoever shows the number must show all of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeySpace {
    bits: u32,
    place_bits: u32,
    shard: Shard,
}

impl KeySpace {
    /// Numbers of `bits` bits for objects in `places` places.
    pub(super) const fn new(bits: u32, places: u32, shard: Shard) -> Self {
        let place_bits = places.saturating_sub(1).checked_ilog2();
        let place_bits = match place_bits {
            Some(n) => n + 1,
            None => 0,
        };
        Self { bits, place_bits, shard }
    }

    /// Bits that are drawn at random beside the place.
    pub(super) const fn random_bits(&self) -> u32 {
        self.bits.saturating_sub(self.place_bits + self.shard.bits as u32)
    }

    /// A new number for the object in `place`, which is not one of `taken`.
    pub(super) fn draw(&self, rng: &mut impl Rng, place: u32, taken: &[u32]) -> u32 {
        loop {
            let random = low_bits(rng.next_u32(), self.random_bits()) << self.place_bits;
            let shard = u64::from(self.shard.value) << (self.bits - u32::from(self.shard.bits));
            let number = shard as u32 | random | place;
            if !taken.contains(&number) {
                return number;
            }
        }
    }

    /// The place of the object that may have this number.
    #[inline]
    pub(super) const fn place(&self, number: u32) -> u32 {
        low_bits(number, self.place_bits)
    }
}

const fn low_bits(value: u32, bits: u32) -> u32 {
    if bits >= u32::BITS { value } else { value & ((1 << bits) - 1) }
}
