//! Bugs that random lives and the fuzzer found, each with a test of its name.

use std::net::SocketAddr;

use smolsmc::{ConfigError, ConnectionError, Eid, RecvError, SocketOptions, SoftNic, Stack, Transport};
use smolsmc_tests::sim::{Faults, Random, address_of, host_config, second_port};
use smolsmc_wire::{Duration, Instant};

use super::meddling::{CONFIRM, clc, llc};
use super::pair::{CLIENT, PORT, Pair, SERVER, recv_some, send_some};

fn plain() -> SocketOptions {
    let mut options = SocketOptions::default();
    options.plain_tcp = true;
    options
}

fn strict_listener() -> smolsmc::ListenOptions {
    let mut options = smolsmc::ListenOptions::USUAL;
    options.socket.strict = true;
    options
}

/// What a stack holds but for listeners and reminders, and how many link groups.
fn left(stack: &Stack<SoftNic>) -> (usize, usize, usize, usize) {
    let held = stack.held();
    (held.connections + held.tuples, held.handshakes + held.backlog, held.tokens, held.queued)
}

#[test]
fn a_strict_server_that_declines_is_rid_of_the_handshake() {
    let mut pair = Pair::of(61, |host, config| {
        config.eids[0] = Eid::from_ascii(if host == CLIENT { "ONE" } else { "OTHER" }).unwrap();
    });
    let local = SocketAddr::new(address_of(SERVER), PORT + 1);
    pair.lan.stack(SERVER).listen(local, strict_listener()).unwrap();
    for _ in 0..3 {
        let client = pair.lan.stack(CLIENT).connect(local, SocketOptions::default()).unwrap();
        pair.lan.run_for(Duration::from_millis(50));
        pair.close(CLIENT, client);
    }
    pair.until_closed();
    assert_eq!(left(pair.lan.stack(SERVER)), (0, 0, 0, 0));
}

#[test]
fn a_reset_after_our_own_shutdown_is_no_orderly_end() {
    let mut pair = Pair::new(62);
    let (client, server) = pair.connect_with(plain());
    pair.lan.stack(CLIENT).socket(client).unwrap().shutdown();
    send_some(&mut pair.lan, (SERVER, server), 7, 0, 10_000);
    pair.lan.stack(SERVER).socket(server).unwrap().abort();
    pair.lan.run_for(Duration::from_millis(50));
    while recv_some_or_error(&mut pair, client).is_ok() {}
    assert_eq!(recv_some_or_error(&mut pair, client), Err(RecvError::Over(ConnectionError::Reset)));
}

/// Octets, not 0 of them.
fn recv_some_or_error(pair: &mut Pair, client: smolsmc::SocketHandle) -> Result<usize, RecvError> {
    let received = pair.lan.stack(CLIENT).socket(client).unwrap().recv(&mut [0; 100]);
    assert_ne!(received, Ok(0), "an orderly end");
    received
}

#[test]
fn a_listener_that_goes_takes_handshakes_with_it() {
    // In each state of the handshake, and just after it.
    for micros in (0..300).step_by(10) {
        let mut pair = Pair::new(63);
        let client = pair.begin(SocketOptions::default());
        pair.lan.run_for(Duration::from_micros(micros));
        let listener = pair.listener;
        pair.lan.stack(SERVER).unlisten(listener);
        pair.lan.until(Duration::from_secs(30), "the error", |lan| {
            lan.stack(CLIENT).socket(client).unwrap().error().is_some()
                || lan.stack(CLIENT).socket(client).unwrap().readiness().failed
        });
        pair.close(CLIENT, client);
        pair.until_closed();
        assert_eq!(left(pair.lan.stack(SERVER)), (0, 0, 0, 0), "after {micros} us");
    }
}

/// Nothing that is kept of a connection outlives it: not its place among those
/// that wait for a neighbour's address, nor the reminders of its deadlines.
#[test]
fn connections_that_are_gone_wait_for_nothing() {
    let mut pair = Pair::new(64);
    for _ in 0..5 {
        let (client, server) = pair.connect_with(plain());
        pair.close(CLIENT, client);
        pair.close(SERVER, server);
        pair.until_closed();
    }
    for host in [CLIENT, SERVER] {
        assert_eq!(left(pair.lan.stack(host)), (0, 0, 0, 0));
        assert_eq!(pair.lan.stack(host).held().reminders, 0);
    }
}

