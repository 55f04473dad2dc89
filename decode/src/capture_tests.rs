use super::*;

/// Number, time in nanoseconds, length on the wire, octets captured.
type Seen = (u64, u64, usize, Vec<u8>);

fn frames(file: &[u8]) -> Result<Vec<Seen>, CaptureError> {
    let mut capture = Capture::new(file)?;
    let mut seen = Vec::new();
    while let Some(f) = capture.next_frame()? {
        seen.push((f.number, f.time_ns, f.original_len, f.octets.to_vec()));
    }
    Ok(seen)
}

/// A classic capture: magic, then fields in `order`.
fn pcap(
    magic: u32,
    order: fn(u32) -> [u8; 4],
    link_type: u32,
    records: &[(u32, u32, u32, &[u8])],
) -> Vec<u8> {
    let mut file = Vec::new();
    let halves = order(2 << 16 | 4);
    let version = if order(1) == [1, 0, 0, 0] { [2, 0, 4, 0] } else { halves };
    file.extend(order(magic));
    file.extend(version);
    for field in [0, 0, 65_535, link_type] {
        file.extend(order(field));
    }
    for (seconds, fraction, original_len, octets) in records {
        for field in [*seconds, *fraction, octets.len() as u32, *original_len] {
            file.extend(order(field));
        }
        file.extend_from_slice(octets);
    }
    file
}

const MICROS: u32 = 0xa1b2_c3d4;
const NANOS: u32 = 0xa1b2_3c4d;

#[test]
fn classic_captures_are_read_in_both_orders_and_precisions() {
    for order in [u32::to_le_bytes as fn(u32) -> [u8; 4], u32::to_be_bytes] {
        let file = pcap(MICROS, order, 1, &[(7, 5, 60, b"abc"), (8, 0, 4, b"defg")]);
        let expected = [(1, 7_000_005_000, 60, b"abc".to_vec()), (2, 8_000_000_000, 4, b"defg".to_vec())];
        assert_eq!(frames(&file).expect("a capture"), expected);
        let file = pcap(NANOS, order, 1, &[(7, 5, 3, b"abc")]);
        assert_eq!(frames(&file).expect("a capture")[0].1, 7_000_000_005);
    }
}

#[test]
fn file_ending_early_is_told_after_its_whole_frames() {
    let file = pcap(MICROS, u32::to_le_bytes, 1, &[(0, 0, 3, b"abc"), (0, 0, 3, b"def")]);
    for len in 1..file.len() {
        let whole = [24, 24 + 19, 24 + 38].contains(&len);
        let result = frames(&file[..len]);
        assert_eq!(result.is_ok(), whole, "{len}: {result:?}");
        if let Err(error) = result {
            let truncated = matches!(error, CaptureError::Truncated { after_frame } if after_frame == u64::from(len > 43));
            assert!(truncated || len < 24 && matches!(error, CaptureError::Foreign), "{len}: {error}");
        }
    }
    assert!(matches!(frames(b""), Err(CaptureError::Empty)));
}

#[test]
fn other_link_types_are_refused() {
    let file = pcap(MICROS, u32::to_le_bytes, 113, &[(0, 0, 3, b"abc")]);
    assert!(matches!(frames(&file), Err(CaptureError::LinkType(113))));
}

#[test]
fn endless_record_is_refused_within_bounded_memory() {
    let mut start = pcap(MICROS, u32::to_le_bytes, 1, &[(0, 0, 3, b"")]);
    start[24 + 8..24 + 12].fill(0xff);
    let mut capture = Capture::new(start.as_slice().chain(io::repeat(0))).expect("a header");
    assert!(matches!(capture.next_frame(), Err(CaptureError::Damaged { after_frame: 0 })));
    assert!(capture.buffered <= 2 * MAX_BLOCK_LEN);
}

#[test]
fn records_larger_than_the_first_buffer_are_read() {
    let octets = vec![7; 3 * BUFFER_LEN];
    let file = pcap(MICROS, u32::to_le_bytes, 1, &[(0, 0, 0, &octets), (0, 0, 3, b"abc")]);
    let seen = frames(&file).expect("a capture");
    assert_eq!((seen[0].3.len(), seen[1].3.as_slice()), (octets.len(), &b"abc"[..]));
}

