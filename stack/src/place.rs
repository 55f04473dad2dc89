//! Where a link can be: an RDMA port, and its GID there.

use smolsmc_verbs::{CqHandle, Provider, RdmaPort};
use smolsmc_wire::{Gid, Mac, MtuCode};

/// What a link is made on.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) port: usize,
    pub(crate) rdma: RdmaPort,
    pub(crate) cq: CqHandle,
    pub(crate) gid_index: u16,
    pub(crate) gid: Gid,
    pub(crate) mac: Mac,
    pub(crate) mtu: MtuCode,
    pub(crate) is_direct: bool,
}

/// What can be read of a list of GIDs: the first one over RoCEv2 that is
/// IPv4-mapped, as Linux 6.12 smc_ib chooses it, in the port's VLAN and subnet.
pub(crate) fn choose_gid<P: Provider>(
    provider: &P,
    rdma: RdmaPort,
    vlan: Option<u16>,
    is_on_subnet: impl Fn([u8; 4]) -> bool,
) -> Option<(u16, Gid)> {
    let len = provider.port(rdma).ok()?.gid_table_len;
    (0..len).find_map(|index| {
        let entry = provider.gid(rdma, index).ok()??;
        let usable = entry.kind == smolsmc_verbs::GidKind::RoCEv2 && entry.vlan == vlan;
        (usable && is_on_subnet(entry.gid.ipv4()?)).then_some((index, entry.gid))
    })
}
