//! What all connections share, and the small moves that need no more than one
//! of them.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use hashbrown::HashMap;
use slotmap::SlotMap;
use smolsmc_cdc::CdcMessage;
use smolsmc_clc::{IpArea, Offer};
use smolsmc_llc as llc;
use smolsmc_rmb::{Returned, RingKind};
use smolsmc_verbs::{Completion, CqHandle, DeviceId, PortState, Provider, QpHandle, VerbsError};
use smolsmc_wire::{AlertToken, Gid, Instant, PeerId, Rkey, RmbeSize};

use crate::config::Config;
use crate::connection::{Connection, Half, Part, Phase, Smc};
use crate::deadlines::{Deadlines, Due};
use crate::draws::Draws;
use crate::draws::Secret;
use crate::error::ConnectionError;
use crate::event::{Event, Events};
use crate::group::{Group, GroupKey};
use crate::handle::{ListenerHandle, SocketHandle};
use crate::listener::Listener;
use crate::place::{Place, choose_gid};
use crate::port::{Port, Tuple};
use crate::ready::SHORT;
use crate::spare::Spare;
use crate::stats::StackStats;
use crate::time_wait::TimeWaits;

pub(crate) type Connections = SlotMap<SocketHandle, Connection>;

pub(crate) struct Shared<P> {
    pub(crate) config: Config,
    pub(crate) provider: P,
    pub(crate) now: Instant,
    pub(crate) draws: Draws,
    pub(crate) peer_id: PeerId,
    pub(crate) ports: Vec<Port>,
    pub(crate) spare: Spare,
    pub(crate) cqs: Vec<(DeviceId, CqHandle)>,
    pub(crate) listeners: SlotMap<ListenerHandle, Listener>,
    pub(crate) groups: SlotMap<GroupKey, Group>,
    pub(crate) groups_made: u32,
    pub(crate) by_tuple: HashMap<Tuple, SocketHandle, Secret>,
    /// Connections that are over but for what TCP may still hear of them.
    pub(crate) time_waits: TimeWaits,
    pub(crate) by_token: HashMap<AlertToken, SocketHandle, Secret>,
    pub(crate) by_qp: BTreeMap<QpHandle, (GroupKey, usize)>,
    pub(crate) deadlines: Deadlines,
    /// Connections to be served: something happened to them.
    pub(crate) dirty: VecDeque<SocketHandle>,
    /// On some port, somebody stands in line, or may.
    pub(crate) is_port_full: bool,
    /// Connections whose SYN or SYN-ACK waits for a neighbour's address.
    pub(crate) opening: BTreeSet<SocketHandle>,
    /// Servers whose client is just making its link group.
    pub(crate) waiting_for_group: VecDeque<SocketHandle>,
    /// Connections that wait for the answer to a CONFIRM RKEY.
    pub(crate) waiting_for_rkey: VecDeque<(GroupKey, Rkey, SocketHandle)>,
    /// Connections that may go on: what they waited for has come.
    pub(crate) woken: VecDeque<SocketHandle>,
    /// Answers to CONFIRM RKEY, to be told.
    pub(crate) rkeys_confirmed: VecDeque<(GroupKey, Rkey, bool)>,
    /// Groups whose connections have something to say.
    pub(crate) ready: VecDeque<GroupKey>,
    /// Links that have just gone down, and why: their connections are to move.
    pub(crate) downed: VecDeque<(GroupKey, usize, ConnectionError)>,
    /// Groups that have just ended, and why: their connections are to hear it.
    pub(crate) ended: VecDeque<(GroupKey, ConnectionError)>,
    /// Passive connections in their handshake, and how many from where.
    pub(crate) handshakes: usize,
    pub(crate) handshakes_from: BTreeMap<IpAddr, usize>,
    /// Where completions are polled into.
    pub(crate) batch: Vec<Completion>,
    /// Room for the longest LLC message.
    pub(crate) scratch: Vec<u8>,
    pub(crate) readiness_changed: bool,
    pub(crate) events: Events,
    pub(crate) stats: StackStats,
    /// Connections that somebody waits for, and something happened to.
    pub(crate) noticed: VecDeque<SocketHandle>,
    /// Listeners that somebody waits for, and that have a connection.
    pub(crate) knocked: VecDeque<ListenerHandle>,
}

