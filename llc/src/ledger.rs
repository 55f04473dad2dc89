use alloc::vec::Vec;

use smolsmc_wire::{LinkNumber, Rkey};

use crate::LinkRkey;

/// Links of a group that have rkeys at the same time: two real ones, and one
/// that takes over from another (Linux 6.12 smc_core).
pub const MAX_LINKS: usize = 3;

/// RMBs of a peer that are kept account of, as many as a Linux peer can have.
pub const MAX_PEER_RMBS: usize = 255;

/// What a peer told of its RMBs: for each, its key and address on each link of
/// the group (RFC 7609 §4.4.3). Keys mean something only with their link.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    rmbs: Vec<PeerRmb>,
    /// The rkeys of each, 0 for those it has not: to look through them all touches a
    /// sixth of the memory.
    rkeys: Vec<[Rkey; MAX_LINKS]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct PeerRmb {
    keys: [Option<LinkRkey>; MAX_LINKS],
}

impl PeerRmb {
    fn on(&self, link: LinkNumber) -> Option<LinkRkey> {
        self.keys.iter().flatten().find(|key| key.link_number == link).copied()
    }

    fn rkeys(&self) -> [Rkey; MAX_LINKS] {
        self.keys.map(|key| key.map_or(Rkey::default(), |key| key.rkey))
    }

    /// False if it is known on too many links.
    fn set(&mut self, key: LinkRkey) -> bool {
        let same =
            |known: &&mut Option<LinkRkey>| known.is_some_and(|known| known.link_number == key.link_number);
        let place = match self.keys.iter_mut().find(same) {
            Some(place) => Some(place),
            None => self.keys.iter_mut().find(|known| known.is_none()),
        };
        place.map(|place| *place = Some(key)).is_some()
    }
}

impl Ledger {
    /// RMBs that are known.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rmbs.len()
    }

    /// Whether none is known.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rmbs.is_empty()
    }

    /// An RMB has this key on a link. False if there is no room for it.
    pub fn learn(&mut self, key: LinkRkey) -> bool {
        if let Some(at) = self.find(key.link_number, key.rkey) {
            return self.set(at, key);
        }
        let room = self.rmbs.len() < MAX_PEER_RMBS;
        if room {
            self.rmbs.push(PeerRmb::default());
            self.rkeys.push([Rkey::default(); MAX_LINKS]);
            self.set(self.rmbs.len() - 1, key);
        }
        room
    }

    fn set(&mut self, at: usize, key: LinkRkey) -> bool {
        let (Some(rmb), Some(rkeys)) = (self.rmbs.get_mut(at), self.rkeys.get_mut(at)) else { return false };
        let is_set = rmb.set(key);
        *rkeys = rmb.rkeys();
        is_set
    }

    /// The RMB that has the key `rkey` on `link` has this one on another. False
    /// if it is not known, or on too many links.
    pub fn learn_other(&mut self, link: LinkNumber, rkey: Rkey, other: LinkRkey) -> bool {
        self.find(link, rkey).is_some_and(|at| self.set(at, other))
    }

    /// As [`Ledger::learn_other`], of an RMB that may be new too: its address on
    /// `link` is told later, if ever.
    pub fn learn_pair(&mut self, link: LinkNumber, rkey: Rkey, other: LinkRkey) -> bool {
        let known = self.find(link, rkey).is_some();
        (known || self.learn(LinkRkey { link_number: link, rkey, address: 0 }))
            && self.learn_other(link, rkey, other)
    }

    /// A link turned out to have another number.
    pub fn renumber(&mut self, from: LinkNumber, to: LinkNumber) {
        for key in self.rmbs.iter_mut().flat_map(|rmb| rmb.keys.iter_mut()).flatten() {
            if key.link_number == from {
                key.link_number = to;
            }
        }
    }

    /// The key and address on link `to` of the RMB that has `rkey` on `from`.
    #[must_use]
    pub fn translate(&self, from: LinkNumber, rkey: Rkey, to: LinkNumber) -> Option<LinkRkey> {
        self.rmbs.get(self.find(from, rkey)?)?.on(to)
    }

    /// The RMB with this key on `link` is no more. False if it was not known.
    pub fn forget(&mut self, link: LinkNumber, rkey: Rkey) -> bool {
        match self.find(link, rkey) {
            Some(at) => {
                self.rmbs.swap_remove(at);
                self.rkeys.swap_remove(at);
                true
            }
            None => false,
        }
    }

    /// A link is no more, and with it all keys on it.
    pub fn forget_link(&mut self, link: LinkNumber) {
        for rmb in &mut self.rmbs {
            for key in &mut rmb.keys {
                if key.is_some_and(|key| key.link_number == link) {
                    *key = None;
                }
            }
        }
        self.rmbs.retain(|rmb| rmb.keys.iter().any(Option::is_some));
        self.rkeys.clear();
        self.rkeys.extend(self.rmbs.iter().map(PeerRmb::rkeys));
    }

    fn find(&self, link: LinkNumber, rkey: Rkey) -> Option<usize> {
        let has_it = |at: usize| self.rmbs.get(at)?.on(link).filter(|key| key.rkey == rkey);
        (0..)
            .zip(&self.rkeys)
            .filter(|(_, rkeys)| rkeys.contains(&rkey))
            .find_map(|(at, _)| has_it(at).map(|_| at))
    }
}
