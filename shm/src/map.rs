//! Memory mapped from a file descriptor: the one file with unsafe code.
//!
//! What is in here another process may write at any time, so nothing hands out
//! a Rust reference to its octets: words are atomics, octets are copied. Every
//! access is held against the length that was mapped; the file behind it is
//! sealed against shrinking, so what is mapped is there.

#![allow(unsafe_code)]

use core::ffi::c_void;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicU32, AtomicU64};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};

use crate::error::{MemoryError, OpenError};

/// What `fstatfs` says of memory files (Linux `TMPFS_MAGIC`).
const TMPFS: i64 = 0x0102_1994;

/// A page of memory.
pub(crate) const PAGE: usize = 4096;

/// A new memory file of `len` octets that never shrinks or grows; unless
/// `peers_write`, nobody can map it for writing from now on but who has done so.
fn seal(file: &OwnedFd, peers_write: bool) -> rustix::io::Result<()> {
    let mut seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    if !peers_write {
        seals |= SealFlags::FUTURE_WRITE;
    }
    rustix::fs::fcntl_add_seals(file, seals)
}

/// A stretch of mapped memory, unmapped when dropped.
#[derive(Debug)]
pub(crate) struct Map {
    start: NonNull<u8>,
    len: usize,
    is_writable: bool,
}

// SAFETY: a `Map` is a name for memory that no thread owns; all access to it is
// through atomics and the raw copies below, which assume nothing about others.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

