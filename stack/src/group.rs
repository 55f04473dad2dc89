//! A link group and its link: the queue pair, what is posted on it, and the
//! rings of its connections.

use alloc::collections::VecDeque;

use smolsmc_cdc::Mark;
use smolsmc_clc::{Eid, SmcrTerms};
use smolsmc_llc::{self as llc, Ledger, LinkRkey, MAX_LINKS, Others};
use smolsmc_rmb::{Pool, Ring};
use smolsmc_verbs::{
    Access, AddressVector, CqHandle, InitAttributes, MemHandle, MemoryUse, MrAttributes, MrHandle, Payload,
    PdHandle, Provider, QpCapabilities, QpHandle, QpInit, QpTransition, RdmaPort, RtrAttributes,
    RtsAttributes, SendOperation, SendRequest, Sge, VerbsError, WcStatus,
};
use smolsmc_wire::{Gid, Instant, LinkNumber, LinkUid, Mac, MtuCode, PeerId, Psn, Qpn};

use crate::config::Limits;
use crate::deadlines::Deadline;
use crate::handle::SocketHandle;
use crate::place::Place;
use crate::probe::Unproven;
use crate::ready::Ready;
use crate::receives::{RECEIVE_LEN, Receives};
use crate::transport::GroupNumber;

slotmap::new_key_type! {
    /// A link group.
    pub(crate) struct GroupKey;
}

pub(crate) struct Group {
    pub(crate) number: GroupNumber,
    pub(crate) role: llc::Role,
    /// By which a later contact finds it: the peer's, from its Proposal or Accept.
    pub(crate) peer_id: PeerId,
    /// Where the peer's packets come from.
    pub(crate) peer_gid: Gid,
    /// The port its TCP connections are on.
    pub(crate) port: usize,
    pub(crate) version: smolsmc_clc::Version,
    /// Of version 2.
    pub(crate) eid: Eid,
    pub(crate) release: u8,
    pub(crate) max_conns: u8,
    pub(crate) max_links: u8,
    pub(crate) pool: Pool,
    /// The peer's RMBs.
    pub(crate) ledger: Ledger,
    /// In the place of a link lies the pool's domain of its rings.
    pub(crate) links: [Option<Link>; MAX_LINKS],
    /// Links made so far: numbers are not used again.
    pub(crate) links_made: u8,
    /// Its first link was confirmed.
    pub(crate) was_up: bool,
    /// The link whose ADD LINK is out.
    pub(crate) offered: Option<usize>,
    /// Connections that ever had a part of it.
    pub(crate) connections_ever: u64,
    /// Connections that hold a part of it.
    pub(crate) connections: usize,
    /// Since when there is none.
    pub(crate) idle_since: Option<Instant>,
    /// It has ended; its queue pair answers until then.
    pub(crate) lingers_until: Option<Instant>,
    pub(crate) deadline: Deadline,
    /// It stands in the queue of those whose connections have something to say.
    pub(crate) is_queued: bool,
}

impl Group {
    pub(crate) fn link(&self, place: usize) -> Option<&Link> {
        self.links.get(place)?.as_ref()
    }

    pub(crate) fn link_mut(&mut self, place: usize) -> Option<&mut Link> {
        self.links.get_mut(place)?.as_mut()
    }

    /// What CONFIRM LINK says of the link at `place`. Release 0 has no room for
    /// the number of connections.
    pub(crate) fn confirm_link(&self, place: usize) -> Option<llc::ConfirmLink> {
        let link = self.link(place)?;
        Some(llc::ConfirmLink {
            mac: link.mac,
            gid: link.gid,
            qpn: link.qpn,
            link_number: link.planned,
            link_uid: LinkUid(self.number.0 << 8 | u32::from(link.planned.0)),
            max_links: self.max_links,
            max_conns: if self.release > 0 { self.max_conns } else { 0 },
            no_eyecatcher: llc::NoEyecatcher::BOTH,
        })
    }

    /// Places of links that carry data.
    pub(crate) fn active(&self) -> impl Iterator<Item = usize> {
        (0..)
            .zip(&self.links)
            .filter(|(_, link)| link.as_ref().is_some_and(Link::is_active))
            .map(|(at, _)| at)
    }

