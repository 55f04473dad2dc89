//! Devices under smoltcp that carry one frame in, or a bounded number out, and
//! put the SMC option on a SYN that passes.

use smolsmc_clc::{SynKind, option};
use smolsmc_wire::Mac;
use smoltcp::phy::{ChecksumCapabilities, Device, DeviceCapabilities, Medium, PacketMeta, RxToken, TxToken};
use smoltcp::time::Instant;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, IpProtocol, IpRepr, Ipv4Packet, Ipv6Packet, TcpControl,
    TcpPacket, TcpRepr, TcpSeqNumber,
};

use super::{Segment, Tuple};
use crate::quiet::{Bare, WINDOW};
use crate::tcp::Seen;

const ETHERNET_LEN: usize = 14;

/// The longest frame that can be a SYN: headers with all options, no payload.
const SYN_MAX: usize = ETHERNET_LEN + 60 + option::MAX_HEADER_LEN;

/// Room for a segment without octets over IPv6.
pub(crate) const BARE_MAX: usize = ETHERNET_LEN + 40 + 20;

const OPTION_LEN: usize = option::PADDED_OPTION.len();

fn capabilities(ethernet_mtu: u16) -> DeviceCapabilities {
    let mut capabilities = DeviceCapabilities::default();
    capabilities.medium = Medium::Ethernet;
    capabilities.max_transmission_unit = usize::from(ethernet_mtu) + ETHERNET_LEN;
    capabilities
}

/// One frame on its way in, and the place of one answer.
pub(crate) struct Inlet<'f, T> {
    frame: Option<&'f [u8]>,
    answer: Option<T>,
    ethernet_mtu: u16,
}

impl<'f, T: TxToken> Inlet<'f, T> {
    pub(crate) const fn new(frame: &'f [u8], answer: Option<T>, ethernet_mtu: u16) -> Self {
        Self { frame: Some(frame), answer, ethernet_mtu }
    }
}

impl Inlet<'static, NoToken> {
    pub(crate) const fn nothing(ethernet_mtu: u16) -> Self {
        Self { frame: None, answer: None, ethernet_mtu }
    }
}

impl<'f, T: TxToken> Device for Inlet<'f, T> {
    type RxToken<'a>
        = Frame<'f>
    where
        Self: 'a;
    type TxToken<'a>
        = T
    where
        Self: 'a;

    fn receive(&mut self, _now: Instant) -> Option<(Frame<'f>, T)> {
        Some((Frame(self.frame.take()?), self.answer.take()?))
    }

    fn transmit(&mut self, _now: Instant) -> Option<T> {
        None
    }

    fn capabilities(&self) -> DeviceCapabilities {
        capabilities(self.ethernet_mtu)
    }
}

/// A frame that is there already.
pub(crate) struct Frame<'f>(&'f [u8]);

impl RxToken for Frame<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

/// How a connection's TCP came to an end with sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TcpOut {
    /// It has said all it has to say now.
    Done,
    /// It has had its turn, and may have more.
    More,
    /// The device has no room.
    Blocked,
}

/// A device as one connection's TCP sees it: so many frames, and no more.
pub(crate) struct Outlet<'d, D> {
    device: &'d mut D,
    /// Where the numbers of what is sent are noted, if anybody cares.
    seen: Option<&'d mut Option<Seen>>,
    ethernet_mtu: u16,
    with_option: bool,
    frames_left: usize,
    full: bool,
    has_sent: bool,
}

impl<'d, D: Device> Outlet<'d, D> {
    pub(crate) const fn new(
        device: &'d mut D,
        seen: Option<&'d mut Option<Seen>>,
        ethernet_mtu: u16,
        with_option: bool,
        frames_max: usize,
    ) -> Self {
        Self {
            device,
            seen,
            ethernet_mtu,
            with_option,
            frames_left: frames_max,
            full: false,
            has_sent: false,
        }
    }

    /// Whether a frame found room.
    pub(crate) const fn has_sent(&self) -> bool {
        self.has_sent
    }

    /// Whether no more frames will be taken now.
    pub(crate) const fn is_shut(&self) -> bool {
        self.full || self.frames_left == 0
    }

    pub(crate) const fn outcome(&self) -> TcpOut {
        match (self.full, self.frames_left) {
            (true, _) => TcpOut::Blocked,
            (false, 0) => TcpOut::More,
            _ => TcpOut::Done,
        }
    }
}

impl<D: Device> Device for Outlet<'_, D> {
    type RxToken<'a>
        = Frame<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = WithOption<'a, D::TxToken<'a>>
    where
        Self: 'a;

    fn receive(&mut self, _now: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        None
    }

    fn transmit(&mut self, now: Instant) -> Option<Self::TxToken<'_>> {
        if self.is_shut() {
            return None;
        }
        let token = self.device.transmit(now);
        self.full = token.is_none();
        self.has_sent |= token.is_some();
        self.frames_left -= 1;
        token.map(|token| WithOption { token, seen: self.seen.as_deref_mut(), with_option: self.with_option })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        capabilities(self.ethernet_mtu)
    }
}

/// Permission to send one frame; a SYN goes out with the SMC option if it is
/// to. Other frames are written straight into the device's buffer.
pub(crate) struct WithOption<'s, T> {
    token: T,
    seen: Option<&'s mut Option<Seen>>,
    with_option: bool,
}

