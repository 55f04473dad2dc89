//! Memory that both ends have mapped: the one file with unsafe code. Both ends
//! are this program: what is held against a length is held against our own
//! mistakes.

#![allow(unsafe_code)]

use core::ffi::c_void;
use core::ptr::NonNull;
use core::sync::atomic::AtomicU64;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};

use crate::fault::Fault;

/// A stretch of shared memory, unmapped when dropped.
#[derive(Debug)]
pub(crate) struct Map {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: a `Map` is a name for memory that no thread owns; all access to it is
// through atomics and through copies whose callers order them by atomics.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

impl Map {
    /// A new memory file of `len` octets, zeroed, that stays as long as it is.
    pub(crate) fn create(len: usize) -> Result<OwnedFd, Fault> {
        let make = || -> rustix::io::Result<OwnedFd> {
            let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
            let file = rustix::fs::memfd_create("smolsmc-perf", flags)?;
            rustix::fs::ftruncate(&file, len as u64)?;
            rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
            Ok(file)
        };
        make().map_err(Fault::system("a memory file"))
    }

    /// Maps all of `len` octets.
    pub(crate) fn of(file: BorrowedFd<'_>, len: usize) -> Result<Self, Fault> {
        let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED | MapFlags::POPULATE);
        // SAFETY: a new mapping at a place of the kernel's choice; nothing of
        // Rust's lies there.
        let start =
            unsafe { rustix::mm::mmap(core::ptr::null_mut(), len, protection, flags, file.as_fd(), 0) };
        let start = start.map_err(Fault::system("a mapping"))?;
        match NonNull::new(start.cast()) {
            Some(start) => Ok(Self { start, len }),
            None => Err(Fault::Impossible("memory was mapped at zero".to_owned())),
        }
    }

    /// The word at `at`.
    #[inline]
    pub(crate) fn word(&self, at: usize) -> &AtomicU64 {
        assert!(at.is_multiple_of(8) && at < self.len && self.len - at >= 8, "a word outside of its memory");
        // SAFETY: in bounds and aligned (mappings begin at a page), and mapped as
        // long as `self` lives. These eight octets are only used as a word, or
        // zeroed while nobody else looks at them.
        unsafe { self.start.add(at).cast::<AtomicU64>().as_ref() }
    }

    /// Copies octets in, which nobody else looks at before a word says so.
    #[inline]
    pub(crate) fn write(&self, at: usize, octets: &[u8]) {
        assert!(at <= self.len && octets.len() <= self.len - at, "a copy outside of its memory");
        // SAFETY: in bounds; a Rust slice cannot lie in mapped memory, of which
        // there are none. The other end reads here only after the word that its
        // writer publishes behind this copy.
        unsafe { core::ptr::copy_nonoverlapping(octets.as_ptr(), self.start.as_ptr().add(at), octets.len()) }
    }

    /// Copies octets out, which a word has told of.
    #[inline]
    pub(crate) fn read(&self, at: usize, out: &mut [u8]) {
        assert!(at <= self.len && out.len() <= self.len - at, "a copy outside of its memory");
        // SAFETY: as in `write`, the other way round; the other end writes here
        // again only after the word that says these were taken.
        unsafe { core::ptr::copy_nonoverlapping(self.start.as_ptr().add(at), out.as_mut_ptr(), out.len()) }
    }

    /// Zeroes octets, while nobody else looks at them.
    pub(crate) fn zero(&self, at: usize, len: usize) {
        assert!(at <= self.len && len <= self.len - at, "octets outside of their memory");
        // SAFETY: in bounds, and mapped for writing.
        unsafe { core::ptr::write_bytes(self.start.as_ptr().add(at), 0, len) }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: mapped by `of`, and no reference outlives `self`.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast::<c_void>(), self.len) };
    }
}
