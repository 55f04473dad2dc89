//! From the TCP handshake to SMC-R or TCP: whose CLC message is waited for, and
//! what follows from it (RFC 7609 §3, Linux 6.12 af_smc).
//!
//! ```text
//!   client                                       server
//!   Opening                                      Opening
//!     | Proposal ------------------------------>   | AwaitProposal (AwaitGroup)
//!   AwaitAccept                                  (AwaitRkey)
//!     | <------------------------------ Accept     |
//!   RTR (AwaitRkey)                              AwaitConfirm
//!     | Confirm ------------------------------->   |
//!   AwaitLink                                    RTS, AwaitLink
//!     | <- - - - - - - - - - - CONFIRM LINK - -    |     on first contact
//!   RTS - - - - - - - - - - - - response - - - >   |
//!   Smc                                          Smc
//! ```
//!
//! A Decline of either side, in place of any of these, leads to `Tcp`.

mod client;
mod decline;
mod joining;
mod server;

use smolsmc_cdc::{Close, CloseEvent, CloseState, Flow, RingSizes, StateFlags};
use smolsmc_clc::{Diagnosis, Header, MAX_MESSAGE_LEN, Message, SmcrTerms};
use smolsmc_llc::{DownReason, Role};
use smolsmc_verbs::{Provider, WcStatus};
use smolsmc_wire::ParseError;

use crate::connection::{Connection, Half, Phase, Rendezvous, Smc};
use crate::error::ConnectionError;
use crate::group::{Group, GroupKey, PeerEnd};
use crate::handle::SocketHandle;
use crate::probe::Proof;
use crate::shared::Shared;
use crate::socket::Cork;
use crate::stats::MessageStats;
use crate::transport::{Fallback, Transport};

pub(crate) use client::common_mtu;

/// The place of a group's first link.
pub(crate) const FIRST: usize = 0;

/// How a step of the rendezvous comes out: on, waiting, or over.
type Step = Result<Next, ConnectionError>;

enum Next {
    /// Something was done: look again.
    Again,
    /// Nothing to do until something happens.
    Wait,
}

impl Rendezvous {
    pub(crate) const fn half_mut(&mut self) -> Option<&mut Half> {
        match self {
            Self::Rkey(half) | Self::Confirm(half) | Self::Link(half) | Self::AddLink(half) => Some(half),
            _ => None,
        }
    }

    fn into_half(self) -> Option<Half> {
        match self {
            Self::Rkey(half) | Self::Confirm(half) | Self::Link(half) | Self::AddLink(half) => Some(half),
            _ => None,
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Proposal => "the Proposal",
            Self::Group(_) => "the link group",
            Self::Accept { .. } => "the Accept",
            Self::Rkey(_) => "CONFIRM RKEY",
            Self::Confirm(_) => "the Confirm",
            Self::Link(_) => "CONFIRM LINK",
            Self::AddLink(_) => "ADD LINK",
        }
    }
}

impl<P: Provider> Shared<P> {
    /// Takes a connection as far as it can go now.
    pub(crate) fn advance(&mut self, handle: SocketHandle, connection: &mut Connection) {
        loop {
            let step = match &connection.phase {
                Phase::Opening => self.opening_step(handle, connection),
                Phase::Rendezvous(_) => self.rendezvous_step(handle, connection),
                Phase::Smc(smc) if !smc.flow.has_heard() && connection.tcp.readable() > 0 => {
                    self.late_word(handle, connection)
                }
                Phase::Smc(smc) if smc.doubt.is_some() => self.doubt_step(connection),
                Phase::Tcp(_) if connection.may_cross => self.crossing_step(connection),
                _ => return,
            };
            match step {
                Ok(Next::Again) => {}
                Ok(Next::Wait) => return,
                Err(error) => return self.break_off(handle, connection, error),
            }
        }
    }

