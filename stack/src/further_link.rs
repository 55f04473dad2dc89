//! A second link for a group: the server offers, the client accepts or rejects
//! (RFC 7609 §3.5.2, Linux 6.12 smc_llc). Both register their rings on it and
//! tell each other the keys, and CONFIRM LINK shows that it works.

use alloc::vec::Vec;

use smolsmc_llc::{
    self as llc, AddLink, AddLinkExtension, LinkRkey, MAX_LINKS, RejectReason, RkeyMapping, Role,
};
use smolsmc_verbs::{PortState, Provider, VerbsError};
use smolsmc_wire::{LinkNumber, Mac};

use crate::group::{Group, GroupKey, Link, PeerEnd};
use crate::place::{Place, choose_gid};
use crate::rendezvous::common_mtu;
use crate::shared::Shared;

/// Links both sides negotiate at most; the third place is for one that takes
/// over.
const LINKS_WANTED: usize = 2;

impl<P: Provider> Shared<P> {
    /// Offers a second link, if we are the server, both sides want one, and
    /// there is a port for it.
    pub(crate) fn offer_further_link(&mut self, key: GroupKey, carrier: usize) {
        let Some(group) = self.groups.get(key) else { return };
        let wanted = group.role == Role::Server
            && usize::from(group.max_links) >= LINKS_WANTED
            && group.links.iter().flatten().count() < LINKS_WANTED
            && group.offered.is_none()
            && group.is_active();
        let Some(site) = self.further_place(group).filter(|_| wanted) else { return };
        // Without resources for it the group goes on with one link.
        let Ok(place) = self.make_further_link(key, site) else { return };
        let now = self.now;
        let Some(group) = self.groups.get_mut(key) else { return };
        group.links_made = group.links_made.wrapping_add(1).max(1);
        let number = LinkNumber(group.links_made);
        if let Some(link) = group.link_mut(place) {
            link.planned = number;
        }
        let offer = own_end(group, carrier, place, number);
        let llc = group.link_mut(carrier).and_then(|link| link.llc.as_mut());
        let said = llc.zip(offer).is_some_and(|(llc, offer)| llc.offer_add_link(now, offer));
        if said {
            group.offered = Some(place);
            self.run_link(key, carrier);
        } else {
            self.destroy_link(key, place);
        }
    }

    /// The client's answer, or none.
    pub(crate) fn add_link_answered(&mut self, key: GroupKey, carrier: usize, answer: Option<&AddLink>) {
        let Some(group) = self.groups.get_mut(key) else { return };
        let Some(place) = group.offered.take() else { return };
        let planned = group.link(place).map(|link| link.planned);
        let ready = answer.is_some_and(|answer| {
            planned == Some(answer.link_number) && self.ready_further_link(key, carrier, place, answer)
        });
        if ready {
            self.start_further_link(key, place);
        } else {
            self.destroy_link(key, place);
        }
    }

    /// The server offers a link: accepted if it leads over another port of ours,
    /// or to another of the server's.
    pub(crate) fn add_link_offered(&mut self, key: GroupKey, carrier: usize, offer: &AddLink) {
        let accepted = self.accept_further_link(key, carrier, offer);
        let Some(group) = self.groups.get_mut(key) else { return };
        let answer =
            accepted.and_then(|place| Some((place, own_end(group, carrier, place, offer.link_number)?)));
        if let Some(link) = group.link_mut(carrier) {
            link.add_link_answered = true;
            self.woken.extend(link.waiter);
            match (&mut link.llc, &answer) {
                (Some(llc), Some((_, answer))) => llc.answer_add_link(answer.clone()),
                (Some(llc), None) => llc.reject_add_link(offer),
                (None, _) => {}
            }
        }
        if let Some((place, _)) = answer {
            self.start_further_link(key, place);
        }
    }

    fn accept_further_link(&mut self, key: GroupKey, carrier: usize, offer: &AddLink) -> Option<usize> {
        let group = self.groups.get(key)?;
        let room = usize::from(group.max_links) >= LINKS_WANTED
            && group.links.iter().flatten().count() < LINKS_WANTED;
        let first = group.link(carrier)?;
        let peer_is_same = first.peer.is_some_and(|peer| peer.gid == offer.gid);
        let site = match self.further_place(group) {
            Some(site) => site,
            // Over our one port, but to another of the server's.
            None if !peer_is_same => self.place_on(first.port)?,
            None => return None,
        };
        if !room || group.place_of(offer.link_number).is_some() {
            return None;
        }
        let is_direct = self.is_direct(site.port, offer.gid)?;
        let place = self.make_further_link(key, Place { is_direct, ..site }).ok()?;
        if let Some(link) = self.groups.get_mut(key)?.link_mut(place) {
            link.planned = offer.link_number;
        }
        if self.ready_further_link(key, carrier, place, offer) {
            return Some(place);
        }
        self.destroy_link(key, place);
        None
    }

    /// A port that no link of the group uses.
    fn further_place(&self, group: &Group) -> Option<Place> {
        let vlan = |port: usize| self.ports.get(port).and_then(|port| port.vlan);
        let unused = |port: &usize| {
            let same_vlan = vlan(*port) == vlan(group.port);
            same_vlan && group.links.iter().flatten().all(|link| link.port != *port)
        };
        let direct = group.links.iter().flatten().next().is_some_and(|link| link.is_direct);
        let place = (0..self.ports.len()).filter(unused).find_map(|port| self.place_on(port))?;
        Some(Place { is_direct: direct, ..place })
    }

