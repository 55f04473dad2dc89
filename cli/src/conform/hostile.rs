//! Frames of ours that are damaged on their way: with right checksums, so that it
//! is the message that the peer has to judge; or with a wrong ICRC.

use std::cell::RefCell;
use std::rc::Rc;

use smolsmc_ethernet::Watch;
use smolsmc_roce::packet::{ICRC_LEN, icrc};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, TcpPacket, UdpPacket};

/// What is done to which frame.
#[derive(Clone, Copy)]
pub(super) enum Damage {
    /// To every CLC message of this type: octets from the start, or before the end.
    Clc { message: u8, at: At, octets: &'static [u8] },
    /// To every CDC message.
    Cdc { at: usize, octets: &'static [u8] },
    /// To every LLC message of this type.
    Llc { message: u8, at: usize, octets: &'static [u8] },
    /// One of so many RoCE frames has a wrong ICRC: it is lost.
    Icrc { one_of: u32 },
}

#[derive(Clone, Copy)]
pub(super) enum At {
    Start(usize),
    End(usize),
}

/// "SMCR" in EBCDIC: how a CLC message begins (RFC 7609 Appendix A.2).
const EYECATCHER: [u8; 4] = [0xe2, 0xd4, 0xc3, 0xd9];

/// RoCEv2's UDP port (IBTA Annex A17).
const ROCE: u16 = 4791;

/// Octets of a BTH, before what a SEND carries.
const BTH_LEN: usize = 12;

/// BTH opcode of SEND Only on RC (IBTA §9.2.1).
const SEND_ONLY: u8 = 0x04;

/// How a CDC message begins (RFC 7609 Appendix A.4).
const CDC: u8 = 0xfe;

/// The bits of an LLC message's type that v1 and v2 have in common.
const LLC_TYPE: u8 = 0x1f;

/// Octets of LLC v1 and of CDC messages.
const MESSAGE_LEN: usize = 44;

/// Who does it.
pub(super) struct Vandal {
    damage: Damage,
    roce: u32,
    count: Rc<RefCell<u32>>,
}

impl Vandal {
    pub(super) const fn new(damage: Damage, count: Rc<RefCell<u32>>) -> Self {
        Self { damage, roce: 0, count }
    }

    /// Whether something was changed.
    fn clc(message: u8, at: At, octets: &[u8], segment: &mut [u8]) -> bool {
        if segment.get(..4) != Some(&EYECATCHER) || segment.get(4) != Some(&message) {
            return false;
        }
        let start = match at {
            At::Start(start) => start,
            At::End(before) => segment.len().saturating_sub(before),
        };
        put(segment, start, octets)
    }

    fn roce(&mut self, udp: &mut [u8]) -> bool {
        self.roce += 1;
        let is_send = udp.first() == Some(&SEND_ONLY);
        let message = udp.get_mut(BTH_LEN..BTH_LEN + MESSAGE_LEN).filter(|_| is_send);
        match (self.damage, message) {
            (Damage::Cdc { at, octets }, Some(message)) if message.first() == Some(&CDC) => {
                put(message, at, octets)
            }
            (Damage::Llc { message: kind, at, octets }, Some(message))
                if message.first().map(|first| first & LLC_TYPE) == Some(kind) =>
            {
                put(message, at, octets)
            }
            _ => false,
        }
    }
}

fn put(place: &mut [u8], start: usize, octets: &[u8]) -> bool {
    let Some(place) = place.get_mut(start..start + octets.len()) else { return false };
    place.copy_from_slice(octets);
    true
}

impl Watch for Vandal {
    fn received(&mut self, _: Instant, _: &[u8]) {}

    fn sending(&mut self, _: Instant, frame: &mut [u8]) {
        let Ok(mut ethernet) = EthernetFrame::new_checked(frame) else { return };
        if ethernet.ethertype() != EthernetProtocol::Ipv4 {
            return;
        }
        let Ok(mut ip) = Ipv4Packet::new_checked(ethernet.payload_mut()) else { return };
        let (source, destination) = (ip.src_addr(), ip.dst_addr());
        match (ip.next_header(), self.damage) {
            (IpProtocol::Tcp, Damage::Clc { message, at, octets }) => {
                let Ok(mut tcp) = TcpPacket::new_checked(ip.payload_mut()) else { return };
                if Self::clc(message, at, octets, tcp.payload_mut()) {
                    *self.count.borrow_mut() += 1;
                    tcp.fill_checksum(&source.into(), &destination.into());
                }
            }
            (IpProtocol::Udp, damage) => {
                let Ok(mut udp) = UdpPacket::new_checked(ip.payload_mut()) else { return };
                if udp.dst_port() != ROCE {
                    return;
                }
                let changed = self.roce(udp.payload_mut());
                if let Damage::Icrc { one_of } = damage {
                    if self.roce.is_multiple_of(one_of)
                        && let Some(last) = udp.payload_mut().last_mut()
                    {
                        *last ^= 0x55;
                        *self.count.borrow_mut() += 1;
                    }
                } else if changed {
                    *self.count.borrow_mut() += 1;
                    seal(ip.into_inner());
                }
            }
            _ => {}
        }
    }
}

/// Gives a RoCE packet the ICRC of what it says now. RoCEv2 over IPv4 needs no UDP
/// checksum.
fn seal(packet: &mut [u8]) {
    let Some((covered, place)) = packet.split_last_chunk_mut::<ICRC_LEN>() else { return };
    if let Some(sum) = icrc(covered) {
        *place = sum.to_le_bytes();
    }
}
