//! A peer that posts its receives late, as Linux does: an ACK says nothing of
//! that, the answer to TEST LINK does.

use smolsmc::{Limits, SocketHandle};
use smolsmc_decode::Kind;
use smolsmc_wire::Duration;

use super::pair::{CLIENT, Pair, SERVER, recv_some, send_some};

/// Receives that a Linux peer posts.
const LINUX: u32 = 48;
const CONNECTIONS: usize = 40;

/// A server with as many receives as Linux, whose NIC acknowledges all that
/// comes, and which works on one completion at a time: it posts late. The client
/// believes that it posts `believed`.
fn late_server(seed: u64, believed: u32) -> (Pair, Vec<(SocketHandle, SocketHandle)>) {
    let mut pair = Pair::of(seed, |host, config| {
        config.autocork = 0;
        config.limits.peer_receives = believed;
        if host == SERVER {
            config.limits.receives = LINUX;
            config.limits.completions = 1;
        }
    });
    let sockets = (0..CONNECTIONS).map(|_| pair.connect()).collect();
    (pair, sockets)
}

fn rnr_naks(pair: &mut Pair, host: usize) -> u64 {
    pair.lan.stack(host).provider_mut().counters().naks_received.rnr
}

/// All connections send `len` octets each in small pieces to a server that is
/// late by then.
fn flood(pair: &mut Pair, sockets: &[(SocketHandle, SocketHandle)], len: u64) {
    pair.lan.set_pace(SERVER, Duration::from_micros(40));
    let mut done = vec![(0, 0); sockets.len()];
    pair.lan.until(Duration::from_secs(60), "all octets", |lan| {
        for (number, (&(client, server), (sent, received))) in sockets.iter().zip(&mut done).enumerate() {
            let stream = number as u64;
            *sent += send_some(lan, (CLIENT, client), stream, *sent, len.min(*sent + 50));
            *received += recv_some(lan, (SERVER, server), stream, *received).unwrap_or(0);
        }
        done.iter().all(|done| *done == (len, len))
    });
}

/// The bound holds, and without it the same peer answers RNR NAK.
#[test]
fn what_a_peer_has_no_receive_for_is_not_sent() {
    let (mut pair, sockets) = late_server(901, LINUX);
    flood(&mut pair, &sockets, 2000);
    assert_eq!(rnr_naks(&mut pair, CLIENT), 0);
    let link = pair.lan.stack(CLIENT).groups()[0].links[0].clone();
    assert!(link.work.unproven_most <= u64::from(LINUX), "{} unproven", link.work.unproven_most);
    assert!(link.work.tests_sent > 3 && link.work.test_waits > 0, "{link:?}");
    // One probe about every half of the peer's receives.
    assert!(link.work.tests_sent <= link.messages_sent / u64::from(LINUX / 2) + 1, "{link:?}");
    let all = pair.lan.stack(CLIENT).stats();
    assert_eq!((all.work, all.work.rnr_naks_received), (link.work, 0));
    pair.explain();

    let (mut pair, sockets) = late_server(901, u32::MAX);
    flood(&mut pair, &sockets, 2000);
    assert!(rnr_naks(&mut pair, CLIENT) > 0, "the peer was not late after all");
    let work = pair.lan.stack(CLIENT).groups()[0].links[0].work;
    assert_eq!((work.tests_sent, work.rnr_naks_received), (0, rnr_naks(&mut pair, CLIENT)));
    assert_eq!(pair.lan.stack(SERVER).groups()[0].work.rnr_naks_sent, work.rnr_naks_received);
}

/// Question and answer prove as much: nobody has to be asked.
#[test]
fn what_the_peer_has_read_it_has_handled() {
    let mut pair = Pair::new(902);
    let (client, server) = pair.connect();
    for _ in 0..200 {
        pair.transfer((CLIENT, client), (SERVER, server), 1);
        pair.transfer((SERVER, server), (CLIENT, client), 1);
    }
    assert_eq!(pair.said(Kind::Llc).len(), 2, "CONFIRM LINK, and no TEST LINK");
    for host in [CLIENT, SERVER] {
        let link = pair.lan.stack(host).groups()[0].links[0].clone();
        assert!(link.messages_sent >= 200 && link.unproven <= 4, "{link:?}");
    }
}

