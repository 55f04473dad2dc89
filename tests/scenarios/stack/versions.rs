//! SMC-Rv1 and SMC-Rv2 between two hosts: which one it is, and which none.

use std::net::IpAddr;

use smolsmc::{Config, Fallback, Transport};
use smolsmc_clc::Diagnosis;
use smolsmc_decode::Kind;
use smolsmc_wire::Duration;

use super::pair::{CLIENT, Pair, SERVER};

fn speak((v1, v2): (bool, bool), config: &mut Config) {
    (config.smc_v1, config.smc_v2) = (v1, v2);
}

fn pair(seed: u64, client: (bool, bool), server: (bool, bool)) -> Pair {
    Pair::of(seed, |host, config| speak(if host == CLIENT { client } else { server }, config))
}

const V1: (bool, bool) = (true, false);
const V2: (bool, bool) = (false, true);
const BOTH: (bool, bool) = (true, true);

fn version(transport: Transport) -> Option<u8> {
    match transport {
        Transport::SmcR { version, .. } => Some(version),
        _ => None,
    }
}

/// The newest version that both can do, and TCP where there is none.
#[test]
fn both_sides_agree_on_a_version() {
    for (number, (client, server, agreed)) in [
        (V1, V1, Some(1)),
        (V1, BOTH, Some(1)),
        (BOTH, V1, Some(1)),
        (BOTH, BOTH, Some(2)),
        (BOTH, V2, Some(2)),
        (V2, BOTH, Some(2)),
        (V1, V2, None),
        (V2, V1, None),
    ]
    .into_iter()
    .enumerate()
    {
        let mut pair = pair(930 + number as u64, client, server);
        let sockets = pair.connect();
        let [ours, theirs] =
            [(CLIENT, sockets.0), (SERVER, sockets.1)].map(|(host, s)| pair.transport(host, s));
        assert_eq!((version(ours), version(theirs)), (agreed, agreed), "{client:?} {server:?}: {ours}");
        if agreed.is_none() {
            let declined = Fallback { local: Some(Diagnosis::NO_SMC_DEVICE), peer: None };
            assert_eq!(theirs, Transport::Tcp(declined));
        }
        pair.transfer((CLIENT, sockets.0), (SERVER, sockets.1), 200_000);
        pair.transfer((SERVER, sockets.1), (CLIENT, sockets.0), 200_000);
        pair.explain();
    }
}

/// A whole life of version 1: first and later contact, CONFIRM RKEY, TEST LINK,
/// all of it in words of version 1, to the end of the group.
#[test]
fn a_group_of_version_1_lives_as_one_of_version_2() {
    let mut pair = pair(940, V1, V1);
    let sockets: Vec<_> = (0..3).map(|_| pair.connect()).collect();
    assert_eq!(
        pair.transport(CLIENT, sockets[0].0).to_string(),
        "SMC-R v1, client of link group 1, link 1, first contact"
    );
    for &(client, server) in &sockets {
        pair.transfer((CLIENT, client), (SERVER, server), 100_000);
        pair.transfer((SERVER, server), (CLIENT, client), 100_000);
    }
    assert_eq!(pair.lan.stack(SERVER).groups().len(), 1);
    pair.lan.until(Duration::from_secs(40), "TEST LINK after silence", |lan| {
        lan.stack(CLIENT).stats().work.tests_sent + lan.stack(SERVER).stats().work.tests_sent > 0
    });
    for (client, server) in sockets {
        pair.close(CLIENT, client);
        pair.close(SERVER, server);
    }
    pair.until_closed();
    pair.lan.stack(SERVER).leave();
    pair.lan.until(Duration::from_secs(30), "the end", |lan| {
        lan.stack(CLIENT).is_idle() && lan.stack(SERVER).is_idle()
    });
    let clc = pair.said(Kind::Clc);
    assert_eq!(clc.len(), 9, "{clc:?}");
    assert!(clc.iter().all(|line| !line.contains("v2")), "{clc:?}");
    let llc = pair.said(Kind::Llc);
    assert!(llc.iter().any(|line| line.contains("TEST LINK")), "{llc:?}");
    // In version 1 the second octet is the length, the type's upper half zero.
    let words = pair
        .lan
        .log
        .iter()
        .flatten()
        .filter(|(_, frame)| frame.get(23) == Some(&17) && frame.len() == 102 && frame[54] != 0xfe);
    for (_, frame) in words {
        assert!(frame[54] < 0x10 && frame[55] == 44, "{:#x}", frame[54]);
    }
}

/// Groups of the two versions are apart, between the same two hosts.
#[test]
fn a_group_of_version_1_is_not_used_for_version_2() {
    let mut pair = pair(941, BOTH, BOTH);
    pair.connect();
    let mut plain = smolsmc_tests::sim::host_config(CLIENT, &mut smolsmc_tests::sim::Random::new(7));
    speak(V1, &mut plain);
    pair.lan.restart(CLIENT, plain);
    let (client, _) = pair.connect();
    assert_eq!(version(pair.transport(CLIENT, client)), Some(1));
    assert_eq!(pair.lan.stack(SERVER).groups().len(), 2);
}

/// Version 1 is for one subnet.
#[test]
fn version_1_is_declined_from_another_subnet() {
    let mut pair = Pair::of(942, |host, config| {
        speak(V1, config);
        if host == CLIENT {
            let IpAddr::V4(_) = config.ports[0].addresses[0].0 else { panic!("IPv4") };
            config.ports[0].addresses[0].1 = 16;
        }
    });
    let (client, server) = pair.connect();
    let ours = Fallback { local: Some(Diagnosis::PEER_DECLINED), peer: Some(Diagnosis::PREFIX_MISMATCH) };
    let theirs = Fallback { local: Some(Diagnosis::PREFIX_MISMATCH), peer: None };
    assert_eq!(pair.transport(CLIENT, client), Transport::Tcp(ours));
    assert_eq!(pair.transport(SERVER, server), Transport::Tcp(theirs));
}

/// A Confirm of another version than the Accept is declined, by its name.
#[test]
fn a_confirm_of_the_other_version_is_declined() {
    let mut pair = pair(943, V1, V1);
    pair.lan.meddler = Some(Box::new(|host, frame| {
        let is_confirm = host == CLIENT
            && frame.get(23) == Some(&6)
            && frame.get(54..59) == Some(&[0xe2, 0xd4, 0xc3, 0xd9, 3]);
        if !is_confirm {
            return;
        }
        // As long as one of version 2 that makes no group, and said to be one.
        let trailer = frame[54 + 64..54 + 68].to_vec();
        frame.truncate(54 + 64);
        frame.resize(54 + 104, b' ');
        frame.extend(trailer);
        (frame[60], frame[61]) = (108, 0x20);
        let mut ip = smoltcp::wire::Ipv4Packet::new_unchecked(&mut frame[14..]);
        ip.set_total_len(40 + 108);
        ip.fill_checksum();
        let (from, to) = (ip.src_addr().into(), ip.dst_addr().into());
        smoltcp::wire::TcpPacket::new_unchecked(&mut frame[34..]).fill_checksum(&from, &to);
    }));
    let client = pair.begin(smolsmc::SocketOptions::default());
    let listener = pair.listener;
    let mut server = None;
    pair.lan.until(Duration::from_secs(20), "the decline", |lan| {
        server = server.or_else(|| lan.stack(SERVER).accept(listener));
        server.is_some()
    });
    let theirs = Fallback { local: Some(Diagnosis::VERSION_MISMATCH), peer: None };
    assert_eq!(pair.transport(SERVER, server.unwrap()), Transport::Tcp(theirs));
    let _ = client;
}
