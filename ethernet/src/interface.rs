use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use smoltcp::phy::{Device, Medium, RawSocket, TunTapInterface};

use crate::filter;
use crate::framing::is_for_later;
use crate::{DownReason, HEADER_LEN, MAX_FRAME_LEN, MAX_MTU, VLAN_LEN};

/// Octets a frame may have that the kernel hands up: it merges TCP segments (GRO)
/// into packets of up to 64 KiB, and the loopback interface has such an MTU.
const INCOMING_LEN: usize = HEADER_LEN + VLAN_LEN + (1 << 16);

/// Source addresses of ours that are remembered.
const OWN_ADDRESSES: usize = 4;

/// Octets where a frame's source address lies.
const SOURCE: std::ops::Range<usize> = 6..12;

/// An Ethernet port on an interface of the kernel: `tap:NAME` and
/// `packet:IFNAME`.
///
/// **`tap:NAME`** is the other side of a tap interface: what the kernel sends on
/// it arrives here. Opening it attaches to the interface or makes it, which needs
/// `CAP_NET_ADMIN` unless it was made for this user before:
/// `ip tuntap add NAME mode tap user $USER; ip addr add 10.9.0.1/24 dev NAME;
/// ip link set NAME up`.
///
/// **`packet:IFNAME`** stands beside the kernel on an interface (`AF_PACKET`) and
/// needs `CAP_NET_RAW`. It sees every frame the kernel sees and must have a MAC
/// and an IP address of its own; a NIC may have to be promiscuous to let frames to
/// that MAC in. What the kernel itself sends there is seen too; frames with a
/// source address this port has sent with are not, since some switches and
/// drivers bring them back. On a veth pair, tell the kernel to compute its
/// checksums (`ethtool -K IFNAME tx off`), or its TCP segments are discarded as
/// damaged. VLAN tags do not arrive: the kernel takes them off.
///
/// Opening either needs Linux 5.6, and in a container a seccomp profile that
/// allows `pidfd_getfd`.
///
/// One frame that the interface does not take at once is kept, and nothing may be
/// transmitted until it has gone.
#[derive(Debug)]
pub struct InterfacePort {
    incoming: Box<[u8]>,
    pub(crate) outgoing: InterfaceSender,
    mtu: u16,
}

/// The half that sends.
#[derive(Debug)]
pub(crate) struct InterfaceSender {
    fd: OwnedFd,
    frame: Box<[u8]>,
    /// Octets of the frame that waits; 0 if none does.
    waiting: usize,
    pub(crate) down: Option<DownReason>,
    frame_len: usize,
    lost: u64,
    /// Of a port that may see its own frames.
    own: Option<[Option<[u8; 6]>; OWN_ADDRESSES]>,
}

impl InterfacePort {
    pub(crate) fn tap(name: &str) -> io::Result<Self> {
        let interface = TunTapInterface::new(name, Medium::Ethernet)?;
        Self::new(own_descriptor(&interface)?, interface.capabilities().max_transmission_unit, None)
    }

    pub(crate) fn packet(name: &str) -> io::Result<Self> {
        let socket = RawSocket::new(name, Medium::Ethernet)?;
        let frame_len = socket.capabilities().max_transmission_unit;
        let port = Self::new(own_descriptor(&socket)?, frame_len, Some([None; OWN_ADDRESSES]))?;
        port.drain()?;
        Ok(port)
    }

    fn new(fd: OwnedFd, frame_len: usize, own: Option<[Option<[u8; 6]>; OWN_ADDRESSES]>) -> io::Result<Self> {
        let mtu = u16::try_from(frame_len - HEADER_LEN).unwrap_or(MAX_MTU).min(MAX_MTU);
        let frame_len = HEADER_LEN + VLAN_LEN + usize::from(mtu);
        let frame = vec![0; MAX_FRAME_LEN].into();
        let outgoing = InterfaceSender { fd, frame, waiting: 0, down: None, frame_len, lost: 0, own };
        Ok(Self { incoming: vec![0; INCOMING_LEN].into(), outgoing, mtu })
    }

