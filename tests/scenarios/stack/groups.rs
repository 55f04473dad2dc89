use smolsmc::{GroupNumber, SocketOptions, Transport};
use smolsmc_decode::Kind;
use smolsmc_tests::sim::{Random, host_config};
use smolsmc_wire::Duration;

use super::pair::{CLIENT, Pair, SERVER};

fn group(transport: Transport) -> (u32, bool) {
    match transport {
        Transport::SmcR { group: GroupNumber(number), first_contact, .. } => (number, first_contact),
        other => panic!("{other}"),
    }
}

#[test]
fn a_second_connection_uses_the_group_again() {
    let mut pair = Pair::new(21);
    let (client, server) = pair.connect();
    let (client2, server2) = pair.connect();
    for (number, (client, server)) in [(client, server), (client2, server2)].into_iter().enumerate() {
        assert_eq!(group(pair.transport(CLIENT, client)), (1, number == 0));
        assert_eq!(group(pair.transport(SERVER, server)), (1, number == 0));
        pair.transfer((CLIENT, client), (SERVER, server), 100_000);
        pair.transfer((SERVER, server), (CLIENT, client), 100_000);
    }
    // CONFIRM LINK, and a CONFIRM RKEY of each side, all with responses.
    assert_eq!(pair.said(Kind::Llc).len(), 6, "{:?}", pair.said(Kind::Llc));
}

#[test]
fn a_pooled_rmb_needs_no_round_trip() {
    let mut pair = Pair::new(22);
    for round in 0..5 {
        let (client, server) = pair.connect();
        assert_eq!(group(pair.transport(CLIENT, client)), (1, round == 0));
        pair.transfer((CLIENT, client), (SERVER, server), 70_000);
        pair.close(CLIENT, client);
        assert_eq!(pair.read_to_end((SERVER, server)), 0);
        pair.close(SERVER, server);
        pair.until_closed();
    }
    assert_eq!(pair.said(Kind::Llc).len(), 2, "CONFIRM LINK alone: {:?}", pair.said(Kind::Llc));
}

#[test]
fn connections_at_once_share_one_group() {
    let mut pair = Pair::new(23);
    let clients: Vec<_> = (0..20).map(|_| pair.begin(SocketOptions::default())).collect();
    let listener = pair.listener;
    let mut servers = Vec::new();
    pair.lan.until(Duration::from_secs(10), "all connections", |lan| {
        servers.extend(lan.stack(SERVER).accept(listener));
        servers.len() == clients.len()
    });
    let mut firsts = 0;
    for client in clients {
        let (number, first) = group(pair.transport(CLIENT, client));
        assert_eq!(number, 1);
        firsts += usize::from(first);
    }
    assert_eq!(firsts, 1);
    pair.explain();
}

#[test]
fn a_full_group_makes_place_for_another() {
    let mut pair = Pair::of(24, |_, config| config.max_conns = 16);
    let mut numbers = Vec::new();
    for _ in 0..18 {
        let (client, _) = pair.connect();
        numbers.push(group(pair.transport(CLIENT, client)));
    }
    assert_eq!(numbers.iter().filter(|(number, _)| *number == 1).count(), 16);
    assert_eq!(numbers[16..], [(2, true), (2, false)]);
    pair.explain();
}

#[test]
fn an_idle_group_ends_in_its_time() {
    let mut pair = Pair::of(25, |_, config| {
        config.timers.idle_server = Duration::from_secs(10);
        config.timers.idle_client = Duration::from_secs(12);
    });
    let (client, server) = pair.connect();
    pair.close(CLIENT, client);
    pair.close(SERVER, server);
    pair.until_closed();
    pair.lan.run_for(Duration::from_secs(8));
    assert!(!pair.lan.stack(CLIENT).is_idle());
    pair.lan.run_for(Duration::from_secs(6));
    assert!(pair.lan.stack(CLIENT).is_idle());
    assert!(pair.lan.stack(SERVER).is_idle());
    let said = pair.said(Kind::Llc);
    assert_eq!(said.iter().filter(|said| said.contains("DELETE LINK")).count(), 2, "{said:?}");
    // The next contact is a first one again.
    let (client, _) = pair.connect();
    assert_eq!(group(pair.transport(CLIENT, client)), (2, true));
}

