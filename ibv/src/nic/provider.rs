//! The verbs: each checks its handles and hands on.

use std::sync::Arc;

use smolsmc_verbs::{
    Access, ArmFor, AsyncEvent, Completion, CompletionVector, CqHandle, DeviceAttributes, DeviceId, GidEntry,
    MemHandle, MemoryUse, MrAttributes, MrHandle, NoFrames, PdHandle, PortAttributes, PostError, Provider,
    QpAttributes, QpCapabilities, QpHandle, QpInit, QpState, QpTransition, RdmaPort, RecvRequest,
    SendRequest, VerbsError,
};
use smolsmc_wire::{Lkey, Rkey};

use super::completions::CompletionQueue;
use super::queue_pair::{Origin, QueuePair};
use super::{Domain, IbvNic, Memory, Registration, random_iova, state};
use crate::raw::{Cq, Mr, Pages, Pd, Qp, Span, refusal};

const OUTSIDE: VerbsError = VerbsError::OutOfRange("range of memory");

impl IbvNic {
    /// What completed before a queue pair ends or forgets goes with it, since its
    /// place and its number may be used again.
    fn forget_completions(&mut self, qp: QpHandle, cqs: [CqHandle; 2]) -> Result<(), VerbsError> {
        let traffic = self.traffic.get_mut();
        for cq in cqs {
            traffic.drain(cq)?;
            traffic.cq_mut(cq)?.forget(qp);
        }
        Ok(())
    }

    fn check_capabilities(&self, device: DeviceId, wanted: &QpCapabilities) -> Result<(), VerbsError> {
        let most = self.device_open(device)?.attributes();
        for (asked, most, what) in [
            (wanted.max_send_wr, most.max_qp_wr, "send requests"),
            (wanted.max_recv_wr, most.max_qp_wr, "receives"),
            (wanted.max_send_sge, most.max_sge, "elements to send"),
            (wanted.max_recv_sge, most.max_sge, "elements to receive"),
            (wanted.max_inline_data, most.max_inline_data, "inline data"),
        ] {
            if asked > most {
                return Err(VerbsError::OutOfRange(what));
            }
        }
        Ok(())
    }

    /// A transition with its attributes checked, in libibverbs' words.
    fn change(&self, device: DeviceId, port: u8, to: &QpTransition) -> Result<state::Change, VerbsError> {
        use ibverbs_sys::ibv_qp_state as ibv;
        let device = self.device_open(device)?;
        match to {
            QpTransition::Reset => Ok(state::to_state(ibv::IBV_QPS_RESET)),
            QpTransition::Error => Ok(state::to_state(ibv::IBV_QPS_ERR)),
            QpTransition::Init(to) if !device.has_port(to.port) => Err(VerbsError::OutOfRange("port")),
            QpTransition::Init(to) => Ok(state::to_init(to)),
            QpTransition::ReadyToReceive(to) => {
                let now = device.port(smolsmc_verbs::PortNumber(port), &self.names)?;
                state::to_rtr(to, port, &now)
            }
            QpTransition::ReadyToSend(to) => state::to_rts(to),
        }
    }
}

impl Provider for IbvNic {
    type Span<'a> = Span<'a>;
    type Frames = NoFrames;

    // ---- devices, ports, GIDs ----

    fn devices(&self, out: &mut [DeviceId]) -> usize {
        let there = || self.devices.iter().zip(0..).filter(|(device, _)| device.is_open());
        for (out, (_, id)) in out.iter_mut().zip(there()) {
            *out = DeviceId(id);
        }
        there().count()
    }

    fn device(&self, device: DeviceId) -> Result<DeviceAttributes, VerbsError> {
        self.device_open(device).map(|device| *device.attributes())
    }

    fn port(&self, port: RdmaPort) -> Result<PortAttributes, VerbsError> {
        self.device_open(port.device)?.port(port.port, &self.names)
    }

    fn gid(&self, port: RdmaPort, index: u16) -> Result<Option<GidEntry>, VerbsError> {
        self.device_open(port.device)?.gid(port.port, index, &self.names)
    }

    fn next_event(&mut self) -> Option<AsyncEvent> {
        self.fetch_event()
    }

    // ---- protection domains and memory ----

