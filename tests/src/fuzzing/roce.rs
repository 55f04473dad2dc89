use smolsmc_roce::packet::{
    Bth, EthernetHeader, Ext, FrameHeaders, Ipv4Header, Ipv6Header, Opcode, PartialPacket, RocePacket,
    UdpHeader, icrc, icrc_of_parts,
};
use smolsmc_wire::ParseErrorKind;

use super::octets::{Octets, refuses_short_buffers};

/// An Ethernet frame that may be RoCEv2, and its headers on their own.
///
/// The first octet says whether lengths, checksum and port are repaired, so
/// that what lies behind them is reached, and by how much the frame was longer
/// on the wire.
///
/// Asserts: a whole packet and a cut one agree in every octet that is there, at
/// any cut; the ICRC is that of a plain computation; it notices any single
/// bit it covers and none that it masks; headers are written again bit for bit;
/// and a frame written again from what was read says the same and has a right
/// ICRC.
pub fn roce(data: &[u8]) {
    let mut more = Octets(data);
    let control = more.u8();
    let mut frame = more.0.to_vec();
    if control & 0x80 != 0 {
        repair(&mut frame);
    }
    headers(&frame);
    let longer = PartialPacket::parse(&frame, frame.len() + usize::from(control & 0x7f));
    assert!(!matches!(longer, Ok(Some(part)) if part.is_cut() != part.whole().is_none()));
    let whole = RocePacket::parse(&frame);
    match (&whole, PartialPacket::parse(&frame, frame.len())) {
        (Ok(Some(whole)), Ok(Some(part))) => assert_eq!(part.whole().as_ref(), Some(whole)),
        (Ok(None), Ok(None)) => {}
        (Err(error), Err(same)) => {
            assert_eq!(error, &same);
            assert!(error.offset <= frame.len(), "{error}");
        }
        (whole, part) => panic!("{whole:?} but {part:?}"),
    }
    if let Ok(Some(packet)) = whole {
        cut(&frame, &packet, usize::from(control));
        checked(&frame, &packet, usize::from(control));
        written_again(&packet, usize::from(control));
    }
}

/// Makes the IP packet end with the frame and go to the port of RoCE.
fn repair(frame: &mut [u8]) -> Option<()> {
    let tagged = frame.get(12..14)? == [0x81, 0x00];
    let (ethertype_at, ip_at) = if tagged { (16, 18) } else { (12, 14) };
    let v6 = *frame.get(ip_at)? >> 4 == 6;
    let total = u16::try_from(frame.len() - ip_at).ok()?;
    let udp_at = ip_at + if v6 { 40 } else { 20 };
    frame.get(..udp_at + 8)?;
    frame[ethertype_at..ip_at].copy_from_slice(if v6 { &[0x86, 0xdd] } else { &[0x08, 0x00] });
    if v6 {
        frame[ip_at + 4..ip_at + 6].copy_from_slice(&(total - 40).to_be_bytes());
        frame[ip_at + 6] = 17;
    } else {
        frame[ip_at] = 0x45;
        frame[ip_at + 2..ip_at + 4].copy_from_slice(&total.to_be_bytes());
        frame[ip_at + 6] &= 0x40;
        frame[ip_at + 7] = 0;
        frame[ip_at + 9] = 17;
        frame[ip_at + 10..ip_at + 12].fill(0);
        let words = frame[ip_at..udp_at].chunks(2);
        let sum: u32 = words.map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum();
        let sum = (sum & 0xffff) + (sum >> 16);
        let checksum = !(((sum & 0xffff) + (sum >> 16)) as u16);
        frame[ip_at + 10..ip_at + 12].copy_from_slice(&checksum.to_be_bytes());
    }
    frame[udp_at + 2..udp_at + 4].copy_from_slice(&4791u16.to_be_bytes());
    let udp_len = total - (udp_at - ip_at) as u16;
    frame[udp_at + 4..udp_at + 6].copy_from_slice(&udp_len.to_be_bytes());
    Some(())
}

