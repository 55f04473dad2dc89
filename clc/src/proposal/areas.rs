//! The parts that both versions of a Proposal are made of.

use alloc::vec::Vec;

use smolsmc_wire::{EmitError, Gid, Mac, ParseError, PeerId, Reader, Writer};

use crate::header::check_limit;

/// Who proposes, in terms of version 1 (RFC 7609 Appendix A.2.2).
///
/// Linux fills this in only if it offers SMC-Rv1: over a software RoCE device,
/// which has no RoCEv1, it is all zero, and still what a link group is found by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sender {
    /// The client.
    pub peer_id: PeerId,
    /// Its RoCEv1 GID. A Proposal of version 2 carries another one.
    pub gid: Gid,
    /// The MAC of its RoCE port.
    pub mac: Mac,
}

impl Sender {
    pub(super) const LEN: usize = 30;

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, ParseError> {
        Ok(Self { peer_id: PeerId::from_octets(r.array()?), gid: Gid(r.array()?), mac: Mac(r.array()?) })
    }

    pub(super) fn write(&self, w: &mut Writer<'_>) {
        w.slice(&self.peer_id.octets());
        w.slice(&self.gid.0);
        w.slice(&self.mac.0);
    }
}

/// The subnets a client is on: SMC-Rv1 works only within one (RFC 7609 Appendix
/// A.2.2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct IpArea {
    /// The network number: address and mask. Zero if the connection is IPv6.
    pub ipv4_subnet: [u8; 4],
    /// Significant bits of it, as the peer says: a value above 32 is kept.
    pub ipv4_prefix_len: u8,
    /// The prefixes of an IPv6 client, without link-local ones; at most
    /// [`IpArea::MAX_IPV6_PREFIXES`].
    pub ipv6_prefixes: Vec<Ipv6Prefix>,
}

/// One IPv6 subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ipv6Prefix {
    /// The prefix, as long as an address.
    pub prefix: [u8; 16],
    /// Significant bits of it, as the peer says: a value above 128 is kept.
    pub len: u8,
}

impl IpArea {
    /// The most IPv6 prefixes a Proposal may list (RFC 7609 Appendix A.2.2).
    pub const MAX_IPV6_PREFIXES: usize = 8;

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, ParseError> {
        let ipv4_subnet = r.array()?;
        let ipv4_prefix_len = r.u8()?;
        r.skip(2)?;
        let count = read_count("IPv6 prefix count", Self::MAX_IPV6_PREFIXES, r)?;
        let read_prefix = |_| Ok(Ipv6Prefix { prefix: r.array()?, len: r.u8()? });
        let ipv6_prefixes = (0..count).map(read_prefix).collect::<Result<_, _>>()?;
        Ok(Self { ipv4_subnet, ipv4_prefix_len, ipv6_prefixes })
    }

    pub(super) const fn wire_len(&self) -> usize {
        8 + 17 * self.ipv6_prefixes.len()
    }

    pub(super) const fn check(&self) -> Result<(), EmitError> {
        check_limit("IPv6 prefixes", Self::MAX_IPV6_PREFIXES, self.ipv6_prefixes.len())
    }

    pub(super) fn write(&self, w: &mut Writer<'_>) {
        w.slice(&self.ipv4_subnet);
        w.u8(self.ipv4_prefix_len);
        w.zeros(2);
        w.u8(self.ipv6_prefixes.len() as u8);
        for Ipv6Prefix { prefix, len } in &self.ipv6_prefixes {
            w.slice(prefix);
            w.u8(*len);
        }
    }
}

/// The 40 octets that lead from version 1 to what came later: the SMC-D
/// identity, vendor fields, and an offset to the version 2 extension, which is
/// not kept here since the layout implies it (Linux 6.12 smc_clc).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Locator {
    /// The client's GID on its ISM device, zero without one.
    ///
    /// Mind its last octet: where no IP area is sent, a Linux server still takes
    /// that octet (the 47th of the message) for a count of IPv6 prefixes and
    /// refuses the Proposal if it is above 8.
    pub ism_gid: u64,
    /// The channel of that device, zero without one.
    pub ism_chid: u16,
    /// Whose options follow; zero from Linux.
    pub vendor_oui: [u8; 3],
    /// Zero from Linux.
    pub vendor_options: [u8; 5],
}

impl Locator {
    /// Length in octets.
    pub const LEN: usize = 40;

    /// Where in the message the offset of the version 2 extension stands, and
    /// from where it counts.
    pub(super) const V2_OFFSET_AT: usize = 50;
    pub(super) const V2_OFFSET_BASE: usize = 52;

    /// The area, and its offset to the version 2 extension.
    pub(super) fn read(r: &mut Reader<'_>) -> Result<(Self, u16), ParseError> {
        let ism_gid = r.u64()?;
        let ism_chid = r.u16()?;
        let v2_ext_offset = r.u16()?;
        let vendor_oui = r.array()?;
        let vendor_options = r.array()?;
        r.skip(20)?;
        Ok((Self { ism_gid, ism_chid, vendor_oui, vendor_options }, v2_ext_offset))
    }

    pub(super) fn write(&self, v2_ext_offset: u16, w: &mut Writer<'_>) {
        w.u64(self.ism_gid);
        w.u16(self.ism_chid);
        w.u16(v2_ext_offset);
        w.slice(&self.vendor_oui);
        w.slice(&self.vendor_options);
        w.zeros(20);
    }
}

/// An octet that counts the entries of a list.
pub(super) fn read_count(what: &'static str, limit: usize, r: &mut Reader<'_>) -> Result<usize, ParseError> {
    let at = r.position();
    let count = r.u8()?;
    match usize::from(count) {
        count if count <= limit => Ok(count),
        _ => Err(ParseError::value(what, at, count.into())),
    }
}
