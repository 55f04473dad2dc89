use core::net::Ipv4Addr;

use smolsmc_wire::{ParseError, ParseErrorKind};

use super::IpProtocol;

const WHAT: &str = "IPv4 header";
const CHECKSUM_AT: usize = 10;
const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET_MASK: u16 = 0x1fff;

/// An IPv4 header without options: 20 octets (RFC 791 §3.1). The header
/// checksum is not a field: it is verified on receipt and computed on sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ipv4Header {
    /// Type of service: DSCP in the upper six bits, ECN in the lower two.
    pub tos: u8,
    /// Octets of the whole packet, this header included.
    pub total_len: u16,
    /// Identification. The ICRC covers it, so it must be the one on the wire.
    pub identification: u16,
    /// Routers may not fragment this packet. RoCEv2 senders set it.
    pub dont_fragment: bool,
    /// Fragments follow this one.
    pub more_fragments: bool,
    /// Where this fragment belongs, in units of 8 octets, below 2^13.
    pub fragment_offset: u16,
    /// Hops left.
    pub ttl: u8,
    /// What the packet carries.
    pub protocol: IpProtocol,
    /// Source address.
    pub src: Ipv4Addr,
    /// Destination address.
    pub dst: Ipv4Addr,
}

impl Ipv4Header {
    /// Octets of the header without options.
    pub const LEN: usize = 20;

    /// Differentiated services code point, 0 to 63 (RFC 2474).
    #[must_use]
    pub const fn dscp(&self) -> u8 {
        self.tos >> 2
    }

    /// Explicit congestion notification, 0 to 3 (RFC 3168).
    #[must_use]
    pub const fn ecn(&self) -> u8 {
        self.tos & 3
    }

    /// Whether the packet is only a part of what was sent.
    #[must_use]
    pub const fn is_fragment(&self) -> bool {
        self.more_fragments || self.fragment_offset != 0
    }

    /// The header at the start of `packet`, its checksum verified, and its
    /// length in octets: what it carries starts there. Options are walked over.
    ///
    /// # Errors
    /// Truncated; a version other than 4; a header length below 20; a wrong checksum.
    pub fn parse(packet: &[u8]) -> Result<(Self, usize), ParseError> {
        let (header, len) = Self::read(packet)?;
        Self::verify_checksum(packet.get(..len).unwrap_or(&[]))?;
        Ok((header, len))
    }

    /// As [`parse`](Self::parse), but leaves the checksum alone.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), but for the checksum.
    #[inline]
    pub fn read(packet: &[u8]) -> Result<(Self, usize), ParseError> {
        let short = |needed| ParseError::truncated(WHAT, 0, needed, packet.len());
        #[rustfmt::skip]
        let &[
            first, tos, len0, len1, id0, id1, frag0, frag1, ttl, protocol, _, _,
            s0, s1, s2, s3, d0, d1, d2, d3,
        ] = packet.first_chunk::<{ Self::LEN }>().ok_or_else(|| short(Self::LEN))?;
        if first >> 4 != 4 {
            return Err(ParseError::value("IPv4 version", 0, u64::from(first >> 4)));
        }
        let len = usize::from(first & 0x0f) * 4;
        if len < Self::LEN {
            return Err(ParseError::length("IPv4 header length", 0, Self::LEN, len));
        }
        if len > packet.len() {
            return Err(short(len));
        }
        let fragment = u16::from_be_bytes([frag0, frag1]);
        let header = Self {
            tos,
            total_len: u16::from_be_bytes([len0, len1]),
            identification: u16::from_be_bytes([id0, id1]),
            dont_fragment: fragment & DONT_FRAGMENT != 0,
            more_fragments: fragment & MORE_FRAGMENTS != 0,
            fragment_offset: fragment & OFFSET_MASK,
            ttl,
            protocol: IpProtocol(protocol),
            src: Ipv4Addr::new(s0, s1, s2, s3),
            dst: Ipv4Addr::new(d0, d1, d2, d3),
        };
        Ok((header, len))
    }

    /// Checks the checksum of a whole header, options included.
    #[inline]
    pub(super) fn verify_checksum(header: &[u8]) -> Result<(), ParseError> {
        // Over a right header, its checksum included, the sum is all ones.
        if checksum(header) == 0 { Ok(()) } else { Err(wrong_checksum(header)) }
    }

    /// The checksum of a header whose other words add up to `sum`.
    #[inline]
    pub(super) const fn checksum_of_sum(sum: u32) -> u16 {
        !fold(sum)
    }

    /// Writes the header with its checksum.
    pub fn emit(&self, out: &mut [u8; Self::LEN]) {
        let [len0, len1] = self.total_len.to_be_bytes();
        let [id0, id1] = self.identification.to_be_bytes();
        let flags = if self.dont_fragment { DONT_FRAGMENT } else { 0 }
            | if self.more_fragments { MORE_FRAGMENTS } else { 0 };
        let [frag0, frag1] = (flags | self.fragment_offset & OFFSET_MASK).to_be_bytes();
        let [s0, s1, s2, s3] = self.src.octets();
        let [d0, d1, d2, d3] = self.dst.octets();
        let header = |sum: u16| {
            let [c0, c1] = sum.to_be_bytes();
            [
                0x45,
                self.tos,
                len0,
                len1,
                id0,
                id1,
                frag0,
                frag1,
                self.ttl,
                self.protocol.0,
                c0,
                c1,
                s0,
                s1,
                s2,
                s3,
                d0,
                d1,
                d2,
                d3,
            ]
        };
        *out = header(checksum(&header(0)));
    }
}

/// The internet checksum (RFC 1071) of an even number of octets.
fn checksum(header: &[u8]) -> u16 {
    !fold(sum(header))
}

#[cold]
fn wrong_checksum(header: &[u8]) -> ParseError {
    let carried =
        header.get(CHECKSUM_AT..).and_then(<[u8]>::first_chunk).copied().map_or(0, u16::from_be_bytes);
    let computed = !fold(sum(header) - u32::from(carried));
    let kind = ParseErrorKind::Checksum { computed: u32::from(computed), got: u32::from(carried) };
    ParseError::new(WHAT, CHECKSUM_AT, kind)
}

fn sum(header: &[u8]) -> u32 {
    header.as_chunks().0.iter().map(|pair| u32::from(u16::from_be_bytes(*pair))).sum()
}

/// A header has at most 30 words, so two folds take every carry back in.
const fn fold(sum: u32) -> u16 {
    let once = (sum & 0xffff) + (sum >> 16);
    ((once & 0xffff) + (once >> 16)) as u16
}