    /// The active link with the fewest connections, for the next one.
    pub(crate) fn least_used(&self) -> Option<usize> {
        self.active().min_by_key(|&place| self.link(place).map_or(0, |link| link.connections))
    }

    pub(crate) fn is_active(&self) -> bool {
        self.lingers_until.is_none() && self.active().next().is_some()
    }

    /// Whether its first link is still to be confirmed.
    pub(crate) fn is_activating(&self) -> bool {
        self.lingers_until.is_none() && self.active().next().is_none()
    }

    /// Numbers of its links, as many as there are.
    pub(crate) fn numbers(&self) -> ([LinkNumber; MAX_LINKS], usize) {
        let mut numbers = [LinkNumber(0); MAX_LINKS];
        let mut count = 0;
        for (number, link) in numbers.iter_mut().zip(self.links.iter().flatten()) {
            *number = link.number();
            count += 1;
        }
        (numbers, count)
    }

    pub(crate) fn place_of(&self, number: LinkNumber) -> Option<usize> {
        self.links.iter().position(|link| link.as_ref().is_some_and(|link| link.number() == number))
    }

    /// Keys of `ring` on the links other than the one in `place`, those still to
    /// be confirmed included: the peer has heard of them before.
    pub(crate) fn keys_elsewhere(&self, ring: &Ring, place: usize) -> Others<2> {
        let mut keys = [LinkRkey::default(); MAX_LINKS];
        let mut count = 0;
        for other in (0..MAX_LINKS).filter(|other| *other != place) {
            let (Some(link), Some(own)) = (self.link(other), self.pool.keys(ring, other)) else { continue };
            if let Some(key) = keys.get_mut(count) {
                *key = LinkRkey { link_number: link.number(), rkey: own.rkey, address: own.iova };
                count += 1;
            }
        }
        keys.get(..count).and_then(Others::new).unwrap_or(Others::NONE)
    }

    /// Whether a connection that is ready could say something now.
    pub(crate) fn can_say(&self) -> bool {
        self.links
            .iter()
            .flatten()
            .any(|link| !link.ready.is_empty() && (link.failed.is_some() || link.has_cdc_slot()))
    }

    pub(crate) fn has_room(&self) -> bool {
        self.connections < usize::from(self.max_conns)
    }
}

/// LLC messages that find room beside those of CDC.
const LLC_MESSAGES: u32 = 16;

/// Requests of one message: an RDMA WRITE on each side of the ring's end, and
/// the SEND.
const REQUESTS_PER_MESSAGE: u32 = 3;

/// Elements of a request: a WRITE on each side of the send ring's end.
const SGES: u32 = 2;

/// A link: one queue pair, and where it leads.
pub(crate) struct Link {
    pub(crate) port: usize,
    pub(crate) rdma: RdmaPort,
    pub(crate) pd: PdHandle,
    pub(crate) qp: QpHandle,
    pub(crate) qpn: Qpn,
    pub(crate) psn: Psn,
    pub(crate) gid_index: u16,
    pub(crate) gid: Gid,
    pub(crate) mac: Mac,
    pub(crate) mtu: MtuCode,
    /// The other end, once it is known.
    pub(crate) peer: Option<PeerEnd>,
    pub(crate) is_direct: bool,
    /// Its provider writes while it posts.
    pub(crate) writes_now: bool,
    /// Its number, before its machine runs.
    pub(crate) planned: LinkNumber,
    pub(crate) llc: Option<llc::Link>,
    /// Connections that are bound to it.
    pub(crate) connections: usize,
    /// Room for an LLC message that is too long to be copied when posting.
    long: Option<LongMessage>,
    pub(crate) receives: Receives,
    pub(crate) posted: VecDeque<Posted>,
    messages_max: u32,
    pub(crate) cdc_in_flight: u32,
    /// Messages since the last one that has a completion of its own.
    silent: u32,
    next_wr: u64,
    /// Work requests posted, the most messages that were unacknowledged, and how
    /// often one waited for a place.
    pub(crate) requests: u64,
    pub(crate) in_flight_most: usize,
    pub(crate) slot_waits: u64,
    /// What the peer may have no receive for.
    pub(crate) unproven: Unproven,
    pub(crate) messages_received: u64,
    /// Connections with something to say, in turn.
    pub(crate) ready: Ready,
    /// LLC messages for which there was no room yet.
    pub(crate) unsaid: VecDeque<llc::Message>,
    pub(crate) failed: Option<WcStatus>,
    /// What follows from its end has been done.
    pub(crate) is_down: bool,
    /// Whose handshake waits for it to be confirmed.
    pub(crate) waiter: Option<SocketHandle>,
    /// The server's ADD LINK was answered.
    pub(crate) add_link_answered: bool,
}

