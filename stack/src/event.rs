//! What happened, once and in order, for logs and for those who would rather
//! not look at every socket. Readiness is state and is told by sockets; nothing
//! depends on anybody reading events.

use alloc::collections::VecDeque;

use smolsmc_llc::Role;
use smolsmc_verbs::Provider;
use smolsmc_wire::{LinkNumber, PeerId};

use crate::connection::{Connection, Phase, Smc};
use crate::error::ConnectionError;
use crate::group::GroupKey;
use crate::handle::{ListenerHandle, SocketHandle};
use crate::shared::Shared;
use crate::stack::Stack;
use crate::transport::{Fallback, GroupNumber, Transport};

/// Something that happened: [`Stack::next_event`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A connection of ours stands.
    Connected {
        /// It.
        socket: SocketHandle,
        /// What carries it.
        transport: Transport,
    },
    /// A connection has come in, and waits to be accepted.
    Accepted {
        /// Where.
        listener: ListenerHandle,
        /// What [`Stack::accept`] will return.
        socket: SocketHandle,
        /// What carries it.
        transport: Transport,
    },
    /// A connection that was over SMC-R goes on over TCP: the peer's Decline
    /// came late.
    FellBack {
        /// It.
        socket: SocketHandle,
        /// Why.
        fallback: Fallback,
    },
    /// The peer sends no more: what has arrived, and then the end of the stream,
    /// can be read.
    PeerClosed {
        /// The connection.
        socket: SocketHandle,
    },
    /// A connection ended otherwise than by both sides closing it.
    Failed {
        /// It.
        socket: SocketHandle,
        /// Why.
        error: ConnectionError,
    },
    /// A link group has its first link.
    GroupUp {
        /// The group.
        group: GroupNumber,
        /// Which side this is.
        role: Role,
        /// The peer, as it calls itself.
        peer_id: PeerId,
    },
    /// A link of a group carries data.
    LinkUp {
        /// The group.
        group: GroupNumber,
        /// The link.
        link: LinkNumber,
    },
    /// A link of a group carries nothing any more.
    LinkDown {
        /// The group.
        group: GroupNumber,
        /// The link.
        link: LinkNumber,
        /// Why.
        why: ConnectionError,
    },
    /// A link group has ended, or never came to be.
    GroupDown {
        /// The group.
        group: GroupNumber,
        /// Why.
        why: ConnectionError,
    },
}

/// The events nobody has fetched yet, so many at most: the oldest are kept.
#[derive(Debug)]
pub(crate) struct Events {
    queue: VecDeque<Event>,
    most: usize,
    lost: u64,
}

/// What was told of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told {
    peer_closed: bool,
    failed: bool,
}

impl Events {
    pub(crate) fn new(most: usize) -> Self {
        Self { queue: VecDeque::with_capacity(most), most, lost: 0 }
    }

    pub(crate) fn tell(&mut self, event: Event) {
        if self.queue.len() < self.most {
            self.queue.push_back(event);
        } else {
            self.lost += 1;
        }
    }
}

impl<P: Provider> Stack<P> {
    /// The oldest event that was not fetched yet.
    pub fn next_event(&mut self) -> Option<Event> {
        self.shared.events.queue.pop_front()
    }

    /// Events for which there was no room, ever:
    /// [`Limits::events`](crate::Limits::events) wait at most.
    #[must_use]
    pub const fn events_lost(&self) -> u64 {
        self.shared.events.lost
    }
}

impl<P> Shared<P> {
    /// Tells of a connection whose handshake came to a good end.
    pub(crate) fn tell_open(&mut self, handle: SocketHandle, connection: &Connection) {
        let transport = match &connection.phase {
            Phase::Smc(smc) => smc.transport,
            Phase::Tcp(fallback) => Transport::Tcp(*fallback),
            _ => return,
        };
        self.events.tell(match connection.listener {
            Some(listener) => Event::Accepted { listener, socket: handle, transport },
            None => Event::Connected { socket: handle, transport },
        });
    }

    /// Tells what is new about a connection's end.
    #[inline]
    pub(crate) fn tell_end(&mut self, handle: SocketHandle, connection: &mut Connection) {
        let goes_on = |smc: &Smc| smc.error.is_none() && !smc.flow.peer_state().ends_stream();
        if !matches!(&connection.phase, Phase::Smc(smc) if goes_on(smc)) {
            self.tell_end_there_is(handle, connection);
        }
    }

    fn tell_end_there_is(&mut self, handle: SocketHandle, connection: &mut Connection) {
        let (ended, error) = match &connection.phase {
            Phase::Opening | Phase::Rendezvous(_) => return,
            Phase::Smc(smc) => (smc.flow.peer_state().ends_stream(), smc.error),
            Phase::Tcp(_) => {
                let reset = connection.tcp.is_reset().then_some(ConnectionError::Reset);
                (connection.tcp.is_at_end(), reset)
            }
            Phase::Over(error) => (true, Some(*error)),
        };
        if !ended && error.is_none() || connection.is_released {
            return;
        }
        let told = &mut connection.told;
        match error {
            Some(error) if !told.failed => {
                told.failed = true;
                self.events.tell(Event::Failed { socket: handle, error });
            }
            None if !told.peer_closed => {
                told.peer_closed = true;
                self.events.tell(Event::PeerClosed { socket: handle });
            }
            _ => {}
        }
    }

    /// Tells that a link, and perhaps with it a group, has come up.
    pub(crate) fn tell_link_up(&mut self, key: GroupKey, link: LinkNumber) {
        let Some(group) = self.groups.get_mut(key) else { return };
        let (number, role, peer_id) = (group.number, group.role, group.peer_id);
        if !core::mem::replace(&mut group.was_up, true) {
            self.events.tell(Event::GroupUp { group: number, role, peer_id });
        }
        self.events.tell(Event::LinkUp { group: number, link });
    }
}
