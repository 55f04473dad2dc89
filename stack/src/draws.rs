//! Random numbers, one ChaCha stream per purpose.

use foldhash::SharedSeed;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use smolsmc_wire::{AlertToken, Psn};

/// How tables are hashed whose keys peers choose: who does not know its seed, a secret of
/// this stack, cannot choose keys that meet in one place.
pub(crate) type Secret = foldhash::fast::SeedableRandomState;

pub(crate) struct Draws {
    instance: ChaCha12Rng,
    psn: ChaCha12Rng,
    token: ChaCha12Rng,
    tcp: ChaCha12Rng,
    port: ChaCha12Rng,
    tables: ChaCha12Rng,
}

/// Ports drawn from for connections of our own (RFC 6335 §6).
const EPHEMERAL: core::ops::Range<u16> = 49152..65535;

impl Draws {
    pub(crate) fn new(entropy: [u8; 32]) -> Self {
        // Streams below 16 are those of a NIC made from the same entropy.
        let stream = |number| {
            let mut rng = ChaCha12Rng::from_seed(entropy);
            rng.set_stream(number);
            rng
        };
        Self {
            instance: stream(16),
            psn: stream(17),
            token: stream(18),
            tcp: stream(19),
            port: stream(20),
            tables: stream(21),
        }
    }

    /// Of one life of a stack; never 0, so that a peer ID never is.
    pub(crate) fn instance(&mut self) -> u16 {
        loop {
            let drawn = self.instance.next_u32() as u16;
            if drawn != 0 {
                return drawn;
            }
        }
    }

    pub(crate) fn psn(&mut self) -> Psn {
        Psn::new(self.psn.next_u32() >> 8)
    }

    pub(crate) fn token(&mut self) -> AlertToken {
        AlertToken(self.token.next_u32())
    }

    pub(crate) fn tcp_seed(&mut self) -> u64 {
        self.tcp.next_u64()
    }

    /// For the tables of this stack.
    pub(crate) fn secret(&mut self) -> Secret {
        Secret::with_seed(self.tables.next_u64(), SharedSeed::global_fixed())
    }

    pub(crate) fn ephemeral_port(&mut self) -> u16 {
        let ports = u32::from(EPHEMERAL.end - EPHEMERAL.start);
        EPHEMERAL.start + (self.port.next_u32() % ports) as u16
    }
}
