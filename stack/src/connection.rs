//! One connection: its TCP end, and what has become of it.

use core::net::SocketAddr;

use smolsmc_cdc::{CdcMessage, CdcViolation, Close, CloseEvent, CloseState, Flow, StateFlags};
use smolsmc_clc::{Choice, Proposal};
use smolsmc_llc::Role;
use smolsmc_rmb::Ring;
use smolsmc_verbs::MrAttributes;
use smolsmc_wire::{AlertToken, Instant, Mac, Rkey, SeqNo};

use crate::deadlines::Deadline;
use crate::error::ConnectionError;
use crate::event::Told;
use crate::group::GroupKey;
use crate::handle::ListenerHandle;
use crate::options::SocketOptions;
use crate::port::Tuple;
use crate::probe::Proof;
use crate::socket::{Cork, Readiness};
use crate::stats::{MessageStats, SocketStats};
use crate::tcp::Tcp;
use crate::transport::{Fallback, Transport};
use crate::wakers::Wakers;

pub(crate) struct Connection {
    pub(crate) tuple: Tuple,
    pub(crate) role: Role,
    pub(crate) tcp: Tcp,
    /// Where the peer's TCP comes from: also the next hop toward its GID.
    pub(crate) peer_mac: Mac,
    /// Whether our SYN or SYN-ACK carries the option.
    pub(crate) our_option: bool,
    /// Whether the peer's did.
    pub(crate) peer_option: bool,
    /// Both SYNs were on their way at once.
    pub(crate) is_crossed: bool,
    pub(crate) options: SocketOptions,
    /// Until it has been accepted.
    pub(crate) listener: Option<ListenerHandle>,
    pub(crate) phase: Phase,
    /// Of the phase; TCP has its own.
    pub(crate) phase_until: Option<Instant>,
    pub(crate) deadline: Deadline,
    /// Our Decline may have crossed one of the peer's, which then comes before
    /// the octets of its application.
    pub(crate) may_cross: bool,
    /// It stands in the queue of those to be served.
    pub(crate) is_dirty: bool,
    /// It stands in a line of its port, and waits for room.
    pub(crate) is_blocked: bool,
    /// The peer closed first, and its FIN goes before ours: TIME-WAIT is for who closes
    /// first.
    pub(crate) awaits_fin: bool,
    pub(crate) wakers: Wakers,
    /// Events of its end.
    pub(crate) told: Told,
    pub(crate) stats: SocketStats,
    /// The application has no handle any more.
    pub(crate) is_released: bool,
}

/// What a connection is, from the SYN on.
#[expect(clippy::large_enum_variant, reason = "SMC-R is what they become; a box is a miss on the hot path")]
pub(crate) enum Phase {
    /// The TCP handshake.
    Opening,
    /// The CLC handshake, and what LLC does in between.
    Rendezvous(Rendezvous),
    /// SMC-R.
    Smc(Smc),
    /// Plain TCP.
    Tcp(Fallback),
    /// Ended, and the application has not taken notice yet.
    Over(ConnectionError),
}

/// Whose word is waited for.
pub(crate) enum Rendezvous {
    /// Server: the client's Proposal.
    Proposal,
    /// Server: another connection is just making the group with this peer.
    Group(Proposal),
    /// Client: the server's Accept.
    Accept {
        /// Our GID, by its index, as proposed.
        gid_index: u16,
    },
    /// Either: the answer to CONFIRM RKEY; then Accept or Confirm is said.
    Rkey(Half),
    /// Server: the client's Confirm.
    Confirm(Half),
    /// Either: the first link's CONFIRM LINK.
    Link(Half),
    /// Client: ADD LINK, which will be rejected.
    AddLink(Half),
}

/// A connection's part of a link group, while both sides still may decline.
pub(crate) struct Half {
    pub(crate) group: GroupKey,
    /// The place of its link.
    pub(crate) link: usize,
    pub(crate) rmb: Ring,
    pub(crate) send: Ring,
    pub(crate) token: AlertToken,
    pub(crate) first_contact: bool,
    /// Server: what was chosen.
    pub(crate) choice: Option<Choice>,
    /// Once the peer has told.
    pub(crate) peer: Option<PeerRing>,
    /// What became of our CONFIRM RKEY.
    pub(crate) rkey_confirmed: Option<bool>,
    /// Its link is gone: it will be declined.
    pub(crate) is_doomed: bool,
    /// What the peer said on the link before its CLC message arrived.
    pub(crate) early: Option<CdcMessage>,
}

/// What a connection has of its group.
#[derive(Clone, Copy)]
pub(crate) struct Part {
    pub(crate) group: GroupKey,
    pub(crate) link: usize,
    pub(crate) token: AlertToken,
    pub(crate) rmb: Ring,
    pub(crate) send: Ring,
    /// Octets from the start of either that may have been written.
    pub(crate) used: (u32, u32),
}

