//! What every provider must do.

use std::os::unix::net::UnixStream;

use smolsmc_verbs::conformance::{Ability, Disturbance, Outcome, Rig, Side, cases};
use smolsmc_verbs::{AddressVector, DeviceId, GidEntry, GidKind, PortNumber, PortState, RdmaPort};
use smolsmc_wire::{Duration, Gid, Instant, Mac};

use crate::{Config, Opening, PortConfig, ShmNic, clock};

/// Two NICs of two devices each; device `i` of one is wired to device `i` of
/// the other.
struct Wired {
    nics: [ShmNic; 2],
}

const fn number(side: Side) -> usize {
    match side {
        Side::Near => 0,
        Side::Far => 1,
    }
}

fn address(side: usize, index: usize) -> (Gid, Mac) {
    let last = (16 * index + side + 1) as u8;
    (Gid::from_ipv4([10, 9, 0, last]), Mac([2, 0, 0, 0, 0, last]))
}

impl Wired {
    fn new(message_slots: u32) -> Self {
        let opening = |side: usize| {
            let mut config = Config::new([side as u8 + 40; 32]);
            config.limits.incoming_octets = 64 << 20;
            config.limits.message_slots = message_slots;
            Opening::new(config).unwrap()
        };
        let mut sides = [opening(0), opening(1)];
        for index in 0..2 {
            let (a, b) = UnixStream::pair().unwrap();
            for (side, socket) in [a, b].into_iter().enumerate() {
                let (gid, mac) = address(side, index);
                let entry = GidEntry { gid, kind: GidKind::RoCEv2, vlan: None };
                sides[side].greet(socket, PortConfig::new(mac, entry)).unwrap();
            }
        }
        Self { nics: sides.map(|side| side.complete(Duration::from_secs(1)).unwrap().0) }
    }
}

impl Rig for Wired {
    type Provider = ShmNic;

    fn nic(&mut self, side: Side) -> &mut ShmNic {
        &mut self.nics[number(side)]
    }

    fn port(&self, _side: Side, index: usize) -> RdmaPort {
        RdmaPort { device: DeviceId(index as u32), port: PortNumber(1) }
    }

    fn path(&self, side: Side, index: usize) -> AddressVector {
        let (gid, mac) = address(1 - number(side), index);
        AddressVector {
            source_gid_index: 0,
            destination_gid: gid,
            destination_mac: mac,
            flow_label: 0,
            traffic_class: 0,
            hop_limit: 1,
            service_level: 0,
        }
    }

    fn step(&mut self) {
        self.nics.iter_mut().for_each(ShmNic::progress);
        std::thread::yield_now();
    }

    fn now(&self) -> Instant {
        clock::now()
    }

    fn can(&self, _ability: Ability) -> bool {
        true
    }

    fn disturb(&mut self, what: Disturbance) {
        let id = |index: usize| DeviceId(index as u32);
        match what {
            Disturbance::PortDown(side, index) => {
                let port = self.port(side, index);
                self.nic(side).set_port_state(port, PortState::Down).unwrap();
            }
            Disturbance::PortUp(side, index) => {
                let port = self.port(side, index);
                self.nic(side).set_port_state(port, PortState::Active).unwrap();
            }
            Disturbance::DeviceRemoved(side, index) => self.nic(side).remove_device(id(index)).unwrap(),
            Disturbance::QpFails(side, qp) => self.nic(side).fail_qp(qp).unwrap(),
            Disturbance::RegistrationsRefused(side, count) => self.nic(side).refuse_registrations(count),
            _ => panic!("unknown disturbance"),
        }
    }
}

fn passes(message_slots: u32) {
    let mut failures = Vec::<String>::new();
    let all = cases::<Wired>();
    assert!(all.len() > 50, "the suite is there");
    for case in all {
        let outcome = case.run(&mut Wired::new(message_slots));
        if outcome != Outcome::Passed {
            failures.push(format!("{}: {outcome:?}", case.name));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn every_case_passes() {
    passes(1024);
}

/// The smallest ring: it is full all the time, and messages go in many pieces.
#[test]
fn every_case_passes_with_the_smallest_ring() {
    passes(16);
}
