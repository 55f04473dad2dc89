use alloc::vec::Vec;

use smolsmc_wire::{EmitError, ParseError, Reader, Writer};

use super::areas::{IpArea, Locator, Sender};
use crate::PathTypes;
use crate::header::{Header, check_limit};

/// A Proposal of version 1 (RFC 7609 Appendix A.2.2, Linux 6.12 smc_clc).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProposalV1 {
    /// What is offered; not [`PathTypes::Neither`].
    pub types: PathTypes,
    /// Who proposes.
    pub sender: Sender,
    /// Octets before the IP area that a receiver passes over, kept as they
    /// came; at most [`ProposalV1::MAX_GROWTH`]. None in RFC 7609.
    pub growth: Vec<u8>,
    /// The client's subnets.
    pub ip_area: IpArea,
}

impl ProposalV1 {
    /// The longest growth area, in octets (Linux 6.12 smc_clc).
    pub const MAX_GROWTH: usize = Locator::LEN;

    /// The growth area as the 40 octets of SMC-D, if it is that long.
    #[must_use]
    pub fn locator(&self) -> Option<Locator> {
        let mut r = Reader::new("SMC-D area", &self.growth);
        let (locator, _) = Locator::read(&mut r).ok()?;
        (r.remaining() == 0).then_some(locator)
    }

    pub(super) fn read(header: &Header, r: &mut Reader<'_>) -> Result<Self, ParseError> {
        let types = header.v1_types();
        if !types.offers_any() {
            return Err(ParseError::value("v1 types", 7, types.bits().into()));
        }
        let sender = Sender::read(r)?;
        let at = r.position();
        let offset = r.u16()?;
        if usize::from(offset) > Self::MAX_GROWTH {
            return Err(ParseError::value("IP area offset", at, offset.into()));
        }
        let growth = r.take(offset.into())?.to_vec();
        Ok(Self { types, sender, growth, ip_area: IpArea::read(r)? })
    }

    /// Length in octets without header and trailer.
    pub(super) const fn wire_len(&self) -> usize {
        Sender::LEN + 2 + self.growth.len() + self.ip_area.wire_len()
    }

    pub(super) fn check(&self) -> Result<(), EmitError> {
        if !self.types.offers_any() {
            return Err(EmitError::Inconsistent { what: "v1 types" });
        }
        check_limit("growth area", Self::MAX_GROWTH, self.growth.len())?;
        self.ip_area.check()
    }

    pub(super) fn write(&self, w: &mut Writer<'_>) {
        self.sender.write(w);
        w.u16(self.growth.len() as u16);
        w.slice(&self.growth);
        self.ip_area.write(w);
    }
}
