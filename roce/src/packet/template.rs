//! The frames of one connection: they differ in little, so what they share is
//! laid out once and copied.

use smolsmc_wire::{EmitError, Psn};

use super::{
    Bth, EthernetHeader, Ext, FrameHeaders, ICRC_LEN, IpPath, Ipv4Header, Ipv6Header, Opcode, OpenFrame,
    UdpHeader,
};

/// UDP header and BTH.
const TRANSPORT: usize = UdpHeader::LEN + Bth::LEN;
/// IPv4, UDP, BTH.
const OVER_V4: usize = Ipv4Header::LEN + TRANSPORT;
/// IPv6, UDP, BTH.
const OVER_V6: usize = Ipv6Header::LEN + TRANSPORT;
/// From the start of the frame to the end of the BTH: four layouts there are.
const V4: usize = EthernetHeader::LEN + OVER_V4;
const V4_TAGGED: usize = EthernetHeader::TAGGED_LEN + OVER_V4;
const V6: usize = EthernetHeader::LEN + OVER_V6;
const V6_TAGGED: usize = EthernetHeader::TAGGED_LEN + OVER_V6;

const SOLICITED: u8 = 0x80;
const ACK_REQUEST: u8 = 0x80;

/// What differs from one packet of a connection to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketFields {
    /// What the packet is.
    pub opcode: Opcode,
    /// Its sequence number.
    pub psn: Psn,
    /// The responder must acknowledge it.
    pub ack_request: bool,
    /// Its completion should wake somebody.
    pub solicited: bool,
    /// IPv4 identification; the ICRC covers it.
    pub identification: u16,
    /// Extension headers: of the kind the opcode asks for.
    pub ext: Ext,
}

/// The headers of a connection's frames, laid out.
///
/// [`open`](Self::open) writes what [`FrameHeaders::emit`] would, in less time.
#[derive(Clone, Debug)]
pub struct FrameTemplate {
    octets: [u8; V6_TAGGED],
    /// Octets up to the end of the BTH.
    head_len: usize,
    ip_at: usize,
    /// Sum of the words of the IPv4 header, without total length,
    /// identification and checksum.
    sum: u32,
}

impl FrameTemplate {
    /// The template of frames with these headers; what [`PacketFields`] has is
    /// not taken from them.
    #[must_use]
    pub fn new(headers: &FrameHeaders) -> Self {
        let mut headers = *headers;
        headers.ext = Ext::None;
        headers.bth.opcode = Opcode::SEND_ONLY;
        headers.bth.psn = Psn::new(0);
        headers.bth.ack_request = false;
        headers.bth.solicited = false;
        if let IpPath::V4 { identification, .. } = &mut headers.ip {
            *identification = 0;
        }
        let (head_len, ip_at) = (headers.wire_len(), headers.ip_at());
        let mut octets = [0; V6_TAGGED + ICRC_LEN];
        // Never too short: no frame without extension headers and payload is longer.
        let written = headers.emit_with(&[], &mut octets);
        debug_assert_eq!(written, Ok(head_len + ICRC_LEN), "a frame of headers only");
        let mut template = Self { octets: [0; V6_TAGGED], head_len, ip_at, sum: 0 };
        for (octet, from) in template.octets.iter_mut().zip(octets).take(head_len) {
            *octet = from;
        }
        if let IpPath::V4 { .. } = headers.ip {
            template.sum = template.sum_rest();
        }
        template
    }

    /// Octets of a frame with extension headers `ext` and a payload of
    /// `payload_len`.
    #[inline]
    #[must_use]
    pub const fn frame_len(&self, ext: &Ext, payload_len: usize) -> usize {
        let pad = payload_len.wrapping_neg() & 3;
        payload_len.saturating_add(self.head_len + ext.wire_len() + pad + ICRC_LEN)
    }