    /// The handshake is over: by an error, not by a decision.
    pub(crate) fn break_off(
        &mut self,
        handle: SocketHandle,
        connection: &mut Connection,
        error: ConnectionError,
    ) {
        let phase = core::mem::replace(&mut connection.phase, Phase::Over(error));
        self.opening.remove(&handle);
        connection.tcp.abort();
        match phase {
            Phase::Rendezvous(rendezvous) => {
                if let Some(half) = rendezvous.into_half() {
                    self.release_half(handle, half);
                }
            }
            Phase::Opening => {}
            // It had left the handshake before.
            Phase::Smc(smc) => {
                self.release(smc.part(), false);
                self.readiness_changed = true;
                return;
            }
            _ => return,
        }
        self.left_handshake(handle, connection, false);
    }

    fn opening_step(&mut self, handle: SocketHandle, connection: &mut Connection) -> Step {
        if !connection.tcp.is_established() {
            return match connection.tcp.state() {
                smoltcp::socket::tcp::State::Closed if self.is_past(connection) => {
                    Err(ConnectionError::TimedOut("the TCP handshake"))
                }
                smoltcp::socket::tcp::State::Closed => Err(ConnectionError::Refused),
                _ if self.is_past(connection) => Err(ConnectionError::TimedOut("the TCP handshake")),
                _ => Ok(Next::Wait),
            };
        }
        self.opening.remove(&handle);
        if connection.is_crossed && connection.our_option && connection.peer_option {
            // Both have connected: there is no server to choose.
            connection.may_cross = true;
            let fallback = Fallback { local: Some(Diagnosis::MODE_MISMATCH), peer: None };
            return self.fall_back(handle, connection, fallback);
        }
        if !(connection.our_option && connection.peer_option) {
            let local = connection.our_option.then_some(Diagnosis::PEER_NO_SMC);
            return self.fall_back(handle, connection, Fallback { local, peer: None });
        }
        match connection.role {
            Role::Client => self.propose(handle, connection),
            Role::Server => {
                self.await_next(connection, Rendezvous::Proposal);
                Ok(Next::Again)
            }
        }
    }

    fn is_past(&self, connection: &Connection) -> bool {
        connection.phase_until.is_some_and(|until| self.now >= until)
    }

    /// Waits for the peer's next CLC message, or for its link.
    fn await_next(&self, connection: &mut Connection, rendezvous: Rendezvous) {
        let timers = &self.config.timers;
        connection.phase_until = match rendezvous {
            // The link's machine has the timer.
            Rendezvous::Link(_) => None,
            Rendezvous::AddLink(_) => Some(self.now + timers.add_link),
            _ => Some(self.now + timers.clc),
        };
        connection.phase = Phase::Rendezvous(rendezvous);
    }

    fn rendezvous_step(&mut self, handle: SocketHandle, connection: &mut Connection) -> Step {
        if let Some(message) = read_message(connection)? {
            return self.heard(handle, connection, message);
        }
        let past = self.is_past(connection);
        let Phase::Rendezvous(rendezvous) = &mut connection.phase else { return Ok(Next::Wait) };
        let name = rendezvous.name();
        match rendezvous {
            Rendezvous::Group(_) if !past => self.retry_proposal(handle, connection),
            Rendezvous::Rkey(half) => match half.rkey_confirmed {
                None if past => self.decline(handle, connection, Diagnosis::REGISTER_MR),
                None => Ok(Next::Wait),
                Some(true) => self.rkey_confirmed(handle, connection),
                Some(false) => self.decline(handle, connection, Diagnosis::REGISTER_MR),
            },
            Rendezvous::Link(half) if half.is_doomed => match past {
                true => self.decline(handle, connection, Diagnosis::TIMEOUT_CONFIRM_LINK),
                false => Ok(Next::Wait),
            },
            Rendezvous::Link(half) => {
                let key = half.group;
                self.look_at_link(handle, connection, key)
            }
            Rendezvous::AddLink(half) => {
                let key = half.group;
                let answered = self
                    .groups
                    .get(key)
                    .is_none_or(|group| group.links.iter().flatten().any(|link| link.add_link_answered));
                if past || answered { self.become_smc(handle, connection) } else { Ok(Next::Wait) }
            }
            _ if past => Err(ConnectionError::TimedOut(name)),
            _ => Ok(Next::Wait),
        }
    }

