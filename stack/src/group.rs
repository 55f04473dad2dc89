//! A link group and its link: the queue pair, what is posted on it, and the
//! rings of its connections.

use alloc::collections::VecDeque;

use smolsmc_clc::{Eid, SmcrTerms};
use smolsmc_llc as llc;
use smolsmc_rmb::Pool;
use smolsmc_verbs::{
    Access, AddressVector, CqHandle, InitAttributes, MemHandle, MemoryUse, MrAttributes, MrHandle, Payload,
    PdHandle, Provider, QpCapabilities, QpHandle, QpInit, QpTransition, RdmaPort, RecvRequest, RemoteSpan,
    RtrAttributes, RtsAttributes, SendOperation, SendRequest, Sge, VerbsError, WcStatus,
};
use smolsmc_wire::{Gid, Instant, LinkNumber, Mac, MtuCode, PeerId, Psn, Qpn};

use crate::deadlines::Deadline;
use crate::handle::SocketHandle;
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
    pub(crate) eid: Eid,
    pub(crate) release: u8,
    pub(crate) max_conns: u8,
    pub(crate) max_links: u8,
    pub(crate) pool: Pool,
    pub(crate) link: Link,
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
    pub(crate) fn is_active(&self) -> bool {
        self.link.llc.as_ref().is_some_and(|llc| llc.state() == llc::LinkState::Active)
    }

    /// Whether its link is still to be confirmed.
    pub(crate) fn is_activating(&self) -> bool {
        self.lingers_until.is_none()
            && self.link.llc.as_ref().is_none_or(|llc| llc.state() == llc::LinkState::Activating)
    }

    pub(crate) fn has_room(&self) -> bool {
        self.connections < usize::from(self.max_conns)
    }
}

/// Octets of a receive of its own: what CDC and most of LLC need. Longer
/// messages go on in an area all receives share, as in Linux 6.12 smc_wr: a
/// peer has only one of them under way.
const RECEIVE_LEN: u32 = llc::MIN_LEN as u32;
const SPILL_LEN: u32 = (llc::MAX_LEN - llc::MIN_LEN) as u32;
/// Receives lie so far apart.
const RECEIVE_STRIDE: u32 = 64;

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
    pub(crate) llc: Option<llc::Link>,
    pub(crate) receives: Receives,
    pub(crate) posted: VecDeque<Posted>,
    messages_max: u32,
    pub(crate) cdc_in_flight: u32,
    next_wr: u64,
    /// Connections with something to say, in turn.
    pub(crate) ready: VecDeque<SocketHandle>,
    /// LLC messages for which there was no room yet.
    pub(crate) unsaid: VecDeque<llc::Message>,
    pub(crate) failed: Option<WcStatus>,
    /// Whose handshake waits for it to be confirmed.
    pub(crate) waiter: Option<SocketHandle>,
    pub(crate) add_link_rejected: bool,
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
    /// A CDC message, after which so many octets are written.
    Cdc {
        connection: SocketHandle,
        written: u64,
    },
    Llc,
}

/// Where a link's receives lie.
#[derive(Clone, Copy)]
pub(crate) struct Receives {
    memory: MemHandle,
    mr: MrHandle,
    keys: MrAttributes,
    count: u32,
}

/// What a link is made on.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) port: usize,
    pub(crate) rdma: RdmaPort,
    pub(crate) cq: CqHandle,
    pub(crate) gid_index: u16,
    pub(crate) gid: Gid,
    pub(crate) mac: Mac,
    pub(crate) mtu: MtuCode,
    pub(crate) is_direct: bool,
}

