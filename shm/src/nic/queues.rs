//! The two work queues of a queue pair: rings of fixed size whose entries,
//! elements and inline data have their places from the start.
//!
//! Positions count up for ever and wrap; a ring's place is their low bits.

use smolsmc_verbs::{
    Payload, QpCapabilities, RecvRequest, SendOperation, SendRequest, Sge, VerbsError, WcOpcode, WcStatus,
};
use smolsmc_wire::Rkey;

use crate::config::MAX_MESSAGE;

/// What a send request asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    Send,
    Write,
    WriteImm,
    Read,
}

impl Kind {
    pub(super) const fn wc_opcode(self) -> WcOpcode {
        match self {
            Self::Send => WcOpcode::Send,
            Self::Write | Self::WriteImm => WcOpcode::Write,
            Self::Read => WcOpcode::Read,
        }
    }
}

/// A send request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SendWqe {
    pub(super) wr_id: u64,
    pub(super) remote_addr: u64,
    pub(super) rkey: Rkey,
    pub(super) len: u32,
    pub(super) immediate: [u8; 4],
    pub(super) kind: Kind,
    pub(super) signalled: bool,
    pub(super) solicited: bool,
    inline: bool,
    /// Longer than any message may be.
    oversize: bool,
    sges: u8,
    /// Once it is done: requests the peer must have answered before it counts
    /// as complete.
    pub(super) needs: u32,
    /// Of an RDMA READ: all octets have come.
    pub(super) has_come: bool,
    /// Once it is done: it failed.
    pub(super) failed: Option<WcStatus>,
}

/// A request as it is carried out, wherever it was kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job<'a> {
    pub(super) kind: Kind,
    pub(super) remote_addr: u64,
    pub(super) rkey: Rkey,
    pub(super) immediate: [u8; 4],
    pub(super) solicited: bool,
    pub(super) payload: Payload<'a>,
    pub(super) len: u64,
}

impl<'a> Job<'a> {
    /// An RDMA WRITE of octets that are copied.
    #[inline]
    pub(super) const fn write(remote_addr: u64, rkey: Rkey, octets: &'a [u8]) -> Self {
        Self {
            kind: Kind::Write,
            remote_addr,
            rkey,
            immediate: [0; 4],
            solicited: false,
            payload: Payload::Inline(octets),
            len: octets.len() as u64,
        }
    }

    /// As it was posted.
    #[inline]
    pub(super) fn of(request: &SendRequest<'a>) -> Self {
        let len = match request.payload {
            Payload::Registered([sge]) => u64::from(sge.len),
            Payload::Registered(sges) => sges.iter().map(|sge| u64::from(sge.len)).sum(),
            Payload::Inline(octets) => octets.len() as u64,
        };
        let (kind, remote_addr, rkey, immediate) = match request.operation {
            SendOperation::Send => (Kind::Send, 0, Rkey(0), [0; 4]),
            SendOperation::Write { remote_addr, rkey } => (Kind::Write, remote_addr, rkey, [0; 4]),
            SendOperation::WriteWithImmediate { remote_addr, rkey, immediate } => {
                (Kind::WriteImm, remote_addr, rkey, immediate)
            }
            SendOperation::Read { remote_addr, rkey } => (Kind::Read, remote_addr, rkey, [0; 4]),
        };
        Self {
            kind,
            remote_addr,
            rkey,
            immediate,
            solicited: request.solicited,
            payload: request.payload,
            len,
        }
    }
}

/// Send requests: those that are done and wait to be complete, then those that
/// wait to be done.
///
/// ```text
///   head ..done.. next ..to do.. tail
/// ```
#[derive(Debug, Default)]
pub(super) struct SendQueue {
    ring: Box<[SendWqe]>,
    sges: Box<[Sge]>,
    inline: Box<[u8]>,
    limit: u32,
    max_sge: u32,
    max_inline: u32,
    head: u32,
    next: u32,
    tail: u32,
}

impl SendQueue {
    pub(super) fn new(caps: &QpCapabilities) -> Self {
        let places = caps.max_send_wr.max(1).next_power_of_two() as usize;
        Self {
            ring: vec![SendWqe::default(); places].into(),
            sges: vec![Sge::default(); places * caps.max_send_sge as usize].into(),
            inline: vec![0; places * caps.max_inline_data as usize].into(),
            limit: caps.max_send_wr,
            max_sge: caps.max_send_sge,
            max_inline: caps.max_inline_data,
            head: 0,
            next: 0,
            tail: 0,
        }
    }

    /// Requests in the ring.
    #[inline]
    pub(super) const fn len(&self) -> u32 {
        self.tail.wrapping_sub(self.head)
    }

    /// Whether nothing waits to be done.
    #[inline]
    pub(super) const fn is_done(&self) -> bool {
        self.next == self.tail
    }

    /// The oldest request that is done.
    #[inline]
    pub(super) fn oldest_done(&self) -> Option<&SendWqe> {
        if self.head == self.next { None } else { self.ring.get(self.place(self.head)) }
    }

    /// The oldest request, done or not.
    pub(super) fn oldest(&self) -> Option<&SendWqe> {
        if self.len() == 0 { None } else { self.ring.get(self.place(self.head)) }
    }

