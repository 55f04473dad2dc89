//! What a packet socket is told and no crate has a safe call for: the one file with
//! unsafe code.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// From now on each frame that is read or written has a header in front of it, of
/// [`offload::HEADER_LEN`](crate::offload::HEADER_LEN) octets.
pub(crate) fn ask_for_offload_headers(socket: &impl AsFd) -> io::Result<()> {
    let on: libc::c_int = 1;
    let len = size_of_val(&on) as libc::socklen_t;
    let socket = socket.as_fd().as_raw_fd();
    // SAFETY: the descriptor is open, since it is borrowed until after the call; the
    // kernel reads `len` octets behind the pointer, which is what `on` has, and keeps
    // neither. Whatever kind of descriptor it is, the worst that comes is an error.
    let done = unsafe {
        libc::setsockopt(socket, libc::SOL_PACKET, libc::PACKET_VNET_HDR, (&raw const on).cast(), len)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
