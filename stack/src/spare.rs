//! smoltcp's sockets that wait for a connection, with their buffers: to clear
//! 128 KiB for every handshake costs more than the handshake.

use alloc::vec;
use alloc::vec::Vec;

use smoltcp::socket::tcp::{Socket, SocketBuffer};

/// So many are kept at most: with the usual buffers 32 MiB.
const MOST: usize = 256;

/// Sockets that no connection needs any more, no more than handshakes may go on
/// at a time.
#[derive(Debug)]
pub(crate) struct Spare {
    sockets: Vec<Socket<'static>>,
    most: usize,
    /// Octets of each of the two buffers.
    buffer: usize,
}

impl Spare {
    pub(crate) fn new(handshakes: usize, buffer: usize) -> Self {
        Self { sockets: Vec::new(), most: handshakes.min(MOST), buffer }
    }

    /// A closed socket without options.
    pub(crate) fn take(&mut self) -> Socket<'static> {
        let made = || {
            let buffer = || SocketBuffer::new(vec![0; self.buffer]);
            Socket::new(buffer(), buffer())
        };
        self.sockets.pop().unwrap_or_else(made)
    }

    /// Takes a socket back. smoltcp clears it when it listens or connects, all
    /// but what the user set.
    pub(crate) fn give_back(&mut self, mut socket: Socket<'static>) {
        let is_whole = socket.send_capacity() == self.buffer && socket.recv_capacity() == self.buffer;
        if is_whole && self.sockets.len() < self.most {
            socket.abort();
            socket.set_keep_alive(None);
            socket.set_timeout(None);
            self.sockets.push(socket);
        }
    }
}
