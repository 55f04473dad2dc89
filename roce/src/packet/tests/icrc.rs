use super::*;

/// The rules of 60-rocev2-rc-wire one after the other: copy, mask, CRC.
fn by_the_rules(covered: &[u8]) -> u32 {
    let mut octets = covered.to_vec();
    let bth_at = match octets[0] >> 4 {
        4 => {
            octets[1] = 0xff;
            octets[8] = 0xff;
            octets[10..12].fill(0xff);
            28
        }
        _ => {
            octets[0] = 0x6f;
            octets[1..4].fill(0xff);
            octets[7] = 0xff;
            48
        }
    };
    octets[bth_at - 2..bth_at].fill(0xff);
    octets[bth_at + 4] = 0xff;
    bitwise_crc32(&[&[0xff; 8][..], &octets].concat())
}

/// CRC-32 of Ethernet, a bit at a time.
fn bitwise_crc32(octets: &[u8]) -> u32 {
    !octets.iter().fold(!0, |crc: u32, octet| {
        (0..8).fold(
            crc ^ u32::from(*octet),
            |crc, _| if crc & 1 == 0 { crc >> 1 } else { crc >> 1 ^ 0xedb8_8320 },
        )
    })
}

#[test]
fn bitwise_crc_has_the_well_known_check_value() {
    assert_eq!(bitwise_crc32(b"123456789"), 0xcbf4_3926);
}

#[test]
fn ipv4_ack_of_the_fact_sheet() {
    // 60-rocev2-rc-wire, first test vector; IPv4 header checksum left 0.
    let packet = vectors::hex(
        "4500003012344000011100000a0000010a000002 c00012b7001c0000 1100ffff0000001700123456 1f000001 c47f2c5f",
    );
    let (covered, icrc_octets) = packet.split_last_chunk().unwrap();
    assert_eq!(icrc(covered), Some(0x5f2c_7fc4));
    assert_eq!(u32::from_le_bytes(*icrc_octets), 0x5f2c_7fc4);
}

#[test]
fn ipv6_send_only_of_the_fact_sheet() {
    // 60-rocev2-rc-wire, second test vector; payload 00 01 .. 2b.
    let mut covered = vectors::hex(
        "6000000000441101 fd000000000000000000000000000001 fd000000000000000000000000000002
         c00012b700440000 0480ffff0000001780000001",
    );
    covered.extend(0..=0x2b);
    assert_eq!(icrc(&covered), Some(0x6ad2_af2a));

    // The whole frame: what is sent is that vector, too.
    let headers = FrameHeaders {
        ip: v6_path(),
        src_port: 0xc000,
        bth: Bth {
            solicited: true,
            ack_request: true,
            ..Bth::new(Opcode::SEND_ONLY, Qpn::new(0x17), Psn::new(1))
        },
        ext: Ext::None,
        ..write_only(v6_path())
    };
    let frame = sealed(&headers, &(0..=0x2b).collect::<Vec<u8>>());
    assert_eq!(frame[14..], [covered, vectors::hex("2aafd26a")].concat());
}

#[test]
fn headers_that_end_early_have_no_icrc() {
    for (path, head) in [(v4_path(), 40), (v6_path(), 60)] {
        let frame = sealed(&write_only(path), b"");
        for len in 0..frame.len() - 14 {
            assert_eq!(icrc(&frame[14..14 + len]).is_some(), len >= head, "{len}");
        }
    }
    assert_eq!(icrc(&[0x55; 100]), None, "neither IPv4 nor IPv6");
}

proptest! {
    #[test]
    fn start_value_does_what_masking_does(
        version in proptest::sample::select(&[0x40u8, 0x60]),
        mut covered in proptest::collection::vec(any::<u8>(), 60..400),
    ) {
        covered[0] = version | covered[0] & 0x0f;
        prop_assert_eq!(icrc(&covered), Some(by_the_rules(&covered)));
    }

    #[test]
    fn parts_are_read_as_one(covered in proptest::collection::vec(any::<u8>(), 200), a in 40usize..120, b in 0usize..80) {
        let covered = [&[0x45][..], &covered].concat();
        let parts = [&covered[a..a + b], &covered[a + b..]];
        prop_assert_eq!(icrc_of_parts(&covered[..a], &parts), icrc(&covered));
    }
}
