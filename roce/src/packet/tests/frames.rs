use super::*;
use smolsmc_wire::ParseErrorKind;

/// Offsets in a frame without a VLAN tag of the octets the ICRC masks, and in
/// octet 14 of IPv6 the bits.
fn masked(frame: &[u8]) -> Vec<usize> {
    match frame[14] >> 4 {
        4 => vec![15, 22, 24, 25, 40, 41, 46],
        _ => vec![15, 16, 17, 21, 60, 61, 66],
    }
}

#[test]
fn payload_may_be_placed_between_headers_and_seal() {
    let headers = write_only(v4_path());
    let mut copied = [0x55; 100];
    let len = headers.emit_with(b"hello", &mut copied).unwrap();
    let mut placed = [0xaa; 100];
    let mut open = headers.emit(5, &mut placed).unwrap();
    let (front, back) = open.payload_mut().split_at_mut(2);
    front.copy_from_slice(b"he");
    back.copy_from_slice(b"llo");
    assert_eq!(open.seal(), len);
    assert_eq!(placed[..len], copied[..len]);
    assert_eq!(placed[len..], [0xaa; 100][len..], "what follows the frame is the caller's");
    assert_eq!(copied[len - 7..len - 4], [0; 3], "pad is zero");
}

#[test]
fn octets_after_the_packet_are_ignored() {
    for frame in vectors::all() {
        let longer = [&frame[..], &[0x77; 23]].concat();
        assert_eq!(parsed(&longer), parsed(&frame));
        assert_eq!(parsed(&longer).verify_icrc(), Ok(()));
    }
}

#[test]
fn every_bit_the_icrc_covers_is_guarded() {
    for path in [v4_path(), v6_path()] {
        let frame = sealed(&write_only(path), b"hello");
        let masked = masked(&frame);
        for bit in 14 * 8..frame.len() * 8 {
            let (octet, mask) = (bit / 8, 1u8 << (bit % 8));
            let mut bad = frame.clone();
            bad[octet] ^= mask;
            if bad[14] >> 4 == 4 && octet < 34 && octet != 24 && octet != 25 {
                mend_ipv4_checksum(&mut bad[14..34]);
            }
            let good = match RocePacket::parse(&bad) {
                Ok(Some(packet)) => packet.verify_icrc().is_ok(),
                Ok(None) | Err(_) => false,
            };
            // The low four bits of octet 14 are the header length of IPv4 and class bits of IPv6.
            let may = masked.contains(&octet) || (octet == 14 && bad[14] >> 4 == 6 && mask < 0x10);
            let checksum = bad[14] >> 4 == 4 && (octet == 24 || octet == 25);
            assert_eq!(good, may && !checksum, "octet {octet} bit {mask:#x}");
            if checksum {
                assert_eq!(
                    icrc(&bad[14..bad.len() - 4]),
                    Some(parsed(&frame).icrc),
                    "IP sees it, the ICRC not"
                );
            }
        }
    }
}

#[test]
fn wrong_icrc_is_told_with_both_values() {
    let mut frame = vectors::ack();
    let right = parsed(&frame).icrc;
    *frame.last_mut().unwrap() ^= 0x80;
    let error = parsed(&frame).verify_icrc().unwrap_err();
    assert_eq!((error.what, error.offset), ("ICRC", 58));
    assert_eq!(error.kind, ParseErrorKind::Checksum { computed: right, got: right ^ 0x8000_0000 });
}

#[test]
fn opcode_without_a_name_is_kept_with_all_its_octets() {
    // Built by hand from 60-rocev2-rc-wire: a CNP is opcode 0x81 and 16 reserved octets.
    let bth = Bth::new(Opcode(0x81), Qpn::new(17), Psn::new(0));
    let headers = FrameHeaders { bth, ext: Ext::None, ..write_only(v4_path()) };
    let frame = sealed(&headers, &[0; 16]);
    let packet = parsed(&frame);
    assert_eq!((packet.bth.opcode, packet.ext, packet.payload), (Opcode(0x81), Ext::None, &[0; 16][..]));
    assert_eq!(packet.verify_icrc(), Ok(()));
}

