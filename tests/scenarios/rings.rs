//! Pools of rings on a real provider: who may write what, and what comes home.

use smolsmc_rmb::{Pool, Returned, Ring, RingKind};
use smolsmc_tests::sim::{port_of, soft_nic};
use smolsmc_verbs::{MemoryUse, PdHandle, Provider, VerbsError};
use smolsmc_wire::RmbeSize;

const KIB_16: RmbeSize = RmbeSize::KIB_16;

/// More than any ring has.
const ALL: Returned = Returned::Clean { used: u32::MAX };

fn pool(octets: u64) -> (impl Provider, Pool, PdHandle) {
    let mut nic = soft_nic(0, 1);
    let pd = nic.alloc_pd(port_of(0).device).unwrap();
    let mut pool = Pool::new(octets);
    pool.add_domain(&mut nic, 0, pd).unwrap();
    (nic, pool, pd)
}

fn rkey<P: Provider>(pool: &Pool, ring: &Ring, domain: usize, _nic: &P) -> u32 {
    pool.keys(ring, domain).unwrap().rkey.0
}

#[test]
fn a_clean_ring_keeps_its_key_and_is_zeroed() {
    let (mut nic, mut pool, _) = pool(1 << 20);
    let ring = pool.take(&mut nic, RingKind::Send, KIB_16).unwrap();
    nic.outgoing(ring.memory, 0, 16).unwrap().fill(7);
    nic.outgoing(ring.memory, 1000, 1).unwrap().fill(7);
    let before = rkey(&pool, &ring, 0, &nic);
    assert!(!pool.is_announced(&ring));
    pool.announce(&ring, 0);
    pool.give_back(&mut nic, ring, Returned::Clean { used: 16 });
    let again = pool.take(&mut nic, RingKind::Send, KIB_16).unwrap();
    assert_eq!(again, ring);
    assert_eq!(rkey(&pool, &again, 0, &nic), before);
    assert!(pool.is_announced(&again));
    assert_eq!(nic.outgoing(again.memory, 0, 16).unwrap(), [0; 16]);
    assert_eq!(nic.outgoing(again.memory, 1000, 1).unwrap(), [7], "what was not used is not touched");
    assert_eq!((pool.stats().reused, pool.stats().in_use, pool.stats().free), (1, 1, 0));
}

#[test]
fn an_unclean_ring_is_never_seen_again() {
    let (mut nic, mut pool, _) = pool(1 << 20);
    let ring = pool.take(&mut nic, RingKind::Rmb, KIB_16).unwrap();
    let before = rkey(&pool, &ring, 0, &nic);
    pool.give_back(&mut nic, ring, Returned::Unclean);
    assert_eq!(pool.stats().octets, 0);
    assert!(nic.free_memory(ring.memory).is_err(), "it is freed already");
    let other = pool.take(&mut nic, RingKind::Rmb, KIB_16).unwrap();
    assert_ne!(rkey(&pool, &other, 0, &nic), before);
    // Given back twice it counts once.
    pool.give_back(&mut nic, other, ALL);
    pool.give_back(&mut nic, other, ALL);
    assert_eq!((pool.stats().in_use, pool.stats().free), (0, 1));
}

#[test]
fn kinds_and_sizes_are_not_mixed() {
    let (mut nic, mut pool, _) = pool(1 << 20);
    let rmb = pool.take(&mut nic, RingKind::Rmb, KIB_16).unwrap();
    pool.give_back(&mut nic, rmb, ALL);
    let send = pool.take(&mut nic, RingKind::Send, KIB_16).unwrap();
    let large = pool.take(&mut nic, RingKind::Rmb, RmbeSize::KIB_64).unwrap();
    assert_ne!(send.memory, rmb.memory);
    assert_ne!(large.memory, rmb.memory);
}

#[test]
fn the_next_smaller_size_is_taken_where_there_is_no_room() {
    let (mut nic, mut pool, _) = pool(100 << 10);
    let sizes: Vec<_> = (0..3)
        .map(|_| pool.take(&mut nic, RingKind::Rmb, RmbeSize::KIB_64).map(|ring| ring.size.octets() >> 10))
        .collect();
    assert_eq!(sizes[..2], [Ok(64), Ok(32)]);
    assert!(matches!(sizes[2], Err(VerbsError::Exhausted(_))), "4 KiB are left");
}

#[test]
fn every_ring_is_registered_in_every_domain() {
    let (mut nic, mut pool, _) = pool(1 << 20);
    let early = pool.take(&mut nic, RingKind::Rmb, KIB_16).unwrap();
    pool.announce(&early, 0);
    let second = nic.alloc_pd(port_of(1).device).unwrap();
    pool.add_domain(&mut nic, 1, second).unwrap();
    assert_eq!(pool.add_domain(&mut nic, 1, second), Err(VerbsError::InUse("protection domain")));
    assert!(!pool.is_announced(&early), "not on the new one");
    let late = pool.take(&mut nic, RingKind::Rmb, KIB_16).unwrap();
    let keys: Vec<_> = [early, late].iter().flat_map(|r| [0, 1].map(|d| rkey(&pool, r, d, &nic))).collect();
    for (n, key) in keys.iter().enumerate() {
        assert!(!keys[..n].contains(key), "{keys:?}");
    }
    assert_eq!(pool.told_of().len(), 2);
    // Without its link a domain goes, and the PD with it.
    assert!(nic.dealloc_pd(second).is_err());
    pool.remove_domain(&mut nic, 1);
    nic.dealloc_pd(second).unwrap();
    assert_eq!(pool.keys(&early, 1), None);
    assert!(pool.is_announced(&early));
}

#[test]
fn a_domain_that_cannot_take_all_rings_takes_none() {
    let (mut nic, mut pool, _) = pool(1 << 20);
    let second = nic.alloc_pd(port_of(1).device).unwrap();
    let rings: Vec<_> = (0..4).map(|_| pool.take(&mut nic, RingKind::Rmb, KIB_16).unwrap()).collect();
    // Uses up the NIC's registrations but two.
    let memory = nic.alloc_memory(64, MemoryUse::Incoming).unwrap();
    let mut spare = Vec::new();
    while let Ok(mr) = nic.register(second, memory, smolsmc_verbs::Access::LOCAL_WRITE) {
        spare.push(mr);
    }
    for mr in spare.drain(..2) {
        nic.deregister(mr).unwrap();
    }
    assert!(pool.add_domain(&mut nic, 1, second).is_err());
    assert!(rings.iter().all(|ring| pool.keys(ring, 1).is_none()));
    for mr in spare {
        nic.deregister(mr).unwrap();
    }
    nic.dealloc_pd(second).unwrap();
}

#[test]
fn all_comes_home() {
    let (mut nic, mut pool, pd) = pool(1 << 20);
    let rings: Vec<_> = (0..8).map(|_| pool.take(&mut nic, RingKind::Rmb, KIB_16).unwrap()).collect();
    for (n, ring) in rings.into_iter().enumerate() {
        pool.give_back(&mut nic, ring, if n % 2 == 0 { ALL } else { Returned::Unclean });
    }
    pool.clear(&mut nic);
    assert_eq!(pool.stats().octets, 0);
    nic.dealloc_pd(pd).unwrap();
}
