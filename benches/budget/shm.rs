//! Both ends of a wire of shared memory on one thread.

use smolsmc_perf::{End, Ours, Raw};

/// Two ends, whose messages wait in shared memory for the other's turn.
pub(crate) struct Wire<E>([E; 2]);

impl Wire<Ours> {
    pub(crate) fn ours() -> Self {
        Self(Ours::pair().expect("a connection"))
    }
}

impl Wire<Raw> {
    pub(crate) fn verbs() -> Self {
        Self(Raw::pair().expect("a queue pair"))
    }
}

impl<E: End> Wire<E> {
    pub(crate) fn round_trip(&mut self, octets: &[u8], buffer: &mut [u8]) {
        let [a, b] = &mut self.0;
        let mut trip = || {
            a.send(octets)?;
            b.receive(buffer)?;
            b.send(buffer)?;
            a.receive(buffer)
        };
        trip().expect("both ends are here");
        assert_eq!(octets, buffer);
    }
}
