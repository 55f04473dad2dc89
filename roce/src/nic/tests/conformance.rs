//! What every provider must do, on a wire without faults.

use std::string::String;

use smolsmc_verbs::conformance::{Ability, Disturbance, Outcome, Rig, Side as End, cases};

use super::*;

/// Two NICs of two devices each; port `i` of one is wired to port `i` of the other.
struct Wired {
    nics: [SoftNic; 2],
    now: Instant,
}

const fn number(side: End) -> usize {
    match side {
        End::Near => 0,
        End::Far => 1,
    }
}

fn address(side: usize, index: usize) -> (Gid, Mac) {
    let last = (16 * index + side + 1) as u8;
    (Gid::from_ipv4([10, 9, 0, last]), Mac([2, 0, 0, 0, 0, last]))
}

impl Wired {
    fn new() -> Self {
        let nic = |side| {
            let mut config = Config::new([side as u8 + 40; 32]);
            for index in 0..2 {
                let (gid, mac) = address(side, index);
                let mut port = PortConfig::new(mac, 9000);
                port.gids.push(GidEntry { gid, kind: GidKind::RoCEv2, vlan: None });
                config.devices.push(DeviceConfig::new(vec![port]));
            }
            SoftNic::new(&config).unwrap()
        };
        Self { nics: [nic(0), nic(1)], now: Instant::from_millis(1) }
    }
}

impl Rig for Wired {
    type Provider = SoftNic;

    fn nic(&mut self, side: End) -> &mut SoftNic {
        &mut self.nics[number(side)]
    }

    fn port(&self, _side: End, index: usize) -> RdmaPort {
        RdmaPort { device: DeviceId(index as u32), port: PortNumber(1) }
    }

    fn path(&self, side: End, index: usize) -> AddressVector {
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
        self.now = self.now + Duration::from_micros(500);
        let mut buffer = [0; 9100];
        for from in 0..2 {
            for index in 0..2 {
                let port = self.port(End::Near, index);
                while let Some(len) = self.nics[from].next_len(self.now, port) {
                    assert_eq!(self.nics[from].emit(self.now, port, &mut buffer), len);
                    if self.nics[1 - from].claims(port, &buffer[..len]) {
                        self.nics[1 - from].take(self.now, port, &buffer[..len]);
                    }
                }
            }
        }
        for nic in &mut self.nics {
            nic.run_timers(self.now);
        }
    }

    fn now(&self) -> Instant {
        self.now
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

#[test]
fn every_case_passes() {
    let mut failures = Vec::<String>::new();
    let all = cases::<Wired>();
    assert!(all.len() > 50, "the suite is there");
    for case in all {
        let outcome = case.run(&mut Wired::new());
        if outcome != Outcome::Passed {
            failures.push(std::format!("{}: {outcome:?}", case.name));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}
