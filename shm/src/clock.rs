//! The clock, like any NIC's of its own. Read only while something waits: never
//! on the way of a message that goes through.

// A NIC has a clock; this is the std edge where it is read.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use std::sync::LazyLock;

use smolsmc_wire::Instant;

static START: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);

/// The time since this process first asked.
pub(crate) fn now() -> Instant {
    Instant::from_micros(u64::try_from(START.elapsed().as_micros()).unwrap_or(u64::MAX))
}
