//! What is counted is what a bystander sees, and what applications did.

use smolsmc::{RecvError, SendError, SocketHandle, SocketOptions, SocketStats};
use smolsmc_clc::Diagnosis;
use smolsmc_decode::Kind;
use smolsmc_tests::sim::Faults;
use smolsmc_wire::Duration;

use super::pair::{CLIENT, Pair, SERVER};

fn stats(pair: &mut Pair, host: usize, socket: SocketHandle) -> SocketStats {
    pair.lan.stack(host).socket(socket).unwrap().stats()
}

#[test]
fn a_socket_counts_what_was_done_with_it() {
    for plain_tcp in [false, true] {
        let mut options = SocketOptions::default();
        options.plain_tcp = plain_tcp;
        let mut pair = Pair::new(131);
        let (client, server) = pair.connect_with(options);
        for _ in 0..3 {
            let mut socket = pair.lan.stack(CLIENT).socket(client).unwrap();
            assert_eq!(socket.send(&[1; 100]), Ok(100));
            assert_eq!(socket.send_vectored(&[&[2; 10], &[3; 20]]), Ok(30));
            socket.reserve(5).unwrap();
            assert_eq!(socket.commit(5), Ok(5));
            pair.lan.run_for(Duration::from_millis(5));
        }
        let mut socket = pair.lan.stack(SERVER).socket(server).unwrap();
        assert_eq!(socket.recv(&mut [0; 200]), Ok(200));
        assert_eq!(socket.recv_vectored(&mut [&mut [0; 100], &mut [0; 100]]), Ok(200));
        assert_eq!(socket.peek(&mut [0; 3]), Ok(3), "is not counted");
        assert_eq!(socket.consume(100), 5);
        assert_eq!(socket.recv(&mut [0]), Err(RecvError::WouldBlock));
        let (sent, received) = (stats(&mut pair, CLIENT, client), stats(&mut pair, SERVER, server));
        assert_eq!((sent.octets_sent, sent.sends, sent.sends_blocked), (405, 9, 0));
        let counts = (received.octets_received, received.receives, received.receives_blocked);
        assert_eq!(counts, (405, 3, 1));
        for (host, want) in [(CLIENT, (405, 0)), (SERVER, (0, 405))] {
            let all = pair.lan.stack(host).stats();
            assert_eq!((all.octets_sent, all.octets_received), want);
            assert!(all.polls > all.idle_polls && all.idle_polls > 0);
        }
        let messages = (sent.messages.sent, sent.messages.writes, sent.messages.updates);
        assert_eq!(messages, if plain_tcp { (0, 0, 0) } else { (3, 3, 0) });
        assert_eq!(sent.messages.sent, received.messages.heard);
    }
}

/// Special calls, versions and sizes, as `smcr stats` has them.
#[test]
fn sizes_and_special_calls_of_smcr_are_counted_and_those_of_tcp_are_not() {
    for plain_tcp in [false, true] {
        let mut options = SocketOptions::default();
        options.plain_tcp = plain_tcp;
        let mut pair = Pair::new(139);
        let (client, server) = pair.connect_with(options);
        let mut socket = pair.lan.stack(CLIENT).socket(client).unwrap();
        socket.set_cork(true);
        socket.set_cork(false);
        socket.set_nodelay(true);
        assert_eq!(socket.send(&[1; 8192]), Ok(8192));
        assert_eq!(socket.send(&[1; 8193]), Ok(8193));
        assert_eq!(socket.send_urgent(7).is_ok(), !plain_tcp);
        pair.lan.run_for(Duration::from_millis(50));
        assert_eq!(pair.lan.stack(SERVER).socket(server).unwrap().recv(&mut [0; 20_000]), Ok(16_385));
        let here = pair.lan.stack(CLIENT).stats();
        let there = pair.lan.stack(SERVER).stats();
        let ours = (here.sends_by_size.0, here.corked, here.nodelays, here.smcr.messages.urgent_sent);
        let theirs = (there.receives_by_size.0, there.smcr.messages.urgent_heard, there.rmbs_by_size.0);
        if plain_tcp {
            assert_eq!(ours, ([0; 8], 0, 0, 0));
            assert_eq!(theirs, ([0; 8], 0, [0; 8]));
        } else {
            // The urgent octet is a call of its own.
            assert_eq!(ours, ([2, 1, 0, 0, 0, 0, 0, 0], 1, 1, 1));
            assert_eq!(theirs, ([0, 0, 1, 0, 0, 0, 0, 0], 1, [0, 0, 0, 1, 0, 0, 0, 0]));
        }
    }
}

