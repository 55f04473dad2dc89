//! Octets that wait for more, so that one message tells of many.

use smolsmc_verbs::Provider;

use super::Socket;
use crate::connection::{Connection, Phase, Smc};

/// What holds a connection's octets back.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cork {
    pub(super) is_in: bool,
    /// So many waiting octets are held at most while a message of ours is
    /// unacknowledged; 0 for none.
    auto: u32,
    /// Octets of the stream that the cork lets pass.
    released: u64,
    /// Octets of the stream that wait for no acknowledgement.
    flushed: u64,
}

impl<P: Provider> Socket<'_, P> {
    /// Holds octets back until the send ring is full, or the cork is pulled, or
    /// sending is shut down: then they go together
    /// ([`SocketOptions::cork`](crate::SocketOptions::cork)).
    pub fn set_cork(&mut self, cork: bool) {
        self.connection.options.cork = cork;
        self.shared.stats.corked += u64::from(cork && self.is_smcr());
        self.apply_cork(!cork);
    }

    /// Whether TCP sends short segments at once. Over SMC-R, setting it sends
    /// what is held back now, and changes nothing else, as in Linux 6.12
    /// ([`SocketOptions::nodelay`](crate::SocketOptions::nodelay)).
    pub fn set_nodelay(&mut self, nodelay: bool) {
        self.connection.options.nodelay = nodelay;
        self.shared.stats.nodelays += u64::from(nodelay && self.is_smcr());
        self.apply_cork(nodelay);
    }

    /// How many octets wait for an acknowledgement
    /// ([`SocketOptions::autocork`](crate::SocketOptions::autocork)).
    pub fn set_autocork(&mut self, octets: Option<u32>) {
        self.connection.options.autocork = octets;
        self.apply_cork(false);
    }

    const fn is_smcr(&self) -> bool {
        matches!(self.connection.phase, Phase::Smc(_))
    }

    fn apply_cork(&mut self, flush: bool) {
        let auto = self.shared.config.autocork;
        self.connection.apply_cork(auto);
        if let Phase::Smc(smc) = &mut self.connection.phase
            && flush
        {
            smc.flush();
        }
        self.settle();
    }
}

impl Connection {
    /// Lets what carries it know the options about holding back.
    pub(crate) fn apply_cork(&mut self, auto: u32) {
        let options = &self.options;
        match &mut self.phase {
            Phase::Smc(smc) => {
                smc.cork.is_in = options.cork;
                let most = smc.flow.sizes().send / 2;
                smc.cork.auto = options.autocork.unwrap_or(auto).min(most);
            }
            // smoltcp has no cork; Nagle's algorithm is what comes nearest.
            Phase::Tcp(_) => self.tcp.set_nagle(options.cork || !options.nodelay),
            _ => {}
        }
    }
}

impl Smc {
    /// Octets were put into the send ring.
    #[inline]
    pub(super) const fn let_pass(&mut self) {
        if !self.cork.is_in || self.flow.room() == 0 {
            self.cork.released = self.flow.prepared();
        }
    }

    /// Nothing is held back of what was sent so far.
    pub(crate) const fn flush(&mut self) {
        self.cork.released = self.flow.prepared();
        self.cork.flushed = self.cork.released;
    }

    /// Octets that the cork lets pass and that are not written yet.
    #[inline]
    pub(crate) fn let_out(&self) -> u32 {
        if !self.close.said().is_empty() || self.flow.is_urged() {
            return u32::MAX;
        }
        let (written, _) = self.flow.totals();
        u32::try_from(self.cork.released.saturating_sub(written)).unwrap_or(u32::MAX)
    }

    /// Whether few octets wait, and an acknowledgement will let them go
    /// (Linux 6.12 smc_tx).
    #[inline]
    pub(crate) fn waits_for_acknowledgement(&self) -> bool {
        self.in_flight > 0
            && !self.is_silent
            && self.untold() <= self.cork.auto.into()
            && self.cork.flushed <= self.told
            && self.close.said().is_empty()
            && !self.flow.is_urged()
    }

    /// A message is made: all that may pass goes behind it without waiting, if
    /// need be in several turns.
    #[inline]
    pub(crate) const fn go(&mut self) {
        self.cork.flushed = self.cork.released;
    }
}