    fn alloc_pd(&mut self, device: DeviceId) -> Result<PdHandle, VerbsError> {
        let open = self.device_open(device)?.opened().ok_or(VerbsError::DeviceGone)?;
        let raw = Pd::new(&open.context).map_err(|errno| refusal(errno, "protection domains"))?;
        let made = self.pds.insert(Domain { device, raw: Some(Arc::new(raw)), users: 0 });
        let (index, generation) = made.ok_or(VerbsError::Exhausted("protection domains"))?;
        Ok(PdHandle::new(index, generation))
    }

    fn dealloc_pd(&mut self, pd: PdHandle) -> Result<(), VerbsError> {
        if self.pd(pd)?.users > 0 {
            return Err(VerbsError::InUse("PD"));
        }
        self.pds.remove(pd.index(), pd.generation());
        Ok(())
    }

    fn alloc_memory(&mut self, len: usize, used_for: MemoryUse) -> Result<MemHandle, VerbsError> {
        if len == 0 {
            return Err(VerbsError::OutOfRange("length of memory"));
        }
        let pages = Pages::new(len).map_err(|errno| refusal(errno, "memory"))?;
        let made = self.memories.insert(Memory { pages: Arc::new(pages), used_for, users: 0 });
        let (index, generation) = made.ok_or(VerbsError::Exhausted("pieces of memory"))?;
        Ok(MemHandle::new(index, generation))
    }

    fn free_memory(&mut self, memory: MemHandle) -> Result<(), VerbsError> {
        if self.memory(memory)?.users > 0 {
            return Err(VerbsError::InUse("memory"));
        }
        self.memories.remove(memory.index(), memory.generation());
        Ok(())
    }

    fn register(&mut self, pd: PdHandle, memory: MemHandle, access: Access) -> Result<MrHandle, VerbsError> {
        let (domain, found) = (self.pd(pd)?, self.memory(memory)?);
        // Memory that we lend as a slice is never registered with a right to write.
        let writes = access.intersects(Access::LOCAL_WRITE | Access::REMOTE_WRITE);
        let remote_only = access.contains(Access::REMOTE_WRITE) && !access.contains(Access::LOCAL_WRITE);
        if remote_only || (writes && found.used_for == MemoryUse::Outgoing) {
            return Err(VerbsError::Access);
        }
        let raw = domain.raw.as_ref().ok_or(VerbsError::DeviceGone)?;
        let (device, len) = (domain.device, found.pages.len());
        let mr = Mr::new(raw, &found.pages, state::rights(access), random_iova(len)?);
        let mr = mr.map_err(|errno| refusal(errno, "registrations"))?;
        let (lkey, rkey, iova) = mr.keys();
        let keys = MrAttributes { lkey: Lkey(lkey), rkey: Rkey(rkey), iova, len };
        let made = self.mrs.insert(Registration { device, raw: Some(mr), keys, pd, memory });
        let (index, generation) = made.ok_or(VerbsError::Exhausted("registrations"))?;
        if let Some(domain) = self.pds.get_mut(pd.index(), pd.generation()) {
            domain.users += 1;
        }
        if let Some(found) = self.memories.get_mut(memory.index(), memory.generation()) {
            found.users += 1;
        }
        Ok(MrHandle::new(index, generation))
    }

    fn mr(&self, mr: MrHandle) -> Result<MrAttributes, VerbsError> {
        let found = self.mrs.get(mr.index(), mr.generation());
        found.map(|found| found.keys).ok_or(VerbsError::NoSuch("MR"))
    }

    fn deregister(&mut self, mr: MrHandle) -> Result<(), VerbsError> {
        let found = self.mrs.remove(mr.index(), mr.generation()).ok_or(VerbsError::NoSuch("MR"))?;
        let Registration { raw, pd, memory, .. } = found;
        drop(raw);
        self.leave_pd(pd);
        if let Some(found) = self.memories.get_mut(memory.index(), memory.generation()) {
            found.users -= 1;
        }
        Ok(())
    }

