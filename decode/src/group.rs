//! Link groups as a bystander learns them: links from CLC and ADD LINK, rkeys
//! from CLC, CONFIRM RKEY and ADD LINK, tokens from CLC.

use std::collections::BTreeMap;

use smolsmc_llc::AddLink;
use smolsmc_wire::{AlertToken, Gid, LinkNumber, Psn, Qpn, Rkey};

use crate::requests::Requests;

/// Link groups, queue pairs and connections that are followed; what comes after
/// is decoded without context.
pub const MAX_TRACKED: usize = 1 << 16;

/// RMBs followed per link group: the 255 of each side, with room for the ones
/// that were replaced.
pub const MAX_RMBS: usize = 2048;

/// Links followed per link group; numbers are 8 bits.
pub const MAX_LINKS: usize = 255;

/// Which end of a link group: roles are fixed for its life (RFC 7609 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    /// The TCP connector.
    Client,
    /// The TCP listener.
    Server,
}

impl Side {
    /// The other end.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    /// As a word.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

/// Something each side has one of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Both<T> {
    client: T,
    server: T,
}

impl<T> Both<T> {
    /// The client's and the server's.
    pub(crate) fn new(client: T, server: T) -> Self {
        Self { client, server }
    }

    /// That of `side`.
    pub(crate) fn of(&self, side: Side) -> &T {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }

    /// That of `side`, to change it.
    pub(crate) fn of_mut(&mut self, side: Side) -> &mut T {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }
}

/// One end of a link: where its packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct QpAddress {
    /// The port's GID, the packets' IP address.
    pub(crate) gid: Gid,
    /// The queue pair.
    pub(crate) qpn: Qpn,
}

/// What happened on one link.
#[derive(Clone, Debug, Default)]
pub struct LinkCounts {
    /// SENDs with an LLC message.
    pub llc: u64,
    /// SENDs with a CDC message.
    pub cdc: u64,
    /// RDMA WRITE packets.
    pub write_packets: u64,
    /// ACK packets.
    pub acks: u64,
    /// NAKs other than RNR.
    pub naks: u64,
    /// RNR NAKs.
    pub rnr_naks: u64,
    /// Request packets seen before.
    pub retransmissions: u64,
}

/// A queue pair at each end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Link {
    /// The number the server gave it, once seen.
    pub(crate) number: Option<LinkNumber>,
    /// Its two queue pairs.
    pub(crate) ends: Both<Option<QpAddress>>,
    /// What happened on it.
    pub(crate) counts: LinkCounts,
}

/// A receive buffer that one side has announced.
#[derive(Clone, Debug)]
pub(crate) struct Rmb {
    /// Who owns it and lets the other write.
    pub(crate) owner: Side,
    /// Its key and start address on each link, by the link's index.
    pub(crate) keys: BTreeMap<usize, (Rkey, u64)>,
    /// The connection it serves now, by its index.
    pub(crate) connection: Option<usize>,
}

/// A link group.
#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    /// Counts from 1 in this capture.
    pub(crate) id: u32,
    /// Its links, in the order they were seen.
    pub(crate) links: Vec<Link>,
    /// The RMBs of both sides.
    pub(crate) rmbs: Vec<Rmb>,
    /// Connections by the token that the side chose.
    pub(crate) tokens: Both<BTreeMap<AlertToken, usize>>,
    /// ADD LINK of the server that waits for its answer.
    pub(crate) offered: Option<AddLink>,
    /// Connections that joined it.
    pub(crate) connections: u32,
    /// Negotiated limit of connections, if the handshake named one.
    pub(crate) max_conns: Option<u8>,
}

impl Group {
    /// The index of the link with this number.
    pub(crate) fn link_by_number(&self, number: LinkNumber) -> Option<usize> {
        self.links.iter().position(|link| link.number == Some(number))
    }

    /// The RMB that `owner` announced with `rkey` on the link with this index.
    pub(crate) fn rmb_by_key(&self, owner: Side, link: usize, rkey: Rkey) -> Option<usize> {
        // Newest first: a key may come back after its RMB was replaced.
        self.rmbs
            .iter()
            .rposition(|rmb| rmb.owner == owner && rmb.keys.get(&link).is_some_and(|&(key, _)| key == rkey))
    }

