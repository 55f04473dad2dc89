//! Groups of two links over two ports of each host.

use smolsmc::{GroupNumber, LinkNumber, LinkSummary, Provider, Transport};
use smolsmc_decode::Kind;
use smolsmc_tests::sim::{Faults, Lan, second_port};
use smolsmc_verbs::{DeviceId, PortNumber, PortState, RdmaPort};
use smolsmc_wire::Duration;

use super::meddling::llc;
use super::pair::{CLIENT, Pair, SERVER, recv_some, send_some};

fn port(number: u32) -> RdmaPort {
    RdmaPort { device: DeviceId(number), port: PortNumber(1) }
}

fn pair(seed: u64) -> Pair {
    Pair::of(seed, second_port)
}

fn links(pair: &Pair) -> Vec<String> {
    pair.said(Kind::Llc)
        .into_iter()
        .filter(|said| said.contains("CONFIRM LINK") || said.contains("ADD LINK"))
        .collect()
}

fn link(transport: Transport) -> LinkNumber {
    match transport {
        Transport::SmcR { link, .. } => link,
        other => panic!("{other}"),
    }
}

#[test]
fn a_group_gets_a_second_link_and_connections_use_both() {
    let mut pair = pair(61);
    let mut used = Vec::new();
    for _ in 0..4 {
        let (client, server) = pair.connect();
        pair.lan.run_for(Duration::from_millis(50));
        let ours = link(pair.transport(CLIENT, client));
        assert_eq!(ours, link(pair.transport(SERVER, server)));
        used.push(ours.0);
        pair.transfer((CLIENT, client), (SERVER, server), 200_000);
        pair.transfer((SERVER, server), (CLIENT, client), 200_000);
    }
    used.sort_unstable();
    assert_eq!(used, [1, 1, 2, 2]);
    // CONFIRM LINK, ADD LINK and CONFIRM LINK on the new one, each with its response.
    assert_eq!(links(&pair).len(), 6, "{:?}", links(&pair));
    for host in [CLIENT, SERVER] {
        let groups = pair.lan.stack(host).groups();
        assert_eq!(groups.len(), 1);
        assert_eq!((groups[0].number, groups[0].links.len()), (GroupNumber(1), 2));
    }
}

#[test]
fn a_host_with_one_port_has_one_link() {
    // The server has two; the client has one, and would lead both links over it.
    let mut pair = Pair::of(62, |host, config| {
        config.max_links = 2;
        if host == SERVER {
            second_port(host, config);
        }
    });
    let (client, server) = pair.connect();
    pair.lan.run_for(Duration::from_millis(50));
    pair.transfer((CLIENT, client), (SERVER, server), 100_000);
    pair.explain();
}

/// What ends a link in the midst of a transfer.
#[derive(Clone, Copy, Debug)]
enum Blow {
    PortDown,
    PathDead,
    QueuePairFails,
    DeviceGone,
}

/// On the first port of a host.
fn strike(lan: &mut Lan, blow: Blow, who: usize) {
    match blow {
        Blow::PortDown => {
            lan.stack(who).provider_mut().set_port_state(port(0), PortState::Down).unwrap();
        }
        Blow::PathDead => {
            lan.set_port_faults(who, 0, Faults { loss: 1.0, ..Faults::default() });
        }
        Blow::QueuePairFails => {
            let qp = lan.stack(who).groups()[0].links[0].qp;
            lan.stack(who).provider_mut().fail_qp(qp).unwrap();
        }
        Blow::DeviceGone => {
            lan.stack(who).provider_mut().remove_device(port(0).device).unwrap();
        }
    }
}