    fn place_on(&self, index: usize) -> Option<Place> {
        let port = self.ports.get(index)?;
        let rdma = port.rdma?;
        let attributes = self.provider.port(rdma).ok()?;
        if attributes.state != PortState::Active {
            return None;
        }
        let on_subnet = |gid: [u8; 4]| port.neighbour_of(gid.into()).is_some();
        let (gid_index, gid) = choose_gid(&self.provider, rdma, port.vlan, on_subnet)?;
        let (_, cq) = *self.cqs.iter().find(|(device, _)| *device == rdma.device)?;
        let (mac, mtu) = (attributes.mac, attributes.active_mtu);
        Some(Place { port: index, rdma, cq, gid_index, gid, mac, mtu, is_direct: true })
    }

    /// A link in a free place, all rings registered on it.
    fn make_further_link(&mut self, key: GroupKey, site: Place) -> Result<usize, VerbsError> {
        let limits = self.config.limits;
        let psn = self.draws.psn();
        let Self { groups, provider, by_qp, .. } = self;
        let group = groups.get_mut(key).ok_or(VerbsError::NoSuch("link group"))?;
        let free = (0..MAX_LINKS).find(|place| group.link(*place).is_none());
        let place = free.ok_or(VerbsError::Exhausted("links of the group"))?;
        let mut link = Link::new(provider, site, psn, &limits)?;
        if let Err(error) = group.pool.add_domain(provider, place, link.pd) {
            link.destroy(provider);
            return Err(error);
        }
        by_qp.insert(link.qp, (key, place));
        if let Some(free) = group.links.get_mut(place) {
            *free = Some(link);
        }
        Ok(place)
    }

    /// Makes a further link ready for the peer's end of it, and notes the peer's
    /// keys: RTR, and for a server RTS.
    fn ready_further_link(&mut self, key: GroupKey, carrier: usize, place: usize, theirs: &AddLink) -> bool {
        let Self { groups, provider, .. } = self;
        let Some(group) = groups.get_mut(key) else { return false };
        let (role, number) = (group.role, theirs.link_number);
        let Some(known) = group.link(carrier).map(Link::number) else { return false };
        let gateway = group.link(carrier).and_then(|link| link.peer).map_or(Mac::default(), |peer| peer.mac);
        let Some(link) = group.link_mut(place) else { return false };
        let mac = if link.is_direct { theirs.mac } else { gateway };
        let peer = PeerEnd { gid: theirs.gid, qpn: theirs.qpn, psn: theirs.psn, mac };
        let Some(mtu) = common_mtu(link.mtu, theirs.mtu) else { return false };
        let mut ready = link.make_ready_to_receive(provider, peer, mtu);
        if role == Role::Server {
            ready = ready.and_then(|()| link.make_ready_to_send(provider));
        }
        let Some(extension) = theirs.extension.as_ref().filter(|_| ready.is_ok()) else { return false };
        for mapping in &extension.rkeys {
            let new = LinkRkey { link_number: number, rkey: mapping.new, address: mapping.address };
            if !group.ledger.learn_pair(known, mapping.current, new) {
                return false;
            }
        }
        true
    }

    /// Its machine: CONFIRM LINK on the new link itself.
    fn start_further_link(&mut self, key: GroupKey, place: usize) {
        let (now, timers) = (self.now, self.config.timers.link);
        let Some(group) = self.groups.get_mut(key) else { return };
        let (role, own) = (group.role, group.confirm_link(place));
        let (Some(own), Some(link)) = (own, group.link_mut(place)) else { return };
        link.llc = Some(llc::Link::further(role, own, timers, now));
        self.run_link(key, place);
    }

    /// A port has come up: groups that lost a link over it may have one again.
    pub(crate) fn port_up(&mut self) {
        let keys: Vec<_> = self.groups.keys().collect();
        for key in keys {
            if let Some(carrier) = self.groups.get(key).and_then(|group| group.active().next()) {
                self.offer_further_link(key, carrier);
            }
        }
    }
}

/// Our end of the link in `place`, with the keys of all RMBs on it.
fn own_end(group: &mut Group, carrier: usize, place: usize, link_number: LinkNumber) -> Option<AddLink> {
    let mut rkeys = Vec::new();
    for ring in group.pool.told_of() {
        if let (Some(known), Some(new)) = (group.pool.keys(&ring, carrier), group.pool.keys(&ring, place)) {
            rkeys.push((ring, RkeyMapping { current: known.rkey, new: new.rkey, address: new.iova }));
        }
    }
    rkeys.truncate(AddLinkExtension::MAX_RKEYS);
    for (ring, _) in &rkeys {
        group.pool.announce(ring, place);
    }
    let rkeys = rkeys.into_iter().map(|(_, mapping)| mapping).collect();
    let link = group.link(place)?;
    Some(AddLink {
        rejected: false,
        reject_reason: RejectReason::NONE,
        mac: link.mac,
        gid: link.gid,
        qpn: link.qpn,
        link_number,
        mtu: link.mtu,
        psn: link.psn,
        extension: Some(AddLinkExtension { v2_direct: link.is_direct, client_target_gid: link.gid, rkeys }),
    })
}
