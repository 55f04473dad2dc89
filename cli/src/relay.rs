//! Octets between stream sockets of this host and connections of the stack, any
//! number of pairs at once.
//!
//! A pair has no buffer of its own: what the local socket has goes straight into
//! the send ring, what the connection has goes out of the RMB by way of one
//! buffer that all pairs share, and what one side does not take stays in the other
//! side's kernel or ring, so that its sender waits. Ends of stream and resets pass
//! both ways. Only pairs for which something has become ready are looked at.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown, sockopt};
use smolsmc::{ConnectionError, RecvError, SendError, Socket, SocketHandle, Stack, Transport};

use crate::node::{Nic, sentence};

/// Octets moved by one system call at most.
const CHUNK: usize = 64 * 1024;

/// Octets one pair moves in each direction before another one's turn.
const TURN: usize = 256 * 1024;

/// Events fetched from the kernel at once.
const EVENTS: usize = 256;

/// Pairs.
pub(crate) struct Relays {
    epoll: OwnedFd,
    pairs: BTreeMap<u64, Pair>,
    next: u64,
    /// Pairs for which something may have become ready.
    ready: VecDeque<u64>,
    alarms: Arc<Alarms>,
    events: Vec<epoll::Event>,
    scratch: Box<[u8]>,
    /// Pairs end when the peer has closed for good, even if the local end has not:
    /// somebody at a terminal does not wait for who is gone.
    pub(crate) end_with_peer: bool,
}

/// Pairs that the stack has woken.
#[derive(Default)]
struct Alarms(Mutex<Vec<u64>>);

struct Alarm {
    pair: u64,
    alarms: Arc<Alarms>,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.alarms.0.lock().unwrap_or_else(PoisonError::into_inner).push(self.pair);
    }
}

/// A local socket and a connection.
struct Pair {
    socket: SocketHandle,
    /// For people.
    name: String,
    local: OwnedFd,
    waker: Waker,
    /// The local socket is still being connected.
    connecting: bool,
    /// As far as is known.
    readable: bool,
    writable: bool,
    /// The kernel has told of an error.
    failed: bool,
    /// The local end said that it sends no more, and so did we to the peer.
    sent_all: bool,
    /// The other way round.
    received_all: bool,
    /// It ends when the peer has closed for good, whatever the local end may yet
    /// want to send.
    ends_with_peer: bool,
    transport: Option<Transport>,
    counts: Counts,
    is_queued: bool,
}

/// Octets that a pair has moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

/// Something about a pair.
pub(crate) enum News {
    /// It is known what carries it; again if that changes.
    Open { name: String, transport: Transport },
    /// It is over.
    End { name: String, transport: Option<Transport>, counts: Counts, why: Result<(), Broken> },
}

/// Why a pair ended otherwise than by both sides' wish.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The local socket.
    Local(io::Error),
    /// What the local socket's octets come from cannot be read.
    Input(io::Error),
    /// The connection.
    Remote(ConnectionError),
    /// The peer closed while there was still something to be sent.
    PeerClosed,
    /// The connection is not there any more.
    Gone,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(error) => write!(f, "the local end: {error}"),
            Self::Input(error) => write!(f, "what was to be sent cannot be read: {error}"),
            Self::Remote(error) => f.write_str(&sentence(*error)),
            Self::PeerClosed => f.write_str("the peer closed before all was sent"),
            Self::Gone => f.write_str("the connection is gone"),
        }
    }
}

/// Tells descriptors of pairs from those of others in the same epoll set.
const OTHERS: u64 = 1 << 63;

impl Relays {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            pairs: BTreeMap::new(),
            next: 0,
            ready: VecDeque::new(),
            alarms: Arc::default(),
            events: Vec::with_capacity(EVENTS),
            scratch: vec![0; CHUNK].into(),
            end_with_peer: false,
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Readable while something happens at a local socket, or at a watched
    /// descriptor.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// Watches something else for being readable; [`Relays::step`] then says its
    /// number.
    pub(crate) fn watch(&self, fd: impl AsFd, number: u64) -> io::Result<()> {
        let data = epoll::EventData::new_u64(OTHERS | number);
        Ok(epoll::add(&self.epoll, fd, data, epoll::EventFlags::IN)?)
    }

