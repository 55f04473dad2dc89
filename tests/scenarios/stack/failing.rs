use smolsmc::{ConnectionError, RecvError, SocketOptions, Transport};
use smolsmc_tests::sim::Faults;
use smolsmc_wire::{Duration, Instant};

use super::pair::{CLIENT, Pair, SERVER, recv_some, send_some};

fn nothing_arrives() -> Faults {
    Faults { loss: 1.0, ..Faults::default() }
}

#[test]
fn a_peer_that_is_gone_is_noticed_in_bounded_time() {
    // With octets on their way retransmission notices; without, TEST LINK does.
    for (busy, most) in [(true, 3), (false, 40)] {
        let mut pair = Pair::new(31);
        let (client, server) = pair.connect();
        pair.transfer((CLIENT, client), (SERVER, server), 1000);
        pair.lan.set_faults(SERVER, nothing_arrives());
        if busy {
            send_some(&mut pair.lan, (CLIENT, client), 7, 0, 1000);
        }
        pair.lan.until(Duration::from_secs(most), "the failure", |lan| {
            lan.stack(CLIENT).socket(client).unwrap().error().is_some()
        });
        let error = pair.error(CLIENT, client).unwrap();
        assert!(matches!(error, ConnectionError::LinkFailed(_) | ConnectionError::LinkDown(_)), "{error}");
        let mut octet = [0];
        let received = pair.lan.stack(CLIENT).socket(client).unwrap().recv(&mut octet);
        assert_eq!(received, Err(RecvError::Over(error)));
        pair.close(CLIENT, client);
        pair.lan.until(Duration::from_secs(30), "the rest", |lan| lan.stack(CLIENT).is_idle());
    }
}

#[test]
fn what_arrived_before_the_failure_can_be_read() {
    let mut pair = Pair::new(32);
    let (client, server) = pair.connect();
    let sent = send_some(&mut pair.lan, (CLIENT, client), 7, 0, 5000);
    pair.lan.run_for(Duration::from_millis(5));
    pair.lan.set_faults(CLIENT, nothing_arrives());
    pair.lan.until(Duration::from_secs(40), "the failure", |lan| {
        lan.stack(SERVER).socket(server).unwrap().error().is_some()
    });
    let mut octets = [0; 6000];
    let mut socket = pair.lan.stack(SERVER).socket(server).unwrap();
    assert_eq!(socket.recv(&mut octets), Ok(sent as usize));
    assert!(matches!(socket.recv(&mut octets), Err(RecvError::Over(_))));
}

/// RoCE is blocked one way, both ways or the other: both sides end with TCP and
/// every octet arrives, those sent before the Decline too.
#[test]
fn a_path_without_roce_is_tcp_with_nothing_lost() {
    for blocked in [&[CLIENT][..], &[SERVER], &[CLIENT, SERVER]] {
        let mut pair = Pair::new(35);
        for host in blocked {
            pair.lan.block_roce(*host, true);
        }
        let client = pair.begin(SocketOptions::default());
        let (mut sent, mut received, mut server) = (0, 0, None);
        let listener = pair.listener;
        pair.lan.until(Duration::from_secs(30), "the octets", |lan| {
            server = server.or_else(|| lan.stack(SERVER).accept(listener));
            assert_eq!(lan.stack(CLIENT).socket(client).unwrap().error(), None, "{blocked:?}");
            if sent < 30_000 {
                sent += send_some(lan, (CLIENT, client), 7, sent, 30_000);
            }
            let Some(server) = server else { return false };
            received += recv_some(lan, (SERVER, server), 7, received).unwrap_or(0);
            received == 30_000
        });
        let server = server.unwrap();
        for (host, socket) in [(CLIENT, client), (SERVER, server)] {
            assert!(matches!(pair.transport(host, socket), Transport::Tcp(_)), "{blocked:?}");
        }
        pair.transfer((SERVER, server), (CLIENT, client), 100_000);
        // Healed, the next contact is SMC-R.
        for host in blocked {
            pair.lan.block_roce(*host, false);
        }
        let (client, _) = pair.connect();
        assert!(matches!(pair.transport(CLIENT, client), Transport::SmcR { first_contact: true, .. }));
    }
}

#[test]
fn a_short_blackhole_is_survived() {
    let mut pair = Pair::new(33);
    let (client, server) = pair.connect();
    let now = pair.lan.now();
    let hole = Some((now + Duration::from_millis(1), now + Duration::from_millis(400)));
    pair.lan.set_faults(CLIENT, Faults { blackhole: hole, ..Faults::default() });
    pair.transfer((CLIENT, client), (SERVER, server), 1 << 20);
    pair.transfer((SERVER, server), (CLIENT, client), 1 << 20);
}

#[test]
fn lost_syns_and_clc_messages_are_sent_again() {
    for seed in 0..20 {
        let mut pair = Pair::new(3400 + seed);
        for host in [CLIENT, SERVER] {
            let until = Instant::from_millis(30_000);
            let faults = Faults { loss: 0.2, duplicate: 0.1, reorder: 0.1, ..Faults::default() };
            let faults =
                Faults { reorder_by: Duration::from_millis(3), blackhole: Some((until, until)), ..faults };
            pair.lan.set_faults(host, faults);
        }
        let (client, server) = pair.connect();
        pair.transfer((CLIENT, client), (SERVER, server), 20_000);
        pair.transfer((SERVER, server), (CLIENT, client), 20_000);
    }
}
