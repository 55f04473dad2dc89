use alloc::vec::Vec;

use smolsmc_wire::{EmitError, Gid, ParseError, Reader, Writer};

use crate::header::{self, Eyecatcher, Header, MessageType, Version, check_limit};
use crate::terms::{EID_AREA_LEN, Layout, V2_LEN, first_contact_flag};
use crate::{Eid, FirstContact, OpaqueTerms, SmcrTerms, TermsV1};

const WHAT: &str = "CLC Confirm";

/// A client's consent to an Accept, and its end of the link (RFC 7609 Appendix
/// A.2.4, Linux 6.12 smc_clc).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Confirm {
    /// SMC-Rv1: 68 octets.
    V1(TermsV1),
    /// SMC-Rv2: 108 octets, or from 160 on at first contact.
    V2(ConfirmV2),
    /// SMC-D in either version, not interpreted.
    SmcD(OpaqueTerms),
}

/// A Confirm of SMC-Rv2 (Linux 6.12 smc_clc).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConfirmV2 {
    /// The version of the message: 2 or above.
    pub version: Version,
    /// The client's end.
    pub terms: SmcrTerms,
    /// The enterprise id the server chose.
    pub eid: Eid,
    /// Present if a new link group is made.
    pub first_contact: Option<ConfirmFirstContact>,
}

/// What a Confirm has more on first contact.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConfirmFirstContact {
    /// As in the Accept.
    pub extension: FirstContact,
    /// The GIDs the client could use for links, that of this link first; at
    /// most [`ConfirmFirstContact::MAX_GIDS`]. `None` if the message ends
    /// before the list, which is not the same as an empty one. Linux sends one
    /// or two and, as server, does not read them.
    pub gids: Option<Vec<Gid>>,
}

impl ConfirmFirstContact {
    /// The longest list: its count is one octet.
    pub const MAX_GIDS: usize = 255;

    /// Octets before the GIDs: the count and three reserved.
    const LIST_HEAD_LEN: usize = 4;

    fn read(r: &mut Reader<'_>) -> Result<Self, ParseError> {
        let extension = FirstContact::read(r)?;
        if r.remaining() == 0 {
            return Ok(Self { extension, gids: None });
        }
        let count = r.u8()?;
        r.skip(Self::LIST_HEAD_LEN - 1)?;
        let gids = (0..count).map(|_| r.array().map(Gid)).collect::<Result<_, _>>()?;
        Ok(Self { extension, gids: Some(gids) })
    }

    fn wire_len(&self) -> usize {
        let list = self.gids.as_ref().map_or(0, |gids| Self::LIST_HEAD_LEN + 16 * gids.len());
        FirstContact::LEN + list
    }

    fn check(&self) -> Result<(), EmitError> {
        self.extension.check()?;
        check_limit("GID list", Self::MAX_GIDS, self.gids.as_ref().map_or(0, Vec::len))
    }

    fn write(&self, w: &mut Writer<'_>) {
        self.extension.write(w);
        if let Some(gids) = &self.gids {
            w.u8(gids.len() as u8);
            w.zeros(Self::LIST_HEAD_LEN - 1);
            gids.iter().for_each(|gid| w.slice(&gid.0));
        }
    }
}

impl Confirm {
    /// Reads one whole message. In version 2, octets between the parts known
    /// here and the trailer are passed over.
    ///
    /// # Errors
    /// A bad header or trailer, another type, a type of SMC that is not exactly
    /// one, a length that the layout does not have, or a GID list that is cut.
    pub fn parse(octets: &[u8]) -> Result<Self, ParseError> {
        let (header, mut r) = header::open(WHAT, MessageType::CONFIRM, octets)?;
        let trailer = header::trailer(octets)?;
        match Layout::parse(&header)? {
            Layout::SmcD => Ok(Self::SmcD(OpaqueTerms::read(&header, r, trailer))),
            Layout::SmcrV1 => TermsV1::read(WHAT, &header, r).map(Self::V1),
            Layout::SmcrV2 => {
                let terms = SmcrTerms::read(&mut r)?;
                let eid = Eid(r.array()?);
                r.skip(EID_AREA_LEN - Eid::LEN)?;
                let first_contact =
                    header.first_contact().then(|| ConfirmFirstContact::read(&mut r)).transpose()?;
                Ok(Self::V2(ConfirmV2 { version: header.version, terms, eid, first_contact }))
            }
        }
    }

    /// Length in octets.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        match self {
            Self::V1(_) => TermsV1::MESSAGE_LEN,
            Self::V2(v2) => V2_LEN + v2.first_contact.as_ref().map_or(0, ConfirmFirstContact::wire_len),
            Self::SmcD(body) => body.wire_len(),
        }
    }

    /// Writes the message to the start of `out`; returns its length in octets.
    ///
    /// # Errors
    /// A buffer too small, a value or list that does not fit its field, version
    /// 1 in the version 2 form, or a type other than SMC-D in its form.
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

    /// The client's end, if it is one of SMC-R.
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
            Self::V1(v1) => v1.header(MessageType::CONFIRM),
            Self::V2(v2) => {
                v2.check()?;
                let flags = first_contact_flag(self.is_first_contact());
                Header::new(MessageType::CONFIRM, v2.version, flags, self.wire_len())
            }
            Self::SmcD(body) => body.header(MessageType::CONFIRM),
        }
    }
}

impl ConfirmV2 {
    fn check(&self) -> Result<(), EmitError> {
        self.version.check_v2()?;
        self.first_contact.as_ref().map_or(Ok(()), ConfirmFirstContact::check)
    }

    fn write(&self, w: &mut Writer<'_>) {
        self.terms.write(w);
        w.slice(&self.eid.0);
        w.zeros(EID_AREA_LEN - Eid::LEN);
        if let Some(first_contact) = &self.first_contact {
            first_contact.write(w);
        }
    }
}
