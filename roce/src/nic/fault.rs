//! Faults on request, to see what those above make of them. Others are
//! [`SoftNic::set_port_state`], [`SoftNic::remove_device`] and
//! [`SoftNic::remove_gid`].

use smolsmc_verbs::{QpHandle, VerbsError};

use super::SoftNic;

impl SoftNic {
    /// Lets a queue pair go to ERR by itself: what is posted is flushed, and
    /// [`AsyncEvent::QpFatal`](smolsmc_verbs::AsyncEvent::QpFatal) tells of it.
    ///
    /// # Errors
    /// [`VerbsError::NoSuch`].
    pub fn fail_qp(&mut self, qp: QpHandle) -> Result<(), VerbsError> {
        let found = self.qps.named_mut(qp.index(), qp.generation()).ok_or(VerbsError::NoSuch("QP"))?;
        found.fail(&mut self.board);
        self.settle();
        Ok(())
    }

    /// Refuses the next `count` registrations with
    /// [`VerbsError::Exhausted`]; 0 ends that.
    pub const fn refuse_registrations(&mut self, count: u32) {
        self.board.memory.refuse = count;
    }
}
