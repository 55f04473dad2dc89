mod areas;
mod v1;
mod v2;

pub use areas::{IpArea, Ipv6Prefix, Locator, Sender};
pub use v1::ProposalV1;
pub use v2::{IsmGid, ProposalV2, SmcdV2Extension, V2Extension};

use smolsmc_wire::{EmitError, ParseError};

use crate::header::{self, Eyecatcher, Header, MessageType, Version};

const WHAT: &str = "CLC Proposal";

/// What a client could do (RFC 7609 Appendix A.2.2, Linux 6.12 smc_clc).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Proposal {
    /// Of version 1: SMC-Rv1, SMC-Dv1 or both.
    V1(ProposalV1),
    /// Of version 2 or above, which may offer version 1 as well. Linux 6.12
    /// sends this one always.
    V2(ProposalV2),
}

impl Proposal {
    /// Reads one whole message. Its length must be exactly what its parts add
    /// up to, as Linux demands.
    ///
    /// # Errors
    /// A bad header or trailer, another type, a length or offset that
    /// disagrees with the layout, or more prefixes, enterprise ids or GIDs than
    /// there may be.
    pub fn parse(octets: &[u8]) -> Result<Self, ParseError> {
        let (header, mut r) = header::open(WHAT, MessageType::PROPOSAL, octets)?;
        header::trailer(octets)?;
        let proposal = if header.version.is_v1() {
            Self::V1(ProposalV1::read(&header, &mut r)?)
        } else {
            Self::V2(ProposalV2::read(&header, &mut r)?)
        };
        header::close(WHAT, &r)?;
        Ok(proposal)
    }

    /// Length in octets.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        let body = match self {
            Self::V1(v1) => v1.wire_len(),
            Self::V2(v2) => v2.wire_len(),
        };
        Header::MIN_MESSAGE_LEN + body
    }

    /// Writes the message to the start of `out`; returns its length in octets.
    ///
    /// # Errors
    /// A buffer too small, a list longer than its limit, or a part that is
    /// there without being offered, or offered without being there.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let header = self.header()?;
        let mut w = header.begin(WHAT, out)?;
        match self {
            Self::V1(v1) => v1.write(&mut w),
            Self::V2(v2) => v2.write(&mut w),
        }
        Eyecatcher::Smcr.write(&mut w);
        Ok(w.finish())
    }

    /// The version of the message.
    #[must_use]
    pub const fn version(&self) -> Version {
        match self {
            Self::V1(_) => Version::V1,
            Self::V2(v2) => v2.version,
        }
    }

    pub(crate) fn header(&self) -> Result<Header, EmitError> {
        let flags = match self {
            Self::V1(v1) => {
                v1.check()?;
                v1.types.bits()
            }
            Self::V2(v2) => {
                v2.check()?;
                v2.v2_types.bits() << 2 | v2.v1_types.bits()
            }
        };
        Header::new(MessageType::PROPOSAL, self.version(), flags, self.wire_len())
    }
}

impl From<ProposalV1> for Proposal {
    fn from(v1: ProposalV1) -> Self {
        Self::V1(v1)
    }
}

impl From<ProposalV2> for Proposal {
    fn from(v2: ProposalV2) -> Self {
        Self::V2(v2)
    }
}
