//! Whether SMC-R can run over what was named.

use crate::{DeviceReport, Selector};

/// Why SMC-R cannot run over what a selector names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unusable {
    /// There is no device of this name.
    #[error("there is no RDMA device {name}: {}", others(there))]
    NoDevice {
        /// What was named.
        name: String,
        /// What there is.
        there: Vec<String>,
    },
    /// The device has no such port.
    #[error("the RDMA device {device} has no port {port}: its last one is {ports}")]
    NoPort {
        /// The device.
        device: String,
        /// What was named.
        port: u8,
        /// How many there are.
        ports: usize,
    },
    /// The port has no such GID.
    #[error("{place} has no GID {index}: there is {}", indexes(there))]
    NoGid {
        /// Device and port.
        place: String,
        /// What was named.
        index: u16,
        /// What there is.
        there: Vec<u16>,
    },
    /// There is what was named, but it cannot carry SMC-R now.
    #[error("{place} is not usable: {why}")]
    Refused {
        /// Device, port or GID.
        place: String,
        /// The reason.
        why: String,
    },
}

fn others(there: &[String]) -> String {
    if there.is_empty() {
        "this machine has none".to_owned()
    } else {
        format!("there is {}", there.join(", "))
    }
}

fn indexes(there: &[u16]) -> String {
    if there.is_empty() {
        return "none".to_owned();
    }
    there.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
}

/// Whether SMC-R can run over what `selector` names, `devices` being all there is.
///
/// # Errors
/// [`Unusable`]: why not.
pub fn usable(devices: &[DeviceReport], selector: &Selector) -> Result<(), Unusable> {
    let Selector { device: name, port: number, gid } = selector;
    let device = devices.iter().find(|device| device.name == *name);
    let there = || devices.iter().map(|device| device.name.clone()).collect();
    let device = device.ok_or_else(|| Unusable::NoDevice { name: name.clone(), there: there() })?;
    let refused = |place: String, why: &str| Unusable::Refused { place, why: why.to_owned() };
    if let Some(why) = &device.refusal {
        return Err(refused(name.clone(), why));
    }
    let port = device.ports.iter().find(|port| port.number == *number);
    let port = port.ok_or_else(|| Unusable::NoPort {
        device: name.clone(),
        port: *number,
        ports: device.ports.len(),
    })?;
    let place = format!("{name}:{number}");
    if let Some(index) = *gid {
        let there = || port.gids.iter().map(|gid| gid.index).collect();
        let found = port.gids.iter().find(|gid| gid.index == index);
        let found = found.ok_or_else(|| Unusable::NoGid { place: place.clone(), index, there: there() })?;
        if let Some(why) = found.refusal {
            return Err(refused(selector.to_string(), &format!("its GID {} is {why}", found.entry.gid)));
        }
    }
    port.refusal.as_ref().map_or(Ok(()), |why| Err(refused(place, why)))
}

#[cfg(test)]
#[path = "usable_tests.rs"]
mod tests;