#[test]
fn who_is_called_in_vain_is_forgotten() {
    let mut pair = Pair::new(65);
    let nobody = SocketAddr::new(address_of(7), PORT);
    let mut calls = Vec::new();
    for _ in 0..2 {
        calls.push(pair.lan.stack(CLIENT).connect(nobody, SocketOptions::default()).unwrap());
    }
    pair.lan.run_for(Duration::from_secs(1));
    pair.close(CLIENT, calls[0]);
    pair.lan.run_for(Duration::from_secs(21));
    assert!(matches!(pair.error(CLIENT, calls[1]), Some(ConnectionError::TimedOut(_))));
    pair.close(CLIENT, calls[1]);
    pair.until_closed();
    assert_eq!(left(pair.lan.stack(CLIENT)), (0, 0, 0, 0));
}

/// Whoever gave up before anybody had answered waited on, with its port and its place
/// among the connections, for a neighbour that does not exist.
#[test]
fn who_gives_up_before_an_answer_is_gone_at_once() {
    let mut pair = Pair::new(77);
    let nobody = SocketAddr::new(address_of(7), PORT);
    let call = pair.lan.stack(CLIENT).connect(nobody, SocketOptions::default()).unwrap();
    pair.lan.run_for(Duration::from_millis(100));
    pair.close(CLIENT, call);
    pair.lan.run_for(Duration::from_millis(1));
    assert_eq!(left(pair.lan.stack(CLIENT)), (0, 0, 0, 0));
}

/// A Confirm that was on its way when the server's link failed is not taken for
/// octets of the application.
#[test]
fn a_link_that_fails_before_the_confirm_leaves_clean_streams() {
    let mut pair = Pair::new(66);
    let client = pair.begin(SocketOptions::default());
    pair.lan.until(Duration::from_secs(1), "the group", |lan| !lan.stack(SERVER).groups().is_empty());
    let qp = pair.lan.stack(SERVER).groups()[0].links[0].qp;
    pair.lan.stack(SERVER).provider_mut().fail_qp(qp).unwrap();
    let server = both_ways(&mut pair, client);
    assert!(matches!(pair.transport(SERVER, server), Transport::Tcp(_)));
}

/// Both sides decline at about the same time: each has said no before it hears
/// the other's.
#[test]
fn declines_that_cross_leave_clean_streams() {
    let mut crossed = 0;
    for millis in [20, 100, 200] {
        for later in 0..8 {
            let delay = Duration::from_millis(millis);
            // The client declines when CONFIRM LINK has not come and then the server
            // has said nothing for the time of a CLC message; the server, some time
            // before or after.
            let mut pair = Pair::of(67, |host, config| match host {
                CLIENT => {
                    config.timers.link.confirm_link_request = Duration::from_millis(500);
                    config.timers.clc = Duration::from_millis(1000);
                }
                _ => {
                    let patience = Duration::from_millis(1500 + millis * later / 2 - millis);
                    config.timers.link.confirm_link_response = patience;
                }
            });
            pair.lan.meddler = Some(llc(0x21, false, |m| m[0] = 0x2f));
            for host in [CLIENT, SERVER] {
                pair.lan.set_faults(host, Faults { delay, ..Faults::default() });
            }
            let client = pair.begin(SocketOptions::default());
            let server = both_ways(&mut pair, client);
            let said = |transport| matches!(transport, Transport::Tcp(fallback) if fallback.peer.is_none());
            let both = said(pair.transport(CLIENT, client)) && said(pair.transport(SERVER, server));
            crossed += usize::from(both);
        }
    }
    assert!(crossed > 2, "{crossed}");
}