/// The peer's end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PeerEnd {
    pub(crate) gid: Gid,
    pub(crate) qpn: Qpn,
    pub(crate) psn: Psn,
    pub(crate) mac: Mac,
}

impl PeerEnd {
    /// From what the peer told, and where its Ethernet frames come from.
    pub(crate) const fn new(terms: &SmcrTerms, gid: Gid, mac: Mac) -> Self {
        Self { gid, qpn: terms.qpn, psn: terms.psn, mac }
    }
}

/// A message whose SEND was posted, and what its completion will mean.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Posted {
    pub(crate) wr_id: u64,
    pub(crate) what: Said,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Said {
    /// A CDC message that asks whether all has arrived.
    Validation {
        connection: SocketHandle,
    },
    /// A CDC message.
    Cdc {
        connection: SocketHandle,
        mark: Mark,
    },
    Llc,
}

impl Link {
    /// A queue pair in RESET, and memory for its receives, in a PD of its own.
    pub(crate) fn new<P: Provider>(
        provider: &mut P,
        place: Place,
        psn: Psn,
        limits: &Limits,
    ) -> Result<Self, VerbsError> {
        let Limits { receives, messages, peer_receives, .. } = *limits;
        let pd = provider.alloc_pd(place.rdma.device)?;
        let (receives, qp, qpn) = match Self::make_in(provider, pd, place.cq, receives, messages) {
            Ok(made) => made,
            Err(error) => {
                let _ = provider.dealloc_pd(pd);
                return Err(error);
            }
        };
        let writes_now = provider.device(place.rdma.device).is_ok_and(|device| device.writes_now);
        let Place { port, rdma, gid_index, gid, mac, mtu, is_direct, .. } = place;
        Ok(Self {
            port,
            rdma,
            pd,
            qp,
            qpn,
            psn,
            gid_index,
            gid,
            mac,
            mtu,
            peer: None,
            is_direct,
            writes_now,
            planned: LinkNumber(1),
            llc: None,
            connections: 0,
            long: None,
            receives,
            posted: VecDeque::with_capacity((messages + LLC_MESSAGES) as usize),
            messages_max: messages,
            cdc_in_flight: 0,
            silent: 0,
            next_wr: 0,
            requests: 0,
            in_flight_most: 0,
            slot_waits: 0,
            unproven: Unproven::new(peer_receives),
            messages_received: 0,
            ready: Ready::default(),
            unsaid: VecDeque::new(),
            failed: None,
            is_down: false,
            waiter: None,
            add_link_answered: false,
        })
    }

    fn make_in<P: Provider>(
        provider: &mut P,
        pd: PdHandle,
        cq: CqHandle,
        receives: u32,
        messages: u32,
    ) -> Result<(Receives, QpHandle, Qpn), VerbsError> {
        let receives = Receives::new(provider, pd, receives)?;
        let capabilities = QpCapabilities {
            max_send_wr: messages * REQUESTS_PER_MESSAGE + LLC_MESSAGES,
            max_recv_wr: receives.count(),
            max_send_sge: SGES,
            max_recv_sge: SGES,
            max_inline_data: RECEIVE_LEN,
        };
        let init = QpInit { pd, send_cq: cq, recv_cq: cq, capabilities };
        let made = provider.create_qp(init).and_then(|qp| Ok((receives, qp, provider.qp(qp)?.qpn)));
        if made.is_err() {
            receives.free(provider);
        }
        made
    }

