//! The kernel's word that a device came or went. Verbs say so only for hardware
//! whose driver can take itself away from its users (`IBV_EVENT_DEVICE_FATAL`);
//! the others, rxe among them, wait until their users have let go.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};

/// The multicast group the kernel itself speaks in.
const KERNEL: u32 = 1;

#[derive(Debug)]
pub(super) struct Uevents(OwnedFd);

impl Uevents {
    pub(super) fn open() -> Result<Self, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(KOBJECT_UEVENT))?;
        bind(&socket, &SocketAddrNetlink::new(0, KERNEL))?;
        Ok(Self(socket))
    }

    /// Whether anything was said of RDMA devices since the last time. What it was
    /// is looked up, not believed.
    pub(super) fn any(&self) -> bool {
        const WORD: &[u8] = b"infiniband_verbs";
        let mut any = false;
        let mut message = [0; 4096];
        loop {
            match recv(&self.0, &mut message[..], RecvFlags::empty()) {
                Ok((len, _)) => {
                    let text = message.get(..len).unwrap_or_default();
                    any |= text.windows(WORD.len()).any(|word| word == WORD);
                }
                // More was said than the socket could hold.
                Err(Errno::NOBUFS) => any = true,
                Err(Errno::INTR) => {}
                Err(_) => return any,
            }
        }
    }
}

impl AsFd for Uevents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
