//! The two work queues of a queue pair: rings of fixed size whose entries,
//! elements and inline data have their places from the start.
//!
//! Positions count up for ever and wrap; a ring's place is their low bits.

use alloc::boxed::Box;
use alloc::vec;

use smolsmc_verbs::{
    Payload, QpCapabilities, RecvRequest, SendOperation, SendRequest, Sge, VerbsError, WcOpcode,
};
use smolsmc_wire::Rkey;

use super::config::MAX_MESSAGE;

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
    /// Number of its first packet, counted from the queue pair's first.
    pub(super) first: u64,
    /// Packets on the wire; for an RDMA READ those of the response.
    pub(super) packets: u32,
    pub(super) len: u32,
    pub(super) rkey: Rkey,
    pub(super) immediate: [u8; 4],
    pub(super) kind: Kind,
    pub(super) signalled: bool,
    pub(super) solicited: bool,
    pub(super) inline: bool,
    /// Longer than any message may be.
    pub(super) oversize: bool,
    pub(super) sges: u8,
    /// Of an RDMA READ: the packet from which it was asked for last, counted
    /// from its first.
    pub(super) asked_from: u32,
}

impl SendWqe {
    /// Number of the packet after its last.
    #[inline]
    pub(super) const fn end(&self) -> u64 {
        self.first + self.packets as u64
    }
}

/// Send requests from the oldest that is not complete to the newest.
#[derive(Debug, Default)]
pub(super) struct SendQueue {
    ring: Box<[SendWqe]>,
    sges: Box<[Sge]>,
    inline: Box<[u8]>,
    limit: u32,
    max_sge: u32,
    max_inline: u32,
    pub(super) head: u32,
    pub(super) tail: u32,
}

impl SendQueue {
    pub(super) fn new(caps: &QpCapabilities) -> Self {
        let places = caps.max_send_wr.next_power_of_two() as usize;
        Self {
            ring: vec![SendWqe::default(); places].into(),
            sges: vec![Sge::default(); places * caps.max_send_sge as usize].into(),
            inline: vec![0; places * caps.max_inline_data as usize].into(),
            limit: caps.max_send_wr,
            max_sge: caps.max_send_sge,
            max_inline: caps.max_inline_data,
            head: 0,
            tail: 0,
        }
    }

    /// Requests in the ring.
    #[inline]
    pub(super) const fn len(&self) -> u32 {
        self.tail.wrapping_sub(self.head)
    }

    /// The request at `position`, if it is there.
    #[inline]
    pub(super) fn get(&self, position: u32) -> Option<&SendWqe> {
        if position.wrapping_sub(self.head) >= self.len() {
            return None;
        }
        self.ring.get(self.place(position))
    }

    /// The request at `position`, if it is there.
    pub(super) fn get_mut(&mut self, position: u32) -> Option<&mut SendWqe> {
        if position.wrapping_sub(self.head) >= self.len() {
            return None;
        }
        let place = self.place(position);
        self.ring.get_mut(place)
    }

    /// The elements of the request at `position`.
    #[inline]
    pub(super) fn sges(&self, position: u32) -> &[Sge] {
        let place = self.place(position);
        let len = self.ring.get(place).map_or(0, |wqe| usize::from(wqe.sges));
        let at = place * self.max_sge as usize;
        self.sges.get(at..at + len).unwrap_or_default()
    }

    /// The inline data of the request at `position`.
    #[inline]
    pub(super) fn inline(&self, position: u32) -> &[u8] {
        let place = self.place(position);
        let len = self.ring.get(place).map_or(0, |wqe| wqe.len as usize);
        let at = place * self.max_inline as usize;
        self.inline.get(at..at + len).unwrap_or_default()
    }