impl<T: TxToken> TxToken for WithOption<'_, T> {
    #[inline]
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        if self.with_option && len <= SYN_MAX {
            return self.consume_syn(len, f);
        }
        let Some(seen) = self.seen else { return self.token.consume(len, f) };
        self.token.consume(len, |frame| {
            let result = f(frame);
            note(seen, frame);
            result
        })
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.token.set_meta(meta);
    }
}

impl<T: TxToken> WithOption<'_, T> {
    /// A frame that may be a SYN is written elsewhere first: it may grow.
    #[cold]
    fn consume_syn<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut syn = [0; SYN_MAX + OPTION_LEN];
        // Not longer than that, as the caller has seen.
        let (frame, _) = syn.split_at_mut(len.min(SYN_MAX));
        let result = f(frame);
        if let Some(seen) = self.seen {
            note(seen, frame);
        }
        let len = append_option(&mut syn, len);
        self.token.consume(len, |out| {
            if let Some(frame) = syn.get(..len) {
                out.copy_from_slice(frame);
            }
        });
        result
    }
}

/// Remembers the numbers of a TCP segment that is sent.
fn note(seen: &mut Option<Seen>, frame: &[u8]) {
    if let Some(segment) = Segment::of(frame) {
        let len =
            segment.payload_len as u32 + u32::from(segment.fin) + u32::from(segment.kind != SynKind::Other);
        *seen = Some(Seen { next: segment.seq.wrapping_add(len), expected: segment.ack });
    }
}

/// One segment without octets, as a frame.
pub(crate) fn bare_frame(buffer: &mut [u8; BARE_MAX], macs: (Mac, Mac), tuple: &Tuple, bare: Bare) -> usize {
    let (Mac(from), Mac(to)) = macs;
    let tcp = TcpRepr {
        src_port: tuple.local.port(),
        dst_port: tuple.remote.port(),
        control: match bare {
            Bare { reset: true, .. } => TcpControl::Rst,
            Bare { fin: true, .. } => TcpControl::Fin,
            _ => TcpControl::None,
        },
        seq_number: TcpSeqNumber(bare.seq as i32),
        ack_number: Some(TcpSeqNumber(bare.ack as i32)),
        window_len: WINDOW,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    let (source, target) = (tuple.local.ip().into(), tuple.remote.ip().into());
    let ip = IpRepr::new(source, target, IpProtocol::Tcp, tcp.buffer_len(), 64);
    let ip_len = ip.header_len();
    let (checks, len) = (ChecksumCapabilities::default(), ETHERNET_LEN + ip_len + tcp.buffer_len());
    let kind = if tuple.local.is_ipv4() { EthernetProtocol::Ipv4 } else { EthernetProtocol::Ipv6 };
    let mut ethernet = EthernetFrame::new_unchecked(&mut buffer[..]);
    ethernet.set_src_addr(EthernetAddress(from));
    ethernet.set_dst_addr(EthernetAddress(to));
    ethernet.set_ethertype(kind);
    if let Some(packet) = buffer.get_mut(ETHERNET_LEN..len) {
        ip.emit(&mut *packet, &checks);
        if let Some(segment) = packet.get_mut(ip_len..) {
            tcp.emit(&mut TcpPacket::new_unchecked(segment), &source, &target, &checks);
        }
    }
    len
}

/// Puts the option on the frame in the first `len` octets, if it is a SYN with
/// room for it; returns the frame's length.
fn append_option(buffer: &mut [u8], len: usize) -> usize {
    let Some(header_len) = ip_header_len(buffer.get(..len).unwrap_or_default()) else { return len };
    let tcp_at = ETHERNET_LEN + header_len;
    let Some(segment) = buffer.get_mut(tcp_at..) else { return len };
    let Some(segment_len) = len.checked_sub(tcp_at) else { return len };
    let Ok(longer) = option::append(segment, segment_len) else { return len };
    let len = tcp_at + longer;
    if let Some(packet) = buffer.get_mut(ETHERNET_LEN..len) {
        mend_ip_length(packet);
    }
    len
}

fn ip_header_len(frame: &[u8]) -> Option<usize> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    match ethernet.ethertype() {
        EthernetProtocol::Ipv4 => {
            let ip = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
            (ip.next_header() == IpProtocol::Tcp).then(|| usize::from(ip.header_len()))
        }
        EthernetProtocol::Ipv6 => {
            let ip = Ipv6Packet::new_checked(ethernet.payload()).ok()?;
            (ip.next_header() == IpProtocol::Tcp).then(|| ip.header_len())
        }
        _ => None,
    }
}

/// The IP packet has become longer by the option.
fn mend_ip_length(packet: &mut [u8]) {
    if packet.first().is_some_and(|octet| octet >> 4 == 4) {
        let mut ip = Ipv4Packet::new_unchecked(packet);
        ip.set_total_len(ip.total_len() + OPTION_LEN as u16);
        ip.fill_checksum();
    } else {
        let mut ip = Ipv6Packet::new_unchecked(packet);
        ip.set_payload_len(ip.payload_len() + OPTION_LEN as u16);
    }
}

/// There is no value of it.
pub(crate) enum NoToken {}

impl TxToken for NoToken {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, _len: usize, _f: F) -> R {
        match self {}
    }
}
