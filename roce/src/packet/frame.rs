//! Frames to send: headers first, then the payload in place, then the seal.

use core::net::{Ipv4Addr, Ipv6Addr};

use smolsmc_wire::{EmitError, Mac};

use super::{
    Bth, EtherType, EthernetHeader, Ext, ICRC_LEN, IpHeader, IpProtocol, Ipv4Header, Ipv6Header,
    ROCE_UDP_PORT, UdpHeader, VlanTag, icrc,
};

/// What a sender decides about the IP header; the rest follows from the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IpPath {
    /// IPv4, sent with "don't fragment".
    V4 {
        /// Source address.
        src: Ipv4Addr,
        /// Destination address.
        dst: Ipv4Addr,
        /// Type of service.
        tos: u8,
        /// Hops allowed; 1 for a direct link (Linux 6.12 `smc_ib`).
        ttl: u8,
        /// Identification. The ICRC covers it: it must reach the wire unchanged.
        identification: u16,
    },
    /// IPv6.
    V6 {
        /// Source address.
        src: Ipv6Addr,
        /// Destination address.
        dst: Ipv6Addr,
        /// Traffic class.
        traffic_class: u8,
        /// Flow label, its low 20 bits.
        flow_label: u32,
        /// Hops allowed.
        hop_limit: u8,
    },
}

impl IpPath {
    /// Octets of the IP header.
    #[must_use]
    pub const fn wire_len(&self) -> usize {
        match self {
            Self::V4 { .. } => Ipv4Header::LEN,
            Self::V6 { .. } => Ipv6Header::LEN,
        }
    }

    const fn ethertype(&self) -> EtherType {
        match self {
            Self::V4 { .. } => EtherType::IPV4,
            Self::V6 { .. } => EtherType::IPV6,
        }
    }
}

impl IpHeader {
    /// What the sender of this header decided.
    #[must_use]
    pub const fn path(&self) -> IpPath {
        match *self {
            Self::V4(Ipv4Header { src, dst, tos, ttl, identification, .. }) => {
                IpPath::V4 { src, dst, tos, ttl, identification }
            }
            Self::V6(Ipv6Header { src, dst, traffic_class, flow_label, hop_limit, .. }) => {
                IpPath::V6 { src, dst, traffic_class, flow_label, hop_limit }
            }
        }
    }
}

/// Everything about a frame but its payload. Lengths, checksums, EtherType,
/// pad and ICRC are not here: they follow from the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FrameHeaders {
    /// Destination Ethernet address.
    pub dst: Mac,
    /// Source Ethernet address.
    pub src: Mac,
    /// The 802.1Q tag, if the port has one.
    pub vlan: Option<VlanTag>,
    /// Addresses and the like.
    pub ip: IpPath,
    /// UDP source port, see [`source_port`](super::source_port).
    pub src_port: u16,
    /// Base transport header; its `pad` is replaced by the right one.
    pub bth: Bth,
    /// Extension headers: of the kind the opcode asks for, see
    /// [`Opcode::ext_kind`](super::Opcode::ext_kind).
    pub ext: Ext,
}

impl FrameHeaders {
    /// Octets before the payload.
    #[must_use]
    pub const fn wire_len(&self) -> usize {
        self.ip_at() + self.ip.wire_len() + UdpHeader::LEN + Bth::LEN + self.ext.wire_len()
    }

    /// Octets of the whole frame with a payload of `payload_len`; of a device's
    /// minimum frame length it knows nothing.
    #[must_use]
    pub const fn frame_len(&self, payload_len: usize) -> usize {
        payload_len.saturating_add(self.wire_len() + pad(payload_len) as usize + ICRC_LEN)
    }