    fn heard(&mut self, handle: SocketHandle, connection: &mut Connection, message: Message) -> Step {
        let Phase::Rendezvous(rendezvous) = &connection.phase else { return Ok(Next::Wait) };
        match (message, rendezvous) {
            (Message::Decline(decline), _) => self.declined(handle, connection, &decline),
            (Message::Proposal(proposal), Rendezvous::Proposal) => {
                self.proposed(handle, connection, proposal)
            }
            (Message::Accept(accept), Rendezvous::Accept { gid_index }) => {
                let gid_index = *gid_index;
                self.accepted(handle, connection, &accept, gid_index)
            }
            (Message::Confirm(confirm), Rendezvous::Confirm(_)) => {
                self.confirmed(handle, connection, &confirm)
            }
            _ => Err(ConnectionError::OutOfTurn),
        }
    }

    /// Our CONFIRM RKEY was answered: now say what had to wait for it.
    fn rkey_confirmed(&mut self, handle: SocketHandle, connection: &mut Connection) -> Step {
        match connection.role {
            Role::Client => self.confirm_subsequent(handle, connection),
            Role::Server => self.accept_subsequent(connection),
        }
    }

    fn look_at_link(&mut self, handle: SocketHandle, connection: &mut Connection, key: GroupKey) -> Step {
        let (active, links) = match self.groups.get(key) {
            Some(group) => (group.is_active(), group.max_links),
            None => (false, 1),
        };
        if !active {
            return Ok(Next::Wait);
        }
        if links > 1 && connection.role == Role::Client {
            let Some(half) = take_half(connection) else { return Ok(Next::Wait) };
            self.await_next(connection, Rendezvous::AddLink(half));
            return Ok(Next::Again);
        }
        self.become_smc(handle, connection)
    }

    /// The group a connection is in has ended.
    pub(crate) fn group_ended(
        &mut self,
        handle: SocketHandle,
        connection: &mut Connection,
        why: ConnectionError,
    ) {
        self.wait_no_longer(handle, connection);
        let step = match (&mut connection.phase, why) {
            // The client's word is on its way, and would follow our Decline into
            // the stream of octets: it is declined when it is here.
            (Phase::Rendezvous(Rendezvous::Confirm(half)), _) => {
                half.is_doomed = true;
                Ok(Next::Wait)
            }
            // The server's Decline comes later than we tire of waiting: from Linux
            // 6.12 5.1 s after the Confirm. It reads none of ours by then, which
            // would be octets of its stream.
            (
                Phase::Rendezvous(Rendezvous::Link(half)),
                ConnectionError::LinkDown(DownReason::ConfirmLinkTimeout),
            ) if connection.role == Role::Client => {
                half.is_doomed = true;
                connection.phase_until = Some(self.now + self.config.timers.clc);
                Ok(Next::Wait)
            }
            (Phase::Rendezvous(_), ConnectionError::LinkDown(DownReason::ConfirmLinkTimeout)) => {
                self.decline(handle, connection, Diagnosis::TIMEOUT_CONFIRM_LINK)
            }
            (Phase::Rendezvous(_), ConnectionError::Eyecatcher) => {
                self.decline(handle, connection, Diagnosis::RMBE_EYECATCHER)
            }
            (Phase::Rendezvous(_), _) => self.decline(handle, connection, Diagnosis::NO_ACTIVE_LINK),
            (Phase::Smc(smc), why) if !smc.flow.has_heard() && smc.flow.untouched().is_some() => {
                smc.is_lost = true;
                smc.doubt = Some(why);
                connection.phase_until = Some(self.now + self.config.timers.clc);
                Ok(Next::Wait)
            }
            (Phase::Smc(smc), why) => {
                smc.fail(why);
                connection.tcp.abort();
                self.readiness_changed = true;
                Ok(Next::Wait)
            }
            _ => Ok(Next::Wait),
        };
        if let Err(error) = step {
            self.break_off(handle, connection, error);
        }
        self.touch(handle, connection);
    }

