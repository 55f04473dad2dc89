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
}

#[derive(Clone, Copy, Debug, Default)]
struct PeerRmb {
    keys: [Option<LinkRkey>; MAX_LINKS],
}

impl PeerRmb {
    fn on(&self, link: LinkNumber) -> Option<LinkRkey> {
        self.keys.iter().flatten().find(|key| key.link_number == link).copied()
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
        if let Some(rmb) = self.find(key.link_number, key.rkey) {
            return rmb.set(key);
        }
        let room = self.rmbs.len() < MAX_PEER_RMBS;
        if room {
            let mut rmb = PeerRmb::default();
            rmb.set(key);
            self.rmbs.push(rmb);
        }
        room
    }

    /// The RMB that has the key `rkey` on `link` has this one on another. False
    /// if it is not known, or on too many links.
    pub fn learn_other(&mut self, link: LinkNumber, rkey: Rkey, other: LinkRkey) -> bool {
        self.find(link, rkey).is_some_and(|rmb| rmb.set(other))
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
        let same = |rmb: &&PeerRmb| rmb.on(from).is_some_and(|key| key.rkey == rkey);
        self.rmbs.iter().find(same)?.on(to)
    }

    /// The RMB with this key on `link` is no more. False if it was not known.
    pub fn forget(&mut self, link: LinkNumber, rkey: Rkey) -> bool {
        let same = |rmb: &PeerRmb| rmb.on(link).is_some_and(|key| key.rkey == rkey);
        match self.rmbs.iter().position(same) {
            Some(at) => {
                self.rmbs.swap_remove(at);
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
    }

    fn find(&mut self, link: LinkNumber, rkey: Rkey) -> Option<&mut PeerRmb> {
        self.rmbs.iter_mut().find(|rmb| rmb.on(link).is_some_and(|key| key.rkey == rkey))
    }
}
