use alloc::collections::VecDeque;
use core::net::SocketAddr;
use core::task::Waker;

use crate::handle::SocketHandle;
use crate::options::ListenOptions;

/// Where connections come in.
pub(crate) struct Listener {
    /// An unspecified address stands for all.
    pub(crate) local: SocketAddr,
    pub(crate) options: ListenOptions,
    /// In their handshake.
    pub(crate) opening: usize,
    /// Ready to be accepted, the oldest first.
    pub(crate) ready: VecDeque<SocketHandle>,
    /// Who waits for one.
    pub(crate) waker: Option<Waker>,
}

impl Listener {
    /// Whether a SYN to `to` is for it.
    pub(crate) fn takes(&self, to: SocketAddr) -> bool {
        let same_kind = self.local.is_ipv4() == to.is_ipv4();
        let address = self.local.ip();
        self.local.port() == to.port() && (address == to.ip() || (address.is_unspecified() && same_kind))
    }

    /// Whether there is room for one more.
    pub(crate) fn has_room(&self) -> bool {
        self.opening + self.ready.len() < self.options.backlog
    }
}