/// Accepts, and moves octets both ways at once.
fn both_ways(pair: &mut Pair, client: smolsmc::SocketHandle) -> smolsmc::SocketHandle {
    let (mut server, mut sent, mut received) = (None, [0; 2], [0; 2]);
    let listener = pair.listener;
    pair.lan.until(Duration::from_secs(60), "the octets", |lan| {
        server = server.or_else(|| lan.stack(SERVER).accept(listener));
        let Some(server) = server else { return false };
        for (side, ends) in [[(CLIENT, client), (SERVER, server)], [(SERVER, server), (CLIENT, client)]]
            .into_iter()
            .enumerate()
        {
            let stream = side as u64;
            if sent[side] < 5000 {
                sent[side] += send_some(lan, ends[0], stream, sent[side], 5000);
            }
            received[side] += recv_some(lan, ends[1], stream, received[side]).unwrap_or(0);
        }
        received == [5000, 5000]
    });
    server.unwrap()
}

#[test]
fn what_was_not_read_before_time_wait_is_over_can_be_read_after_it() {
    let mut pair = Pair::new(68);
    let (client, server) = pair.connect_with(plain());
    let sent = send_some(&mut pair.lan, (SERVER, server), 7, 0, 5000);
    pair.lan.stack(CLIENT).socket(client).unwrap().shutdown();
    pair.lan.run_for(Duration::from_millis(20));
    pair.close(SERVER, server);
    pair.lan.run_for(Duration::from_secs(30));
    assert_eq!(pair.read_to_end((CLIENT, client)), sent);
    pair.close(CLIENT, client);
    pair.until_closed();
}

#[test]
fn limits_of_nothing_are_refused() {
    let zero: [fn(&mut smolsmc::Limits); 6] = [
        |limits| limits.receives = 0,
        |limits| limits.messages = 0,
        |limits| limits.write_turn = 0,
        |limits| limits.octets = 0,
        |limits| limits.frames = 0,
        |limits| limits.completions = 0,
    ];
    for zero in zero {
        let mut config = host_config(0, &mut Random::new(1));
        zero(&mut config.limits);
        let refused = smolsmc::soft(config, Instant::ZERO).err().unwrap();
        assert!(matches!(refused, smolsmc::SoftError::Stack(ConfigError::NoneAllowed(_))), "{refused}");
    }
}

/// The server may write already: were the rings gone, it would lose the link
/// and all that goes over it.
#[test]
fn a_close_while_add_link_is_waited_for_is_heard_as_one() {
    let mut pair = Pair::of(69, second_port);
    let client = pair.begin(SocketOptions::default());
    let (listener, mut server) = (pair.listener, None);
    pair.lan.until(Duration::from_secs(5), "the server's end", |lan| {
        server = server.or_else(|| lan.stack(SERVER).accept(listener));
        server.is_some()
    });
    let server = server.unwrap();
    assert_eq!(pair.lan.stack(CLIENT).socket(client).unwrap().transport(), None, "ADD LINK is waited for");
    send_some(&mut pair.lan, (SERVER, server), 7, 0, 1000);
    pair.lan.stack(CLIENT).socket(client).unwrap().abort();
    pair.lan.until(Duration::from_secs(5), "the abort", |lan| {
        lan.stack(SERVER).socket(server).unwrap().error() == Some(ConnectionError::PeerAborted)
    });
}

/// Its queue pairs go two seconds after they failed, a handshake that waits for
/// a Confirm in vain four seconds later.
#[test]
fn a_group_whose_links_are_gone_ends_with_its_last_handshake() {
    let mut pair = Pair::new(75);
    pair.begin(SocketOptions::default());
    pair.lan.until(Duration::from_secs(1), "the group", |lan| !lan.stack(SERVER).groups().is_empty());
    pair.lan.set_faults(CLIENT, Faults { loss: 1.0, ..Faults::default() });
    let qp = pair.lan.stack(SERVER).groups()[0].links[0].qp;
    pair.lan.stack(SERVER).provider_mut().fail_qp(qp).unwrap();
    pair.lan.run_for(Duration::from_secs(5));
    let held = pair.lan.stack(SERVER).held();
    assert_eq!((held.groups, held.queue_pairs, held.tokens), (1, 0, 1));
    pair.lan.run_for(Duration::from_secs(5));
    let held = pair.lan.stack(SERVER).held();
    assert_eq!((held.groups, held.queue_pairs, held.tokens), (0, 0, 0));
}

