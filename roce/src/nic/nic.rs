//! The NIC as a whole: its devices and ports, and what can be done to it
//! beside verbs.

use alloc::boxed::Box;
use alloc::vec::Vec;

use smolsmc_verbs::{
    CqHandle, DeviceId, GidEntry, PdHandle, PortNumber, PortState, QpHandle, RdmaPort, VerbsError,
};

use super::board::{Board, Port};
use super::config::{self, Config, ConfigError, DeviceConfig, Limits, MAX_PORTS, PortConfig};
use super::counters::{Counters, Objects, QpCounters};
use super::cq::CqTable;
use super::entropy::{Entropy, KeySpace};
use super::event::{Note, Notes};
use super::gone::GoneQps;
use super::memory::MemoryTable;
use super::qp::{NO_PORT, Qp};
use super::schedule::Schedule;
use super::slots::Slots;
use super::timers::Timers;

/// A NIC in software: a [`Provider`](smolsmc_verbs::Provider) whose queue pairs
/// speak RoCEv2, and the [`FrameEngine`](smolsmc_verbs::FrameEngine) that wants
/// its frames carried.
#[derive(Debug)]
pub struct SoftNic {
    pub(super) qps: Slots<Box<Qp>>,
    pub(super) qpns: KeySpace,
    pub(super) gone: GoneQps,
    pub(super) verify_icrc: bool,
    pub(super) board: Board,
    pub(super) pds: Slots<Pd>,
    pub(super) devices: Vec<Device>,
    next_device: u32,
    pub(super) entropy: Entropy,
    pub(super) limits: Limits,
}

/// A protection domain.
#[derive(Debug)]
pub(super) struct Pd {
    pub(super) device: DeviceId,
    /// Registrations and queue pairs.
    pub(super) users: u32,
}

/// A device; it stays, as `gone`, as long as something is made on it.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) id: DeviceId,
    /// Places of its ports, in their order.
    pub(super) ports: Vec<u32>,
    pub(super) gone: bool,
    /// Protection domains and completion queues.
    pub(super) users: u32,
}

