//! What who sleeps is to be woken for.

use smolsmc_verbs::{ArmFor, Provider};

use crate::connection::Phase;
use crate::group::{Link, Said};
use crate::shared::Shared;
use crate::stack::Stack;

impl<P: Provider> Stack<P> {
    /// Asks the provider for a notification at the next message of a peer or failure,
    /// and at the next acknowledgement of our own if anything waits for one. (SMC's
    /// messages are solicited: Linux 6.12 smc_wr waits for no others.) True if
    /// something waits already: then poll again instead of sleeping.
    pub fn arm(&mut self) -> bool {
        let what = if self.minds_sent() { ArmFor::Next } else { ArmFor::Solicited };
        let Shared { provider, cqs, .. } = &mut self.shared;
        cqs.iter().fold(false, |waits, (_, cq)| provider.arm_cq(*cq, what).unwrap_or(false) | waits)
    }

    /// Asks the provider for a notification once `count` messages of peers wait, or there
    /// is a failure. `None` if it cannot count; otherwise as [`Stack::arm`].
    pub fn arm_after(&mut self, count: u16) -> Option<bool> {
        let Shared { provider, cqs, .. } = &mut self.shared;
        let mut armed = cqs.iter().map(|(_, cq)| provider.arm_cq_after(*cq, count).ok().flatten());
        armed.try_fold(false, |waits, one| Some(one? | waits))
    }

    /// Whether anything waits for an acknowledgement: messages that found no room on
    /// their link, a link or a group that is being made or ends; of connections with
    /// messages on the way, room in a ring, octets that are held back, an end.
    fn minds_sent(&self) -> bool {
        let minds = |handle| match self.connections.get(handle).map(|connection| &connection.phase) {
            Some(Phase::Smc(smc)) => smc.flow.room() == 0 || smc.untold() > 0 || !smc.close.said().is_empty(),
            _ => false,
        };
        let said = |what| match what {
            Said::Cdc { connection, .. } => minds(connection),
            Said::Validation { .. } => true,
            Said::Llc => false,
        };
        let waits = |link: &Link| {
            !link.is_active()
                || !link.ready.is_empty()
                || !link.unsaid.is_empty()
                || link.posted.iter().any(|posted| said(posted.what))
        };
        let groups = &mut self.shared.groups.values();
        groups.any(|group| group.lingers_until.is_some() || group.links.iter().flatten().any(waits))
    }
}