/// A pcapng block of `kind` in `order`.
fn block(order: fn(u32) -> [u8; 4], kind: u32, body: &[u8]) -> Vec<u8> {
    let padded = body.len().next_multiple_of(4);
    let len = order(padded as u32 + 12);
    let mut out = order(kind).to_vec();
    out.extend(len);
    out.extend_from_slice(body);
    out.resize(8 + padded, 0);
    out.extend(len);
    out
}

/// Section header and one Ethernet interface that counts nanoseconds.
fn pcapng(order: fn(u32) -> [u8; 4]) -> Vec<u8> {
    pcapng_counting(order, 9, 0)
}

/// As [`pcapng`], with these options if_tsresol and if_tsoffset.
fn pcapng_counting(order: fn(u32) -> [u8; 4], resolution: u8, offset_s: i64) -> Vec<u8> {
    let little = order(1) == [1, 0, 0, 0];
    let half = |value: u16| if little { value.to_le_bytes() } else { value.to_be_bytes() };
    let mut section = order(0x1a2b_3c4d).to_vec();
    section.extend(half(1));
    section.extend(half(0));
    section.extend([0xff; 8]); // length unknown
    let mut interface = half(1).to_vec();
    interface.extend(half(0));
    interface.extend(order(4));
    interface.extend(half(9)); // if_tsresol
    interface.extend(half(1));
    interface.extend([resolution, 0, 0, 0]);
    interface.extend(half(14)); // if_tsoffset
    interface.extend(half(8));
    interface.extend(if little { offset_s.to_le_bytes() } else { offset_s.to_be_bytes() });
    interface.extend([0; 4]); // end of options
    [block(order, 0x0a0d_0d0a, &section), block(order, 1, &interface)].concat()
}

#[test]
fn pcapng_is_read_in_both_orders() {
    for order in [u32::to_le_bytes as fn(u32) -> [u8; 4], u32::to_be_bytes] {
        let mut packet = Vec::new();
        let ticks = 7_000_000_005_u64;
        for field in [0, (ticks >> 32) as u32, ticks as u32, 3, 60] {
            packet.extend(order(field));
        }
        packet.extend_from_slice(b"abc");
        let mut simple = order(60).to_vec(); // original length; the snap length is 4
        simple.extend_from_slice(b"defg");
        let file = [pcapng(order), block(order, 6, &packet), block(order, 3, &simple)].concat();
        let expected = [(1, ticks, 60, b"abc".to_vec()), (2, 0, 60, b"defg".to_vec())];
        assert_eq!(frames(&file).expect("a capture"), expected);
    }
}

#[test]
fn pcapng_clock_counts_powers_of_two_and_ten_from_an_offset_in_both_orders() {
    for order in [u32::to_le_bytes as fn(u32) -> [u8; 4], u32::to_be_bytes] {
        // 3 seconds and a half, in the units of each resolution.
        for (resolution, ticks) in [(0x80 | 10, 3584_u64), (1, 35), (3, 3500), (0x80 | 40, 7 << 39)] {
            let file = pcapng_counting(order, resolution, 1000);
            let fields = [0, (ticks >> 32) as u32, ticks as u32, 0, 0];
            let packet: Vec<u8> = fields.into_iter().flat_map(order).collect();
            let file = [file, block(order, 6, &packet)].concat();
            assert_eq!(frames(&file).expect("a capture")[0].1, 1_003_500_000_000, "{resolution:#x}");
        }
    }
}

#[test]
fn pcapng_packet_of_an_unknown_interface_is_damage() {
    let order = u32::to_le_bytes;
    let packet: Vec<u8> = [9, 0, 0, 0, 0].into_iter().flat_map(order).collect();
    let file = [pcapng(order), block(order, 6, &packet)].concat();
    assert!(matches!(frames(&file), Err(CaptureError::Damaged { after_frame: 0 })));
}

/// pcap-parser 0.17.0 overflows here, and panics where overflow is checked.
#[test]
fn process_block_shorter_than_its_framing_is_damage() {
    let section = [0x1a2b_3c4d, 1, u32::MAX, u32::MAX];
    for order in [u32::to_le_bytes as fn(u32) -> [u8; 4], u32::to_be_bytes] {
        for len in 0..12 {
            let fields = [0x0a0d_0d0a, 28].into_iter().chain(section).chain([28, 0x8000_0001, len, 0, 0, 0]);
            let file: Vec<u8> = fields.flat_map(order).collect();
            assert!(matches!(frames(&file), Err(CaptureError::Damaged { after_frame: 0 })), "{len}");
        }
    }
}
