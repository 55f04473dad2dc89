use std::io;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use smoltcp::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp::time::Instant;

use crate::interface::{InterfacePort, InterfaceSender};
use crate::stream::{StreamPort, StreamSender};
use crate::{DEFAULT_MTU, DownReason, HEADER_LEN, MAX_MTU, MIN_MTU};

/// A place where Ethernet frames come from and go to.
#[derive(Debug)]
#[non_exhaustive]
pub enum Port {
    /// `unix:PATH` and `unix-listen:PATH`.
    Stream(StreamPort),
    /// `tap:NAME` and `packet:IFNAME`.
    Interface(InterfacePort),
}

/// Why a port cannot be opened: one sentence each.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It does not begin with a known kind.
    #[error("{0:?} is no port: write unix:PATH, unix-listen:PATH, tap:NAME or packet:IFNAME")]
    Kind(String),
    /// Nothing follows the kind.
    #[error("{0}: nothing follows the colon, and a path or an interface should")]
    Nameless(String),
    /// Linux has no interface of such a name.
    #[error("{0}: the name of an interface has 1 to 15 octets and no slash")]
    Name(String),
    /// The operating system refuses; `hint` says what usually helps, or is empty.
    #[error("{port}: {source}{hint}")]
    Refused {
        /// As it was asked for.
        port: String,
        /// What the operating system says.
        source: io::Error,
        /// What usually helps.
        hint: &'static str,
    },
    /// The MTU that was asked for is not possible.
    #[error("{port}: {source}")]
    Mtu {
        /// As it was asked for.
        port: String,
        /// Why not.
        source: MtuError,
    },
}

/// Why an MTU is not possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MtuError {
    /// Outside of what any port takes.
    #[error("an MTU of {0} is not between {MIN_MTU} and {MAX_MTU}")]
    Range(u16),
    /// More than the interface has.
    #[error("an MTU of {wanted} is more than the {has} of the interface")]
    Interface {
        /// What was asked for.
        wanted: u16,
        /// What the interface has.
        has: u16,
    },
}

/// Interface names, in octets (Linux IFNAMSIZ is 16, with its terminator).
const NAME_LEN: RangeInclusive<usize> = 1..=15;

impl Port {
    /// Opens `unix:PATH`, `unix-listen:PATH`, `tap:NAME` or `packet:IFNAME`, with
    /// the MTU of the interface, or [`DEFAULT_MTU`] where there is none.
    ///
    /// A listening port takes one peer, when it comes; until then the port is down
    /// for [`DownReason::NoPeerYet`]. The socket's name is removed once it has.
    ///
    /// # Errors
    /// [`OpenError`]: the text makes no sense, or the operating system refuses.
    pub fn open(port: &str) -> Result<Self, OpenError> {
        Self::open_with_mtu(port, None)
    }

    /// [`Port::open`] with another MTU, in octets of IP: for sockets
    /// [`MIN_MTU`] to [`MAX_MTU`], for interfaces no more than they have.
    ///
    /// # Errors
    /// [`OpenError`]: the text or the MTU makes no sense, or the operating system
    /// refuses.
    pub fn open_with_mtu(port: &str, mtu: Option<u16>) -> Result<Self, OpenError> {
        let impossible = |source| OpenError::Mtu { port: port.to_owned(), source };
        let Some((kind, name)) = port.split_once(':') else { return Err(OpenError::Kind(port.to_owned())) };
        if let Some(mtu) = mtu.filter(|mtu| !(MIN_MTU..=MAX_MTU).contains(mtu)) {
            return Err(impossible(MtuError::Range(mtu)));
        }
        let stream_mtu = mtu.unwrap_or(DEFAULT_MTU);
        let opened = match kind {
            "unix" | "unix-listen" | "tap" | "packet" if name.is_empty() => {
                return Err(OpenError::Nameless(port.to_owned()));
            }
            "tap" | "packet" if !NAME_LEN.contains(&name.len()) || name.contains('/') => {
                return Err(OpenError::Name(port.to_owned()));
            }
            "unix" => StreamPort::connect(Path::new(name), stream_mtu).map(Self::Stream),
            "unix-listen" => StreamPort::listen(Path::new(name), stream_mtu).map(Self::Stream),
            "tap" => InterfacePort::tap(name).map(Self::Interface),
            "packet" => InterfacePort::packet(name).map(Self::Interface),
            _ => return Err(OpenError::Kind(port.to_owned())),
        };
        let mut opened = opened.map_err(|source| OpenError::Refused {
            port: port.to_owned(),
            hint: hint(kind, &source),
            source,
        })?;
        if let (Self::Interface(interface), Some(wanted)) = (&mut opened, mtu) {
            let has = interface.mtu();
            if wanted > has {
                return Err(impossible(MtuError::Interface { wanted, has }));
            }
            interface.lower_mtu(wanted);
        }
        Ok(opened)
    }

