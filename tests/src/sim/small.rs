use std::net::IpAddr;

use smolsmc::{Config, SoftNic, Stack};
use smolsmc_roce::nic;
use smolsmc_verbs::{DeviceId, GidEntry, GidKind, PortNumber, RdmaPort};
use smolsmc_wire::{Gid, Instant};

/// A stack as [`smolsmc::soft`] makes it, on a NIC that is quickly made: 32
/// queue pairs, and so many registrations and pieces of memory.
///
/// # Panics
/// If the configuration is refused.
#[must_use]
pub fn small_stack(mut config: Config, registrations: u32, now: Instant) -> Stack<SoftNic> {
    let mut nic = nic::Config::new(config.entropy);
    let limits = &mut nic.limits;
    (limits.max_qp, limits.max_pd, limits.max_cq, limits.max_devices) = (32, 32, 8, 4);
    (limits.max_mr, limits.max_memories, limits.memory_octets) = (registrations, registrations, 32 << 20);
    for (port, number) in config.ports.iter_mut().zip(0..) {
        let mut rdma = nic::PortConfig::new(port.mac, port.ethernet_mtu);
        for &(address, _) in &port.addresses {
            let IpAddr::V4(address) = address else { continue };
            let gid = Gid::from_ipv4(address.octets());
            rdma.gids.push(GidEntry { gid, kind: GidKind::RoCEv2, vlan: None });
        }
        nic.devices.push(nic::DeviceConfig::new(vec![rdma]));
        port.rdma = Some(RdmaPort { device: DeviceId(number), port: PortNumber(1) });
    }
    let nic = SoftNic::new(&nic).expect("a sound NIC");
    Stack::new(config, nic, now).expect("a sound configuration")
}
