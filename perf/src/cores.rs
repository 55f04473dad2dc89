//! Which cores there are, and what they were used for.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

/// The cores this process may use.
#[must_use]
pub fn usable() -> Vec<usize> {
    let set = sched_getaffinity(None).unwrap_or_default();
    (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect()
}

/// Keeps this thread on one core. Where that is not allowed the numbers are
/// worse, not wrong.
pub fn pin(core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    let _ = sched_setaffinity(None, &set);
}

/// How much the machine had to do in the last minute; zero where it does not say.
#[must_use]
pub fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or_default()
}

/// Whose processor time an end's is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ProcessorTime {
    /// Both ends are in this process.
    Thread,
    /// With the threads of engines.
    Process,
}

impl ProcessorTime {
    /// So far.
    pub(crate) fn nanos(self) -> u64 {
        let time = clock_gettime(match self {
            Self::Thread => ClockId::ThreadCPUTime,
            Self::Process => ClockId::ProcessCPUTime,
        });
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    }
}

/// Octets of memory of this process: its own, and what it shares with others.
pub(crate) fn own_memory() -> [u64; 2] {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ["RssAnon:", "RssShmem:"].map(|name| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().next().and_then(|word| word.parse::<u64>().ok()).unwrap_or_default() << 10
    })
}
