use smolsmc_wire::{LinkNumber, Rkey};

use crate::{Ledger, LinkRkey, MAX_LINKS, MAX_PEER_RMBS};

fn key(link: u8, rkey: u32) -> LinkRkey {
    LinkRkey { link_number: LinkNumber(link), rkey: Rkey(rkey), address: u64::from(rkey) << 12 }
}

#[test]
fn keys_are_translated_from_link_to_link() {
    let mut ledger = Ledger::default();
    assert!(ledger.learn(key(1, 10)) && ledger.learn(key(1, 11)));
    assert!(ledger.learn_other(LinkNumber(1), Rkey(10), key(2, 20)));
    assert_eq!(ledger.translate(LinkNumber(1), Rkey(10), LinkNumber(2)), Some(key(2, 20)));
    assert_eq!(ledger.translate(LinkNumber(2), Rkey(20), LinkNumber(1)), Some(key(1, 10)));
    assert_eq!(ledger.translate(LinkNumber(1), Rkey(11), LinkNumber(2)), None);
    // The same number on another link is another key.
    assert_eq!(ledger.translate(LinkNumber(2), Rkey(10), LinkNumber(1)), None);
    assert!(!ledger.learn_other(LinkNumber(1), Rkey(99), key(2, 21)));
}

#[test]
fn a_pair_may_be_new() {
    let mut ledger = Ledger::default();
    assert!(ledger.learn_pair(LinkNumber(1), Rkey(10), key(2, 20)));
    assert_eq!(ledger.translate(LinkNumber(1), Rkey(10), LinkNumber(2)), Some(key(2, 20)));
    // Its address on the first link comes with CONFIRM RKEY.
    assert!(ledger.learn(key(1, 10)));
    assert_eq!(ledger.len(), 1);
    assert_eq!(ledger.translate(LinkNumber(2), Rkey(20), LinkNumber(1)), Some(key(1, 10)));
}

#[test]
fn a_link_goes_with_its_keys() {
    let mut ledger = Ledger::default();
    ledger.learn_pair(LinkNumber(1), Rkey(10), key(2, 20));
    ledger.learn(key(1, 11));
    ledger.forget_link(LinkNumber(1));
    assert_eq!(ledger.len(), 1, "the other one was known on that link only");
    assert_eq!(ledger.translate(LinkNumber(2), Rkey(20), LinkNumber(2)), Some(key(2, 20)));
    assert!(ledger.forget(LinkNumber(2), Rkey(20)) && !ledger.forget(LinkNumber(2), Rkey(20)));
    assert!(ledger.is_empty());
}

#[test]
fn a_link_may_turn_out_to_have_another_number() {
    let mut ledger = Ledger::default();
    ledger.learn(key(1, 10));
    ledger.renumber(LinkNumber(1), LinkNumber(5));
    assert!(!ledger.forget(LinkNumber(1), Rkey(10)));
    assert!(ledger.forget(LinkNumber(5), Rkey(10)));
}

#[test]
fn there_are_limits() {
    let mut ledger = Ledger::default();
    for rkey in 0..MAX_PEER_RMBS as u32 {
        assert!(ledger.learn(key(1, rkey)));
    }
    assert!(!ledger.learn(key(1, 1000)));
    assert!(!ledger.learn_pair(LinkNumber(1), Rkey(1000), key(2, 1)));
    for link in 2..=MAX_LINKS as u8 {
        assert!(ledger.learn_other(LinkNumber(1), Rkey(0), key(link, 5)));
    }
    assert!(!ledger.learn_other(LinkNumber(1), Rkey(0), key(9, 5)), "on too many links");
}
