use alloc::format;

use super::*;
use smolsmc_wire::{Duration, EmitError, ParseErrorKind};

#[test]
fn source_port_is_that_of_the_fact_sheet() {
    // 60-rocev2-rc-wire: 17 and 17 -> 0xC121; 18 and 19 -> 0xC156.
    assert_eq!(source_port(Qpn::new(17), Qpn::new(17)), 0xc121);
    assert_eq!(source_port(Qpn::new(18), Qpn::new(19)), 0xc156);
    // By hand: (2^24 - 1)^2 = 0xfffffe000001; ^ >> 20 = 0xfffff1ffffe1; >> 40 = 0xff;
    // low 20 bits 0xfff1e; 0x3f1e ^ 0x3f = 0x3f21.
    assert_eq!(source_port(Qpn::MAX, Qpn::MAX), 0xff21);
}

#[test]
fn every_opcode_of_the_fact_sheet_has_its_headers() {
    // Opcode and octets of extension headers, from the table of 60-rocev2-rc-wire.
    let table: [(u8, usize); 23] = [
        (0x00, 0),
        (0x01, 0),
        (0x02, 0),
        (0x03, 4),
        (0x04, 0),
        (0x05, 4),
        (0x06, 16),
        (0x07, 0),
        (0x08, 0),
        (0x09, 4),
        (0x0a, 16),
        (0x0b, 20),
        (0x0c, 16),
        (0x0d, 4),
        (0x0e, 0),
        (0x0f, 4),
        (0x10, 4),
        (0x11, 4),
        (0x12, 12),
        (0x13, 28),
        (0x14, 28),
        (0x16, 4),
        (0x17, 4),
    ];
    let ours: Vec<_> = Opcode::NAMED.iter().map(|op| (op.0, op.ext_kind().wire_len())).collect();
    assert_eq!(ours, table);
    for op in Opcode::NAMED {
        assert_eq!(op.is_request(), !op.is_response(), "{op}");
        assert_eq!(op.is_response(), matches!(op.0, 0x0d..=0x12), "{op}");
    }
    let unknown = Opcode(0x81);
    assert_eq!((unknown.facts(), unknown.is_request(), unknown.is_response()), (None, false, false));
}

#[test]
fn opcode_names_tell_operation_and_position() {
    for op in Opcode::NAMED {
        let (name, facts) = (op.name().unwrap(), op.facts().unwrap());
        let said = [Position::First, Position::Middle, Position::Last, Position::Only]
            .into_iter()
            .find(|position| name.contains(&format!("{position:?}").to_lowercase()));
        assert_eq!(said.unwrap_or(Position::Only), facts.position, "{name}");
        assert_eq!(name.starts_with("SEND"), facts.operation == Operation::Send, "{name}");
        assert_eq!(name.starts_with("RDMA WRITE"), facts.operation == Operation::Write, "{name}");
        assert_eq!(name.contains("READ response"), facts.operation == Operation::ReadResponse, "{name}");
        assert_eq!(
            name.contains("immediate"),
            matches!(facts.ext, ExtKind::Imm | ExtKind::RethImm),
            "{name}"
        );
        assert_eq!(facts.position.is_start(), matches!(facts.position, Position::First | Position::Only));
        assert_eq!(facts.position.is_end(), matches!(facts.position, Position::Last | Position::Only));
    }
}

#[test]
fn syndromes_have_the_meanings_of_the_fact_sheet() {
    assert_eq!(Syndrome::from_octet(0x1f), Syndrome::ACK);
    assert_eq!(Syndrome::from_octet(0x03), Syndrome::Ack { credits: 3 });
    assert_eq!(Syndrome::from_octet(0x25), Syndrome::RnrNak { timer: RnrTimer::from_code(5) });
    assert_eq!(Syndrome::from_octet(0x60), Syndrome::Nak { code: NakCode::PSN_SEQUENCE_ERROR });
    assert_eq!(Syndrome::from_octet(0x62), Syndrome::Nak { code: NakCode::REMOTE_ACCESS_ERROR });
    assert_eq!(Syndrome::from_octet(0x7f), Syndrome::Nak { code: NakCode(31) });
    assert_eq!(Syndrome::from_octet(0x40), Syndrome::Reserved(0x40));
    assert_eq!(Syndrome::from_octet(0x9f), Syndrome::Reserved(0x9f), "the top bit is not part of an ACK");
    for octet in 0..=255 {
        assert_eq!(Syndrome::from_octet(octet).octet(), octet);
    }
}