#[test]
fn cut_frame_says_what_is_left_of_it() {
    for frame in vectors::all() {
        let whole = parsed(&frame);
        let ext_end = 54 + whole.ext.wire_len();
        for cut in 42..frame.len() {
            let part = PartialPacket::parse(&frame[..cut], frame.len()).unwrap().unwrap();
            assert!(part.is_cut());
            assert_eq!(part.whole(), None);
            assert_eq!((part.ethernet, part.ip, part.udp), (whole.ethernet, whole.ip, whole.udp));
            assert_eq!(part.bth, (cut >= 54).then_some(whole.bth));
            assert_eq!(part.payload_len, (cut >= 54).then_some(whole.payload.len()));
            assert_eq!(part.ext, (cut >= ext_end).then_some(whole.ext));
            let there = cut.saturating_sub(ext_end).min(whole.payload.len());
            assert_eq!(part.payload, &whole.payload[..there]);
            assert_eq!(part.icrc, None);
        }
        let part = PartialPacket::parse(&frame, frame.len()).unwrap().unwrap();
        assert_eq!((part.is_cut(), part.whole()), (false, Some(whole)));
        assert_eq!(part.icrc, Some(whole.icrc));
    }
}

proptest! {
    #[test]
    fn frames_round_trip(
        headers in any_headers(),
        payload in proptest::collection::vec(any::<u8>(), 0..1100),
    ) {
        let frame = sealed(&headers, &payload);
        let packet = parsed(&frame);
        let pad = (4 - payload.len() % 4) as u8 % 4;
        prop_assert_eq!(packet.headers(), FrameHeaders { bth: Bth { pad, ..headers.bth }, ..headers });
        prop_assert_eq!(packet.payload, &payload[..]);
        prop_assert_eq!(packet.verify_icrc(), Ok(()));
        prop_assert_eq!((packet.udp.dst_port, packet.udp.checksum), (ROCE_UDP_PORT, 0));
    }

    #[test]
    fn frames_cut_anywhere_are_refused(headers in any_headers(), payload in proptest::collection::vec(any::<u8>(), 0..70)) {
        let frame = sealed(&headers, &payload);
        for cut in 0..frame.len() {
            let error = RocePacket::parse(&frame[..cut]).unwrap_err();
            let truncated = matches!(error.kind, ParseErrorKind::Truncated { .. });
            prop_assert!(truncated, "{}: {}", cut, error);
        }
    }

    #[test]
    fn routers_may_change_what_the_icrc_masks(headers in any_headers(), payload: [u8; 9], new: [u8; 7]) {
        let headers = FrameHeaders { vlan: None, ..headers };
        let mut frame = sealed(&headers, &payload);
        for (at, octet) in masked(&frame).into_iter().zip(new) {
            frame[at] = octet;
        }
        if frame[14] == 0x45 {
            mend_ipv4_checksum(&mut frame[14..34]);
        }
        prop_assert_eq!(parsed(&frame).verify_icrc(), Ok(()));
    }

    #[test]
    fn noise_never_panics(
        mut frame in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            any_headers().prop_map(|headers| sealed(&headers, b"some payload")),
        ],
        hits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6),
        original_len: usize,
    ) {
        for (at, octet) in hits {
            if !frame.is_empty() {
                let at = at.index(frame.len());
                frame[at] = octet;
            }
        }
        if let Ok(Some(packet)) = RocePacket::parse(&frame) {
            prop_assert!(packet.payload.len() < frame.len());
            let _ = packet.verify_icrc();
        }
        if let Ok(Some(part)) = PartialPacket::parse(&frame, original_len) {
            prop_assert!(part.payload.len() <= part.payload_len.unwrap_or(0));
        }
    }
}
