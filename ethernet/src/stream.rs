use std::fs;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::framing::{Incoming, Outgoing, Read, is_for_later};
use crate::{DownReason, HEADER_LEN, MAX_MTU, MIN_MTU, VLAN_LEN};

/// An Ethernet port over a Unix stream socket: `unix:PATH` and
/// `unix-listen:PATH`.
///
/// Each frame follows its length, 4 octets big-endian: what QEMU's `-netdev
/// stream` speaks. No privileges are needed.
///
/// What the socket does not take waits in a buffer of fixed size. While that is
/// too full, nothing may be transmitted; frames are still received, and an answer
/// that finds no room is lost and counted, as in a NIC. (Two ends that both
/// refused to read until they could write would wait for each other for ever.)
#[derive(Debug)]
pub struct StreamPort {
    incoming: Incoming,
    pub(crate) outgoing: StreamSender,
    mtu: u16,
}

/// The socket, and what waits for it.
#[derive(Debug)]
pub(crate) struct StreamSender {
    socket: Socket,
    waiting: Outgoing,
    pub(crate) down: Option<DownReason>,
    /// Octets of a frame at most, by the MTU.
    frame_len: usize,
    lost: u64,
}

#[derive(Debug)]
enum Socket {
    Listening { listener: UnixListener, path: PathBuf },
    Connected(UnixStream),
}

impl StreamPort {
    /// A port over a socket that is connected already, with `mtu` octets of IP in
    /// a frame.
    ///
    /// # Errors
    /// If the socket cannot be made non-blocking.
    pub fn from_stream(stream: UnixStream, mtu: u16) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self::new(Socket::Connected(stream), None, mtu.clamp(MIN_MTU, MAX_MTU)))
    }

    pub(crate) fn connect(path: &Path, mtu: u16) -> io::Result<Self> {
        Self::from_stream(UnixStream::connect(path)?, mtu)
    }

    pub(crate) fn listen(path: &Path, mtu: u16) -> io::Result<Self> {
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        let path = path.to_owned();
        Ok(Self::new(Socket::Listening { listener, path }, Some(DownReason::NoPeerYet), mtu))
    }

    fn new(socket: Socket, down: Option<DownReason>, mtu: u16) -> Self {
        let frame_len = HEADER_LEN + VLAN_LEN + usize::from(mtu);
        let outgoing = StreamSender { socket, waiting: Outgoing::new(), down, frame_len, lost: 0 };
        Self { incoming: Incoming::new(), outgoing, mtu }
    }

    pub(crate) const fn mtu(&self) -> u16 {
        self.mtu
    }

    /// Sends what waits, as far as the socket takes it; says whether a frame may
    /// be transmitted.
    pub(crate) fn ready_to_transmit(&mut self) -> bool {
        self.outgoing.accept();
        self.outgoing.flush();
        self.outgoing.has_room(2)
    }

    /// Takes the next frame: where it lies among what was read.
    pub(crate) fn take(&mut self) -> Option<Range<usize>> {
        self.outgoing.accept();
        self.outgoing.flush();
        loop {
            match self.incoming.take() {
                Ok(None) => {}
                Ok(found) => return found,
                Err(reason) => {
                    self.outgoing.end(reason);
                    return None;
                }
            }
            // After the end of the stream only what was read before is left.
            if self.outgoing.down.is_some() || !self.read() {
                return None;
            }
        }
    }

    /// The frame at this place, and the half that answers it.
    pub(crate) fn parts(&mut self, at: Range<usize>) -> (&[u8], &mut StreamSender) {
        (self.incoming.frame(at), &mut self.outgoing)
    }

    /// Whether octets came.
    fn read(&mut self) -> bool {
        let Socket::Connected(stream) = &self.outgoing.socket else { return false };
        let read = self.incoming.read(|room| {
            let (len, _) = recv(stream, room, RecvFlags::empty())?;
            Ok(len)
        });
        match read {
            Ok(Read::Some) => true,
            Ok(Read::Nothing) => false,
            Ok(Read::End) => {
                self.outgoing.end(DownReason::PeerClosed);
                false
            }
            Err(error) => {
                self.outgoing.fail(error);
                false
            }
        }
    }
}

impl Drop for StreamPort {
    fn drop(&mut self) {
        if let Socket::Listening { path, .. } = &self.outgoing.socket {
            remove(path);
        }
    }
}

/// Removes the socket's name; if somebody else has already, so much the better.
fn remove(path: &Path) {
    drop(fs::remove_file(path));
}

impl AsFd for StreamPort {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.outgoing.socket {
            Socket::Listening { listener, .. } => listener.as_fd(),
            Socket::Connected(stream) => stream.as_fd(),
        }
    }
}

impl StreamSender {
    /// Takes the one peer, if it has come. The path has served its purpose then.
    fn accept(&mut self) {
        let (Socket::Listening { listener, path }, Some(DownReason::NoPeerYet)) = (&self.socket, &self.down)
        else {
            return;
        };
        let accepted = listener.accept().and_then(|(stream, _)| {
            stream.set_nonblocking(true)?;
            Ok(stream)
        });
        match accepted {
            Ok(stream) => {
                remove(path);
                self.socket = Socket::Connected(stream);
                self.down = None;
            }
            // A peer that went before it was accepted was not the one.
            Err(error) if is_for_later(&error) || error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => self.down = Some(DownReason::Io(error)),
        }
    }

    pub(crate) fn wants_write(&self) -> bool {
        self.down.is_none() && !self.waiting.is_empty()
    }

    pub(crate) const fn lost(&self) -> u64 {
        self.lost
    }

    pub(crate) fn flush(&mut self) {
        let (Socket::Connected(stream), None) = (&self.socket, &self.down) else { return };
        // Without a signal: a peer that is gone is a state of the port.
        let written = self.waiting.write(|octets| Ok(send(stream, octets, SendFlags::NOSIGNAL)?));
        if let Err(error) = written {
            self.fail(error);
        }
    }

    /// Sends a frame that `make` writes, or loses it.
    pub(crate) fn send<R>(&mut self, len: usize, make: impl FnOnce(&mut [u8]) -> R) -> R {
        if len > self.frame_len || !self.has_room(1) {
            self.lost += 1;
            return make(&mut vec![0; len]);
        }
        let made = self.waiting.put(len, make);
        self.flush();
        made
    }

    fn has_room(&self, frames: usize) -> bool {
        self.down.is_none() && self.waiting.has_room(frames, self.frame_len)
    }

    fn fail(&mut self, error: io::Error) {
        let is_closed = matches!(
            error.kind(),
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::NotConnected
        );
        self.end(if is_closed { DownReason::PeerClosed } else { DownReason::Io(error) });
    }

    /// The first reason counts.
    fn end(&mut self, reason: DownReason) {
        self.down.get_or_insert(reason);
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
