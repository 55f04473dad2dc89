use smolsmc_wire::{EmitError, ParseError, Writer};

use crate::header::{self, Eyecatcher, Header, MessageType, Version};
use crate::terms::{EID_AREA_LEN, Layout, V2_LEN, first_contact_flag};
use crate::{Eid, FirstContact, OpaqueTerms, SmcrTerms, TermsV1};

const WHAT: &str = "CLC Accept";

/// A server's choice from what was proposed, and its end of the link (RFC 7609
/// Appendix A.2.3, Linux 6.12 smc_clc).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Accept {
    /// SMC-Rv1: 68 octets.
    V1(TermsV1),
    /// SMC-Rv2: 108 octets, or 160 on first contact.
    V2(AcceptV2),
    /// SMC-D in either version, not interpreted.
    SmcD(OpaqueTerms),
}

/// An Accept of SMC-Rv2 (Linux 6.12 smc_clc).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AcceptV2 {
    /// The version of the message: 2 or above.
    pub version: Version,
    /// The server's end.
    pub terms: SmcrTerms,
    /// The enterprise id chosen from the proposed ones.
    pub eid: Eid,
    /// Present if a new link group is made.
    pub first_contact: Option<FirstContact>,
}

impl Accept {
    /// Reads one whole message. In version 2, octets between the parts known
    /// here and the trailer are passed over.
    ///
    /// # Errors
    /// A bad header or trailer, another type, a type of SMC that is not exactly
    /// one, or a length that the layout does not have.
    pub fn parse(octets: &[u8]) -> Result<Self, ParseError> {
        let (header, mut r) = header::open(WHAT, MessageType::ACCEPT, octets)?;
        let trailer = header::trailer(octets)?;
        match Layout::parse(&header)? {
            Layout::SmcD => Ok(Self::SmcD(OpaqueTerms::read(&header, r, trailer))),
            Layout::SmcrV1 => TermsV1::read(WHAT, &header, r).map(Self::V1),
            Layout::SmcrV2 => {
                let terms = SmcrTerms::read(&mut r)?;
                let eid = Eid(r.array()?);
                r.skip(EID_AREA_LEN - Eid::LEN)?;
                let first_contact = header.first_contact().then(|| FirstContact::read(&mut r)).transpose()?;
                Ok(Self::V2(AcceptV2 { version: header.version, terms, eid, first_contact }))
            }
        }
    }

    /// Length in octets.
    #[must_use]
    pub const fn wire_len(&self) -> usize {
        match self {
            Self::V1(_) => TermsV1::MESSAGE_LEN,
            Self::V2(AcceptV2 { first_contact: None, .. }) => V2_LEN,
            Self::V2(AcceptV2 { first_contact: Some(_), .. }) => V2_LEN + FirstContact::LEN,
            Self::SmcD(body) => body.wire_len(),
        }
    }

    /// Writes the message to the start of `out`; returns its length in octets.
    ///
    /// # Errors
    /// A buffer too small, a value that does not fit its field, version 1 in
    /// the version 2 form, or a type other than SMC-D in its form.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let mut w = self.header()?.begin(WHAT, out)?;
        match self {
            Self::V1(v1) => v1.terms.write(&mut w),
            Self::V2(v2) => v2.write(&mut w),
            Self::SmcD(body) => return Ok(body.write(w)),
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
            Self::SmcD(body) => body.version,
        }
    }

    /// Whether a new link group is made.
    #[must_use]
    pub const fn is_first_contact(&self) -> bool {
        match self {
            Self::V1(v1) => v1.first_contact,
            Self::V2(v2) => v2.first_contact.is_some(),
            Self::SmcD(body) => body.first_contact(),
        }
    }

    /// The server's end, if it is one of SMC-R.
    #[must_use]
    pub const fn smcr_terms(&self) -> Option<&SmcrTerms> {
        match self {
            Self::V1(v1) => Some(&v1.terms),
            Self::V2(v2) => Some(&v2.terms),
            Self::SmcD(_) => None,
        }
    }

    pub(crate) fn header(&self) -> Result<Header, EmitError> {
        match self {
            Self::V1(v1) => v1.header(MessageType::ACCEPT),
            Self::V2(v2) => {
                v2.check()?;
                let flags = first_contact_flag(self.is_first_contact());
                Header::new(MessageType::ACCEPT, v2.version, flags, self.wire_len())
            }
            Self::SmcD(body) => body.header(MessageType::ACCEPT),
        }
    }
}

impl AcceptV2 {
    fn check(&self) -> Result<(), EmitError> {
        self.version.check_v2()?;
        self.first_contact.as_ref().map_or(Ok(()), FirstContact::check)
    }

    fn write(&self, w: &mut Writer<'_>) {
        self.terms.write(w);
        w.slice(&self.eid.0);
        w.zeros(EID_AREA_LEN - Eid::LEN);
        if let Some(extension) = &self.first_contact {
            extension.write(w);
        }
    }
}