    /// Whether it carries data.
    pub(crate) fn is_active(&self) -> bool {
        self.failed.is_none() && self.llc.as_ref().is_some_and(|llc| llc.state() == llc::LinkState::Active)
    }

    /// Its number, once its machine runs.
    pub(crate) fn number(&self) -> LinkNumber {
        self.llc.as_ref().map_or(self.planned, llc::Link::number)
    }

    /// RESET to RTR, receives posted (Linux 6.12 smc_ib: RTR, receives, CLC
    /// Confirm).
    pub(crate) fn make_ready_to_receive<P: Provider>(
        &mut self,
        provider: &mut P,
        peer: PeerEnd,
        mtu: MtuCode,
    ) -> Result<(), VerbsError> {
        let init = InitAttributes { port: self.rdma.port, pkey_index: 0, access: Access::REMOTE_WRITE };
        provider.modify_qp(self.qp, QpTransition::Init(init))?;
        let path = AddressVector {
            source_gid_index: self.gid_index,
            destination_gid: peer.gid,
            destination_mac: peer.mac,
            flow_label: 0,
            traffic_class: 0,
            hop_limit: if self.is_direct { 1 } else { 64 },
            service_level: 0,
        };
        let rtr = RtrAttributes {
            path_mtu: mtu,
            destination_qpn: peer.qpn,
            rq_psn: peer.psn,
            max_dest_rd_atomic: 1,
            min_rnr_timer: 5,
            path,
        };
        provider.modify_qp(self.qp, QpTransition::ReadyToReceive(rtr))?;
        self.peer = Some(peer);
        self.mtu = mtu;
        (0..self.receives.count()).try_for_each(|slot| self.post_receives(provider, &[slot]))
    }

    /// RTR to RTS, with Linux's timeouts.
    pub(crate) fn make_ready_to_send<P: Provider>(&self, provider: &mut P) -> Result<(), VerbsError> {
        let rts =
            RtsAttributes { timeout: 15, retry_count: 7, rnr_retry: 7, sq_psn: self.psn, max_rd_atomic: 1 };
        provider.modify_qp(self.qp, QpTransition::ReadyToSend(rts))
    }

    /// Posts these receives, at most as many as a [`Refill`](crate::receives::Refill) has.
    #[inline]
    pub(crate) fn post_receives<P: Provider>(
        &self,
        provider: &mut P,
        slots: &[u32],
    ) -> Result<(), VerbsError> {
        self.receives.post(provider, self.qp, slots)
    }

    /// Copies what arrived in `slot`: at most `out` octets of `len`.
    #[inline]
    pub(crate) fn received<P: Provider>(&self, provider: &P, slot: u32, len: u32, out: &mut [u8]) -> usize {
        self.receives.copy(provider, slot, len, out)
    }

    /// Messages that were posted, ever: each has a number of its own.
    pub(crate) const fn messages_sent(&self) -> u64 {
        self.next_wr
    }

    /// Whether a CDC message can be posted now.
    #[inline]
    pub(crate) fn has_cdc_slot(&self) -> bool {
        self.cdc_in_flight < self.messages_max && self.unproven.takes_cdc()
    }

    /// Whether an LLC message can be: some places are theirs alone.
    pub(crate) fn has_llc_slot(&self) -> bool {
        self.posted.len() - (self.cdc_in_flight as usize) < LLC_MESSAGES as usize
    }

    /// Whether the next message may do without a completion of its own: a later
    /// one's frees its place, and at least one of those that fill all places has
    /// one.
    #[inline]
    pub(crate) const fn may_be_silent(&self) -> bool {
        self.silent + 1 < self.messages_max / 2
    }