/// A list of what there is, and sums that do not lose those that are gone.
#[test]
fn connections_are_listed_and_summed_up_beyond_their_end() {
    let mut pair = Pair::new(138);
    let (client, server) = pair.connect();
    pair.transfer((CLIENT, client), (SERVER, server), 100_000);
    pair.lan.stack(CLIENT).socket(client).unwrap().shutdown();
    pair.lan.run_for(Duration::from_millis(5));
    let here = stats(&mut pair, CLIENT, client);
    let [ours, theirs] = [CLIENT, SERVER].map(|host| pair.lan.stack(host).connections()[0]);
    assert_eq!((ours.socket, ours.stats, ours.error, ours.is_released), (client, here, None, false));
    assert_eq!((ours.local, ours.remote), (theirs.remote, theirs.local));
    assert_eq!((ours.state, theirs.state), ("PEERCLOSEWAIT1", "APPCLOSEWAIT1"));
    let (rings, peers) = (ours.rings.unwrap(), theirs.rings.unwrap());
    assert_eq!((rings.own, rings.peer, peers.peer), (peers.peer, peers.own, rings.own));
    assert_eq!((rings.readable, rings.waiting, rings.unacknowledged), (0, 0, 0));
    assert!(rings.space > 0 && rings.space <= rings.peer, "the peer tells of what it has read now and then");
    assert_eq!(pair.lan.stack(SERVER).listeners()[0].ready, 0);

    pair.close(SERVER, server);
    pair.close(CLIENT, client);
    pair.until_closed();
    assert_eq!(pair.lan.stack(CLIENT).connections(), []);
    let all = pair.lan.stack(CLIENT).stats().smcr;
    assert_eq!(
        (all.octets_sent, all.sends, all.messages.writes),
        (100_000, here.sends, here.messages.writes)
    );
    assert!(all.messages.sent > here.messages.sent, "its close is counted too");
}

#[test]
fn messages_are_counted_as_a_bystander_counts_them() {
    let mut pair = Pair::new(132);
    let (client, server) = pair.connect();
    pair.transfer((CLIENT, client), (SERVER, server), 500_000);
    pair.transfer((SERVER, server), (CLIENT, client), 500_000);
    // A full ring, both that of the peer and our own.
    let full = loop {
        match pair.lan.stack(CLIENT).socket(client).unwrap().send(&[0; 10_000]) {
            Ok(_) => pair.lan.run_for(Duration::from_millis(5)),
            Err(error) => break error,
        }
    };
    assert_eq!(full, SendError::WouldBlock);
    pair.lan.run_for(Duration::from_millis(50));
    let (here, there) = (stats(&mut pair, CLIENT, client), stats(&mut pair, SERVER, server));
    let heard = (here.messages.heard, there.messages.heard);
    assert_eq!(heard, (there.messages.sent, here.messages.sent));
    assert_eq!(pair.said(Kind::Cdc).len() as u64, here.messages.sent + there.messages.sent);
    assert!(here.messages.updates > 0 && here.messages.updates < here.messages.sent);
    assert!(here.messages.writes >= here.messages.sent - here.messages.updates);
    assert!(here.messages.blocked > 0 && here.sends_blocked > 0);

    let llc = pair.said(Kind::Llc).len() as u64;
    let links = [CLIENT, SERVER].map(|host| pair.lan.stack(host).groups()[0].links[0].clone());
    let all = here.messages.sent + there.messages.sent + llc;
    assert_eq!(links[0].messages_sent + links[1].messages_sent, all);
    assert_eq!(links[0].messages_sent, links[1].messages_received);
    assert_eq!(links[1].messages_sent, links[0].messages_received);
}

