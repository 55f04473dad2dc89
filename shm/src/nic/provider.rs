//! The verbs: each checks its handles and hands on.

use rand_chacha::rand_core::Rng;
use smolsmc_verbs::{
    Access, ArmFor, AsyncEvent, Completion, CompletionVector, CqHandle, DeviceAttributes, DeviceId, GidEntry,
    MemHandle, MemoryUse, MrAttributes, MrHandle, NoFrames, PdHandle, PortAttributes, PortState, PostError,
    Provider, QpAttributes, QpCapabilities, QpHandle, QpInit, QpTransition, RdmaPort, RecvRequest,
    SendRequest, VerbsError,
};
use smolsmc_wire::{Qpn, Rkey};

use super::cq::Armed;
use super::device::{Device, PORT};
use super::entropy::draw;
use super::nic::Pd;
use super::notes::Note;
use super::qp::{Owner, Qp};
use super::{ShmNic, ShmSpan};
use crate::config::Limits;
use crate::layout;
use crate::sync::bell::wish;

/// QPNs with a meaning of their own: 0 and 1 are for management, the last is
/// for multicast (IBTA §3.5.3, §10.2.4.1).
const RESERVED_QPNS: [u32; 3] = [0, 1, Qpn::MAX.value()];

const NO_QP: PostError = PostError { posted: 0, error: VerbsError::NoSuch("QP") };

impl Provider for ShmNic {
    type Span<'a> = ShmSpan<'a>;
    type Frames = NoFrames;

    // ---- devices, ports, GIDs ----

    fn devices(&self, out: &mut [DeviceId]) -> usize {
        let there = || self.board.devices().iter().filter(|device| !device.gone);
        for (out, device) in out.iter_mut().zip(there()) {
            *out = device.id;
        }
        there().count()
    }

    fn device(&self, device: DeviceId) -> Result<DeviceAttributes, VerbsError> {
        self.device_index(device).ok_or(VerbsError::NoSuch("device"))?;
        let mut attributes = DeviceAttributes::new(PORT.0);
        attributes.max_qp = self.limits.max_qp;
        attributes.max_qp_wr = self.limits.max_wr;
        attributes.max_sge = self.limits.max_sge;
        attributes.max_cqe = self.limits.max_cqe;
        attributes.max_mr = self.limits.max_mr;
        attributes.max_inline_data = self.limits.max_inline;
        attributes.writes_now = true;
        Ok(attributes)
    }

    fn port(&self, port: RdmaPort) -> Result<PortAttributes, VerbsError> {
        Ok(self.named_port(port)?.port())
    }

    fn gid(&self, port: RdmaPort, index: u16) -> Result<Option<GidEntry>, VerbsError> {
        let entry = self.named_port(port)?.gids.get(usize::from(index));
        entry.copied().map(Some).ok_or(VerbsError::OutOfRange("GID index"))
    }

    fn next_event(&mut self) -> Option<AsyncEvent> {
        self.note_ports();
        loop {
            let event = match self.board.notes.pop()? {
                Note::DeviceGone(device) => AsyncEvent::DeviceGone(device),
                Note::QpFatal(qp) => AsyncEvent::QpFatal(qp),
                Note::CqError(cq) => AsyncEvent::CqError(cq),
                Note::PortState(port) => match self.named_port(port).map(Device::port_state) {
                    Ok(PortState::Active) => AsyncEvent::PortActive(port),
                    Ok(PortState::Down) => AsyncEvent::PortDown(port),
                    Err(_) => continue,
                },
            };
            return Some(event);
        }
    }

    // ---- protection domains and memory ----

    fn alloc_pd(&mut self, device: DeviceId) -> Result<PdHandle, VerbsError> {
        let device = self.device_index(device).ok_or(VerbsError::NoSuch("device"))?;
        let made = self.pds.insert(|_, _| Pd { device, users: 0 });
        let (index, generation) = made.ok_or(VerbsError::Exhausted("protection domains"))?;
        Ok(PdHandle::new(index, generation))
    }

