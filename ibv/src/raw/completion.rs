use std::ffi::c_int;
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use ibverbs_sys as ffi;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use super::context::null;
use super::{Context, EINVAL, Errno, check, last_errno};

/// Where the armed completion queues of a device notify.
#[derive(Debug)]
pub(crate) struct Channel {
    raw: NonNull<ffi::ibv_comp_channel>,
    _context: Arc<Context>,
}

// SAFETY: see "Threads" at the top of the module above.
unsafe impl Send for Channel {}
// SAFETY: likewise.
unsafe impl Sync for Channel {}

impl Channel {
    pub(crate) fn new(context: &Arc<Context>) -> Result<Self, Errno> {
        // SAFETY: the context is valid; the result is checked for null.
        let raw = unsafe { ffi::ibv_create_comp_channel(context.raw()) };
        let channel = Self { raw: NonNull::new(raw).ok_or_else(last_errno)?, _context: context.clone() };
        let flags = fcntl_getfl(&channel).map_err(rustix::io::Errno::raw_os_error)?;
        fcntl_setfl(&channel, flags | OFlags::NONBLOCK).map_err(rustix::io::Errno::raw_os_error)?;
        Ok(channel)
    }

    /// The number of the next completion queue that notified, if any.
    pub(crate) fn next(&self) -> Option<u32> {
        let (mut cq, mut number) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the channel is valid; its descriptor does not block, so without
        // an event the call fails.
        if unsafe { ffi::ibv_get_cq_event(self.raw.as_ptr(), &raw mut cq, &raw mut number) } != 0 {
            return None;
        }
        // SAFETY: the event that was just got, acknowledged once. The queue lives:
        // destroying it waits for this.
        unsafe { ffi::ibv_ack_cq_events(cq, 1) };
        Some(number.addr() as u32)
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor is open as long as the channel is.
        unsafe { BorrowedFd::borrow_raw((*self.raw.as_ptr()).fd) }
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        // SAFETY: made by us, ended once; its queues held an `Arc` of it.
        let _ = unsafe { ffi::ibv_destroy_comp_channel(self.raw.as_ptr()) };
    }
}

/// A completion queue.
#[derive(Debug)]
pub(crate) struct Cq {
    raw: NonNull<ffi::ibv_cq>,
    _channel: Arc<Channel>,
    _context: Arc<Context>,
}

// SAFETY: see "Threads" at the top of the module above.
unsafe impl Send for Cq {}
// SAFETY: likewise.
unsafe impl Sync for Cq {}

impl Cq {
    /// `number` comes back in its events.
    pub(crate) fn new(
        context: &Arc<Context>,
        channel: &Arc<Channel>,
        entries: u32,
        vector: u32,
        number: u32,
    ) -> Result<Self, Errno> {
        let number = ptr::without_provenance_mut(number as usize);
        let entries = c_int::try_from(entries).map_err(|_| EINVAL)?;
        let vector = c_int::try_from(vector).map_err(|_| EINVAL)?;
        // SAFETY: context and channel are valid; the number is not dereferenced by
        // anybody. The result is checked for null.
        let raw = unsafe { ffi::ibv_create_cq(context.raw(), entries, number, channel.raw.as_ptr(), vector) };
        let raw = NonNull::new(raw).ok_or_else(last_errno)?;
        Ok(Self { raw, _channel: channel.clone(), _context: context.clone() })
    }

    pub(crate) const fn raw(&self) -> *mut ffi::ibv_cq {
        self.raw.as_ptr()
    }

    /// Moves completions into `out`; returns how many.
    #[inline]
    pub(crate) fn poll(&self, out: &mut [ffi::ibv_wc]) -> Result<usize, Errno> {
        let room = c_int::try_from(out.len()).unwrap_or(c_int::MAX);
        // SAFETY: the queue is valid, and with it its context, whose table of
        // functions the provider library filled; `out` has room for as many.
        let count = unsafe {
            let poll = (*(*self.raw()).context).ops.poll_cq.ok_or(EINVAL)?;
            poll(self.raw(), room, out.as_mut_ptr())
        };
        usize::try_from(count).map_err(|_| count.saturating_abs())
    }

    /// Asks for one notification.
    pub(crate) fn request_notify(&self, solicited_only: bool) -> Result<(), Errno> {
        // SAFETY: as for polling.
        check(unsafe {
            let request = (*(*self.raw()).context).ops.req_notify_cq.ok_or(EINVAL)?;
            request(self.raw(), solicited_only.into())
        })
    }
}

impl Drop for Cq {
    fn drop(&mut self) {
        // SAFETY: made by us, ended once; queue pairs that complete to it held an
        // `Arc` of it, and every event is acknowledged when it is got.
        let _ = unsafe { ffi::ibv_destroy_cq(self.raw()) };
    }
}

/// What is not given.
pub(super) const fn nothing<T>() -> *mut T {
    null()
}
