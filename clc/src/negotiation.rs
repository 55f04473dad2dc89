//! What two hosts can agree on: the server's choice from a Proposal, and each
//! side's look at the other's answer (Linux 6.12 smc_clc, smc_core).

use smolsmc_wire::Gid;

use crate::{
    AcceptV2, ConfirmV2, Diagnosis, Eid, FirstContact, HostName, Locator, Os, PathTypes, Proposal,
    ProposalV2, Sender, V2Extension, Version,
};

/// The newest release of SMC version 2 spoken here: v2.1.
pub const RELEASE: u8 = 1;

/// Connections a link group must be able to carry (Linux 6.12 smc_clc).
pub const MIN_CONNS: u8 = 16;

/// The feature mask Linux 6.12 sends: emulated ISM, which concerns SMC-D only.
pub const FEATURE_MASK: u16 = 0x0001;

/// What this host brings along to every negotiation of SMC-Rv2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer<'a> {
    /// Its enterprise ids, the preferred one first.
    pub eids: &'a [Eid],
    /// Connections a link group may carry: 16 to 255.
    pub max_conns: u8,
    /// Links a link group may have: 1 or 2.
    pub max_links: u8,
    /// Its name.
    pub host_name: HostName,
}

/// What a server chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The version: 1, or 2.
    pub version: Version,
    /// The release: 0 or 1.
    pub release: u8,
    /// The enterprise id in common.
    pub eid: Eid,
    /// Connections the group may carry.
    pub max_conns: u8,
    /// Links the group may have.
    pub max_links: u8,
    /// Where the client's packets will come from.
    pub gid: Gid,
}

impl Offer<'_> {
    /// A client's Proposal of SMC-Rv2 over `gid`. Linux 6.12 fills in its
    /// identity only where it offers version 1 too; `sender` says what to do.
    #[must_use]
    pub fn propose(&self, sender: Sender, gid: Gid) -> ProposalV2 {
        ProposalV2 {
            version: Version::V2,
            v1_types: PathTypes::Neither,
            v2_types: PathTypes::SmcR,
            sender,
            locator: Locator::default(),
            ip_area: None,
            v2: Some(V2Extension {
                eids: self.eids.iter().take(V2Extension::MAX_EIDS).copied().collect(),
                release: RELEASE,
                seid_present: false,
                roce_gid: gid,
                max_conns: self.max_conns,
                max_links: self.max_links,
                feature_mask: FEATURE_MASK,
            }),
            smcd_v2: None,
        }
    }

    /// A server's choice from what a client proposes.
    ///
    /// # Errors
    /// The diagnosis to decline with: no version in common, no enterprise id,
    /// too few connections or links.
    pub fn choose(&self, proposal: &Proposal) -> Result<Choice, Diagnosis> {
        let Proposal::V2(ProposalV2 { v2_types, v2, .. }) = proposal else {
            return Err(Diagnosis::NO_SMC_DEVICE);
        };
        if !v2_types.offers_smcr() {
            return Err(Diagnosis::NO_SMC_DEVICE);
        }
        let theirs = v2.as_ref().ok_or(Diagnosis::NO_V2_EXTENSION)?;
        if theirs.eids.is_empty() {
            return Err(Diagnosis::NO_UEID);
        }
        // The first of the client's that is ours. Linux says "no device" where
        // there is none.
        let eid = theirs.eids.iter().find(|eid| self.eids.contains(eid));
        let eid = *eid.ok_or(Diagnosis::NO_SMC_DEVICE)?;
        if theirs.roce_gid.ipv4().is_none() {
            return Err(Diagnosis::NO_SMCR_DEVICE);
        }
        let release = theirs.release.min(RELEASE);
        let (mut max_conns, mut max_links) = (u8::MAX, 2);
        if release > 0 {
            max_conns = self.max_conns.min(theirs.max_conns);
            max_links = self.max_links.min(theirs.max_links);
        }
        check_limits(release, max_conns, max_links)?;
        let version = Version::V2;
        Ok(Choice { version, release, eid, max_conns, max_links, gid: theirs.roce_gid })
    }

    /// What either side says about itself on first contact.
    #[must_use]
    pub const fn first_contact(
        &self,
        v2_direct: bool,
        release: u8,
        max_conns: u8,
        max_links: u8,
    ) -> FirstContact {
        let told = release > 0;
        FirstContact {
            v2_direct,
            os: Os::UNKNOWN,
            release,
            host_name: self.host_name,
            max_conns: if told { max_conns } else { 0 },
            max_links: if told { max_links } else { 0 },
            feature_mask: if told { FEATURE_MASK } else { 0 },
            vendor_options: [0; 4],
        }
    }

    /// A client's look at an Accept: whether it stays within what was proposed.
    /// Linux 6.12 does not ask for the enterprise id and the upper limits.
    ///
    /// # Errors
    /// The diagnosis to decline with.
    pub fn check_accept(&self, accept: &AcceptV2) -> Result<(), Diagnosis> {
        if !self.eids.contains(&accept.eid) {
            return Err(Diagnosis::MODE_MISMATCH);
        }
        if accept.terms.gid.ipv4().is_none() {
            return Err(Diagnosis::NO_ROUTE);
        }
        let Some(first) = &accept.first_contact else { return Ok(()) };
        if first.release > RELEASE {
            return Err(Diagnosis::RELEASE);
        }
        if first.release > 0 && first.max_conns > self.max_conns {
            return Err(Diagnosis::MAX_CONNS);
        }
        if first.release > 0 && first.max_links > self.max_links {
            return Err(Diagnosis::MAX_LINKS);
        }
        check_limits(first.release, first.max_conns, first.max_links)
    }
}

impl Choice {
    /// A server's look at a Confirm of first contact. Like Linux 6.12 it lets
    /// pass one without the first-contact bit, and asks nothing else of it.
    ///
    /// # Errors
    /// The diagnosis to decline with.
    pub fn check_confirm(&self, confirm: &ConfirmV2) -> Result<(), Diagnosis> {
        let Some(first) = &confirm.first_contact else { return Ok(()) };
        let theirs = &first.extension;
        if theirs.release != self.release {
            return Err(Diagnosis::RELEASE);
        }
        if self.release > 0 && theirs.max_conns != self.max_conns {
            return Err(Diagnosis::MAX_CONNS);
        }
        if self.release > 0 && theirs.max_links != self.max_links {
            return Err(Diagnosis::MAX_LINKS);
        }
        Ok(())
    }
}

const fn check_limits(release: u8, max_conns: u8, max_links: u8) -> Result<(), Diagnosis> {
    if release > 0 && max_conns < MIN_CONNS {
        return Err(Diagnosis::MAX_CONNS);
    }
    if release > 0 && (max_links < 1 || max_links > 2) {
        return Err(Diagnosis::MAX_LINKS);
    }
    Ok(())
}