    /// The RMB of `owner` with `rkey` on `link`, announced now if it was not.
    /// `None` if too many are known.
    pub(crate) fn announce(&mut self, owner: Side, link: usize, rkey: Rkey, address: u64) -> Option<usize> {
        if let Some(index) = self.rmb_by_key(owner, link, rkey) {
            self.rmbs.get_mut(index)?.keys.insert(link, (rkey, address));
            return Some(index);
        }
        if self.rmbs.len() >= MAX_RMBS {
            return None;
        }
        let keys = BTreeMap::from([(link, (rkey, address))]);
        self.rmbs.push(Rmb { owner, keys, connection: None });
        Some(self.rmbs.len() - 1)
    }

    /// The number of the link with this index, "?" before it is known.
    pub(crate) fn link_name(&self, index: usize) -> String {
        match self.links.get(index).and_then(|link| link.number) {
            Some(number) => number.to_string(),
            None => "?".to_owned(),
        }
    }
}

/// Where the packets toward one queue pair belong.
#[derive(Debug, Default)]
pub(crate) struct QpUse {
    /// Group index, link index, and the side that owns the queue pair.
    pub(crate) place: Option<(usize, usize, Side)>,
    /// Requests toward it.
    pub(crate) requests: Requests,
}

/// All link groups and queue pairs of a capture.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    /// In the order they were seen.
    pub(crate) groups: Vec<Group>,
    qps: BTreeMap<QpAddress, QpUse>,
}

impl Groups {
    /// A new group with one link between these queue pairs; its index. `None`
    /// if too many are known.
    pub(crate) fn create(&mut self, ends: Both<(QpAddress, Psn)>) -> Option<usize> {
        if self.groups.len() >= MAX_TRACKED {
            return None;
        }
        let id = u32::try_from(self.groups.len()).unwrap_or(u32::MAX).saturating_add(1);
        self.groups.push(Group { id, ..Group::default() });
        let index = self.groups.len() - 1;
        self.add_link(index, None, ends);
        Some(index)
    }

    /// Adds a link between these queue pairs. The PSNs are those of each side's
    /// first packet, so they start the requests toward the *other* side.
    pub(crate) fn add_link(
        &mut self,
        group: usize,
        number: Option<LinkNumber>,
        ends: Both<(QpAddress, Psn)>,
    ) {
        let Some(known) = self.groups.get_mut(group).filter(|g| g.links.len() < MAX_LINKS) else { return };
        let addresses = Both::new(Some(ends.of(Side::Client).0), Some(ends.of(Side::Server).0));
        known.links.push(Link { number, ends: addresses, counts: LinkCounts::default() });
        let link = known.links.len() - 1;
        for side in [Side::Client, Side::Server] {
            if let Some(qp) = self.qp(ends.of(side).0) {
                qp.place = Some((group, link, side));
                qp.requests.start_at(ends.of(side.other()).1);
            }
        }
    }

    /// What is known of the queue pair; an entry is made if there is room.
    pub(crate) fn qp(&mut self, address: QpAddress) -> Option<&mut QpUse> {
        if self.qps.len() >= MAX_TRACKED && !self.qps.contains_key(&address) {
            return None;
        }
        Some(self.qps.entry(address).or_default())
    }

    /// Where the queue pair belongs, if that is known.
    pub(crate) fn place(&self, address: QpAddress) -> Option<(usize, usize, Side)> {
        self.qps.get(&address)?.place
    }

    /// Whether no request packet is missing in this capture, on any link of the
    /// group and in either direction.
    pub(crate) fn is_complete(&self, group: usize) -> bool {
        let links = self.groups.get(group).map_or(&[][..], |group| &group.links);
        let ends = links.iter().flat_map(|link| [link.ends.of(Side::Client), link.ends.of(Side::Server)]);
        ends.flatten().all(|end| self.qps.get(end).is_none_or(|qp| qp.requests.is_complete()))
    }

    /// The link with this index.
    pub(crate) fn link_mut(&mut self, group: usize, link: usize) -> Option<&mut Link> {
        self.groups.get_mut(group)?.links.get_mut(link)
    }
}