#[test]
fn a_group_whose_client_is_declined_late_is_given_back() {
    let mut pair = Pair::new(70);
    pair.lan.block_roce(CLIENT, true);
    let (client, _) = {
        let client = pair.begin(SocketOptions::default());
        (client, both_ways(&mut pair, client))
    };
    assert!(matches!(pair.transport(CLIENT, client), Transport::Tcp(_)));
    pair.lan.run_for(Duration::from_secs(5));
    assert_eq!(pair.lan.stack(CLIENT).groups(), []);
    let objects = pair.lan.stack(CLIENT).provider_mut().objects();
    assert_eq!((objects.pds, objects.qps, objects.memories, objects.mrs), (0, 0, 0, 0));
}

/// The server declines what to the client is SMC-R already: that connection goes
/// on over TCP, and the group, with the others in it, as it is.
#[test]
fn a_late_decline_of_a_later_contact_ends_no_group() {
    let mut pair = Pair::new(74);
    let (client, server) = pair.connect();
    // A Confirm whose RMB cannot be.
    pair.lan.meddler = Some(clc(CONFIRM, |message| message[52..60].fill(0xff)));
    let declined = pair.begin(SocketOptions::default());
    let other_end = both_ways(&mut pair, declined);
    for (host, socket) in [(CLIENT, declined), (SERVER, other_end)] {
        assert!(matches!(pair.transport(host, socket), Transport::Tcp(_)), "{host}");
    }
    assert_eq!(pair.lan.stack(CLIENT).stats().late_fallbacks, 1);
    pair.lan.meddler = None;
    pair.lan.run_for(Duration::from_secs(5));
    pair.transfer((CLIENT, client), (SERVER, server), 20_000);
    pair.transfer((SERVER, server), (CLIENT, client), 20_000);
    let (third, _) = pair.connect();
    assert!(matches!(pair.transport(CLIENT, third), Transport::SmcR { first_contact: false, .. }));
    for host in [CLIENT, SERVER] {
        assert_eq!(pair.lan.stack(host).groups().len(), 1);
    }
}

#[test]
fn an_idle_connection_is_not_reset() {
    for (options, shut) in [(plain(), false), (plain(), true), (SocketOptions::default(), false)] {
        let mut pair = Pair::new(71);
        let (client, server) = pair.connect_with(options);
        pair.transfer((CLIENT, client), (SERVER, server), 100);
        if shut {
            pair.lan.stack(CLIENT).socket(client).unwrap().shutdown();
        }
        pair.lan.run_for(Duration::from_secs(90));
        pair.transfer((SERVER, server), (CLIENT, client), 1000);
        assert!(!pair.said(smolsmc_decode::Kind::Tcp).iter().any(|said| said.contains("RST")));
        pair.close(CLIENT, client);
        pair.close(SERVER, server);
        pair.until_closed();
    }
}

/// Who gives up before the link is confirmed does not confirm it afterwards:
/// the server would write where nothing is any more.
#[test]
fn a_handshake_that_was_closed_confirms_no_link() {
    let mut pair = Pair::new(72);
    let client = pair.begin(SocketOptions::default());
    // The Confirm is said, CONFIRM LINK not heard.
    pair.lan
        .until(Duration::from_secs(1), "the client's group", |lan| !lan.stack(CLIENT).groups().is_empty());
    // The RST comes late.
    pair.lan.set_faults(CLIENT, Faults { delay: Duration::from_millis(10), ..Faults::default() });
    pair.close(CLIENT, client);
    pair.lan.run_for(Duration::from_secs(20));
    let said = pair.said(smolsmc_decode::Kind::Llc);
    assert!(!said.iter().any(|said| said.contains("CONFIRM LINK response")), "{said:?}");
    pair.until_closed();
}

/// C is not said before the octets that are written again on the other link.
#[test]
fn a_close_that_fails_over_comes_behind_the_last_octet() {
    for micros in (0..4000).step_by(200) {
        let mut pair = Pair::of(73, |host, config| {
            second_port(host, config);
            config.limits.write_turn = 500;
            config.limits.receives = 1;
        });
        let (client, server) = pair.connect();
        pair.lan.until(Duration::from_secs(5), "two links", |lan| {
            [CLIENT, SERVER].iter().all(|host| {
                let groups = lan.stack(*host).groups();
                groups[0].links.iter().filter(|link| link.is_active).count() == 2
            })
        });
        let sent = send_some(&mut pair.lan, (SERVER, server), 7, 0, 8000);
        pair.close(SERVER, server);
        let slow = Faults { delay: Duration::from_micros(500), ..Faults::default() };
        let dead = Faults { loss: 1.0, ..Faults::default() };
        [CLIENT, SERVER].iter().for_each(|host| pair.lan.set_faults(*host, slow.clone()));
        pair.lan.run_for(Duration::from_micros(micros));
        [CLIENT, SERVER].iter().for_each(|host| pair.lan.set_port_faults(*host, 0, dead.clone()));
        assert_eq!(pair.read_to_end((CLIENT, client)), sent, "cut after {micros} us");
    }
}

