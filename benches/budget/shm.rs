//! Both ends of a wire of shared memory on one thread.

#[path = "../shm/end.rs"]
#[allow(dead_code, reason = "the other benchmark's streams")]
mod end;
#[path = "../shm/ours.rs"]
#[allow(dead_code, reason = "the other benchmark's streams")]
mod ours;
#[path = "../shm/raw.rs"]
#[allow(dead_code, reason = "the other benchmark sleeps")]
mod raw;

use end::End;

/// Two ends, whose messages wait in shared memory for the other's turn.
pub(crate) struct Wire<E>([E; 2]);

impl Wire<ours::Ours> {
    pub(crate) fn ours() -> Self {
        Self(ours::Ours::pair())
    }
}

impl Wire<raw::Raw> {
    pub(crate) fn verbs() -> Self {
        Self(raw::Raw::pair())
    }
}

impl<E: End> Wire<E> {
    pub(crate) fn round_trip(&mut self, octets: &[u8], buffer: &mut [u8]) {
        let [a, b] = &mut self.0;
        a.send(octets);
        b.receive(buffer);
        b.send(buffer);
        a.receive(buffer);
        assert_eq!(octets, buffer);
    }
}
