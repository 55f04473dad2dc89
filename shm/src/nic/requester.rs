//! The side of a queue pair that asks: carries requests out in their order, as
//! far as the peer lets it, and waits for what only the peer can say.
//!
//! ```text
//!   WRITE   gate, look the key up in the peer's table, copy, gate: done
//!   SEND    a posted receive is known of: into the ring; complete once answered
//!   READ    asked for through the ring; complete once the octets have come
//! ```
//!
//! What the peer's control memory says is read once, held against the memory
//! that is mapped, and only then used: a peer that lies can make us write
//! anywhere in its own memory, and nowhere else.

use smolsmc_verbs::{Access, Payload, RtrAttributes, RtsAttributes, WcStatus};
use smolsmc_wire::{Duration, Instant};

use super::device::{Device, Room};
use super::memory::{MemoryTable, Source};
use super::message::{Envelope, Kind as Message, flag};
use super::queues::{Cursor, Job, Kind};
use crate::config::{MAX_MESSAGE, MAX_WR};
use crate::error::WireFault;
use crate::layout::{self, mr, qp};
use crate::sync::ring::SLOT_LEN;
use crate::wire::Wire;

/// Octets written at most before the peer can have its memory back.
const CHUNK: usize = 64 * 1024;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Done,
    Fails(WcStatus),
    Stalls(Why),
}

/// Why a request has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Nobody answers: a port is down, or the queue pair is not there.
    Silence,
    /// The peer has no receive posted.
    NoReceive,
    /// The ring is full, or as many READs are under way as may be.
    Full,
}

/// The side that asks.
#[derive(Debug, Default)]
pub(super) struct Requester {
    pub(super) peer_qpn: u32,
    /// Where it stands in the peer's control memory.
    pub(super) peer_at: usize,
    /// Whether the peer has the GID we were told.
    pub(super) is_addressed: bool,
    pub(super) psn: u32,
    /// How the peer's queue pair stands while it is the one we talk to; 0 before
    /// it was seen.
    pub(super) stand: u32,
    pub(super) peer_pd: u32,
    pub(super) peer_access: Access,
    pub(super) rnr_timer: u32,
    /// Requests the peer has to answer: sent, and answered.
    pub(super) sent: u32,
    pub(super) answered: u32,
    /// Receives of the peer: used, and posted as far as we know.
    pub(super) used: u32,
    pub(super) posted: u32,
    /// READs under way, and how many may be.
    pub(super) reads: u8,
    pub(super) max_reads: u8,
    /// Octets of the request that is being done that are in the ring already.
    pub(super) within: u64,
    /// How far the oldest READ's octets have come.
    pub(super) read_cursor: Cursor,
    pub(super) read_len: u64,
    /// How long silence is borne; `None` for ever.
    pub(super) silence: Option<Duration>,
    pub(super) rnr_retry: u8,
    /// A request has failed; none is carried out any more.
    pub(super) halted: bool,
    /// The peer must still be told that it was refused.
    pub(super) owes_refusal: bool,
    pub(super) waiting: Option<(Why, Option<Instant>)>,
    pub(super) looks: u32,
    /// For patience: what was answered when this was looked at, and since when.
    pub(super) quiet: Option<(u32, Instant)>,
}

/// What a request needs to know of its queue pair.
#[derive(Clone, Copy, Debug)]
pub(super) struct Who {
    pub(super) qpn: u32,
    pub(super) pd: u32,
    pub(super) answered: u16,
}

impl Requester {
    pub(super) fn new(to: &RtrAttributes, wire: &Wire) -> Self {
        let peer_qpn = to.destination_qpn.value();
        Self {
            peer_qpn,
            peer_at: wire.peer_layout.qp(peer_qpn),
            is_addressed: wire.peer_gids.contains(&to.path.destination_gid),
            ..Self::default()
        }
    }

    pub(super) fn begin(&mut self, to: &RtsAttributes) {
        self.psn = to.sq_psn.value();
        self.max_reads = to.max_rd_atomic.max(1);
        self.rnr_retry = to.rnr_retry;
        // 4.096 us * 2^code, as often as it would be tried.
        let once = (4096_u64 << to.timeout).div_ceil(1000);
        let total = once * (u64::from(to.retry_count) + 1);
        self.silence = (to.timeout != 0).then_some(Duration::from_micros(total));
    }