    /// Adds a request, whose first packet is number `first`.
    pub(super) fn push(&mut self, request: &SendRequest<'_>, first: u64, mtu: u32) -> Result<(), VerbsError> {
        self.check(request)?;
        let mut wqe = SendWqe {
            wr_id: request.wr_id,
            first,
            signalled: request.signalled,
            solicited: request.solicited,
            ..wqe_for(&request.operation)
        };
        let place = self.place(self.tail);
        match request.payload {
            Payload::Registered(sges) => {
                let len = sges.iter().map(|sge| u64::from(sge.len)).sum::<u64>();
                wqe.oversize = len > MAX_MESSAGE;
                wqe.len = if wqe.oversize { 0 } else { len as u32 };
                wqe.sges = sges.len() as u8;
                copy_to(&mut self.sges, place * self.max_sge as usize, sges);
            }
            Payload::Inline(octets) => {
                wqe.inline = true;
                wqe.len = octets.len() as u32;
                copy_to(&mut self.inline, place * self.max_inline as usize, octets);
            }
        }
        wqe.packets = packets(wqe.len, mtu);
        if let Some(entry) = self.ring.get_mut(place) {
            *entry = wqe;
        }
        self.tail = self.tail.wrapping_add(1);
        Ok(())
    }

    /// What makes a request unfit to be posted.
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

    /// Number of the packet after the last one posted, if any is in the ring.
    pub(super) fn newest_end(&self) -> Option<u64> {
        self.get(self.tail.wrapping_sub(1)).map(SendWqe::end)
    }

    pub(super) fn clear(&mut self) {
        self.head = self.tail;
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
}

impl RecvQueue {
    pub(super) fn new(caps: &QpCapabilities) -> Self {
        let places = caps.max_recv_wr.next_power_of_two() as usize;
        Self {
            ring: vec![RecvWqe::default(); places].into(),
            sges: vec![Sge::default(); places * caps.max_recv_sge as usize].into(),
            limit: caps.max_recv_wr,
            max_sge: caps.max_recv_sge,
            head: 0,
            tail: 0,
        }
    }

    #[inline]
    pub(super) const fn len(&self) -> u32 {
        self.tail.wrapping_sub(self.head)
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
        Ok(())
    }

    /// What makes a receive unfit to be posted.
    pub(super) fn check(&self, request: &RecvRequest<'_>) -> Result<(), VerbsError> {
        if request.sges.len() > self.max_sge as usize {
            return Err(VerbsError::OutOfRange("number of elements"));
        }
        if self.len() >= self.limit { Err(VerbsError::QueueFull) } else { Ok(()) }
    }

    /// Goes on at a position of a test's choice.
    #[cfg(test)]
    pub(super) fn start_at(&mut self, position: u32) {
        (self.head, self.tail) = (position, position);
    }

    pub(super) fn clear(&mut self) {
        self.head = self.tail;
    }

    #[inline]
    fn place(&self, position: u32) -> usize {
        position as usize & self.ring.len().wrapping_sub(1)
    }
}

/// Packets of a message: an empty one takes one, too.
#[inline]
pub(super) const fn packets(len: u32, mtu: u32) -> u32 {
    match len.div_ceil(mtu) {
        0 => 1,
        n => n,
    }
}

fn wqe_for(operation: &SendOperation) -> SendWqe {
    match *operation {
        SendOperation::Send => SendWqe::default(),
        SendOperation::Write { remote_addr, rkey } => {
            SendWqe { kind: Kind::Write, remote_addr, rkey, ..SendWqe::default() }
        }
        SendOperation::WriteWithImmediate { remote_addr, rkey, immediate } => {
            SendWqe { kind: Kind::WriteImm, remote_addr, rkey, immediate, ..SendWqe::default() }
        }
        SendOperation::Read { remote_addr, rkey } => {
            SendWqe { kind: Kind::Read, remote_addr, rkey, ..SendWqe::default() }
        }
    }
}

#[inline]
fn copy_to<T: Copy>(into: &mut [T], at: usize, from: &[T]) {
    if let Some(into) = into.get_mut(at..at + from.len()) {
        into.copy_from_slice(from);
    }
}
