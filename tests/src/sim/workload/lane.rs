//! One direction of one queue pair: what was asked for, what came of it.

use std::collections::VecDeque;

use smolsmc_verbs::{
    Access, Completion, MemHandle, MemoryUse, MrAttributes, Payload, PdHandle, Provider, QpHandle,
    RecvRequest, RemoteSpan, SendOperation, SendRequest, Sge, WcOpcode, WcStatus,
};
use smolsmc_wire::{Duration, Instant, Rkey};

use super::model;
use super::plan::{Kind, LEN_MAX, LanePlan, Planned};
use crate::sim::{Random, Sim};

/// Octets of the source ring, and of the ring written to.
const RING: usize = 4 * LEN_MAX;
/// Octets around the target ring that nobody may touch.
const MARGIN: usize = 256;
/// Where the cell lies, between more untouched octets.
const CELL: usize = MARGIN + RING + MARGIN;
const TARGET: usize = CELL + 8 + MARGIN;
/// READs under way at most.
const READS: usize = 4;
/// Numbers to be written to the cell; more than requests can be outstanding.
const CELLS: usize = 64;
/// Streams of one lane: what is sent, and what can be read.
const READABLE: u64 = 0x4000_0000;

pub(super) type Checked = Result<(), String>;

macro_rules! check {
    ($holds:expr, $($says:tt)*) => {
        if !$holds {
            return Err(format!($($says)*));
        }
    };
}

/// Registered memory of a node.
#[derive(Clone, Copy, Debug)]
struct Region {
    node: usize,
    memory: MemHandle,
    keys: MrAttributes,
}

impl Region {
    fn new<P: Provider>(sim: &mut Sim<P>, node: usize, pd: PdHandle, len: usize, access: Access) -> Self {
        let writes = access.contains(Access::LOCAL_WRITE);
        let used_for = if writes { MemoryUse::Incoming } else { MemoryUse::Outgoing };
        let nic = sim.nic(node);
        let memory = nic.alloc_memory(len, used_for).expect("memory");
        let mr = nic.register(pd, memory, access).expect("a registration");
        Self { node, memory, keys: nic.mr(mr).expect("its keys") }
    }

    fn sge(&self, at: usize, len: usize) -> Sge {
        Sge { addr: self.keys.iova + at as u64, len: len as u32, lkey: self.keys.lkey }
    }

    fn octets<P: Provider>(&self, sim: &mut Sim<P>, at: usize, len: usize) -> Vec<u8> {
        let mut octets = vec![0; len];
        let span = sim.nic(self.node).incoming(self.memory, at, len).expect("inside");
        assert_eq!(span.copy_to(0, &mut octets), len);
        octets
    }

    fn zero<P: Provider>(&self, sim: &mut Sim<P>, at: usize, len: usize) {
        sim.nic(self.node).zero(self.memory, at, len).expect("inside");
    }

    fn put<P: Provider>(&self, sim: &mut Sim<P>, at: usize, octets: &[u8]) {
        sim.nic(self.node).outgoing(self.memory, at, octets.len()).expect("ours").copy_from_slice(octets);
    }
}

/// A request that is under way.
#[derive(Clone, Copy, Debug)]
struct Posted {
    number: u64,
    kind: Kind,
    len: usize,
    position: u64,
    /// In the target ring, or the place of a READ.
    at: usize,
    signalled: bool,
}

pub(super) struct Lane {
    pub(super) from: (usize, QpHandle),
    pub(super) to: (usize, QpHandle),
    plan: LanePlan,
    failures: &'static [WcStatus],
    depth: usize,
    stream: u64,
    source: Region,
    cells: Region,
    landing: Region,
    target: Region,
    readable: Region,
    slots: Region,

    next: usize,
    position: u64,
    ring_at: usize,
    cell_posted: u64,
    cell_seen: u64,
    since_signal: (usize, usize, usize),
    outstanding: VecDeque<Posted>,
    /// WRITEs nobody looked at yet.
    unverified: VecDeque<Posted>,
    /// Messages the receiver has yet to get.
    expected: VecDeque<Posted>,
    free_reads: Vec<usize>,
    posted_slots: VecDeque<u64>,
    due_slots: VecDeque<(Instant, u64)>,
    failed: Option<WcStatus>,
    receiver_failed: bool,
    /// Requests that ended well.
    pub(super) succeeded: u64,
}

/// What a lane is made of.
pub(super) struct Ends {
    pub(super) from: (usize, QpHandle, PdHandle),
    pub(super) to: (usize, QpHandle, PdHandle),
    pub(super) send_depth: usize,
    pub(super) recv_depth: usize,
    pub(super) stream: u64,
}