#[test]
fn rnr_timers_have_the_times_of_the_fact_sheet() {
    let micros = |code| RnrTimer::from_code(code).duration();
    assert_eq!(micros(0), Duration::from_micros(655_360));
    assert_eq!(micros(1), Duration::from_micros(10));
    assert_eq!(micros(5), Duration::from_micros(60), "the one Linux uses");
    assert_eq!(micros(14), Duration::from_micros(1_280));
    assert_eq!(micros(31), Duration::from_micros(491_520));
    assert_eq!(RnrTimer::from_code(0xe5).code(), 5, "a code has five bits");
    assert!(RNR_TIMER_MICROS[1..].is_sorted());
}

#[test]
fn vlan_tag_has_three_parts() {
    let tag = VlanTag(0xb123);
    assert_eq!((tag.pcp(), tag.dei(), tag.vid()), (5, true, 0x123));
    assert_eq!(VlanTag::new(0xf123), VlanTag(0x123));
}

#[test]
fn ipv4_options_are_walked_over() {
    // Built by hand from RFC 791: IHL 6, one word of no-operation options.
    let mut octets = [0x46, 0xb9, 0, 24, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 1, 1, 1, 0];
    mend_ipv4_checksum(&mut octets);
    let (header, len) = Ipv4Header::parse(&octets).unwrap();
    assert_eq!((len, header.protocol, header.total_len), (24, IpProtocol::TCP, 24));
    assert_eq!((header.dscp(), header.ecn()), (46, 1));
    for cut in 0..octets.len() {
        let error = Ipv4Header::parse(&octets[..cut]).unwrap_err();
        assert!(matches!(error.kind, ParseErrorKind::Truncated { .. }), "{cut}: {error}");
    }
}

#[test]
fn ipv4_checksum_is_verified() {
    // linux612-abort.pcap frame 19, the IPv4 header.
    let octets: [u8; 20] = vectors::hex("450000308303400001 11e2a50a0900020a090001").try_into().unwrap();
    let (header, _) = Ipv4Header::parse(&octets).unwrap();
    let mut out = [0xff; 20];
    header.emit(&mut out);
    assert_eq!(out, octets);
    for bit in 0..160 {
        let mut bad = octets;
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(Ipv4Header::parse(&bad).is_err(), "bit {bit}");
    }
    let mut bad = octets;
    bad[10] ^= 0xff;
    let kind = ParseErrorKind::Checksum { computed: 0xe2a5, got: 0x1da5 };
    assert_eq!(Ipv4Header::parse(&bad).unwrap_err().kind, kind);
}

#[test]
fn reserved_bits_of_a_bth_change_nothing() {
    let octets = [0x04, 0x80, 0xff, 0xff, 0, 0, 0, 17, 0x80, 0, 0, 9];
    let bth = Bth::parse(&octets).unwrap();
    let mut noisy = octets;
    noisy[4] |= 0x3f;
    noisy[8] |= 0x7f;
    assert_eq!(Bth::parse(&noisy), Ok(bth));
    let mut out = [0xff; 12];
    bth.emit(&mut out);
    assert_eq!(out, octets, "they are zero on sending");
}

#[test]
fn short_buffers_are_refused() {
    let headers = write_only(v4_path());
    let needed = headers.frame_len(5);
    for got in 0..needed {
        let error = headers.emit_with(b"hello", &mut vec![0; got]).unwrap_err();
        assert_eq!(error, EmitError::BufferTooSmall { what: "RoCE frame", needed, got });
    }
    let ethernet =
        EthernetHeader { dst: headers.dst, src: headers.src, vlan: None, ethertype: EtherType::ARP };
    assert!(ethernet.emit(&mut [0; 13]).is_err());
    assert!(headers.ext.emit(&mut [0; 15]).is_err());
}

#[test]
fn payloads_beyond_an_ip_packet_are_refused() {
    for path in [v4_path(), v6_path()] {
        let headers = write_only(path);
        let EmitError::TooLarge { limit, .. } = headers.emit(usize::MAX, &mut []).unwrap_err() else {
            panic!()
        };
        assert!(matches!(headers.emit(limit + 1, &mut []), Err(EmitError::TooLarge { .. })));
        let frame = sealed(&headers, &vec![7; limit]);
        assert_eq!(parsed(&frame).payload.len(), limit);
    }
}

