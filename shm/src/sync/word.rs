//! A 32-bit word that two threads or processes share.

use core::sync::atomic::{AtomicU32, Ordering, fence};

/// A shared word and the fences that order it. Loads and stores themselves are
/// relaxed: of atomic accesses to memory that is mapped for reading only, Rust
/// promises no others. Generic so that loom can put its own words in.
pub(crate) trait Word {
    /// What it holds now.
    fn load(&self) -> u32;

    /// Only its owner stores.
    fn store(&self, value: u32);

    /// What was stored before the value just loaded is seen from here on.
    fn acquire();

    /// What was stored so far is seen by whoever sees a later store.
    fn release();

    /// Of two that each store, pass this and load the other's word, at least
    /// one sees the other's store.
    fn full();
}

impl Word for AtomicU32 {
    #[inline]
    fn load(&self) -> u32 {
        self.load(Ordering::Relaxed)
    }

    #[inline]
    fn store(&self, value: u32) {
        self.store(value, Ordering::Relaxed);
    }

    #[inline]
    fn acquire() {
        fence(Ordering::Acquire);
    }

    #[inline]
    fn release() {
        fence(Ordering::Release);
    }

    #[inline]
    fn full() {
        fence(Ordering::SeqCst);
    }
}
