//! SMC-Rv1 beside version 2: what a Proposal offers of it, and its Accept and
//! Confirm in the terms of version 2, which knows everything they say.

use core::net::Ipv4Addr;

use crate::{
    Agreement, AgreementV2, Choice, Diagnosis, Eid, FirstContact, HostName, IpArea, Os, PathTypes, Proposal,
    ProposalV1, Sender, TermsV1, Version,
};

/// Connections of a link group of version 1 (RFC 7609 §2.2.2: RMBEs are counted
/// in one octet).
const MAX_CONNS: u8 = u8::MAX;

/// The enterprise id where there is none.
const NO_EID: Eid = Eid([b' '; Eid::LEN]);

impl IpArea {
    /// Of a client at `address`, in a network with a prefix of so many bits.
    #[must_use]
    pub fn of_ipv4(address: Ipv4Addr, prefix: u8) -> Self {
        Self {
            ipv4_subnet: network(address, prefix).to_be_bytes(),
            ipv4_prefix_len: prefix,
            ipv6_prefixes: alloc::vec::Vec::new(),
        }
    }

    /// Whether a server at `address` is in the client's subnet, as version 1
    /// demands (RFC 7609 §3.5.1.3, Linux 6.12 smc_clc).
    #[must_use]
    pub fn is_shared_by(&self, address: Ipv4Addr, prefix: u8) -> bool {
        self.ipv4_prefix_len == prefix && self.ipv4_subnet == network(address, prefix).to_be_bytes()
    }
}

fn network(address: Ipv4Addr, prefix: u8) -> u32 {
    let host_bits = u32::from(32u8.saturating_sub(prefix));
    let mask = u32::MAX.checked_shl(host_bits).unwrap_or(0);
    address.to_bits() & mask
}

impl Proposal {
    /// Who offers SMC-Rv1, and from which subnets, if that is offered.
    #[must_use]
    pub fn smcr_v1(&self) -> Option<(&Sender, &IpArea)> {
        match self {
            Self::V1(v1) => v1.types.offers_smcr().then_some((&v1.sender, &v1.ip_area)),
            Self::V2(v2) if v2.v1_types.offers_smcr() => Some((&v2.sender, v2.ip_area.as_ref()?)),
            Self::V2(_) => None,
        }
    }

    /// The same with SMC-Rv1 on offer too: `sender.gid` must be set.
    #[must_use]
    pub fn with_smcr_v1(self, area: IpArea) -> Self {
        match self {
            Self::V2(mut v2) => {
                v2.v1_types = PathTypes::SmcR;
                v2.ip_area = Some(area);
                Self::V2(v2)
            }
            v1 => v1,
        }
    }

    /// Of SMC-Rv1 alone, in version 1 (RFC 7609 Appendix A.2.2).
    #[must_use]
    pub const fn v1(sender: Sender, ip_area: IpArea) -> Self {
        Self::V1(ProposalV1 { types: PathTypes::SmcR, sender, growth: alloc::vec::Vec::new(), ip_area })
    }
}

impl Choice {
    /// A server's choice of SMC-Rv1, where the Proposal offers it. One link: a
    /// second one of version 1 is not made here.
    ///
    /// # Errors
    /// [`Diagnosis::NO_SMC_DEVICE`] if it does not; [`Diagnosis::PREFIX_MISMATCH`]
    /// from another subnet.
    pub fn v1(proposal: &Proposal, address: Ipv4Addr, prefix: u8) -> Result<Self, Diagnosis> {
        let (sender, area) = proposal.smcr_v1().ok_or(Diagnosis::NO_SMC_DEVICE)?;
        if !area.is_shared_by(address, prefix) {
            return Err(Diagnosis::PREFIX_MISMATCH);
        }
        let version = Version::V1;
        Ok(Self { version, release: 0, eid: NO_EID, max_conns: MAX_CONNS, max_links: 1, gid: sender.gid })
    }
}

impl TermsV1 {
    /// An Accept in the terms of version 2; its version says that it is not one.
    #[must_use]
    pub fn as_accept(&self) -> AgreementV2<FirstContact> {
        let first = FirstContact {
            v2_direct: true,
            os: Os::UNKNOWN,
            release: 0,
            host_name: HostName::NONE,
            max_conns: 0,
            max_links: 0,
            feature_mask: 0,
            vendor_options: [0; 4],
        };
        let first_contact = self.first_contact.then_some(first);
        AgreementV2 { version: Version::V1, terms: self.terms, eid: NO_EID, first_contact }
    }

    /// A Confirm likewise; whether it is one of first contact is the server's to
    /// know.
    #[must_use]
    pub const fn as_confirm<F>(&self) -> AgreementV2<F> {
        AgreementV2 { version: Version::V1, terms: self.terms, eid: NO_EID, first_contact: None }
    }
}

impl<F> AgreementV2<F> {
    /// The message itself: in the layout of version 1 if it is of that version.
    /// `first_contact` says whether a link group is made.
    #[must_use]
    pub fn in_its_version(self, first_contact: bool) -> Agreement<F> {
        match self.version.is_v1() {
            true => Agreement::V1(TermsV1 { first_contact, terms: self.terms }),
            false => Agreement::V2(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_is_shared_or_not() {
        let at = |a, b, c, d| Ipv4Addr::new(a, b, c, d);
        let area = IpArea::of_ipv4(at(10, 9, 3, 7), 22);
        assert_eq!((area.ipv4_subnet, area.ipv4_prefix_len), ([10, 9, 0, 0], 22));
        for (address, prefix, shared) in [
            (at(10, 9, 0, 1), 22, true),
            (at(10, 9, 3, 255), 22, true),
            (at(10, 9, 4, 1), 22, false),
            (at(10, 9, 3, 7), 23, false),
        ] {
            assert_eq!(area.is_shared_by(address, prefix), shared, "{address}/{prefix}");
        }
        assert!(IpArea::of_ipv4(at(10, 0, 0, 1), 0).is_shared_by(at(200, 0, 0, 1), 0));
        assert!(!IpArea::of_ipv4(at(10, 0, 0, 1), 32).is_shared_by(at(10, 0, 0, 2), 32));
    }
}
