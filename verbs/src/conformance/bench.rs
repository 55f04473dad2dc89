//! What cases are written with: two queue pairs that talk, memory with a known
//! content, and waiting that ends.

use alloc::vec;
use alloc::vec::Vec;

use smolsmc_wire::{Duration, MtuCode, Psn, Qpn};

use super::failure::{equal, holds, one_of};
use super::{Failure, FailureKind, Rig, Side};
use crate::{
    Access, Completion, CompletionVector, CqHandle, InitAttributes, MemHandle, MemoryUse, MrAttributes,
    MrHandle, Payload, PdHandle, Provider, QpCapabilities, QpHandle, QpInit, QpState, QpTransition, RdmaPort,
    RecvRequest, RemoteSpan, RtrAttributes, RtsAttributes, SendOperation, SendRequest, Sge, WcOpcode,
    WcStatus,
};

pub(super) type Done = Result<(), Failure>;

/// What a peer may do, when a case does not care.
pub(super) const OPEN: Access = Access::LOCAL_WRITE.union(Access::REMOTE_WRITE).union(Access::REMOTE_READ);

/// What two queue pairs are made like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// Which port of each side.
    pub(super) index: usize,
    pub(super) mtu: MtuCode,
    pub(super) capabilities: QpCapabilities,
    pub(super) access: Access,
    pub(super) timeout: u8,
    pub(super) retry_count: u8,
    pub(super) rnr_retry: u8,
    pub(super) min_rnr_timer: u8,
    pub(super) rd_atomic: u8,
    /// First PSN of the near side's requests, and of the far one's.
    pub(super) psn: [Psn; 2],
}

impl Default for Wanted {
    /// As Linux's SMC-R makes them, but for READ, and starting just before the
    /// wrap of the PSN.
    fn default() -> Self {
        Self {
            index: 0,
            mtu: MtuCode::OCTETS_1024,
            capabilities: QpCapabilities {
                max_send_wr: 32,
                max_recv_wr: 32,
                max_send_sge: 4,
                max_recv_sge: 4,
                max_inline_data: 0,
            },
            access: OPEN,
            timeout: 14,
            retry_count: 7,
            rnr_retry: 7,
            min_rnr_timer: 5,
            rd_atomic: 1,
            psn: [Psn::MAX.sub(3), Psn::MAX],
        }
    }
}

/// A queue pair and what belongs to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) side: Side,
    pub(super) index: usize,
    pub(super) port: RdmaPort,
    pub(super) pd: PdHandle,
    pub(super) send_cq: CqHandle,
    pub(super) recv_cq: CqHandle,
    pub(super) qp: QpHandle,
    pub(super) qpn: Qpn,
}

impl End {
    /// A queue pair in RESET, with PD and completion queues of its own.
    pub(super) fn new<R: Rig>(rig: &mut R, side: Side, wanted: &Wanted) -> Result<Self, Failure> {
        let port = rig.port(side, wanted.index);
        let nic = rig.nic(side);
        let pd = nic.alloc_pd(port.device)?;
        let entries = wanted.capabilities.max_send_wr.max(wanted.capabilities.max_recv_wr).max(1) * 4;
        let send_cq = nic.create_cq(port.device, entries, CompletionVector(0))?;
        let recv_cq = nic.create_cq(port.device, entries, CompletionVector(0))?;
        Self::on(rig, side, wanted, pd, send_cq, recv_cq)
    }

    /// A queue pair in RESET on what is there already.
    pub(super) fn on<R: Rig>(
        rig: &mut R,
        side: Side,
        wanted: &Wanted,
        pd: PdHandle,
        send_cq: CqHandle,
        recv_cq: CqHandle,
    ) -> Result<Self, Failure> {
        let port = rig.port(side, wanted.index);
        let nic = rig.nic(side);
        let qp = nic.create_qp(QpInit { pd, send_cq, recv_cq, capabilities: wanted.capabilities })?;
        let qpn = nic.qp(qp)?.qpn;
        Ok(Self { side, index: wanted.index, port, pd, send_cq, recv_cq, qp, qpn })
    }