    // ---- the two ways a handshake ends well ----

    /// Both sides agree: octets go over the link from now on.
    fn become_smc(&mut self, handle: SocketHandle, connection: &mut Connection) -> Step {
        let Some(half) = take_half(connection) else { return Ok(Next::Wait) };
        let found = self.groups.get(half.group).and_then(|group| {
            Some((half.peer?, group, group.link(half.link)?, group.pool.keys(&half.send, half.link)?))
        });
        let Some((peer, group, link, send_keys)) = found else {
            self.release_half(handle, half);
            return Err(ConnectionError::LinkFailed(WcStatus::Flushed));
        };
        let transport = Transport::SmcR {
            version: if group.version.is_v1() { 1 } else { 2 },
            release: group.release,
            role: group.role,
            group: group.number,
            link: link.number(),
            first_contact: half.first_contact,
        };
        let sizes = RingSizes { own: half.rmb.size.octets(), peer: peer.size, send: half.send.size.octets() };
        let mut flow = Flow::new(sizes);
        flow.set_urgent_inline(connection.options.urgent_inline);
        let mut smc = Smc {
            group: half.group,
            link: half.link,
            send_keys,
            writes_now: link.writes_now,
            validate: None,
            say_again: false,
            transport,
            rmb: half.rmb,
            send: half.send,
            told: 0,
            lent: 0,
            token: half.token,
            peer,
            flow,
            close: Close::default(),
            peer_was_first: false,
            proof: Proof::default(),
            cork: Cork::default(),
            stats: MessageStats::default(),
            urgent: None,
            said: StateFlags::empty(),
            in_flight: 0,
            answers: false,
            is_silent: false,
            is_queued: false,
            is_lost: false,
            doubt: None,
            error: None,
            misbehaved: None,
        };
        if let Some(early) = half.early {
            smc.hear(&self.provider, &early);
        }
        connection.phase = Phase::Smc(smc);
        connection.apply_cork(self.config.autocork);
        self.left_handshake(handle, connection, true);
        self.queue(handle, connection);
        Ok(Next::Wait)
    }

    /// With the link confirmed it is SMC-R to the peer, which may write already:
    /// it cannot be taken back, only closed.
    pub(crate) fn wait_no_longer(&mut self, handle: SocketHandle, connection: &mut Connection) {
        let Phase::Rendezvous(rendezvous) = &connection.phase else { return };
        let is_smc_there = match rendezvous {
            Rendezvous::AddLink(_) => true,
            Rendezvous::Link(half) => self.groups.get(half.group).is_some_and(Group::is_active),
            _ => false,
        };
        if is_smc_there && let Err(error) = self.become_smc(handle, connection) {
            self.break_off(handle, connection, error);
        }
    }

    /// The connection stays with TCP.
    fn fall_back(&mut self, handle: SocketHandle, connection: &mut Connection, fallback: Fallback) -> Step {
        if connection.options.strict {
            let Fallback { local, peer } = fallback;
            return Err(ConnectionError::NotSmc { local, peer });
        }
        connection.phase = Phase::Tcp(fallback);
        connection.apply_cork(0);
        self.left_handshake(handle, connection, true);
        Ok(Next::Wait)
    }

    /// The handshake is over, `well` or not: a connection that came in goes to
    /// whoever accepts.
    fn left_handshake(&mut self, handle: SocketHandle, connection: &mut Connection, well: bool) {
        connection.phase_until = None;
        self.readiness_changed = true;
        self.stats.handshake_over(connection);
        if connection.role == Role::Client {
            return self.tell_open(handle, connection);
        }
        self.handshake_over(connection.tuple.remote.ip());
        let listener = connection.listener.and_then(|listener| self.listeners.get_mut(listener));
        match listener {
            Some(listener) => {
                listener.opening -= 1;
                if well {
                    listener.ready.push_back(handle);
                    if let Some(listener) = connection.listener {
                        self.notice_listener(listener);
                    }
                    return self.tell_open(handle, connection);
                }
            }
            // The listener has gone in the meantime: nobody will ever accept it.
            None => self.abort_unheld(connection),
        }
        connection.is_released = true;
    }

