//! Random numbers, one ChaCha stream per purpose.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The streams.
#[derive(Debug)]
pub(super) struct Entropy {
    pub(super) qpn: ChaCha12Rng,
    pub(super) rkey: ChaCha12Rng,
    pub(super) lkey: ChaCha12Rng,
    iova: ChaCha12Rng,
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

/// A number of `bits` bits for the object in `place` of `places`, a power of
/// two: the place below, random above; none of `taken`.
pub(super) fn draw(rng: &mut impl Rng, bits: u32, places: u32, place: u32, taken: &[u32]) -> u32 {
    let all = u32::MAX >> (u32::BITS - bits);
    loop {
        let number = (rng.next_u32() & all & !(places - 1)) | place;
        if !taken.contains(&number) {
            return number;
        }
    }
}
