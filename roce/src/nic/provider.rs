//! The verbs: each checks its handles and hands on.

use alloc::boxed::Box;

use smolsmc_verbs::{
    Access, ArmFor, AsyncEvent, Completion, CompletionVector, CqHandle, DeviceAttributes, DeviceId, GidEntry,
    MemHandle, MemoryUse, MrAttributes, MrHandle, PdHandle, PortAttributes, PortState, PostError, Provider,
    QpAttributes, QpCapabilities, QpHandle, QpInit, QpStats, QpTransition, RdmaPort, RecvRequest,
    SendRequest, VerbsError,
};
use smolsmc_wire::Qpn;

use rand_chacha::rand_core::Rng;

use super::SoftNic;
use super::board::Port;
use super::config::Limits;
use super::event::Note;
use super::nic::Pd;
use super::qp::{Owner, Qp};

/// QPNs with a meaning of their own: 0 and 1 are for management, the last is
/// for multicast (IBTA §3.5.3, §10.2.4.1).
const RESERVED_QPNS: [u32; 3] = [0, 1, Qpn::MAX.value()];

impl Provider for SoftNic {
    type Span<'a> = &'a [u8];
    type Frames = Self;

    // ---- devices, ports, GIDs ----

    fn devices(&self, out: &mut [DeviceId]) -> usize {
        let there = || self.devices.iter().filter(|device| !device.gone);
        for (out, device) in out.iter_mut().zip(there()) {
            *out = device.id;
        }
        there().count()
    }

    fn device(&self, device: DeviceId) -> Result<DeviceAttributes, VerbsError> {
        let found = self.devices.iter().find(|other| other.id == device && !other.gone);
        let ports = found.ok_or(VerbsError::NoSuch("device"))?.ports.len();
        let mut attributes = DeviceAttributes::new(ports as u8);
        attributes.max_qp = self.limits.max_qp;
        attributes.max_qp_wr = self.limits.max_wr;
        attributes.max_sge = self.limits.max_sge;
        attributes.max_cqe = self.limits.max_cqe;
        attributes.max_mr = self.limits.max_mr;
        attributes.max_inline_data = self.limits.max_inline;
        Ok(attributes)
    }

    fn port(&self, port: RdmaPort) -> Result<PortAttributes, VerbsError> {
        self.named_port(port).map(Port::attributes)
    }

    fn gid(&self, port: RdmaPort, index: u16) -> Result<Option<GidEntry>, VerbsError> {
        let entry = self.named_port(port)?.gids.get(usize::from(index));
        entry.copied().ok_or(VerbsError::OutOfRange("GID index"))
    }

