//! The TCP end of one connection: smoltcp's socket, alone in its set, so that a
//! poll costs the same however many other connections there are.

use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;

use smolsmc_wire::{Duration, Instant};
use smoltcp::iface::{Context, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::wire::{IpEndpoint, IpListenEndpoint};

/// Within this, smoltcp does not end TIME-WAIT, and has sent its last ACK.
const TIME_WAIT_SAFE: Duration = Duration::from_secs(5);

pub(crate) struct Tcp {
    pub(crate) set: SocketSet<'static>,
    handle: SocketHandle,
    timeout: smoltcp::time::Duration,
    /// The end is our own doing.
    closed_here: bool,
    /// The peer has sent FIN: nothing of its stream is missing.
    heard_fin: bool,
    time_wait_since: Option<Instant>,
    /// What is still to be sent need not be.
    is_forgotten: bool,
}

impl Tcp {
    pub(crate) fn new(buffer: usize, timeout: Duration) -> Self {
        let mut socket = Socket::new(SocketBuffer::new(vec![0; buffer]), SocketBuffer::new(vec![0; buffer]));
        // CLC is question and answer: neither side may wait for more to say.
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(None);
        let mut set = SocketSet::new(Vec::with_capacity(1));
        let handle = set.add(socket);
        let timeout = smoltcp::time::Duration::from_micros(timeout.micros());
        Self {
            set,
            handle,
            timeout,
            closed_here: false,
            heard_fin: false,
            time_wait_since: None,
            is_forgotten: false,
        }
    }

    fn socket(&self) -> &Socket<'static> {
        self.set.get(self.handle)
    }

    pub(crate) fn socket_mut(&mut self) -> &mut Socket<'static> {
        self.set.get_mut(self.handle)
    }

    pub(crate) fn connect(&mut self, context: &mut Context, local: SocketAddr, remote: SocketAddr) -> bool {
        let local = IpListenEndpoint::from(IpEndpoint::from(local));
        self.socket_mut().connect(context, IpEndpoint::from(remote), local).is_ok()
    }

    pub(crate) fn listen(&mut self, local: SocketAddr) -> bool {
        self.socket_mut().listen(IpEndpoint::from(local)).is_ok()
    }

    pub(crate) fn state(&self) -> State {
        self.socket().state()
    }

    /// Both SYNs are acknowledged.
    pub(crate) fn is_established(&self) -> bool {
        !matches!(self.state(), State::Closed | State::Listen | State::SynSent | State::SynReceived)
    }

    /// Nothing will be sent or received any more; TIME-WAIT has nothing to say
    /// either.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state(), State::Closed | State::TimeWait)
    }

    /// The peer has sent FIN, or everything is over: no more octets than those
    /// that can be read.
    pub(crate) fn is_at_end(&self) -> bool {
        !self.socket().may_recv()
    }

    pub(crate) fn may_send(&self) -> bool {
        self.socket().may_send()
    }

    pub(crate) fn room(&self) -> usize {
        let socket = self.socket();
        if socket.may_send() { socket.send_capacity() - socket.send_queue() } else { 0 }
    }

    pub(crate) fn readable(&self) -> usize {
        self.socket().recv_queue()
    }

    /// The first `len` octets that wait, if they are there and in one piece, as
    /// those at the start of the stream are.
    pub(crate) fn peek(&mut self, len: usize) -> Option<&[u8]> {
        let octets = self.socket_mut().peek(len).ok()?;
        (octets.len() == len).then_some(octets)
    }

    /// Drops `len` octets that were peeked at.
    pub(crate) fn skip(&mut self, len: usize) {
        let _ = self.socket_mut().recv(|octets| (len.min(octets.len()), ()));
    }

    /// Sends all of `octets`, or none.
    pub(crate) fn send_whole(&mut self, octets: &[u8]) -> bool {
        self.room() >= octets.len() && self.socket_mut().send_slice(octets) == Ok(octets.len())
    }

    /// Lets smoltcp's timeout run while an answer is owed, and only then: it
    /// counts from the last segment that came in, and would end a connection
    /// that is merely idle. A FIN without octets has no other deadline than its
    /// connection's.
    pub(crate) fn be_patient(&mut self) {
        let socket = self.set.get_mut::<Socket<'_>>(self.handle);
        let opening = matches!(socket.state(), State::SynSent | State::SynReceived);
        let timeout = (opening || socket.send_queue() > 0).then_some(self.timeout);
        socket.set_timeout(timeout);
    }

    /// Something has come in. In `Closed` it would be too late to tell an
    /// orderly end from a RST.
    pub(crate) fn look(&mut self, now: Instant) {
        if self.state() == State::TimeWait {
            self.time_wait_since.get_or_insert(now);
        }
        self.heard_fin |=
            matches!(self.state(), State::CloseWait | State::LastAck | State::Closing | State::TimeWait);
    }

    /// Whether smoltcp, were it to send now, might end TIME-WAIT: that clears
    /// what the application has not read.
    pub(crate) fn would_forget(&self, now: Instant) -> bool {
        let expires = self.time_wait_since.is_some_and(|since| now >= since + TIME_WAIT_SAFE);
        expires && self.state() == State::TimeWait && self.readable() > 0
    }

    /// Whether the peer has reset the connection, or TCP gave it up.
    pub(crate) fn is_reset(&self) -> bool {
        // After an orderly end there is at least TIME-WAIT, or a FIN of both.
        self.state() == State::Closed && !(self.closed_here && self.heard_fin)
    }

    /// Whether smoltcp has nothing to send any more: a RST leaves late.
    pub(crate) fn is_quiet(&self) -> bool {
        self.is_forgotten || self.socket().remote_endpoint().is_none() || self.state() == State::TimeWait
    }

    pub(crate) fn close(&mut self) {
        self.closed_here = true;
        self.socket_mut().close();
    }

    /// Aborts; what has been aborted before, and still waits for the address of
    /// its neighbour, is forgotten.
    pub(crate) fn abort_or_forget(&mut self) {
        if self.state() == State::Closed {
            self.is_forgotten = true;
        } else {
            self.abort();
        }
    }

    pub(crate) fn abort(&mut self) {
        self.closed_here = true;
        self.socket_mut().abort();
    }
}
