use smolsmc_wire::{AlertToken, SeqNo};

use crate::urgent::{UrgentIn, UrgentOut};
use crate::{CdcMessage, Cursor, ProducerFlags, StateFlags};

/// One connection's data, as far as this side knows: how far each side has
/// written and read, and what of that the peer has been told.
///
/// ```text
///   our send ring     completed <= written <= prepared        (prepared by the application)
///   peer's ring       peer_consumed <= written <= peer_consumed + peer ring
///   our ring          told <= consumed <= produced <= consumed + our ring
/// ```
///
/// Inside, places are octets since the start of the stream, which never wrap;
/// on the wire they are [`Cursor`]s. No memory is known here: who calls says
/// what was copied or posted, and is told how much may be.
#[derive(Clone, Debug)]
pub struct Flow {
    sizes: RingSizes,
    prepared: u64,
    written: u64,
    completed: u64,
    /// One past the last octet that never was in the send ring.
    passed: u64,
    /// Of the last message that was acknowledged.
    completed_seq: SeqNo,
    peer_consumed: u64,
    produced: u64,
    consumed: u64,
    told: u64,
    /// Of our last message.
    seq: SeqNo,
    /// Of the peer's last message, once there was one.
    heard: Option<SeqNo>,
    blocked: bool,
    peer_blocked: bool,
    update_requested: bool,
    urgent_out: UrgentOut,
    urgent_in: UrgentIn,
    peer_state: StateFlags,
}

/// The three rings of a connection, in octets; none is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingSizes {
    /// Our own RMBE, which the peer writes.
    pub own: u32,
    /// The peer's RMBE, which we write.
    pub peer: u32,
    /// What the application's octets wait in.
    pub send: u32,
}

/// Where a connection is in its rings, by the names `smcss` has for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursors {
    /// How far the peer has written our RMBE.
    pub rx_producer: Cursor,
    /// How far the peer says it has read its own.
    pub rx_consumer: Cursor,
    /// How far we have written the peer's RMBE.
    pub tx_producer: Cursor,
    /// How far we have read our own.
    pub tx_consumer: Cursor,
    /// How far the application has filled the send ring.
    pub tx_prepared: Cursor,
    /// How far it has been written to the peer.
    pub tx_sent: Cursor,
    /// How far the peer's NIC has acknowledged it.
    pub tx_finished: Cursor,
}

/// How far a connection was when a message was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    written: u64,
    seq: SeqNo,
}

/// What a message changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Octets that became readable.
    pub readable: u32,
    /// Octets of the peer's ring that became free.
    pub freed: u32,
    /// An urgent octet came: its offset in our ring. Unless they are inline, it
    /// may have been passed already, and must be fetched before the next message
    /// of ours.
    pub urgent: Option<u32>,
    /// State flags that were not set before.
    pub news: StateFlags,
    /// The message was older than one already heard, and was ignored.
    pub stale: bool,
}

/// A rule the peer broke; its message changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CdcViolation {
    /// A cursor's count is not below the ring's size.
    #[error("cursor {0} lies outside the ring")]
    OutsideRing(Cursor),
    /// The producer cursor is further than the peer knew space for.
    #[error("the peer wrote over octets that were not read")]
    Overrun,
    /// The consumer cursor is further than we have written.
    #[error("the peer read octets that were not written")]
    ReadTooFar,
    /// After a failover the peer lacks messages, and with them octets.
    #[error("messages were lost with the old link")]
    LostWithLink,
}

impl Flow {
    /// A connection on which nothing was said yet.
    #[must_use]
    pub const fn new(sizes: RingSizes) -> Self {
        Self::starting_at(sizes, 0, 0)
    }

    /// A connection in whose life `written` octets went out and `read` came in
    /// before: for tests, which start just before a wrap.
    #[must_use]
    pub const fn starting_at(sizes: RingSizes, written: u64, read: u64) -> Self {
        Self {
            sizes,
            prepared: written,
            written,
            completed: written,
            passed: written,
            completed_seq: SeqNo(0),
            peer_consumed: written,
            produced: read,
            consumed: read,
            told: read,
            seq: SeqNo(0),
            heard: None,
            blocked: false,
            peer_blocked: false,
            update_requested: false,
            urgent_out: UrgentOut::NONE,
            urgent_in: UrgentIn::NONE,
            peer_state: StateFlags::empty(),
        }
    }

    /// The rings.
    #[must_use]
    pub const fn sizes(&self) -> RingSizes {
        self.sizes
    }

    // ---- the application's side ----

    /// Octets the send ring has room for.
    #[inline]
    #[must_use]
    pub const fn room(&self) -> u32 {
        // At most the ring, so it fits.
        self.sizes.send - (self.prepared - self.completed) as u32
    }

