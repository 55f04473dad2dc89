//! A wire: the control memory of both sides, their data memory, and the socket
//! over which all of it was passed.
//!
//! ```text
//!   our control memory    we write, the peer can only read: our rings, tables, words
//!   the peer's            the other way round
//!   our data memory       receives and RMBs lie here; the peer writes RDMA WRITEs into it
//!   the peer's            we write ours there
//!   socket                says when the peer is gone, and nothing else
//!   two pipes each        an octet in one wakes who sleeps: for the NIC, for the Ethernet device
//! ```

use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use smolsmc_wire::{Duration, Gid};

use crate::bells::{Bell, Rope};
use crate::clock;
use crate::config::PortConfig;
use crate::error::{OpenError, WireFault};
use crate::greeting::{self, DESCRIPTORS, Greeting};
use crate::layout::{self, Layout};
use crate::map::Map;
use crate::sync::Word;
use crate::sync::bell;
use crate::sync::ring::{self, SLOT_LEN, Slots};

/// One side's end of a wire, shared by its NIC and its Ethernet device.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) own: Map,
    pub(crate) own_layout: Layout,
    pub(crate) peer: Map,
    pub(crate) peer_layout: Layout,
    /// What the peer's registrations lie in.
    pub(crate) peer_data: Map,
    pub(crate) peer_gids: Vec<Gid>,
    socket: OwnedFd,
    /// Rung by the peer, for our NIC and for our Ethernet device.
    bell: Bell,
    frame_bell: Bell,
    /// What the peer's hear us by.
    ropes: Ropes,
    /// 0, or a [`WireFault`] and one.
    fault: AtomicU8,
}

/// A wire's end that has said its greeting and waits for the peer's.
#[derive(Debug)]
pub(crate) struct Pending {
    socket: OwnedFd,
    own: Map,
    own_layout: Layout,
    ropes: Ropes,
}

/// For the peer's NIC, and for its Ethernet device.
#[derive(Debug)]
struct Ropes {
    nic: Rope,
    frames: Rope,
}

impl Pending {
    /// Makes control memory and greets the peer.
    pub(crate) fn greet(
        socket: OwnedFd,
        data: (&OwnedFd, u64),
        layout: Layout,
        port: &PortConfig,
    ) -> Result<Self, OpenError> {
        let (own, control) = Map::create("smolsmc-control", layout.len(), false)?;
        for (at, count) in [(layout.messages(), layout.message_slots), (layout.frames(), layout.frame_slots)]
        {
            ring::prepare(&RingIn { map: &own, at, count });
        }
        let ropes = Ropes { nic: Rope::new()?, frames: Rope::new()? };
        let octets = Greeting::new(layout, data.1, port).emit();
        let files = [control.as_fd(), data.0.as_fd(), ropes.nic.lent(), ropes.frames.lent()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&files));
        let sent = rustix::net::sendmsg(
            &socket,
            &[IoSlice::new(&octets)],
            &mut ancillary,
            SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
        );
        match sent {
            Ok(len) if len == octets.len() => Ok(Self { socket, own, own_layout: layout, ropes }),
            // A fresh socket has room for so little; this one is no fresh one.
            Ok(_) | Err(Errno::AGAIN) => Err(OpenError::Greeting("the socket is full")),
            Err(Errno::PIPE | Errno::CONNRESET) => Err(OpenError::Closed),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Hears the peer's greeting, and maps its memory.
    pub(crate) fn complete(self, timeout: Duration) -> Result<Wire, OpenError> {
        let (octets, files) = hear(&self.socket, timeout)?;
        let greeting = Greeting::parse(&octets)?;
        let [control, data, bell, frame_bell] = files;
        let Greeting { layout: peer_layout, data_len, gids, .. } = greeting;
        let peer = Map::of_peer(&control, peer_layout.len() as u64, false)?;
        let peer_data = Map::of_peer(&data, data_len, true)?;
        let (bell, frame_bell) = (Bell::of_peer(&bell)?, Bell::of_peer(&frame_bell)?);
        let Self { socket, own, own_layout, ropes } = self;
        own.word(layout::PORT).store(layout::port::ACTIVE, Ordering::Release);
        Ok(Wire {
            own,
            own_layout,
            peer,
            peer_layout,
            peer_data,
            peer_gids: gids,
            socket,
            bell,
            frame_bell,
            ropes,
            fault: AtomicU8::new(0),
        })
    }
}

/// Receives a greeting and the descriptors that come with it.
fn hear(
    socket: &OwnedFd,
    timeout: Duration,
) -> Result<([u8; greeting::LEN], [OwnedFd; DESCRIPTORS]), OpenError> {
    let deadline = clock::now() + timeout;
    let mut octets = [0; greeting::LEN];
    let mut files = Vec::new();
    let mut len = 0;
    while len < octets.len() {
        await_input(socket, deadline.since(clock::now()))?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let into = octets.get_mut(len..).unwrap_or_default();
        let got = match rustix::net::recvmsg(socket, &mut [IoSliceMut::new(into)], &mut ancillary, flags) {
            Ok(received) => received.bytes,
            Err(Errno::AGAIN | Errno::INTR) => continue,
            Err(Errno::CONNRESET) => 0,
            Err(errno) => return Err(errno.into()),
        };
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                files.extend(received);
            }
        }
        if got == 0 {
            return Err(OpenError::Closed);
        }
        // At most `DESCRIPTORS` with each piece: the sum stays small.
        if files.len() > DESCRIPTORS {
            return Err(OpenError::Greeting("too many descriptors"));
        }
        len += got;
    }
    let files = files.try_into().map_err(|_| OpenError::Greeting("descriptors are missing"))?;
    Ok((octets, files))
}