impl Half {
    pub(crate) const fn part(&self) -> Part {
        let Self { group, link, token, rmb, send, .. } = *self;
        Part { group, link, token, rmb, send, used: (rmb.size.octets(), 0) }
    }

    /// Keeps the newest state; flags stay set.
    pub(crate) fn hear_early(&mut self, message: CdcMessage) {
        let older = self.early.take();
        let newest = older.filter(|older| message.seq.is_before(older.seq)).unwrap_or(message);
        let flags = older.map_or(StateFlags::empty(), |older| older.state_flags) | message.state_flags;
        self.early = Some(CdcMessage { state_flags: flags, ..newest });
    }
}

/// The peer's ring, as a WRITE must name it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerRing {
    pub(crate) rkey: Rkey,
    /// Of the RMBE.
    pub(crate) address: u64,
    /// Of the RMBE in its RMB.
    pub(crate) offset: u64,
    pub(crate) size: u32,
    pub(crate) token: AlertToken,
}

/// A connection over SMC-R.
pub(crate) struct Smc {
    pub(crate) group: GroupKey,
    /// The place of its link.
    pub(crate) link: usize,
    /// Our send ring's keys on that link.
    pub(crate) send_keys: MrAttributes,
    /// Its provider writes while it posts.
    pub(crate) writes_now: bool,
    /// On a new link the first word is about the last message known to have
    /// arrived on the old one, and then all is said again.
    pub(crate) validate: Option<SeqNo>,
    pub(crate) say_again: bool,
    pub(crate) transport: Transport,
    pub(crate) rmb: Ring,
    pub(crate) send: Ring,
    /// Octets of the stream that a message of ours has told of, on this link.
    pub(crate) told: u64,
    /// One past the furthest octet of the stream that was lent to the application,
    /// committed or not.
    pub(crate) lent: u64,
    pub(crate) token: AlertToken,
    pub(crate) peer: PeerRing,
    pub(crate) flow: Flow,
    pub(crate) close: Close,
    /// The peer said D or C before we did.
    pub(crate) peer_was_first: bool,
    pub(crate) proof: Proof,
    pub(crate) cork: Cork,
    pub(crate) stats: MessageStats,
    /// The peer's urgent octet, to be fetched.
    pub(crate) urgent: Option<u8>,
    /// State flags in our last message.
    pub(crate) said: StateFlags,
    /// Messages of ours that are not known to be acknowledged.
    pub(crate) in_flight: u32,
    /// The peer's octets have come since our last message, which the next one
    /// answers.
    pub(crate) answers: bool,
    /// Nobody will tell that our last message was acknowledged.
    pub(crate) is_silent: bool,
    /// It stands in its link's queue.
    pub(crate) is_queued: bool,
    /// The link is gone: nothing can be said any more.
    pub(crate) is_lost: bool,
    /// Why the link went before the peer had said anything on it. The peer may
    /// still decline, and all can go over TCP.
    pub(crate) doubt: Option<ConnectionError>,
    /// Why it ends, if not by both sides' wish. What arrived can still be read.
    pub(crate) error: Option<ConnectionError>,
    /// The peer's messages make no sense any more.
    pub(crate) misbehaved: Option<CdcViolation>,
}

impl Smc {
    pub(crate) fn part(&self) -> Part {
        let Self { group, link, token, rmb, send, .. } = *self;
        let within = |total: u64, ring: Ring| total.min(ring.size.octets().into()) as u32;
        // Who aborts may have written more than he has told of. What he wrote and never
        // told of in an orderly life only he can show to our next reader, by a cursor.
        let aborted = self.flow.peer_state().contains(StateFlags::ABNORMAL_CLOSE);
        let came = if aborted { u64::MAX } else { self.flow.totals().1 };
        let went = self.flow.prepared().max(self.lent);
        Part { group, link, token, rmb, send, used: (within(came, rmb), within(went, send)) }
    }

    /// The flags that can be said now: D and C only behind the last octet, unless
    /// nobody will read it any more.
    pub(crate) fn sayable(&self) -> StateFlags {
        let said = self.close.said();
        let drained = self.flow.waiting() == 0 || !self.may_write();
        if drained || said.contains(StateFlags::ABNORMAL_CLOSE) { said } else { self.said }
    }

    /// Whether octets are still written: neither side has closed or aborted for
    /// good, but for a close of ours that waits for the last ones.
    fn may_write(&self) -> bool {
        let c_or_a = StateFlags::CLOSED.union(StateFlags::ABNORMAL_CLOSE);
        !self.close.said().contains(StateFlags::ABNORMAL_CLOSE) && !self.flow.peer_state().intersects(c_or_a)
    }

