use alloc::vec::Vec;

use smolsmc_wire::{EmitError, Gid, ParseError, Reader, Writer};

use super::areas::{IpArea, Locator, Sender, read_count};
use crate::header::{Header, check_limit, check_nibble};
use crate::{Eid, PathTypes, Version};

/// A Proposal of version 2 (Linux 6.12 smc_clc).
///
/// ```text
///  0       8        38  40        80         x              y
///  +-------+--------+---+---------+----------+--------------+-------------+---------+
///  | header| sender | * | locator | IP area  | v2 extension | SMC-Dv2 ext.| trailer |
///  +-------+--------+---+---------+----------+--------------+-------------+---------+
///      offset of the IP area       if v1 is   if v2 is       if v2 has
///                                  offered    offered        SMC-D
/// ```
///
/// The offsets in the message must lead to where the layout puts the parts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProposalV2 {
    /// The version of the message: 2 or above.
    pub version: Version,
    /// What is offered in version 1.
    pub v1_types: PathTypes,
    /// What is offered in version 2.
    pub v2_types: PathTypes,
    /// Who proposes, in terms of version 1.
    pub sender: Sender,
    /// The SMC-D identity and the vendor fields; zero from Linux without ISM.
    pub locator: Locator,
    /// The client's subnets: present if and only if version 1 is offered.
    pub ip_area: Option<IpArea>,
    /// Present if and only if version 2 is offered.
    pub v2: Option<V2Extension>,
    /// Present if and only if SMC-Dv2 is offered.
    pub smcd_v2: Option<SmcdV2Extension>,
}

/// What a client offers in version 2 (Linux 6.12 smc_clc).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct V2Extension {
    /// The client's enterprise ids, the preferred one first; at most
    /// [`V2Extension::MAX_EIDS`]. Without one, SMC-Rv2 is out of the question.
    pub eids: Vec<Eid>,
    /// The release of version 2: a nibble, 0 or 1 so far.
    pub release: u8,
    /// The client has a system enterprise id, which is for SMC-D.
    pub seid_present: bool,
    /// The client's RoCEv2 GID, IPv4-mapped.
    pub roce_gid: Gid,
    /// Connections the link group may carry: 16 to 255.
    pub max_conns: u8,
    /// Links the link group may have: 1 or 2.
    pub max_links: u8,
    /// Optional features; bit 0 is emulated ISM, which concerns SMC-D only.
    pub feature_mask: u16,
}

/// What a client offers for SMC-Dv2 (Linux 6.12 smc_clc).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SmcdV2Extension {
    /// The system enterprise id.
    pub seid: Eid,
    /// The client's ISM devices, of which an emulated one takes two entries; at
    /// most [`SmcdV2Extension::MAX_GIDS`].
    pub gids: Vec<IsmGid>,
}

/// An ISM device, or a half of an emulated one's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IsmGid {
    /// Its GID.
    pub gid: u64,
    /// Its channel; from 0xff00 on, the device is emulated.
    pub chid: u16,
}

impl ProposalV2 {
    /// What the offset of the IP area is if there is one: the locator lies
    /// between. Also the largest value a receiver takes if there is none.
    const IP_AREA_OFFSET: usize = Locator::LEN;
    const IP_AREA_OFFSET_AT: usize = 38;

    pub(super) fn read(header: &Header, r: &mut Reader<'_>) -> Result<Self, ParseError> {
        let (v1_types, v2_types) = (header.v1_types(), header.v2_types());
        let sender = Sender::read(r)?;
        let ip_area_offset = usize::from(r.u16()?);
        let (locator, v2_offset) = Locator::read(r)?;

        let sound = match v1_types.offers_any() {
            true => ip_area_offset == Self::IP_AREA_OFFSET,
            false => ip_area_offset <= Self::IP_AREA_OFFSET,
        };
        if !sound {
            return Err(ParseError::value("IP area offset", Self::IP_AREA_OFFSET_AT, ip_area_offset as u64));
        }
        let ip_area = v1_types.offers_any().then(|| IpArea::read(r)).transpose()?;

        let (mut v2, mut smcd_v2) = (None, None);
        if v2_types.offers_any() {
            if usize::from(v2_offset) != r.position() - Locator::V2_OFFSET_BASE {
                return Err(ParseError::value(
                    "v2 extension offset",
                    Locator::V2_OFFSET_AT,
                    v2_offset.into(),
                ));
            }
            let (extension, smcd) = V2Extension::read(v2_types.offers_smcd(), r)?;
            v2 = Some(extension);
            smcd_v2 = smcd;
        }
        Ok(Self { version: header.version, v1_types, v2_types, sender, locator, ip_area, v2, smcd_v2 })
    }

    /// Length in octets without header and trailer.
    pub(super) fn wire_len(&self) -> usize {
        self.ip_area_end() - Header::LEN
            + self.v2.as_ref().map_or(0, V2Extension::wire_len)
            + self.smcd_v2.as_ref().map_or(0, SmcdV2Extension::wire_len)
    }

    /// Octets from the start of the message to the version 2 extension.
    fn ip_area_end(&self) -> usize {
        Header::LEN + Sender::LEN + 2 + Locator::LEN + self.ip_area.as_ref().map_or(0, IpArea::wire_len)
    }

