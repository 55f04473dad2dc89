use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use ibverbs_sys as ffi;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
use smolsmc_verbs::RemoteSpan;

use super::{Context, Errno, check, last_errno};

/// Zeroed pages of our own.
#[derive(Debug)]
pub(crate) struct Pages {
    at: NonNull<u8>,
    len: usize,
}

// SAFETY: an anonymous mapping belongs to no thread. Shared, it hands out nothing
// but raw pointers and copies.
unsafe impl Send for Pages {}
// SAFETY: likewise.
unsafe impl Sync for Pages {}

impl Pages {
    /// `len` octets, at least 1; the mapping is rounded up to whole pages.
    pub(crate) fn new(len: usize) -> Result<Self, Errno> {
        let (rights, kind) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        // SAFETY: a new anonymous mapping at an address of the kernel's choice
        // touches nothing that exists.
        let at = unsafe { mmap_anonymous(ptr::null_mut(), len, rights, kind) };
        let at = at.map_err(rustix::io::Errno::raw_os_error)?;
        let at = NonNull::new(at.cast()).ok_or(super::ENOMEM)?;
        let pages = Self { at, len };
        // A child of ours must not share pages with a device: with copy on write
        // the device could keep the child's. Older kernels need to be told.
        // SAFETY: the mapping is ours; only a child's view of it changes.
        let _ = unsafe { madvise(at.as_ptr().cast(), len, Advice::LinuxDontFork) };
        Ok(pages)
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    fn contains(&self, offset: usize, len: usize) -> bool {
        offset.checked_add(len).is_some_and(|end| end <= self.len)
    }

    /// A view that promises nothing but to be copied from; `None` outside of it.
    pub(crate) fn span(&self, offset: usize, len: usize) -> Option<Span<'_>> {
        if !self.contains(offset, len) {
            return None;
        }
        // SAFETY: the offset is within the mapping, or one past its end.
        let at = unsafe { self.at.as_ptr().add(offset) };
        Some(Span { at, len, pages: PhantomData })
    }

    /// Octets to be filled; `None` outside of it.
    ///
    /// # Safety
    /// No device may write these pages, and no other slice of them may live.
    #[expect(clippy::mut_from_ref, reason = "the caller promises what a mutable reference would")]
    pub(crate) unsafe fn slice_mut(&self, offset: usize, len: usize) -> Option<&mut [u8]> {
        // SAFETY: within the mapping, which is initialised (zeroed by the kernel);
        // exclusive by the caller's promise.
        self.contains(offset, len)
            .then(|| unsafe { std::slice::from_raw_parts_mut(self.at.as_ptr().add(offset), len) })
    }

    /// Zeroes octets; false outside of it.
    pub(crate) fn zero(&self, offset: usize, len: usize) -> bool {
        let fits = self.contains(offset, len);
        if fits {
            // SAFETY: within the mapping. A device may write at the same time: then
            // either octet stays, as with a copy ([`copy_out`]).
            unsafe { ptr::write_bytes(self.at.as_ptr().add(offset), 0, len) }
        }
        fits
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: mapped by us, unmapped once. Registrations and views hold the
        // pages, so none is left.
        let _ = unsafe { munmap(self.at.as_ptr().cast(), self.len) };
    }
}

/// A view of memory that a device may write at any time.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    at: *const u8,
    len: usize,
    pages: PhantomData<&'a Pages>,
}

impl RemoteSpan for Span<'_> {
    fn len(&self) -> usize {
        self.len
    }

    fn copy_to(&self, offset: usize, out: &mut [u8]) -> usize {
        let len = self.len.saturating_sub(offset).min(out.len());
        if len > 0 {
            // SAFETY: `offset + len` is within the span, and `len` within `out`.
            unsafe { copy_out(self.at.add(offset), out, len) }
        }
        len
    }

    fn as_ptr(&self) -> *const u8 {
        self.at
    }
}

