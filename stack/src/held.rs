//! What a stack holds, counted: to see that nothing outgrows its limit, and
//! that everything comes home.

use smolsmc_verbs::Provider;

use crate::stack::Stack;

/// How much there is of everything that peers or applications can make grow.
/// A stack that [is idle](Stack::is_idle) holds listeners alone, and for some time
/// TCP connections in TIME-WAIT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Held {
    /// Listeners.
    pub listeners: usize,
    /// Connections, those that are being made or ended included.
    pub connections: usize,
    /// Connections that can be found by their addresses.
    pub tuples: usize,
    /// Connections in a handshake that peers began.
    pub handshakes: usize,
    /// Connections that came in and that nobody has accepted yet, in whatever
    /// phase.
    pub backlog: usize,
    /// TCP connections in TIME-WAIT: they go with time.
    pub time_waits: usize,
    /// Link groups.
    pub groups: usize,
    /// Queue pairs.
    pub queue_pairs: usize,
    /// Alert tokens given out.
    pub tokens: usize,
    /// Entries of all queues of what is to be looked at.
    pub queued: usize,
    /// Reminders of deadlines.
    pub reminders: usize,
}

impl<P: Provider> Stack<P> {
    /// What it holds now.
    #[must_use]
    pub fn held(&self) -> Held {
        let shared = &self.shared;
        let links = shared.groups.values().flat_map(|group| group.links.iter().flatten());
        let queues = [
            shared.dirty.len(),
            shared.ports.iter().map(|port| port.blocked.len() + port.beginning.len()).sum(),
            shared.opening.len(),
            shared.waiting_for_group.len(),
            shared.waiting_for_rkey.len(),
            shared.woken.len(),
            shared.rkeys_confirmed.len(),
            shared.ready.len(),
            shared.ended.len(),
            shared.downed.len(),
            links.map(|link| link.unsaid.len()).sum(),
        ];
        Held {
            listeners: shared.listeners.len(),
            connections: self.connections.len(),
            tuples: shared.by_tuple.len(),
            handshakes: shared.handshakes,
            backlog: shared.listeners.values().map(|listener| listener.opening + listener.ready.len()).sum(),
            time_waits: shared.time_waits.len(),
            groups: shared.groups.len(),
            queue_pairs: shared.by_qp.len(),
            tokens: shared.by_token.len(),
            queued: queues.iter().sum(),
            reminders: shared.deadlines.len(),
        }
    }
}
