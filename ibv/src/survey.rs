//! What RDMA devices there are, and why one is not usable.

use std::fmt;
use std::io;

use ibverbs_sys as ffi;
use smolsmc_verbs::{GidEntry, GidKind};
use smolsmc_wire::MtuCode;

use crate::nic::read_gid;
use crate::raw::{Context, IfNames};

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SurveyError {
    /// The kernel has no RDMA support loaded.
    #[error("the kernel has no RDMA devices: the module ib_uverbs is not loaded")]
    NoSupport,
    /// The list could not be had.
    #[error("the list of RDMA devices cannot be read: {0}")]
    System(io::Error),
}

/// A device.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeviceReport {
    /// The kernel's name of it.
    pub name: String,
    /// Its ports, if it could be opened.
    pub ports: Vec<PortReport>,
    /// Why it cannot be used at all.
    pub refusal: Option<String>,
}

/// A port.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PortReport {
    /// Its number, from 1.
    pub number: u8,
    /// The largest path MTU it can take now.
    pub active_mtu: MtuCode,
    /// The GIDs it has.
    pub gids: Vec<GidReport>,
    /// Why SMC-R cannot run over it now; `None` if it can.
    pub refusal: Option<String>,
}

/// A GID.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GidReport {
    /// Its place in the table.
    pub index: u16,
    /// What it is.
    pub entry: GidEntry,
    /// The network device it belongs to.
    pub interface: Option<String>,
    /// Why SMC-R cannot run over it; `None` if it can.
    pub refusal: Option<&'static str>,
}

impl DeviceReport {
    /// Whether SMC-R can run over one of its ports now.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.refusal.is_none() && self.ports.iter().any(|port| port.refusal.is_none())
    }
}

impl fmt::Display for GidReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.entry.kind {
            GidKind::InfiniBand => "InfiniBand",
            GidKind::RoCEv1 => "RoCEv1",
            GidKind::RoCEv2 => "RoCEv2",
        };
        write!(f, "{} {kind}", self.entry.gid)?;
        self.interface.as_ref().map_or(Ok(()), |name| write!(f, " on {name}"))
    }
}

/// Looks at all devices.
///
/// # Errors
/// [`SurveyError`]; what is wrong with one device is in its report.
pub fn survey() -> Result<Vec<DeviceReport>, SurveyError> {
    const ENOSYS: i32 = 38;
    let list = ibverbs::devices().map_err(|error| match error.raw_os_error() {
        Some(ENOSYS) => SurveyError::NoSupport,
        _ => SurveyError::System(error),
    })?;
    let names = IfNames::new().map_err(|errno| SurveyError::System(io::Error::from_raw_os_error(errno)))?;
    let name = |device: ibverbs::Device<'_>| {
        device.name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    };
    Ok(list.iter().map(name).map(|name| look_at(name, &names)).collect())
}

fn look_at(name: String, names: &IfNames) -> DeviceReport {
    let ports = |context: Context| {
        let count = context.query_device()?.phys_port_cnt;
        (1..=count).map(|number| look_at_port(&context, number, names)).collect()
    };
    let found: Result<Vec<_>, _> = match Context::open(&name) {
        None => Err("it has just gone".to_owned()),
        Some(opened) => {
            opened.and_then(ports).map_err(|errno| io::Error::from_raw_os_error(errno).to_string())
        }
    };
    match found {
        Ok(ports) => DeviceReport { name, ports, refusal: None },
        Err(reason) => {
            DeviceReport { name, ports: Vec::new(), refusal: Some(format!("it cannot be opened: {reason}")) }
        }
    }
}

fn look_at_port(context: &Context, number: u8, names: &IfNames) -> Result<PortReport, i32> {
    let port = context.query_port(number)?;
    let mut gids = Vec::new();
    for index in 0..u16::try_from(port.gid_tbl_len).unwrap_or(0) {
        if let Some(found) = context.query_gid(number, index)? {
            let entry = read_gid(&found, names);
            let refusal = gid_refusal(&entry);
            gids.push(GidReport { index, entry, interface: names.name(found.ndev_ifindex), refusal });
        }
    }
    let active_mtu = MtuCode::from_code(u8::try_from(port.active_mtu).unwrap_or(0));
    let refusal = if port.state != ffi::ibv_port_state::IBV_PORT_ACTIVE {
        Some("the port is down".to_owned())
    } else if u32::from(port.link_layer) == ffi::IBV_LINK_LAYER_INFINIBAND {
        Some("it is an InfiniBand port; SMC-R needs Ethernet".to_owned())
    } else if gids.iter().all(|gid| gid.refusal.is_some()) {
        Some("no GID is usable: the network device needs an IPv4 address".to_owned())
    } else {
        None
    };
    Ok(PortReport { number, active_mtu, gids, refusal })
}

/// Why a GID cannot carry SMC-Rv2.
fn gid_refusal(entry: &GidEntry) -> Option<&'static str> {
    match entry.kind {
        GidKind::InfiniBand => Some("an InfiniBand GID"),
        GidKind::RoCEv1 => Some("RoCEv1; SMC-Rv2 needs RoCEv2"),
        GidKind::RoCEv2 if entry.gid.ipv4().is_none() => Some("IPv6; SMC-Rv2 needs an IPv4 address"),
        GidKind::RoCEv2 if entry.vlan.is_some() => Some("on a VLAN, which the stack does not know"),
        GidKind::RoCEv2 => None,
    }
}