proptest! {
    #[test]
    fn ethernet_round_trip(dst: [u8; 6], src: [u8; 6], tag: Option<u16>, ethertype: u16) {
        prop_assume!(ethertype != EtherType::VLAN.0);
        let ethertype = EtherType(ethertype);
        let header = EthernetHeader { dst: Mac(dst), src: Mac(src), vlan: tag.map(VlanTag), ethertype };
        let mut out = [0xff; 18];
        let len = header.emit(&mut out).unwrap();
        prop_assert_eq!(len, header.wire_len());
        prop_assert_eq!(EthernetHeader::parse(&out[..len]), Ok(header));
        for cut in 0..len {
            prop_assert!(EthernetHeader::parse(&out[..cut]).is_err());
        }
    }

    #[test]
    fn ipv4_round_trip(
        (tos, total_len, identification, ttl, protocol) in any::<(u8, u16, u16, u8, u8)>(),
        (dont_fragment, more_fragments, fragment_offset) in (any::<bool>(), any::<bool>(), 0u16..1 << 13),
        (src, dst) in any::<([u8; 4], [u8; 4])>(),
    ) {
        let header = Ipv4Header {
            tos, total_len, identification, dont_fragment, more_fragments, fragment_offset, ttl,
            protocol: IpProtocol(protocol), src: src.into(), dst: dst.into(),
        };
        let mut out = [0xff; 20];
        header.emit(&mut out);
        prop_assert_eq!(Ipv4Header::parse(&out), Ok((header, 20)));
        prop_assert_eq!(header.is_fragment(), more_fragments || fragment_offset > 0);
        let mut mended = out;
        mend_ipv4_checksum(&mut mended);
        prop_assert_eq!(out, mended, "the checksum of another routine");
    }

    #[test]
    fn ipv6_round_trip(
        (traffic_class, payload_len, next_header, hop_limit) in any::<(u8, u16, u8, u8)>(),
        flow_label in 0..=Ipv6Header::MAX_FLOW_LABEL, src: [u8; 16], dst: [u8; 16],
    ) {
        let header = Ipv6Header {
            traffic_class, flow_label, payload_len, next_header: IpProtocol(next_header), hop_limit,
            src: src.into(), dst: dst.into(),
        };
        let mut out = [0xff; 40];
        header.emit(&mut out);
        prop_assert_eq!(Ipv6Header::parse(&out), Ok(header));
        for cut in 0..40 {
            prop_assert!(Ipv6Header::parse(&out[..cut]).is_err());
        }
    }

    #[test]
    fn udp_round_trip(src_port: u16, dst_port: u16, len: u16, checksum: u16) {
        let header = UdpHeader { src_port, dst_port, len, checksum };
        let mut out = [0xff; 8];
        header.emit(&mut out);
        prop_assert_eq!(UdpHeader::parse(&out), Ok(header));
        for cut in 0..8 {
            prop_assert!(UdpHeader::parse(&out[..cut]).is_err());
        }
    }

    #[test]
    fn bth_round_trip(bth in any::<u8>().prop_flat_map(|opcode| any_bth(Opcode(opcode)))) {
        let mut out = [0xff; 12];
        bth.emit(&mut out);
        prop_assert_eq!(Bth::parse(&out), Ok(bth));
        for cut in 0..12 {
            prop_assert!(Bth::parse(&out[..cut]).is_err());
        }
    }

    #[test]
    fn extension_headers_round_trip(
        (opcode, ext) in proptest::sample::select(Opcode::NAMED)
            .prop_flat_map(|opcode| (Just(opcode), any_ext(opcode.ext_kind()))),
    ) {
        let mut out = [0xff; Ext::MAX_LEN];
        let len = ext.emit(&mut out).unwrap();
        prop_assert_eq!(len, ext.wire_len());
        prop_assert_eq!(Ext::parse(opcode, &out[..len]), Ok(ext));
        for cut in 0..len {
            prop_assert!(Ext::parse(opcode, &out[..cut]).is_err());
        }
    }
}