    /// A transition, with what it takes to reach `peer`.
    pub(super) fn transition<R: Rig>(
        &self,
        rig: &R,
        to: QpState,
        wanted: &Wanted,
        peer: &Self,
    ) -> QpTransition {
        let [near, far] = wanted.psn;
        let (sq_psn, rq_psn) = if self.side == Side::Near { (near, far) } else { (far, near) };
        match to {
            QpState::Reset => QpTransition::Reset,
            QpState::Init => QpTransition::Init(InitAttributes {
                port: self.port.port,
                pkey_index: 0,
                access: wanted.access,
            }),
            QpState::ReadyToReceive => QpTransition::ReadyToReceive(RtrAttributes {
                path_mtu: wanted.mtu,
                destination_qpn: peer.qpn,
                rq_psn,
                max_dest_rd_atomic: wanted.rd_atomic,
                min_rnr_timer: wanted.min_rnr_timer,
                path: rig.path(self.side, self.index),
            }),
            QpState::ReadyToSend => QpTransition::ReadyToSend(RtsAttributes {
                timeout: wanted.timeout,
                retry_count: wanted.retry_count,
                rnr_retry: wanted.rnr_retry,
                sq_psn,
                max_rd_atomic: wanted.rd_atomic,
            }),
            QpState::Error => QpTransition::Error,
        }
    }

    /// Steps from RESET to `to`.
    pub(super) fn bring<R: Rig>(&self, rig: &mut R, to: QpState, wanted: &Wanted, peer: &Self) -> Done {
        let way: &[QpState] = match to {
            QpState::Reset => &[],
            QpState::Init => &[QpState::Init],
            QpState::ReadyToReceive => &[QpState::Init, QpState::ReadyToReceive],
            QpState::ReadyToSend => &[QpState::Init, QpState::ReadyToReceive, QpState::ReadyToSend],
            QpState::Error => &[QpState::Error],
        };
        for state in way {
            let transition = self.transition(rig, *state, wanted, peer);
            rig.nic(self.side).modify_qp(self.qp, transition)?;
        }
        Ok(())
    }

    pub(super) fn state<R: Rig>(&self, rig: &mut R) -> Result<QpState, Failure> {
        Ok(rig.nic(self.side).qp(self.qp)?.state)
    }

    /// To ERR.
    pub(super) fn fail<R: Rig>(&self, rig: &mut R) -> Done {
        Ok(rig.nic(self.side).modify_qp(self.qp, QpTransition::Error)?)
    }

    /// Registered memory that only this side writes.
    pub(super) fn outgoing<R: Rig>(&self, rig: &mut R, len: usize) -> Result<Region, Failure> {
        Region::new(rig, self.side, self.pd, len, MemoryUse::Outgoing, Access::REMOTE_READ)
    }

    /// Registered memory that peers may do anything to.
    pub(super) fn incoming<R: Rig>(&self, rig: &mut R, len: usize) -> Result<Region, Failure> {
        Region::new(rig, self.side, self.pd, len, MemoryUse::Incoming, OPEN)
    }

    pub(super) fn post<R: Rig>(&self, rig: &mut R, requests: &[SendRequest<'_>]) -> Done {
        Ok(rig.nic(self.side).post_send(self.qp, requests)?)
    }

    /// Posts one receive into one stretch.
    pub(super) fn receive<R: Rig>(&self, rig: &mut R, wr_id: u64, sge: Sge) -> Done {
        self.receive_into(rig, wr_id, &[sge])
    }

    pub(super) fn receive_into<R: Rig>(&self, rig: &mut R, wr_id: u64, sges: &[Sge]) -> Done {
        Ok(rig.nic(self.side).post_recv(self.qp, &[RecvRequest { wr_id, sges }])?)
    }

    /// The next completion of a request to send.
    #[track_caller]
    pub(super) fn sent<R: Rig>(&self, rig: &mut R) -> Result<Completion, Failure> {
        next_completion(rig, self.side, self.send_cq)
    }

    /// The next completion of a receive.
    #[track_caller]
    pub(super) fn received<R: Rig>(&self, rig: &mut R) -> Result<Completion, Failure> {
        next_completion(rig, self.side, self.recv_cq)
    }

    /// That the next request to send ends well.
    #[track_caller]
    pub(super) fn sent_well<R: Rig>(&self, rig: &mut R, wr_id: u64, opcode: WcOpcode) -> Done {
        let got = self.sent(rig)?;
        equal("the request succeeds", (got.wr_id, got.status), (wr_id, WcStatus::Success))?;
        equal("the completion is of its kind and queue pair", (got.opcode, got.qp), (opcode, self.qp))
    }

    /// That the next request to send ends so.
    #[track_caller]
    pub(super) fn sent_ill<R: Rig>(&self, rig: &mut R, wr_id: u64, status: WcStatus) -> Done {
        let got = self.sent(rig)?;
        equal("the request completes", got.wr_id, wr_id)?;
        one_of("it fails so", got.status, &[status, unheard(rig, status)])?;
        equal("the completion names its queue pair", got.qp, self.qp)
    }

    /// That the next receive took a SEND of `len` octets.
    #[track_caller]
    pub(super) fn received_well<R: Rig>(&self, rig: &mut R, wr_id: u64, len: usize) -> Done {
        let got = self.received(rig)?;
        equal("the receive succeeds", (got.wr_id, got.status), (wr_id, WcStatus::Success))?;
        equal("a receive took it", (got.opcode, got.qp), (WcOpcode::Receive, self.qp))?;
        equal("its length is told", got.byte_len as usize, len)
    }

    /// That the queue pair gets there.
    #[track_caller]
    pub(super) fn becomes<R: Rig>(&self, rig: &mut R, state: QpState) -> Done {
        until(rig, "the queue pair gets to the state", |rig| Ok(self.state(rig)? == state))
    }
}

/// How a request of this status also ends, if the peer's one NAK is lost.
pub(super) fn unheard<R: Rig>(rig: &R, status: WcStatus) -> WcStatus {
    match status {
        WcStatus::RemoteInvalidRequest | WcStatus::RemoteAccess | WcStatus::RemoteOperation
            if rig.loses() =>
        {
            WcStatus::RetryExceeded
        }
        status => status,
    }
}

/// Two queue pairs in RTS that talk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    pub(super) near: End,
    pub(super) far: End,
}