    /// Whether one that is done will tell of its success.
    pub(super) fn has_signalled(&self) -> bool {
        let done = self.next.wrapping_sub(self.head);
        let places = (0..done).map(|n| self.place(self.head.wrapping_add(n)));
        places.filter_map(|place| self.ring.get(place)).any(|wqe| wqe.signalled)
    }

    /// Takes the oldest request out.
    #[inline]
    pub(super) fn pop(&mut self) {
        if self.next == self.head {
            self.next = self.next.wrapping_add(1);
        }
        self.head = self.head.wrapping_add(1);
    }

    /// The oldest request that is to be done.
    pub(super) fn to_do(&self) -> Option<Job<'_>> {
        if self.is_done() {
            return None;
        }
        let place = self.place(self.next);
        let wqe = self.ring.get(place)?;
        let payload = if wqe.inline {
            let at = place * self.max_inline as usize;
            Payload::Inline(self.inline.get(at..at + wqe.len as usize)?)
        } else {
            Payload::Registered(self.sges(self.next))
        };
        let len = if wqe.oversize { u64::MAX } else { wqe.len.into() };
        Some(Job {
            kind: wqe.kind,
            remote_addr: wqe.remote_addr,
            rkey: wqe.rkey,
            immediate: wqe.immediate,
            solicited: wqe.solicited,
            payload,
            len,
        })
    }

    /// The oldest request that was to be done is done.
    pub(super) fn mark_done(&mut self, needs: u32, failed: Option<WcStatus>) {
        let place = self.place(self.next);
        if let Some(wqe) = self.ring.get_mut(place) {
            wqe.needs = needs;
            wqe.failed = failed;
        }
        self.next = self.next.wrapping_add(1);
    }

    /// The oldest RDMA READ that was asked for and whose octets have not all
    /// come: its position.
    pub(super) fn reading(&self) -> Option<u32> {
        let done = self.next.wrapping_sub(self.head);
        (0..done).map(|n| self.head.wrapping_add(n)).find(|position| {
            let wqe = self.ring.get(self.place(*position));
            wqe.is_some_and(|wqe| wqe.kind == Kind::Read && !wqe.has_come && wqe.failed.is_none())
        })
    }

    /// The request at `position`, and its elements.
    pub(super) fn at(&mut self, position: u32) -> Option<(&mut SendWqe, &[Sge])> {
        let place = self.place(position);
        let wqe = self.ring.get_mut(place)?;
        let at = place * self.max_sge as usize;
        let sges = self.sges.get(at..at + usize::from(wqe.sges)).unwrap_or_default();
        Some((wqe, sges))
    }

    fn sges(&self, position: u32) -> &[Sge] {
        let place = self.place(position);
        let len = self.ring.get(place).map_or(0, |wqe| usize::from(wqe.sges));
        let at = place * self.max_sge as usize;
        self.sges.get(at..at + len).unwrap_or_default()
    }

    /// Adds a request that is done: where its octets came from is not asked
    /// again.
    #[inline]
    pub(super) fn push_done(&mut self, request: &SendRequest<'_>, kind: Kind, needs: u32) {
        debug_assert!(self.is_done(), "requests are done in their order");
        let place = self.place(self.tail);
        if let Some(entry) = self.ring.get_mut(place) {
            entry.wr_id = request.wr_id;
            entry.kind = kind;
            entry.signalled = request.signalled;
            entry.needs = needs;
            entry.failed = None;
        }
        self.tail = self.tail.wrapping_add(1);
        self.next = self.tail;
    }

    /// Adds a request that is to be done.
    pub(super) fn push(&mut self, request: &SendRequest<'_>, job: &Job<'_>) {
        let oversize = job.len > MAX_MESSAGE;
        let mut wqe = SendWqe {
            wr_id: request.wr_id,
            signalled: request.signalled,
            solicited: request.solicited,
            kind: job.kind,
            remote_addr: job.remote_addr,
            rkey: job.rkey,
            immediate: job.immediate,
            oversize,
            len: if oversize { 0 } else { job.len as u32 },
            ..SendWqe::default()
        };
        let place = self.place(self.tail);
        match request.payload {
            Payload::Registered(sges) => {
                wqe.sges = sges.len() as u8;
                copy_to(&mut self.sges, place * self.max_sge as usize, sges);
            }
            Payload::Inline(octets) => {
                wqe.inline = true;
                copy_to(&mut self.inline, place * self.max_inline as usize, octets);
            }
        }
        if let Some(entry) = self.ring.get_mut(place) {
            *entry = wqe;
        }
        self.tail = self.tail.wrapping_add(1);
    }

    /// What makes a request unfit to be posted.
    #[inline]
    pub(super) fn check(&self, request: &SendRequest<'_>) -> Result<(), VerbsError> {
        match request.payload {
            Payload::Registered(sges) if sges.len() > self.max_sge as usize => {
                return Err(VerbsError::OutOfRange("number of elements"));
            }
            Payload::Inline(_) if matches!(request.operation, SendOperation::Read { .. }) => {
                return Err(VerbsError::OutOfRange("inline data of an RDMA READ"));
            }
            Payload::Inline(octets) if octets.len() > self.max_inline as usize => {
                return Err(VerbsError::OutOfRange("length of inline data"));
            }
            _ => {}
        }
        if self.len() >= self.limit { Err(VerbsError::QueueFull) } else { Ok(()) }
    }

    pub(super) fn clear(&mut self) {
        self.head = self.tail;
        self.next = self.tail;
    }

    #[inline]
    fn place(&self, position: u32) -> usize {
        position as usize & self.ring.len().wrapping_sub(1)
    }
}