impl Map {
    /// Makes memory of `len` octets, zeroed, and maps it for writing. A peer
    /// that gets the descriptor can write it only if `peers_write`.
    pub(crate) fn create(name: &str, len: usize, peers_write: bool) -> io::Result<(Self, OwnedFd)> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = rustix::fs::memfd_create(name, flags)?;
        rustix::fs::ftruncate(&file, len as u64)?;
        let map = Self::map_file(file.as_fd(), len, true)?;
        seal(&file, peers_write)?;
        Ok((map, file))
    }

    /// Maps a peer's memory, once it is sure that it stays.
    pub(crate) fn of_peer(file: &OwnedFd, len: u64, is_writable: bool) -> Result<Self, OpenError> {
        // Huge pages can run out when they are touched; other file systems lie.
        if rustix::fs::fstatfs(file).map_err(io::Error::from)?.f_type as i64 != TMPFS {
            return Err(MemoryError::Kind.into());
        }
        let stat = rustix::fs::fstat(file).map_err(io::Error::from)?;
        if stat.st_blksize != PAGE as _ {
            return Err(MemoryError::Kind.into());
        }
        let seals = rustix::fs::fcntl_get_seals(file).map_err(|_| MemoryError::Kind)?;
        if !seals.contains(SealFlags::SHRINK) {
            return Err(MemoryError::Unsealed.into());
        }
        // Asked after the seals: from here on it does not shrink.
        let got = rustix::fs::fstat(file).map_err(io::Error::from)?.st_size as u64;
        if got < len {
            return Err(MemoryError::Length { said: len, got }.into());
        }
        let len = usize::try_from(len).map_err(|_| MemoryError::Length { said: len, got })?;
        Ok(Self::map_file(file.as_fd(), len, is_writable)?)
    }

    fn map_file(file: BorrowedFd<'_>, len: usize, is_writable: bool) -> io::Result<Self> {
        let mut protection = ProtFlags::READ;
        if is_writable {
            protection |= ProtFlags::WRITE;
        }
        // SAFETY: a new mapping, where the system finds room for it: nothing
        // that Rust knows of lies there.
        let start = unsafe { rustix::mm::mmap(ptr::null_mut(), len, protection, MapFlags::SHARED, file, 0)? };
        let start = NonNull::new(start.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, len, is_writable })
    }

    /// Octets mapped.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// The word at `at`.
    ///
    /// # Panics
    /// If it is not in here or not aligned: places are made by `layout` and
    /// checked when a wire begins.
    #[inline]
    pub(crate) fn word(&self, at: usize) -> &AtomicU32 {
        assert!(at.is_multiple_of(4) && at < self.len && self.len - at >= 4, "a word outside of its memory");
        // SAFETY: in bounds and aligned (mappings begin at a page), and mapped as
        // long as `self` lives. Everybody who shares the memory reaches these
        // four octets as an atomic, or is another process, which as far as Rust
        // is concerned does so too. On a mapping for reading, only `load` is
        // called, and relaxed, which is a plain load.
        unsafe { self.start.add(at).cast::<AtomicU32>().as_ref() }
    }

    /// The two words at `at` as one.
    ///
    /// # Panics
    /// As [`word`](Self::word).
    #[inline]
    pub(crate) fn long(&self, at: usize) -> &AtomicU64 {
        assert!(at.is_multiple_of(8) && at < self.len && self.len - at >= 8, "a word outside of its memory");
        // SAFETY: as in `word`; this crate is for 64-bit targets, where an
        // aligned load of eight octets is a plain load, too.
        unsafe { self.start.add(at).cast::<AtomicU64>().as_ref() }
    }

    /// Whether `len` octets at `at` are in here.
    #[inline]
    pub(crate) const fn has(&self, at: usize, len: usize) -> bool {
        at <= self.len && len <= self.len - at
    }

    /// Copies octets in.
    ///
    /// # Panics
    /// If they do not lie in here, or the memory is mapped for reading.
    #[inline]
    pub(crate) fn write(&self, at: usize, octets: &[u8]) {
        assert!(self.is_writable && self.has(at, octets.len()), "a copy outside of its memory");
        // SAFETY: `octets` is a Rust slice and cannot lie in mapped memory, of
        // which there are none; the target is in bounds, mapped and writable.
        unsafe { copy(octets.as_ptr(), self.start.as_ptr().add(at), octets.len()) }
    }

    /// Copies octets out. Each is read once.
    ///
    /// # Panics
    /// If they do not lie in here.
    #[inline]
    pub(crate) fn read(&self, at: usize, out: &mut [u8]) {
        assert!(self.has(at, out.len()), "a copy outside of its memory");
        // SAFETY: as in `write`, the other way round; any octets are valid.
        unsafe { copy(self.start.as_ptr().add(at), out.as_mut_ptr(), out.len()) }
    }

    /// Copies `len` octets from another map. The two may be the same memory.
    ///
    /// # Panics
    /// If they do not lie there or here, or this one is mapped for reading.
    #[inline]
    pub(crate) fn write_from(&self, at: usize, from: &Self, from_at: usize, len: usize) {
        assert!(
            self.is_writable && self.has(at, len) && from.has(from_at, len),
            "a copy outside of its memory"
        );
        // SAFETY: both are in bounds and mapped, the target is writable. `copy`
        // here allows an overlap: a program may shake hands with itself.
        unsafe { ptr::copy(from.start.as_ptr().add(from_at), self.start.as_ptr().add(at), len) }
    }

    /// Zeroes octets.
    ///
    /// # Panics
    /// As [`write`](Self::write).
    pub(crate) fn zero(&self, at: usize, len: usize) {
        assert!(self.is_writable && self.has(at, len), "octets outside of their memory");
        // SAFETY: in bounds, mapped and writable.
        unsafe { ptr::write_bytes(self.start.as_ptr().add(at), 0, len) }
    }

    /// Where octets lie, for who answers for their use.
    ///
    /// # Panics
    /// If it is not in here.
    pub(crate) fn pointer(&self, at: usize) -> *const u8 {
        assert!(at <= self.len, "a place outside of its memory");
        // SAFETY: in bounds, or one past the end.
        unsafe { self.start.as_ptr().add(at) }
    }
}

/// The one copy of payload. Another process may change the octets meanwhile;
/// then any mixture of old and new arrives, which is what RDMA promises. Rust's
/// model has no word for a race with another process; the copy is a call of
/// `memcpy` or its inlined moves, each octet of which is read and written, and
/// the compiler is told nothing about the memory that it could go wrong on: no
/// reference, no second read.
///
/// # Safety
/// `len` octets can be read at `from` and written at `to`, and do not overlap.
#[inline]
unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: the caller's promise.
    unsafe { ptr::copy_nonoverlapping(from, to, len) }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: mapped by `map_file`, and no reference outlives `self`. Failing is
        // impossible for a mapping that exists; nothing else could be done.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast::<c_void>(), self.len) };
    }
}