    /// Watches it no more.
    pub(crate) fn unwatch(&self, fd: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, fd)?)
    }

    /// Ties a local stream socket to a connection.
    pub(crate) fn tie(
        &mut self,
        local: OwnedFd,
        socket: SocketHandle,
        name: String,
        connecting: bool,
    ) -> io::Result<()> {
        use epoll::EventFlags as Flags;
        let pair = self.next;
        let flags = Flags::IN | Flags::OUT | Flags::RDHUP | Flags::ET;
        epoll::add(&self.epoll, &local, epoll::EventData::new_u64(pair), flags)?;
        self.next += 1;
        let waker = Waker::from(Arc::new(Alarm { pair, alarms: Arc::clone(&self.alarms) }));
        let fresh = Pair {
            socket,
            name,
            local,
            waker,
            connecting,
            readable: !connecting,
            writable: !connecting,
            failed: false,
            sent_all: false,
            received_all: false,
            ends_with_peer: self.end_with_peer,
            transport: None,
            counts: Counts::default(),
            is_queued: true,
        };
        self.pairs.insert(pair, fresh);
        self.ready.push_back(pair);
        Ok(())
    }

    /// Moves what can be moved. Whether anything was; `tell` hears what became of
    /// pairs, `other` of watched descriptors.
    pub(crate) fn step(
        &mut self,
        stack: &mut Stack<Nic>,
        mut tell: impl FnMut(News),
        mut other: impl FnMut(u64),
    ) -> io::Result<bool> {
        self.fetch(&mut other)?;
        let due = self.ready.len();
        for _ in 0..due {
            let Some(number) = self.ready.pop_front() else { break };
            let Some(pair) = self.pairs.get_mut(&number) else { continue };
            pair.is_queued = false;
            let before = pair.transport;
            let result = pair.serve(stack, &mut self.scratch);
            if let Some(transport) = pair.transport.filter(|now| before != Some(*now)) {
                tell(News::Open { name: pair.name.clone(), transport });
            }
            let why = match result {
                Ok(Step::Waits) => continue,
                Ok(Step::More) => {
                    pair.is_queued = true;
                    self.ready.push_back(number);
                    continue;
                }
                Ok(Step::Done) => Ok(()),
                Err(broken) => Err(broken),
            };
            let Some(mut pair) = self.pairs.remove(&number) else { continue };
            let (transport, counts) = (pair.transport, pair.counts);
            let name = std::mem::take(&mut pair.name);
            pair.end(stack, why.is_err());
            tell(News::End { name, transport, counts, why });
        }
        Ok(due > 0)
    }

    /// Resets all pairs: nobody is to take an interruption for the end.
    pub(crate) fn reset_all(&mut self, stack: &mut Stack<Nic>) {
        for pair in std::mem::take(&mut self.pairs).into_values() {
            pair.end(stack, true);
        }
    }

    /// Asks the kernel and the stack what has become ready.
    fn fetch(&mut self, other: &mut impl FnMut(u64)) -> io::Result<()> {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        self.events.clear();
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), Some(&at_once)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &self.events {
            use epoll::EventFlags as Flags;
            let (number, flags) = (event.data.u64(), event.flags);
            if number & OTHERS != 0 {
                other(number & !OTHERS);
                continue;
            }
            let Some(pair) = self.pairs.get_mut(&number) else { continue };
            let ended = flags.intersects(Flags::ERR | Flags::HUP);
            pair.readable |= ended || flags.intersects(Flags::IN | Flags::RDHUP);
            pair.writable |= ended || flags.contains(Flags::OUT);
            pair.failed |= flags.contains(Flags::ERR);
            pair.queue(number, &mut self.ready);
        }
        let mut woken = self.alarms.0.lock().unwrap_or_else(PoisonError::into_inner);
        for number in woken.drain(..) {
            if let Some(pair) = self.pairs.get_mut(&number) {
                pair.queue(number, &mut self.ready);
            }
        }
        Ok(())
    }
}

/// What serving a pair came to.
enum Step {
    /// It waits for one of its sides.
    Waits,
    /// There is more, after the others.
    More,
    /// Both sides have said that they send no more, and all has been passed on.
    Done,
}

/// What moving octets in one direction came to.
#[derive(PartialEq, Eq)]
enum Way {
    Waits,
    More,
}

impl Pair {
    fn queue(&mut self, number: u64, ready: &mut VecDeque<u64>) {
        if !std::mem::replace(&mut self.is_queued, true) {
            ready.push_back(number);
        }
    }

