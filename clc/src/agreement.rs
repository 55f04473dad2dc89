//! Accept and Confirm: the same message from either side, but for what they
//! carry more on first contact.

use alloc::vec::Vec;

use smolsmc_wire::{EmitError, Gid, ParseError, Reader, Writer};

use crate::header::{self, Eyecatcher, Header, MessageType, Version, check_limit};
use crate::terms::{EID_AREA_LEN, Layout, V2_LEN, first_contact_flag};
use crate::{Eid, FirstContact, OpaqueTerms, SmcrTerms, TermsV1};

/// A server's choice from what was proposed, and its end of the link (RFC 7609
/// Appendix A.2.3, Linux 6.12 smc_clc): 68 octets in version 1; in version 2
/// 108, or 160 on first contact.
pub type Accept = Agreement<FirstContact>;

/// An Accept of SMC-Rv2.
pub type AcceptV2 = AgreementV2<FirstContact>;

/// A client's consent to an Accept, and its end of the link (RFC 7609 Appendix
/// A.2.4, Linux 6.12 smc_clc): 68 octets in version 1; in version 2 108, or from
/// 160 on at first contact.
pub type Confirm = Agreement<ConfirmFirstContact>;

/// A Confirm of SMC-Rv2.
pub type ConfirmV2 = AgreementV2<ConfirmFirstContact>;

/// An [`Accept`] or a [`Confirm`], by what `F` it carries on first contact.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Agreement<F> {
    /// SMC-Rv1.
    V1(TermsV1),
    /// SMC-Rv2.
    V2(AgreementV2<F>),
    /// SMC-D in either version, not interpreted.
    SmcD(OpaqueTerms),
}

/// An [`Agreement`] on SMC-Rv2 (Linux 6.12 smc_clc).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AgreementV2<F> {
    /// The version of the message: 2 or above.
    pub version: Version,
    /// The sender's end.
    pub terms: SmcrTerms,
    /// The enterprise id the server chose from the proposed ones.
    pub eid: Eid,
    /// Present if a new link group is made.
    pub first_contact: Option<F>,
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

/// What an agreement carries on first contact, and which message that makes it.
pub(crate) trait OnFirstContact: Sized {
    const MESSAGE_TYPE: MessageType;
    const WHAT: &'static str;

    fn read(r: &mut Reader<'_>) -> Result<Self, ParseError>;
    fn wire_len(&self) -> usize;
    fn check(&self) -> Result<(), EmitError>;
    fn write(&self, w: &mut Writer<'_>);
}

#[expect(private_bounds, reason = "only the two messages of the protocol can be made")]
impl<F: OnFirstContact> Agreement<F> {
    /// Reads one whole message. In version 2, octets between the parts known
    /// here and the trailer are passed over.
    ///
    /// # Errors
    /// A bad header or trailer, another type, a type of SMC that is not exactly
    /// one, a length that the layout does not have, or a GID list that is cut.
    pub fn parse(octets: &[u8]) -> Result<Self, ParseError> {
        let (header, mut r) = header::open(F::WHAT, F::MESSAGE_TYPE, octets)?;
        let trailer = header::trailer(octets)?;
        match Layout::parse(&header)? {
            Layout::SmcD => Ok(Self::SmcD(OpaqueTerms::read(&header, r, trailer))),
            Layout::SmcrV1 => TermsV1::read(F::WHAT, &header, r).map(Self::V1),
            Layout::SmcrV2 => AgreementV2::read(&header, &mut r).map(Self::V2),
        }
    }

    /// Length in octets.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        match self {
            Self::V1(_) => TermsV1::MESSAGE_LEN,
            Self::V2(v2) => V2_LEN + v2.first_contact.as_ref().map_or(0, F::wire_len),
            Self::SmcD(body) => body.wire_len(),
        }
    }

    /// Writes the message to the start of `out`; returns its length in octets.
    ///
    /// # Errors
    /// A buffer too small, a value or list that does not fit its field, version
    /// 1 in the version 2 form, or a type other than SMC-D in its form.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let mut w = self.header()?.begin(F::WHAT, out)?;
        match self {
            Self::V1(v1) => v1.terms.write(&mut w),
            Self::V2(v2) => v2.write(&mut w),
            Self::SmcD(body) => return Ok(body.write(w)),
        }
        Eyecatcher::Smcr.write(&mut w);
        Ok(w.finish())
    }

    pub(crate) fn header(&self) -> Result<Header, EmitError> {
        match self {
            Self::V1(v1) => v1.header(F::MESSAGE_TYPE),
            Self::V2(v2) => {
                v2.check()?;
                let flags = first_contact_flag(self.is_first_contact());
                Header::new(F::MESSAGE_TYPE, v2.version, flags, self.wire_len())
            }
            Self::SmcD(body) => body.header(F::MESSAGE_TYPE),
        }
    }
}

impl<F> Agreement<F> {
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

    /// The sender's end, if it is one of SMC-R.
    #[must_use]
    pub const fn smcr_terms(&self) -> Option<&SmcrTerms> {
        match self {
            Self::V1(v1) => Some(&v1.terms),
            Self::V2(v2) => Some(&v2.terms),
            Self::SmcD(_) => None,
        }
    }
}

#[expect(private_bounds, reason = "only the two messages of the protocol can be made")]
impl<F: OnFirstContact> AgreementV2<F> {
    fn read(header: &Header, r: &mut Reader<'_>) -> Result<Self, ParseError> {
        let terms = SmcrTerms::read(r)?;
        let eid = Eid(r.array()?);
        r.skip(EID_AREA_LEN - Eid::LEN)?;
        let first_contact = header.first_contact().then(|| F::read(r)).transpose()?;
        Ok(Self { version: header.version, terms, eid, first_contact })
    }

    fn check(&self) -> Result<(), EmitError> {
        self.version.check_v2()?;
        self.first_contact.as_ref().map_or(Ok(()), F::check)
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

impl OnFirstContact for FirstContact {
    const MESSAGE_TYPE: MessageType = MessageType::ACCEPT;
    const WHAT: &'static str = "CLC Accept";

    fn read(r: &mut Reader<'_>) -> Result<Self, ParseError> {
        Self::read(r)
    }

    fn wire_len(&self) -> usize {
        Self::LEN
    }

    fn check(&self) -> Result<(), EmitError> {
        self.check()
    }

    fn write(&self, w: &mut Writer<'_>) {
        self.write(w);
    }
}

impl ConfirmFirstContact {
    /// The longest list: its count is one octet.
    pub const MAX_GIDS: usize = 255;

    /// Octets before the GIDs: the count and three reserved.
    const LIST_HEAD_LEN: usize = 4;
}

impl OnFirstContact for ConfirmFirstContact {
    const MESSAGE_TYPE: MessageType = MessageType::CONFIRM;
    const WHAT: &'static str = "CLC Confirm";

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
