//! The NIC as a whole: its wires, and what can be done to it beside verbs.

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use smolsmc_verbs::{CqHandle, DeviceId, PdHandle, PortState, QpHandle, RdmaPort, VerbsError};
use smolsmc_wire::{Duration, Instant};

use super::Counters;
use super::board::Board;
use super::cq::CqTable;
use super::device::{Device, PORT};
use super::entropy::Entropy;
use super::memory::MemoryTable;
use super::notes::{Note, Notes};
use super::qp::Qp;
use super::slots::Slots;
use crate::config::{Config, Limits, PortConfig};
use crate::error::{ConfigError, WireFault};
use crate::layout::{self, port};
use crate::map::Map;
use crate::wire::Wire;

/// One side's NIC: a [`Provider`](smolsmc_verbs::Provider) with a device for
/// each of its wires. A WRITE is one copy into the peer's registered memory,
/// done while posting.
#[derive(Debug)]
pub struct ShmNic {
    pub(super) qps: Slots<Box<Qp>>,
    pub(super) board: Board,
    pub(super) pds: Slots<Pd>,
    pub(super) entropy: Entropy,
    pub(super) limits: Limits,
    /// How often somebody called.
    pub(super) turns: u32,
    /// When what need not be done every time was done last.
    pub(super) ticked: Instant,
    /// Some peer was told to wake us.
    pub(super) has_wishes: bool,
}

/// A protection domain.
#[derive(Debug)]
pub(super) struct Pd {
    pub(super) device: usize,
    /// Registrations and queue pairs.
    pub(super) users: u32,
}

impl ShmNic {
    pub(crate) fn new(config: &Config, data: Arc<Map>, wires: &[(Arc<Wire>, PortConfig)]) -> Self {
        let limits = config.limits;
        let device = |(n, (wire, port)): (u32, &(Arc<Wire>, PortConfig))| {
            Device::new(DeviceId(n), port.mac, port.gids.clone(), wire.clone())
        };
        let devices: Vec<Device> = (0..).zip(wires).map(device).collect();
        let memory = MemoryTable::new(data, limits.max_memories, limits.max_mr, limits.outgoing_octets);
        // One of each kind for each object.
        let notes = Notes::new(limits.max_qp as usize + limits.max_cq as usize + 2 * devices.len());
        let cqs = CqTable::new(limits.max_cq);
        let times = [config.patience, config.withdrawal];
        Self {
            qps: Slots::new(limits.max_qp),
            board: Board::new(devices, memory, cqs, notes, limits.max_qp, times),
            pds: Slots::new(limits.max_pd),
            entropy: Entropy::new(config.entropy),
            limits,
            turns: 0,
            ticked: Instant::ZERO,
            has_wishes: false,
        }
    }

    // ---- what a wire does by itself, or is made to do ----

    /// Why a device's wire is gone, `None` while it is there.
    #[must_use]
    pub fn fault(&self, device: DeviceId) -> Option<WireFault> {
        self.board.devices().get(device.0 as usize)?.wire.fault()
    }

    /// Brings a port up or down. Down, nothing gets through in either direction;
    /// queue pairs do not notice but by their timers.
    ///
    /// # Errors
    /// [`ConfigError::NoSuch`].
    pub fn set_port_state(&mut self, port: RdmaPort, state: PortState) -> Result<(), ConfigError> {
        let index = self.device_index(port.device).filter(|_| port.port == PORT);
        let index = index.ok_or(ConfigError::NoSuch("port"))?;
        self.board.device(index).set_port(state);
        self.note_ports();
        Ok(())
    }

    /// Takes a device away, as if its wire were pulled: its queue pairs are in
    /// ERR, what was posted is flushed. Completions can still be polled;
    /// otherwise its objects can only be destroyed.
    ///
    /// # Errors
    /// [`ConfigError::NoSuch`].
    pub fn remove_device(&mut self, id: DeviceId) -> Result<(), ConfigError> {
        let index = self.device_index(id).ok_or(ConfigError::NoSuch("device"))?;
        let device = self.board.device_mut(index);
        device.gone = true;
        device.say(layout::PORT, port::GONE);
        let name = device.name();
        for qp in self.qps.iter_mut().filter(|qp| qp.device == index) {
            qp.enter_error(&mut self.board);
            qp.dead = true;
        }
        let patience = self.board.withdrawal;
        for rkey in self.board.memory.on_device(index).collect::<Vec<_>>() {
            self.board.device(index).withdraw_mr(rkey);
        }
        self.board.device(index).await_writer(patience);
        self.board.notes.forget(Note::PortState(name));
        self.board.notes.push(Note::DeviceGone(id));
        self.settle();
        Ok(())
    }

    /// Lets a queue pair fail, to see what its owner does.
    ///
    /// # Errors
    /// [`VerbsError::NoSuch`].
    pub fn fail_qp(&mut self, qp: QpHandle) -> Result<(), VerbsError> {
        let found = self.qps.named_mut(qp.index(), qp.generation()).ok_or(VerbsError::NoSuch("QP"))?;
        found.fail(&mut self.board);
        self.settle();
        Ok(())
    }

    /// Refuses so many registrations from now on, to see what their owner does.
    pub const fn refuse_registrations(&mut self, count: u32) {
        self.board.memory.refuse = count;
    }

    /// What was counted so far.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.board.counters
    }

    // ---- sleeping ----

    /// What to wait on after [`arm_cq`](smolsmc_verbs::Provider::arm_cq):
    /// readable when there is something to poll, or a peer is gone. Ask anew
    /// each time: a wire that is gone has none.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let there = |device: &&Device| !device.gone && device.wire.fault().is_none();
        let wires = self.board.devices().iter().filter(there).map(|device| &device.wire);
        wires.flat_map(|wire| [wire.bell(), wire.socket()])
    }

    /// How long to wait at most, as far as requests are concerned that somebody
    /// may not answer; `None` for ever.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        if self.board.active.is_empty() {
            return None;
        }
        let active = self.board.active.iter().filter_map(|place| self.qps.get(*place));
        let next = active.filter_map(|qp| qp.deadline()).min();
        let now = Board::now();
        let next = next.map(|deadline| deadline.since(now));
        // What has no deadline of its own is looked at now and then.
        Some(next.unwrap_or(Duration::from_secs(1)).min(Duration::from_secs(1)))
    }

    // ---- objects by their handles ----

    pub(super) fn device_index(&self, id: DeviceId) -> Option<usize> {
        let index = id.0 as usize;
        self.board.devices().get(index).filter(|device| !device.gone).map(|_| index)
    }

    /// The device a PD is on, unless it is gone.
    pub(super) fn pd_device(&self, pd: PdHandle) -> Result<usize, VerbsError> {
        let found = self.pds.named(pd.index(), pd.generation()).ok_or(VerbsError::NoSuch("PD"))?;
        self.living(found.device)
    }

    pub(super) fn living(&self, device: usize) -> Result<usize, VerbsError> {
        if self.board.device(device).gone { Err(VerbsError::DeviceGone) } else { Ok(device) }
    }

    pub(super) fn cq_device(&self, cq: CqHandle) -> Result<usize, VerbsError> {
        Ok(self.board.cqs.named(cq).ok_or(VerbsError::NoSuch("CQ"))?.device)
    }
}

impl Drop for ShmNic {
    /// The peers hear that nobody is there any more.
    fn drop(&mut self) {
        for device in self.board.devices() {
            device.say(layout::PORT, port::GONE);
        }
    }
}
