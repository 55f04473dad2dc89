//! The TCP end of one connection: smoltcp's socket, alone in its set, so that a
//! poll costs the same however many other connections there are. The set goes from
//! one connection to the next as it is: to move the socket costs more.

use alloc::vec::Vec;
use core::net::SocketAddr;

use smolsmc_wire::{Duration, Instant};

use crate::quiet::Quiet;
use crate::time_wait::LastWords;
use smoltcp::iface::{Context, SocketSet};
use smoltcp::socket::AnySocket;
use smoltcp::socket::tcp::{Socket, State};
use smoltcp::wire::{IpEndpoint, IpListenEndpoint};

/// Within this, smoltcp does not end TIME-WAIT, and has sent its last ACK.
const TIME_WAIT_SAFE: Duration = Duration::from_secs(5);

/// smoltcp 0.14 probes a window that is shut at most 60 s apart.
const TWO_PROBES: smoltcp::time::Duration = smoltcp::time::Duration::from_secs(130);

pub(crate) struct Tcp {
    /// Empty once it is quiet.
    pub(crate) set: SocketSet<'static>,
    /// How long an acknowledgement may stay out.
    timeout: smoltcp::time::Duration,
    /// The end is our own doing.
    closed_here: bool,
    /// The peer has sent FIN: nothing of its stream is missing.
    heard_fin: bool,
    time_wait_since: Option<Instant>,
    /// What is still to be sent need not be.
    is_forgotten: bool,
    /// What was last sent: the number after it, and the one acknowledged.
    pub(crate) seen: Option<Seen>,
    /// The connection goes over SMC-R: the socket is gone, and this is left.
    pub(crate) quiet: Option<Quiet>,
}

/// Numbers of the last segment that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) next: u32,
    pub(crate) expected: u32,
}

impl Tcp {
    /// Of a set with a socket that is closed and has no options.
    pub(crate) fn new(mut set: SocketSet<'static>, timeout: Duration) -> Self {
        let timeout = smoltcp::time::Duration::from_micros(timeout.micros());
        if let Some(socket) = socket_of(&mut set) {
            // CLC is question and answer: neither side may wait for more to say.
            socket.set_nagle_enabled(false);
            socket.set_ack_delay(None);
            socket.set_timeout(Some(timeout));
        }
        Self {
            set,
            timeout,
            closed_here: false,
            heard_fin: false,
            time_wait_since: None,
            is_forgotten: false,
            seen: None,
            quiet: None,
        }
    }

