//! The end of a connection: what it still has to say, what it gives back, and
//! when it is gone.

use smolsmc_cdc::{CloseEvent, StateFlags};
use smolsmc_verbs::Provider;

use crate::connection::{Connection, Phase};
use crate::deadlines::Due;
use crate::error::ConnectionError;
use crate::group::GroupKey;
use crate::handle::SocketHandle;
use crate::shared::Shared;

impl<P: Provider> Shared<P> {
    /// Takes a connection that nobody holds any more toward its end.
    pub(crate) fn look_after(&mut self, handle: SocketHandle, connection: &mut Connection) {
        if !connection.is_released {
            return;
        }
        let past = connection.phase_until.is_some_and(|until| self.now >= until);
        match &mut connection.phase {
            Phase::Smc(smc) if smc.is_done() => self.give_back(connection),
            Phase::Smc(smc) if past => {
                // The first time the peer is told; the second time is the end.
                if smc.close.said().contains(StateFlags::ABNORMAL_CLOSE) {
                    smc.fail(ConnectionError::CloseTimeout);
                } else {
                    smc.close.step(CloseEvent::Abort);
                }
                connection.phase_until = Some(self.now + self.config.timers.linger);
                self.queue(handle, connection);
                self.touch(handle, connection);
            }
            Phase::Over(_) if connection.awaits_fin && !past && !connection.tcp.is_at_end() => {}
            Phase::Over(_) if connection.awaits_fin => {
                connection.awaits_fin = false;
                connection.tcp.close();
                connection.phase_until = Some(self.now + self.config.timers.tcp);
            }
            Phase::Tcp(_) | Phase::Over(_) if past => {
                // The first time a RST is to go; the second time there is nobody
                // it could be sent to.
                connection.tcp.abort_or_forget();
                connection.phase_until = Some(self.now + self.config.timers.linger);
            }
            Phase::Over(_) => connection.tcp.close(),
            _ => {}
        }
        if matches!(connection.phase, Phase::Tcp(_) | Phase::Over(_)) {
            connection.phase_until.get_or_insert(self.now + self.config.timers.tcp);
        }
    }

    /// SMC-R has ended here: its rings and its token go back, and TCP closes.
    fn give_back(&mut self, connection: &mut Connection) {
        self.stats.smcr.add_smcr(connection);
        let over = Phase::Over(ConnectionError::AbortedHere);
        let Phase::Smc(smc) = core::mem::replace(&mut connection.phase, over) else { return };
        let c_or_a = StateFlags::CLOSED.union(StateFlags::ABNORMAL_CLOSE);
        // Then the peer's last WRITE came before, on the same queue pair.
        let clean = smc.flow.peer_state().intersects(c_or_a) && smc.misbehaved.is_none();
        self.release(smc.part(), clean);
        connection.phase_until = Some(self.now + self.config.timers.tcp);
        if smc.error.is_some() {
            connection.tcp.abort();
        } else if smc.peer_was_first && !connection.tcp.is_at_end() {
            connection.awaits_fin = true;
            connection.phase_until = Some(self.now + self.config.timers.linger);
        } else {
            connection.tcp.close();
        }
    }

    /// Whether nothing is left of a connection that nobody holds.
    pub(crate) fn is_gone(&self, connection: &Connection) -> bool {
        let ended = matches!(connection.phase, Phase::Over(_) | Phase::Tcp(_));
        connection.is_released && ended && connection.tcp.is_over() && connection.tcp.is_quiet()
    }

    /// A connection that is gone may have to wait for its peer's FIN to come
    /// again.
    pub(crate) fn enter_time_wait(&mut self, connection: &Connection) {
        if let Some(words) = connection.tcp.time_wait() {
            let (until, most) = (self.now + self.config.timers.time_wait, self.config.limits.time_waits);
            self.time_waits.enter(connection.tuple, words, connection.peer_mac, until, most);
        }
    }

    /// A group whose links are gone ends with its last connection.
    pub(crate) fn end_empty_group(&mut self, key: GroupKey) {
        let Self { groups, provider, deadlines, .. } = self;
        let Some(group) = groups.get_mut(key) else { return };
        if group.connections == 0 && group.links.iter().all(Option::is_none) {
            group.pool.clear(provider);
            deadlines.forget(&mut group.deadline, Due::Group(key));
            groups.remove(key);
            // Who waits for the stack to be idle looks again.
            self.readiness_changed = true;
        }
    }
}
