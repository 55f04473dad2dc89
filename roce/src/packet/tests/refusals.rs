//! What is not RoCE, and what is RoCE but wrong. Offsets are those of a frame
//! without a VLAN tag: IP at 14, UDP at 34, BTH at 42 (IPv4).

use super::*;
use smolsmc_wire::ParseErrorKind;

/// An IPv4 frame after `change`, its header checksum mended.
fn changed(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut frame = sealed(&write_only(v4_path()), b"hello");
    change(&mut frame);
    mend_ipv4_checksum(&mut frame[14..34]);
    frame
}

fn refused(frame: &[u8]) -> (&'static str, usize, ParseErrorKind) {
    let error = RocePacket::parse(frame).unwrap_err();
    (error.what, error.offset, error.kind)
}

#[test]
fn other_protocols_are_not_roce() {
    let frames = [
        changed(|f| f[12..14].copy_from_slice(&EtherType::ARP.0.to_be_bytes())),
        changed(|f| f[12..14].copy_from_slice(&EtherType::ROCE_V1.0.to_be_bytes())),
        changed(|f| f[23] = IpProtocol::TCP.0),
        changed(|f| f[36..38].copy_from_slice(&4790u16.to_be_bytes())),
        // A second tag after the first is not looked into.
        sealed(&FrameHeaders { vlan: Some(VlanTag(1)), ..write_only(v4_path()) }, b"").tap(|f| {
            f[16..18].copy_from_slice(&EtherType::VLAN.0.to_be_bytes());
        }),
        // An IPv6 extension header: hop-by-hop options.
        sealed(&write_only(v6_path()), b"").tap(|f| f[20] = 0),
    ];
    for frame in frames {
        assert_eq!(RocePacket::parse(&frame), Ok(None));
    }
}

#[test]
fn fragments_are_refused() {
    let first = changed(|f| f[20] |= 0x20);
    let kind = ParseErrorKind::Value(1);
    assert_eq!(refused(&first), ("IPv4 more-fragments flag of a RoCE packet", 20, kind));
    let later = changed(|f| f[21] = 1);
    assert_eq!(RocePacket::parse(&later), Ok(None), "a later fragment has no ports: it may be anybody's");
}

#[test]
fn ip_options_are_refused() {
    let frame = changed(|f| {
        let total = f.len() as u16 - 14 + 4;
        f[14] = 0x46;
        f[16..18].copy_from_slice(&total.to_be_bytes());
        f.splice(34..34, [1, 1, 1, 0]);
    });
    let frame = frame.tap(|f| mend_ipv4_checksum(&mut f[14..38]));
    let kind = ParseErrorKind::Length { expected: 20, got: 24 };
    assert_eq!(refused(&frame), ("IPv4 header of a RoCE packet", 14, kind));
}

#[test]
fn wrong_versions_are_refused() {
    let v6_in_v4 = changed(|f| f[14] = 0x65);
    assert_eq!(refused(&v6_in_v4), ("IPv4 version", 14, ParseErrorKind::Value(6)));
    let v4_in_v6 = sealed(&write_only(v6_path()), b"").tap(|f| f[14] = 0x40);
    assert_eq!(refused(&v4_in_v6), ("IPv6 version", 14, ParseErrorKind::Value(4)));
    let short_header = changed(|f| f[14] = 0x44);
    let kind = ParseErrorKind::Length { expected: 20, got: 16 };
    assert_eq!(refused(&short_header), ("IPv4 header length", 14, kind));
    let bth = changed(|f| f[43] |= 2);
    assert_eq!(refused(&bth), ("BTH version", 43, ParseErrorKind::Value(2)));
}

#[test]
fn wrong_ipv4_checksum_is_refused() {
    let frame = changed(|_| ()).tap(|f| f[24] ^= 1);
    let (what, offset, kind) = refused(&frame);
    assert_eq!((what, offset), ("IPv4 header", 24));
    assert!(matches!(kind, ParseErrorKind::Checksum { .. }));
}

#[test]
fn lengths_that_contradict_each_other_are_refused() {
    let good = changed(|_| ());
    let ip_len = good.len() - 14;
    let set_ip = |len: usize| changed(|f| f[16..18].copy_from_slice(&(len as u16).to_be_bytes()));
    let kind = ParseErrorKind::Truncated { needed: ip_len + 1, got: ip_len };
    assert_eq!(refused(&set_ip(ip_len + 1)), ("IP packet", 14, kind));
    let kind = ParseErrorKind::Length { expected: ip_len - 21, got: ip_len - 20 };
    assert_eq!(refused(&set_ip(ip_len - 1)), ("UDP length", 38, kind));
    for len in 0..44 {
        let kind = ParseErrorKind::Length { expected: 44, got: len };
        assert_eq!(refused(&set_ip(len)), ("IP length of a RoCE packet", 14, kind));
    }
    for delta in [1, -1] {
        let frame = changed(|f| f[39] = f[39].wrapping_add_signed(delta));
        let kind = ParseErrorKind::Length {
            expected: ip_len - 20,
            got: (ip_len - 20).wrapping_add_signed(isize::from(delta)),
        };
        assert_eq!(refused(&frame), ("UDP length", 38, kind));
    }
}

#[test]
fn packet_without_room_for_its_headers_and_pad_is_refused() {
    for opcode in Opcode::NAMED {
        // A packet of a bare BTH and ICRC, whose opcode and pad ask for more.
        let bth = Bth::new(Opcode(0x1f), Qpn::new(17), Psn::new(0));
        let bare = sealed(&FrameHeaders { bth, ext: Ext::None, ..write_only(v4_path()) }, b"");
        for pad in 0..4u8 {
            let frame = bare.clone().tap(|f| {
                f[42] = opcode.0;
                f[43] |= pad << 4;
            });
            let expected = 16 + opcode.ext_kind().wire_len() + usize::from(pad);
            if expected == 16 {
                assert!(parsed(&frame).payload.is_empty());
                continue;
            }
            let kind = ParseErrorKind::Length { expected, got: 16 };
            assert_eq!(refused(&frame), ("RoCE headers, pad and ICRC", 42, kind), "{opcode} {pad}");
        }
    }
}

#[test]
fn offsets_count_the_vlan_tag() {
    let tagged = FrameHeaders { vlan: Some(VlanTag(0xa005)), ..write_only(v4_path()) };
    let frame = sealed(&tagged, b"hello");
    assert_eq!(parsed(&frame).ethernet.vlan, Some(VlanTag(0xa005)));
    assert_eq!(refused(&frame.tap(|f| f[47] |= 1)), ("BTH version", 47, ParseErrorKind::Value(1)));
}

trait Tap: Sized {
    /// The value after `change`.
    fn tap(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

impl Tap for Vec<u8> {}
