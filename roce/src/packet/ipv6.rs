use core::net::Ipv6Addr;

use smolsmc_wire::{ParseError, Reader};

use super::IpProtocol;

/// An IPv6 header: 40 octets (RFC 8200 §3). RoCEv2 uses no extension headers,
/// so `next_header` of a RoCE packet is always UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ipv6Header {
    /// Traffic class: DSCP in the upper six bits, ECN in the lower two.
    pub traffic_class: u8,
    /// Flow label, below 2^20.
    pub flow_label: u32,
    /// Octets after this header.
    pub payload_len: u16,
    /// What follows.
    pub next_header: IpProtocol,
    /// Hops left.
    pub hop_limit: u8,
    /// Source address.
    pub src: Ipv6Addr,
    /// Destination address.
    pub dst: Ipv6Addr,
}

impl Ipv6Header {
    /// Octets of the header.
    pub const LEN: usize = 40;
    /// The largest flow label.
    pub const MAX_FLOW_LABEL: u32 = 0x000f_ffff;

    /// The header at the start of `packet`.
    ///
    /// # Errors
    /// Truncated; a version other than 6.
    pub fn parse(packet: &[u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new("IPv6 header", packet);
        let first = r.u32()?;
        if first >> 28 != 6 {
            return Err(ParseError::value("IPv6 version", 0, u64::from(first >> 28)));
        }
        Ok(Self {
            traffic_class: (first >> 20) as u8,
            flow_label: first & Self::MAX_FLOW_LABEL,
            payload_len: r.u16()?,
            next_header: IpProtocol(r.u8()?),
            hop_limit: r.u8()?,
            src: Ipv6Addr::from(r.array::<16>()?),
            dst: Ipv6Addr::from(r.array::<16>()?),
        })
    }

    /// Writes the header; of the flow label its low 20 bits.
    pub fn emit(&self, out: &mut [u8; Self::LEN]) {
        let first = 6 << 28 | u32::from(self.traffic_class) << 20 | self.flow_label & Self::MAX_FLOW_LABEL;
        let [len0, len1] = self.payload_len.to_be_bytes();
        let [v0, v1, v2, v3] = first.to_be_bytes();
        let fixed = [v0, v1, v2, v3, len0, len1, self.next_header.0, self.hop_limit];
        let fields = fixed.into_iter().chain(self.src.octets()).chain(self.dst.octets());
        for (out, field) in out.iter_mut().zip(fields) {
            *out = field;
        }
    }
}
