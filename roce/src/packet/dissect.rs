//! Frames that came in: which of them are RoCEv2, and what they say.

use smolsmc_wire::{ParseError, ParseErrorKind};

use super::{
    Bth, EtherType, EthernetHeader, Ext, FrameHeaders, ICRC_LEN, IpHeader, IpProtocol, Ipv4Header,
    Ipv6Header, ROCE_UDP_PORT, UdpHeader, icrc,
};

/// A whole RoCEv2 packet in the frame that carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RocePacket<'a> {
    /// Ethernet header.
    pub ethernet: EthernetHeader,
    /// IP header.
    pub ip: IpHeader,
    /// UDP header.
    pub udp: UdpHeader,
    /// Base transport header.
    pub bth: Bth,
    /// Extension headers, as the opcode asks for.
    pub ext: Ext,
    /// What is carried, without the pad.
    pub payload: &'a [u8],
    /// The ICRC the packet carries, not yet verified.
    pub icrc: u32,
    covered: &'a [u8],
}

impl<'a> RocePacket<'a> {
    /// The RoCEv2 packet in an Ethernet frame; `Ok(None)` if the frame carries
    /// something else (other protocol, other port, a later IP fragment). Octets
    /// after the IP packet, which short frames have, are ignored.
    ///
    /// An opcode without a name is kept: what follows its BTH is payload. The
    /// ICRC is left to [`verify_icrc`](Self::verify_icrc).
    ///
    /// # Errors
    /// Truncated, or lengths of IP, UDP and headers that contradict each other;
    /// a wrong version of IP or BTH, IPv4 options, a fragment, a wrong IPv4
    /// header checksum. The offset is that in the frame.
    #[inline]
    pub fn parse(frame: &'a [u8]) -> Result<Option<Self>, ParseError> {
        let Some(outer) = Outer::parse(frame, frame.len())? else { return Ok(None) };
        let Outer { ethernet, ip, udp, ip_at, body_at, end } = outer;
        // Nothing is cut when the frame is as long as it says.
        let cut = || ParseError::truncated("RoCE packet", 0, end, frame.len());
        let body = frame.get(body_at..end).ok_or_else(cut)?;
        let covered = frame.get(ip_at..end - ICRC_LEN).ok_or_else(cut)?;
        let (body, icrc) = body.split_last_chunk().ok_or_else(cut)?;
        let bth = Bth::parse(body).map_err(at(body_at))?;
        let (ext_end, payload_len) = payload_place(&bth, end - body_at).map_err(at(body_at))?;
        let ext = body.get(Bth::LEN..ext_end).ok_or_else(cut)?;
        let ext = Ext::parse(bth.opcode, ext).map_err(at(body_at + Bth::LEN))?;
        let payload = body.get(ext_end..).and_then(|rest| rest.get(..payload_len)).ok_or_else(cut)?;
        let icrc = u32::from_le_bytes(*icrc);
        Ok(Some(Self { ethernet, ip, udp, bth, ext, payload, icrc, covered }))
    }

    /// Compares the ICRC carried with that of the octets.
    ///
    /// # Errors
    /// [`ParseErrorKind::Checksum`] if they differ.
    #[inline(always)] // measured: a call costs as much as the masking
    pub fn verify_icrc(&self) -> Result<(), ParseError> {
        match icrc(self.covered) {
            Some(computed) if computed == self.icrc => Ok(()),
            computed => Err(self.wrong_icrc(computed.unwrap_or_default())),
        }
    }

    #[cold]
    fn wrong_icrc(&self, computed: u32) -> ParseError {
        let offset = self.ethernet.wire_len() + self.covered.len();
        ParseError::new("ICRC", offset, ParseErrorKind::Checksum { computed, got: self.icrc })
    }

    /// What [`FrameHeaders::emit_with`] needs, beside the payload, to write
    /// this frame again.
    #[must_use]
    pub const fn headers(&self) -> FrameHeaders {
        FrameHeaders {
            dst: self.ethernet.dst,
            src: self.ethernet.src,
            vlan: self.ethernet.vlan,
            ip: self.ip.path(),
            src_port: self.udp.src_port,
            bth: self.bth,
            ext: self.ext,
        }
    }
}