    /// Offset in the send ring of the next octet to be prepared.
    #[inline]
    #[must_use]
    pub const fn prepare_offset(&self) -> u32 {
        (self.prepared % self.sizes.send as u64) as u32
    }

    /// `n` octets were put into the send ring; at most [`Flow::room`] count.
    #[inline]
    pub fn prepare(&mut self, n: u32) {
        self.prepared += u64::from(n.min(self.room()));
    }

    /// Octets that may be written past the send ring now: none while others wait in
    /// it, and no more than there is room and space for.
    #[inline]
    #[must_use]
    pub fn passable(&self) -> u32 {
        let is_next = self.waiting() == 0 && !self.is_held() && !self.is_urged();
        if is_next { self.room().min(self.space()) } else { 0 }
    }

    /// `n` octets are in the peer's memory, but not in the send ring; at most
    /// [`Flow::passable`] count. They take up its room all the same, and cannot be
    /// written again.
    #[inline]
    pub fn pass(&mut self, n: u32) {
        let n = n.min(self.passable());
        if n > 0 {
            self.prepare(n);
            self.write(n);
            self.passed = self.written;
        }
    }

    /// The last octet that was prepared is urgent. P goes out with the next
    /// message; the octet is the last one of its write, U goes with it, and
    /// nothing is written behind it before the peer has read it
    /// ([`Flow::is_held`]).
    pub fn urge(&mut self) {
        self.urgent_out.queue(self.prepared);
    }

    /// Octets of the stream that were prepared, over the connection's life.
    #[inline]
    #[must_use]
    pub const fn prepared(&self) -> u64 {
        self.prepared
    }

    /// Octets that can be read, in one read or several. An urgent octet that is
    /// out of band is none of them.
    #[inline]
    #[must_use]
    pub const fn readable(&self) -> u32 {
        (self.produced - self.consumed - self.urgent_in.left_out()) as u32
    }

    /// Octets that the next read gets: it stops before an urgent octet.
    #[inline]
    #[must_use]
    pub fn next_read(&self) -> u32 {
        let most = self.urgent_in.limit(self.consumed);
        // At most the ring.
        (self.produced - self.consumed).min(most) as u32
    }

    /// Offset in our ring of the next octet to be read.
    #[inline]
    #[must_use]
    pub const fn read_offset(&self) -> u32 {
        (self.consumed % self.sizes.own as u64) as u32
    }

    /// `n` octets were read; at most [`Flow::next_read`] count. A read up to an
    /// urgent octet that is out of band goes past it too.
    #[inline]
    pub fn consume(&mut self, n: u32) {
        self.consumed += u64::from(n.min(self.next_read()));
        self.consumed = self.urgent_in.pass(self.consumed);
    }

    /// Whether urgent octets of the peer stay in the stream; reads stop before
    /// them. Else they are left out of it, which is the default.
    pub fn set_urgent_inline(&mut self, inline: bool) {
        self.urgent_in.is_inline = inline;
        self.consumed = self.urgent_in.pass(self.consumed);
    }

    /// Whether urgent octets of the peer stay in the stream.
    #[must_use]
    pub const fn is_urgent_inline(&self) -> bool {
        self.urgent_in.is_inline
    }

    /// Offset in our ring of the peer's urgent octet, until it is passed.
    #[must_use]
    pub fn urgent_offset(&self) -> Option<u32> {
        self.urgent_in.at().map(|at| (at % u64::from(self.sizes.own)) as u32)
    }

    /// Whether the peer has an urgent octet that it could not write yet.
    #[must_use]
    pub const fn is_urgent_expected(&self) -> bool {
        self.urgent_in.is_expected
    }

    /// Whether the reader stands at the urgent octet: the next one to be read if
    /// they are inline, else the one just left out.
    #[must_use]
    pub fn is_at_urgent(&self) -> bool {
        self.urgent_in.is_next(self.consumed)
    }

    // ---- our writing ----

    /// Octets prepared and not yet written.
    #[inline]
    #[must_use]
    pub const fn waiting(&self) -> u32 {
        (self.prepared - self.written) as u32
    }

    /// Octets the peer's ring has room for, as far as we know.
    #[inline]
    #[must_use]
    pub const fn space(&self) -> u32 {
        self.sizes.peer - (self.written - self.peer_consumed) as u32
    }

    /// Octets that may be written now: the lesser of what waits and what there
    /// is space for, up to an urgent octet, and none behind one that the peer has
    /// not read.
    #[inline]
    #[must_use]
    pub fn granted(&self) -> u32 {
        let most = self.waiting().min(self.space());
        u64::from(most).min(self.urgent_out.limit(self.written)) as u32
    }

    /// Whether nothing is written because the peer has not read our urgent octet
    /// yet. Linux 6.12 as a receiver loses count if octets come behind one that
    /// was fetched out of band before it was come to, and never says so; as a
    /// sender it waits for ever, and so does a flow.
    #[inline]
    #[must_use]
    pub const fn is_held(&self) -> bool {
        self.urgent_out.holds()
    }

