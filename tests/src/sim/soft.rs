//! The NIC in software, as simulations use it.

use smolsmc_roce::nic::{Config, DeviceConfig, PortConfig, SoftNic};
use smolsmc_verbs::{
    AddressVector, DeviceId, GidEntry, GidKind, PortNumber, PortState, Provider, QpHandle, RdmaPort,
};
use smolsmc_wire::{Gid, Mac};

use super::rig::Controlled;
use super::{Random, Sim, SimRig};

/// Devices of [`soft_nic`], each with one port.
pub const SOFT_DEVICES: u8 = 2;

/// Fits the largest path MTU.
const ETHERNET_MTU: u16 = 9000;

/// A NIC with [`SOFT_DEVICES`] devices; those of one place reach each other
/// from any node to any other.
///
/// # Panics
/// If the configuration is refused.
#[must_use]
pub fn soft_nic(node: usize, entropy: u64) -> SoftNic {
    SoftNic::new(&soft_config(node, entropy)).expect("a sound configuration")
}

/// A [`soft_nic`] that does not look at the ICRC: to prove that somebody would
/// notice.
///
/// # Panics
/// If the configuration is refused.
#[must_use]
pub fn careless_nic(node: usize, entropy: u64) -> SoftNic {
    let mut config = soft_config(node, entropy);
    config.verify_icrc = false;
    SoftNic::new(&config).expect("a sound configuration")
}

fn soft_config(node: usize, entropy: u64) -> Config {
    let mut seed = [0; 32];
    let mut random = Random::new(entropy);
    for word in seed.chunks_exact_mut(8) {
        word.copy_from_slice(&random.number().to_le_bytes());
    }
    let mut config = Config::new(seed);
    for device in 0..SOFT_DEVICES {
        let mut port = PortConfig::new(mac(node, device), ETHERNET_MTU);
        // The first device speaks IPv4, the second IPv6 with an IPv4 GID behind.
        let entries = [gid_v4(node, device), gid_v6(node, device)];
        let order = if device == 0 { [0, 1] } else { [1, 0] };
        port.gids.extend(order.map(|n| GidEntry { gid: entries[n], kind: GidKind::RoCEv2, vlan: None }));
        config.devices.push(DeviceConfig::new(vec![port]));
    }
    config.limits.max_qp = 256;
    config.limits.max_cq = 256;
    config.limits.max_pd = 256;
    config.limits.max_mr = 1024;
    config.limits.max_memories = 1024;
    config
}

/// The port of device `device` of any [`soft_nic`].
#[must_use]
pub const fn port_of(device: u8) -> RdmaPort {
    RdmaPort { device: DeviceId(device as u32), port: PortNumber(1) }
}

/// The way to a port with this GID and MAC on the same Ethernet, from a port's
/// first GID.
#[must_use]
pub const fn address_vector(gid: Gid, mac: Mac) -> AddressVector {
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

const fn mac(node: usize, device: u8) -> Mac {
    Mac([0x52, 0x54, 0, 0, node as u8 + 1, device])
}

const fn gid_v4(node: usize, device: u8) -> Gid {
    Gid::from_ipv4([10, 9, device, node as u8 + 1])
}

const fn gid_v6(node: usize, device: u8) -> Gid {
    Gid([0xfd, 0, 0, 0, 0, 0, 0, device, 0, 0, 0, 0, 0, 0, 0, node as u8 + 1])
}

impl Controlled for SoftNic {
    fn set_carrier(&mut self, port: RdmaPort, up: bool) {
        let state = if up { PortState::Active } else { PortState::Down };
        // A device that was unplugged has no carrier to lose.
        let _ = self.set_port_state(port, state);
    }

    fn unplug(&mut self, device: DeviceId) {
        let _ = self.remove_device(device);
    }

    fn fail(&mut self, qp: QpHandle) {
        // One that was destroyed cannot fail any more.
        let _ = self.fail_qp(qp);
    }

    fn refuse(&mut self, registrations: u32) {
        self.refuse_registrations(registrations);
    }
}

impl SimRig<SoftNic> {
    /// Two [`soft_nic`]s on a clean wire.
    ///
    /// # Panics
    /// If they cannot be set up.
    #[must_use]
    pub fn soft(seed: u64) -> Self {
        Self::of(seed, soft_nic)
    }

    /// Two NICs like [`soft_nic`]s from `make` on a clean wire.
    ///
    /// # Panics
    /// If they cannot be set up.
    #[must_use]
    pub fn of(seed: u64, make: impl Fn(usize, u64) -> SoftNic) -> Self {
        let mut random = Random::new(seed);
        let mut sim = Sim::new(random.number());
        for node in 0..2 {
            sim.add(make(node, random.number()));
        }
        let mut ways = |peer: usize| -> Vec<_> {
            (0..SOFT_DEVICES)
                .map(|device| {
                    let port = port_of(device);
                    let nic = sim.nic(peer);
                    let gid = nic.gid(port, 0).expect("a GID table").expect("a first GID").gid;
                    (port, address_vector(gid, mac(peer, device)))
                })
                .collect()
        };
        let (near, far) = (ways(1), ways(0));
        Self::new(sim, near, far)
    }
}