    fn serve(&mut self, stack: &mut Stack<Nic>, scratch: &mut [u8]) -> Result<Step, Broken> {
        let mut socket = stack.socket(self.socket).map_err(|_| Broken::Gone)?;
        // It may go back to TCP by a Decline that comes late.
        self.transport = socket.transport().or(self.transport);
        if self.failed {
            self.failed = false;
            if let Err(error) = sockopt::socket_error(&self.local).unwrap_or(Ok(())) {
                return Err(Broken::Local(error.into()));
            }
        }
        if self.connecting {
            if !self.writable {
                return Ok(Step::Waits);
            }
            self.connecting = false;
            self.readable = true;
        }
        let inward = self.inward(&mut socket, scratch)?;
        let outward = self.outward(&mut socket)?;
        Ok(match (inward, outward) {
            _ if self.sent_all && self.received_all => Step::Done,
            (Way::Waits, Way::Waits) => Step::Waits,
            _ => Step::More,
        })
    }

    /// From the local socket to the peer.
    fn outward(&mut self, socket: &mut Socket<'_, Nic>) -> Result<Way, Broken> {
        let mut moved = 0;
        while !self.sent_all && self.readable {
            if moved >= TURN {
                return Ok(Way::More);
            }
            let room = match socket.reserve(CHUNK) {
                Ok(room) => room,
                Err(SendError::WouldBlock) => {
                    socket.register_send_waker(&self.waker);
                    break;
                }
                Err(SendError::Over(error)) => return Err(Broken::Remote(error)),
                Err(SendError::PeerClosed) => return self.unheard(socket),
                Err(_) => return Err(Broken::PeerClosed),
            };
            match recv(&self.local, room, RecvFlags::DONTWAIT) {
                Ok((0, _)) => {
                    self.sent_all = true;
                    socket.shutdown();
                }
                Ok((len, _)) => {
                    socket.commit(len).map_err(|_| Broken::PeerClosed)?;
                    self.counts.sent += len as u64;
                    moved += len;
                }
                Err(Errno::AGAIN) => self.readable = false,
                Err(Errno::INTR) => {}
                Err(error) => return Err(Broken::Local(error.into())),
            }
        }
        Ok(Way::Waits)
    }

    /// The peer has closed for good. An end of the local stream is as good as
    /// ever; octets are too late, as after a TCP peer's close, but what the peer
    /// sent before goes first.
    fn unheard(&mut self, socket: &mut Socket<'_, Nic>) -> Result<Way, Broken> {
        if !self.received_all {
            return Ok(Way::Waits);
        }
        let mut octet = [0];
        match recv(&self.local, &mut octet[..], RecvFlags::DONTWAIT | RecvFlags::PEEK) {
            Ok((0, _)) => {
                self.sent_all = true;
                socket.shutdown();
                Ok(Way::Waits)
            }
            Ok(_) => Err(Broken::PeerClosed),
            Err(Errno::AGAIN | Errno::INTR) => {
                self.readable = false;
                self.sent_all = self.ends_with_peer;
                Ok(Way::Waits)
            }
            Err(error) => Err(Broken::Local(error.into())),
        }
    }

    /// From the peer to the local socket.
    fn inward(&mut self, socket: &mut Socket<'_, Nic>, scratch: &mut [u8]) -> Result<Way, Broken> {
        let mut moved = 0;
        while !self.received_all && self.writable {
            if moved >= TURN {
                return Ok(Way::More);
            }
            let len = match socket.peek(scratch) {
                Ok(0) => {
                    // An abort ends the stream as well, and must not be passed on as
                    // its orderly end.
                    if let Some(error) = socket.error() {
                        return Err(Broken::Remote(error));
                    }
                    self.received_all = true;
                    // A local end that is gone altogether is noticed by reading.
                    let _ = shutdown(&self.local, Shutdown::Write);
                    break;
                }
                Ok(len) => len,
                Err(RecvError::WouldBlock) => {
                    socket.register_recv_waker(&self.waker);
                    break;
                }
                Err(RecvError::Over(error)) => return Err(Broken::Remote(error)),
                Err(_) => return Err(Broken::Gone),
            };
            let octets = scratch.get(..len).unwrap_or_default();
            match send(&self.local, octets, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(taken) => {
                    let taken = socket.consume(taken);
                    self.counts.received += taken as u64;
                    moved += taken;
                }
                Err(Errno::AGAIN) => self.writable = false,
                Err(Errno::INTR) => {}
                Err(error) => return Err(Broken::Local(error.into())),
            }
        }
        Ok(Way::Waits)
    }

    /// Lets both sides go. A broken pair resets both.
    #[expect(clippy::disallowed_types, reason = "an operating system's timer")]
    fn end(self, stack: &mut Stack<Nic>, broken: bool) {
        if broken {
            // Without it the local end would take this for an orderly end.
            let _ = sockopt::set_socket_linger(&self.local, Some(std::time::Duration::ZERO));
        }
        if let Ok(socket) = stack.socket(self.socket) {
            if broken { socket.abort() } else { socket.close() }
        }
    }
}