fn await_input(socket: &OwnedFd, timeout: Duration) -> Result<(), OpenError> {
    let mut fds = [PollFd::new(socket, PollFlags::IN)];
    match poll(&mut fds, Some(&timespec(timeout))) {
        Ok(0) => Err(OpenError::TimedOut),
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

fn timespec(duration: Duration) -> Timespec {
    let micros = duration.micros();
    let tv_sec = i64::try_from(micros / 1_000_000).unwrap_or(i64::MAX);
    Timespec { tv_sec, tv_nsec: (micros % 1_000_000 * 1000) as _ }
}

impl Wire {
    // ---- the peer's presence ----

    /// Why the wire is gone, if it is.
    #[inline]
    pub(crate) fn fault(&self) -> Option<WireFault> {
        match self.fault.load(Ordering::Relaxed) {
            0 => None,
            1 => Some(WireFault::PeerGone),
            2 => Some(WireFault::RingIndex),
            3 => Some(WireFault::Message),
            _ => Some(WireFault::StuckInside),
        }
    }

    /// The wire is gone, for this reason; the first one stays. The peer sees
    /// the port go.
    #[cold]
    pub(crate) fn condemn(&self, fault: WireFault) {
        let code = match fault {
            WireFault::PeerGone => 1,
            WireFault::RingIndex => 2,
            WireFault::Message => 3,
            WireFault::StuckInside => 4,
        };
        let _ = self.fault.compare_exchange(0, code, Ordering::Relaxed, Ordering::Relaxed);
        self.own.word(layout::PORT).store(layout::port::GONE, Ordering::Release);
    }

    /// Asks the system whether the peer still has its end of the socket, and
    /// the peer's memory whether it says so. A system call.
    pub(crate) fn look_for_peer(&self) {
        match rustix::net::recv(&self.socket, &mut [0; 1][..], RecvFlags::DONTWAIT) {
            Ok((_, 0)) | Err(Errno::CONNRESET) => self.condemn(WireFault::PeerGone),
            // Nothing is said there: who waits on it would be woken for ever.
            Ok(_) => self.condemn(WireFault::Message),
            Err(_) => {}
        }
        if self.peer.word(layout::PORT).load(Ordering::Relaxed) == layout::port::GONE {
            self.condemn(WireFault::PeerGone);
        }
    }

    /// Whether both ends carry traffic.
    #[inline]
    pub(crate) fn is_up(&self) -> bool {
        self.peer_port() == layout::port::ACTIVE
            && self.own.word(layout::PORT).load(Ordering::Relaxed) == layout::port::ACTIVE
    }

    /// A word of the peer's control memory, whatever it holds now; what the peer
    /// wrote before it is seen from here on.
    #[inline]
    pub(crate) fn hear(&self, at: usize) -> u32 {
        let word = Word::load(self.peer.word(at));
        AtomicU32::acquire();
        word
    }

    /// Two words of the peer's control memory as one.
    #[inline]
    pub(crate) fn hear_long(&self, at: usize) -> u64 {
        self.peer.long(at).load(Ordering::Relaxed)
    }

    /// What the peer says of its port.
    #[inline]
    pub(crate) fn peer_port(&self) -> u32 {
        self.peer.word(layout::PORT).load(Ordering::Relaxed)
    }

    // ---- waking ----

    /// What would wake the owner of the peer's NIC, now that reasons were published.
    #[inline]
    pub(crate) fn wishes(&self) -> u32 {
        bell::wishes(self.peer.word(layout::WISHES))
    }

    /// Wakes the owner of the peer's NIC.
    #[cold]
    pub(crate) fn ring_nic(&self) {
        self.ropes.nic.ring();
    }

    /// Wakes the owner of the peer's Ethernet device if it sleeps.
    pub(crate) fn ring_for_frames(&self) {
        if bell::wishes(self.peer.word(layout::FRAME_WISHES)) & bell::wish::MESSAGE != 0 {
            self.ropes.frames.ring();
        }
    }

    /// Readable when the peer is gone.
    pub(crate) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Where the owner of the NIC waits.
    pub(crate) fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// Where the owner of the Ethernet device waits.
    pub(crate) fn frame_bell(&self) -> BorrowedFd<'_> {
        self.frame_bell.as_fd()
    }

    /// Takes what was rung for the NIC.
    pub(crate) fn silence_bell(&self) {
        self.silence(&self.bell);
    }

    /// Takes what was rung for the Ethernet device.
    pub(crate) fn silence_frame_bell(&self) {
        self.silence(&self.frame_bell);
    }

    fn silence(&self, bell: &Bell) {
        if !bell.silence() {
            self.condemn(WireFault::PeerGone);
        }
    }
}

/// A ring's slots in mapped memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RingIn<'m> {
    map: &'m Map,
    at: usize,
    count: u32,
}