    /// `None` once it is quiet.
    #[inline]
    fn socket(&self) -> Option<&Socket<'static>> {
        let (_, socket) = self.set.iter().next()?;
        Socket::downcast(socket)
    }

    #[inline]
    fn socket_mut(&mut self) -> Option<&mut Socket<'static>> {
        socket_of(&mut self.set)
    }

    /// Lets the buffers go if nothing is in them, and nothing unacknowledged:
    /// from now on octets go another way. They are returned, with their socket.
    pub(crate) fn become_quiet(&mut self) -> Option<SocketSet<'static>> {
        let socket = self.socket()?;
        let idle =
            socket.state() == State::Established && socket.send_queue() == 0 && socket.recv_queue() == 0;
        let seen = self.seen.filter(|_| idle)?;
        self.quiet = Some(Quiet::new(seen.next, seen.expected));
        Some(self.take_set())
    }

    /// Takes the socket, with its buffers. One that was forgotten is not for another
    /// connection: its set may wait for a neighbour that never answers.
    pub(crate) fn take_set(&mut self) -> SocketSet<'static> {
        let set = core::mem::replace(&mut self.set, SocketSet::new(Vec::new()));
        if self.is_forgotten { SocketSet::new(Vec::new()) } else { set }
    }

    pub(crate) fn connect(&mut self, context: &mut Context, local: SocketAddr, remote: SocketAddr) -> bool {
        let local = IpListenEndpoint::from(IpEndpoint::from(local));
        self.socket_mut()
            .is_some_and(|socket| socket.connect(context, IpEndpoint::from(remote), local).is_ok())
    }

    pub(crate) fn listen(&mut self, local: SocketAddr) -> bool {
        self.socket_mut().is_some_and(|socket| socket.listen(IpEndpoint::from(local)).is_ok())
    }

    /// Of the socket.
    pub(crate) fn state(&self) -> State {
        self.socket().map_or(State::Closed, Socket::state)
    }

    /// Both SYNs are acknowledged.
    pub(crate) fn is_established(&self) -> bool {
        !matches!(self.state(), State::Closed | State::Listen | State::SynSent | State::SynReceived)
    }

    /// To be called before it is polled. smoltcp 0.14 gives up on whoever was
    /// silent for the timeout, even if nothing is waited for: it may have one
    /// only in the handshake and while octets are unacknowledged; and then one
    /// in which a window that is shut was probed more than once; or while it is
    /// asked whether it is there.
    pub(crate) fn mind_timeout(&mut self) {
        let (is_established, usual) = (self.is_established(), self.timeout);
        let Some(socket) = self.socket_mut() else { return };
        let timeout = match socket.send_queue() {
            _ if !is_established => Some(usual),
            0 => socket.keep_alive().map(|interval| interval * 3),
            _ => Some(usual.max(TWO_PROBES)),
        };
        socket.set_timeout(timeout);
    }

    /// Only the FIN is not acknowledged.
    pub(crate) fn waits_for_fin(&self) -> bool {
        let waits = |state| matches!(state, State::FinWait1 | State::Closing | State::LastAck);
        self.socket().is_some_and(|socket| waits(socket.state()) && socket.send_queue() == 0)
    }

    /// Has the FIN sent again now. smoltcp 0.14 stops its retransmission timer when a
    /// third equal ACK comes, and then has no octets to send again: a keep-alive that
    /// is due makes it look, and it finds the FIN.
    pub(crate) fn remind_of_fin(&mut self) {
        let Some(socket) = self.socket_mut() else { return };
        socket.set_keep_alive(Some(TWO_PROBES));
        socket.set_keep_alive(None);
    }

    /// Nothing will be sent or received any more; TIME-WAIT has nothing to say
    /// either.
    pub(crate) fn is_over(&self) -> bool {
        match &self.quiet {
            Some(quiet) => quiet.is_over(),
            None => matches!(self.state(), State::Closed | State::TimeWait),
        }
    }

    /// The numbers to wait with, in TIME-WAIT.
    pub(crate) fn time_wait(&self) -> Option<LastWords> {
        match &self.quiet {
            Some(quiet) => quiet.time_wait(),
            None => self
                .seen
                .filter(|_| self.state() == State::TimeWait)
                .map(|Seen { next, expected }| LastWords { next, expected }),
        }
    }

    /// Whether the numbers of what is sent will be wanted.
    pub(crate) const fn is_closing(&self) -> bool {
        self.closed_here
    }

    /// The peer has sent FIN, or everything is over: no more octets than those
    /// that can be read.
    pub(crate) fn is_at_end(&self) -> bool {
        match &self.quiet {
            Some(quiet) => quiet.is_at_end(),
            None => !self.socket().is_some_and(Socket::may_recv),
        }
    }

    pub(crate) fn may_send(&self) -> bool {
        self.socket().is_some_and(Socket::may_send)
    }

    pub(crate) fn room(&self) -> usize {
        let room = |socket: &Socket<'_>| socket.send_capacity() - socket.send_queue();
        self.socket().filter(|socket| socket.may_send()).map_or(0, room)
    }

    pub(crate) fn unacknowledged(&self) -> usize {
        self.socket().map_or(0, Socket::send_queue)
    }

    pub(crate) fn readable(&self) -> usize {
        self.socket().map_or(0, Socket::recv_queue)
    }

    /// The first `len` octets that wait, if they are there and in one piece, as
    /// those at the start of the stream are.
    pub(crate) fn peek(&mut self, len: usize) -> Option<&[u8]> {
        let octets = self.socket_mut()?.peek(len).ok()?;
        (octets.len() == len).then_some(octets)
    }

    /// Drops `len` octets that were peeked at.
    pub(crate) fn skip(&mut self, len: usize) {
        let _ = self.socket_mut().map(|socket| socket.recv(|octets| (len.min(octets.len()), ())));
    }

    /// What can be read, as far as it lies in one piece.
    pub(crate) fn readable_piece(&mut self) -> &[u8] {
        self.socket_mut().and_then(|socket| socket.peek(usize::MAX).ok()).unwrap_or_default()
    }

    /// Room in the send buffer, as far as it lies in one piece; nothing is sent
    /// before [`Tcp::commit`]. `None` after FIN or RST.
    pub(crate) fn lend(&mut self) -> Option<&mut [u8]> {
        self.socket_mut()?.send(|room| (0, room)).ok()
    }

    /// Sends the first `n` octets of what was lent.
    pub(crate) fn commit(&mut self, n: usize) {
        // The same room is offered again, with what was put there.
        let _ = self.socket_mut().map(|socket| socket.send(|room| (n.min(room.len()), ())));
    }

    /// Sends all of `octets`, or none.
    pub(crate) fn send_whole(&mut self, octets: &[u8]) -> bool {
        self.room() >= octets.len()
            && self.socket_mut().is_some_and(|socket| socket.send_slice(octets) == Ok(octets.len()))
    }

    /// Copies what can be read, without taking it.
    pub(crate) fn peek_slice(&mut self, out: &mut [u8]) -> usize {
        self.socket_mut().and_then(|socket| socket.peek_slice(out).ok()).unwrap_or(0)
    }

    /// Takes what can be read.
    pub(crate) fn recv_slice(&mut self, out: &mut [u8]) -> usize {
        self.socket_mut().and_then(|socket| socket.recv_slice(out).ok()).unwrap_or(0)
    }

    /// Sends as many of `octets` as there is room for; `None` after FIN or RST.
    pub(crate) fn send_slice(&mut self, octets: &[u8]) -> Option<usize> {
        self.socket_mut()?.send_slice(octets).ok()
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
        self.is_forgotten
            || match &self.quiet {
                Some(quiet) => quiet.is_silent(),
                None => {
                    self.socket().is_none_or(|socket| socket.remote_endpoint().is_none())
                        || self.state() == State::TimeWait
                }
            }
    }

    pub(crate) fn set_keep_alive(&mut self, interval: Option<Duration>) {
        let interval = interval.map(|interval| smoltcp::time::Duration::from_micros(interval.micros()));
        if let Some(socket) = self.socket_mut() {
            socket.set_keep_alive(interval);
        }
    }

    pub(crate) fn set_nagle(&mut self, nagle: bool) {
        if let Some(socket) = self.socket_mut() {
            socket.set_nagle_enabled(nagle);
        }
    }

    pub(crate) fn close(&mut self) {
        self.closed_here = true;
        match (&mut self.quiet, socket_of(&mut self.set)) {
            (Some(quiet), _) => quiet.close(),
            (None, Some(socket)) => socket.close(),
            (None, None) => {}
        }
    }

    /// Aborts; what has been aborted before, and still waits for the address of
    /// its neighbour, is forgotten.
    pub(crate) fn abort_or_forget(&mut self) {
        let aborted = self.quiet.map_or(self.state() == State::Closed, |quiet| quiet.is_over());
        if aborted {
            self.is_forgotten = true;
        } else {
            self.abort();
        }
    }

    /// Aborts. Whose SYN nobody has answered yet is not told (RFC 9293 §3.10.5), or a
    /// neighbour that does not exist would be waited for.
    pub(crate) fn abort(&mut self) {
        self.closed_here = true;
        self.is_forgotten |= self.quiet.is_none() && self.state() == State::SynSent;
        match (&mut self.quiet, socket_of(&mut self.set)) {
            (Some(quiet), _) => quiet.abort(),
            (None, Some(socket)) => socket.abort(),
            (None, None) => {}
        }
    }
}

/// The one socket of a set.
#[inline]
pub(crate) fn socket_of<'s>(set: &'s mut SocketSet<'static>) -> Option<&'s mut Socket<'static>> {
    let (_, socket) = set.iter_mut().next()?;
    Socket::downcast_mut(socket)
}