    fn dealloc_pd(&mut self, pd: PdHandle) -> Result<(), VerbsError> {
        let found = self.pds.named(pd.index(), pd.generation()).ok_or(VerbsError::NoSuch("PD"))?;
        if found.users > 0 {
            return Err(VerbsError::InUse("PD"));
        }
        self.pds.remove(pd.index());
        Ok(())
    }

    fn alloc_memory(&mut self, len: usize, used_for: MemoryUse) -> Result<MemHandle, VerbsError> {
        self.board.memory.alloc(len, used_for)
    }

    fn free_memory(&mut self, memory: MemHandle) -> Result<(), VerbsError> {
        self.board.memory.free(memory)
    }

    fn register(&mut self, pd: PdHandle, memory: MemHandle, access: Access) -> Result<MrHandle, VerbsError> {
        let device = self.pd_device(pd)?;
        let made = self.board.memory.register((pd.index(), device), memory, access, &mut self.entropy)?;
        if access.contains(Access::REMOTE_WRITE) {
            let mr = self.board.memory.mr(made)?;
            if let Some(offset) = self.board.memory.shared_place(mr) {
                self.board.device(device).publish_mr(mr, offset);
            }
        }
        self.enter_pd(pd.index());
        Ok(made)
    }

    fn mr(&self, mr: MrHandle) -> Result<MrAttributes, VerbsError> {
        self.board.memory.attributes(mr)
    }

    fn deregister(&mut self, mr: MrHandle) -> Result<(), VerbsError> {
        let found = self.board.memory.mr(mr)?;
        let mut is_left = true;
        if found.access.contains(Access::REMOTE_WRITE) {
            let device = self.board.device(found.device);
            device.withdraw_mr(found.rkey);
            is_left = device.await_writer(self.board.withdrawal);
        }
        let found = self.board.memory.deregister(mr, !is_left)?;
        self.leave_pd(found.pd);
        Ok(())
    }

    fn outgoing(&mut self, memory: MemHandle, offset: usize, len: usize) -> Result<&mut [u8], VerbsError> {
        self.board.memory.outgoing(memory, offset, len)
    }

