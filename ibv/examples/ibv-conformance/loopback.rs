//! Both sides are one device: what it sends comes back to it.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration as StdDuration;

use smolsmc_ibv::{IbvNic, Selector};
use smolsmc_verbs::conformance::{Ability, Disturbance, Rig, Side};
use smolsmc_verbs::{AddressVector, GidKind, PortState, Provider, RdmaPort};
use smolsmc_wire::{Duration, Instant};

/// A port and how it reaches itself.
struct Place {
    port: RdmaPort,
    path: AddressVector,
    /// The network device below it.
    interface: Option<PathBuf>,
}

pub(crate) struct Loopback {
    nic: IbvNic,
    places: Vec<Place>,
    start: std::time::Instant,
    is_rxe: bool,
    control: bool,
    patience: Duration,
}

impl Loopback {
    /// `patience` is how long to wait for what must happen.
    pub(crate) fn new(selectors: &[Selector], control: bool, patience: Duration) -> Result<Self, String> {
        let nic = IbvNic::open(selectors).map_err(|error| error.to_string())?;
        let mut rig = Self {
            nic,
            places: Vec::new(),
            start: std::time::Instant::now(),
            is_rxe: are_rxe(selectors),
            control,
            patience,
        };
        for selector in selectors {
            let place = rig.place(selector)?;
            rig.places.push(place);
        }
        Ok(rig)
    }

    fn place(&self, selector: &Selector) -> Result<Place, String> {
        let port = self.nic.port_of(selector).ok_or_else(|| format!("{selector} is gone"))?;
        let attributes = self.nic.port(port).map_err(|error| format!("{selector}: {error}"))?;
        let usable = |index| {
            let entry = self.nic.gid(port, index).ok()??;
            (entry.kind == GidKind::RoCEv2 && entry.gid.ipv4().is_some()).then_some((index, entry.gid))
        };
        let (source_gid_index, destination_gid) = (0..attributes.gid_table_len)
            .find_map(usable)
            .ok_or_else(|| format!("{selector} has no IPv4 address"))?;
        let path = AddressVector {
            source_gid_index,
            destination_gid,
            destination_mac: attributes.mac,
            flow_label: 0,
            traffic_class: 0,
            hop_limit: 1,
            service_level: 0,
        };
        Ok(Place { port, path, interface: below(&selector.device) })
    }

    /// Why this rig cannot do something.
    pub(crate) fn why_not(&self, ability: Ability) -> &'static str {
        match ability {
            Ability::SilentPeer if self.is_rxe => " (rxe takes a retry count of 7 for infinite)",
            Ability::DeviceRemoval => " (both sides are one device; `linux-peer` has a scenario for it)",
            Ability::QpFailure => " (no verb makes a queue pair fail by itself)",
            Ability::RegistrationRefusal => " (no verb makes a registration fail)",
            _ => "",
        }
    }

    /// Sets the network device below a port up or down, and waits until the port
    /// follows.
    fn set_up(&mut self, index: usize, up: bool) {
        const IFF_UP: u32 = 1;
        let Some(Place { interface: Some(interface), port, .. }) = self.places.get(index) else { return };
        let (path, port) = (interface.join("flags"), *port);
        let text = fs::read_to_string(&path).unwrap_or_default();
        let flags = u32::from_str_radix(text.trim().trim_start_matches("0x"), 16).unwrap_or(0x1002);
        let flags = if up { flags | IFF_UP } else { flags & !IFF_UP };
        if let Err(error) = fs::write(&path, format!("{flags:#x}")) {
            eprintln!("{}: {error}", path.display());
        }
        let wanted = if up { PortState::Active } else { PortState::Down };
        for _ in 0..10_000 {
            if self.nic.port(port).is_ok_and(|port| port.state == wanted) {
                return;
            }
            thread::sleep(StdDuration::from_millis(1));
        }
        eprintln!("the port does not follow {}", path.display());
    }
}

/// Whether these are devices in software.
pub(crate) fn are_rxe(selectors: &[Selector]) -> bool {
    selectors.iter().all(|selector| below(&selector.device).is_some())
}

/// The network device an rxe device was made on; hardware has none to name.
fn below(device: &str) -> Option<PathBuf> {
    let name = fs::read_to_string(format!("/sys/class/infiniband/{device}/parent")).ok()?;
    Some(Path::new("/sys/class/net").join(name.trim()))
}

/// A case may end with a port down; the next one finds it up.
impl Drop for Loopback {
    fn drop(&mut self) {
        if self.control {
            (0..self.places.len()).for_each(|index| self.set_up(index, true));
        }
    }
}

impl Rig for Loopback {
    type Provider = IbvNic;

    fn nic(&mut self, _side: Side) -> &mut IbvNic {
        &mut self.nic
    }

    fn port(&self, _side: Side, index: usize) -> RdmaPort {
        self.places[index].port
    }

    fn path(&self, _side: Side, index: usize) -> AddressVector {
        self.places[index].path
    }

    fn step(&mut self) {
        thread::sleep(StdDuration::from_micros(50));
    }

    fn now(&self) -> Instant {
        Instant::from_micros(self.start.elapsed().as_micros() as u64)
    }

    fn can(&self, ability: Ability) -> bool {
        match ability {
            Ability::Read | Ability::WriteWithImmediate | Ability::ReceiverNotReady => true,
            Ability::SilentPeer => !self.is_rxe,
            Ability::SecondDevice => self.places.len() > 1,
            Ability::PortControl => self.control && self.places.iter().all(|place| place.interface.is_some()),
            _ => false,
        }
    }

    fn disturb(&mut self, what: Disturbance) {
        match what {
            Disturbance::PortDown(_, index) => self.set_up(index, false),
            Disturbance::PortUp(_, index) => self.set_up(index, true),
            other => eprintln!("this rig cannot do {other:?}"),
        }
    }

    fn patience(&self) -> Duration {
        self.patience
    }
}
