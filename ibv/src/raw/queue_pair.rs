use std::ptr::{self, NonNull};
use std::sync::Arc;

use ibverbs_sys as ffi;
use smolsmc_verbs::{Payload, QpCapabilities, RecvRequest, SendOperation, SendRequest, Sge};

use super::{Cq, EINVAL, Errno, Pd, check, last_errno};
use crate::outstanding::Token;

/// Requests handed over with one doorbell.
pub(crate) const LIST: usize = 64;

/// Room for lists of requests, so that posting does not allocate.
pub(crate) struct Scratch {
    sends: Vec<ffi::ibv_send_wr>,
    receives: Vec<ffi::ibv_recv_wr>,
    elements: Vec<ffi::ibv_sge>,
    most_elements: usize,
}

// SAFETY: the pointers in it mean something only while a list is posted, which
// one call does with the scratch borrowed.
unsafe impl Send for Scratch {}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scratch").field("most_elements", &self.most_elements).finish_non_exhaustive()
    }
}

impl Scratch {
    pub(crate) fn new() -> Self {
        let (sends, receives) = (Vec::with_capacity(LIST), Vec::with_capacity(LIST));
        let most_elements = LIST * 2;
        Self { sends, receives, elements: Vec::with_capacity(most_elements), most_elements }
    }

    /// Makes room for at least one request of so many elements.
    pub(crate) fn fit(&mut self, elements: u32) {
        self.most_elements = self.most_elements.max(elements as usize);
        self.elements.clear();
        self.elements.reserve(self.most_elements);
    }

    fn clear(&mut self) {
        self.sends.clear();
        self.receives.clear();
        self.elements.clear();
    }

    /// Adds a request's elements; where they begin, or `None` if they do not fit.
    fn add(&mut self, elements: &[Sge]) -> Option<*mut ffi::ibv_sge> {
        if self.elements.len() + elements.len() > self.most_elements {
            return None;
        }
        let start = self.elements.len();
        let convert = |sge: &Sge| ffi::ibv_sge { addr: sge.addr, length: sge.len, lkey: sge.lkey.0 };
        self.elements.extend(elements.iter().map(convert));
        // The capacity was reserved: the elements do not move any more.
        Some(self.elements.as_mut_ptr().wrapping_add(start))
    }
}

/// A reliable connected queue pair.
#[derive(Debug)]
pub(crate) struct Qp {
    raw: NonNull<ffi::ibv_qp>,
    _pd: Arc<Pd>,
    _cqs: [Arc<Cq>; 2],
}

// SAFETY: see "Threads" at the top of the module above.
unsafe impl Send for Qp {}
// SAFETY: likewise.
unsafe impl Sync for Qp {}

impl Qp {
    /// A queue pair in RESET and what was granted; `number` comes back in its
    /// events.
    pub(crate) fn new(
        pd: &Arc<Pd>,
        send_cq: &Arc<Cq>,
        recv_cq: &Arc<Cq>,
        capabilities: &QpCapabilities,
        number: u32,
    ) -> Result<(Self, QpCapabilities), Errno> {
        let mut init = ffi::ibv_qp_init_attr {
            qp_context: ptr::without_provenance_mut(number as usize),
            send_cq: send_cq.raw(),
            recv_cq: recv_cq.raw(),
            srq: super::completion::nothing(),
            cap: ffi::ibv_qp_cap {
                max_send_wr: capabilities.max_send_wr,
                max_recv_wr: capabilities.max_recv_wr,
                max_send_sge: capabilities.max_send_sge,
                max_recv_sge: capabilities.max_recv_sge,
                max_inline_data: capabilities.max_inline_data,
            },
            qp_type: ffi::ibv_qp_type::IBV_QPT_RC,
            sq_sig_all: 0,
        };
        // SAFETY: PD and queues are valid and of one context (checked by our
        // caller, and by the kernel); the result is checked for null.
        let raw = unsafe { ffi::ibv_create_qp(pd.raw(), &raw mut init) };
        let raw = NonNull::new(raw).ok_or_else(last_errno)?;
        let granted = QpCapabilities {
            max_send_wr: init.cap.max_send_wr,
            max_recv_wr: init.cap.max_recv_wr,
            max_send_sge: init.cap.max_send_sge,
            max_recv_sge: init.cap.max_recv_sge,
            max_inline_data: init.cap.max_inline_data,
        };
        Ok((Self { raw, _pd: pd.clone(), _cqs: [send_cq.clone(), recv_cq.clone()] }, granted))
    }

    pub(crate) fn number(&self) -> u32 {
        // SAFETY: the queue pair is valid, and its number does not change.
        unsafe { (*self.raw.as_ptr()).qp_num }
    }

    pub(crate) fn modify(
        &self,
        attributes: &ffi::ibv_qp_attr,
        mask: ffi::ibv_qp_attr_mask,
    ) -> Result<(), Errno> {
        let mut attributes = *attributes;
        // SAFETY: the queue pair is valid; the attributes live for the call.
        check(unsafe { ffi::ibv_modify_qp(self.raw.as_ptr(), &raw mut attributes, mask.0.cast_signed()) })
    }

    /// Its state as the kernel sees it.
    pub(crate) fn state(&self) -> Result<ffi::ibv_qp_state::Type, Errno> {
        let (mut attributes, mut init) = (ffi::ibv_qp_attr::default(), ffi::ibv_qp_init_attr::default());
        let mask = ffi::ibv_qp_attr_mask::IBV_QP_STATE.0.cast_signed();
        // SAFETY: the queue pair is valid, and so are the places for the answers.
        check(unsafe { ffi::ibv_query_qp(self.raw.as_ptr(), &raw mut attributes, mask, &raw mut init) })?;
        Ok(attributes.qp_state)
    }