/// Both links are full, each side's answer waits behind the other's: it must
/// not.
#[test]
fn two_hosts_that_are_late_do_not_wait_for_each_other() {
    let mut pair = Pair::of(903, |_, config| {
        config.autocork = 0;
        config.limits.peer_receives = 16;
    });
    let sockets: Vec<_> = (0..CONNECTIONS).map(|_| pair.connect()).collect();
    for host in [CLIENT, SERVER] {
        pair.lan.set_pace(host, Duration::from_micros(10));
    }
    let len = 500;
    let mut done = vec![[0; 4]; sockets.len()];
    pair.lan.until(Duration::from_secs(60), "all octets", |lan| {
        for (&(client, server), [out, there, back, here]) in sockets.iter().zip(&mut done) {
            *out += send_some(lan, (CLIENT, client), 1, *out, len.min(*out + 20));
            *there += recv_some(lan, (SERVER, server), 1, *there).unwrap_or(0);
            *back += send_some(lan, (SERVER, server), 2, *back, len.min(*back + 20));
            *here += recv_some(lan, (CLIENT, client), 2, *here).unwrap_or(0);
        }
        done.iter().all(|done| *done == [len; 4])
    });
    for (client, server) in sockets {
        pair.close(CLIENT, client);
        pair.close(SERVER, server);
    }
    pair.until_closed();
}

/// A peer that takes messages and never answers TEST LINK is given up.
#[test]
fn a_peer_that_never_answers_is_given_up_in_bounded_time() {
    let mut pair = Pair::of(904, |_, config| config.autocork = 0);
    let (client, server) = pair.connect();
    pair.transfer((CLIENT, client), (SERVER, server), 1);
    // Its answers become something that nobody knows.
    pair.lan.meddler = Some(Box::new(move |host, frame| {
        let is_answer = host == SERVER && frame.get(54) == Some(&0x27) && frame.get(57) == Some(&0x80);
        if is_answer {
            frame[54] = 0x3e;
            let end = frame.len() - 4;
            let icrc = smolsmc_roce::packet::icrc(&frame[14..end]).expect("a RoCE packet");
            frame[end..].copy_from_slice(&icrc.to_le_bytes());
        }
    }));
    // Many small messages, of which none is read.
    for n in 0..200 {
        send_some(&mut pair.lan, (CLIENT, client), 7, n, n + 1);
        (0..20).for_each(|_| pair.lan.step_within(Duration::from_micros(50)));
    }
    let link = pair.lan.stack(CLIENT).groups()[0].links[0].clone();
    assert_eq!((link.work.tests_sent, link.unproven, link.work.test_waits), (1, 40, 1), "{link:?}");
    pair.lan.until(Duration::from_secs(40), "the failure", |lan| {
        lan.stack(CLIENT).socket(client).unwrap().error().is_some()
    });
}

/// A limit of one completion took a whole batch.
#[test]
fn a_poll_takes_no_more_completions_than_it_may() {
    for most in [1, 5, 32, 33] {
        let mut pair = Pair::of(905, |_, config| {
            config.autocork = 0;
            config.limits.completions = most;
        });
        let sockets: Vec<_> = (0..20).map(|_| pair.connect()).collect();
        for &(client, _) in &sockets {
            send_some(&mut pair.lan, (CLIENT, client), 7, 0, 1);
        }
        let before = pair.lan.stack(SERVER).groups()[0].links[0].messages_received;
        pair.lan.set_pace(SERVER, Duration::from_secs(1));
        pair.lan.run_for(Duration::from_millis(10));
        pair.lan.set_pace(SERVER, Duration::from_secs(1));
        pair.lan.step_within(Duration::from_micros(1));
        let taken = pair.lan.stack(SERVER).groups()[0].links[0].messages_received - before;
        // Twice in a poll: at its start, and behind the frames.
        assert!(taken > 0 && taken <= 2 * most as u64, "{taken} with {most}");
    }
}

#[test]
fn a_peer_with_fewer_than_sixteen_receives_is_refused() {
    let mut limits = Limits::USUAL;
    limits.peer_receives = 15;
    let mut config = smolsmc_tests::sim::host_config(CLIENT, &mut smolsmc_tests::sim::Random::new(1));
    config.limits = limits;
    let refused = smolsmc::soft(config, smolsmc_wire::Instant::from_millis(1)).map(|_| ()).unwrap_err();
    assert_eq!(refused.to_string(), "peer_receives must be at least 16, not 15");
}