impl Pair {
    pub(super) fn new<R: Rig>(rig: &mut R, wanted: &Wanted) -> Result<Self, Failure> {
        let near = End::new(rig, Side::Near, wanted)?;
        let far = End::new(rig, Side::Far, wanted)?;
        Self { near, far }.connected(rig, wanted)
    }

    /// Brings both from RESET to RTS.
    pub(super) fn connected<R: Rig>(self, rig: &mut R, wanted: &Wanted) -> Result<Self, Failure> {
        self.near.bring(rig, QpState::ReadyToSend, wanted, &self.far)?;
        self.far.bring(rig, QpState::ReadyToSend, wanted, &self.near)?;
        Ok(self)
    }

    /// That a message gets through in both directions.
    #[track_caller]
    pub(super) fn talks<R: Rig>(&self, rig: &mut R) -> Done {
        for (from, to) in [(self.near, self.far), (self.far, self.near)] {
            let source = from.outgoing(rig, 100)?;
            let target = to.incoming(rig, 100)?;
            source.fill(rig, 77)?;
            to.receive(rig, 7, target.sge(0, 100))?;
            from.post(rig, &[send(6, &[source.sge(0, 100)])])?;
            to.received_well(rig, 7, 100)?;
            from.sent_well(rig, 6, WcOpcode::Send)?;
            target.is_pattern(rig, 0, 100, 77, 0)?;
        }
        Ok(())
    }
}

/// Memory, registered once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Region {
    pub(super) side: Side,
    pub(super) memory: MemHandle,
    pub(super) mr: MrHandle,
    pub(super) keys: MrAttributes,
}

impl Region {
    pub(super) fn new<R: Rig>(
        rig: &mut R,
        side: Side,
        pd: PdHandle,
        len: usize,
        used_for: MemoryUse,
        access: Access,
    ) -> Result<Self, Failure> {
        let nic = rig.nic(side);
        let memory = nic.alloc_memory(len, used_for)?;
        let mr = nic.register(pd, memory, access)?;
        let keys = nic.mr(mr)?;
        Ok(Self { side, memory, mr, keys })
    }

    pub(super) fn sge(&self, offset: usize, len: usize) -> Sge {
        Sge { addr: self.at(offset), len: u32::try_from(len).unwrap_or(u32::MAX), lkey: self.keys.lkey }
    }

    /// The address of an octet.
    pub(super) fn at(&self, offset: usize) -> u64 {
        self.keys.iova.wrapping_add(offset as u64)
    }

    /// Fills outgoing memory with the pattern of `stream`.
    pub(super) fn fill<R: Rig>(&self, rig: &mut R, stream: u32) -> Done {
        let octets = rig.nic(self.side).outgoing(self.memory, 0, self.keys.len)?;
        for (n, octet) in octets.iter_mut().enumerate() {
            *octet = pattern(stream, n);
        }
        Ok(())
    }

    pub(super) fn octets<R: Rig>(&self, rig: &mut R, offset: usize, len: usize) -> Result<Vec<u8>, Failure> {
        let span = rig.nic(self.side).incoming(self.memory, offset, len)?;
        equal("the view is as long as asked", span.len(), len)?;
        let mut octets = vec![0; len];
        let copied = span.copy_to(0, &mut octets);
        equal("the view is copied whole", copied, len)?;
        Ok(octets)
    }

    /// That octets from `offset` on are the pattern of `stream` from `from` on.
    #[track_caller]
    pub(super) fn is_pattern<R: Rig>(
        &self,
        rig: &mut R,
        offset: usize,
        len: usize,
        stream: u32,
        from: usize,
    ) -> Done {
        let octets = self.octets(rig, offset, len)?;
        let wrong = octets.iter().enumerate().position(|(n, octet)| *octet != pattern(stream, from + n));
        equal("the octets are those that were sent; the first wrong one", wrong, None)
    }

