use smolsmc_wire::{EmitError, Mac, ParseError, Writer, open_number};

open_number! {
    /// What an Ethernet frame carries (IEEE 802.3 type field).
    pub struct EtherType: u16 {
        /// IPv4.
        IPV4 = 0x0800 => "IPv4",
        /// Address resolution for IPv4.
        ARP = 0x0806 => "ARP",
        /// An IEEE 802.1Q tag follows; the frame's own type comes after it.
        VLAN = 0x8100 => "VLAN",
        /// IPv6.
        IPV6 = 0x86dd => "IPv6",
        /// RoCEv1, which has a GRH where RoCEv2 has IP and UDP (IBTA Annex A16).
        ROCE_V1 = 0x8915 => "RoCEv1",
    }
}

/// The tag control information of IEEE 802.1Q: priority, drop eligibility, VLAN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct VlanTag(pub u16);

impl VlanTag {
    /// The tag for VLAN `vid` (low 12 bits) with priority 0.
    #[must_use]
    pub const fn new(vid: u16) -> Self {
        Self(vid & 0x0fff)
    }

    /// Priority code point, 0 to 7.
    #[must_use]
    pub const fn pcp(self) -> u8 {
        (self.0 >> 13) as u8
    }

    /// Drop eligible indicator.
    #[must_use]
    pub const fn dei(self) -> bool {
        self.0 & 0x1000 != 0
    }

    /// VLAN identifier, 0 to 4095; 0 means a priority tag without a VLAN.
    #[must_use]
    pub const fn vid(self) -> u16 {
        self.0 & 0x0fff
    }
}

/// An Ethernet header with at most one IEEE 802.1Q tag: 14 or 18 octets. The
/// frame check sequence is the device's business and never seen here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EthernetHeader {
    /// Destination address.
    pub dst: Mac,
    /// Source address.
    pub src: Mac,
    /// The 802.1Q tag, if there is one.
    pub vlan: Option<VlanTag>,
    /// What follows. [`EtherType::VLAN`] here means a second tag, which is not looked into.
    pub ethertype: EtherType,
}

impl EthernetHeader {
    /// Octets without a tag.
    pub const LEN: usize = 14;
    /// Octets with a tag.
    pub const TAGGED_LEN: usize = 18;

    /// Octets this header takes.
    #[must_use]
    pub const fn wire_len(&self) -> usize {
        if self.vlan.is_some() { Self::TAGGED_LEN } else { Self::LEN }
    }

    /// The header at the start of `frame`.
    ///
    /// # Errors
    /// [`ParseErrorKind::Truncated`](smolsmc_wire::ParseErrorKind::Truncated) if the frame ends before the header does.
    #[inline]
    pub fn parse(frame: &[u8]) -> Result<Self, ParseError> {
        let short = |needed| ParseError::truncated("Ethernet header", 0, needed, frame.len());
        let (header, rest) = frame.split_first_chunk().ok_or_else(|| short(Self::LEN))?;
        let &[d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1]: &[u8; Self::LEN] = header;
        let (dst, src) = (Mac([d0, d1, d2, d3, d4, d5]), Mac([s0, s1, s2, s3, s4, s5]));
        let first = EtherType(u16::from_be_bytes([t0, t1]));
        if first != EtherType::VLAN {
            return Ok(Self { dst, src, vlan: None, ethertype: first });
        }
        let &[v0, v1, t0, t1] = rest.first_chunk().ok_or_else(|| short(Self::TAGGED_LEN))?;
        let vlan = Some(VlanTag(u16::from_be_bytes([v0, v1])));
        Ok(Self { dst, src, vlan, ethertype: EtherType(u16::from_be_bytes([t0, t1])) })
    }

    /// Writes the header to the start of `out` and returns its length.
    ///
    /// # Errors
    /// [`EmitError::BufferTooSmall`] if `out` is shorter than [`wire_len`](Self::wire_len).
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let mut w = Writer::new("Ethernet header", out, self.wire_len())?;
        w.slice(&self.dst.0);
        w.slice(&self.src.0);
        if let Some(tag) = self.vlan {
            w.u16(EtherType::VLAN.0);
            w.u16(tag.0);
        }
        w.u16(self.ethertype.0);
        Ok(w.finish())
    }
}
