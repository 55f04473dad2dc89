//! What Accept and Confirm have in common.

use alloc::vec::Vec;

use smolsmc_wire::{
    AlertToken, EmitError, Gid, Mac, MtuCode, ParseError, PeerId, Psn, Qpn, Reader, Rkey, RmbeIndex,
    RmbeSize, Writer,
};

use crate::header::{self, Eyecatcher, Header, MAX_MESSAGE_LEN, MessageType, PathTypes, Version};

/// How one side can be reached over SMC-R: its end of the link and the RMBE of
/// this connection (RFC 7609 Appendix A.2.3; the same octets in version 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SmcrTerms {
    /// The sender.
    pub peer_id: PeerId,
    /// The GID the sender uses on this link; IPv4-mapped in version 2.
    pub gid: Gid,
    /// The MAC the sender uses on this link.
    pub mac: Mac,
    /// The sender's queue pair.
    pub qpn: Qpn,
    /// The key of the sender's RMB, valid on this link.
    pub rkey: Rkey,
    /// Which RMBE of the RMB. Counts from 1; a 0 is kept and names none.
    pub rmbe_index: RmbeIndex,
    /// The sender's name for this connection.
    pub alert_token: AlertToken,
    /// The size of an RMBE.
    pub rmbe_size: RmbeSize,
    /// The path MTU: of the server's port in Accept, the smaller of both ports'
    /// in Confirm. Means something on first contact only.
    pub mtu: MtuCode,
    /// The address of the RMB, not of the RMBE, as a WRITE must give it.
    pub rmb_address: u64,
    /// The PSN of the first packet the sender will transmit.
    pub psn: Psn,
}

impl SmcrTerms {
    /// Length in octets.
    pub const LEN: usize = 56;

    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Self, ParseError> {
        let peer_id = PeerId::from_octets(r.array()?);
        let gid = Gid(r.array()?);
        let mac = Mac(r.array()?);
        let qpn = Qpn::new(r.u24()?);
        let rkey = Rkey(r.u32()?);
        let rmbe_index = RmbeIndex(r.u8()?);
        let alert_token = AlertToken(r.u32()?);
        let sizes = r.u8()?;
        r.skip(1)?;
        let rmb_address = r.u64()?;
        r.skip(1)?;
        let psn = Psn::new(r.u24()?);
        let (rmbe_size, mtu) = (RmbeSize::from_code(sizes >> 4), MtuCode::from_code(sizes));
        Ok(Self { peer_id, gid, mac, qpn, rkey, rmbe_index, alert_token, rmbe_size, mtu, rmb_address, psn })
    }

    pub(crate) fn write(&self, w: &mut Writer<'_>) {
        w.slice(&self.peer_id.octets());
        w.slice(&self.gid.0);
        w.slice(&self.mac.0);
        w.u24(self.qpn.value());
        w.u32(self.rkey.0);
        w.u8(self.rmbe_index.0);
        w.u32(self.alert_token.0);
        w.u8(self.rmbe_size.code() << 4 | self.mtu.code());
        w.zeros(1);
        w.u64(self.rmb_address);
        w.zeros(1);
        w.u24(self.psn.value());
    }
}

/// The body of an Accept or Confirm of SMC-Rv1 (RFC 7609 Appendix A.2.3, A.2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TermsV1 {
    /// A new link group is made. RFC 7609 has this in Accept only; Linux 6.12
    /// smc_clc sets it in Confirm too.
    pub first_contact: bool,
    /// The sender's end.
    pub terms: SmcrTerms,
}

impl TermsV1 {
    /// Length in octets of the whole message.
    pub const MESSAGE_LEN: usize = Header::LEN + SmcrTerms::LEN + header::TRAILER_LEN;

    pub(crate) fn read(what: &'static str, header: &Header, mut r: Reader<'_>) -> Result<Self, ParseError> {
        if header.message_len() != Self::MESSAGE_LEN {
            return Err(ParseError::length(what, 5, Self::MESSAGE_LEN, header.message_len()));
        }
        Ok(Self { first_contact: header.first_contact(), terms: SmcrTerms::read(&mut r)? })
    }