impl Lane {
    pub(super) fn new<P: Provider>(
        sim: &mut Sim<P>,
        plan: &LanePlan,
        failures: &'static [WcStatus],
        ends: &Ends,
    ) -> Self {
        let (here, from_qp, here_pd) = ends.from;
        let (there, to_qp, there_pd) = ends.to;
        let written = Access::LOCAL_WRITE | Access::REMOTE_WRITE;
        let readable = Region::new(sim, there, there_pd, LEN_MAX, Access::REMOTE_READ);
        readable.put(sim, 0, model::octets(ends.stream + READABLE, 0, LEN_MAX));
        Self {
            from: (here, from_qp),
            to: (there, to_qp),
            plan: plan.clone(),
            failures,
            depth: ends.send_depth,
            stream: ends.stream,
            source: Region::new(sim, here, here_pd, RING, Access::empty()),
            cells: Region::new(sim, here, here_pd, CELLS * 8, Access::empty()),
            landing: Region::new(sim, here, here_pd, READS * LEN_MAX, Access::LOCAL_WRITE),
            target: Region::new(sim, there, there_pd, TARGET, written),
            readable,
            slots: Region::new(sim, there, there_pd, ends.recv_depth * LEN_MAX, Access::LOCAL_WRITE),
            next: 0,
            position: 0,
            ring_at: 0,
            cell_posted: 0,
            cell_seen: 0,
            since_signal: (0, 0, 0),
            outstanding: VecDeque::new(),
            unverified: VecDeque::new(),
            expected: VecDeque::new(),
            free_reads: (0..READS).collect(),
            posted_slots: VecDeque::new(),
            due_slots: (0..ends.recv_depth as u64).map(|slot| (Instant::ZERO, slot)).collect(),
            failed: None,
            receiver_failed: false,
            succeeded: 0,
        }
    }

    /// Whether there is nothing left to do or to wait for.
    pub(super) fn is_done(&self) -> bool {
        self.outstanding.is_empty() && (self.failed.is_some() || self.next == self.plan.requests.len())
    }