    fn abort_unheld(&self, connection: &mut Connection) {
        match &mut connection.phase {
            Phase::Smc(smc) => {
                smc.close.step(CloseEvent::Abort);
                connection.phase_until = Some(self.now + self.config.timers.close);
            }
            _ => connection.tcp.abort(),
        }
    }
}

/// A connection's half, which is on its way into another state. Until it is
/// there, the connection is still in its handshake: should the way end in an
/// error, it has to leave that.
fn take_half(connection: &mut Connection) -> Option<Half> {
    match core::mem::replace(&mut connection.phase, Phase::Opening) {
        Phase::Rendezvous(rendezvous) => rendezvous.into_half(),
        phase => {
            connection.phase = phase;
            None
        }
    }
}

/// The next whole CLC message on the stream, and not an octet more.
fn read_message(connection: &mut Connection) -> Result<Option<Message>, ConnectionError> {
    let tcp = &mut connection.tcp;
    let end = if tcp.is_at_end() { Err(ConnectionError::ClosedInHandshake) } else { Ok(None) };
    let Some(start) = tcp.peek(Header::LEN) else { return end };
    let len = Header::parse(start)?.message_len();
    if len > MAX_MESSAGE_LEN {
        return Err(ParseError::value("CLC message", 5, len as u64).into());
    }
    let Some(octets) = tcp.peek(len) else { return end };
    let message = Message::parse(octets)?;
    tcp.skip(len);
    Ok(Some(message))
}

/// Puts a CLC message on the stream. There is room: nothing else was sent.
fn say(connection: &mut Connection, message: &Message) -> Result<(), ConnectionError> {
    let mut octets = [0; 1024];
    let sent = message.emit(&mut octets).ok().and_then(|len| octets.get(..len));
    match sent.is_some_and(|octets| connection.tcp.send_whole(octets)) {
        true => Ok(()),
        false => Err(ConnectionError::ClosedInHandshake),
    }
}

impl Smc {
    /// Takes a message of the peer; whether there is news for the application.
    pub(crate) fn hear<P: Provider>(&mut self, provider: &P, message: &smolsmc_cdc::CdcMessage) -> bool {
        self.stats.heard += 1;
        match self.flow.hear(message) {
            Ok(heard) => {
                self.answers |= heard.readable > 0;
                if heard.urgent.is_some() || self.flow.is_urgent_expected() {
                    // As Linux 6.12 does: what is urgent may wait for an answer.
                    self.flush();
                }
                self.stats.urgent_heard += u64::from(heard.urgent.is_some());
                if let Some(offset) = heard.urgent.filter(|_| !self.flow.is_urgent_inline()) {
                    self.urgent = self.octet_at(provider, offset);
                }
                for (flag, event) in [
                    (StateFlags::SENDING_DONE, CloseEvent::HeardDone),
                    (StateFlags::CLOSED, CloseEvent::HeardClosed),
                    (StateFlags::ABNORMAL_CLOSE, CloseEvent::HeardAbort),
                ] {
                    if heard.news.contains(flag) {
                        self.peer_was_first |= self.close.state() == CloseState::Active;
                        self.close.step(event);
                    }
                }
                if self.flow.peer_state().contains(StateFlags::ABNORMAL_CLOSE) && !self.close.is_closed_here()
                {
                    self.error.get_or_insert(ConnectionError::PeerAborted);
                }
                heard.readable > 0 || heard.freed > 0 || heard.urgent.is_some() || !heard.news.is_empty()
            }
            Err(violation) => {
                // The peer's next messages make no more sense than this one.
                self.close.step(CloseEvent::Abort);
                self.misbehaved.get_or_insert(violation);
                self.error.get_or_insert(violation.into());
                true
            }
        }
    }
}

/// The peer's end of a link, as its CLC message tells.
fn peer_end(terms: &SmcrTerms, gid: smolsmc_wire::Gid, connection: &Connection) -> PeerEnd {
    PeerEnd::new(terms, gid, connection.peer_mac)
}