    pub(crate) fn header(&self, message_type: MessageType) -> Result<Header, EmitError> {
        Header::new(message_type, Version::V1, first_contact_flag(self.first_contact), Self::MESSAGE_LEN)
    }
}

/// The body of an Accept or Confirm of SMC-D, which this stack does not speak:
/// kept so that it can be shown, and written again octet for octet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OpaqueTerms {
    /// The eyecatcher at the start. That, or the type in `flags`, says SMC-D.
    pub eyecatcher: Eyecatcher,
    /// The version of the message.
    pub version: Version,
    /// The low four bits of the header's last octet, the reserved one included.
    pub flags: u8,
    /// What lies between header and trailer; at most [`OpaqueTerms::MAX_LEN`].
    pub octets: Vec<u8>,
    /// The eyecatcher at the end.
    pub trailer: Eyecatcher,
}

impl OpaqueTerms {
    /// The most octets kept.
    pub const MAX_LEN: usize = MAX_MESSAGE_LEN - Header::MIN_MESSAGE_LEN;

    /// Whether a new link group is made.
    #[must_use]
    pub const fn first_contact(&self) -> bool {
        self.flags & Header::BIT_3 != 0
    }

    pub(crate) fn read(header: &Header, mut r: Reader<'_>, trailer: Eyecatcher) -> Self {
        // `header::open` has refused a message longer than MAX_MESSAGE_LEN.
        let Header { eyecatcher, version, flags, .. } = *header;
        Self { eyecatcher, version, flags, octets: r.rest().to_vec(), trailer }
    }

    pub(crate) const fn wire_len(&self) -> usize {
        Header::MIN_MESSAGE_LEN + self.octets.len()
    }

    pub(crate) fn header(&self, message_type: MessageType) -> Result<Header, EmitError> {
        let header = Header::new(message_type, self.version, self.flags, self.wire_len())?;
        let header = Header { eyecatcher: self.eyecatcher, ..header };
        header::check_nibble("CLC flags", self.flags)?;
        match Layout::of(&header) {
            Some(Layout::SmcD) => Ok(header),
            _ => Err(EmitError::Inconsistent { what: "type of an SMC-D message" }),
        }
    }

    pub(crate) fn write(&self, mut w: Writer<'_>) -> usize {
        w.slice(&self.octets);
        self.trailer.write(&mut w);
        w.finish()
    }
}

/// How the body of an Accept or Confirm is laid out.
pub(crate) enum Layout {
    SmcrV1,
    SmcrV2,
    SmcD,
}

impl Layout {
    /// `None` if the type bits do not choose one kind of SMC.
    fn of(header: &Header) -> Option<Self> {
        match (header.v1_types(), header.eyecatcher) {
            (PathTypes::Neither | PathTypes::Both, _) => None,
            (PathTypes::SmcD, _) | (_, Eyecatcher::Smcd) => Some(Self::SmcD),
            (PathTypes::SmcR, Eyecatcher::Smcr) if header.version.is_v1() => Some(Self::SmcrV1),
            (PathTypes::SmcR, Eyecatcher::Smcr) => Some(Self::SmcrV2),
        }
    }

    pub(crate) fn parse(header: &Header) -> Result<Self, ParseError> {
        Self::of(header).ok_or(ParseError::value("type of SMC", 7, header.v1_types().bits().into()))
    }
}

pub(crate) const fn first_contact_flag(first_contact: bool) -> u8 {
    if first_contact { Header::BIT_3 } else { 0 }
}

/// What follows the terms in version 2, before any extension: the negotiated
/// enterprise id and eight reserved octets.
pub(crate) const EID_AREA_LEN: usize = 40;

/// Length in octets of a version 2 message without extensions.
pub(crate) const V2_LEN: usize = Header::LEN + SmcrTerms::LEN + EID_AREA_LEN + header::TRAILER_LEN;