/// Which of a wire's four rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    MessagesOut,
    MessagesIn,
    FramesOut,
    FramesIn,
}

/// A ring of a wire, with what keeps its memory mapped.
#[derive(Clone, Debug)]
pub(crate) struct WireRing {
    wire: Arc<Wire>,
    is_own: bool,
    at: usize,
    count: u32,
}

impl WireRing {
    pub(crate) fn new(wire: &Arc<Wire>, which: Which) -> Self {
        let is_own = matches!(which, Which::MessagesOut | Which::FramesOut);
        let layout = if is_own { &wire.own_layout } else { &wire.peer_layout };
        let (at, count) = match which {
            Which::MessagesOut | Which::MessagesIn => (layout.messages(), layout.message_slots),
            Which::FramesOut | Which::FramesIn => (layout.frames(), layout.frame_slots),
        };
        Self { wire: wire.clone(), is_own, at, count }
    }

    #[inline]
    fn slots(&self) -> RingIn<'_> {
        let map = if self.is_own { &self.wire.own } else { &self.wire.peer };
        RingIn { map, at: self.at, count: self.count }
    }
}

impl Slots for RingIn<'_> {
    type Word = AtomicU32;

    fn count(&self) -> u32 {
        self.count
    }

    #[inline]
    fn word(&self, slot: u32, index: usize) -> &AtomicU32 {
        self.map.word(self.at + slot as usize * SLOT_LEN + index * 4)
    }

    #[inline]
    fn write(&self, slot: u32, at: usize, octets: &[u8]) {
        self.map.write(self.at + slot as usize * SLOT_LEN + at, octets);
    }

    #[inline]
    fn read(&self, slot: u32, at: usize, out: &mut [u8]) {
        self.map.read(self.at + slot as usize * SLOT_LEN + at, out);
    }
}

impl Slots for WireRing {
    type Word = AtomicU32;

    #[inline]
    fn count(&self) -> u32 {
        self.count
    }

    #[inline]
    fn word(&self, slot: u32, index: usize) -> &AtomicU32 {
        let map = if self.is_own { &self.wire.own } else { &self.wire.peer };
        map.word(self.at + slot as usize * SLOT_LEN + index * 4)
    }

    #[inline]
    fn write(&self, slot: u32, at: usize, octets: &[u8]) {
        self.slots().write(slot, at, octets);
    }

    #[inline]
    fn read(&self, slot: u32, at: usize, out: &mut [u8]) {
        self.slots().read(slot, at, out);
    }
}