/// Each header from the front of the octets, whatever they are.
fn headers(octets: &[u8]) {
    if let Ok(header) = EthernetHeader::parse(octets) {
        let mut again = [0xff; EthernetHeader::TAGGED_LEN];
        let len = header.emit(&mut again).ok();
        assert_eq!(len, Some(header.wire_len()));
        assert_eq!(again[..header.wire_len()], octets[..header.wire_len()]);
        refuses_short_buffers(header.wire_len(), 5, |buffer| header.emit(buffer).is_err());
    }
    if let Ok((header, len)) = Ipv4Header::parse(octets) {
        let mut again = [0xff; Ipv4Header::LEN];
        header.emit(&mut again);
        assert_eq!(Ipv4Header::parse(&again), Ok((header, Ipv4Header::LEN)));
        // The flag that RFC 791 reserves is not kept, and options are not.
        if len == Ipv4Header::LEN && octets[6] & 0x80 == 0 {
            assert_eq!(again[..10], octets[..10]);
            assert_eq!(again[12..], octets[12..20]);
        }
    }
    if let Ok(header) = Ipv6Header::parse(octets) {
        let mut again = [0xff; Ipv6Header::LEN];
        header.emit(&mut again);
        assert_eq!(again, octets[..Ipv6Header::LEN]);
    }
    if let Ok(header) = UdpHeader::parse(octets) {
        let mut again = [0xff; UdpHeader::LEN];
        header.emit(&mut again);
        assert_eq!(again, octets[..UdpHeader::LEN]);
    }
    if let Ok(header) = Bth::parse(octets) {
        let mut again = [0xff; Bth::LEN];
        header.emit(&mut again);
        assert_eq!(again[..4], octets[..4]);
        assert_eq!(again[4], octets[4] & 0xc0, "reserved bits are zero");
        assert_eq!(again[5..8], octets[5..8]);
        assert_eq!(again[8], octets[8] & 0x80, "reserved bits are zero");
        assert_eq!(again[9..], octets[9..12]);
        assert_eq!(Bth::parse(&again), Ok(header));
    }
    if let Some((&opcode, octets)) = octets.split_first() {
        extension(Opcode(opcode), octets);
    }
}

fn extension(opcode: Opcode, octets: &[u8]) {
    let len = opcode.ext_kind().wire_len();
    let Ok(ext) = Ext::parse(opcode, octets) else {
        assert!(octets.len() < len);
        return;
    };
    assert_eq!((ext.kind(), ext.wire_len()), (opcode.ext_kind(), len));
    let mut again = [0xff; Ext::MAX_LEN];
    assert_eq!(ext.emit(&mut again), Ok(len));
    assert_eq!(again[..len], octets[..len]);
    refuses_short_buffers(len, usize::from(opcode.0), |buffer| ext.emit(buffer).is_err());
}

/// The frame cut at some lengths, and about its headers' end at each.
fn cut(frame: &[u8], whole: &RocePacket<'_>, choice: usize) {
    let headers_end = whole.headers().wire_len();
    let spread = (0..6).map(|n| (choice + n * 29) % frame.len());
    for len in (headers_end - 2..headers_end + 2).chain(spread) {
        let Some(captured) = frame.get(..len).filter(|captured| captured.len() < frame.len()) else {
            continue;
        };
        let part = match PartialPacket::parse(captured, frame.len()) {
            Err(_) => {
                assert!(len < headers_end - Bth::LEN - whole.ext.wire_len(), "cut at {len}");
                continue;
            }
            // A frame cut so early may be anything.
            Ok(part) => part.into_iter().next(),
        };
        let Some(part) = part else { panic!("cut at {len}: no longer RoCE") };
        assert_eq!((part.ethernet, part.ip, part.udp), (whole.ethernet, whole.ip, whole.udp));
        assert!(part.bth.is_none_or(|bth| bth == whole.bth));
        assert!(part.ext.is_none_or(|ext| ext == whole.ext));
        assert_eq!(part.ext.is_some(), len >= headers_end, "cut at {len}");
        assert!(whole.payload.starts_with(part.payload));
        assert!(part.payload_len.is_none_or(|len| len == whole.payload.len()));
        assert!(part.icrc.is_none_or(|icrc| icrc == whole.icrc));
        assert_eq!(part.is_cut(), part.whole().is_none());
    }
}