/// As much of a RoCEv2 packet as a capture kept of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartialPacket<'a> {
    /// Ethernet header.
    pub ethernet: EthernetHeader,
    /// IP header.
    pub ip: IpHeader,
    /// UDP header.
    pub udp: UdpHeader,
    /// Base transport header, if the frame was not cut before its end.
    pub bth: Option<Bth>,
    /// Extension headers, if the frame was not cut before their end.
    pub ext: Option<Ext>,
    /// The payload octets that are there, without the pad.
    pub payload: &'a [u8],
    /// Octets the payload had on the wire; known once the BTH is.
    pub payload_len: Option<usize>,
    /// The ICRC the packet carries, if the frame was not cut.
    pub icrc: Option<u32>,
    covered: Option<&'a [u8]>,
}

impl<'a> PartialPacket<'a> {
    /// The RoCEv2 packet at the start of `captured`, of which there were
    /// `original_len` octets on the wire; see [`RocePacket::parse`].
    ///
    /// # Errors
    /// As [`RocePacket::parse`], with lengths measured against `original_len`.
    /// A frame cut before the end of its UDP header is truncated, as it may be
    /// anything.
    #[inline]
    pub fn parse(captured: &'a [u8], original_len: usize) -> Result<Option<Self>, ParseError> {
        let Some(outer) = Outer::parse(captured, original_len)? else { return Ok(None) };
        let Outer { ethernet, ip, udp, ip_at, body_at, end } = outer;
        let body = captured.get(body_at..end.min(captured.len())).unwrap_or(&[]);
        let mut part = Self {
            ethernet,
            ip,
            udp,
            bth: None,
            ext: None,
            payload: &[],
            payload_len: None,
            icrc: body
                .get(end - body_at - ICRC_LEN..)
                .and_then(<[u8]>::first_chunk)
                .copied()
                .map(u32::from_le_bytes),
            covered: captured.get(ip_at..end - ICRC_LEN),
        };
        part.read_transport(body, end - body_at).map_err(at(body_at))?;
        Ok(Some(part))
    }

    /// Whether octets of the packet are missing.
    #[must_use]
    pub const fn is_cut(&self) -> bool {
        self.icrc.is_none()
    }

    /// The packet as a whole one, `None` if it [is cut](Self::is_cut).
    #[inline]
    #[must_use]
    pub fn whole(&self) -> Option<RocePacket<'a>> {
        let Self { ethernet, ip, udp, payload, .. } = *self;
        let (bth, ext, icrc, covered) = (self.bth?, self.ext?, self.icrc?, self.covered?);
        Some(RocePacket { ethernet, ip, udp, bth, ext, payload, icrc, covered })
    }

    /// Fills in what follows UDP: `body` is what is there of its `len` octets.
    #[inline]
    fn read_transport(&mut self, body: &'a [u8], len: usize) -> Result<(), ParseError> {
        let Some(bth) = body.get(..Bth::LEN) else { return Ok(()) };
        let bth = Bth::parse(bth)?;
        let (ext_end, payload_len) = payload_place(&bth, len)?;
        self.bth = Some(bth);
        self.payload_len = Some(payload_len);
        if let Some(ext) = body.get(Bth::LEN..ext_end) {
            self.ext = Some(Ext::parse(bth.opcode, ext).map_err(at(Bth::LEN))?);
            self.payload = body.get(ext_end..body.len().min(ext_end + payload_len)).unwrap_or(&[]);
        }
        Ok(())
    }
}

/// The headers outside of RoCE, and where things are in the frame.
struct Outer {
    ethernet: EthernetHeader,
    ip: IpHeader,
    udp: UdpHeader,
    ip_at: usize,
    /// Where the BTH starts.
    body_at: usize,
    /// Where the ICRC ends; beyond the frame if it was cut.
    end: usize,
}