impl<P: Provider> Shared<P> {
    pub(crate) fn offer(&self) -> Offer<'_> {
        let Config { eids, max_conns, max_links, host_name, .. } = &self.config;
        Offer { eids, max_conns: *max_conns, max_links: *max_links, host_name: *host_name }
    }

    /// A connection that came in has left its handshake.
    pub(crate) fn handshake_over(&mut self, from: IpAddr) {
        self.handshakes -= 1;
        if let Some(count) = self.handshakes_from.get_mut(&from) {
            *count -= 1;
            if *count == 0 {
                self.handshakes_from.remove(&from);
            }
        }
    }

    /// Puts a connection among those to be served.
    pub(crate) fn touch(&mut self, handle: SocketHandle, connection: &mut Connection) {
        if !connection.is_dirty {
            connection.is_dirty = true;
            self.dirty.push_back(handle);
        }
    }

    /// Where links of a connection would be: its port's RDMA port, if that is
    /// up and has a GID on the subnet of the local address.
    pub(crate) fn place(&self, connection: &Connection) -> Option<Place> {
        let index = connection.tuple.port;
        let port = self.ports.get(index)?;
        let rdma = port.rdma?;
        let attributes = self.provider.port(rdma).ok()?;
        let local = connection.local().ip();
        if attributes.state != PortState::Active || !local.is_ipv4() {
            return None;
        }
        let on_subnet = |gid: [u8; 4]| port.neighbour_of(gid.into()) == Some(local);
        let (gid_index, gid) = choose_gid(&self.provider, rdma, port.vlan, on_subnet)?;
        let (_, cq) = *self.cqs.iter().find(|(device, _)| *device == rdma.device)?;
        let (mac, mtu) = (attributes.mac, attributes.active_mtu);
        Some(Place { port: index, rdma, cq, gid_index, gid, mac, mtu, is_direct: true })
    }

    /// The local address of a connection over IPv4, and its prefix length.
    pub(crate) fn own_subnet(&self, connection: &Connection) -> Option<(Ipv4Addr, u8)> {
        let local = connection.local().ip();
        let prefix = self.ports.get(connection.tuple.port)?.prefix_of(local)?;
        match local {
            IpAddr::V4(local) => Some((local, prefix)),
            IpAddr::V6(_) => None,
        }
    }

    /// What a Proposal of SMC-Rv1 says of where we are.
    pub(crate) fn ip_area(&self, connection: &Connection) -> Option<IpArea> {
        self.own_subnet(connection).map(|(local, prefix)| IpArea::of_ipv4(local, prefix))
    }

    /// Whether packets to `gid` pass no gateway; `None` if no way leads there.
    pub(crate) fn is_direct(&self, port: usize, gid: Gid) -> Option<bool> {
        let address = gid.ipv4()?.into();
        let port = self.ports.get(port)?;
        match port.neighbour_of(address) {
            Some(_) => Some(true),
            None => port.source_for(address).map(|_| false),
        }
    }

    /// A connection's part of a group on the link in `place`: its rings, and a
    /// token.
    pub(crate) fn take_half(
        &mut self,
        handle: SocketHandle,
        connection: &Connection,
        key: GroupKey,
        place: usize,
        first_contact: bool,
    ) -> Result<Half, VerbsError> {
        let rmb_size = connection.options.rmb_size.unwrap_or(self.config.rmb_size);
        let send_size = connection.options.send_size.unwrap_or(self.config.send_size);
        let token = self.free_token();
        let (rmb, send) = self.take_rings(key, rmb_size, send_size)?;
        let Some(group) = self.groups.get_mut(key) else { return Err(VerbsError::NoSuch("link group")) };
        group.connections += 1;
        group.connections_ever += 1;
        group.idle_since = None;
        if let Some(link) = group.link_mut(place) {
            link.connections += 1;
        }
        self.by_token.insert(token, handle);
        Ok(Half {
            group: key,
            link: place,
            rmb,
            send,
            token,
            first_contact,
            choice: None,
            peer: None,
            rkey_confirmed: None,
            is_doomed: false,
            early: None,
        })
    }

    fn take_rings(
        &mut self,
        key: GroupKey,
        rmb_size: RmbeSize,
        send_size: RmbeSize,
    ) -> Result<(smolsmc_rmb::Ring, smolsmc_rmb::Ring), VerbsError> {
        let Self { groups, provider, .. } = self;
        let group = groups.get_mut(key).ok_or(VerbsError::NoSuch("link group"))?;
        let rmb = group.pool.take(provider, RingKind::Rmb, rmb_size)?;
        match group.pool.take(provider, RingKind::Send, send_size) {
            Ok(send) => Ok((rmb, send)),
            Err(error) => {
                group.pool.give_back(provider, rmb, Returned::Clean { used: 0 });
                Err(error)
            }
        }
    }

    fn free_token(&mut self) -> AlertToken {
        loop {
            let token = self.draws.token();
            if token != AlertToken(0) && !self.by_token.contains_key(&token) {
                return token;
            }
        }
    }

    /// Gives a connection's part of a group back. `clean` says that the peer
    /// will write no more; else it is told that the RMB is gone.
    pub(crate) fn release(&mut self, part: Part, clean: bool) {
        let Part { group: key, link: place, token, rmb, send, used } = part;
        self.by_token.remove(&token);
        let now = self.now;
        let Some(group) = self.groups.get_mut(key) else { return };
        let rkey = group.pool.keys(&rmb, place).map(|keys| keys.rkey);
        // A group that ends lends its rings to nobody any more, and its queue pairs
        // answer on for a while: a WRITE under way is taken, and the keys go after them.
        let clean = clean || group.lingers_until.is_some();
        let returned = if clean { Returned::Clean { used: used.0 } } else { Returned::Unclean };
        group.pool.give_back(&mut self.provider, rmb, returned);
        group.pool.give_back(&mut self.provider, send, Returned::Clean { used: used.1 });
        group.connections -= 1;
        if group.connections == 0 {
            group.idle_since = Some(now);
        }
        if let Some(link) = group.link_mut(place) {
            link.connections = link.connections.saturating_sub(1);
            if let (false, Some(rkey), Some(llc)) = (clean, rkey, &mut link.llc) {
                llc.delete_rkey(now, rkey);
            }
        }
        self.run_link(key, place);
        self.end_empty_group(key);
    }

    /// Gives back what a handshake that came to nothing had taken.
    pub(crate) fn release_half(&mut self, handle: SocketHandle, half: Half) {
        self.waiting_for_rkey.retain(|(_, _, waiter)| *waiter != handle);
        self.release(half.part(), false);
        if half.first_contact {
            self.end_group(half.group, ConnectionError::AbortedHere);
        }
    }

    /// A group ends: nothing new goes over it, and its connections are told.
    pub(crate) fn end_group(&mut self, key: GroupKey, why: ConnectionError) {
        let until = self.now + self.config.timers.linger;
        let Some(group) = self.groups.get_mut(key) else { return };
        if group.lingers_until.is_some() {
            return;
        }
        // A link that was still to be confirmed never is: the peer would write.
        let llcs = group.links.iter_mut().flatten().filter_map(|link| link.llc.as_mut());
        llcs.filter(|llc| llc.state() == llc::LinkState::Activating).for_each(llc::Link::end);
        // A queue pair that has failed acknowledges nothing.
        let answers = group.links.iter().flatten().any(|link| link.failed.is_none());
        group.lingers_until = Some(if answers { until } else { self.now });
        self.events.tell(Event::GroupDown { group: group.number, why });
        self.ended.push_back((key, why));
        self.set_group_deadline(key);
    }

    /// Sets the deadline of a group: what its link waits for, its idleness, or
    /// its end.
    pub(crate) fn set_group_deadline(&mut self, key: GroupKey) {
        let timers = &self.config.timers;
        let Some(group) = self.groups.get_mut(key) else { return };
        let at = match group.lingers_until {
            Some(until) => Some(until),
            None => {
                let idle = match group.role {
                    llc::Role::Server => timers.idle_server,
                    llc::Role::Client => timers.idle_client,
                };
                let idle = group.idle_since.map(|since| since + idle);
                let links = group.links.iter().flatten().filter_map(|link| link.llc.as_ref()?.poll_at());
                idle.into_iter().chain(links).min()
            }
        };
        self.deadlines.set(&mut group.deadline, Due::Group(key), at);
    }

    /// Queues a connection on its link if it has something to say.
    #[inline]
    pub(crate) fn queue(&mut self, handle: SocketHandle, connection: &mut Connection) {
        let Phase::Smc(smc) = &mut connection.phase else { return };
        if !smc.is_queued && smc.has_something_to_say() {
            self.queue_up(handle, smc);
        }
    }

    fn queue_up(&mut self, handle: SocketHandle, smc: &mut Smc) {
        let Some(group) = self.groups.get_mut(smc.group) else { return };
        let Some(link) = group.link_mut(smc.link) else { return };
        smc.is_queued = true;
        link.ready.push(handle, smc.flow.waiting() <= SHORT);
        if !group.is_queued {
            group.is_queued = true;
            self.ready.push_back(smc.group);
        }
    }

    /// A peer's CDC message for one of its connections.
    pub(crate) fn hear_cdc(&mut self, connections: &mut Connections, key: GroupKey, message: &CdcMessage) {
        // Unknown tokens are ignored, as in Linux 6.12 smc_cdc; so is one that
        // belongs to another group.
        let Some(&handle) = self.by_token.get(&message.token) else { return };
        let Some(connection) = connections.get_mut(handle) else { return };
        match &mut connection.phase {
            Phase::Smc(smc) if smc.group == key => {
                // At the first word TCP can give its buffers back.
                let is_first = !smc.flow.has_heard();
                let (news, is_done) = (smc.hear(&self.provider, message), smc.is_done());
                let (place, proof) = (smc.link, smc.proof.read(smc.flow.peer_consumed()));
                if news {
                    self.readiness_changed = true;
                    self.notice(handle, connection);
                }
                if is_first || is_done {
                    self.touch(handle, connection);
                }
                self.queue(handle, connection);
                if let Some(before) = proof {
                    self.prove(key, place, before);
                }
            }
            Phase::Rendezvous(rendezvous) => {
                if let Some(half) = rendezvous.half_mut().filter(|half| half.group == key) {
                    half.hear_early(*message);
                }
            }
            _ => {}
        }
    }
}
