//! smoltcp's sockets that wait for a connection, with their buffers and their sets: to
//! clear 128 KiB for every handshake costs more than the handshake.

use alloc::vec;
use alloc::vec::Vec;

use smoltcp::iface::SocketSet;
use smoltcp::socket::tcp::{Socket, SocketBuffer};

use crate::tcp::socket_of;

/// So many are kept at most: with the usual buffers 64 MiB.
const MOST: usize = 512;

/// Sockets that no connection needs any more, no more than handshakes may go on
/// at a time.
#[derive(Debug)]
pub(crate) struct Spare {
    sets: Vec<SocketSet<'static>>,
    most: usize,
    /// Octets of each of the two buffers.
    buffer: usize,
}

impl Spare {
    pub(crate) fn new(handshakes: usize, buffer: usize) -> Self {
        Self { sets: Vec::new(), most: handshakes.min(MOST), buffer }
    }

    /// A set with a closed socket without options.
    pub(crate) fn take(&mut self) -> SocketSet<'static> {
        self.sets.pop().unwrap_or_else(|| {
            let buffer = || SocketBuffer::new(vec![0; self.buffer]);
            let mut set = SocketSet::new(Vec::with_capacity(1));
            set.add(Socket::new(buffer(), buffer()));
            set
        })
    }

    /// Takes a socket back. smoltcp clears it when it listens or connects, all
    /// but what the user set.
    pub(crate) fn give_back(&mut self, mut set: SocketSet<'static>) {
        if self.sets.len() < self.most
            && let Some(socket) = socket_of(&mut set)
        {
            socket.abort();
            socket.set_keep_alive(None);
            socket.set_timeout(None);
            self.sets.push(set);
        }
    }
}
