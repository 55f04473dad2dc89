//! Why a measurement came to nothing.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Why a measurement came to nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The other end does not answer any more, because it is not there.
    #[error("the far end is gone")]
    Gone,
    /// The other process ended by itself or was ended.
    #[error("the far end is gone ({0})")]
    Ended(std::process::ExitStatus),
    /// The other end could not go on, and said why.
    #[error("the far end: {0}")]
    Far(String),
    /// Something that carries octets failed.
    #[error("{what}: {why}")]
    Wire {
        /// What it is.
        what: &'static str,
        /// What it said.
        why: String,
    },
    /// The system refused.
    #[error("the system refused {what}: {error}")]
    System {
        /// What was asked of it.
        what: &'static str,
        /// What it said.
        error: io::Error,
    },
    /// What was asked for cannot be measured here.
    #[error("{0}")]
    Impossible(String),
}

impl Fault {
    /// For `map_err`: something that carries octets failed.
    pub(crate) fn wire<E: std::fmt::Display>(what: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::Wire { what, why: error.to_string() }
    }

    /// For `map_err`: the system refused.
    pub(crate) fn system<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::System { what, error: error.into() }
    }
}

/// Whether the other end lives: what a thread that spins asks now and then.
#[derive(Clone, Debug, Default)]
pub struct Alive(Arc<AtomicBool>);

/// Rounds of spinning between two looks.
const ROUNDS: u32 = 1024;

impl Alive {
    /// It does not.
    pub(crate) fn end(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    pub(crate) fn check(&self) -> Result<(), Fault> {
        if self.has_ended() { Err(Fault::Gone) } else { Ok(()) }
    }

    /// Spins until `ready`.
    #[inline]
    pub(crate) fn spin(&self, mut ready: impl FnMut() -> bool) -> Result<(), Fault> {
        loop {
            for _ in 0..ROUNDS {
                if ready() {
                    return Ok(());
                }
                std::hint::spin_loop();
            }
            self.check()?;
        }
    }
}