    pub(super) const fn stop(&mut self) {
        self.halted = true;
        self.waiting = None;
    }

    #[inline]
    pub(super) const fn is_halted(&self) -> bool {
        self.halted
    }

    /// Requests the peer has to answer, so far.
    #[inline]
    pub(super) const fn sent(&self) -> u32 {
        self.sent
    }

    #[inline]
    pub(super) const fn is_answered(&self, needs: u32) -> bool {
        self.answered.wrapping_sub(needs) as i32 >= 0
    }

    #[inline]
    pub(super) const fn all_answered(&self) -> bool {
        self.answered == self.sent
    }

    /// Whether something only the peer can say is missing.
    #[inline]
    pub(super) const fn awaits(&self) -> bool {
        self.answered != self.sent || self.reads > 0
    }

    // ---- whether the peer is there ----

    /// Whether the peer's queue pair is there and answers.
    #[inline]
    pub(super) fn is_reachable(&mut self, device: &Device, qpn: u32) -> bool {
        if !device.wire.is_up() || device.wire.fault().is_some() {
            return false;
        }
        match self.stand {
            0 => self.meet(device, qpn),
            stand => device.hear(self.peer_at + qp::STAND) == stand,
        }
    }

    /// Looks whether the peer's queue pair is connected to ours.
    #[cold]
    fn meet(&mut self, device: &Device, qpn: u32) -> bool {
        let stand = device.hear(self.peer_at + qp::STAND);
        let word = |place| device.hear(self.peer_at + place);
        let is_ours = stand & 1 == 1
            && self.is_addressed
            && word(qp::QPN) == self.peer_qpn
            && word(qp::PEER_QPN) == qpn
            && word(qp::PSN) == self.psn;
        if !is_ours {
            return false;
        }
        self.peer_pd = word(qp::PD);
        self.peer_access = Access::from_bits_truncate(word(qp::ACCESS) as u8);
        self.rnr_timer = word(qp::RNR_TIMER) & 31;
        self.stand = stand;
        true
    }

    /// The life of the peer's queue pair, for what is sent to it.
    pub(super) fn peer_life(&self, device: &Device) -> u16 {
        let stand = if self.stand == 0 { device.hear(self.peer_at + qp::STAND) } else { self.stand };
        (stand >> 16) as u16
    }

    pub(super) const fn peer_qpn(&self) -> u32 {
        self.peer_qpn
    }

    // ---- requests ----

    /// Carries a request out, as far as it can be.
    #[inline]
    pub(super) fn carry_out(
        &mut self,
        job: &Job<'_>,
        who: &Who,
        device: &mut Device,
        memory: &MemoryTable,
    ) -> Step {
        if job.len > MAX_MESSAGE {
            return Step::Fails(WcStatus::LocalLength);
        }
        if !self.is_reachable(device, who.qpn) {
            return Step::Stalls(Why::Silence);
        }
        let step = match job.kind {
            Kind::Write => self.write(job, who, device, memory),
            Kind::Send => self.send(job, who, device, memory),
            Kind::WriteImm => self.write_immediate(job, who, device, memory),
            Kind::Read => self.read(job, who, device, memory),
        };
        if let Step::Fails(WcStatus::RemoteAccess | WcStatus::RemoteInvalidRequest) = step {
            self.owes_refusal = true;
            self.refuse(who, device);
        }
        step
    }

    /// Carries a WRITE out that was not posted; nobody is told if it cannot be.
    #[inline]
    pub(super) fn write_now(
        &mut self,
        job: &Job<'_>,
        who: &Who,
        device: &mut Device,
        memory: &MemoryTable,
    ) -> bool {
        job.len <= MAX_MESSAGE
            && self.is_reachable(device, who.qpn)
            && self.write(job, who, device, memory) == Step::Done
    }

    fn envelope(&self, kind: Message, len: usize, flags: u16, who: &Who) -> Envelope {
        Envelope {
            kind,
            qpn: self.peer_qpn,
            len: len as u16,
            flags,
            life: (self.stand >> 16) as u16,
            answered: who.answered,
            argument: 0,
        }
    }

    /// Tells the peer that a request of ours hit what it may not touch.
    pub(super) fn refuse(&mut self, who: &Who, device: &mut Device) {
        let envelope = self.envelope(Message::Refused, 0, flag::SOLICITED, who);
        if self.owes_refusal && device.send(&envelope, &[]) == Room::There {
            self.owes_refusal = false;
        }
    }