#[test]
fn work_of_links_is_counted_and_outlives_them() {
    let mut pair = Pair::new(135);
    let (client, server) = pair.connect();
    pair.lan.set_faults(CLIENT, Faults { loss: 0.1, ..Faults::default() });
    pair.transfer((CLIENT, client), (SERVER, server), 500_000);
    pair.lan.set_faults(CLIENT, Faults::default());
    let link = pair.lan.stack(CLIENT).groups()[0].links[0].clone();
    let messages = stats(&mut pair, CLIENT, client).messages;
    assert_eq!(link.work.requests, messages.writes + link.messages_sent);
    assert!(link.work.retransmitted > 0 && link.work.timeouts > 0, "{link:?}");
    assert!((1..=32).contains(&link.work.in_flight_most), "{link:?}");
    let counters = *pair.lan.stack(CLIENT).provider_mut().counters();
    let [before, _] = [CLIENT, SERVER].map(|host| pair.lan.stack(host).stats());
    assert_eq!(
        (before.work.retransmitted, before.work.timeouts),
        (counters.retransmitted, counters.timeouts)
    );
    assert!(before.longest_poll >= 4 && before.poll_work > before.longest_poll);
    assert!(before.poll_work >= before.polls - before.idle_polls);

    pair.close(CLIENT, client);
    pair.close(SERVER, server);
    pair.until_closed();
    [CLIENT, SERVER].into_iter().for_each(|host| pair.lan.stack(host).leave());
    pair.lan.until(Duration::from_secs(30), "the end", |lan| lan.stack(CLIENT).is_idle());
    let after = pair.lan.stack(CLIENT).stats();
    assert!(after.work.requests > before.work.requests, "the last words");
    assert!(after.work.retransmitted >= before.work.retransmitted);
}

/// One message at a time, and many connections that have one.
#[test]
fn waiting_for_a_place_is_counted() {
    let mut pair = Pair::of(136, |_, config| config.limits.messages = 1);
    let sockets: Vec<_> = (0..8).map(|_| pair.connect()).collect();
    for &(client, _) in &sockets {
        assert_eq!(pair.lan.stack(CLIENT).socket(client).unwrap().send(&[1; 100]), Ok(100));
    }
    pair.lan.run_for(Duration::from_millis(5));
    let work = pair.lan.stack(CLIENT).stats().work;
    assert!(work.slot_waits > 0 && work.test_waits == 0, "{work:?}");
}

#[test]
fn handshakes_are_counted_by_how_they_end() {
    let mut pair = Pair::new(133);
    let (client, server) = pair.connect();
    pair.connect();
    pair.connect();
    let mut plain = SocketOptions::default();
    plain.plain_tcp = true;
    pair.connect_with(plain);
    pair.close(CLIENT, client);
    pair.close(SERVER, server);
    pair.lan.run_for(Duration::from_secs(1));
    let [ours, theirs] = [CLIENT, SERVER].map(|host| pair.lan.stack(host).stats());
    assert_eq!((ours.first_contacts_as_client, ours.later_contacts_as_client), (1, 2));
    assert_eq!((theirs.first_contacts_as_server, theirs.later_contacts_as_server), (1, 2));
    assert_eq!((ours.plain_tcp, ours.fallback_reasons().count()), (1, 0));
    assert_eq!(theirs.fallbacks_for(Diagnosis::PEER_NO_SMC), 1);
    assert_eq!((ours.groups_made, ours.groups, ours.connections), (1, 1, 3));
    let groups = pair.lan.stack(SERVER).groups();
    assert_eq!((groups[0].connections, groups[0].connections_ever), (2, 3));

    // Three that are declined, one that is refused, one that is dropped.
    let mut pair = Pair::of(134, |host, config| {
        config.limits.handshakes = if host == SERVER { 3 } else { 100 };
        if host == SERVER {
            config.eids.clear();
        }
    });
    for _ in 0..3 {
        pair.connect();
    }
    for _ in 0..4 {
        pair.begin(SocketOptions::default());
    }
    pair.lan.run_for(Duration::from_millis(1));
    assert_eq!(pair.lan.stack(SERVER).stats().syns_dropped, 1);
    pair.lan.run_for(Duration::from_secs(3));
    let listener = pair.listener;
    pair.lan.stack(SERVER).unlisten(listener);
    pair.begin(SocketOptions::default());
    pair.lan.run_for(Duration::from_millis(10));
    let [ours, theirs] = [CLIENT, SERVER].map(|host| pair.lan.stack(host).stats());
    let declined: Vec<_> = ours.fallback_reasons().collect();
    assert_eq!(declined.len(), 1);
    assert_eq!((declined[0].as_client, declined[0].as_server), (7, 0));
    assert_eq!(declined[0].fallback.local, Some(Diagnosis::PEER_DECLINED));
    let theirs_for = theirs.fallback_reasons().next().unwrap();
    assert_eq!((theirs_for.fallback.local, theirs_for.as_server), (declined[0].fallback.peer, 7));
    assert_eq!((ours.handshakes_failed, theirs.handshakes_failed), (1, 0));
}
