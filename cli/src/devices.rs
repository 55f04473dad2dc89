//! `smolsmc devices`: RDMA devices of this machine.

use clap::Args;

/// List the RDMA devices of this machine: what SMC-R can run over, and why not over
/// the rest
///
/// Needs a smolsmc that was built with `--features ibverbs`, and the kernel's
/// module ib_uverbs.
#[derive(Args)]
#[command(after_help = "\
Examples:
  smolsmc devices
  smolsmc devices --json | jq 'select(.usable) | .device'

The exit status is 0 if at least one device is usable, else 1.")]
pub(crate) struct Arguments {
    /// One JSON object a line, one for each GID
    #[arg(long)]
    json: bool,
}

/// Why there are no RDMA devices, however many this machine has.
#[cfg(not(feature = "ibverbs"))]
pub(crate) const NOT_BUILT: &str =
    "this smolsmc knows no RDMA devices: build it with --features ibverbs, which needs libibverbs";

/// Runs the command; an error is one sentence.
#[cfg(not(feature = "ibverbs"))]
pub(crate) fn run(_arguments: &Arguments) -> Result<(), String> {
    Err(NOT_BUILT.to_owned())
}

/// Runs the command; an error is one sentence.
#[cfg(feature = "ibverbs")]
pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let devices = smolsmc_ibv::survey().map_err(|error| error.to_string())?;
    for device in &devices {
        if arguments.json { told::json(device) } else { told::text(device) }
    }
    match devices.iter().any(smolsmc_ibv::DeviceReport::is_usable) {
        true => Ok(()),
        false if devices.is_empty() => Err("there is no RDMA device on this machine".to_owned()),
        false => Err("no RDMA device is usable for SMC-R now".to_owned()),
    }
}

#[cfg(feature = "ibverbs")]
mod told {
    use serde_json::json;
    use smolsmc_ibv::DeviceReport;

    pub(super) fn text(device: &DeviceReport) {
        if let Some(refusal) = &device.refusal {
            println!("{}: not usable: {refusal}", device.name);
        }
        for port in &device.ports {
            let place = format!("{}:{}", device.name, port.number);
            match (&port.refusal, port.active_mtu.octets()) {
                (Some(refusal), _) => println!("{place}: not usable: {refusal}"),
                (None, Some(mtu)) => println!("{place}: usable, path MTU {mtu}"),
                (None, None) => println!("{place}: usable"),
            }
            for gid in &port.gids {
                match gid.refusal {
                    Some(refusal) => println!("  {place}:{}  {gid}: not usable: {refusal}", gid.index),
                    None => println!("  {place}:{}  {gid}", gid.index),
                }
            }
        }
    }

    pub(super) fn json(device: &DeviceReport) {
        if let Some(refusal) = &device.refusal {
            println!("{}", json!({ "device": device.name, "usable": false, "reason": refusal }));
        }
        for port in &device.ports {
            let mtu = port.active_mtu.octets();
            if port.gids.is_empty() {
                let reason = &port.refusal;
                let object = json!({ "device": device.name, "port": port.number, "path_mtu": mtu,
                    "usable": false, "reason": reason });
                println!("{object}");
            }
            for gid in &port.gids {
                let reason = port.refusal.as_deref().or(gid.refusal);
                let object = json!({ "device": device.name, "port": port.number, "path_mtu": mtu,
                    "gid_index": gid.index, "gid": gid.entry.gid.to_string(), "interface": gid.interface,
                    "usable": reason.is_none(), "reason": reason });
                println!("{object}");
            }
        }
    }
}
