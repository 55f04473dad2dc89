use alloc::vec::Vec;

use smolsmc_wire::{Gid, LinkNumber, Mac, MtuCode, ParseError, Psn, Qpn, Reader, Writer, open_number};

use crate::header::{Header, MIN_LEN, Version, flag};
use crate::rkey::RkeyMapping;

const REJECTED: u8 = 0x40;

/// Octets 62 to 69.
const EXTENSION_GAP: usize = 8;

open_number! {
    /// Why a link was rejected: 4 bits, in v1 only (RFC 7609 Appendix A.3.2).
    pub struct RejectReason: u8 {
        /// None given. All that a v2 message can say.
        NONE = 0 => "no reason given",
        /// There is no other path to the peer.
        NO_ALTERNATE_PATH = 1 => "no alternate path available",
        /// The MTU is not one the receiver can use.
        INVALID_MTU = 2 => "invalid MTU value",
    }
}

/// ADD LINK: the sender's end of a further link (RFC 7609 Appendix A.3.2). The
/// server offers; the client accepts with its own end, or rejects. A request by
/// the client only suggests.
///
/// ```text
///    2  low nibble: reject reason (v1)      3  flags: 0x80 response, 0x40 rejected
///    4  MAC (6)   10  reserved (2)   12  GID (16)   28  QPN (3)   31  link number
///   32  low nibble: MTU code         33  PSN (3)    36  reserved (8)
///   44  extension (v2)
/// ```
///
/// The gap at 10 is in Linux 6.12 smc_llc; the figure of RFC 7609 has none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AddLink {
    /// A response that does not accept. In v2, Linux 6.12 sends the first 44
    /// octets of the request back, and reads nothing else in such an answer.
    pub rejected: bool,
    /// Why, in v1: the low nibble. In v2 there is no room for it: not sent,
    /// and [`RejectReason::NONE`] on receipt.
    pub reject_reason: RejectReason,
    /// The sender's end of the new link.
    pub mac: Mac,
    /// The sender's end of the new link.
    pub gid: Gid,
    /// The sender's end of the new link.
    pub qpn: Qpn,
    /// The new link, numbered by the server.
    pub link_number: LinkNumber,
    /// From the server its own MTU, from the client the smaller of both.
    pub mtu: MtuCode,
    /// The first PSN the sender will use on the new link.
    pub psn: Psn,
    /// The rest of a v2 message longer than 44 octets; none in v1.
    pub extension: Option<AddLinkExtension>,
}

impl AddLink {
    pub(crate) fn len(&self) -> usize {
        self.extension.as_ref().map_or(MIN_LEN, AddLinkExtension::end)
    }

    pub(crate) const fn flags(&self) -> u8 {
        flag(self.rejected, REJECTED)
    }

    pub(crate) fn read(header: &Header, r: &mut Reader<'_>) -> Result<Self, ParseError> {
        let mac = Mac(r.array()?);
        r.skip(2)?;
        let gid = Gid(r.array()?);
        let qpn = Qpn::new(r.u24()?);
        let link_number = LinkNumber(r.u8()?);
        let mtu = MtuCode::from_code(r.u8()?);
        let psn = Psn::new(r.u24()?);
        r.skip(8)?;
        let extended = r.remaining() != 0;
        Ok(Self {
            rejected: header.has(REJECTED),
            reject_reason: RejectReason(header.reject_reason),
            mac,
            gid,
            qpn,
            link_number,
            mtu,
            psn,
            extension: extended.then(|| AddLinkExtension::read(header.version, r)).transpose()?,
        })
    }

    pub(crate) fn write(&self, version: Version, w: &mut Writer<'_>) {
        w.slice(&self.mac.0);
        w.zeros(2);
        w.slice(&self.gid.0);
        w.u24(self.qpn.value());
        w.u8(self.link_number.0);
        w.u8(self.mtu.code());
        w.u24(self.psn.value());
        w.zeros(8);
        if let Some(extension) = &self.extension {
            extension.write(version, w);
        }
    }
}

/// What SMC-Rv2 adds to ADD LINK, in place of ADD LINK CONTINUATION: all rkeys
/// at once (Linux 6.12 smc_llc). A request and an accepting response carry it.
///
/// ```text
///   44  0x80 direct   45  reserved   46  client target GID (16)   62  reserved (8)
///   70  number of rkeys (2, in the sender's host order)           72  entries (16 each)
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AddLinkExtension {
    /// The sender's link group passes no IP gateway.
    pub v2_direct: bool,
    /// The sender's own GID on the new link, going by what Linux 6.12 sends;
    /// it ignores what it receives.
    pub client_target_gid: Gid,
    /// Every RMB in use, in no order; at most [`AddLinkExtension::MAX_RKEYS`].
    pub rkeys: Vec<RkeyMapping>,
}

