//! What carries a node's RDMA: `--rdma soft` and `--rdma ibverbs:DEVICE`.

use serde_json::{Value, json};
use smolsmc::{Config, Instant, Stack};
use smolsmc_ibv::Selector;

use super::Nic;
use super::shm::is_wire;
#[cfg(not(feature = "ibverbs"))]
use crate::devices::NOT_BUILT;

/// One `--rdma`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rdma {
    /// A NIC in software: RoCE is made of the links' frames.
    Soft,
    /// An RDMA device of the kernel.
    Ibverbs(Selector),
}

/// What is wanted, as a part of a sentence.
const WANTED: &str = "soft or ibverbs:DEVICE[:PORT[:GID]] is wanted";

/// Reads one `--rdma`; an error is one sentence.
pub(super) fn parse(text: &str) -> Result<Rdma, String> {
    match text.split_once(':') {
        None if text == "soft" => Ok(Rdma::Soft),
        Some(("ibverbs", selector)) => selector.parse().map(Rdma::Ibverbs).map_err(|error| error.to_string()),
        _ if text == "ibverbs" => Err(format!("which RDMA device? {WANTED}")),
        _ => Err(WANTED.to_owned()),
    }
}

/// The devices of the links, in their order; none if RDMA needs no device of the
/// kernel. An error is one sentence.
pub(super) fn devices(rdma: &[Rdma], links: &[String]) -> Result<Vec<Selector>, String> {
    let devices: Vec<_> = rdma
        .iter()
        .filter_map(|rdma| match rdma {
            Rdma::Soft => None,
            Rdma::Ibverbs(selector) => Some(selector.clone()),
        })
        .collect();
    if devices.is_empty() {
        return Ok(devices);
    }
    if devices.len() < rdma.len() {
        return Err("--rdma of one node is soft for all links, or ibverbs for all".to_owned());
    }
    if let Some(link) = links.iter().find(|link| is_wire(link)) {
        return Err(format!(
            "{link}: a wire of shared memory carries RDMA itself; --rdma ibverbs goes with packet:IFNAME"
        ));
    }
    if devices.len() != links.len() {
        let (wanted, given) = (links.len(), devices.len());
        return Err(format!(
            "links and --rdma ibverbs come in pairs, in the same order: {wanted} and {given}"
        ));
    }
    let place = |selector: &Selector| (selector.device.clone(), selector.port);
    for (number, device) in devices.iter().enumerate() {
        if devices.iter().take(number).any(|other| place(other) == place(device)) {
            return Err(format!("{device}: two links over one port would fail together; name another one"));
        }
    }
    Ok(devices)
}

/// What carries each of so many links, as `ss` names it.
pub(super) fn names(devices: &[Selector], links: usize) -> Vec<Value> {
    let name = |number: usize| match devices.get(number) {
        Some(Selector { device, port, .. }) => json!({ "device": device, "port": port }),
        None => json!({ "device": format!("soft{}", number + 1), "port": 1 }),
    };
    (0..links).map(name).collect()
}

/// A stack on a NIC in software, or on these devices of the kernel; an error is
/// one sentence.
pub(super) fn stack(devices: &[Selector], config: Config, now: Instant) -> Result<Stack<Nic>, String> {
    if devices.is_empty() {
        return smolsmc::soft_as(config, now, Nic::Soft).map_err(|error| error.to_string());
    }
    over_devices(devices, config, now)
}

#[cfg(not(feature = "ibverbs"))]
fn over_devices(_devices: &[Selector], _config: Config, _now: Instant) -> Result<Stack<Nic>, String> {
    Err(NOT_BUILT.to_owned())
}

#[cfg(feature = "ibverbs")]
fn over_devices(devices: &[Selector], mut config: Config, now: Instant) -> Result<Stack<Nic>, String> {
    let nic = smolsmc_ibv::IbvNic::open(devices).map_err(|error| error.to_string())?;
    for (port, device) in config.ports.iter_mut().zip(devices) {
        port.rdma = nic.port_of(device);
    }
    Stack::new(config, Nic::Ibv(nic), now).map_err(|error| error.to_string())
}

/// Fails if one of these devices cannot carry SMC-R now, or is not there at all.
#[cfg(feature = "ibverbs")]
pub(super) fn ensure_usable(devices: &[Selector]) -> Result<(), String> {
    // Software needs no RDMA support of the kernel.
    if devices.is_empty() {
        return Ok(());
    }
    let there = smolsmc_ibv::survey().map_err(|error| error.to_string())?;
    devices.iter().try_for_each(|device| smolsmc_ibv::usable(&there, device)).map_err(|why| why.to_string())
}

/// Fails: this command was built without RDMA devices.
#[cfg(not(feature = "ibverbs"))]
pub(super) fn ensure_usable(devices: &[Selector]) -> Result<(), String> {
    if devices.is_empty() { Ok(()) } else { Err(NOT_BUILT.to_owned()) }
}

#[cfg(test)]
#[path = "rdma_tests.rs"]
mod tests;