impl Outer {
    /// Of a frame that had `original_len` octets on the wire; `None` if it does
    /// not carry UDP to the RoCEv2 port.
    #[inline]
    fn parse(frame: &[u8], original_len: usize) -> Result<Option<Self>, ParseError> {
        let ethernet = EthernetHeader::parse(frame)?;
        let ip_at = ethernet.wire_len();
        let packet = frame.get(ip_at..).unwrap_or(&[]);
        let Some((ip, ip_len)) = read_ip(ethernet.ethertype, packet).map_err(at(ip_at))? else {
            return Ok(None);
        };
        let datagram = packet.get(ip_len..).unwrap_or(&[]);
        let udp = UdpHeader::parse(datagram).map_err(at(ip_at + ip_len))?;
        if udp.dst_port != ROCE_UDP_PORT {
            return Ok(None);
        }
        let original_len = original_len.max(frame.len());
        let total = check_ip(&ip, ip_len, packet, original_len - ip_at).map_err(at(ip_at))?;
        check_udp(&udp, total - ip_len).map_err(at(ip_at + ip_len))?;
        let body_at = ip_at + ip_len + UdpHeader::LEN;
        Ok(Some(Self { ethernet, ip, udp, ip_at, body_at, end: ip_at + total }))
    }
}

/// Where the extension headers end, from the start of the BTH, and the length
/// of the payload, when BTH to ICRC take `len` octets.
#[inline]
fn payload_place(bth: &Bth, len: usize) -> Result<(usize, usize), ParseError> {
    let ext_end = Bth::LEN + bth.opcode.ext_kind().wire_len();
    let around = ext_end + usize::from(bth.pad) + ICRC_LEN;
    match len.checked_sub(around) {
        Some(payload_len) => Ok((ext_end, payload_len)),
        None => Err(ParseError::length("RoCE headers, pad and ICRC", 0, around, len)),
    }
}

/// The IP header of a packet that may be UDP, and where it ends; `None` if it
/// is not IP, not UDP, or a fragment without ports.
#[inline]
fn read_ip(ethertype: EtherType, packet: &[u8]) -> Result<Option<(IpHeader, usize)>, ParseError> {
    Ok(match ethertype {
        EtherType::IPV4 => {
            let (ip, len) = Ipv4Header::read(packet)?;
            let udp = ip.protocol == IpProtocol::UDP && ip.fragment_offset == 0;
            udp.then_some((IpHeader::V4(ip), len))
        }
        EtherType::IPV6 => {
            let ip = Ipv6Header::parse(packet)?;
            (ip.next_header == IpProtocol::UDP).then_some((IpHeader::V6(ip), Ipv6Header::LEN))
        }
        _ => None,
    })
}

/// What RoCE asks of the IP header. Returns the octets of the whole packet, of
/// which there is room for `room`.
#[inline]
fn check_ip(ip: &IpHeader, ip_len: usize, packet: &[u8], room: usize) -> Result<usize, ParseError> {
    let total = match ip {
        IpHeader::V4(ip) => {
            // The ICRC covers exactly 20 octets of IPv4.
            if ip_len != Ipv4Header::LEN {
                return Err(ParseError::length("IPv4 header of a RoCE packet", 0, Ipv4Header::LEN, ip_len));
            }
            Ipv4Header::verify_checksum(packet.get(..ip_len).unwrap_or(&[]))?;
            if ip.is_fragment() {
                return Err(ParseError::value("IPv4 more-fragments flag of a RoCE packet", 6, 1));
            }
            usize::from(ip.total_len)
        }
        IpHeader::V6(ip) => Ipv6Header::LEN + usize::from(ip.payload_len),
    };
    if total > room {
        return Err(ParseError::truncated("IP packet", 0, total, room));
    }
    let least = ip_len + UdpHeader::LEN + Bth::LEN + ICRC_LEN;
    if total < least {
        return Err(ParseError::length("IP length of a RoCE packet", 0, least, total));
    }
    Ok(total)
}

/// The datagram must fill its packet: the ICRC is at the end of both.
#[inline]
fn check_udp(udp: &UdpHeader, carried: usize) -> Result<(), ParseError> {
    let len = usize::from(udp.len);
    if len != carried {
        return Err(ParseError::length("UDP length", 4, carried, len));
    }
    Ok(())
}

/// Moves an error of an inner header to its place in the frame.
fn at(base: usize) -> impl Fn(ParseError) -> ParseError {
    move |e| ParseError::new(e.what, base + e.offset, e.kind)
}
