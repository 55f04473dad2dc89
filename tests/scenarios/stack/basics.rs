use smolsmc::{
    ConnectionError, Eid, Fallback, GroupNumber, LinkNumber, RmbeSize, Role, SocketOptions, Transport,
};
use smolsmc_clc::Diagnosis;
use smolsmc_decode::Kind;
use smolsmc_wire::Duration;

use super::pair::{CLIENT, Pair, SERVER, recv_some, send_some};

fn smc(role: Role, group: u32, first_contact: bool) -> Transport {
    Transport::SmcR {
        version: 2,
        release: 1,
        role,
        group: GroupNumber(group),
        link: LinkNumber(1),
        first_contact,
    }
}

fn tcp(local: Option<Diagnosis>, peer: Option<Diagnosis>) -> Transport {
    Transport::Tcp(Fallback { local, peer })
}

#[test]
fn first_contact_and_octets_both_ways() {
    let mut pair = Pair::new(1);
    let (client, server) = pair.connect();
    assert_eq!(pair.transport(CLIENT, client), smc(Role::Client, 1, true));
    assert_eq!(pair.transport(SERVER, server), smc(Role::Server, 1, true));
    for len in [1, 16, 65_536, 1 << 20] {
        pair.transfer((CLIENT, client), (SERVER, server), len);
        pair.transfer((SERVER, server), (CLIENT, client), len);
    }
    pair.close(CLIENT, client);
    assert_eq!(pair.read_to_end((SERVER, server)), 0);
    pair.close(SERVER, server);
    pair.until_closed();
    assert_eq!(pair.said(Kind::Clc).len(), 3, "Proposal, Accept, Confirm");
    assert_eq!(pair.said(Kind::TcpOption).len(), 2);
    let tests = |line: &&String| !line.contains("TEST LINK");
    let llc = pair.said(Kind::Llc);
    assert_eq!(llc.iter().filter(tests).count(), 2, "CONFIRM LINK and its response: {llc:?}");
}

/// A Linux client had to wait a second for our SYN-ACK, since the answer to our
/// ARP request woke clients only.
#[test]
fn a_syn_ack_goes_as_soon_as_the_neighbour_is_known() {
    let mut pair = Pair::new(9);
    pair.connect();
    // The client knows the server's address, a new life of the server not the client's.
    pair.restart_server();
    let start = pair.lan.now();
    pair.connect();
    let took = pair.lan.now().since(start);
    assert!(took < Duration::from_millis(100), "{} us", took.micros());
}

/// An idle connection kept 128 KiB, since nothing touched it after the first
/// octets.
#[test]
fn tcp_buffers_go_when_octets_go_another_way() {
    let mut pair = Pair::new(10);
    let (client, server) = pair.connect();
    pair.transfer((CLIENT, client), (SERVER, server), 10);
    pair.transfer((SERVER, server), (CLIENT, client), 10);
    pair.lan.run_for(Duration::from_millis(10));
    for (host, socket) in [(CLIENT, client), (SERVER, server)] {
        assert!(!pair.lan.stack(host).socket(socket).unwrap().has_tcp_buffers(), "host {host}");
    }
}

#[test]
fn rings_of_every_pair_of_sizes() {
    for (own, other) in [(0, 5), (5, 0), (2, 1), (0, 0)] {
        let size = |code| Some(RmbeSize::from_code(code));
        let mut pair = Pair::of(3, |host, config| {
            let code = if host == CLIENT { own } else { other };
            config.rmb_size = RmbeSize::from_code(code);
            config.send_size = RmbeSize::from_code(5 - code);
        });
        let mut options = SocketOptions::default();
        options.rmb_size = size(own);
        let (client, server) = pair.connect_with(options);
        pair.transfer((CLIENT, client), (SERVER, server), 300_000);
        pair.transfer((SERVER, server), (CLIENT, client), 300_000);
        pair.explain();
    }
}

#[test]
fn without_smc_on_one_side_it_is_tcp() {
    for without in [CLIENT, SERVER] {
        let mut pair = Pair::of(2, |host, config| config.smc = host != without);
        let (client, server) = pair.connect();
        let reasons = [None, Some(Diagnosis::PEER_NO_SMC)];
        let [ours, theirs] = if without == CLIENT { reasons } else { [reasons[1], reasons[0]] };
        assert_eq!(pair.transport(CLIENT, client), tcp(ours, None));
        assert_eq!(pair.transport(SERVER, server), tcp(theirs, None));
        pair.transfer((CLIENT, client), (SERVER, server), 100_000);
        pair.transfer((SERVER, server), (CLIENT, client), 100_000);
        pair.close(CLIENT, client);
        assert_eq!(pair.read_to_end((SERVER, server)), 0);
        pair.close(SERVER, server);
        pair.until_closed();
        assert_eq!(pair.said(Kind::Clc).len(), 0);
    }
}