    /// Posts the front of `requests`, as many as make one list, numbered from
    /// `token` on; returns how many, or what was said after how many.
    #[inline]
    pub(crate) fn post_send(
        &self,
        scratch: &mut Scratch,
        requests: &[SendRequest<'_>],
        token: Token,
    ) -> (usize, Result<(), Errno>) {
        scratch.clear();
        for (n, request) in requests.iter().take(LIST).enumerate() {
            let inline;
            let (elements, flag) = match request.payload {
                Payload::Registered(elements) => (elements, 0),
                Payload::Inline([]) => (&[][..], 0),
                Payload::Inline(octets) => {
                    // The library copies from here before the call returns.
                    let addr = octets.as_ptr().expose_provenance() as u64;
                    let len = u32::try_from(octets.len()).unwrap_or(u32::MAX);
                    inline = [Sge { addr, len, ..Sge::default() }];
                    (&inline[..], ffi::ibv_send_flags::IBV_SEND_INLINE.0)
                }
            };
            let Some(sg_list) = scratch.add(elements) else { break };
            let mut wr = ffi::ibv_send_wr {
                wr_id: token.after(n).0,
                sg_list,
                num_sge: elements.len() as i32,
                send_flags: flag,
                ..ffi::ibv_send_wr::default()
            };
            describe(&mut wr, request);
            scratch.sends.push(wr);
        }
        let count = scratch.sends.len();
        if count == 0 {
            return (0, Err(EINVAL));
        }
        let base = scratch.sends.as_mut_ptr();
        for next in 1..count {
            // SAFETY: both are among the `count` requests that `base` begins with.
            unsafe { (*base.add(next - 1)).next = base.add(next) }
        }
        let mut bad = ptr::null_mut();
        // SAFETY: the queue pair is valid, and with it its context's table of
        // functions. The list is linked within `sends`, its elements lie in
        // `elements`, and neither moves before the call returns; inline octets are
        // borrowed for as long. For what elements name see "Memory" above.
        let code = unsafe {
            let Some(post) = (*(*self.raw.as_ptr()).context).ops.post_send else { return (0, Err(EINVAL)) };
            post(self.raw.as_ptr(), base, &raw mut bad)
        };
        match check(code) {
            Ok(()) => (count, Ok(())),
            Err(errno) => (before(base, bad, count), Err(errno)),
        }
    }

    /// As [`post_send`](Self::post_send), for receives.
    #[inline]
    pub(crate) fn post_recv(
        &self,
        scratch: &mut Scratch,
        requests: &[RecvRequest<'_>],
        token: Token,
    ) -> (usize, Result<(), Errno>) {
        scratch.clear();
        for (n, request) in requests.iter().take(LIST).enumerate() {
            let Some(sg_list) = scratch.add(request.sges) else { break };
            let (wr_id, num_sge) = (token.after(n).0, request.sges.len() as i32);
            let next = ptr::null_mut();
            scratch.receives.push(ffi::ibv_recv_wr { wr_id, next, sg_list, num_sge });
        }
        let count = scratch.receives.len();
        if count == 0 {
            return (0, Err(EINVAL));
        }
        let base = scratch.receives.as_mut_ptr();
        for next in 1..count {
            // SAFETY: both are among the `count` requests that `base` begins with.
            unsafe { (*base.add(next - 1)).next = base.add(next) }
        }
        let mut bad = ptr::null_mut();
        // SAFETY: as for sending.
        let code = unsafe {
            let Some(post) = (*(*self.raw.as_ptr()).context).ops.post_recv else { return (0, Err(EINVAL)) };
            post(self.raw.as_ptr(), base, &raw mut bad)
        };
        match check(code) {
            Ok(()) => (count, Ok(())),
            Err(errno) => (before(base, bad, count), Err(errno)),
        }
    }
}

/// Operation and flags of a request.
#[inline]
fn describe(wr: &mut ffi::ibv_send_wr, request: &SendRequest<'_>) {
    use ffi::ibv_wr_opcode as opcode;
    let mut remote = |remote_addr, rkey: smolsmc_wire::Rkey| {
        wr.wr.rdma = ffi::ibv_send_wr__bindgen_ty_2__bindgen_ty_1 { remote_addr, rkey: rkey.0 };
    };
    wr.opcode = match request.operation {
        SendOperation::Send => opcode::IBV_WR_SEND,
        SendOperation::Write { remote_addr, rkey } => {
            remote(remote_addr, rkey);
            opcode::IBV_WR_RDMA_WRITE
        }
        SendOperation::WriteWithImmediate { remote_addr, rkey, immediate } => {
            remote(remote_addr, rkey);
            wr.__bindgen_anon_1.imm_data = u32::from_ne_bytes(immediate);
            opcode::IBV_WR_RDMA_WRITE_WITH_IMM
        }
        SendOperation::Read { remote_addr, rkey } => {
            remote(remote_addr, rkey);
            opcode::IBV_WR_RDMA_READ
        }
    };
    if request.signalled {
        wr.send_flags |= ffi::ibv_send_flags::IBV_SEND_SIGNALED.0;
    }
    if request.solicited {
        wr.send_flags |= ffi::ibv_send_flags::IBV_SEND_SOLICITED.0;
    }
}

/// How many requests stand before the one that was refused.
fn before<T>(base: *const T, bad: *const T, count: usize) -> usize {
    // A library that names none has taken none.
    let offset = bad.addr().checked_sub(base.addr()).map_or(0, |octets| octets / size_of::<T>());
    offset.min(count)
}

impl Drop for Qp {
    fn drop(&mut self) {
        // SAFETY: made by us, ended once; every event is acknowledged when it is
        // got, so the call does not wait.
        let _ = unsafe { ffi::ibv_destroy_qp(self.raw.as_ptr()) };
    }
}