impl SoftNic {
    /// A NIC made from `config`.
    ///
    /// # Errors
    /// [`ConfigError`], for a limit, device, port or GID that cannot be.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        config.check()?;
        let limits = config.limits;
        let (qpns, keys) = config::key_spaces(config);
        let memory = MemoryTable::new(limits.max_memories, limits.max_mr, limits.memory_octets, keys);
        let max_ports = limits.max_devices * MAX_PORTS as u32;
        // One of each kind for each object.
        let notes =
            Notes::new((limits.max_qp + limits.max_cq + 2 * limits.max_devices + 2 * max_ports) as usize);
        let timers = Timers::new(limits.max_qp);
        let cqs = CqTable::new(limits.max_cq);
        let mut nic = Self {
            qps: Slots::new(limits.max_qp),
            qpns,
            gone: GoneQps::new(limits.gone_qps),
            verify_icrc: config.verify_icrc,
            board: Board::new(config.window, memory, cqs, notes, timers, Slots::new(max_ports)),
            pds: Slots::new(limits.max_pd),
            devices: Vec::with_capacity(limits.max_devices as usize),
            next_device: 0,
            entropy: Entropy::new(config.entropy),
            limits,
        };
        for device in &config.devices {
            nic.make_device(device)?;
        }
        Ok(nic)
    }

    // ---- devices and ports that come and go ----

    /// Adds a device; [`AsyncEvent::DeviceAdded`](smolsmc_verbs::AsyncEvent::DeviceAdded) tells of it.
    ///
    /// # Errors
    /// [`ConfigError`], also if nobody fetches the events.
    pub fn add_device(&mut self, device: &DeviceConfig) -> Result<DeviceId, ConfigError> {
        // Room for its going has to be left, too.
        if self.board.notes.devices() + 2 > 2 * self.limits.max_devices as usize {
            return Err(ConfigError::TooManyDevices);
        }
        let id = self.make_device(device)?;
        self.board.notes.push(Note::DeviceAdded(id));
        Ok(id)
    }

    /// Takes a device away, as if it were pulled: its queue pairs are in ERR,
    /// what was posted is flushed, its ports and GIDs are gone. Completions can
    /// still be polled; otherwise its objects can only be destroyed.
    ///
    /// # Errors
    /// [`ConfigError::NoSuch`].
    pub fn remove_device(&mut self, id: DeviceId) -> Result<(), ConfigError> {
        let device = self.devices.iter_mut().find(|device| device.id == id && !device.gone);
        let device = device.ok_or(ConfigError::NoSuch("device"))?;
        device.gone = true;
        let ports = core::mem::take(&mut device.ports);
        for qp in self.qps.iter_mut().filter(|qp| qp.device == id) {
            qp.enter_error(&mut self.board);
            qp.leave_schedule(&mut self.board);
            qp.dead = true;
            qp.port = NO_PORT;
        }
        for slot in ports {
            self.gone.forget_port(slot);
            if let Some(port) = self.board.ports.remove(slot) {
                self.board.notes.forget(Note::PortState(port.name));
                self.board.notes.forget(Note::Gids(port.name));
            }
        }
        self.board.notes.push(Note::DeviceGone(id));
        self.bury_devices();
        self.settle();
        Ok(())
    }

    /// Brings a port up or down. Down, frames are lost in both directions;
    /// queue pairs do not notice but by their timers.
    ///
    /// # Errors
    /// [`ConfigError::NoSuch`].
    pub fn set_port_state(&mut self, port: RdmaPort, state: PortState) -> Result<(), ConfigError> {
        let slot = self.port_slot(port).ok_or(ConfigError::NoSuch("port"))?;
        let found = self.board.ports.get_mut(slot).ok_or(ConfigError::NoSuch("port"))?;
        if found.state != state {
            found.state = state;
            self.board.notes.push_once(Note::PortState(port));
            for qp in self.qps.iter_mut().filter(|qp| qp.port == slot) {
                qp.wake(&mut self.board);
            }
        }
        Ok(())
    }

    /// Changes what an Ethernet frame can carry on a port, and with it the path
    /// MTU of queue pairs that become ready from now on.
    ///
    /// # Errors
    /// [`ConfigError::NoSuch`], [`ConfigError::EthernetMtu`].
    pub fn set_ethernet_mtu(&mut self, port: RdmaPort, ethernet_mtu: u16) -> Result<(), ConfigError> {
        let mtu = config::path_mtu(ethernet_mtu)?;
        self.port_mut(port)?.active_mtu = mtu;
        Ok(())
    }

    /// Adds a GID to the first free entry of a port's table and returns its
    /// index; [`AsyncEvent::GidChange`](smolsmc_verbs::AsyncEvent::GidChange) tells of it.
    ///
    /// # Errors
    /// [`ConfigError`]: no such port, no free entry, a GID that cannot be.
    pub fn add_gid(&mut self, port: RdmaPort, entry: GidEntry) -> Result<u16, ConfigError> {
        let index = self.port_mut(port)?.add_gid(entry)?;
        self.board.notes.push_once(Note::Gids(port));
        Ok(index)
    }

    /// Frees an entry of a port's GID table. Queue pairs that use it go on
    /// sending from it, but nothing is claimed for it any more.
    ///
    /// # Errors
    /// [`ConfigError::NoSuch`].
    pub fn remove_gid(&mut self, port: RdmaPort, index: u16) -> Result<(), ConfigError> {
        let found = self.port_mut(port)?;
        let entry = found.gids.get_mut(usize::from(index));
        *entry.filter(|entry| entry.is_some()).ok_or(ConfigError::NoSuch("GID"))? = None;
        found.gids_used = found.gids.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        self.board.notes.push_once(Note::Gids(port));
        Ok(())
    }

    fn make_device(&mut self, config: &DeviceConfig) -> Result<DeviceId, ConfigError> {
        if self.devices.len() >= self.limits.max_devices as usize {
            return Err(ConfigError::TooManyDevices);
        }
        let count = config.ports.len();
        if !(1..=MAX_PORTS).contains(&count) {
            return Err(ConfigError::Ports(count));
        }
        let id = DeviceId(self.next_device);
        let made: Result<Vec<Port>, _> =
            (1..).zip(&config.ports).map(|(n, port)| Port::new(id, n, port, self.limits.max_qp)).collect();
        let ports = made?.into_iter().filter_map(|port| self.board.ports.insert(|_, _| port)).map(|at| at.0);
        let ports = ports.collect();
        self.next_device += 1;
        self.devices.push(Device { id, ports, gone: false, users: 0 });
        Ok(id)
    }

    // ---- what was counted ----

    /// Everything counted since the NIC was made.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.board.counters
    }

    /// What a queue pair counted since it was made.
    ///
    /// # Errors
    /// [`VerbsError::NoSuch`].
    pub fn qp_counters(&self, qp: QpHandle) -> Result<QpCounters, VerbsError> {
        Ok(self.named_qp(qp)?.counters)
    }

    /// What there is now: to see that everything was given back.
    #[must_use]
    pub fn objects(&self) -> Objects {
        let (memories, mrs) = self.board.memory.counts();
        let (pds, cqs, qps) = (self.pds.count(), self.board.cqs.count(), self.qps.count());
        Objects { pds, cqs, qps, memories, mrs }
    }

    // ---- finding things ----

    #[inline]
    pub(super) fn port_slot(&self, port: RdmaPort) -> Option<u32> {
        let device = self.devices.iter().find(|device| device.id == port.device)?;
        device.ports.get(usize::from(port.port.0).checked_sub(1)?).copied()
    }

    fn port_mut(&mut self, port: RdmaPort) -> Result<&mut Port, ConfigError> {
        let slot = self.port_slot(port).ok_or(ConfigError::NoSuch("port"))?;
        self.board.ports.get_mut(slot).ok_or(ConfigError::NoSuch("port"))
    }

    /// A device that is there.
    pub(super) fn device_mut(&mut self, id: DeviceId) -> Result<&mut Device, VerbsError> {
        match self.devices.iter_mut().find(|device| device.id == id) {
            Some(device) if !device.gone => Ok(device),
            None if id.0 >= self.next_device => Err(VerbsError::NoSuch("device")),
            _ => Err(VerbsError::DeviceGone),
        }
    }

    pub(super) fn pd_mut(&mut self, pd: PdHandle) -> Result<&mut Pd, VerbsError> {
        self.pds.named_mut(pd.index(), pd.generation()).ok_or(VerbsError::NoSuch("PD"))
    }

    #[inline]
    pub(super) fn named_qp(&self, qp: QpHandle) -> Result<&Qp, VerbsError> {
        let found = self.qps.named(qp.index(), qp.generation());
        found.map(|qp| &**qp).ok_or(VerbsError::NoSuch("QP"))
    }

    pub(super) fn cq_device(&self, cq: CqHandle) -> Result<DeviceId, VerbsError> {
        Ok(self.board.cqs.named(cq).ok_or(VerbsError::NoSuch("CQ"))?.device)
    }

    /// One object less on a device.
    pub(super) fn leave_device(&mut self, id: DeviceId) {
        if let Some(device) = self.devices.iter_mut().find(|device| device.id == id) {
            device.users -= 1;
        }
        self.bury_devices();
    }

    /// Forgets devices that are gone and of which nothing is left.
    fn bury_devices(&mut self) {
        self.devices.retain(|device| !device.gone || device.users > 0);
    }

    /// Does what a completion queue that overflowed means for its queue pairs.
    /// At the end of every call that may complete something.
    #[inline]
    pub(super) fn settle(&mut self) {
        while let Some(lost) = self.board.cqs.next_lost() {
            self.lose_cq(lost);
        }
    }

    #[cold]
    fn lose_cq(&mut self, (index, handle): (u32, CqHandle)) {
        self.board.counters.cq_overflows += 1;
        self.board.notes.push(Note::CqError(handle));
        for qp in self.qps.iter_mut().filter(|qp| qp.send_cq == index || qp.recv_cq == index) {
            qp.fail(&mut self.board);
        }
    }
}

impl Port {
    fn new(device: DeviceId, number: u8, config: &PortConfig, max_qp: u32) -> Result<Self, ConfigError> {
        let active_mtu = config.check()?;
        let mut port = Self {
            name: RdmaPort { device, port: PortNumber(number) },
            mac: config.mac,
            active_mtu,
            state: config.state,
            gids: alloc::vec![None; usize::from(config.gid_table_len)],
            gids_used: 0,
            schedule: Schedule::new(max_qp),
        };
        for gid in &config.gids {
            port.add_gid(*gid)?;
        }
        Ok(port)
    }

    fn add_gid(&mut self, entry: GidEntry) -> Result<u16, ConfigError> {
        config::check_gid(&entry)?;
        if self.has_gid(entry.gid, entry.vlan) {
            return Err(ConfigError::DuplicateGid);
        }
        let free = self.gids.iter_mut().enumerate().find(|(_, place)| place.is_none());
        let (index, place) = free.ok_or(ConfigError::GidTableFull)?;
        *place = Some(entry);
        self.gids_used = self.gids_used.max(index + 1);
        Ok(index as u16)
    }
}