    /// As a sender that does not wait for the peer to read its urgent octet.
    #[cfg(test)]
    pub(crate) const fn go_on(&mut self) {
        self.urgent_out.go_on();
    }

    /// Whether an urgent octet waits to be written.
    #[inline]
    #[must_use]
    pub const fn is_urged(&self) -> bool {
        self.urgent_out.is_queued()
    }

    /// Whether the peer should hear that an urgent octet is coming.
    #[inline]
    #[must_use]
    pub const fn owes_urgent(&self) -> bool {
        self.urgent_out.owes_word()
    }

    /// Octets the peer is known to have read, over the connection's life.
    #[inline]
    #[must_use]
    pub const fn peer_consumed(&self) -> u64 {
        self.peer_consumed
    }

    /// Offsets of the next octet to be written: in the send ring, and in the
    /// peer's.
    #[inline]
    #[must_use]
    pub const fn write_offsets(&self) -> (u32, u32) {
        ((self.written % self.sizes.send as u64) as u32, (self.written % self.sizes.peer as u64) as u32)
    }

    /// RDMA WRITEs of `n` octets are about to be posted; at most
    /// [`Flow::granted`] count. B is set while as much waits as there is space
    /// for.
    #[inline]
    pub fn write(&mut self, n: u32) {
        self.blocked = self.waiting() >= self.space();
        self.written += u64::from(n.min(self.granted()));
    }

    /// What the message just made speaks of: kept with it for
    /// [`Flow::complete`].
    #[inline]
    #[must_use]
    pub const fn mark(&self) -> Mark {
        Mark { written: self.written, seq: self.seq }
    }

    /// A message was acknowledged: all octets it speaks of are in the peer's
    /// memory, and their room in the send ring is free.
    #[inline]
    pub fn complete(&mut self, mark: Mark) {
        self.completed = self.completed.max(mark.written.min(self.written));
        self.completed_seq = mark.seq;
    }

    /// The link is lost, and with it what was not acknowledged: that will be
    /// written again on another one (RFC 7609 §4.6.1). Returns the number of the
    /// last message known to have arrived, for the validation; `None`, and nothing
    /// changed, if some of it is not in the send ring ([`Flow::pass`]).
    ///
    /// What the peer says it has read has arrived too, and its place in the ring
    /// may hold newer octets: it is not written again.
    pub fn rewind(&mut self) -> Option<SeqNo> {
        let arrived = self.completed.max(self.peer_consumed);
        if self.passed > arrived {
            return None;
        }
        self.completed = arrived;
        self.written = arrived;
        self.urgent_out.rewind(arrived);
        Some(self.completed_seq)
    }

    /// The next message, which carries all there is to say; it must be posted
    /// behind the WRITEs it speaks of.
    #[inline]
    pub fn message(&mut self, token: AlertToken, state: StateFlags) -> CdcMessage {
        self.seq = self.seq.add(1);
        self.told = self.consumed;
        self.update_requested = false;
        self.urgent_in.is_passed = false;
        let mut producer_flags = self.urgent_out.flags(self.written);
        producer_flags.set(ProducerFlags::WRITE_BLOCKED, self.blocked);
        CdcMessage {
            seq: self.seq,
            token,
            producer: place(self.written, self.sizes.peer),
            consumer: place(self.consumed, self.sizes.own),
            producer_flags,
            state_flags: state,
        }
    }

    /// Whether the peer should be told how far we have read (RFC 7609 §4.5.1):
    /// it asked, or it passed an urgent octet, or it is blocked and a tenth of
    /// the ring or all of its octets were read, or a tenth was and it knows of
    /// no more than half of the ring.
    #[inline]
    #[must_use]
    pub const fn owes_update(&self) -> bool {
        let unsaid = self.consumed - self.told;
        if unsaid == 0 {
            return false;
        }
        let size = self.sizes.own as u64;
        let much = unsaid >= size / 10;
        let known_free = size - (self.produced - self.told);
        self.update_requested
            || self.urgent_in.is_passed
            || (self.peer_blocked && (much || self.produced == self.consumed))
            || (much && known_free <= size / 2)
    }

    // ---- the peer's words ----