/// Two connections, one on each link, octets both ways on both; then the blow
/// on the first port of one host. Not an octet may be missing, and each arrives
/// once.
fn survive(seed: u64, blow: Blow, who: usize, after: u64) {
    const LEN: u64 = 600_000;
    let mut pair = pair(seed);
    let first = pair.connect();
    pair.lan.run_for(Duration::from_millis(50));
    let second = pair.connect();
    let ways = [
        ((CLIENT, first.0), (SERVER, first.1)),
        ((SERVER, first.1), (CLIENT, first.0)),
        ((CLIENT, second.0), (SERVER, second.1)),
        ((SERVER, second.1), (CLIENT, second.0)),
    ];
    let mut state = [(0, 0); 4];
    let mut struck = false;
    pair.lan.until(Duration::from_secs(100), "all octets", |lan| {
        if !struck && state[0].1 >= after {
            struck = true;
            strike(lan, blow, who);
        }
        for (stream, ((from, to), (sent, received))) in (1..).zip(ways.iter().zip(&mut state)) {
            for (host, socket) in [from, to] {
                let error = lan.stack(*host).socket(*socket).unwrap().error();
                assert_eq!(error, None, "{blow:?} at {who} after {after}");
            }
            *sent += send_some(lan, *from, stream, *sent, LEN);
            *received += recv_some(lan, *to, stream, *received).unwrap_or(0);
        }
        struck && state.iter().all(|(_, received)| *received == LEN)
    });
    for (host, socket) in [(CLIENT, first.0), (SERVER, first.1), (CLIENT, second.0), (SERVER, second.1)] {
        assert_eq!(link(pair.transport(host, socket)), LinkNumber(2), "{blow:?} at {who}");
        pair.close(host, socket);
    }
    // The TCP connection went over the port that is dead, and has to time out.
    pair.lan.until(Duration::from_secs(120), "the end of all connections", |lan| {
        !lan.stack(CLIENT).has_connections() && !lan.stack(SERVER).has_connections()
    });
    for host in [CLIENT, SERVER] {
        let groups = pair.lan.stack(host).groups();
        let links: usize = groups.iter().map(|group| group.links.len()).sum();
        assert_eq!(links, 1, "{blow:?} at {who} after {after}, host {host}");
    }
}

#[test]
fn one_of_two_links_is_killed_in_mid_transfer_and_no_octet_is_lost() {
    for blow in [Blow::PortDown, Blow::PathDead, Blow::QueuePairFails, Blow::DeviceGone] {
        for who in [CLIENT, SERVER] {
            for after in [1, 100_000, 333_333] {
                survive(63 + after, blow, who, after);
            }
        }
    }
}

/// A NIC acknowledges what its owner has not fetched yet: the peer counts on it, says
/// so when it goes over the other link, and a host that never hears it is out of
/// step. Seen with a device that was removed under a Linux client.
#[test]
fn what_a_nic_had_acknowledged_is_heard_before_its_link_is_left() {
    const LEN: u64 = 20_000;
    for blow in [Blow::PortDown, Blow::QueuePairFails, Blow::DeviceGone] {
        for (who, other) in [(CLIENT, SERVER), (SERVER, CLIENT)] {
            // It takes two messages in each turn of many, and has few turns.
            let mut pair = Pair::of(67, |host, config| {
                second_port(host, config);
                if host == who {
                    config.limits.completions = 1;
                }
            });
            let all: Vec<_> = (0..16).map(|_| pair.connect()).collect();
            pair.lan.run_for(Duration::from_millis(50));
            pair.lan.set_pace(who, Duration::from_millis(1));
            let ends = all.iter().map(|&(client, server)| match who {
                CLIENT => ((SERVER, server), (CLIENT, client)),
                _ => ((CLIENT, client), (SERVER, server)),
            });
            let ends: Vec<_> = ends.collect();
            let mut state = [(0, 0); 16];
            let mut struck = false;
            pair.lan.until(Duration::from_secs(100), "all octets", |lan| {
                let known = link_at(lan, other).map_or(0, |link| link.messages_sent - link.in_flight as u64);
                let heard = link_at(lan, who).map_or(u64::MAX, |link| link.messages_received);
                if !struck && known > heard {
                    struck = true;
                    strike(lan, blow, who);
                }
                for (stream, ((from, to), (sent, received))) in (1..).zip(ends.iter().zip(&mut state)) {
                    for (host, socket) in [from, to] {
                        let error = lan.stack(*host).socket(*socket).unwrap().error();
                        assert_eq!(error, None, "{blow:?} at {who}");
                    }
                    *sent += send_some(lan, *from, stream, *sent, LEN.min(*sent + 100));
                    *received += recv_some(lan, *to, stream, *received).unwrap_or(0);
                }
                state.iter().all(|(_, received)| *received == LEN)
            });
            assert!(struck, "{blow:?} at {who}: it always heard all in time");
        }
    }
}

/// The link on a host's first port.
fn link_at(lan: &mut Lan, host: usize) -> Option<LinkSummary> {
    lan.stack(host).groups().first()?.links.iter().find(|link| link.port == 0).cloned()
}