    fn incoming(&self, memory: MemHandle, offset: usize, len: usize) -> Result<ShmSpan<'_>, VerbsError> {
        self.board.memory.span(memory, offset, len)
    }

    fn zero(&mut self, memory: MemHandle, offset: usize, len: usize) -> Result<(), VerbsError> {
        self.board.memory.zero(memory, offset, len)
    }

    // ---- completion queues ----

    fn create_cq(
        &mut self,
        device: DeviceId,
        entries: u32,
        vector: CompletionVector,
    ) -> Result<CqHandle, VerbsError> {
        let device = self.device_index(device).ok_or(VerbsError::NoSuch("device"))?;
        if !(1..=self.limits.max_cqe).contains(&entries) {
            return Err(VerbsError::OutOfRange("number of completions"));
        }
        if vector != CompletionVector(0) {
            return Err(VerbsError::OutOfRange("completion vector"));
        }
        self.board.cqs.create(device, entries).ok_or(VerbsError::Exhausted("completion queues"))
    }

    fn destroy_cq(&mut self, cq: CqHandle) -> Result<(), VerbsError> {
        let found = self.board.cqs.named(cq).ok_or(VerbsError::NoSuch("CQ"))?;
        if found.users > 0 {
            return Err(VerbsError::InUse("CQ"));
        }
        self.board.cqs.remove(cq.index());
        self.board.notes.forget(Note::CqError(cq));
        Ok(())
    }

    #[inline]
    fn poll_cq(&mut self, cq: CqHandle, out: &mut [Completion]) -> Result<usize, VerbsError> {
        self.progress();
        let found = self.board.cqs.named_mut(cq).ok_or(VerbsError::NoSuch("CQ"))?;
        Ok(found.poll(out))
    }

    fn arm_cq(&mut self, cq: CqHandle, for_what: ArmFor) -> Result<bool, VerbsError> {
        let is_news = self.arm(cq, Armed::For(for_what))?;
        Ok(is_news || self.board.cqs.named(cq).is_some_and(|cq| !cq.is_empty()))
    }

    fn arm_cq_after(&mut self, cq: CqHandle, count: u16) -> Result<Option<bool>, VerbsError> {
        let is_news = self.arm(cq, Armed::After(count))?;
        Ok(Some(is_news || self.board.cqs.named(cq).is_some_and(|cq| cq.waiting() >= count.into())))
    }

    fn next_notification(&mut self) -> Option<CqHandle> {
        self.progress();
        self.board.cqs.next_notification()
    }

    // ---- queue pairs ----

    fn create_qp(&mut self, init: QpInit) -> Result<QpHandle, VerbsError> {
        let device = self.pd_device(init.pd)?;
        if self.cq_device(init.send_cq)? != device || self.cq_device(init.recv_cq)? != device {
            return Err(VerbsError::Foreign("CQ"));
        }
        let caps = self.limits.grant(&init.capabilities)?;
        let (send_cq, recv_cq) = (init.send_cq.index(), init.recv_cq.index());
        let owner = Owner { device, pd: init.pd.index(), send_cq, recv_cq };
        let (max_qp, rng, board) = (self.limits.max_qp, &mut self.entropy.qpn, &self.board);
        let made = self.qps.insert_random(rng.next_u32(), |index, generation| {
            let qpn = Qpn::new(draw(rng, 24, max_qp, index, &RESERVED_QPNS));
            Box::new(Qp::new(QpHandle::new(index, generation), qpn, owner, caps, board))
        });
        let (index, generation) = made.ok_or(VerbsError::Exhausted("queue pairs"))?;
        self.enter_pd(init.pd.index());
        for cq in [send_cq, recv_cq] {
            if let Some(cq) = self.board.cqs.get_mut(cq) {
                cq.users += 1;
            }
        }
        Ok(QpHandle::new(index, generation))
    }

    fn qp(&self, qp: QpHandle) -> Result<QpAttributes, VerbsError> {
        Ok(self.named_qp(qp)?.attributes())
    }

    fn modify_qp(&mut self, qp: QpHandle, transition: QpTransition) -> Result<(), VerbsError> {
        self.living(self.named_qp(qp)?.device)?;
        let found = self.qps.named_mut(qp.index(), qp.generation()).ok_or(VerbsError::NoSuch("QP"))?;
        match transition {
            QpTransition::Reset => found.reset(&mut self.board),
            QpTransition::Init(to) => found.init(&to, to.port == PORT)?,
            QpTransition::ReadyToReceive(to) => found.ready_to_receive(&to, &mut self.board)?,
            QpTransition::ReadyToSend(to) => found.ready_to_send(&to)?,
            QpTransition::Error => {
                found.enter_error(&mut self.board);
                self.settle();
            }
        }
        Ok(())
    }

    fn destroy_qp(&mut self, qp: QpHandle) -> Result<(), VerbsError> {
        self.named_qp(qp)?;
        let Some(mut found) = self.qps.remove(qp.index()) else { return Err(VerbsError::NoSuch("QP")) };
        found.bury(&mut self.board);
        self.forget_active(qp);
        for index in [found.send_cq, found.recv_cq] {
            if let Some(cq) = self.board.cqs.get_mut(index) {
                cq.users -= 1;
                cq.forget(qp);
            }
        }
        self.leave_pd(found.pd);
        Ok(())
    }

    #[inline]
    fn post_send(&mut self, qp: QpHandle, requests: &[SendRequest<'_>]) -> Result<(), PostError> {
        let found = self.qps.named_mut(qp.index(), qp.generation());
        let result = found.ok_or(NO_QP)?.post_send(requests, &mut self.board);
        self.settle();
        result
    }

    #[inline]
    fn write_now(&mut self, qp: QpHandle, remote_addr: u64, rkey: Rkey, octets: &[u8]) -> bool {
        let found = self.qps.named_mut(qp.index(), qp.generation());
        found.is_some_and(|qp| qp.write_now(remote_addr, rkey, octets, &mut self.board))
    }

    #[inline]
    fn post_recv(&mut self, qp: QpHandle, requests: &[RecvRequest<'_>]) -> Result<(), PostError> {
        let found = self.qps.named_mut(qp.index(), qp.generation());
        let result = found.ok_or(NO_QP)?.post_recv(requests, &mut self.board);
        self.settle();
        result
    }

    fn frames(&mut self) -> Option<&mut NoFrames> {
        None
    }
}

impl ShmNic {
    fn named_port(&self, port: RdmaPort) -> Result<&Device, VerbsError> {
        let index = self.device_index(port.device).filter(|_| port.port == PORT);
        Ok(self.board.device(index.ok_or(VerbsError::NoSuch("port"))?))
    }

    fn named_qp(&self, qp: QpHandle) -> Result<&Qp, VerbsError> {
        let found = self.qps.named(qp.index(), qp.generation());
        found.map(|qp| &**qp).ok_or(VerbsError::NoSuch("QP"))
    }

    /// Arms a queue, and says so to the device's peer; whether there is something that
    /// nobody would be woken for any more.
    fn arm(&mut self, cq: CqHandle, for_what: Armed) -> Result<bool, VerbsError> {
        let device = self.cq_device(cq)?;
        self.board.cqs.arm(cq, for_what);
        self.ask_to_be_woken(device);
        // Once more: what came before the peer could see our wish wakes nobody.
        self.board.is_arming = true;
        self.progress();
        self.board.is_arming = false;
        let device = self.board.device_mut(device);
        if core::mem::take(&mut device.owes) {
            device.ring_for(wish::PROGRESS);
        }
        // More than is taken in one go: it rang already.
        let has_more = device.wire.fault().is_none() && device.incoming.peek().is_some();
        // A wire that is gone is worth another look, too.
        Ok(self.note_ports() | has_more)
    }

    fn enter_pd(&mut self, index: u32) {
        if let Some(pd) = self.pds.get_mut(index) {
            pd.users += 1;
        }
    }

    fn leave_pd(&mut self, index: u32) {
        if let Some(pd) = self.pds.get_mut(index) {
            pd.users -= 1;
        }
    }

    /// Says to a device's peer what would wake us. What was rung before is
    /// forgotten: whoever asks has polled since.
    fn ask_to_be_woken(&mut self, index: usize) {
        let mut waiting = self.board.active.iter().filter_map(|place| self.qps.get(*place));
        let waits = waiting.any(|qp| qp.device == index && qp.wants_progress(&self.board));
        let wishes = self.board.cqs.wishes(index) | if waits { wish::PROGRESS } else { 0 };
        let device = self.board.device_mut(index);
        device.wire.silence_bell();
        device.wishes = wishes;
        wish(device.wire.own.word(layout::WISHES), wishes);
        self.has_wishes = true;
    }

    /// Nobody sleeps: the peers need not ring.
    #[cold]
    pub(super) fn forget_wishes(&mut self) {
        self.has_wishes = false;
        for index in 0..self.board.devices().len() {
            let device = self.board.device_mut(index);
            if core::mem::take(&mut device.wishes) != 0 {
                device.say(layout::WISHES, 0);
            }
        }
    }
}

impl Limits {
    /// What is granted to who wants `wanted`.
    fn grant(&self, wanted: &QpCapabilities) -> Result<QpCapabilities, VerbsError> {
        let fits = |what, wanted: u32, limit: u32| {
            if wanted <= limit { Ok(wanted) } else { Err(VerbsError::OutOfRange(what)) }
        };
        Ok(QpCapabilities {
            max_send_wr: fits("max_send_wr", wanted.max_send_wr, self.max_wr)?,
            max_recv_wr: fits("max_recv_wr", wanted.max_recv_wr, self.max_wr)?,
            max_send_sge: fits("max_send_sge", wanted.max_send_sge, self.max_sge)?,
            max_recv_sge: fits("max_recv_sge", wanted.max_recv_sge, self.max_sge)?,
            max_inline_data: fits("max_inline_data", wanted.max_inline_data, self.max_inline)?,
        })
    }
}