#[test]
fn a_socket_can_stay_with_tcp() {
    let mut pair = Pair::new(4);
    let mut options = SocketOptions::default();
    options.plain_tcp = true;
    let (client, server) = pair.connect_with(options);
    assert_eq!(pair.transport(CLIENT, client), tcp(None, None));
    assert_eq!(pair.transport(SERVER, server), tcp(Some(Diagnosis::PEER_NO_SMC), None));
    assert_eq!(pair.said(Kind::TcpOption).len(), 0);
    pair.transfer((CLIENT, client), (SERVER, server), 10_000);
}

/// It was reset by whichever side moved first after 20 s of silence.
#[test]
fn a_silent_connection_lives_on() {
    for plain_tcp in [true, false] {
        let mut pair = Pair::new(10);
        let mut options = SocketOptions::default();
        options.plain_tcp = plain_tcp;
        let (client, server) = pair.connect_with(options);
        for _ in 0..3 {
            pair.lan.run_for(Duration::from_secs(300));
            pair.transfer((CLIENT, client), (SERVER, server), 50_000);
            pair.lan.run_for(Duration::from_secs(300));
            pair.transfer((SERVER, server), (CLIENT, client), 50_000);
        }
        let log = pair.lan.log.as_ref().unwrap();
        let is_reset = |frame: &[u8]| frame[12..14] == [8, 0] && frame[23] == 6 && frame[47] & 4 != 0;
        assert!(!log.iter().any(|(_, frame)| is_reset(frame)));
    }
}

/// Probes of a shut window came less often than the timeout allowed.
#[test]
fn a_reader_may_sleep() {
    for plain_tcp in [true, false] {
        let mut pair = Pair::new(15);
        let mut options = SocketOptions::default();
        options.plain_tcp = plain_tcp;
        let (client, server) = pair.connect_with(options);
        let mut sent = 0;
        for _ in 0..60 {
            sent += send_some(&mut pair.lan, (CLIENT, client), 7, sent, 1 << 20);
            pair.lan.run_for(Duration::from_secs(10));
        }
        assert!(sent < 1 << 20, "the window is shut");
        let mut received = 0;
        pair.lan.until(Duration::from_secs(30), "the octets", |lan| {
            while let Some(more) = recv_some(lan, (SERVER, server), 7, received) {
                received += more;
            }
            received == sent
        });
    }
}

#[test]
fn another_enterprise_id_is_declined_and_it_is_tcp() {
    let mut pair = Pair::of(5, |host, config| {
        if host == CLIENT {
            config.eids = vec![Eid::from_ascii("OTHER").unwrap()];
        }
    });
    let (client, server) = pair.connect();
    let why = Some(Diagnosis::NO_SMC_DEVICE);
    assert_eq!(pair.transport(CLIENT, client), tcp(Some(Diagnosis::PEER_DECLINED), why));
    assert_eq!(pair.transport(SERVER, server), tcp(why, None));
    pair.transfer((CLIENT, client), (SERVER, server), 100_000);
    pair.transfer((SERVER, server), (CLIENT, client), 100_000);
    pair.explain();
}

#[test]
fn without_enterprise_id_a_client_declines_in_place_of_a_proposal() {
    let mut pair = Pair::of(6, |host, config| {
        if host == CLIENT {
            config.eids.clear();
        }
    });
    let (client, server) = pair.connect();
    let why = Some(Diagnosis::NO_SMC_DEVICE);
    assert_eq!(pair.transport(CLIENT, client), tcp(why, None));
    assert_eq!(pair.transport(SERVER, server), tcp(Some(Diagnosis::PEER_DECLINED), why));
    pair.transfer((CLIENT, client), (SERVER, server), 1000);
    let said = pair.said(Kind::Clc);
    assert_eq!(said.len(), 1);
    assert!(said[0].contains("Decline v1"), "{said:?}");
}

#[test]
fn strict_is_smc_or_nothing() {
    for reason in [None, Some(Diagnosis::NO_SMC_DEVICE)] {
        let mut pair = Pair::of(7, |host, config| {
            if host == SERVER {
                config.smc = reason.is_some();
                config.eids.clear();
            }
        });
        let mut options = SocketOptions::default();
        options.strict = true;
        let client = pair.begin(options);
        pair.lan.until(Duration::from_secs(5), "the refusal", |lan| {
            lan.stack(CLIENT).socket(client).unwrap().error().is_some()
        });
        let local = if reason.is_some() { Diagnosis::PEER_DECLINED } else { Diagnosis::PEER_NO_SMC };
        assert_eq!(
            pair.error(CLIENT, client),
            Some(ConnectionError::NotSmc { local: Some(local), peer: reason })
        );
    }
}

#[test]
fn a_port_nobody_listens_on_refuses() {
    let mut pair = Pair::new(8);
    pair.lan.stack(SERVER).unlisten(pair.listener);
    let client = pair.begin(SocketOptions::default());
    pair.lan.until(Duration::from_secs(5), "the refusal", |lan| {
        lan.stack(CLIENT).socket(client).unwrap().error().is_some()
    });
    assert_eq!(pair.error(CLIENT, client), Some(ConnectionError::Refused));
    pair.close(CLIENT, client);
    pair.until_closed();
}
