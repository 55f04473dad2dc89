//! Octet `n` of a stream is a function of stream and `n`, never zero.

use std::sync::LazyLock;

use crate::sim::Random;

/// A prime, so that streams of like lengths do not fall in step.
const PERIOD: usize = 65_521;

static OCTETS: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut random = Random::new(0x5eed);
    // Twice, so that a stretch never has to wrap.
    let once: Vec<u8> = (0..PERIOD).map(|_| random.between(1, 255) as u8).collect();
    [once.clone(), once].concat()
});

/// The octets of `stream` from `position` on.
///
/// # Panics
/// If more than one period is asked for.
pub(super) fn octets(stream: u64, position: u64, len: usize) -> &'static [u8] {
    let from = (position + stream.wrapping_mul(7919)) % PERIOD as u64;
    &OCTETS[from as usize..][..len]
}
