//! Completion queues: rings of fixed size, and who is to be woken.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use smolsmc_verbs::{ArmFor, Completion, CqHandle, DeviceId, QpHandle, WcStatus};

use super::slots::Slots;

/// One completion queue.
#[derive(Debug)]
pub(super) struct Cq {
    pub(super) device: DeviceId,
    /// Queue pairs that complete here, one counted twice if both its queues do.
    pub(super) users: u32,
    ring: VecDeque<Completion>,
    entries: usize,
    armed: Option<ArmFor>,
    /// Whether it is in the list of those to be notified.
    notified: bool,
    /// A completion was lost; nothing is taken any more.
    overflowed: bool,
}

/// All completion queues.
#[derive(Debug)]
pub(super) struct CqTable {
    cqs: Slots<Cq>,
    notified: VecDeque<u32>,
    /// Those that overflowed and whose queue pairs do not know yet.
    lost: Vec<u32>,
}

impl CqTable {
    pub(super) fn new(limit: u32) -> Self {
        let room = limit as usize;
        Self {
            cqs: Slots::new(limit),
            notified: VecDeque::with_capacity(room),
            lost: Vec::with_capacity(room),
        }
    }

    pub(super) fn create(&mut self, device: DeviceId, entries: u32) -> Option<CqHandle> {
        let entries = entries as usize;
        let made = self.cqs.insert(|_, _| Cq {
            device,
            users: 0,
            ring: VecDeque::with_capacity(entries),
            entries,
            armed: None,
            notified: false,
            overflowed: false,
        });
        made.map(|(index, generation)| CqHandle::new(index, generation))
    }

    pub(super) fn count(&self) -> usize {
        self.cqs.count()
    }

    pub(super) fn named(&self, cq: CqHandle) -> Option<&Cq> {
        self.cqs.named(cq.index(), cq.generation())
    }

    pub(super) fn named_mut(&mut self, cq: CqHandle) -> Option<&mut Cq> {
        self.cqs.named_mut(cq.index(), cq.generation())
    }

    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut Cq> {
        self.cqs.get_mut(index)
    }

    pub(super) fn remove(&mut self, index: u32) -> Option<Cq> {
        self.notified.retain(|&other| other != index);
        self.lost.retain(|&other| other != index);
        self.cqs.remove(index)
    }

    /// Adds a completion. If there is no room it is lost, and
    /// [`next_lost`](Self::next_lost) tells of the queue.
    #[inline]
    pub(super) fn push(&mut self, index: u32, completion: Completion, solicited: bool) {
        let Some(cq) = self.cqs.get_mut(index) else { return };
        if cq.overflowed {
            return;
        }
        if cq.ring.len() >= cq.entries {
            cq.overflowed = true;
            self.lost.push(index);
            return;
        }
        let failed = completion.status != WcStatus::Success;
        cq.ring.push_back(completion);
        let wakes = match cq.armed {
            None => false,
            Some(ArmFor::Next) => true,
            Some(ArmFor::Solicited) => solicited || failed,
        };
        if wakes {
            cq.armed = None;
            if !core::mem::replace(&mut cq.notified, true) {
                self.notified.push_back(index);
            }
        }
    }

    /// The next queue that was armed and has something.
    pub(super) fn next_notification(&mut self) -> Option<CqHandle> {
        let index = self.notified.pop_front()?;
        let generation = self.cqs.generation(index);
        if let Some(cq) = self.cqs.get_mut(index) {
            cq.notified = false;
        }
        Some(CqHandle::new(index, generation))
    }

    /// The next queue that overflowed, once.
    #[inline]
    pub(super) fn next_lost(&mut self) -> Option<(u32, CqHandle)> {
        let index = self.lost.pop()?;
        Some((index, CqHandle::new(index, self.cqs.generation(index))))
    }
}

impl Cq {
    /// Moves the oldest completions out; returns how many.
    #[inline]
    pub(super) fn poll(&mut self, out: &mut [Completion]) -> usize {
        let len = self.ring.len().min(out.len());
        if len == 0 {
            return 0;
        }
        for (out, completion) in out.iter_mut().zip(self.ring.drain(..len)) {
            *out = completion;
        }
        len
    }

    /// Asks for a notification; returns whether completions wait already.
    pub(super) fn arm(&mut self, for_what: ArmFor) -> bool {
        // The weaker wish, "any", stays if it was there before.
        if self.armed != Some(ArmFor::Next) {
            self.armed = Some(for_what);
        }
        !self.ring.is_empty()
    }

    /// Drops what `qp` completed.
    pub(super) fn forget(&mut self, qp: QpHandle) {
        self.ring.retain(|completion| completion.qp != qp);
    }
}
