//! The thread's own time: what others on the machine take is not in it. One
//! thread does everything here and never sleeps, so on a machine of its own this
//! is the time that passes.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

pub(crate) fn now() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}
