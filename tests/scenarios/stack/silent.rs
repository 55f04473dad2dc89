//! Answers that are sent without a completion of their own.

use smolsmc_wire::Duration;

use super::pair::{CLIENT, Pair, SERVER};

/// Messages on a host's only link that nobody has told to have arrived.
fn in_flight(pair: &mut Pair, host: usize) -> usize {
    pair.lan.stack(host).groups()[0].links[0].in_flight
}

#[test]
fn answers_complete_with_a_later_message_and_a_close_waits_for_them() {
    let mut pair = Pair::new(201);
    let (client, server) = pair.connect();
    for _ in 0..5 {
        pair.transfer((CLIENT, client), (SERVER, server), 100);
        pair.transfer((SERVER, server), (CLIENT, client), 100);
    }
    pair.lan.run_for(Duration::from_millis(5));
    // The client's first message answers nothing.
    assert_eq!((in_flight(&mut pair, CLIENT), in_flight(&mut pair, SERVER)), (4, 5));
    for _ in 0..20 {
        pair.transfer((CLIENT, client), (SERVER, server), 100);
        pair.transfer((SERVER, server), (CLIENT, client), 100);
        // Half of the usual limit of 16.
        assert!(in_flight(&mut pair, CLIENT) <= 8 && in_flight(&mut pair, SERVER) <= 8);
    }
    pair.close(CLIENT, client);
    pair.close(SERVER, server);
    pair.until_closed();
    assert_eq!((in_flight(&mut pair, CLIENT), in_flight(&mut pair, SERVER)), (0, 0));
    pair.explain();
}

#[test]
fn places_for_messages_do_not_run_out_by_answers() {
    for messages in [1, 2, 3, 4] {
        let mut pair = Pair::of(202, |_, config| config.limits.messages = messages);
        let (client, server) = pair.connect();
        for _ in 0..50 {
            pair.transfer((CLIENT, client), (SERVER, server), 10);
            pair.transfer((SERVER, server), (CLIENT, client), 10);
        }
        pair.explain();
    }
}

#[test]
fn a_ring_does_not_stay_full_by_answers() {
    let mut pair = Pair::new(203);
    let (client, server) = pair.connect();
    let ring = u64::from(smolsmc::RmbeSize::KIB_64.octets());
    for len in [1, ring / 2 - 1, ring / 2, ring / 2 + 1, ring - 1, ring, 3 * ring, 1, 1, 3 * ring] {
        pair.transfer((CLIENT, client), (SERVER, server), len);
        pair.transfer((SERVER, server), (CLIENT, client), len);
    }
    pair.lan.run_for(Duration::from_millis(5));
    let empty = pair.lan.stack(SERVER).socket(server).unwrap().reserve(usize::MAX).unwrap().len();
    assert!(empty > 0);
    pair.explain();
}
