use smolsmc_wire::{ParseError, Qpn};

/// The UDP port RoCEv2 packets go to, requests and responses alike (IBTA Annex A17).
pub const ROCE_UDP_PORT: u16 = 4791;

/// A UDP header: 8 octets (RFC 768).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UdpHeader {
    /// Source port: any; it spreads connections over paths.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Octets of this header and what follows it.
    pub len: u16,
    /// 0 for none, as RoCEv2 sends it; not verified, since the ICRC covers more.
    pub checksum: u16,
}

impl UdpHeader {
    /// Octets of the header.
    pub const LEN: usize = 8;

    /// The header at the start of `datagram`. Whether its length field is
    /// right only the caller can tell, who knows the IP header.
    ///
    /// # Errors
    /// Truncated.
    #[inline]
    pub const fn parse(datagram: &[u8]) -> Result<Self, ParseError> {
        let Some(&[s0, s1, d0, d1, l0, l1, c0, c1]) = datagram.first_chunk::<{ Self::LEN }>() else {
            return Err(ParseError::truncated("UDP header", 0, Self::LEN, datagram.len()));
        };
        Ok(Self {
            src_port: u16::from_be_bytes([s0, s1]),
            dst_port: u16::from_be_bytes([d0, d1]),
            len: u16::from_be_bytes([l0, l1]),
            checksum: u16::from_be_bytes([c0, c1]),
        })
    }

    /// Writes the header as it is, its checksum included.
    pub const fn emit(&self, out: &mut [u8; Self::LEN]) {
        let [s0, s1] = self.src_port.to_be_bytes();
        let [d0, d1] = self.dst_port.to_be_bytes();
        let [l0, l1] = self.len.to_be_bytes();
        let [c0, c1] = self.checksum.to_be_bytes();
        *out = [s0, s1, d0, d1, l0, l1, c0, c1];
    }
}

/// The UDP source port of the connection between two queue pairs, the same in
/// both directions: 0xC000 and up (as Linux 6.12 `rdma_rxe` sends it).
#[must_use]
pub const fn source_port(own: Qpn, peer: Qpn) -> u16 {
    let mut v = own.value() as u64 * peer.value() as u64;
    v ^= v >> 20;
    v ^= v >> 40;
    v &= 0xf_ffff;
    0xc000 | ((v & 0x3fff) ^ (v >> 14)) as u16
}