    /// Frames of other interfaces that came between making the socket and
    /// binding it.
    fn drain(&self) -> io::Result<()> {
        let mut octets = [0; HEADER_LEN];
        loop {
            match rustix::io::read(&self.outgoing.fd, &mut octets) {
                Ok(_) => {}
                Err(Errno::AGAIN | Errno::NETDOWN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// See [`Port::pass_over_roce`](crate::Port::pass_over_roce).
    pub(crate) fn pass_over_roce(&self) -> io::Result<()> {
        // A tap is no socket, and has nothing of the kernel's RDMA.
        if self.outgoing.own.is_some() { filter::pass_over_roce(&self.outgoing.fd) } else { Ok(()) }
    }

    pub(crate) const fn mtu(&self) -> u16 {
        self.mtu
    }

    /// Takes a smaller MTU than the interface has.
    pub(crate) fn lower_mtu(&mut self, mtu: u16) {
        self.mtu = mtu;
        self.outgoing.frame_len = HEADER_LEN + VLAN_LEN + usize::from(mtu);
    }

    pub(crate) fn ready_to_transmit(&mut self) -> bool {
        self.outgoing.flush();
        self.outgoing.has_room()
    }

    /// Reads the next frame; how long it is.
    pub(crate) fn take(&mut self) -> Option<usize> {
        self.outgoing.flush();
        while !self.outgoing.has_ended() {
            match rustix::io::read(&self.outgoing.fd, &mut *self.incoming) {
                Ok(len) => {
                    self.outgoing.down = None;
                    if len > 0 && !self.outgoing.sent(self.incoming.get(..len).unwrap_or_default()) {
                        return Some(len);
                    }
                }
                Err(error) => {
                    let error = io::Error::from(error);
                    if !is_for_later(&error) {
                        self.outgoing.fail(error);
                    }
                    return None;
                }
            }
        }
        None
    }

    /// The frame of this length, and the half that answers it.
    pub(crate) fn parts(&mut self, len: usize) -> (&[u8], &mut InterfaceSender) {
        (self.incoming.get(..len).unwrap_or_default(), &mut self.outgoing)
    }
}

impl AsFd for InterfacePort {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.outgoing.fd.as_fd()
    }
}

impl InterfaceSender {
    pub(crate) const fn wants_write(&self) -> bool {
        self.waiting > 0 && self.down.is_none()
    }

    pub(crate) const fn lost(&self) -> u64 {
        self.lost
    }

    fn has_ended(&self) -> bool {
        self.down.as_ref().is_some_and(|reason| !reason.is_passing())
    }

    /// Frames are tried although the interface is down, and lost: that is how it
    /// is noticed that it is up again.
    fn has_room(&self) -> bool {
        self.waiting == 0 && !self.has_ended()
    }

    /// Sends the frame that waits, if the interface takes it now.
    pub(crate) fn flush(&mut self) {
        if self.waiting == 0 {
            return;
        }
        match rustix::io::write(&self.fd, self.frame.get(..self.waiting).unwrap_or_default()) {
            Ok(_) => {
                self.waiting = 0;
                self.down = None;
            }
            Err(error) => {
                let error = io::Error::from(error);
                if !is_for_later(&error) {
                    self.waiting = 0;
                    self.lost += 1;
                    self.fail(error);
                }
            }
        }
    }

    /// Sends a frame that `make` writes, or loses it.
    pub(crate) fn send<R>(&mut self, len: usize, make: impl FnOnce(&mut [u8]) -> R) -> R {
        let has_room = len <= self.frame_len && self.has_room();
        let Some(frame) = self.frame.get_mut(..len).filter(|_| has_room) else {
            self.lost += 1;
            return make(&mut vec![0; len]);
        };
        frame.fill(0);
        let made = make(frame);
        self.remember_source();
        self.waiting = len;
        self.flush();
        made
    }

    fn remember_source(&mut self) {
        let Some(own) = &mut self.own else { return };
        let Some(source) = self.frame.get(SOURCE).and_then(|octets| octets.try_into().ok()) else { return };
        if own.contains(&Some(source)) {
            return;
        }
        own.rotate_right(1);
        if let Some(newest) = own.first_mut() {
            *newest = Some(source);
        }
    }

    /// Whether we sent this frame, and it came back.
    fn sent(&self, frame: &[u8]) -> bool {
        let Some(own) = &self.own else { return false };
        frame.get(SOURCE).is_some_and(|source| own.iter().flatten().any(|address| address == source))
    }

    fn fail(&mut self, error: io::Error) {
        match Errno::from_io_error(&error) {
            // A tap that is not up says EIO, a packet socket ENETDOWN.
            Some(Errno::NETDOWN | Errno::IO) => self.down = Some(DownReason::InterfaceDown),
            // This frame cannot go: the driver's queue is full, or it is longer
            // than the interface takes by now.
            Some(Errno::NOBUFS | Errno::MSGSIZE) => {}
            Some(Errno::NODEV | Errno::NXIO | Errno::BADFD) => {
                self.down = Some(DownReason::InterfaceGone);
            }
            _ => self.down = Some(DownReason::Io(error)),
        }
    }
}

/// A descriptor of our own for what smoltcp has opened.
///
/// smoltcp knows how to open these interfaces, but its devices panic when one goes
/// down, allocate for each frame and lend no [`BorrowedFd`]. So it opens, and we
/// read and write. `pidfd_getfd` on ourselves is the one way to duplicate a number
/// into an [`OwnedFd`] that needs no unsafe code; the device lives until then.
fn own_descriptor(device: &impl AsRawFd) -> io::Result<OwnedFd> {
    let ourselves = pidfd_open(getpid(), PidfdFlags::empty())?;
    Ok(pidfd_getfd(ourselves, device.as_raw_fd(), PidfdGetfdFlags::empty())?)
}

#[cfg(test)]
#[path = "interface_tests.rs"]
mod tests;
