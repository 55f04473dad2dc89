//! Whose turn it is on a port. Two lists: queue pairs that owe an answer, one
//! packet each, and queue pairs that have data, some packets a turn.

use alloc::collections::VecDeque;

/// Data packets a queue pair may send before the next one's turn.
const QUANTUM: u32 = 16;

/// The queue pairs of a port that have something to send. Each is in each list
/// at most once, which its own flags see to; so no list outgrows its room.
#[derive(Debug)]
pub(super) struct Schedule {
    /// Owe an ACK or NAK. These go first: they are short, and peers wait.
    pub(super) answers: VecDeque<u32>,
    /// Have requests or RDMA READ responses; the front one has its turn.
    data: VecDeque<u32>,
    /// Packets left in this turn.
    left: u32,
}

impl Schedule {
    pub(super) fn new(max_qp: u32) -> Self {
        let room = max_qp as usize;
        Self { answers: VecDeque::with_capacity(room), data: VecDeque::with_capacity(room), left: QUANTUM }
    }

    pub(super) fn add_answer(&mut self, qp: u32) {
        self.answers.push_back(qp);
    }

    pub(super) fn add_data(&mut self, qp: u32) {
        self.data.push_back(qp);
    }

    /// Whose turn it is.
    #[inline]
    pub(super) fn turn(&self) -> Option<u32> {
        self.data.front().copied()
    }

    /// It has sent a packet. After the last of its turn it queues up again.
    #[inline]
    pub(super) fn sent(&mut self) {
        self.left -= 1;
        if self.left == 0 {
            self.left = QUANTUM;
            self.data.rotate_left(usize::from(self.data.len() > 1));
        }
    }

    /// It has nothing more to send: the next one's turn.
    #[inline]
    pub(super) fn pass(&mut self) -> Option<u32> {
        self.left = QUANTUM;
        self.data.pop_front()
    }

    /// Forgets a queue pair.
    pub(super) fn remove(&mut self, qp: u32) {
        if self.data.front() == Some(&qp) {
            self.left = QUANTUM;
        }
        self.answers.retain(|&other| other != qp);
        self.data.retain(|&other| other != qp);
    }
}