    /// Whether a request of it failed.
    pub(super) const fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// When a receive is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due_slots.iter().map(|(at, _)| *at).min()
    }

    /// Where it hangs, for the message.
    pub(super) fn describe(&self) -> String {
        let Self { from, to, next, failed, .. } = self;
        let (outstanding, expected) = (self.outstanding.front(), self.expected.front());
        let total = self.plan.requests.len();
        format!(
            "{from:?} -> {to:?}: {next} of {total} posted, oldest outstanding {outstanding:?}, next to arrive \
             {expected:?}, receives posted {}, failed {failed:?}",
            self.posted_slots.len()
        )
    }

    // ---- posting ----

    /// Posts receives that are due.
    pub(super) fn post_receives<P: Provider>(&mut self, sim: &mut Sim<P>) -> Checked {
        let now = sim.now();
        while let Some(at) = self.due_slots.iter().position(|(at, _)| *at <= now) {
            let Some((_, slot)) = self.due_slots.remove(at) else { break };
            if self.receiver_failed {
                continue;
            }
            let sges = [self.slots.sge(slot as usize * LEN_MAX, LEN_MAX)];
            let receive = [RecvRequest { wr_id: slot, sges: &sges }];
            let posted = sim.nic(self.to.0).post_recv(self.to.1, &receive);
            check!(posted.is_ok(), "a receive was refused: {posted:?}");
            self.posted_slots.push_back(slot);
        }
        Ok(())
    }

    /// Posts as many requests as fit, in one list.
    pub(super) fn post_requests<P: Provider>(&mut self, sim: &mut Sim<P>, random: &mut Random) -> Checked {
        let mut list = Vec::new();
        while list.len() < self.plan.list
            && let Some((posted, operation, sges)) = self.prepare(sim, random)
        {
            list.push((posted, operation, sges));
        }
        if list.is_empty() {
            return Ok(());
        }
        let requests: Vec<_> = list
            .iter()
            .map(|(posted, operation, sges)| SendRequest {
                wr_id: posted.number,
                operation: *operation,
                payload: Payload::Registered(sges),
                signalled: posted.signalled,
                solicited: posted.number.is_multiple_of(2),
            })
            .collect();
        let result = sim.nic(self.from.0).post_send(self.from.1, &requests);
        check!(result.is_ok(), "requests were refused: {result:?}");
        Ok(())
    }

    fn prepare<P: Provider>(
        &mut self,
        sim: &mut Sim<P>,
        random: &mut Random,
    ) -> Option<(Posted, SendOperation, Vec<Sge>)> {
        let Planned { kind, len } = *self.plan.requests.get(self.next)?;
        if self.failed.is_some() || self.outstanding.len() >= self.depth {
            return None;
        }
        let oldest = self.outstanding.front().map_or(self.position, |posted| posted.position);
        if (self.position - oldest) as usize + len > RING {
            return None;
        }
        let at = match kind {
            Kind::Write | Kind::WriteWithImmediate => self.place(len)?,
            Kind::Read => self.free_reads.pop()?,
            Kind::Send | Kind::Cell | Kind::WrongKey => 0,
        };
        let number = self.next as u64;
        let signalled = self.is_signalled(kind, len);
        let posted = Posted { number, kind, len, position: self.position, at, signalled };
        let sges = self.sges(sim, &posted, random);
        let operation = self.operation(&posted);
        self.next += 1;
        self.outstanding.push_back(posted);
        match kind {
            Kind::Send => self.expected.push_back(posted),
            Kind::Write => self.unverified.push_back(posted),
            Kind::WriteWithImmediate => {
                self.expected.push_back(posted);
                self.unverified.push_back(posted);
            }
            Kind::Cell => self.cell_posted += 1,
            Kind::Read | Kind::WrongKey => {}
        }
        if kind != Kind::Read {
            self.position += len as u64;
        }
        Some((posted, operation, sges))
    }

    /// A stretch of the target ring that no WRITE under way touches.
    fn place(&mut self, len: usize) -> Option<usize> {
        let at = if self.ring_at + len > RING { 0 } else { self.ring_at };
        let taken = |posted: &Posted| posted.at < at + len && at < posted.at + posted.len;
        if self.unverified.iter().any(taken) {
            return None;
        }
        self.ring_at = at + len;
        Some(at)
    }

    /// Often enough that neither queue, rings nor READs can lock up.
    fn is_signalled(&mut self, kind: Kind, len: usize) -> bool {
        let (count, octets, reads) = &mut self.since_signal;
        *count += 1;
        *octets += len;
        *reads += usize::from(kind == Kind::Read);
        let last = self.next + 1 == self.plan.requests.len();
        let full = 2 * *count >= self.depth || *octets >= LEN_MAX / 2 || *reads >= READS / 2;
        let signalled = last || full || *count >= self.plan.signal_every;
        if signalled {
            self.since_signal = (0, 0, 0);
        }
        signalled
    }

    fn operation(&self, posted: &Posted) -> SendOperation {
        let Region { keys, .. } = self.target;
        let remote_addr = keys.iova + (MARGIN + posted.at) as u64;
        match posted.kind {
            Kind::Send => SendOperation::Send,
            Kind::Write => SendOperation::Write { remote_addr, rkey: keys.rkey },
            Kind::WriteWithImmediate => {
                let immediate = (posted.number as u32).to_be_bytes();
                SendOperation::WriteWithImmediate { remote_addr, rkey: keys.rkey, immediate }
            }
            Kind::Read => {
                let from_end = (LEN_MAX - posted.len) as u64;
                let remote_addr = self.readable.keys.iova + from_end;
                SendOperation::Read { remote_addr, rkey: self.readable.keys.rkey }
            }
            Kind::Cell => SendOperation::Write { remote_addr: keys.iova + CELL as u64, rkey: keys.rkey },
            Kind::WrongKey => SendOperation::Write { remote_addr, rkey: Rkey(!keys.rkey.0) },
        }
    }

    /// Fills the source; cut into a random number of elements, and at the wrap
    /// of the ring.
    fn sges<P: Provider>(&self, sim: &mut Sim<P>, posted: &Posted, random: &mut Random) -> Vec<Sge> {
        match posted.kind {
            Kind::Read => return vec![self.landing.sge(posted.at * LEN_MAX, posted.len)],
            Kind::Cell => {
                let at = posted.number as usize % CELLS * 8;
                self.cells.put(sim, at, &(self.cell_posted + 1).to_be_bytes());
                return vec![self.cells.sge(at, 8)];
            }
            _ => {}
        }
        let octets = model::octets(self.stream, posted.position, posted.len);
        let start = posted.position as usize % RING;
        let mut sges = Vec::new();
        let mut done = 0;
        while done < posted.len {
            let at = (start + done) % RING;
            let most = (RING - at).min(posted.len - done);
            let cut = sges.is_empty() && random.chance(0.3);
            let len = if cut { random.between(1, most as u64) as usize } else { most };
            self.source.put(sim, at, &octets[done..done + len]);
            sges.push(self.source.sge(at, len));
            done += len;
        }
        sges
    }

    // ---- completions ----

    /// A completion of the receiver's receive queue.
    pub(super) fn received<P: Provider>(
        &mut self,
        sim: &mut Sim<P>,
        done: &Completion,
        random: &mut Random,
    ) -> Checked {
        let slot = self.posted_slots.pop_front();
        check!(slot == Some(done.wr_id), "receive {} completed, the oldest posted is {slot:?}", done.wr_id);
        let at = done.wr_id as usize * LEN_MAX;
        if done.status != WcStatus::Success {
            check!(!self.failures.is_empty(), "a receive failed: {}", done.status);
            check!(done.status == WcStatus::Flushed, "a receive ended with {}", done.status);
            return self.flushed(sim, at);
        }
        check!(!self.receiver_failed, "a receive succeeded after one was flushed");
        let Some(message) = self.expected.pop_front() else {
            return Err(format!("a message nobody sent: {done:?}"));
        };
        check!(done.byte_len as usize == message.len, "{message:?} arrived with {} octets", done.byte_len);
        let (opcode, immediate, used) = match message.kind {
            Kind::Send => (WcOpcode::Receive, None, message.len),
            _ => (WcOpcode::ReceiveWriteWithImmediate, Some((message.number as u32).to_be_bytes()), 0),
        };
        check!((done.opcode, done.immediate) == (opcode, immediate), "{message:?} arrived as {done:?}");
        self.is_model(sim, self.slots, at, &Posted { len: used, ..message })?;
        self.is_untouched(sim, self.slots, at + used, LEN_MAX - used, "behind a message")?;
        self.slots.zero(sim, at, used);
        self.verify_writes(sim, message.number)?;
        let after = Duration::from_micros(random.below(self.plan.repost_after.micros() + 1));
        self.due_slots.push_back((sim.now() + after, done.wr_id));
        Ok(())
    }

    /// A receive came back. In the oldest, and only there, may lie the start of
    /// a message that was cut off.
    fn flushed<P: Provider>(&mut self, sim: &mut Sim<P>, at: usize) -> Checked {
        let cut_off =
            self.expected.front().filter(|message| message.kind == Kind::Send && !self.receiver_failed);
        let right =
            cut_off.map_or(&[][..], |message| model::octets(self.stream, message.position, message.len));
        let got = self.slots.octets(sim, at, LEN_MAX);
        let same = got.iter().zip(right).take_while(|(got, right)| got == right).count();
        let touched = got[same..].iter().position(|octet| *octet != 0);
        check!(touched.is_none(), "a flushed receive holds something else after {same} right octets");
        self.receiver_failed = true;
        Ok(())
    }

    /// A completion of the sender's send queue. Receives that completed at the
    /// same time have been looked at before.
    pub(super) fn sent<P: Provider>(&mut self, sim: &mut Sim<P>, done: &Completion) -> Checked {
        loop {
            let Some(oldest) = self.outstanding.pop_front() else {
                return Err(format!("{done:?} completes nothing that is outstanding"));
            };
            if oldest.number == done.wr_id {
                return self.ended(sim, &oldest, done);
            }
            check!(!oldest.signalled, "{done:?} came before that of {oldest:?}");
            check!(self.failed.is_none(), "{oldest:?} was not flushed before {done:?}");
            self.did(sim, &oldest)?;
        }
    }

    fn ended<P: Provider>(&mut self, sim: &mut Sim<P>, request: &Posted, done: &Completion) -> Checked {
        if let Some(before) = self.failed {
            let flushed = done.status == WcStatus::Flushed;
            check!(flushed, "after {before}, {request:?} ended with {}", done.status);
            return Ok(());
        }
        if done.status != WcStatus::Success {
            check!(self.failures.contains(&done.status), "{request:?} ended with {}", done.status);
            let of_key = done.status == WcStatus::RemoteAccess;
            check!(
                of_key == (request.kind == Kind::WrongKey) || !of_key,
                "{request:?} ended with {}",
                done.status
            );
            self.failed = Some(done.status);
            return Ok(());
        }
        check!(request.kind != Kind::WrongKey, "a wrong key opened something");
        check!(request.signalled, "{request:?} was told of without asking");
        let opcode = match request.kind {
            Kind::Send => WcOpcode::Send,
            Kind::Read => WcOpcode::Read,
            _ => WcOpcode::Write,
        };
        check!(done.opcode == opcode, "{request:?} completed as {done:?}");
        self.did(sim, request)
    }

    /// A request succeeded: its work must be done on the other side.
    fn did<P: Provider>(&mut self, sim: &mut Sim<P>, request: &Posted) -> Checked {
        self.succeeded += 1;
        match request.kind {
            Kind::Send | Kind::WriteWithImmediate => {
                let next = self.expected.front().map(|message| message.number);
                let arrived = next.is_none_or(|next| next > request.number);
                check!(arrived, "{request:?} completed, but {next:?} has yet to arrive");
            }
            Kind::Read => {
                let at = request.at * LEN_MAX;
                let got = self.landing.octets(sim, at, LEN_MAX);
                let all = model::octets(self.stream + READABLE, 0, LEN_MAX);
                let (read, rest) = got.split_at(request.len);
                check!(read == &all[LEN_MAX - request.len..], "{request:?} read something else");
                check!(rest.iter().all(|octet| *octet == 0), "{request:?} read too much");
                self.landing.zero(sim, at, request.len);
                self.free_reads.push(request.at);
            }
            Kind::Cell | Kind::Write | Kind::WrongKey => {}
        }
        self.verify_writes(sim, request.number)
    }

    /// WRITEs up to this one must be there. Then their place is zeroed, and
    /// must stay so.
    fn verify_writes<P: Provider>(&mut self, sim: &mut Sim<P>, number: u64) -> Checked {
        while let Some(write) = self.unverified.front().copied().filter(|write| write.number <= number) {
            self.is_model(sim, self.target, MARGIN + write.at, &write)?;
            self.target.zero(sim, MARGIN + write.at, write.len);
            self.unverified.pop_front();
        }
        Ok(())
    }

    // ---- memory ----

    fn is_model<P: Provider>(
        &self,
        sim: &mut Sim<P>,
        region: Region,
        at: usize,
        request: &Posted,
    ) -> Checked {
        let got = region.octets(sim, at, request.len);
        let right = model::octets(self.stream, request.position, request.len);
        let wrong = got.iter().zip(right).position(|(got, right)| got != right);
        check!(wrong.is_none(), "octet {wrong:?} of {request:?} is not the one that was sent");
        Ok(())
    }

    fn is_untouched<P: Provider>(
        &self,
        sim: &mut Sim<P>,
        region: Region,
        at: usize,
        len: usize,
        what: &str,
    ) -> Checked {
        let touched = region.octets(sim, at, len).iter().position(|octet| *octet != 0);
        check!(touched.is_none(), "octet {touched:?} of {what} was touched");
        Ok(())
    }

    /// The number in the cell grows, and was sent.
    pub(super) fn look_at_cell<P: Provider>(&mut self, sim: &mut Sim<P>) -> Checked {
        let octets = self.target.octets(sim, CELL, 8);
        let seen = u64::from_be_bytes(octets.try_into().expect("eight octets"));
        check!(seen >= self.cell_seen, "the cell fell from {} to {seen}", self.cell_seen);
        check!(seen <= self.cell_posted, "the cell holds {seen} of {}", self.cell_posted);
        self.cell_seen = seen;
        Ok(())
    }

    /// When all is over and nothing is under way.
    pub(super) fn look_at_everything<P: Provider>(&mut self, sim: &mut Sim<P>) -> Checked {
        self.look_at_cell(sim)?;
        if self.failed.is_none() {
            check!(self.expected.is_empty(), "{:?} never arrived", self.expected.front());
            check!(self.unverified.is_empty(), "{:?} was never looked at", self.unverified.front());
            check!(self.cell_seen == self.cell_posted, "the cell holds {}", self.cell_seen);
        }
        let mut target = self.target.octets(sim, 0, TARGET);
        // WRITEs that failed may have come in part, but not otherwise.
        for write in &self.unverified {
            let right = model::octets(self.stream, write.position, write.len);
            for (got, right) in target[MARGIN + write.at..].iter_mut().zip(right) {
                check!(*got == 0 || got == right, "{write:?} left something else");
                *got = 0;
            }
        }
        target[CELL..CELL + 8].fill(0);
        let touched = target.iter().position(|octet| *octet != 0);
        check!(touched.is_none(), "octet {touched:?} around the target was touched");
        for slot in self.posted_slots.clone() {
            let at = slot as usize * LEN_MAX;
            // A message that was cut off may lie in the oldest receive.
            if self.failed.is_none() {
                self.is_untouched(sim, self.slots, at, LEN_MAX, "an unused receive")?;
            }
        }
        Ok(())
    }
}
