//! Octets that go into the peer's ring without a stay in ours, where the provider
//! copies while it posts.

use smolsmc_verbs::Provider;

use crate::connection::Smc;
use crate::shared::Shared;

/// Fewer octets are gathered in the send ring, but for the first after a poll: one WRITE
/// for many of them costs less than a copy.
const MANY: usize = 1024;

impl<P: Provider> Shared<P> {
    /// Writes the first of `octets` into the peer's ring, if they may go and the
    /// provider can; returns how many. The message that tells of them goes with the
    /// next poll.
    #[inline]
    pub(super) fn pass(&mut self, smc: &mut Smc, octets: &[u8]) -> usize {
        if !smc.writes_now || octets.len() < MANY && smc.untold() > 0 || !smc.may_pass() {
            return 0;
        }
        self.pass_some(smc, octets)
    }

    fn pass_some(&mut self, smc: &mut Smc, octets: &[u8]) -> usize {
        let Some(group) = self.groups.get_mut(smc.group) else { return 0 };
        // With another link, what is lost with this one must be there to be written again.
        if group.links.iter().flatten().count() > 1 {
            return 0;
        }
        let Some(link) = group.link_mut(smc.link).filter(|link| link.is_active()) else { return 0 };
        let mut rest = octets;
        // Two pieces, where they go past the end of the peer's ring.
        for _ in 0..2 {
            let (_, to) = smc.flow.write_offsets();
            let to_end = smc.flow.sizes().peer - to;
            let most = smc.flow.passable().min(to_end) as usize;
            let (now, later) = rest.split_at(rest.len().min(most));
            let address = smc.peer.address + u64::from(to);
            if now.is_empty() || !self.provider.write_now(link.qp, address, smc.peer.rkey, now) {
                break;
            }
            // At most the ring.
            smc.flow.pass(now.len() as u32);
            smc.stats.writes += 1;
            link.requests += 1;
            rest = later;
        }
        octets.len() - rest.len()
    }
}

impl Smc {
    /// Whether octets may go at once: no cork holds them back, and the peer has said
    /// something, so that they will never have to go over TCP instead.
    fn may_pass(&self) -> bool {
        let is_plain = self.close.said().is_empty() && !self.say_again && !self.cork.is_in;
        is_plain && !self.is_lost && self.flow.has_heard()
    }
}
