use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_recv_buffer_size_force};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use smoltcp::phy::{Device, Medium, RawSocket, TunTapInterface};

use crate::framing::is_for_later;
use crate::room::Room;
use crate::{DownReason, HEADER_LEN, MAX_FRAME_LEN, MAX_MTU, VLAN_LEN, filter, offload, option};

/// Octets a frame may have that the kernel hands up: it merges TCP segments (GRO)
/// into packets of up to 64 KiB, and the loopback interface has such an MTU.
const INCOMING_LEN: usize = HEADER_LEN + VLAN_LEN + (1 << 16);

/// What may wait in a packet socket until it is read, in octets of the kernel's
/// memory, twice: Linux doubles what is asked for, since a frame costs it about twice
/// its own octets. What does not find room is lost, and RoCE waits for its timeout
/// then. Enough for sixteen messages of 256 KiB; the usual size (208 KiB) is not enough
/// for one. It is taken only as frames wait.
const RECEIVE_BUFFER: usize = 4 << 20;

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
/// drivers bring them back. A checksum that the kernel left to hardware is computed
/// here, and TCP segments that it has merged (GRO) or not yet cut (TSO, on a veth
/// pair) come as one frame of up to 64 KiB, longer than the MTU. UDP datagrams are
/// merged only where an administrator wants it (`rx-udp-gro-forwarding`), and are of
/// no use then. VLAN tags do not arrive: the kernel takes them off.
///
/// What a packet socket may hold until it is read is set to 4 MiB with
/// `CAP_NET_ADMIN`, and without it to that or to what the system allows
/// (`net.core.rmem_max`), whichever is less.
///
/// Opening either needs Linux 5.6, and in a container a seccomp profile that
/// allows `pidfd_getfd`.
///
/// One frame that the interface does not take at once is kept, and nothing may be
/// transmitted until it has gone.
#[derive(Debug)]
pub struct InterfacePort {
    incoming: Room,
    pub(crate) outgoing: InterfaceSender,
    mtu: u16,
}

/// The half that sends.
#[derive(Debug)]
pub(crate) struct InterfaceSender {
    fd: OwnedFd,
    /// In front of what we send is a header of zeros, if there are any.
    frame: Room,
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
        // No header, and none is needed: unless asked for offloads, Linux computes and
        // cuts all that it sends to a tap.
        Self::new(own_descriptor(&interface)?, interface.capabilities().max_transmission_unit, 0, None)
    }

    pub(crate) fn packet(name: &str) -> io::Result<Self> {
        let socket = RawSocket::new(name, Medium::Ethernet)?;
        let frame_len = socket.capabilities().max_transmission_unit;
        let own = Some([None; OWN_ADDRESSES]);
        let port = Self::new(own_descriptor(&socket)?, frame_len, offload::HEADER_LEN, own)?;
        port.drain()?;
        let socket = &port.outgoing.fd;
        option::ask_for_offload_headers(socket)?;
        match set_socket_recv_buffer_size_force(socket, RECEIVE_BUFFER) {
            Err(Errno::PERM) => set_socket_recv_buffer_size(socket, RECEIVE_BUFFER)?,
            done => done?,
        }
        Ok(port)
    }

    fn new(
        fd: OwnedFd,
        frame_len: usize,
        ahead: usize,
        own: Option<[Option<[u8; 6]>; OWN_ADDRESSES]>,
    ) -> io::Result<Self> {
        let mtu = u16::try_from(frame_len - HEADER_LEN).unwrap_or(MAX_MTU).min(MAX_MTU);
        let frame_len = HEADER_LEN + VLAN_LEN + usize::from(mtu);
        let frame = Room::new(ahead, MAX_FRAME_LEN);
        let outgoing = InterfaceSender { fd, frame, waiting: 0, down: None, frame_len, lost: 0, own };
        Ok(Self { incoming: Room::new(ahead, INCOMING_LEN), outgoing, mtu })
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
            match rustix::io::read(&self.outgoing.fd, self.incoming.all()) {
                Ok(len) => {
                    self.outgoing.down = None;
                    let len = len.saturating_sub(self.incoming.ahead());
                    if len > 0 && !self.outgoing.sent(self.incoming.frame(len)) {
                        if let (Some(header), frame) = self.incoming.parts(len) {
                            offload::complete(*header, frame);
                        }
                        return Some(len);
                    }
                }
                // The kernel has no header for what it merged there (of SCTP, say), and
                // throws it away.
                Err(Errno::INVAL) if self.incoming.ahead() > 0 => return None,
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
        (self.incoming.frame(len), &mut self.outgoing)
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
        match rustix::io::write(&self.fd, self.frame.whole(self.waiting)) {
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
        if !has_room {
            self.lost += 1;
            return make(&mut vec![0; len]);
        }
        let frame = self.frame.frame_mut(len);
        frame.fill(0);
        let made = make(frame);
        let source = frame.get(SOURCE).and_then(|octets| octets.try_into().ok());
        self.remember(source);
        self.waiting = len;
        self.flush();
        made
    }

    /// Remembers an address of ours.
    fn remember(&mut self, source: Option<[u8; 6]>) {
        let (Some(own), Some(source)) = (&mut self.own, source) else { return };
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