    /// From now on RoCEv2 is not handed up, for who leaves RDMA to a device of the
    /// kernel: `packet:IFNAME` would show, and wake for, each of its packets. Other
    /// ports have none of them.
    ///
    /// # Errors
    /// What the operating system says of a filter.
    pub fn pass_over_roce(&self) -> io::Result<()> {
        match self {
            Self::Stream(_) => Ok(()),
            Self::Interface(port) => port.pass_over_roce(),
        }
    }

    /// Octets of IP in a frame at most.
    #[must_use]
    pub const fn mtu(&self) -> u16 {
        match self {
            Self::Stream(port) => port.mtu(),
            Self::Interface(port) => port.mtu(),
        }
    }

    /// Whether frames can be carried.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.down_reason().is_none()
    }

    /// Why the port carries no frames; `None` while it does.
    #[must_use]
    pub const fn down_reason(&self) -> Option<&DownReason> {
        match self {
            Self::Stream(port) => port.outgoing.down.as_ref(),
            Self::Interface(port) => port.outgoing.down.as_ref(),
        }
    }

    /// Whether the port is down and stays so.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.down_reason().is_some_and(|reason| !reason.is_passing())
    }

    /// Whether frames wait until the descriptor is writable. They go with the next
    /// [`Device::receive`], [`Device::transmit`] or [`Port::flush`].
    #[must_use]
    pub fn wants_write(&self) -> bool {
        match self {
            Self::Stream(port) => port.outgoing.wants_write(),
            Self::Interface(port) => port.outgoing.wants_write(),
        }
    }

    /// Sends what waits, as far as it goes without waiting.
    pub fn flush(&mut self) {
        match self {
            Self::Stream(port) => port.outgoing.flush(),
            Self::Interface(port) => port.outgoing.flush(),
        }
    }

    /// Frames that were to be sent and were not: no room for an answer, longer
    /// than the MTU allows, refused by the interface.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        match self {
            Self::Stream(port) => port.outgoing.lost(),
            Self::Interface(port) => port.outgoing.lost(),
        }
    }
}

/// What usually helps, as the end of a sentence.
fn hint(kind: &str, error: &io::Error) -> &'static str {
    use io::ErrorKind::{AddrInUse, ConnectionRefused, NotFound, PermissionDenied};
    match (kind, error.kind()) {
        ("unix", NotFound) => "; nothing listens there yet",
        ("unix", ConnectionRefused) => "; whoever listened there is gone, or has its peer already",
        ("unix-listen", AddrInUse) => "; remove the file if nobody listens there any more",
        ("tap", NotFound) => "; this system has no /dev/net/tun",
        ("tap", PermissionDenied) => "; this needs CAP_NET_ADMIN, or an interface made for this user",
        ("packet", PermissionDenied) => "; this needs CAP_NET_RAW",
        _ => "",
    }
}

/// The descriptor to wait on. It changes when a listening port gets its peer: ask
/// each time.
impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Stream(port) => port.as_fd(),
            Self::Interface(port) => port.as_fd(),
        }
    }
}

impl Device for Port {
    type RxToken<'a> = RxToken<'a>;
    type TxToken<'a> = TxToken<'a>;

    fn receive(&mut self, _timestamp: Instant) -> Option<(RxToken<'_>, TxToken<'_>)> {
        match self {
            Self::Stream(port) => {
                let at = port.take()?;
                let (frame, sender) = port.parts(at);
                Some((RxToken(frame), TxToken(Sender::Stream(sender))))
            }
            Self::Interface(port) => {
                let len = port.take()?;
                let (frame, sender) = port.parts(len);
                Some((RxToken(frame), TxToken(Sender::Interface(sender))))
            }
        }
    }

    fn transmit(&mut self, _timestamp: Instant) -> Option<TxToken<'_>> {
        match self {
            Self::Stream(port) => {
                port.ready_to_transmit().then_some(TxToken(Sender::Stream(&mut port.outgoing)))
            }
            Self::Interface(port) => {
                port.ready_to_transmit().then_some(TxToken(Sender::Interface(&mut port.outgoing)))
            }
        }
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = HEADER_LEN + usize::from(self.mtu());
        capabilities
    }
}

/// A frame that a [`Port`] received.
#[derive(Debug)]
pub struct RxToken<'a>(&'a [u8]);

impl phy::RxToken for RxToken<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

/// Leave to send a frame through a [`Port`].
#[derive(Debug)]
pub struct TxToken<'a>(Sender<'a>);

#[derive(Debug)]
enum Sender<'a> {
    Stream(&'a mut StreamSender),
    Interface(&'a mut InterfaceSender),
}

impl phy::TxToken for TxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        match self.0 {
            Sender::Stream(sender) => sender.send(len, f),
            Sender::Interface(sender) => sender.send(len, f),
        }
    }
}

#[cfg(test)]
#[path = "port_tests.rs"]
mod tests;