    /// Writes headers and pad for a payload of `payload_len` octets to the
    /// start of `out`. The payload's place keeps what was there: fill it, then
    /// [`seal`](OpenFrame::seal).
    ///
    /// # Errors
    /// [`EmitError::BufferTooSmall`] if `out` is shorter than
    /// [`frame_len`](Self::frame_len); [`EmitError::TooLarge`] if the payload
    /// does not fit an IP packet.
    pub fn emit<'a>(&self, payload_len: usize, out: &'a mut [u8]) -> Result<OpenFrame<'a>, EmitError> {
        debug_assert!(
            self.bth.opcode.facts().is_none_or(|facts| facts.ext == self.ext.kind()),
            "extension headers of another opcode"
        );
        let (ip_at, payload_at) = (self.ip_at(), self.wire_len());
        let limit = usize::from(u16::MAX) - 3 - ICRC_LEN - (payload_at - ip_at);
        if payload_len > limit {
            return Err(EmitError::TooLarge { what: "RoCE payload", limit, value: payload_len });
        }
        let needed = self.frame_len(payload_len);
        let got = out.len();
        let short = EmitError::BufferTooSmall { what: "RoCE frame", needed, got };
        let (frame, _) = out.split_at_mut_checked(needed).ok_or(short)?;

        let (headers, tail) = frame.split_at_mut_checked(payload_at).ok_or(short)?;
        if let Some(pad_and_icrc) = tail.get_mut(payload_len..) {
            pad_and_icrc.fill(0);
        }
        self.emit_headers(payload_len, needed - ip_at, headers, short)?;
        OpenFrame::new(frame, ip_at, payload_at, payload_len).ok_or(short)
    }

    /// Writes a whole frame with a copy of `payload` to the start of `out` and
    /// returns its length.
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub fn emit_with(&self, payload: &[u8], out: &mut [u8]) -> Result<usize, EmitError> {
        let mut open = self.emit(payload.len(), out)?;
        open.payload_mut().copy_from_slice(payload);
        Ok(open.seal())
    }

    pub(super) const fn ip_at(&self) -> usize {
        if self.vlan.is_some() { EthernetHeader::TAGGED_LEN } else { EthernetHeader::LEN }
    }

    /// `ip_total` octets from the IP header to the ICRC, at most 65535.
    fn emit_headers(
        &self,
        payload_len: usize,
        ip_total: usize,
        out: &mut [u8],
        short: EmitError,
    ) -> Result<(), EmitError> {
        let ethernet =
            EthernetHeader { dst: self.dst, src: self.src, vlan: self.vlan, ethertype: self.ip.ethertype() };
        let at = ethernet.emit(out)?;
        let rest = out.get_mut(at..).ok_or(short)?;
        let rest = self.emit_ip(ip_total as u16, rest).ok_or(short)?;
        let (udp, rest) = rest.split_first_chunk_mut().ok_or(short)?;
        let len = (ip_total - self.ip.wire_len()) as u16;
        UdpHeader { src_port: self.src_port, dst_port: ROCE_UDP_PORT, len, checksum: 0 }.emit(udp);
        let (bth, rest) = rest.split_first_chunk_mut().ok_or(short)?;
        Bth { pad: pad(payload_len), ..self.bth }.emit(bth);
        self.ext.emit(rest)?;
        Ok(())
    }

    /// Writes the IP header and returns what follows it.
    fn emit_ip<'a>(&self, total_len: u16, out: &'a mut [u8]) -> Option<&'a mut [u8]> {
        match self.ip {
            IpPath::V4 { src, dst, tos, ttl, identification } => {
                let (header, rest) = out.split_first_chunk_mut()?;
                Ipv4Header {
                    tos,
                    total_len,
                    identification,
                    dont_fragment: true,
                    more_fragments: false,
                    fragment_offset: 0,
                    ttl,
                    protocol: IpProtocol::UDP,
                    src,
                    dst,
                }
                .emit(header);
                Some(rest)
            }
            IpPath::V6 { src, dst, traffic_class, flow_label, hop_limit } => {
                let (header, rest) = out.split_first_chunk_mut()?;
                let payload_len = total_len - Ipv6Header::LEN as u16;
                let next_header = IpProtocol::UDP;
                Ipv6Header { traffic_class, flow_label, payload_len, next_header, hop_limit, src, dst }
                    .emit(header);
                Some(rest)
            }
        }
    }
}

/// A frame whose headers are written and whose payload and ICRC are not yet.
#[derive(Debug)]
#[must_use = "a frame without its seal is dropped by every receiver"]
pub struct OpenFrame<'a> {
    frame: &'a mut [u8],
    ip_at: usize,
    payload_at: usize,
    payload_len: usize,
    /// What the headers make of the ICRC's start value.
    seed: u32,
}

impl<'a> OpenFrame<'a> {
    /// A frame whose headers are written, up to `payload_at`; `None` if they
    /// are not.
    #[inline]
    pub(super) fn new(
        frame: &'a mut [u8],
        ip_at: usize,
        payload_at: usize,
        payload_len: usize,
    ) -> Option<Self> {
        let seed = icrc::seed(frame.get(ip_at..)?)?;
        Some(Self { frame, ip_at, payload_at, payload_len, seed })
    }

    /// The place of the payload, as long as was announced.
    #[inline]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        self.frame.get_mut(self.payload_at..self.payload_at + self.payload_len).unwrap_or_default()
    }

    /// Computes and writes the ICRC. Returns the octets of the whole frame.
    #[inline]
    pub fn seal(self) -> usize {
        let len = self.frame.len();
        if let Some((covered, place)) = self.frame.split_last_chunk_mut::<ICRC_LEN>() {
            let covered = covered.get(self.ip_at..).unwrap_or_default();
            *place = icrc::icrc_from(self.seed, covered).to_le_bytes();
        }
        len
    }
}

/// Octets that make a payload's length a multiple of four, 0 to 3 (IBTA §9.2).
const fn pad(payload_len: usize) -> u8 {
    (payload_len.wrapping_neg() & 3) as u8
}