/// The ICRC of `frame`, whose packet is `packet`.
fn checked(frame: &[u8], packet: &RocePacket<'_>, choice: usize) {
    let ip_at = packet.ethernet.wire_len();
    let headers_end = packet.headers().wire_len();
    let end = headers_end + packet.payload.len() + usize::from(packet.bth.pad);
    let covered = &frame[ip_at..end];
    let right = plain_icrc(covered);
    assert_eq!(icrc(covered), Some(right));
    let (head, rest) = covered.split_at(headers_end - ip_at);
    let (rest, last) = rest.split_at(choice.min(rest.len()));
    assert_eq!(icrc_of_parts(head, &[rest, last]), Some(right));
    match packet.verify_icrc() {
        Ok(()) => assert_eq!(packet.icrc, right),
        Err(error) => {
            assert_eq!(error.kind, ParseErrorKind::Checksum { computed: right, got: packet.icrc });
            assert_eq!(error.offset, end);
        }
    }
    let mut flipped = covered.to_vec();
    let bit = choice * 37 % (covered.len() * 8);
    flipped[bit / 8] ^= 0x80 >> (bit % 8);
    if let Some(other) = icrc(&flipped) {
        assert_eq!(other == right, masked(covered, bit / 8) & 0x80 >> (bit % 8) != 0, "bit {bit}");
    }
}

/// The bits of the octet `at` that the ICRC takes for ones: what routers may
/// change (IBTA Annex A17).
fn masked(covered: &[u8], at: usize) -> u8 {
    match (covered[0] >> 4, at) {
        (6, 0) => 0x0f,
        (6, 1..=3 | 7 | 46 | 47 | 52) => 0xff,
        (4, 1 | 8 | 10 | 11 | 26 | 27 | 32) => 0xff,
        _ => 0,
    }
}

/// Octet by octet, with the masks written into a copy.
fn plain_icrc(covered: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut octet = 0;
        while octet < 256 {
            let (mut crc, mut bit) = (octet as u32, 0);
            while bit < 8 {
                crc = crc >> 1 ^ if crc & 1 != 0 { 0xedb8_8320 } else { 0 };
                bit += 1;
            }
            table[octet] = crc;
            octet += 1;
        }
        table
    };
    let masked = covered.iter().enumerate().map(|(at, octet)| octet | masked(covered, at));
    let octets = [0xff; 8].into_iter().chain(masked);
    !octets.fold(u32::MAX, |crc, octet| crc >> 8 ^ TABLE[usize::from(crc as u8 ^ octet)])
}

/// The same headers and payload in a frame of our own.
fn written_again(packet: &RocePacket<'_>, choice: usize) {
    let headers = packet.headers();
    let len = headers.frame_len(packet.payload.len());
    let mut again = vec![0xff; len];
    assert_eq!(headers.emit_with(packet.payload, &mut again), Ok(len));
    let Ok(Some(same)) = RocePacket::parse(&again) else { panic!("it is RoCE: {headers:?}") };
    assert_eq!(same.verify_icrc(), Ok(()));
    assert_eq!(same.payload, packet.payload);
    let pad = (packet.payload.len().wrapping_neg() & 3) as u8;
    assert_eq!(same.headers(), FrameHeaders { bth: Bth { pad, ..headers.bth }, ..headers });
    refuses_short_buffers(len, choice, |buffer| headers.emit_with(packet.payload, buffer).is_err());
    let last = len - 1;
    again[last] ^= 1;
    let Ok(Some(bad)) = RocePacket::parse(&again) else { panic!("it is still RoCE") };
    assert!(bad.verify_icrc().is_err());
}