    /// Octets that may be written now.
    pub(crate) fn may_grant(&self) -> u32 {
        if self.may_write() { self.flow.granted().min(self.let_out()) } else { 0 }
    }

    /// Octets that no message has told of, written or not.
    #[inline]
    pub(crate) const fn untold(&self) -> u64 {
        self.flow.prepared() - self.told
    }

    /// Whether octets were written past the send ring, and the peer does not know.
    fn owes_word(&self) -> bool {
        self.flow.totals().0 > self.told && self.may_write()
    }

    /// Whether a message has to be sent: for octets, for a cursor, for a flag.
    #[inline]
    pub(crate) fn has_something_to_say(&self) -> bool {
        // Mostly nothing waits, and the peer knows all but perhaps how far we read.
        let is_plain = self.said.is_empty() && self.close.said().is_empty();
        if is_plain && self.untold() == 0 && !self.say_again && !self.flow.owes_urgent() {
            return !self.is_lost && self.flow.owes_update();
        }
        self.has_news()
    }

    fn has_news(&self) -> bool {
        if self.is_lost || (self.said.contains(StateFlags::ABNORMAL_CLOSE) && !self.say_again) {
            return false;
        }
        self.say_again
            || ((self.may_grant() > 0 || self.owes_word()) && !self.waits_for_acknowledgement())
            || self.sayable() != self.said
            || (self.flow.owes_urgent() && self.may_write())
            || (!self.said.contains(StateFlags::CLOSED) && self.flow.owes_update())
    }

    /// Nothing more will be said or heard, and nothing of ours is on its way.
    pub(crate) fn is_done(&self) -> bool {
        let said_all = self.sayable() == self.said && !self.say_again;
        let ended = self.close.state() == CloseState::Closed && said_all;
        (ended || self.is_lost) && self.in_flight == 0 && self.doubt.is_none()
    }

    pub(crate) fn fail(&mut self, error: ConnectionError) {
        self.close.step(CloseEvent::LinkLost);
        self.is_lost = true;
        self.doubt = None;
        self.error.get_or_insert(error);
    }
}

impl Connection {
    /// The link group it is in, and the place of its link.
    pub(crate) const fn link(&self) -> Option<(GroupKey, usize)> {
        match &self.phase {
            Phase::Smc(smc) => Some((smc.group, smc.link)),
            Phase::Rendezvous(
                Rendezvous::Rkey(half)
                | Rendezvous::Confirm(half)
                | Rendezvous::Link(half)
                | Rendezvous::AddLink(half),
            ) => Some((half.group, half.link)),
            _ => None,
        }
    }

    /// Whether its octets may yet go over SMC-R.
    pub(crate) const fn may_become_quiet(&self) -> bool {
        !matches!(self.phase, Phase::Tcp(_))
    }

    /// Whether octets go over SMC-R for good: once the peer has said something
    /// there, it cannot decline any more.
    pub(crate) const fn needs_no_buffers(&self) -> bool {
        matches!(&self.phase, Phase::Smc(smc) if smc.flow.has_heard())
    }

    /// What can be done with it now.
    pub(crate) fn readiness(&self) -> Readiness {
        match &self.phase {
            Phase::Opening | Phase::Rendezvous(_) => Readiness::default(),
            Phase::Over(_) => {
                Readiness { readable: true, writable: true, failed: true, ..Readiness::default() }
            }
            Phase::Smc(smc) => Readiness {
                is_open: true,
                urgent: smc.urgent.is_some(),
                readable: smc.flow.readable() > 0
                    || smc.flow.peer_state().ends_stream()
                    || smc.error.is_some(),
                writable: smc.flow.room() > 0 || smc.send_error().is_some(),
                failed: smc.error.is_some(),
            },
            Phase::Tcp(_) => {
                let tcp = &self.tcp;
                Readiness {
                    is_open: true,
                    urgent: false,
                    readable: !self.may_cross && (tcp.readable() > 0 || tcp.is_at_end()),
                    writable: tcp.room() > 0 || !tcp.may_send(),
                    failed: tcp.is_reset(),
                }
            }
        }
    }

    pub(crate) const fn local(&self) -> SocketAddr {
        self.tuple.local
    }

    /// Whether not even its SYN or SYN-ACK was sent yet.
    pub(crate) const fn has_said_nothing(&self) -> bool {
        matches!(self.phase, Phase::Opening) && self.tcp.seen.is_none()
    }

    /// Whether it is ours and has not sent its SYN yet.
    pub(crate) const fn begins(&self) -> bool {
        self.has_said_nothing() && matches!(self.role, Role::Client)
    }

    /// Whether it is new, so that a SYN of ours carries the option.
    pub(crate) const fn puts_option(&self) -> bool {
        self.our_option
            && matches!(self.phase, Phase::Opening)
            && (matches!(self.role, Role::Client) || self.peer_option)
    }
}