/// The one copy out of memory that a device may write. It takes each octet once,
/// through no reference; if a device writes meanwhile, what is copied is some
/// octets of before and some of after, which callers must treat as any other
/// octets of a peer. Completions order it: a device writes before it completes,
/// and polling a completion is the provider library's acquire barrier.
///
/// # Safety
/// `len` octets from `from` on are mapped, and `out` has room for them.
unsafe fn copy_out(from: *const u8, out: &mut [u8], len: usize) {
    // SAFETY: by the caller; `out` is memory of ours that no device knows.
    unsafe { ptr::copy_nonoverlapping(from, out.as_mut_ptr(), len) }
}

/// A protection domain.
#[derive(Debug)]
pub(crate) struct Pd {
    raw: NonNull<ffi::ibv_pd>,
    _context: Arc<Context>,
}

// SAFETY: see "Threads" at the top of the module above.
unsafe impl Send for Pd {}
// SAFETY: likewise.
unsafe impl Sync for Pd {}

impl Pd {
    pub(crate) fn new(context: &Arc<Context>) -> Result<Self, Errno> {
        // SAFETY: the context is valid; the result is checked for null.
        let raw = unsafe { ffi::ibv_alloc_pd(context.raw()) };
        Ok(Self { raw: NonNull::new(raw).ok_or_else(last_errno)?, _context: context.clone() })
    }

    pub(crate) const fn raw(&self) -> *mut ffi::ibv_pd {
        self.raw.as_ptr()
    }
}

impl Drop for Pd {
    fn drop(&mut self) {
        // SAFETY: made by us, ended once; what was made in it held an `Arc` of it.
        let _ = unsafe { ffi::ibv_dealloc_pd(self.raw()) };
    }
}

/// A registration of pages in a PD.
#[derive(Debug)]
pub(crate) struct Mr {
    raw: NonNull<ffi::ibv_mr>,
    iova: u64,
    pages: Arc<Pages>,
    _pd: Arc<Pd>,
}

// SAFETY: see "Threads" at the top of the module above.
unsafe impl Send for Mr {}
// SAFETY: likewise.
unsafe impl Sync for Mr {}

impl Mr {
    /// Registers all pages, at `iova` if the device can do that, else at their
    /// address.
    pub(crate) fn new(
        pd: &Arc<Pd>,
        pages: &Arc<Pages>,
        access: ffi::ibv_access_flags,
        iova: u64,
    ) -> Result<Self, Errno> {
        let (at, len) = (pages.at.as_ptr(), pages.len);
        // SAFETY: the PD is valid; the pages are mapped, and stay so until the
        // registration has ended, since it holds them.
        let raw = unsafe { ffi::ibv_reg_mr_iova2(pd.raw(), at.cast(), len, iova, access.0) };
        let (raw, iova) = match NonNull::new(raw) {
            Some(raw) => (raw, iova),
            None => {
                // SAFETY: as above.
                let raw = unsafe { ffi::ibv_reg_mr(pd.raw(), at.cast(), len, access.0.cast_signed()) };
                (NonNull::new(raw).ok_or_else(last_errno)?, at.addr() as u64)
            }
        };
        Ok(Self { raw, iova, pages: pages.clone(), _pd: pd.clone() })
    }

    /// Its local key, its remote key, and the address of its first octet.
    pub(crate) fn keys(&self) -> (u32, u32, u64) {
        // SAFETY: the registration is valid, and its keys do not change.
        unsafe { ((*self.raw.as_ptr()).lkey, (*self.raw.as_ptr()).rkey, self.iova) }
    }
}

impl Drop for Mr {
    fn drop(&mut self) {
        // SAFETY: registered by us, ended once.
        if check(unsafe { ffi::ibv_dereg_mr(self.raw.as_ptr()) }).is_err() {
            // A device may still reach the pages: they stay mapped for good.
            std::mem::forget(self.pages.clone());
        }
    }
}