    #[inline]
    fn write(&self, job: &Job<'_>, who: &Who, device: &mut Device, memory: &MemoryTable) -> Step {
        if job.len == 0 {
            return Step::Done;
        }
        // One element that is written in one piece is looked at there.
        let is_one =
            matches!(job.payload, Payload::Registered([_]) | Payload::Inline(_)) && job.len <= CHUNK as u64;
        if !is_one && !is_readable(job, who, memory) {
            return Step::Fails(WcStatus::LocalProtection);
        }
        let mut cursor = Cursor::default();
        let mut done = 0;
        while done < job.len {
            let len = (job.len - done).min(CHUNK as u64);
            match self.write_chunk(job, (done, len), &mut cursor, who, device, memory) {
                Step::Done => done += len,
                step => return step,
            }
        }
        Step::Done
    }

    /// Writes `len` octets from `done` on. The peer waits for us to leave before
    /// it uses its memory otherwise.
    #[inline]
    fn write_chunk(
        &self,
        job: &Job<'_>,
        (done, len): (u64, u64),
        cursor: &mut Cursor,
        who: &Who,
        device: &mut Device,
        memory: &MemoryTable,
    ) -> Step {
        let Device { wire, gate, .. } = device;
        let word = wire.own.word(layout::GATE);
        gate.enter(word);
        let mut step = self.target(job, (done, len), wire);
        if let Ok(mut at) = step {
            let mut left = len as usize;
            while left > 0 {
                let Some(source) = next_source(job, who, cursor, left, memory) else {
                    step = Err(Step::Fails(WcStatus::LocalProtection));
                    break;
                };
                source.copy_to(&wire.peer_data, at);
                at += source.len();
                left -= source.len();
            }
        }
        gate.leave(word);
        match step {
            Ok(_) => Step::Done,
            Err(step) => step,
        }
    }

    /// Where in the peer's memory octets go, if they may. Asked inside the gate.
    #[inline]
    fn target(&self, job: &Job<'_>, (done, len): (u64, u64), wire: &Wire) -> Result<usize, Step> {
        if wire.hear(self.peer_at + qp::STAND) != self.stand {
            return Err(Step::Stalls(Why::Silence));
        }
        if !self.peer_access.contains(Access::REMOTE_WRITE) {
            return Err(Step::Fails(WcStatus::RemoteInvalidRequest));
        }
        let refused = Step::Fails(WcStatus::RemoteAccess);
        let entry = wire.peer_layout.mr(job.rkey.0);
        if job.rkey.0 == 0
            || wire.hear(entry + mr::RKEY) != job.rkey.0
            || wire.hear(entry + mr::PD) != self.peer_pd
        {
            return Err(refused);
        }
        let (iova, offset, octets) = (
            wire.hear_long(entry + mr::IOVA),
            wire.hear_long(entry + mr::OFFSET),
            wire.hear_long(entry + mr::OCTETS),
        );
        // All of the request must fit; an address below wraps to far beyond.
        let start = job.remote_addr.wrapping_sub(iova);
        if start > octets || job.len > octets - start {
            return Err(refused);
        }
        // What the peer says is held against what of it is mapped.
        let at = offset.checked_add(start).and_then(|at| at.checked_add(done));
        let at =
            at.and_then(|at| usize::try_from(at).ok()).filter(|at| wire.peer_data.has(*at, len as usize));
        at.ok_or(refused)
    }

    #[inline]
    fn send(&mut self, job: &Job<'_>, who: &Who, device: &mut Device, memory: &MemoryTable) -> Step {
        if self.within == 0 {
            if !is_readable(job, who, memory) {
                return Step::Fails(WcStatus::LocalProtection);
            }
            if !self.has_receive(device) {
                return Step::Stalls(Why::NoReceive);
            }
        }
        let mut cursor = Cursor::seek(&job.payload, self.within);
        loop {
            let left = job.len - self.within;
            let len = left.min(device.max_piece as u64) as usize;
            if device.room(len) == Room::Not {
                return Step::Stalls(Why::Full);
            }
            let mut flags = 0;
            if self.within == 0 {
                flags |= flag::FIRST;
            }
            if left == len as u64 {
                flags |= flag::LAST;
            }
            if job.solicited {
                flags |= flag::SOLICITED;
            }
            let envelope = self.envelope(Message::Send, len, flags, who);
            let mut message = device.begin();
            let mut rest = len;
            while rest > 0 {
                let Some(source) = next_source(job, who, &mut cursor, rest, memory) else {
                    return Step::Fails(WcStatus::LocalProtection);
                };
                put(&mut message, &source);
                rest -= source.len();
            }
            message.send(envelope.header());
            self.within += len as u64;
            if flags & flag::LAST != 0 {
                break;
            }
        }
        self.within = 0;
        self.used = self.used.wrapping_add(1);
        self.sent = self.sent.wrapping_add(1);
        Step::Done
    }

