//! What all queue pairs of a NIC share.

use smolsmc_verbs::Completion;
use smolsmc_wire::{Duration, Instant};

use super::Counters;
use super::cq::CqTable;
use super::device::Device;
use super::memory::MemoryTable;
use super::notes::Notes;
use super::qp::Qp;
use crate::clock;

/// What all queue pairs share.
#[derive(Debug)]
pub(super) struct Board {
    /// Never empty; an index that was given out stays good.
    devices: Vec<Device>,
    pub(super) memory: MemoryTable,
    pub(super) cqs: CqTable,
    pub(super) notes: Notes,
    pub(super) counters: Counters,
    /// Queue pairs with something to do, or to wait for.
    pub(super) active: Vec<u32>,
    /// Whether this is a turn for what need not be done every time.
    pub(super) is_tick: bool,
    /// Whether somebody is about to sleep: the last look there is before that.
    pub(super) is_arming: bool,
    pub(super) patience: Duration,
    pub(super) withdrawal: Duration,
}

impl Board {
    pub(super) fn new(
        devices: Vec<Device>,
        memory: MemoryTable,
        cqs: CqTable,
        notes: Notes,
        max_qp: u32,
        [patience, withdrawal]: [Duration; 2],
    ) -> Self {
        Self {
            devices,
            memory,
            cqs,
            notes,
            counters: Counters::default(),
            active: Vec::with_capacity(max_qp as usize),
            is_tick: false,
            is_arming: false,
            patience,
            withdrawal,
        }
    }

    /// The clock. Only what waits looks at it.
    #[cold]
    pub(super) fn now() -> Instant {
        clock::now()
    }

    #[inline]
    pub(super) fn devices(&self) -> &[Device] {
        &self.devices
    }

    #[inline]
    pub(super) fn device(&self, index: usize) -> &Device {
        &self.devices[index]
    }

    #[inline]
    pub(super) fn device_mut(&mut self, index: usize) -> &mut Device {
        &mut self.devices[index]
    }

    /// A device, and the memory that its requests are about.
    #[inline]
    pub(super) fn device_and_memory(&mut self, index: usize) -> (&mut Device, &MemoryTable) {
        (&mut self.devices[index], &self.memory)
    }

    #[inline]
    pub(super) fn complete(&mut self, cq: u32, completion: Completion, solicited: bool) {
        self.cqs.push(cq, completion, solicited);
    }

    /// Sees to it that a queue pair with something to do is looked at.
    #[inline]
    pub(super) fn activate(&mut self, qp: &mut Qp) {
        if !qp.is_active && qp.has_work() {
            qp.is_active = true;
            self.active.push(qp.handle.index());
        }
    }
}