impl AddLinkExtension {
    /// The most entries: as many as an RMB count of one octet.
    pub const MAX_RKEYS: usize = 255;

    const DIRECT: u8 = 0x80;

    /// Where its entries begin.
    const ENTRIES: usize = 72;

    /// Where it ends, in octets from the start of the message.
    fn end(&self) -> usize {
        Self::ENTRIES + RkeyMapping::LEN * self.rkeys.len()
    }

    fn read(version: Version, r: &mut Reader<'_>) -> Result<Self, ParseError> {
        let v2_direct = r.u8()? & Self::DIRECT != 0;
        r.skip(1)?;
        let client_target_gid = Gid(r.array()?);
        r.skip(EXTENSION_GAP)?;
        let at = r.position();
        let count = usize::from(version.order().read(r.array()?));
        if count > Self::MAX_RKEYS {
            return Err(ParseError::value("ADD LINK rkey count", at, count as u64));
        }
        let rkeys = (0..count).map(|_| RkeyMapping::read(r)).collect::<Result<_, _>>()?;
        Ok(Self { v2_direct, client_target_gid, rkeys })
    }

    fn write(&self, version: Version, w: &mut Writer<'_>) {
        w.u8(flag(self.v2_direct, Self::DIRECT));
        w.zeros(1);
        w.slice(&self.client_target_gid.0);
        w.zeros(EXTENSION_GAP);
        // At most MAX_RKEYS, see `Message::emit`.
        w.slice(&version.order().octets(self.rkeys.len() as u16));
        for mapping in &self.rkeys {
            mapping.write(w);
        }
    }
}

/// ADD LINK CONTINUATION: rkeys for a new link in SMC-Rv1, two at a time
/// (RFC 7609 Appendix A.3.3). Server and client take turns until neither has
/// any left. SMC-Rv2 has [`AddLinkExtension`] instead.
///
/// ```text
///    4  link number   5  number of rkeys   6  reserved (2)
///    8  two entries (16 each)             40  reserved (4)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddLinkContinuation {
    /// The new link.
    pub link_number: LinkNumber,
    /// Rkeys still to be told, those in this message included. Entries beyond
    /// it mean nothing.
    pub remaining: u8,
    /// The next two.
    pub rkeys: [RkeyMapping; 2],
}

impl AddLinkContinuation {
    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Self, ParseError> {
        let link_number = LinkNumber(r.u8()?);
        let remaining = r.u8()?;
        r.skip(2)?;
        Ok(Self { link_number, remaining, rkeys: [RkeyMapping::read(r)?, RkeyMapping::read(r)?] })
    }

    pub(crate) fn write(&self, w: &mut Writer<'_>) {
        w.u8(self.link_number.0);
        w.u8(self.remaining);
        w.zeros(2);
        for mapping in &self.rkeys {
            mapping.write(w);
        }
    }
}

/// REQUEST ADD LINK: the client has GIDs that could carry a further link
/// (Linux 6.12 smc_llc; SMC-Rv2 only). The server starts ADD LINK, or answers
/// that it cannot with a response that is all zero.
///
/// ```text
///    4  reserved (20)   24  number of GIDs   25  reserved (3)   28  GIDs (16 each)
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RequestAddLink {
    /// The client's GIDs, from Linux 6.12 the one in use first; at most
    /// [`RequestAddLink::MAX_GIDS`]. A Linux server looks at the first only.
    pub gids: Vec<Gid>,
}

impl RequestAddLink {
    /// The most GIDs: their count has one octet.
    pub const MAX_GIDS: usize = 255;

    /// Where the GIDs begin.
    const GIDS: usize = 28;

    pub(crate) fn len(&self) -> usize {
        MIN_LEN.max(Self::GIDS + 16 * self.gids.len())
    }

    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Self, ParseError> {
        r.skip(20)?;
        let count = r.u8()?;
        r.skip(3)?;
        let gids = (0..count).map(|_| r.array().map(Gid)).collect::<Result<_, _>>()?;
        Ok(Self { gids })
    }

    pub(crate) fn write(&self, w: &mut Writer<'_>) {
        w.zeros(20);
        // At most MAX_GIDS, see `Message::emit`.
        w.u8(self.gids.len() as u8);
        w.zeros(3);
        for gid in &self.gids {
            w.slice(&gid.0);
        }
    }
}