/// A receive.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RecvWqe {
    pub(super) wr_id: u64,
    /// Octets it can take.
    pub(super) room: u64,
    sges: u8,
}

/// Receives from the one that takes the next message to the newest.
#[derive(Debug, Default)]
pub(super) struct RecvQueue {
    ring: Box<[RecvWqe]>,
    sges: Box<[Sge]>,
    limit: u32,
    max_sge: u32,
    head: u32,
    tail: u32,
    /// Receives that were ever posted in this life.
    posted: u32,
}

impl RecvQueue {
    pub(super) fn new(caps: &QpCapabilities) -> Self {
        let places = caps.max_recv_wr.max(1).next_power_of_two() as usize;
        Self {
            ring: vec![RecvWqe::default(); places].into(),
            sges: vec![Sge::default(); places * caps.max_recv_sge as usize].into(),
            limit: caps.max_recv_wr,
            max_sge: caps.max_recv_sge,
            head: 0,
            tail: 0,
            posted: 0,
        }
    }

    #[inline]
    pub(super) const fn len(&self) -> u32 {
        self.tail.wrapping_sub(self.head)
    }

    /// Receives that were ever posted since the queue was cleared.
    #[inline]
    pub(super) const fn posted(&self) -> u32 {
        self.posted
    }

    /// The receive that takes the next message, and its elements.
    #[inline]
    pub(super) fn front(&self) -> Option<(&RecvWqe, &[Sge])> {
        if self.len() == 0 {
            return None;
        }
        let place = self.place(self.head);
        let wqe = self.ring.get(place)?;
        let at = place * self.max_sge as usize;
        Some((wqe, self.sges.get(at..at + usize::from(wqe.sges))?))
    }

    /// Takes the next receive out.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<RecvWqe> {
        let (&wqe, _) = self.front()?;
        self.head = self.head.wrapping_add(1);
        Some(wqe)
    }

    pub(super) fn push(&mut self, request: &RecvRequest<'_>) -> Result<(), VerbsError> {
        self.check(request)?;
        let place = self.place(self.tail);
        let room = request.sges.iter().map(|sge| u64::from(sge.len)).sum();
        copy_to(&mut self.sges, place * self.max_sge as usize, request.sges);
        if let Some(entry) = self.ring.get_mut(place) {
            *entry = RecvWqe { wr_id: request.wr_id, room, sges: request.sges.len() as u8 };
        }
        self.tail = self.tail.wrapping_add(1);
        self.posted = self.posted.wrapping_add(1);
        Ok(())
    }

    /// What makes a receive unfit to be posted.
    pub(super) fn check(&self, request: &RecvRequest<'_>) -> Result<(), VerbsError> {
        if request.sges.len() > self.max_sge as usize {
            return Err(VerbsError::OutOfRange("number of elements"));
        }
        if self.len() >= self.limit { Err(VerbsError::QueueFull) } else { Ok(()) }
    }

    pub(super) fn clear(&mut self) {
        self.head = self.tail;
        self.posted = 0;
    }

    #[inline]
    fn place(&self, position: u32) -> usize {
        position as usize & self.ring.len().wrapping_sub(1)
    }
}

/// Where in a list of elements the next octet belongs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) sge: u32,
    pub(super) offset: u32,
}

impl Cursor {
    /// The place `offset` octets into what a request carries.
    pub(super) fn seek(payload: &Payload<'_>, mut offset: u64) -> Self {
        let mut cursor = Self::default();
        if let Payload::Registered(sges) = payload {
            for sge in *sges {
                if offset < u64::from(sge.len) {
                    break;
                }
                offset -= u64::from(sge.len);
                cursor.sge += 1;
            }
        }
        cursor.offset = offset as u32;
        cursor
    }

    /// The element at the cursor and how much of it there is to use, at most
    /// `want`. Passes over elements that are used up.
    #[inline]
    pub(super) fn stretch<'a>(&mut self, sges: &'a [Sge], want: usize) -> Option<(&'a Sge, u32)> {
        loop {
            let sge = sges.get(self.sge as usize)?;
            let left = sge.len.saturating_sub(self.offset);
            if left > 0 {
                return Some((sge, left.min(u32::try_from(want).unwrap_or(u32::MAX))));
            }
            *self = Self { sge: self.sge + 1, offset: 0 };
        }
    }
}

#[inline]
fn copy_to<T: Copy>(into: &mut [T], at: usize, from: &[T]) {
    if let Some(into) = into.get_mut(at..at + from.len()) {
        into.copy_from_slice(from);
    }
}
