//! Completion queues: rings of fixed size, and who is to be woken.

use std::collections::VecDeque;

use smolsmc_verbs::{ArmFor, Completion, CqHandle, QpHandle, WcStatus};

use super::slots::Slots;
use crate::sync::bell::wish;

/// What a completion queue is armed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Armed {
    For(ArmFor),
    /// So many completions, or a failure.
    After(u16),
}

/// One completion queue.
#[derive(Debug)]
pub(super) struct Cq {
    pub(super) device: usize,
    /// Queue pairs that complete here, one counted twice if both its queues do.
    pub(super) users: u32,
    ring: Box<[Completion]>,
    head: u32,
    tail: u32,
    entries: u32,
    armed: Option<Armed>,
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
    /// Those that are armed.
    armed: Vec<u32>,
}

impl CqTable {
    pub(super) fn new(limit: u32) -> Self {
        let room = limit as usize;
        Self {
            cqs: Slots::new(limit),
            notified: VecDeque::with_capacity(room),
            lost: Vec::with_capacity(room),
            armed: Vec::with_capacity(room),
        }
    }

    pub(super) fn create(&mut self, device: usize, entries: u32) -> Option<CqHandle> {
        let made = self.cqs.insert(|_, _| Cq {
            device,
            users: 0,
            ring: vec![Completion::EMPTY; entries.next_power_of_two() as usize].into(),
            head: 0,
            tail: 0,
            entries,
            armed: None,
            notified: false,
            overflowed: false,
        });
        made.map(|(index, generation)| CqHandle::new(index, generation))
    }

    pub(super) fn named(&self, cq: CqHandle) -> Option<&Cq> {
        self.cqs.named(cq.index(), cq.generation())
    }

    #[inline]
    pub(super) fn named_mut(&mut self, cq: CqHandle) -> Option<&mut Cq> {
        self.cqs.named_mut(cq.index(), cq.generation())
    }

    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut Cq> {
        self.cqs.get_mut(index)
    }

    pub(super) fn remove(&mut self, index: u32) -> Option<Cq> {
        self.notified.retain(|&other| other != index);
        self.lost.retain(|&other| other != index);
        self.armed.retain(|&other| other != index);
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
        if cq.tail.wrapping_sub(cq.head) >= cq.entries {
            cq.overflowed = true;
            self.lost.push(index);
            return;
        }
        let place = cq.place(cq.tail);
        if let Some(entry) = cq.ring.get_mut(place) {
            *entry = completion;
        }
        cq.tail = cq.tail.wrapping_add(1);
        let wakes = match cq.armed {
            None => false,
            Some(Armed::For(ArmFor::Next)) => true,
            Some(Armed::For(ArmFor::Solicited)) => solicited || completion.status != WcStatus::Success,
            Some(Armed::After(count)) => {
                cq.waiting() >= count.into() || completion.status != WcStatus::Success
            }
        };
        if wakes {
            cq.armed = None;
            self.armed.retain(|&other| other != index);
            if !core::mem::replace(&mut cq.notified, true) {
                self.notified.push_back(index);
            }
        }
    }

    /// Asks for a notification.
    pub(super) fn arm(&mut self, cq: CqHandle, for_what: Armed) {
        let Some(found) = self.cqs.named_mut(cq.index(), cq.generation()) else { return };
        if found.armed.is_none() {
            self.armed.push(cq.index());
        }
        // Whoever asked for less before still wants to be told.
        found.armed = Some(match (found.armed, for_what) {
            (Some(Armed::For(before)), Armed::After(_)) => Armed::For(before),
            (Some(Armed::For(ArmFor::Next)), Armed::For(_)) => Armed::For(ArmFor::Next),
            _ => for_what,
        });
    }

    /// Whether none is armed.
    #[inline]
    pub(super) fn is_unarmed(&self) -> bool {
        self.armed.is_empty()
    }

    /// What messages of a device's peer would wake somebody.
    pub(super) fn wishes(&self, device: usize) -> u32 {
        let armed = self.armed.iter().filter_map(|index| self.cqs.get(*index));
        let armed = armed.filter(|cq| cq.device == device && cq.armed.is_some());
        let (mut wishes, mut least) = (0, u16::MAX);
        for cq in armed {
            match cq.armed {
                Some(Armed::For(ArmFor::Next)) => (wishes, least) = (wishes | wish::MESSAGE, 0),
                Some(Armed::For(ArmFor::Solicited)) => wishes |= wish::SOLICITED,
                Some(Armed::After(count)) => (wishes, least) = (wishes | wish::MESSAGE, least.min(count)),
                None => {}
            }
        }
        if wishes & wish::MESSAGE != 0 { wishes | wish::after(least) } else { wishes }
    }

    /// Whether a queue would tell of a request that succeeds.
    pub(super) fn tells_of_success(&self, index: u32) -> bool {
        self.cqs.get(index).is_some_and(|cq| cq.armed == Some(Armed::For(ArmFor::Next)))
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
        let mut count = 0;
        for out in out {
            if self.head == self.tail {
                break;
            }
            if let Some(entry) = self.ring.get(self.place(self.head)) {
                *out = *entry;
            }
            self.head = self.head.wrapping_add(1);
            count += 1;
        }
        count
    }

    /// Completions that wait.
    pub(super) const fn waiting(&self) -> u32 {
        self.tail.wrapping_sub(self.head)
    }

    /// Whether nothing waits.
    #[inline]
    pub(super) const fn is_empty(&self) -> bool {
        self.head == self.tail
    }

    /// Drops what `qp` completed.
    pub(super) fn forget(&mut self, qp: QpHandle) {
        let mut kept = self.head;
        let mut position = self.head;
        while position != self.tail {
            let from = self.place(position);
            let into = self.place(kept);
            if self.ring.get(from).is_some_and(|completion| completion.qp != qp) {
                self.ring.copy_within(from..=from, into);
                kept = kept.wrapping_add(1);
            }
            position = position.wrapping_add(1);
        }
        self.tail = kept;
    }

    #[inline]
    fn place(&self, position: u32) -> usize {
        position as usize & self.ring.len().wrapping_sub(1)
    }
}