    fn next_event(&mut self) -> Option<AsyncEvent> {
        loop {
            let event = match self.board.notes.pop()? {
                Note::DeviceAdded(device) => AsyncEvent::DeviceAdded(device),
                Note::DeviceGone(device) => AsyncEvent::DeviceGone(device),
                Note::Gids(port) => AsyncEvent::GidChange(port),
                Note::QpFatal(qp) => AsyncEvent::QpFatal(qp),
                Note::CqError(cq) => AsyncEvent::CqError(cq),
                Note::PortState(port) => match self.named_port(port).map(|found| found.state) {
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
        self.device_mut(device)?;
        let made = self.pds.insert(|_, _| Pd { device, users: 0 });
        let (index, generation) = made.ok_or(VerbsError::Exhausted("protection domains"))?;
        self.device_mut(device)?.users += 1;
        Ok(PdHandle::new(index, generation))
    }

    fn dealloc_pd(&mut self, pd: PdHandle) -> Result<(), VerbsError> {
        let &mut Pd { device, users } = self.pd_mut(pd)?;
        if users > 0 {
            return Err(VerbsError::InUse("PD"));
        }
        self.pds.remove(pd.index());
        self.leave_device(device);
        Ok(())
    }

    fn alloc_memory(&mut self, len: usize, used_for: MemoryUse) -> Result<MemHandle, VerbsError> {
        self.board.memory.alloc(len, used_for)
    }

    fn free_memory(&mut self, memory: MemHandle) -> Result<(), VerbsError> {
        self.board.memory.free(memory)
    }

    fn register(&mut self, pd: PdHandle, memory: MemHandle, access: Access) -> Result<MrHandle, VerbsError> {
        let device = self.pd_mut(pd)?.device;
        self.device_mut(device)?;
        let mr = self.board.memory.register(pd.index(), memory, access, &mut self.entropy)?;
        self.pd_mut(pd)?.users += 1;
        Ok(mr)
    }

    fn mr(&self, mr: MrHandle) -> Result<MrAttributes, VerbsError> {
        self.board.memory.attributes(mr)
    }

    fn deregister(&mut self, mr: MrHandle) -> Result<(), VerbsError> {
        let pd = self.board.memory.deregister(mr)?;
        self.leave_pd(pd);
        Ok(())
    }

    fn outgoing(&mut self, memory: MemHandle, offset: usize, len: usize) -> Result<&mut [u8], VerbsError> {
        if self.board.memory.used_for(memory)? != MemoryUse::Outgoing {
            return Err(VerbsError::Access);
        }
        self.board.memory.slice_mut(memory, offset, len)
    }

    fn incoming(&self, memory: MemHandle, offset: usize, len: usize) -> Result<&[u8], VerbsError> {
        self.board.memory.slice(memory, offset, len)
    }

    fn zero(&mut self, memory: MemHandle, offset: usize, len: usize) -> Result<(), VerbsError> {
        self.board.memory.slice_mut(memory, offset, len)?.fill(0);
        Ok(())
    }

    // ---- completion queues ----

    fn create_cq(
        &mut self,
        device: DeviceId,
        entries: u32,
        vector: CompletionVector,
    ) -> Result<CqHandle, VerbsError> {
        self.device_mut(device)?;
        if !(1..=self.limits.max_cqe).contains(&entries) {
            return Err(VerbsError::OutOfRange("number of completions"));
        }
        if vector != CompletionVector(0) {
            return Err(VerbsError::OutOfRange("completion vector"));
        }
        let cq = self.board.cqs.create(device, entries).ok_or(VerbsError::Exhausted("completion queues"))?;
        self.device_mut(device)?.users += 1;
        Ok(cq)
    }

    fn destroy_cq(&mut self, cq: CqHandle) -> Result<(), VerbsError> {
        let found = self.board.cqs.named(cq).ok_or(VerbsError::NoSuch("CQ"))?;
        let device = found.device;
        if found.users > 0 {
            return Err(VerbsError::InUse("CQ"));
        }
        self.board.cqs.remove(cq.index());
        self.board.notes.forget(Note::CqError(cq));
        self.leave_device(device);
        Ok(())
    }

    #[inline]
    fn poll_cq(&mut self, cq: CqHandle, out: &mut [Completion]) -> Result<usize, VerbsError> {
        let found = self.board.cqs.named_mut(cq).ok_or(VerbsError::NoSuch("CQ"))?;
        Ok(found.poll(out))
    }

    fn arm_cq(&mut self, cq: CqHandle, for_what: ArmFor) -> Result<bool, VerbsError> {
        let found = self.board.cqs.named_mut(cq).ok_or(VerbsError::NoSuch("CQ"))?;
        Ok(found.arm(for_what))
    }

    fn next_notification(&mut self) -> Option<CqHandle> {
        self.board.cqs.next_notification()
    }

    // ---- queue pairs ----

    fn create_qp(&mut self, init: QpInit) -> Result<QpHandle, VerbsError> {
        let device = self.pd_mut(init.pd)?.device;
        self.device_mut(device)?;
        if self.cq_device(init.send_cq)? != device || self.cq_device(init.recv_cq)? != device {
            return Err(VerbsError::Foreign("CQ"));
        }
        let caps = self.limits.grant(&init.capabilities)?;
        let (send_cq, recv_cq) = (init.send_cq.index(), init.recv_cq.index());
        let owner = Owner { device, pd: init.pd.index(), send_cq, recv_cq };
        let (qpns, rng) = (self.qpns, &mut self.entropy.qpn);
        let made = self.qps.insert_random(rng.next_u32(), |index, generation| {
            let qpn = Qpn::new(qpns.draw(rng, index, &RESERVED_QPNS));
            Box::new(Qp::new(QpHandle::new(index, generation), qpn, owner, caps))
        });
        let (index, generation) = made.ok_or(VerbsError::Exhausted("queue pairs"))?;
        self.pd_mut(init.pd)?.users += 1;
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
        let device = self.named_qp(qp)?.device;
        self.device_mut(device)?;
        let slot = match transition {
            QpTransition::Init(to) => self.port_slot(RdmaPort { device, port: to.port }),
            _ => None,
        };
        let found = self.qps.named_mut(qp.index(), qp.generation()).ok_or(VerbsError::NoSuch("QP"))?;
        match transition {
            QpTransition::Reset => found.reset(&mut self.board),
            QpTransition::Init(to) => found.init(&to, slot)?,
            QpTransition::ReadyToReceive(to) => found.ready_to_receive(&to, &self.board)?,
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
        found.leave_schedule(&mut self.board);
        found.forget_failure(&mut self.board);
        for index in [found.send_cq, found.recv_cq] {
            if let Some(cq) = self.board.cqs.get_mut(index) {
                cq.users -= 1;
                cq.forget(qp);
            }
        }
        self.leave_pd(found.pd);
        self.gone.bury(*found, self.board.now);
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
    fn post_recv(&mut self, qp: QpHandle, requests: &[RecvRequest<'_>]) -> Result<(), PostError> {
        let found = self.qps.named_mut(qp.index(), qp.generation());
        let result = found.ok_or(NO_QP)?.post_recv(requests, &mut self.board);
        self.settle();
        result
    }

    // ---- frames ----

    fn qp_stats(&self, qp: QpHandle) -> Option<QpStats> {
        let counters = self.qp_counters(qp).ok()?;
        let mut stats = QpStats::default();
        stats.retransmitted = counters.retransmitted;
        stats.timeouts = counters.timeouts;
        stats.rnr_naks_sent = counters.rnr_naks_sent;
        stats.rnr_naks_received = counters.rnr_naks_received;
        Some(stats)
    }

    fn frames(&mut self) -> Option<&mut Self> {
        Some(self)
    }
}

const NO_QP: PostError = PostError { posted: 0, error: VerbsError::NoSuch("QP") };

impl SoftNic {
    fn named_port(&self, port: RdmaPort) -> Result<&Port, VerbsError> {
        let slot = self.port_slot(port).ok_or(VerbsError::NoSuch("port"))?;
        self.board.ports.get(slot).ok_or(VerbsError::NoSuch("port"))
    }

    fn leave_pd(&mut self, index: u32) {
        if let Some(pd) = self.pds.get_mut(index) {
            pd.users -= 1;
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