    /// Writes headers and pad for a payload of `payload_len` octets, as
    /// [`FrameHeaders::emit`] does.
    ///
    /// # Errors
    /// [`EmitError::BufferTooSmall`] if `out` is shorter than
    /// [`frame_len`](Self::frame_len); [`EmitError::TooLarge`] if the payload
    /// does not fit an IP packet.
    #[inline]
    pub fn open<'a>(
        &self,
        fields: &PacketFields,
        payload_len: usize,
        out: &'a mut [u8],
    ) -> Result<OpenFrame<'a>, EmitError> {
        let needed = self.frame_len(&fields.ext, payload_len);
        let got = out.len();
        let ip_total = needed - self.ip_at;
        if ip_total > usize::from(u16::MAX) {
            return Err(too_large(ip_total));
        }
        let short = EmitError::BufferTooSmall { what: "RoCE frame", needed, got };
        let frame = out.get_mut(..needed).ok_or(short)?;
        let total = ip_total as u16;
        let pad = payload_len.wrapping_neg() & 3;
        // Each layout on its own, so that every offset is a constant.
        match self.head_len {
            V4 => self.lay_v4::<V4>(fields, total, pad as u8, frame),
            V4_TAGGED => self.lay_v4::<V4_TAGGED>(fields, total, pad as u8, frame),
            V6 => self.lay_v6::<V6>(fields, total, pad as u8, frame),
            _ => self.lay_v6::<V6_TAGGED>(fields, total, pad as u8, frame),
        }
        .ok_or(short)?;
        if let Some(ext) = frame.get_mut(self.head_len..) {
            fields.ext.emit(ext)?;
        }
        if pad > 0
            && let Some(pad) = frame.get_mut(needed - ICRC_LEN - pad..needed - ICRC_LEN)
        {
            pad.fill(0);
        }
        let payload_at = self.head_len + fields.ext.wire_len();
        OpenFrame::new(frame, self.ip_at, payload_at, payload_len).ok_or(short)
    }

    #[inline(always)]
    fn lay_v4<const HEAD: usize>(
        &self,
        fields: &PacketFields,
        total: u16,
        pad: u8,
        frame: &mut [u8],
    ) -> Option<()> {
        let head: &mut [u8; HEAD] = frame.first_chunk_mut()?;
        *head = *self.octets.first_chunk()?;
        let ip = HEAD - OVER_V4;
        let sum = self.sum + u32::from(total) + u32::from(fields.identification);
        put(head, ip + 2, total);
        put(head, ip + 4, fields.identification);
        put(head, ip + 10, Ipv4Header::checksum_of_sum(sum));
        lay_transport(head, fields, total - Ipv4Header::LEN as u16, pad);
        Some(())
    }

    #[inline(always)]
    fn lay_v6<const HEAD: usize>(
        &self,
        fields: &PacketFields,
        total: u16,
        pad: u8,
        frame: &mut [u8],
    ) -> Option<()> {
        let head: &mut [u8; HEAD] = frame.first_chunk_mut()?;
        *head = *self.octets.first_chunk()?;
        let carried = total - Ipv6Header::LEN as u16;
        put(head, HEAD - OVER_V6 + 4, carried);
        lay_transport(head, fields, carried, pad);
        Some(())
    }

    /// The sum of what an IPv4 header has beside total length, identification
    /// and checksum.
    fn sum_rest(&self) -> u32 {
        let word = |at| self.octets.get(self.ip_at + at..).and_then(<[u8]>::first_chunk).copied();
        [0, 6, 8, 12, 14, 16, 18].into_iter().filter_map(word).map(|w| u32::from(u16::from_be_bytes(w))).sum()
    }
}

/// Fills in UDP length and the BTH at the end of `head`.
#[inline(always)]
fn lay_transport<const HEAD: usize>(head: &mut [u8; HEAD], fields: &PacketFields, udp_len: u16, pad: u8) {
    let bth = HEAD - Bth::LEN;
    put(head, HEAD - TRANSPORT + 4, udp_len);
    let [_, p0, p1, p2] = fields.psn.value().to_be_bytes();
    head[bth] = fields.opcode.0;
    head[bth + 1] |= if fields.solicited { SOLICITED } else { 0 } | pad << 4;
    head[bth + 8] = if fields.ack_request { ACK_REQUEST } else { 0 };
    head[bth + 9] = p0;
    head[bth + 10] = p1;
    head[bth + 11] = p2;
}

#[inline(always)]
fn put<const HEAD: usize>(head: &mut [u8; HEAD], at: usize, word: u16) {
    [head[at], head[at + 1]] = word.to_be_bytes();
}

#[cold]
fn too_large(value: usize) -> EmitError {
    EmitError::TooLarge { what: "RoCE packet", limit: usize::from(u16::MAX), value }
}