/// A short exchange on the first link, whose path dies after `after` RoCE frames
/// of `who`: not an octet is lost, whatever the last thing was that arrived.
/// Returns how many frames it took.
fn exchange_with_a_cut(who: usize, after: u64) -> u64 {
    const LEN: u64 = 9000;
    let mut pair = pair(65);
    let (client, server) = pair.connect();
    pair.lan.run_for(Duration::from_millis(50));
    pair.lan.log = None;
    pair.lan.cut_roce(who, 0, after);
    let mut state = [(0, 0); 2];
    pair.lan.until(Duration::from_secs(60), "all octets", |lan| {
        for (stream, (from, to)) in
            [(1, ((CLIENT, client), (SERVER, server))), (2, ((SERVER, server), (CLIENT, client)))]
        {
            let (sent, received) = &mut state[stream as usize - 1];
            // In pieces, so that there are many messages to lose.
            *sent += send_some(lan, from, stream, *sent, LEN.min(*received + 2500));
            *received += recv_some(lan, to, stream, *received).unwrap_or(0);
        }
        state == [(LEN, LEN); 2]
    });
    let error = |pair: &mut Pair, host, socket| pair.error(host, socket);
    assert_eq!(error(&mut pair, CLIENT, client), None);
    assert_eq!(error(&mut pair, SERVER, server), None);
    pair.close(CLIENT, client);
    assert_eq!(pair.read_to_end((SERVER, server)), 0);
    pair.close(SERVER, server);
    pair.until_closed();
    pair.lan.cut_roce(who, 0, u64::MAX)
}

/// The last word of a connection was lost with its link, and the connection gave
/// its part of the group back before it could say it again.
#[test]
fn a_close_that_was_lost_with_its_link_is_said_again() {
    exchange_with_a_cut(SERVER, 20);
}

/// Not sampled but enumerated: every frame is the last one once.
#[test]
fn a_link_may_die_at_any_frame() {
    for who in [CLIENT, SERVER] {
        let frames = exchange_with_a_cut(who, u64::MAX);
        assert!((20..400).contains(&frames), "{frames}");
        for after in 0..=frames {
            exchange_with_a_cut(who, after);
        }
    }
}

#[test]
fn a_port_that_comes_back_gives_the_group_its_second_link_again() {
    let mut pair = pair(64);
    let (client, server) = pair.connect();
    pair.lan.run_for(Duration::from_millis(50));
    for host in [CLIENT, SERVER] {
        let second = pair.lan.stack(host).provider_mut();
        assert!(second.port(port(1)).is_ok());
    }
    pair.lan.stack(SERVER).provider_mut().set_port_state(port(1), PortState::Down).unwrap();
    pair.lan.run_for(Duration::from_millis(100));
    assert_eq!(pair.lan.stack(CLIENT).groups()[0].links.len(), 1);
    pair.lan.stack(SERVER).provider_mut().set_port_state(port(1), PortState::Active).unwrap();
    pair.lan.run_for(Duration::from_millis(100));
    let links: Vec<_> = pair.lan.stack(CLIENT).groups()[0].links.iter().map(|link| link.number.0).collect();
    assert_eq!(links, [1, 3], "numbers are not used again");
    pair.transfer((CLIENT, client), (SERVER, server), 100_000);
}

/// Its peer has told of an RMB on one link only. When that link dies, the
/// connection ends with it, and takes nothing along: the group lives on.
#[test]
fn a_connection_that_cannot_move_is_gone_once_closed() {
    for blow in [Blow::PortDown, Blow::QueuePairFails] {
        let mut pair = pair(139);
        pair.connect();
        pair.lan.run_for(Duration::from_millis(50));
        pair.lan.meddler = Some(llc(0x26, false, |m| m[4] = 0));
        let (client, server) = pair.connect();
        pair.lan.meddler = None;
        let number = link(pair.transport(CLIENT, client));
        let of = |links: &[LinkSummary]| links.iter().find(|link| link.number == number).unwrap().qp;
        let qp = of(&pair.lan.stack(CLIENT).groups()[0].links);
        // Octets that nobody acknowledges.
        pair.lan.block_roce(SERVER, true);
        send_some(&mut pair.lan, (CLIENT, client), 7, 0, 50_000);
        pair.lan.run_for(Duration::from_millis(5));
        pair.lan.block_roce(SERVER, false);
        match blow {
            Blow::PortDown => {
                let port = port(u32::from(number.0) - 1);
                pair.lan.stack(CLIENT).provider_mut().set_port_state(port, PortState::Down).unwrap();
            }
            _ => pair.lan.stack(CLIENT).provider_mut().fail_qp(qp).unwrap(),
        }
        let sockets = [client, server];
        for host in [CLIENT, SERVER] {
            pair.lan.until(Duration::from_secs(60), "the error", |lan| {
                lan.stack(host).socket(sockets[host]).unwrap().error().is_some()
            });
        }
        for host in [CLIENT, SERVER] {
            pair.close(host, sockets[host]);
        }
        pair.lan.until(Duration::from_secs(120), "one connection, which could move", |lan| {
            [CLIENT, SERVER].map(|host| lan.stack(host).connections().len()) == [1, 1]
        });
    }
}
