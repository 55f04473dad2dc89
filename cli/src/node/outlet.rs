//! Whatever carries a node's Ethernet frames, behind one type.

use std::io;

use smolsmc_ethernet::{DownReason, Port, RxToken, TxToken};
use smolsmc_shm::{ShmPort, ShmRxToken, ShmTxToken, WireFault};
use smoltcp::phy::{self, Device, DeviceCapabilities};
use smoltcp::time::Instant;

/// Where a node's frames come from and go to.
pub(crate) enum Outlet {
    Port(Port),
    /// The Ethernet side of a wire of shared memory, and why it is gone.
    Shm(ShmPort, Option<DownReason>),
}

impl Outlet {
    /// Octets of IP in a frame at most.
    pub(crate) fn mtu(&self) -> u16 {
        match self {
            Self::Port(port) => port.mtu(),
            Self::Shm(port, _) => {
                u16::try_from(port.capabilities().ip_mtu()).unwrap_or(smolsmc_ethernet::MAX_MTU)
            }
        }
    }

    /// Why no frames are carried, as of the last [`Outlet::look`].
    pub(crate) const fn down_reason(&self) -> Option<&DownReason> {
        match self {
            Self::Port(port) => port.down_reason(),
            Self::Shm(_, down) => down.as_ref(),
        }
    }

    pub(crate) const fn is_up(&self) -> bool {
        self.down_reason().is_none()
    }

    /// Whether it is down and stays so.
    pub(crate) fn has_ended(&self) -> bool {
        self.down_reason().is_some_and(|reason| !reason.is_passing())
    }

    /// Notes what became of a wire.
    pub(crate) fn look(&mut self) {
        if let Self::Shm(port, down @ None) = self {
            *down = port.fault().map(|fault| match fault {
                WireFault::PeerGone => DownReason::PeerClosed,
                fault => DownReason::Io(io::Error::other(fault)),
            });
        }
    }

    /// Asks to be woken for the next frame; whether one waits already.
    pub(crate) fn arm(&mut self) -> bool {
        match self {
            Self::Port(_) => false,
            Self::Shm(port, down) => down.is_none() && port.arm(),
        }
    }

    pub(crate) const fn port(&self) -> Option<&Port> {
        match self {
            Self::Port(port) => Some(port),
            Self::Shm(..) => None,
        }
    }

    /// A wire of shared memory that is there.
    pub(crate) const fn shm(&self) -> Option<&ShmPort> {
        match self {
            Self::Shm(port, None) => Some(port),
            _ => None,
        }
    }
}

impl Device for Outlet {
    type RxToken<'a> = Incoming<'a>;
    type TxToken<'a> = Leave<'a>;

    fn receive(&mut self, timestamp: Instant) -> Option<(Incoming<'_>, Leave<'_>)> {
        match self {
            Self::Port(port) => port.receive(timestamp).map(|(rx, tx)| (Incoming::Port(rx), Leave::Port(tx))),
            Self::Shm(port, _) => port.receive(timestamp).map(|(rx, tx)| (Incoming::Shm(rx), Leave::Shm(tx))),
        }
    }

    fn transmit(&mut self, timestamp: Instant) -> Option<Leave<'_>> {
        match self {
            Self::Port(port) => port.transmit(timestamp).map(Leave::Port),
            Self::Shm(port, _) => port.transmit(timestamp).map(Leave::Shm),
        }
    }

    fn capabilities(&self) -> DeviceCapabilities {
        match self {
            Self::Port(port) => port.capabilities(),
            Self::Shm(port, _) => port.capabilities(),
        }
    }
}

/// A frame that came.
pub(crate) enum Incoming<'a> {
    Port(RxToken<'a>),
    Shm(ShmRxToken<'a>),
}

impl phy::RxToken for Incoming<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        match self {
            Self::Port(token) => token.consume(f),
            Self::Shm(token) => token.consume(f),
        }
    }
}

/// Leave to send a frame.
pub(crate) enum Leave<'a> {
    Port(TxToken<'a>),
    Shm(ShmTxToken<'a>),
}

impl phy::TxToken for Leave<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        match self {
            Self::Port(token) => token.consume(len, f),
            Self::Shm(token) => token.consume(len, f),
        }
    }
}