impl Link {
    /// A queue pair in RESET, and memory for its receives, in a PD of its own.
    pub(crate) fn new<P: Provider>(
        provider: &mut P,
        place: Place,
        psn: Psn,
        receives: u32,
        messages: u32,
    ) -> Result<Self, VerbsError> {
        let pd = provider.alloc_pd(place.rdma.device)?;
        let (receives, qp, qpn) = match Self::make_in(provider, pd, place.cq, receives, messages) {
            Ok(made) => made,
            Err(error) => {
                let _ = provider.dealloc_pd(pd);
                return Err(error);
            }
        };
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
            llc: None,
            receives,
            posted: VecDeque::with_capacity((messages + LLC_MESSAGES) as usize),
            messages_max: messages,
            cdc_in_flight: 0,
            next_wr: 0,
            ready: VecDeque::new(),
            unsaid: VecDeque::new(),
            failed: None,
            waiter: None,
            add_link_rejected: false,
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
            max_recv_wr: receives.count,
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

    /// Its number, once its machine runs.
    pub(crate) fn number(&self) -> LinkNumber {
        self.llc.as_ref().map_or(LinkNumber(0), llc::Link::number)
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
        (0..self.receives.count).try_for_each(|slot| self.repost(provider, slot))
    }

    /// RTR to RTS, with Linux's timeouts.
    pub(crate) fn make_ready_to_send<P: Provider>(&self, provider: &mut P) -> Result<(), VerbsError> {
        let rts =
            RtsAttributes { timeout: 15, retry_count: 7, rnr_retry: 7, sq_psn: self.psn, max_rd_atomic: 1 };
        provider.modify_qp(self.qp, QpTransition::ReadyToSend(rts))
    }

    /// Posts the receive in `slot` again.
    #[inline]
    pub(crate) fn repost<P: Provider>(&self, provider: &mut P, slot: u32) -> Result<(), VerbsError> {
        let sges = self.receives.sges(slot);
        let request = RecvRequest { wr_id: u64::from(slot) | RECEIVE_BIT, sges: &sges };
        provider.post_recv(self.qp, &[request]).map_err(|error| error.error)
    }

    /// Copies what arrived in `slot`: at most `out` octets of `len`.
    #[inline]
    pub(crate) fn received<P: Provider>(&self, provider: &P, slot: u32, len: u32, out: &mut [u8]) -> usize {
        self.receives.copy(provider, slot, len, out)
    }

    /// Whether a CDC message can be posted now.
    #[inline]
    pub(crate) const fn has_cdc_slot(&self) -> bool {
        self.cdc_in_flight < self.messages_max
    }

    /// Whether an LLC message can be: some places are theirs alone.
    pub(crate) fn has_llc_slot(&self) -> bool {
        self.posted.len() - (self.cdc_in_flight as usize) < LLC_MESSAGES as usize
    }

    /// Posts the SEND of a message behind `writes`.
    #[inline]
    pub(crate) fn post<P: Provider>(
        &mut self,
        provider: &mut P,
        writes: &[SendRequest<'_>],
        octets: &[u8],
        what: Said,
    ) -> Result<(), VerbsError> {
        let wr_id = self.next_wr;
        let send = SendRequest {
            wr_id,
            operation: SendOperation::Send,
            payload: Payload::Inline(octets),
            signalled: true,
            solicited: true,
        };
        let posted = match writes {
            [] => provider.post_send(self.qp, &[send]),
            [one] => provider.post_send(self.qp, &[*one, send]),
            [one, two, ..] => provider.post_send(self.qp, &[*one, *two, send]),
        };
        posted.map_err(|error| error.error)?;
        self.next_wr = (self.next_wr + 1) & !RECEIVE_BIT;
        if matches!(what, Said::Cdc { .. }) {
            self.cdc_in_flight += 1;
        }
        self.posted.push_back(Posted { wr_id, what });
        Ok(())
    }

    /// The SEND `wr_id` has completed, well or not: what it was.
    #[inline]
    pub(crate) fn completed(&mut self, wr_id: u64) -> Option<Said> {
        let posted = self.posted.front().filter(|posted| posted.wr_id == wr_id)?;
        let what = posted.what;
        self.posted.pop_front();
        if matches!(what, Said::Cdc { .. }) {
            self.cdc_in_flight -= 1;
        }
        Some(what)
    }

    /// Ends the queue pair and all that was made for it, but for the PD, which
    /// rings may still be in.
    pub(crate) fn destroy<P: Provider>(&mut self, provider: &mut P) {
        let _ = provider.destroy_qp(self.qp);
        self.receives.free(provider);
    }
}

/// Set in the `wr_id` of receives, never in that of a SEND.
pub(crate) const RECEIVE_BIT: u64 = 1 << 63;

impl Receives {
    fn new<P: Provider>(provider: &mut P, pd: PdHandle, count: u32) -> Result<Self, VerbsError> {
        let len = (count * RECEIVE_STRIDE + SPILL_LEN) as usize;
        let memory = provider.alloc_memory(len, MemoryUse::Incoming)?;
        let registered =
            provider.register(pd, memory, Access::LOCAL_WRITE).and_then(|mr| Ok((mr, provider.mr(mr)?)));
        match registered {
            Ok((mr, keys)) => Ok(Self { memory, mr, keys, count }),
            Err(error) => {
                let _ = provider.free_memory(memory);
                Err(error)
            }
        }
    }

    #[inline]
    fn sges(&self, slot: u32) -> [Sge; 2] {
        let MrAttributes { iova, lkey, .. } = self.keys;
        let own = u64::from(slot) * u64::from(RECEIVE_STRIDE);
        let spill = u64::from(self.count) * u64::from(RECEIVE_STRIDE);
        [Sge { addr: iova + own, len: RECEIVE_LEN, lkey }, Sge { addr: iova + spill, len: SPILL_LEN, lkey }]
    }

    #[inline]
    fn copy<P: Provider>(&self, provider: &P, slot: u32, len: u32, out: &mut [u8]) -> usize {
        let mut copied = 0;
        let own = (slot * RECEIVE_STRIDE) as usize;
        let spill = (self.count * RECEIVE_STRIDE) as usize;
        let own_len = len.min(RECEIVE_LEN) as usize;
        for (offset, len) in [(own, own_len), (spill, len as usize - own_len)] {
            let Ok(span) = provider.incoming(self.memory, offset, len) else { break };
            let Some(out) = out.get_mut(copied..) else { break };
            copied += span.copy_to(0, out);
        }
        copied
    }

    fn free<P: Provider>(&self, provider: &mut P) {
        let _ = provider.deregister(self.mr);
        let _ = provider.free_memory(self.memory);
    }
}

/// What can be read of a list of GIDs: the first one over RoCEv2 that is
/// IPv4-mapped, as Linux 6.12 smc_ib chooses it, in the subnet of `own`.
pub(crate) fn choose_gid<P: Provider>(
    provider: &P,
    rdma: RdmaPort,
    is_on_subnet: impl Fn([u8; 4]) -> bool,
) -> Option<(u16, Gid)> {
    let len = provider.port(rdma).ok()?.gid_table_len;
    (0..len).find_map(|index| {
        let entry = provider.gid(rdma, index).ok()??;
        let usable = entry.kind == smolsmc_verbs::GidKind::RoCEv2 && entry.vlan.is_none();
        (usable && is_on_subnet(entry.gid.ipv4()?)).then_some((index, entry.gid))
    })
}
