//! Whose turn it is on a link.

use alloc::collections::VecDeque;

use crate::handle::SocketHandle;

/// Octets of who has little to say.
pub(crate) const SHORT: u32 = 4096;

/// Turns that those with little to say may have in a row while others wait.
const IN_A_ROW: usize = 16;

/// Connections with something to say, each kind in turn: those with little go first, as
/// they take next to no time from those with much, but never so often in a row that
/// those wait for ever.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    short: VecDeque<SocketHandle>,
    long: VecDeque<SocketHandle>,
    /// Short ones since a long one has had its turn, or none waited.
    in_a_row: usize,
}

impl Ready {
    pub(crate) fn is_empty(&self) -> bool {
        self.short.is_empty() && self.long.is_empty()
    }

    pub(crate) fn push(&mut self, handle: SocketHandle, is_short: bool) {
        if is_short { self.short.push_back(handle) } else { self.long.push_back(handle) }
    }

    pub(crate) fn pop(&mut self) -> Option<SocketHandle> {
        if self.in_a_row < IN_A_ROW
            && let Some(handle) = self.short.pop_front()
        {
            self.in_a_row = if self.long.is_empty() { 0 } else { self.in_a_row + 1 };
            return Some(handle);
        }
        self.in_a_row = 0;
        self.long.pop_front().or_else(|| self.short.pop_front())
    }
}

#[cfg(test)]
#[path = "ready_tests.rs"]
mod tests;
