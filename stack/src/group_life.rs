//! What a link group's time brings: it is left when idle, and goes.

use smolsmc_llc::{self as llc, MAX_LINKS, Role};
use smolsmc_verbs::Provider;

use crate::connection::Phase;
use crate::error::ConnectionError;
use crate::group::GroupKey;
use crate::shared::{Connections, Shared};

impl<P: Provider> Shared<P> {
    /// A deadline of a group may have come.
    pub(crate) fn group_reminded(&mut self, connections: &mut Connections, key: GroupKey) {
        let now = self.now;
        let Some(group) = self.groups.get_mut(key) else { return };
        if !group.deadline.reminded(now) {
            return self.set_group_deadline(key);
        }
        if group.lingers_until.is_some_and(|until| until <= now) {
            return self.destroy_group(connections, key);
        }
        let idle = match group.role {
            Role::Server => self.config.timers.idle_server,
            Role::Client => self.config.timers.idle_client,
        };
        if group.idle_since.is_some_and(|since| since + idle <= now) {
            self.leave_group(key);
        } else if group.idle_since.is_some() && group.links.iter().flatten().all(|link| link.llc.is_none()) {
            self.end_group(key, ConnectionError::AbortedHere);
        }
        for place in 0..MAX_LINKS {
            let llc = self
                .groups
                .get_mut(key)
                .and_then(|group| group.link_mut(place))
                .and_then(|link| link.llc.as_mut());
            if let Some(llc) = llc {
                llc.run_timers(now);
                self.run_link(key, place);
            }
        }
        self.set_group_deadline(key);
    }

    /// Ends a group in order: the peer is told on one of its links.
    pub(crate) fn leave_group(&mut self, key: GroupKey) {
        let Some(group) = self.groups.get_mut(key) else { return };
        let carrier = group.active().next();
        let llc = carrier.and_then(|place| group.link_mut(place)).and_then(|link| link.llc.as_mut());
        if let Some(llc) = llc {
            llc.delete_all(llc::DeleteReason::PROGRAM_INITIATED, true);
        }
        if let Some(place) = carrier {
            self.run_link(key, place);
        }
        self.end_group(key, ConnectionError::LinkDown(llc::DownReason::DeletedHere));
    }

    /// The queue pairs go, and with the last connection the rest.
    fn destroy_group(&mut self, connections: &mut Connections, key: GroupKey) {
        for (handle, connection) in connections.iter_mut() {
            if let Phase::Smc(smc) = &mut connection.phase
                && smc.group == key
            {
                smc.in_flight = 0;
                self.woken.push_back(handle);
            }
        }
        for place in 0..MAX_LINKS {
            self.destroy_link(key, place);
        }
        self.end_empty_group(key);
    }
}
