//! Wires of shared memory: `--link shm:PATH` and `shm-listen:PATH`.

use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use smolsmc::{Config, Duration, RdmaPort};
use smolsmc_ethernet::DownReason;
use smolsmc_shm::{Listener, OpenError, Opening, ShmNic, ShmPort};
use smolsmc_verbs::{DeviceId, GidEntry, GidKind, PortNumber};
use smolsmc_wire::Gid;

/// How long a peer that has come may take to greet.
const GREETING: Duration = Duration::from_secs(5);

/// Whether a link is a wire of shared memory.
pub(super) fn is_wire(link: &str) -> bool {
    link.starts_with("shm:") || link.starts_with("shm-listen:")
}

/// Waits for the peer of each link, and makes a NIC with a device for each;
/// `config` then says which is whose. An error is one sentence.
pub(super) fn open(
    links: &[String],
    config: &mut Config,
    stop: &AtomicBool,
) -> Result<(ShmNic, Vec<ShmPort>), String> {
    let failed = |error: OpenError| format!("{}: {error}", links.join(", "));
    let mut opening = Opening::new(smolsmc_shm::Config::new(config.entropy)).map_err(failed)?;
    for ((link, port), number) in links.iter().zip(&mut config.ports).zip(0..) {
        let gids = port.addresses.iter().map(|&(address, _)| {
            let gid = match address {
                IpAddr::V4(address) => Gid::from_ipv4(address.octets()),
                IpAddr::V6(address) => Gid(address.octets()),
            };
            GidEntry { gid, kind: GidKind::RoCEv2, vlan: port.vlan }
        });
        let mut gids = gids.collect::<Vec<_>>().into_iter();
        let Some(first) = gids.next() else { return Err(format!("{link}: it has no --ip")) };
        let mut end = smolsmc_shm::PortConfig::new(port.mac, first);
        end.gids.extend(gids);
        end.ethernet_mtu = port.ethernet_mtu;
        port.rdma = Some(RdmaPort { device: DeviceId(number), port: PortNumber(1) });
        opening.greet(socket(link, stop)?, end).map_err(failed)?;
    }
    opening.complete(GREETING).map_err(failed)
}

/// A socket with the peer at its other end.
fn socket(link: &str, stop: &AtomicBool) -> Result<UnixStream, String> {
    let (kind, path) = link.split_once(':').unwrap_or((link, ""));
    if path.is_empty() {
        return Err(format!("{link}: nothing follows the colon, and a path should"));
    }
    let path = Path::new(path);
    let failed = |error: OpenError| format!("{link}: {error}{}", hint(kind, &error));
    if kind == "shm" {
        return smolsmc_shm::connect(path).map_err(failed);
    }
    let listener = Listener::bind(path).map_err(failed)?;
    eprintln!("{link}: {}", DownReason::NoPeerYet);
    while !stop.load(Ordering::Relaxed) {
        match listener.accept(super::LONGEST_SLEEP) {
            Err(OpenError::TimedOut) => {}
            accepted => return accepted.map_err(failed),
        }
    }
    Err(format!("{link}: interrupted before a peer came"))
}

/// What usually helps, as the end of a sentence.
fn hint(kind: &str, error: &OpenError) -> &'static str {
    use std::io::ErrorKind::{AddrInUse, ConnectionRefused, NotFound};
    let OpenError::System(error) = error else { return "" };
    match (kind, error.kind()) {
        ("shm", NotFound) => "; nothing listens there yet",
        ("shm", ConnectionRefused) => "; whoever listened there is gone",
        ("shm-listen", AddrInUse) => "; remove the file if nobody listens there any more",
        _ => "",
    }
}