#[test]
fn who_leaves_says_so_and_both_are_rid_of_the_group() {
    for leaver in [CLIENT, SERVER] {
        let mut pair = Pair::new(26);
        let (client, server) = pair.connect();
        pair.close(CLIENT, client);
        pair.close(SERVER, server);
        pair.until_closed();
        pair.lan.stack(leaver).leave();
        pair.lan.until(Duration::from_secs(10), "the end of the groups", |lan| {
            lan.stack(CLIENT).is_idle() && lan.stack(SERVER).is_idle()
        });
        pair.explain();
    }
}

#[test]
fn a_client_that_forgot_the_group_says_out_of_sync_and_both_recover() {
    // The same entropy makes the same peer ID: to the server nothing has changed.
    let mut pair = Pair::new(27);
    let (client, server) = pair.connect();
    pair.close(CLIENT, client);
    pair.close(SERVER, server);
    pair.until_closed();
    let same = host_config(CLIENT, &mut Random::new(27));
    pair.lan.restart(CLIENT, same);
    // Draws the ephemeral port that the server still knows from the old life.
    let nobody = std::net::SocketAddr::new(smolsmc_tests::sim::address_of(SERVER), 9);
    let _ = pair.lan.stack(CLIENT).connect(nobody, SocketOptions::default());
    let (client, server) = pair.connect();
    let said = format!("{} / {}", pair.transport(CLIENT, client), pair.transport(SERVER, server));
    assert_eq!(
        said,
        "TCP (we: 0x04000000 out of sync) / TCP (we: 0x05000000 peer declined; peer: 0x04000000 out of sync)"
    );
    pair.transfer((CLIENT, client), (SERVER, server), 10_000);
    let (client, server) = pair.connect();
    assert!(group(pair.transport(CLIENT, client)).1, "first contact");
    pair.transfer((CLIENT, client), (SERVER, server), 10_000);
}

#[test]
fn a_server_that_restarted_makes_a_new_group() {
    let mut pair = Pair::new(28);
    let (client, _) = pair.connect();
    pair.restart_server();
    let (client2, server2) = pair.connect();
    assert_eq!(group(pair.transport(CLIENT, client2)), (2, true));
    pair.transfer((CLIENT, client2), (SERVER, server2), 100_000);
    pair.close(CLIENT, client);
}

/// A ring goes to the next connection of its group without what the last one left in
/// it: sent, received, or only lent.
#[test]
fn a_ring_that_is_used_again_shows_nothing_of_its_last_connection() {
    for abort in [false, true] {
        let mut pair = Pair::new(151);
        let (client, server) = pair.connect();
        pair.transfer((CLIENT, client), (SERVER, server), 1000);
        pair.lan.stack(CLIENT).socket(client).unwrap().reserve(5000).unwrap().fill(7);
        pair.lan.stack(CLIENT).socket(client).unwrap().reserve(10).unwrap().fill(7);
        for (host, socket) in [(CLIENT, client), (SERVER, server)] {
            let socket = pair.lan.stack(host).socket(socket).unwrap();
            if abort { socket.abort() } else { socket.close() }
        }
        pair.until_closed();
        let (client, server) = pair.connect();
        let group = pair.lan.stack(CLIENT).groups()[0].clone();
        assert_eq!((group.rings.reused, group.rings.deregistered), (2, 0), "aborted: {abort}");
        let lent = pair.lan.stack(CLIENT).socket(client).unwrap().reserve(65_536).unwrap().to_vec();
        assert!(lent.iter().all(|octet| *octet == 0), "aborted: {abort}");
        pair.transfer((CLIENT, client), (SERVER, server), 1000);
    }
}