    pub(super) fn check(&self) -> Result<(), EmitError> {
        self.version.check_v2()?;
        for (what, offered, present) in [
            ("IP area", self.v1_types.offers_any(), self.ip_area.is_some()),
            ("v2 extension", self.v2_types.offers_any(), self.v2.is_some()),
            ("SMC-Dv2 extension", self.v2_types.offers_smcd(), self.smcd_v2.is_some()),
        ] {
            if offered != present {
                return Err(EmitError::Inconsistent { what });
            }
        }
        self.ip_area.as_ref().map_or(Ok(()), IpArea::check)?;
        self.v2.as_ref().map_or(Ok(()), V2Extension::check)?;
        self.smcd_v2.as_ref().map_or(Ok(()), SmcdV2Extension::check)
    }

    pub(super) fn write(&self, w: &mut Writer<'_>) {
        self.sender.write(w);
        w.u16(if self.ip_area.is_some() { Self::IP_AREA_OFFSET as u16 } else { 0 });
        let v2_offset = self.ip_area_end() - Locator::V2_OFFSET_BASE;
        self.locator.write(if self.v2.is_some() { v2_offset as u16 } else { 0 }, w);
        if let Some(ip_area) = &self.ip_area {
            ip_area.write(w);
        }
        if let Some(v2) = &self.v2 {
            v2.write(self.smcd_v2.as_ref(), w);
        }
        if let Some(smcd_v2) = &self.smcd_v2 {
            smcd_v2.write(w);
        }
    }
}

impl V2Extension {
    /// The most enterprise ids a Proposal may list; Linux sends up to four.
    pub const MAX_EIDS: usize = 8;

    const SEID_PRESENT: u8 = 0x01;
    /// Octets before the enterprise ids.
    const HEAD_LEN: usize = 40;
    /// Where in the extension the offset of the SMC-Dv2 extension stands, and
    /// from where it counts.
    const SMCD_OFFSET_AT: usize = 6;
    const SMCD_OFFSET_BASE: usize = 8;

    /// The extension, and the SMC-Dv2 extension behind it if there is to be one.
    /// Count and offset of that are ignored if there is not.
    fn read(with_smcd: bool, r: &mut Reader<'_>) -> Result<(Self, Option<SmcdV2Extension>), ParseError> {
        let start = r.position();
        let eid_count = read_count("EID count", Self::MAX_EIDS, r)?;
        let gid_limit = if with_smcd { SmcdV2Extension::MAX_GIDS } else { u8::MAX.into() };
        let gid_count = read_count("ISM GID count", gid_limit, r)?;
        r.skip(1)?;
        let flags = r.u8()?;
        r.skip(2)?;
        let smcd_offset = r.u16()?;
        let roce_gid = Gid(r.array()?);
        let max_conns = r.u8()?;
        let max_links = r.u8()?;
        let feature_mask = r.u16()?;
        r.skip(12)?;
        let eids = (0..eid_count).map(|_| r.array().map(Eid)).collect::<Result<_, _>>()?;
        let (release, seid_present) = (flags >> 4, flags & Self::SEID_PRESENT != 0);
        let extension = Self { eids, release, seid_present, roce_gid, max_conns, max_links, feature_mask };
        if !with_smcd {
            return Ok((extension, None));
        }
        if smcd_offset != extension.smcd_offset() {
            let at = start + Self::SMCD_OFFSET_AT;
            return Err(ParseError::value("SMC-Dv2 extension offset", at, smcd_offset.into()));
        }
        Ok((extension, Some(SmcdV2Extension::read(gid_count, r)?)))
    }

    const fn wire_len(&self) -> usize {
        Self::HEAD_LEN + Eid::LEN * self.eids.len()
    }

    const fn smcd_offset(&self) -> u16 {
        (self.wire_len() - Self::SMCD_OFFSET_BASE) as u16
    }

    fn check(&self) -> Result<(), EmitError> {
        check_limit("EIDs", Self::MAX_EIDS, self.eids.len())?;
        check_nibble("release", self.release)
    }

    fn write(&self, smcd_v2: Option<&SmcdV2Extension>, w: &mut Writer<'_>) {
        w.u8(self.eids.len() as u8);
        w.u8(smcd_v2.map_or(0, |smcd_v2| smcd_v2.gids.len() as u8));
        w.zeros(1);
        w.u8(self.release << 4 | if self.seid_present { Self::SEID_PRESENT } else { 0 });
        w.zeros(2);
        w.u16(if smcd_v2.is_some() { self.smcd_offset() } else { 0 });
        w.slice(&self.roce_gid.0);
        w.u8(self.max_conns);
        w.u8(self.max_links);
        w.u16(self.feature_mask);
        w.zeros(12);
        self.eids.iter().for_each(|eid| w.slice(&eid.0));
    }
}

impl SmcdV2Extension {
    /// The most entries a Proposal may list.
    pub const MAX_GIDS: usize = 8;

    const RESERVED_LEN: usize = 16;

    fn read(gid_count: usize, r: &mut Reader<'_>) -> Result<Self, ParseError> {
        let seid = Eid(r.array()?);
        r.skip(Self::RESERVED_LEN)?;
        let read_gid = |_| Ok(IsmGid { gid: r.u64()?, chid: r.u16()? });
        let gids = (0..gid_count).map(read_gid).collect::<Result<_, _>>()?;
        Ok(Self { seid, gids })
    }

    const fn wire_len(&self) -> usize {
        Eid::LEN + Self::RESERVED_LEN + 10 * self.gids.len()
    }

    const fn check(&self) -> Result<(), EmitError> {
        check_limit("ISM GIDs", Self::MAX_GIDS, self.gids.len())
    }

    fn write(&self, w: &mut Writer<'_>) {
        w.slice(&self.seid.0);
        w.zeros(Self::RESERVED_LEN);
        for IsmGid { gid, chid } in &self.gids {
            w.u64(*gid);
            w.u16(*chid);
        }
    }
}