/// The kernel's log had it: "make_send_cqe: non-flush error status = 10", a WRITE that
/// was under way as we aborted and left, and whose RMB went before the queue pair did.
#[test]
fn a_write_under_way_as_we_leave_is_not_refused() {
    for micros in (0..1500).step_by(50) {
        let mut pair = Pair::new(74);
        let (client, server) = pair.connect();
        let slow = Faults { delay: Duration::from_micros(500), ..Faults::default() };
        [CLIENT, SERVER].iter().for_each(|host| pair.lan.set_faults(*host, slow.clone()));
        let sent = send_some(&mut pair.lan, (CLIENT, client), 7, 0, 5000);
        pair.lan.run_for(Duration::from_micros(250));
        send_some(&mut pair.lan, (CLIENT, client), 7, sent, 8000);
        pair.lan.run_for(Duration::from_micros(micros));
        pair.lan.stack(SERVER).socket(server).unwrap().abort();
        pair.lan.stack(SERVER).leave();
        pair.lan.run_for(Duration::from_secs(20));
        let naks =
            pair.explain().into_iter().map(|report| report.summary).filter(|said| said.contains("NAK"));
        let naks: Vec<_> = naks.collect();
        assert!(naks.is_empty(), "left after {micros} us: {naks:?}");
        let held = pair.lan.stack(SERVER).provider_mut().objects();
        assert_eq!((held.qps, held.mrs, held.memories), (0, 0, 0));
    }
}

/// The bench of later contacts had it at 200 at a time: an end in TIME-WAIT went before
/// a full NIC had taken its last ACK, and the peer said FIN again a second later.
#[test]
fn the_last_ack_of_tcp_goes_out_of_a_full_nic_too() {
    let mut pair = Pair::new(75);
    let sockets: Vec<_> = (0..40).map(|_| pair.connect_with(plain())).collect();
    pair.lan.set_room(CLIENT, 2);
    sockets.iter().for_each(|(client, _)| pair.close(CLIENT, *client));
    pair.lan.run_for(Duration::from_millis(100));
    sockets.iter().for_each(|(_, server)| pair.close(SERVER, *server));
    pair.lan.run_for(Duration::from_millis(500));
    assert_eq!(left(pair.lan.stack(SERVER)).0, 0, "each FIN was acknowledged");
    let said = pair.said(smolsmc_decode::Kind::Tcp);
    assert_eq!(said.iter().filter(|said| said.contains("FIN")).count(), 80, "none was said twice");
}

/// The same bench: whoever found the NIC full slept for a millisecond, and those that
/// came later had the room.
#[test]
fn who_found_the_nic_full_goes_before_those_that_come_later() {
    let mut pair = Pair::new(76);
    let sockets: Vec<_> = (0..30).map(|_| pair.connect_with(plain())).collect();
    pair.lan.set_room(CLIENT, 1);
    for (client, _) in &sockets {
        assert_eq!(pair.lan.stack(CLIENT).socket(*client).unwrap().send(&[7]), Ok(1));
    }
    let mut came = 0;
    for step in 0.. {
        assert!(step < 200, "{came} of 30 octets came");
        // It has a SYN to send.
        pair.begin(plain());
        pair.lan.step_within(Duration::from_micros(1));
        let arrived = |lan: &mut smolsmc_tests::sim::Lan, server| {
            lan.stack(SERVER).socket(server).unwrap().recv(&mut [0]).is_ok()
        };
        came += sockets.iter().filter(|(_, server)| arrived(&mut pair.lan, *server)).count();
        if came == 30 {
            break;
        }
    }
}
