use alloc::collections::BTreeSet;
use core::hash::BuildHasher;
use core::net::SocketAddr;

use super::Secret;
use crate::port::Tuple;

fn tuple(port: usize, local: &str, remote: &str) -> Tuple {
    let at = |text: &str| text.parse::<SocketAddr>().unwrap();
    Tuple { port, local: at(local), remote: at(remote) }
}

#[test]
fn each_of_the_numbers_of_a_connection_counts() {
    let secret = Secret::new(0x1234_5678_9abc_def0, 0x9e37_79b9_7f4a_7c15);
    let tuples = [
        tuple(0, "10.9.0.1:1000", "10.9.0.2:2000"),
        tuple(1, "10.9.0.1:1000", "10.9.0.2:2000"),
        tuple(0, "10.9.0.1:1001", "10.9.0.2:2000"),
        tuple(0, "10.9.0.1:1000", "10.9.0.2:2001"),
        tuple(0, "10.9.0.1:2000", "10.9.0.2:1000"),
        tuple(0, "10.9.0.3:1000", "10.9.0.2:2000"),
        tuple(0, "10.9.0.1:1000", "10.9.0.3:2000"),
        tuple(0, "[fd00::1]:1000", "[fd00::2]:2000"),
        tuple(0, "[fd00::1]:1000", "[fd01::2]:2000"),
        tuple(0, "[fd01::1]:1000", "[fd00::2]:2000"),
    ];
    let hashes: BTreeSet<u64> = tuples.iter().map(|tuple| secret.hash_one(tuple)).collect();
    assert_eq!(hashes.len(), tuples.len());
    let other = Secret::new(0x1234_5678_9abc_def1, 0x9e37_79b9_7f4a_7c15);
    assert!(tuples.iter().all(|tuple| secret.hash_one(tuple) != other.hash_one(tuple)));
}

/// Ports in a row, as a table sees them: by the low bits of the hash.
#[test]
fn ports_in_a_row_are_spread() {
    let secret = Secret::new(7, 0xd1b5_4a32_d192_ed03);
    let mut places = [0_u32; 256];
    for port in 0..16_384_u16 {
        let local = SocketAddr::from(([10, 9, 0, 1], 49_152 + port));
        let tuple = Tuple { port: 0, local, remote: SocketAddr::from(([10, 9, 0, 2], 5000)) };
        places[(secret.hash_one(tuple) & 255) as usize] += 1;
    }
    // 64 each on average.
    assert!(places.iter().all(|count| (20..130).contains(count)), "{places:?}");
}
