//! Spans against octets moved one by one. The pool is tested where there is a
//! provider: in the stack's scenarios.

use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use crate::Writes;

/// Moves octets as the plan says, and says whether it ever left a ring.
fn moved(writes: &Writes, send: &[u8], peer: &mut [u8]) {
    for write in writes.as_slice() {
        let mut to = write.to as usize;
        for piece in write.pieces() {
            for octet in &send[piece.offset as usize..][..piece.len as usize] {
                peer[to] = *octet;
                to += 1;
            }
        }
    }
}

proptest! {
    #[test]
    fn a_plan_moves_what_octets_one_by_one_would(
        sizes in (1usize..40, 1usize..40), places in (any::<usize>(), any::<usize>()), len in any::<usize>(),
    ) {
        let (send_size, peer_size) = sizes;
        let (from, to) = (places.0 % send_size, places.1 % peer_size);
        let len = len % (send_size.min(peer_size) + 1);
        let send: Vec<u8> = (1..=send_size as u8).collect();
        let mut want = vec![0; peer_size];
        for i in 0..len {
            want[(to + i) % peer_size] = send[(from + i) % send_size];
        }
        let writes = Writes::plan(from as u32, send_size as u32, to as u32, peer_size as u32, len as u32);
        let mut got = vec![0; peer_size];
        moved(&writes, &send, &mut got);
        prop_assert_eq!(got, want);
        let total: u32 = writes.as_slice().iter().map(crate::Write::len).sum();
        prop_assert_eq!(total as usize, len);
        for write in writes.as_slice() {
            prop_assert!(!write.is_empty());
            prop_assert!(write.pieces().iter().all(|piece| piece.len > 0));
        }
    }
}

#[test]
fn both_wraps_at_once_are_two_writes() {
    let writes = Writes::plan(6, 10, 8, 10, 6);
    let seen: Vec<_> = writes
        .as_slice()
        .iter()
        .map(|write| (write.to, write.pieces().iter().map(|p| (p.offset, p.len)).collect::<Vec<_>>()))
        .collect();
    assert_eq!(seen, [(8, vec![(6, 2)]), (0, vec![(8, 2), (0, 2)])]);
}