    /// That nobody touched these octets.
    #[track_caller]
    pub(super) fn is_zero<R: Rig>(&self, rig: &mut R, offset: usize, len: usize) -> Done {
        let octets = self.octets(rig, offset, len)?;
        let wrong = octets.iter().position(|octet| *octet != 0);
        equal("octets nobody named stay as they were; the first touched", wrong, None)
    }

    /// That exactly `len` octets from `offset` on were touched, and hold the
    /// start of the pattern of `stream`.
    #[track_caller]
    pub(super) fn is_only_pattern<R: Rig>(
        &self,
        rig: &mut R,
        offset: usize,
        len: usize,
        stream: u32,
    ) -> Done {
        self.is_zero(rig, 0, offset)?;
        self.is_pattern(rig, offset, len, stream, 0)?;
        self.is_zero(rig, offset + len, self.keys.len - offset - len)
    }

    pub(super) fn zero<R: Rig>(&self, rig: &mut R) -> Done {
        Ok(rig.nic(self.side).zero(self.memory, 0, self.keys.len)?)
    }
}

/// Octet `n` of a stream; never zero, so that it differs from untouched memory.
pub(super) const fn pattern(stream: u32, n: usize) -> u8 {
    let mixed = (n as u32).wrapping_add(stream.wrapping_mul(0x9e37_79b9)).wrapping_mul(0x85eb_ca6b);
    ((mixed >> 16) % 255) as u8 + 1
}

pub(super) const fn request<'a>(wr_id: u64, operation: SendOperation, sges: &'a [Sge]) -> SendRequest<'a> {
    SendRequest { wr_id, operation, payload: Payload::Registered(sges), signalled: true, solicited: false }
}

pub(super) const fn send(wr_id: u64, sges: &[Sge]) -> SendRequest<'_> {
    request(wr_id, SendOperation::Send, sges)
}

/// A WRITE to `offset` of a peer's region.
pub(super) fn write<'a>(wr_id: u64, sges: &'a [Sge], target: &Region, offset: usize) -> SendRequest<'a> {
    let operation = SendOperation::Write { remote_addr: target.at(offset), rkey: target.keys.rkey };
    request(wr_id, operation, sges)
}

/// A READ from `offset` of a peer's region.
pub(super) fn read<'a>(wr_id: u64, sges: &'a [Sge], source: &Region, offset: usize) -> SendRequest<'a> {
    let operation = SendOperation::Read { remote_addr: source.at(offset), rkey: source.keys.rkey };
    request(wr_id, operation, sges)
}

pub(super) const fn unsignalled(request: SendRequest<'_>) -> SendRequest<'_> {
    SendRequest { signalled: false, ..request }
}

/// What can be polled now, at most one.
pub(super) fn poll_one<R: Rig>(rig: &mut R, side: Side, cq: CqHandle) -> Result<Option<Completion>, Failure> {
    let mut one = [Completion::EMPTY];
    let count = rig.nic(side).poll_cq(cq, &mut one)?;
    holds("no more completions are told than asked for", count <= 1)?;
    Ok(one.into_iter().take(count).next())
}

/// Waits for a completion.
#[track_caller]
pub(super) fn next_completion<R: Rig>(rig: &mut R, side: Side, cq: CqHandle) -> Result<Completion, Failure> {
    let mut found = None;
    until(rig, "a request completes", |rig| {
        found = poll_one(rig, side, cq)?;
        Ok(found.is_some())
    })?;
    Ok(found.unwrap_or(Completion::EMPTY))
}

/// Steps until it is so.
#[track_caller]
pub(super) fn until<R: Rig>(
    rig: &mut R,
    expectation: &'static str,
    mut is_so: impl FnMut(&mut R) -> Result<bool, Failure>,
) -> Done {
    let deadline = rig.now() + rig.patience();
    while !is_so(rig)? {
        if rig.now() >= deadline {
            return Err(Failure::new(expectation, FailureKind::TimedOut(rig.patience())));
        }
        rig.step();
    }
    Ok(())
}

/// Steps for a while.
pub(super) fn settle<R: Rig>(rig: &mut R) {
    pause(rig, rig.settling());
}

/// Steps for `time`.
pub(super) fn pause<R: Rig>(rig: &mut R, time: Duration) {
    let end = rig.now() + time;
    while rig.now() < end {
        rig.step();
    }
}

/// That nothing completes for a while.
#[track_caller]
pub(super) fn stays_empty<R: Rig>(rig: &mut R, side: Side, cq: CqHandle) -> Done {
    settle(rig);
    equal("nothing completes", poll_one(rig, side, cq)?, None)
}