    fn outgoing(&mut self, memory: MemHandle, offset: usize, len: usize) -> Result<&mut [u8], VerbsError> {
        let found = self.memory(memory)?;
        if found.used_for != MemoryUse::Outgoing {
            return Err(VerbsError::Access);
        }
        // SAFETY: outgoing memory is never registered with a right to write, so no
        // device writes it; and the slice borrows this provider, which is the only
        // way to another one.
        unsafe { found.pages.slice_mut(offset, len) }.ok_or(OUTSIDE)
    }

    fn incoming(&self, memory: MemHandle, offset: usize, len: usize) -> Result<Span<'_>, VerbsError> {
        self.memory(memory)?.pages.span(offset, len).ok_or(OUTSIDE)
    }

    fn zero(&mut self, memory: MemHandle, offset: usize, len: usize) -> Result<(), VerbsError> {
        if self.memory(memory)?.pages.zero(offset, len) { Ok(()) } else { Err(OUTSIDE) }
    }

    // ---- completion queues ----

    fn create_cq(
        &mut self,
        device: DeviceId,
        entries: u32,
        vector: CompletionVector,
    ) -> Result<CqHandle, VerbsError> {
        let found = self.device_open(device)?;
        let attributes = found.attributes();
        if !(1..=attributes.max_cqe).contains(&entries) {
            return Err(VerbsError::OutOfRange("number of completions"));
        }
        if vector.0 >= attributes.completion_vectors {
            return Err(VerbsError::OutOfRange("completion vector"));
        }
        let open = found.opened().ok_or(VerbsError::DeviceGone)?;
        let cqs = &mut self.traffic.borrow_mut().cqs;
        let (index, _) = cqs.vacant().ok_or(VerbsError::Exhausted("completion queues"))?;
        let raw = Cq::new(&open.context, &open.channel, entries, vector.0, index);
        let raw = raw.map_err(|errno| refusal(errno, "completion queues"))?;
        let made = cqs.insert(CompletionQueue::new(device, Arc::new(raw), entries));
        let (index, generation) = made.ok_or(VerbsError::Exhausted("completion queues"))?;
        Ok(CqHandle::new(index, generation))
    }

    fn destroy_cq(&mut self, cq: CqHandle) -> Result<(), VerbsError> {
        let traffic = self.traffic.get_mut();
        if traffic.cq(cq)?.users > 0 {
            return Err(VerbsError::InUse("CQ"));
        }
        traffic.disarm(cq)?;
        traffic.cqs.remove(cq.index(), cq.generation());
        self.pending.forget(AsyncEvent::CqError(cq));
        Ok(())
    }

    #[inline]
    fn poll_cq(&mut self, cq: CqHandle, out: &mut [Completion]) -> Result<usize, VerbsError> {
        self.traffic.get_mut().poll(cq, out)
    }

    fn arm_cq(&mut self, cq: CqHandle, for_what: ArmFor) -> Result<bool, VerbsError> {
        // Old notifications first: what made the descriptor readable before this
        // must not end the sleep that is to come.
        self.fetch_notifications();
        self.pending.look_soon();
        self.traffic.get_mut().arm(cq, for_what)
    }

    fn next_notification(&mut self) -> Option<CqHandle> {
        if !self.traffic.get_mut().any_armed() {
            return None;
        }
        self.fetch_notifications();
        self.traffic.get_mut().next_notification()
    }

    // ---- queue pairs ----

    fn create_qp(&mut self, init: QpInit) -> Result<QpHandle, VerbsError> {
        let QpInit { pd, send_cq, recv_cq, capabilities } = init;
        let device = self.pd(pd)?.device;
        self.device_open(device)?;
        let traffic = self.traffic.borrow();
        let (send, recv) = (traffic.cq(send_cq)?, traffic.cq(recv_cq)?);
        if send.device != device || recv.device != device {
            return Err(VerbsError::Foreign("CQ"));
        }
        self.check_capabilities(device, &capabilities)?;
        let (index, _) = traffic.qps.vacant().ok_or(VerbsError::Exhausted("queue pairs"))?;
        let (Some(domain), Some(send), Some(recv)) = (&self.pd(pd)?.raw, &send.raw, &recv.raw) else {
            return Err(VerbsError::DeviceGone);
        };
        let made = Qp::new(domain, send, recv, &capabilities, index);
        let (raw, granted) = made.map_err(|errno| refusal(errno, "queue pairs"))?;
        drop(traffic);
        let origin = Origin { device, pd, send_cq, recv_cq };
        let traffic = self.traffic.get_mut();
        let made = traffic.qps.insert(QueuePair::new(origin, raw, granted, index));
        let (index, generation) = made.ok_or(VerbsError::Exhausted("queue pairs"))?;
        for cq in [send_cq, recv_cq] {
            traffic.cq_mut(cq)?.users += 1;
        }
        if let Some(domain) = self.pds.get_mut(pd.index(), pd.generation()) {
            domain.users += 1;
        }
        Ok(QpHandle::new(index, generation))
    }

    /// Looks at the device, so that what has completed does not count as
    /// outstanding: not for every turn of a poll.
    fn qp(&self, qp: QpHandle) -> Result<QpAttributes, VerbsError> {
        let mut traffic = self.traffic.borrow_mut();
        let QueuePair { send_cq, recv_cq, .. } = *traffic.qp_mut(qp)?;
        traffic.drain(send_cq)?;
        traffic.drain(recv_cq)?;
        let found = traffic.qp_mut(qp)?;
        let state = if found.raw.is_some() { found.look()? } else { QpState::Error };
        let count = |len| u32::try_from(len).unwrap_or(u32::MAX);
        Ok(QpAttributes {
            qpn: found.qpn,
            state,
            capabilities: found.granted,
            send_outstanding: count(found.sends.len()),
            recv_posted: count(found.receives.len()),
        })
    }

    fn modify_qp(&mut self, qp: QpHandle, transition: QpTransition) -> Result<(), VerbsError> {
        let found = self.traffic.get_mut().qp_mut(qp)?;
        let QueuePair { device, send_cq, recv_cq, port, .. } = *found;
        if found.raw.is_none() {
            return Err(VerbsError::DeviceGone);
        }
        if let Some(from) = state::starts_from(&transition) {
            let now = found.look()?;
            if now != from {
                return Err(VerbsError::WrongState(now));
            }
        }
        let change = self.change(device, port, &transition)?;
        let found = self.traffic.get_mut().qp_mut(qp)?;
        if let QpTransition::Init(to) = &transition {
            found.port = to.port.0;
        }
        if matches!(transition, QpTransition::Error) {
            found.leave_reset()?;
        }
        found.change(&change, state::leads_to(&transition))?;
        if matches!(transition, QpTransition::Reset) {
            self.forget_completions(qp, [send_cq, recv_cq])?;
        }
        Ok(())
    }

    fn destroy_qp(&mut self, qp: QpHandle) -> Result<(), VerbsError> {
        let found = self.traffic.get_mut().qp_mut(qp)?;
        let QueuePair { pd, send_cq, recv_cq, .. } = *found;
        // From here on nothing of it completes any more.
        found.raw = None;
        self.forget_completions(qp, [send_cq, recv_cq])?;
        let traffic = self.traffic.get_mut();
        traffic.qps.remove(qp.index(), qp.generation());
        for cq in [send_cq, recv_cq] {
            traffic.cq_mut(cq)?.users -= 1;
        }
        self.pending.forget(AsyncEvent::QpFatal(qp));
        self.leave_pd(pd);
        Ok(())
    }

    #[inline]
    fn post_send(&mut self, qp: QpHandle, requests: &[SendRequest<'_>]) -> Result<(), PostError> {
        let found = self.traffic.get_mut().qp_mut(qp);
        found.map_err(|error| PostError { posted: 0, error })?.post_send(requests, &mut self.scratch)
    }

    #[inline]
    fn post_recv(&mut self, qp: QpHandle, requests: &[RecvRequest<'_>]) -> Result<(), PostError> {
        let found = self.traffic.get_mut().qp_mut(qp);
        found.map_err(|error| PostError { posted: 0, error })?.post_recv(requests, &mut self.scratch)
    }

    // ---- frames, for a NIC in software ----

    fn frames(&mut self) -> Option<&mut NoFrames> {
        None
    }
}

impl IbvNic {
    fn fetch_notifications(&mut self) {
        let traffic = self.traffic.get_mut();
        for open in self.devices.iter().filter_map(super::Device::opened) {
            while let Some(place) = open.channel.next() {
                traffic.notified(place);
            }
        }
    }
}