    /// Whether a receive of the peer's is left for us.
    #[inline]
    fn has_receive(&mut self, device: &Device) -> bool {
        if self.used != self.posted {
            return true;
        }
        let posted = device.hear(self.peer_at + qp::POSTED);
        let more = posted.wrapping_sub(self.used);
        if more > MAX_WR {
            device.wire.condemn(WireFault::RingIndex);
            return false;
        }
        self.posted = posted;
        more > 0
    }

    fn write_immediate(
        &mut self,
        job: &Job<'_>,
        who: &Who,
        device: &mut Device,
        memory: &MemoryTable,
    ) -> Step {
        if !self.has_receive(device) {
            return Step::Stalls(Why::NoReceive);
        }
        if device.room(4) == Room::Not {
            return Step::Stalls(Why::Full);
        }
        match self.write(job, who, device, memory) {
            Step::Done => {}
            step => return step,
        }
        let flags = if job.solicited { flag::SOLICITED } else { 0 };
        let mut envelope = self.envelope(Message::Immediate, 4, flags, who);
        envelope.argument = u32::from_be_bytes(job.immediate);
        device.send(&envelope, &(job.len as u32).to_be_bytes());
        self.used = self.used.wrapping_add(1);
        self.sent = self.sent.wrapping_add(1);
        Step::Done
    }

    fn read(&mut self, job: &Job<'_>, who: &Who, device: &mut Device, memory: &MemoryTable) -> Step {
        if let Payload::Registered(sges) = job.payload
            && !memory.allows(who.pd, sges, Access::LOCAL_WRITE)
        {
            return Step::Fails(WcStatus::LocalProtection);
        }
        if self.reads >= self.max_reads {
            return Step::Stalls(Why::Full);
        }
        let mut octets = [0; 16];
        for (into, octet) in octets.iter_mut().zip(
            job.remote_addr
                .to_be_bytes()
                .into_iter()
                .chain(job.rkey.0.to_be_bytes())
                .chain((job.len as u32).to_be_bytes()),
        ) {
            *into = octet;
        }
        let envelope = self.envelope(Message::ReadRequest, octets.len(), 0, who);
        if device.send(&envelope, &octets) == Room::Not {
            return Step::Stalls(Why::Full);
        }
        self.reads += 1;
        self.sent = self.sent.wrapping_add(1);
        Step::Done
    }
}

/// Whether all a request carries may be read.
#[inline]
fn is_readable(job: &Job<'_>, who: &Who, memory: &MemoryTable) -> bool {
    match job.payload {
        Payload::Inline(_) => true,
        Payload::Registered(sges) => memory.allows(who.pd, sges, Access::empty()),
    }
}

/// The next stretch of what a request carries.
#[inline]
fn next_source<'a>(
    job: &Job<'a>,
    who: &Who,
    cursor: &mut Cursor,
    want: usize,
    memory: &'a MemoryTable,
) -> Option<Source<'a>> {
    match job.payload {
        Payload::Registered(sges) => memory.next(who.pd, sges, cursor, want),
        Payload::Inline(octets) => {
            let left = octets.get(cursor.offset as usize..)?;
            let now = left.get(..left.len().min(want)).filter(|now| !now.is_empty())?;
            cursor.offset += now.len() as u32;
            Some(Source::Private(now))
        }
    }
}

/// Puts a stretch into a message.
#[inline]
fn put(message: &mut crate::sync::ring::Message<'_, crate::wire::WireRing>, source: &Source<'_>) {
    match *source {
        Source::Private(octets) => message.put(octets),
        Source::Shared(map, at, len) => {
            let mut octets = [0; SLOT_LEN];
            for start in (0..len).step_by(SLOT_LEN) {
                let some = &mut octets[..SLOT_LEN.min(len - start)];
                map.read(at + start, some);
                message.put(some);
            }
        }
    }
}
