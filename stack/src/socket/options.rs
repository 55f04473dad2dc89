//! What can be changed while a connection lives. All of it is kept in the
//! connection's options, so that it holds on whatever carries the connection.

use core::net::SocketAddr;

use smolsmc_verbs::Provider;
use smolsmc_wire::Duration;

use super::Socket;
use crate::connection::Phase;
use crate::options::SocketOptions;

impl<P: Provider> Socket<'_, P> {
    /// Its options, as they are now.
    #[must_use]
    pub const fn options(&self) -> SocketOptions {
        self.connection.options
    }

    /// How often a silent TCP is asked whether it is there
    /// ([`SocketOptions::keep_alive`]).
    pub fn set_keep_alive(&mut self, interval: Option<Duration>) {
        self.connection.options.keep_alive = interval;
        self.connection.tcp.set_keep_alive(interval);
        self.settle();
    }

    /// How long the end may take after [`Socket::close`]
    /// ([`SocketOptions::linger`]).
    pub const fn set_linger(&mut self, linger: Option<Duration>) {
        self.connection.options.linger = linger;
    }

    /// Octets that were sent and that the peer has not acknowledged: they wait
    /// here, or are on their way.
    #[must_use]
    pub fn unacknowledged(&self) -> usize {
        match &self.connection.phase {
            Phase::Smc(smc) => (smc.flow.sizes().send - smc.flow.room()) as usize,
            _ => self.connection.tcp.unacknowledged(),
        }
    }

    /// Our end.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.connection.tuple.local
    }

    /// The peer's end.
    #[must_use]
    pub const fn remote_addr(&self) -> SocketAddr {
        self.connection.tuple.remote
    }
}
