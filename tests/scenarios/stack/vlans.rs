//! Hosts in a VLAN: every frame has its tag, and others are not for them.

use smolsmc::{Config, SocketOptions, Transport};
use smolsmc_decode::Kind;
use smolsmc_tests::sim::Random;
use smolsmc_wire::{Duration, Instant};

use super::pair::{CLIENT, Pair, SERVER};

fn in_vlans(seed: u64, vlans: [Option<u16>; 2]) -> Pair {
    Pair::of(seed, move |host, config: &mut Config| config.ports[0].vlan = vlans[host])
}

/// A whole life, over SMC-R and over TCP, of which the bystander understands
/// every frame.
#[test]
fn all_frames_of_a_connection_carry_the_tag() {
    for plain_tcp in [false, true] {
        let mut pair = in_vlans(951, [Some(4094); 2]);
        let mut options = SocketOptions::default();
        options.plain_tcp = plain_tcp;
        let (client, server) = pair.connect_with(options);
        assert_eq!(matches!(pair.transport(CLIENT, client), Transport::SmcR { .. }), !plain_tcp);
        pair.transfer((CLIENT, client), (SERVER, server), 200_000);
        pair.transfer((SERVER, server), (CLIENT, client), 200_000);
        pair.close(CLIENT, client);
        assert_eq!(pair.read_to_end((SERVER, server)), 0);
        pair.close(SERVER, server);
        pair.until_closed();
        let log = pair.lan.log.as_ref().unwrap();
        assert!(log.len() > 50, "{} frames", log.len());
        for (_, frame) in log {
            // RoCE frames have priority 0 as well.
            assert_eq!(frame[12..16], [0x81, 0, 0x0f, 0xfe], "{frame:02x?}");
        }
        if !plain_tcp {
            assert_eq!(pair.said(Kind::TcpOption).len(), 2, "the option is in its place");
            assert_eq!(pair.said(Kind::Clc).len(), 3);
            assert!(!pair.said(Kind::Cdc).is_empty());
        }
    }
}

/// Hosts of different VLANs, or one without, do not even find each other.
#[test]
fn frames_of_another_vlan_are_for_nobody() {
    for vlans in [[Some(5), Some(6)], [Some(5), None], [None, Some(5)]] {
        let mut pair = in_vlans(952, vlans);
        let client = pair.begin(SocketOptions::default());
        pair.lan.until(Duration::from_secs(60), "the failure", |lan| {
            lan.stack(CLIENT).socket(client).unwrap().error().is_some()
        });
        assert_eq!(pair.lan.stack(SERVER).held().tuples, 0, "{vlans:?}");
        let from_server = pair.lan.log.as_ref().unwrap().iter().filter(|(_, frame)| frame[11] == 2);
        assert_eq!(from_server.count(), 0, "{vlans:?}: it answered");
    }
}

#[test]
fn numbers_that_are_no_vlan_are_refused() {
    for (vid, sound) in [(0, false), (1, true), (4094, true), (4095, false), (u16::MAX, false)] {
        let mut config = smolsmc_tests::sim::host_config(CLIENT, &mut Random::new(1));
        config.ports[0].vlan = Some(vid);
        let made = smolsmc::soft(config, Instant::from_millis(1));
        assert_eq!(made.is_ok(), sound, "{vid}");
    }
}