    /// Posts the SEND of a message behind `writes`.
    #[inline]
    pub(crate) fn post<P: Provider>(
        &mut self,
        provider: &mut P,
        writes: &[SendRequest<'_>],
        octets: &[u8],
        what: Said,
        signalled: bool,
    ) -> Result<(), VerbsError> {
        self.post_send(provider, writes, Payload::Inline(octets), what, signalled)
    }

    #[inline]
    fn post_send<P: Provider>(
        &mut self,
        provider: &mut P,
        writes: &[SendRequest<'_>],
        payload: Payload<'_>,
        what: Said,
        signalled: bool,
    ) -> Result<(), VerbsError> {
        let wr_id = self.next_wr;
        let send = SendRequest { wr_id, operation: SendOperation::Send, payload, signalled, solicited: true };
        let posted = match writes {
            [] => provider.post_send(self.qp, &[send]),
            [one] => provider.post_send(self.qp, &[*one, send]),
            [one, two, ..] => provider.post_send(self.qp, &[*one, *two, send]),
        };
        posted.map_err(|error| error.error)?;
        self.next_wr = (self.next_wr + 1) & !(RECEIVE_BIT | WRITE_BIT);
        self.silent = if signalled { 0 } else { self.silent + 1 };
        self.unproven.sent();
        if !matches!(what, Said::Llc) {
            self.cdc_in_flight += 1;
        }
        self.posted.push_back(Posted { wr_id, what });
        self.requests += 1 + writes.len() as u64;
        self.in_flight_most = self.in_flight_most.max(self.posted.len());
        Ok(())
    }

    /// Posts the SEND of an LLC message. One that is too long to be copied goes
    /// from memory of its own; a peer asks for no second one before it is sent.
    pub(crate) fn post_llc<P: Provider>(
        &mut self,
        provider: &mut P,
        octets: &[u8],
    ) -> Result<(), VerbsError> {
        if octets.len() <= RECEIVE_LEN as usize {
            return self.post(provider, &[], octets, Said::Llc, true);
        }
        let long = match self.long {
            Some(long) => long,
            None => *self.long.insert(LongMessage::new(provider, self.pd)?),
        };
        provider.outgoing(long.memory, 0, octets.len())?.copy_from_slice(octets);
        let sge = Sge { addr: long.keys.iova, len: octets.len() as u32, lkey: long.keys.lkey };
        self.post_send(provider, &[], Payload::Registered(&[sge]), Said::Llc, true)
    }

    /// The SEND `wr_id` has completed, and with it those posted before it: the
    /// oldest of them that was not taken yet, and whether it is the one.
    #[inline]
    pub(crate) fn completed(&mut self, wr_id: u64) -> Option<(Said, bool)> {
        let Posted { wr_id: oldest, what } = *self.posted.front().filter(|posted| posted.wr_id <= wr_id)?;
        self.posted.pop_front();
        if !matches!(what, Said::Llc) {
            self.cdc_in_flight -= 1;
        }
        Some((what, oldest == wr_id))
    }

    /// Ends the queue pair and all that was made for it. The rings must have left
    /// the PD before.
    pub(crate) fn destroy<P: Provider>(&mut self, provider: &mut P) {
        // A device that is gone may refuse; its objects are gone with it.
        let _ = provider.destroy_qp(self.qp);
        self.receives.free(provider);
        if let Some(long) = self.long.take() {
            let _ = provider.deregister(long.mr);
            let _ = provider.free_memory(long.memory);
        }
        let _ = provider.dealloc_pd(self.pd);
    }
}

/// Set in the `wr_id` of receives, never in that of a SEND.
pub(crate) const RECEIVE_BIT: u64 = 1 << 63;

/// Set in the `wr_id` of WRITEs: they complete only when the link has failed, and
/// the SEND behind them tells it too.
pub(crate) const WRITE_BIT: u64 = 1 << 62;

/// Memory for one long LLC message.
#[derive(Clone, Copy)]
struct LongMessage {
    memory: MemHandle,
    mr: MrHandle,
    keys: MrAttributes,
}

impl LongMessage {
    fn new<P: Provider>(provider: &mut P, pd: PdHandle) -> Result<Self, VerbsError> {
        let memory = provider.alloc_memory(llc::MAX_LEN, MemoryUse::Outgoing)?;
        let registered =
            provider.register(pd, memory, Access::empty()).and_then(|mr| Ok((mr, provider.mr(mr)?)));
        match registered {
            Ok((mr, keys)) => Ok(Self { memory, mr, keys }),
            Err(error) => {
                let _ = provider.free_memory(memory);
                Err(error)
            }
        }
    }
}
