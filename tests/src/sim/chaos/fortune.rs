//! What befalls hosts in a storm.

use smolsmc_verbs::PortState;
use smolsmc_wire::Duration;

use super::host::{self, listen_options, service};
use super::life::Life;
use super::plan::{Weather, bearable};
use super::talk::Fate;
use crate::sim::Faults;

/// Of each tick of a storm.
const STRIKES: f64 = 0.06;

impl Life {
    /// The weather of the start.
    pub(super) fn set_weather(&mut self) {
        if self.plan.weather == Weather::Calm {
            return;
        }
        for host in 0..self.hosts.len() {
            let faults = bearable(&mut self.random, self.plan.weather);
            self.lan.set_faults(host, faults);
        }
    }

    pub(super) fn maybe_strike(&mut self) {
        if self.plan.weather == Weather::Storm && self.random.chance(STRIKES) {
            self.strike();
        }
    }

    fn strike(&mut self) {
        let host = self.random.below(self.hosts.len() as u64) as usize;
        match self.random.below(11) {
            0 => self.restart(host),
            1 => self.fail_a_qp(host),
            2 => self.port_down(host),
            3 => self.ports_up(host),
            4 if self.random.chance(0.3) => self.pull_a_device(host),
            5 => {
                let count = self.random.between(1, 5) as u32;
                self.lan.stack(host).provider_mut().refuse_registrations(count);
                self.hosts[host].is_hurt = true;
            }
            6 => self.blackhole(host),
            7 => {
                let block = self.random.chance(0.5);
                self.lan.block_roce(host, block);
                self.hosts[host].is_hurt = true;
            }
            8 => {
                self.lan.stack(host).leave();
                self.hosts[host].is_hurt = true;
            }
            9 => self.listen_anew(host),
            _ => {
                let faults = bearable(&mut self.random, Weather::Storm);
                self.lan.set_faults(host, faults);
            }
        }
    }

    fn restart(&mut self, index: usize) {
        let config = host::config(index, &self.hosts[index].plan, &mut self.random);
        let host = &mut self.hosts[index];
        self.lan.restart_as(index, host::stack(config, &host.plan, self.lan.now()));
        host.life += 1;
        host.is_hurt = true;
        (host.pulled, host.listener) = (0, None);
        host.down.clear();
        for end in self.talks.iter_mut().flat_map(|talk| &mut talk.ends) {
            if end.host == index && end.fate == Fate::Open {
                end.fate = Fate::Dead;
            }
        }
        if self.random.chance(0.8) {
            self.listen(index);
        }
    }

    pub(super) fn listen(&mut self, index: usize) {
        let options = listen_options(&self.hosts[index].plan);
        let listener = self.lan.stack(index).listen(service(index), options);
        self.hosts[index].listener = Some(listener.expect("nobody else listens"));
    }

    fn listen_anew(&mut self, index: usize) {
        self.hosts[index].is_hurt = true;
        if let Some(listener) = self.hosts[index].listener.take() {
            self.lan.stack(index).unlisten(listener);
        }
        if self.random.chance(0.7) {
            self.listen(index);
        }
    }

    fn fail_a_qp(&mut self, host: usize) {
        let groups = self.lan.stack(host).groups();
        let qps: Vec<_> = groups.iter().flat_map(|group| &group.links).map(|link| link.qp).collect();
        if qps.is_empty() {
            return;
        }
        let qp = self.random.pick(&qps);
        self.lan.stack(host).provider_mut().fail_qp(qp).expect("the stack has it");
        self.hosts[host].is_hurt = true;
    }

    fn port_down(&mut self, index: usize) {
        let ports = 1 + u64::from(self.hosts[index].plan.second_port);
        let port = host::rdma_port(self.random.below(ports) as u32);
        if self.lan.stack(index).provider_mut().set_port_state(port, PortState::Down).is_ok() {
            self.hosts[index].down.push(port);
            self.hosts[index].is_hurt = true;
        }
    }

    fn ports_up(&mut self, index: usize) {
        for port in core::mem::take(&mut self.hosts[index].down) {
            // Its device may have been pulled since.
            let _ = self.lan.stack(index).provider_mut().set_port_state(port, PortState::Active);
        }
    }

    fn pull_a_device(&mut self, index: usize) {
        let ports = 1 + u64::from(self.hosts[index].plan.second_port);
        let device = host::rdma_port(self.random.below(ports) as u32).device;
        if self.lan.stack(index).provider_mut().remove_device(device).is_ok() {
            self.hosts[index].pulled += 1;
            self.hosts[index].is_hurt = true;
        }
    }

    /// One way, for some time, on one port or on all.
    fn blackhole(&mut self, host: usize) {
        let now = self.lan.now();
        let long = self.random.pick(&[50, 400, 3000, 40_000]);
        let hole = Some((now, now + Duration::from_millis(self.random.between(1, long))));
        let faults = Faults { blackhole: hole, ..bearable(&mut self.random, Weather::Storm) };
        if self.hosts[host].plan.second_port && self.random.chance(0.6) {
            let port = self.random.below(2) as usize;
            self.lan.set_port_faults(host, port, faults);
        } else {
            self.lan.set_faults(host, faults);
        }
        self.hosts[host].is_hurt = true;
    }

    /// The faults are over.
    pub(super) fn heal(&mut self) {
        for host in 0..self.hosts.len() {
            self.lan.set_faults(host, Faults::default());
            self.lan.block_roce(host, false);
            self.ports_up(host);
            self.lan.stack(host).provider_mut().refuse_registrations(0);
            if self.hosts[host].listener.is_none() {
                self.listen(host);
            }
        }
    }
}
