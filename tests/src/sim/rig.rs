use smolsmc_verbs::conformance::{Ability, Disturbance, Rig, Side};
use smolsmc_verbs::{AddressVector, DeviceId, Provider, QpHandle, RdmaPort};
use smolsmc_wire::Instant;

use super::Sim;

/// A provider whose ports and devices can be disturbed from outside.
pub trait Controlled: Provider {
    /// Gives or takes a port's carrier.
    fn set_carrier(&mut self, port: RdmaPort, up: bool);

    /// Unplugs a device.
    fn unplug(&mut self, device: DeviceId);

    /// Lets a queue pair go to ERR by itself.
    fn fail(&mut self, qp: QpHandle);

    /// Refuses so many registrations from now on.
    fn refuse(&mut self, registrations: u32);
}

/// Two nodes of a simulated world, for the conformance suite: node 0 is near,
/// node 1 far.
pub struct SimRig<P: Controlled> {
    sim: Sim<P>,
    /// For each side, its ports and the way to the peer from each.
    ends: [Vec<(RdmaPort, AddressVector)>; 2],
    /// Ports go down and up behind the case's back.
    flaps: bool,
}

impl<P: Controlled> SimRig<P> {
    /// A rig on a world with two nodes: `near` and `far` hold the ports of each
    /// and how they reach each other, in the same order.
    #[must_use]
    pub const fn new(
        sim: Sim<P>,
        near: Vec<(RdmaPort, AddressVector)>,
        far: Vec<(RdmaPort, AddressVector)>,
    ) -> Self {
        Self { sim, ends: [near, far], flaps: false }
    }

    /// The world.
    pub const fn sim(&mut self) -> &mut Sim<P> {
        &mut self.sim
    }

    /// Takes the carrier of a side's ports away `from` then `to` then.
    pub fn flap(&mut self, side: Side, from: Instant, to: Instant) {
        self.flaps = true;
        let ports: Vec<_> = self.ends[node(side)].iter().map(|(port, _)| *port).collect();
        for (when, up) in [(from, false), (to, true)] {
            let ports = ports.clone();
            self.sim
                .at(when, node(side), move |nic| ports.iter().for_each(|port| nic.set_carrier(*port, up)));
        }
    }
}

const fn node(side: Side) -> usize {
    match side {
        Side::Near => 0,
        Side::Far => 1,
    }
}

impl<P: Controlled> Rig for SimRig<P> {
    type Provider = P;

    fn nic(&mut self, side: Side) -> &mut P {
        self.sim.nic(node(side))
    }

    fn port(&self, side: Side, index: usize) -> RdmaPort {
        self.ends[node(side)][index].0
    }

    fn path(&self, side: Side, index: usize) -> AddressVector {
        self.ends[node(side)][index].1
    }

    fn step(&mut self) {
        self.sim.step();
    }

    fn now(&self) -> Instant {
        self.sim.now()
    }

    fn can(&self, ability: Ability) -> bool {
        ability != Ability::SecondDevice || self.ends.iter().all(|ports| ports.len() > 1)
    }

    fn loses(&self) -> bool {
        self.flaps || self.sim.loses()
    }

    fn disturb(&mut self, what: Disturbance) {
        match what {
            Disturbance::PortDown(side, index) => {
                let port = self.port(side, index);
                self.nic(side).set_carrier(port, false);
            }
            Disturbance::PortUp(side, index) => {
                let port = self.port(side, index);
                self.nic(side).set_carrier(port, true);
            }
            Disturbance::DeviceRemoved(side, index) => {
                let device = self.port(side, index).device;
                self.nic(side).unplug(device);
            }
            Disturbance::QpFails(side, qp) => self.nic(side).fail(qp),
            Disturbance::RegistrationsRefused(side, count) => self.nic(side).refuse(count),
            // The list of disturbances may grow.
            _ => unreachable!("not asked for: {what:?}"),
        }
    }
}