    /// Takes a message of the peer.
    ///
    /// # Errors
    /// [`CdcViolation`]: the connection cannot go on.
    #[inline]
    pub fn hear(&mut self, message: &CdcMessage) -> Result<Heard, CdcViolation> {
        if message.is_failover_validation() {
            return match self.heard {
                Some(heard) if !heard.is_before(message.seq) => Ok(Heard::default()),
                // Nothing was ever sent, as 0 says.
                None if message.seq == SeqNo(0) => Ok(Heard::default()),
                _ => Err(CdcViolation::LostWithLink),
            };
        }
        if self.heard.is_some_and(|heard| message.seq.is_before(heard)) {
            return Ok(Heard { stale: true, ..Heard::default() });
        }
        let space = u64::from(self.sizes.own) - (self.produced - self.consumed);
        let readable =
            forward(self.produced, message.producer, self.sizes.own, space, CdcViolation::Overrun)?;
        let unread = self.written - self.peer_consumed;
        let freed =
            forward(self.peer_consumed, message.consumer, self.sizes.peer, unread, CdcViolation::ReadTooFar)?;
        self.heard = Some(message.seq);
        let before = self.readable();
        self.produced += u64::from(readable);
        self.peer_consumed += u64::from(freed);
        self.urgent_out.heard(self.peer_consumed);
        let flags = message.producer_flags;
        self.peer_blocked = flags.contains(ProducerFlags::WRITE_BLOCKED);
        self.update_requested |= flags.contains(ProducerFlags::CURSOR_UPDATE_REQUESTED);
        let urgent = (flags.contains(ProducerFlags::URGENT_PRESENT) && readable > 0)
            .then(|| ((self.produced - 1) % u64::from(self.sizes.own)) as u32);
        self.urgent_in.is_expected = flags.contains(ProducerFlags::URGENT_PENDING) && urgent.is_none();
        if urgent.is_some() {
            self.urgent_in.arrived(self.produced);
            self.consumed = self.urgent_in.pass(self.consumed);
        }
        let readable = self.readable() - before;
        let news = message.state_flags.difference(self.peer_state);
        self.peer_state |= message.state_flags;
        Ok(Heard { readable, freed, urgent, news, stale: false })
    }

    /// Whether the peer has said anything yet.
    #[inline]
    #[must_use]
    pub const fn has_heard(&self) -> bool {
        self.heard.is_some()
    }

    /// What was prepared, if all of it is still in the send ring: octets from
    /// its start. `None` once the peer has acknowledged any of it, or some never was.
    #[must_use]
    pub const fn untouched(&self) -> Option<u32> {
        if self.completed == 0 && self.passed == 0 && self.prepared <= self.sizes.send as u64 {
            Some(self.prepared as u32)
        } else {
            None
        }
    }

    /// Everything the peer ever said about the connection.
    #[inline]
    #[must_use]
    pub const fn peer_state(&self) -> StateFlags {
        self.peer_state
    }

    /// Where the connection is in each of its rings.
    #[must_use]
    pub fn cursors(&self) -> Cursors {
        let RingSizes { own, peer, send } = self.sizes;
        Cursors {
            rx_producer: place(self.produced, own),
            rx_consumer: place(self.peer_consumed, peer),
            tx_producer: place(self.written, peer),
            tx_consumer: place(self.consumed, own),
            tx_prepared: place(self.prepared, send),
            tx_sent: place(self.written, send),
            tx_finished: place(self.completed, send),
        }
    }

    /// The producer flags that hold now: ours, and the peer's.
    #[must_use]
    pub const fn producer_flags(&self) -> (ProducerFlags, ProducerFlags) {
        let mut ours = ProducerFlags::empty();
        if self.urgent_out.is_queued() {
            ours = ours.union(ProducerFlags::URGENT_PENDING);
        }
        if self.blocked {
            ours = ours.union(ProducerFlags::WRITE_BLOCKED);
        }
        let mut theirs = ProducerFlags::empty();
        if self.peer_blocked {
            theirs = theirs.union(ProducerFlags::WRITE_BLOCKED);
        }
        if self.update_requested {
            theirs = theirs.union(ProducerFlags::CURSOR_UPDATE_REQUESTED);
        }
        if self.urgent_in.is_expected {
            theirs = theirs.union(ProducerFlags::URGENT_PENDING);
        }
        (ours, theirs)
    }

    /// Octets out and in, over the connection's life.
    #[must_use]
    pub const fn totals(&self) -> (u64, u64) {
        (self.written, self.produced)
    }
}

fn place(position: u64, size: u32) -> Cursor {
    Cursor::at(position, size).unwrap_or_default()
}

/// Octets from `known` forward to `said`, at most `most`. A step back is 0:
/// Linux 6.12 rewinds to what was acknowledged after a failover, and says so.
fn forward(known: u64, said: Cursor, size: u32, most: u64, else_: CdcViolation) -> Result<u32, CdcViolation> {
    if !said.is_valid(size) {
        return Err(CdcViolation::OutsideRing(said));
    }
    let known = place(known, size);
    match Cursor::distance(known, said, size) {
        Some(n) if u64::from(n) <= most => Ok(n),
        None if Cursor::distance(said, known, size).is_some() => Ok(0),
        _ => Err(else_),
    }
}
