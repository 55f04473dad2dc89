//! Every octet of every capture between Linux 6.12 kernels: what a room parses
//! it writes again byte for byte, every ICRC is right, and the decoder
//! understands all of it.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use smolsmc_cdc::CdcMessage;
use smolsmc_clc::option;
use smolsmc_decode::{Capture, Dissector, Frame, FrameReport, Kind, MergedCapture, Summary};
use smolsmc_roce::packet::{Operation, PartialPacket, RocePacket};
use smolsmc_tests::vectors::{each_frame, linux612};

/// What was proven of how many messages.
#[derive(Debug, Default)]
struct Count(BTreeMap<&'static str, u64>);

impl Count {
    fn one(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    fn of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or(0)
    }
}

fn name(path: &Path) -> String {
    path.file_stem().expect("a name").to_string_lossy().replace("linux612-", "")
}

/// A whole RoCE frame is written again, from its own headers, to the octet.
fn roce_frame(frame: &Frame<'_>, whole: &RocePacket<'_>, count: &mut Count) {
    whole.verify_icrc().unwrap_or_else(|e| panic!("frame {}: {e}", frame.number));
    let mut again = vec![0; frame.octets.len()];
    let len = whole.headers().emit_with(whole.payload, &mut again).expect("room for it");
    // Linux never pads a RoCE packet to Ethernet's minimum itself; a NIC may.
    assert_eq!(&again[..len], &frame.octets[..len], "frame {}", frame.number);
    count.one("RoCE frame");
}

/// Of a frame that was cut, the headers that are there.
fn cut_headers(frame: &Frame<'_>, part: &PartialPacket<'_>, count: &mut Count) {
    let at = part.ethernet.wire_len() + part.ip.wire_len() + 8;
    let mut ethernet = [0; 18];
    let len = part.ethernet.emit(&mut ethernet).expect("room for it");
    assert_eq!(&ethernet[..len], &frame.octets[..len], "frame {}: Ethernet", frame.number);
    let bth = part.bth.expect("cut frames keep 70 octets");
    let mut octets = [0; 12];
    bth.emit(&mut octets);
    assert_eq!(octets, frame.octets[at..at + 12], "frame {}: BTH", frame.number);
    let ext = part.ext.expect("cut frames keep their RETH");
    let mut octets = [0; 28];
    let len = ext.emit(&mut octets).expect("room for it");
    assert_eq!(octets[..len], frame.octets[at + 12..at + 12 + len], "frame {}: extension", frame.number);
    count.one("cut RoCE frame");
}

/// LLC and CDC messages: all of them fit one packet in these captures.
fn send_payload(frame: &Frame<'_>, payload: &[u8], count: &mut Count) {
    if payload.first() == Some(&CdcMessage::TYPE) {
        let message = CdcMessage::parse(payload).unwrap_or_else(|e| panic!("frame {}: {e}", frame.number));
        let mut again = [0xff; CdcMessage::LEN];
        message.emit(&mut again);
        assert_eq!(again, payload, "frame {}", frame.number);
        count.one("CDC message");
    } else {
        let message =
            smolsmc_llc::Message::parse(payload).unwrap_or_else(|e| panic!("frame {}: {e}", frame.number));
        let mut again = vec![0xff; message.wire_len()];
        message.emit(&mut again).expect("room for it");
        assert_eq!(again, payload, "frame {}: {message:?}", frame.number);
        count.one("LLC message");
    }
}

/// The octets of a TCP segment in an untagged IPv4 frame without IP options.
pub(crate) fn tcp_segment<'a>(frame: &'a Frame<'_>) -> Option<&'a [u8]> {
    let ip = frame.octets.get(14..)?;
    let is_tcp = frame.octets.get(12..14)? == [8, 0] && *ip.first()? == 0x45 && *ip.get(9)? == 6;
    let total = usize::from(u16::from_be_bytes([*ip.get(2)?, *ip.get(3)?]));
    is_tcp.then_some(ip.get(20..total)?)
}

/// Linux's SYN with its last eight octets of header taken away and put back.
fn tcp_option(frame: &Frame<'_>, segment: &[u8], count: &mut Count) {
    let Some(found) = option::find(segment).expect("a TCP header") else { return };
    assert_eq!((found.len, found.offset), (6, segment.len() - 6), "frame {}", frame.number);
    assert_eq!(segment[found.offset..], option::OPTION);

    let len = segment.len() - option::PADDED_OPTION.len();
    let mut again = segment.to_vec();
    again[len..].fill(0xff);
    again[12] -= 2 << 4;
    assert_eq!(option::find(&again[..len]), Ok(None));
    assert_eq!(option::append(&mut again, len), Ok(segment.len()), "frame {}", frame.number);
    assert_eq!(again[..16], segment[..16], "frame {}: header", frame.number);
    assert_eq!(again[18..], segment[18..], "frame {}: options", frame.number);
    count.one("TCP option");
}

/// A segment whose payload is one whole CLC message.
fn clc_message(frame: &Frame<'_>, segment: &[u8], count: &mut Count) {
    let Some(payload) = segment.get(usize::from(segment[12] >> 4) * 4..) else { return };
    if !payload.starts_with(&[0xe2, 0xd4, 0xc3, 0xd9]) {
        return;
    }
    let header =
        smolsmc_clc::Header::parse(payload).unwrap_or_else(|e| panic!("frame {}: {e}", frame.number));
    let octets = &payload[..header.message_len()];
    let message =
        smolsmc_clc::Message::parse(octets).unwrap_or_else(|e| panic!("frame {}: {e}", frame.number));
    let mut again = vec![0xff; message.wire_len()];
    message.emit(&mut again).expect("room for it");
    assert_eq!(again, octets, "frame {}: {message:?}", frame.number);
    count.one("CLC message");
}

#[test]
fn every_message_is_written_again_byte_for_byte() {
    let mut count = Count::default();
    for path in linux612() {
        each_frame(&path, |frame| {
            if let Some(segment) = tcp_segment(frame) {
                tcp_option(frame, segment, &mut count);
                clc_message(frame, segment, &mut count);
            }
            let parsed = PartialPacket::parse(frame.octets, frame.original_len);
            let Some(part) = parsed.unwrap_or_else(|e| panic!("frame {}: {e}", frame.number)) else { return };
            match part.whole() {
                None => cut_headers(frame, &part, &mut count),
                Some(whole) => {
                    roce_frame(frame, &whole, &mut count);
                    if whole.bth.opcode.facts().is_some_and(|facts| facts.operation == Operation::Send) {
                        send_payload(frame, whole.payload, &mut count);
                    }
                }
            }
        });
    }
    println!("{count:?}");
    // Counted with tshark (`udp.dstport==4791`, `tcp.options.experimental`,
    // `tcp.payload[0:3]==e2:d4:c3`) and a script over SENDs: a filter here that
    // skips frames must not look like success.
    assert_eq!(count.of("RoCE frame") + count.of("cut RoCE frame"), TOTAL_ROCE);
    assert_eq!(count.of("CDC message") + count.of("LLC message"), TOTAL_SENDS);
    assert_eq!(count.of("TCP option"), TOTAL_OPTIONS);
    assert_eq!(count.of("CLC message"), TOTAL_CLC);
}

/// RoCE frames in all captures.
const TOTAL_ROCE: u64 = 3372;

/// SYNs and SYN-ACKs with the SMC option in all captures.
const TOTAL_OPTIONS: u64 = 111;

/// CLC messages in all captures.
const TOTAL_CLC: u64 = 153;

/// LLC and CDC messages in all captures.
const TOTAL_SENDS: u64 = 965;

fn decode(path: &Path) -> (Vec<FrameReport>, Summary) {
    let mut dissector = Dissector::new();
    let mut reports = Vec::new();
    let frames = each_frame(path, |frame| reports.push(dissector.frame(frame)));
    assert_eq!(frames, reports.len() as u64);
    (reports, dissector.summary())
}

#[test]
fn decoder_understands_every_frame_and_finds_no_violation() {
    for path in linux612() {
        for report in decode(&path).0 {
            let bad = matches!(report.kind(), Kind::Unknown | Kind::Violation);
            assert!(!bad, "{}: {}", name(&path), report.to_line());
            assert!(!report.to_line().contains('\n'), "one line a frame");
        }
    }
}

fn summary(capture: &str) -> Summary {
    let path = linux612().into_iter().find(|path| name(path) == capture).expect(capture);
    decode(&path).1
}

#[test]
fn fallback_is_told_with_its_reason() {
    for (capture, why, octets) in [
        (
            "eid-mismatch-fallback",
            "the server declined with 0x03030000 (no SMC device (R or D))",
            [3000, 3000],
        ),
        ("no-ueid", "the client declined with 0x03030000 (no SMC device (R or D))", [200, 200]),
        ("server-without-smc", "the SYN-ACK has no SMC option", [3000, 3000]),
        ("handshake-limitation", "the SYN-ACK has no SMC option", [10, 10]),
        (
            "udp-blocked-from-server",
            "the server declined with 0x02010000 (timeout waiting for CONFIRM LINK)",
            [200, 200],
        ),
    ] {
        let summary = summary(capture);
        let [connection] = &summary.connections[..] else { panic!("{capture}: one connection") };
        assert_eq!((connection.transport, connection.why.as_str()), ("TCP", why), "{capture}");
        assert_eq!(connection.octets, octets, "{capture}");
    }
}

#[test]
fn contacts_groups_and_octets_are_told_as_the_captures_describe_them() {
    let five = summary("subsequent-contacts");
    let contacts: Vec<_> =
        five.connections.iter().map(|c| (c.transport, c.why.as_str(), c.group, c.octets)).collect();
    let first = ("SMC-R", "first contact", Some(1), [200, 200]);
    let later = |octets| ("SMC-R", "subsequent contact", Some(1), [octets, octets]);
    assert_eq!(contacts, [first, later(202), later(500), later(600), later(700)]);

    let second = summary("second-link-group");
    assert_eq!(second.groups.len(), 2, "the 256th connection makes a new group");

    for (capture, octets) in [
        ("ring-wrap-64k-echo-200k", [200_000, 200_000]),
        ("slow-reader", [150_000, 0]),
        ("rmb-16k", [20_000, 20_000]),
        ("rmb-512k", [17_000, 17_000]),
    ] {
        let summary = summary(capture);
        let smcr: Vec<_> = summary.connections.iter().filter(|c| c.transport == "SMC-R").collect();
        assert_eq!(smcr.iter().map(|c| c.octets).collect::<Vec<_>>(), [octets], "{capture}");
    }
}

#[test]
fn refused_connection_has_no_transport() {
    let connection = &summary("rmb-512k").connections[0];
    assert_eq!(
        (connection.transport, connection.why.as_str()),
        ("none", "the server reset it before it was open")
    );
}

#[test]
fn links_are_followed_through_loss_and_return() {
    let relink = summary("relink-request-add-link");
    let [group] = &relink.groups[..] else { panic!("one group") };
    let numbers: Vec<_> = group.links.iter().map(|link| link.number.as_str()).collect();
    assert_eq!(numbers, ["1", "2", "3", "4"], "numbers are not reused");
    let llc: Vec<_> = group.links.iter().map(|link| link.counts.llc).collect();
    assert!(llc.iter().all(|&llc| llc >= 2), "each was confirmed: {llc:?}");
}

#[test]
fn loss_is_told_as_facts() {
    let loss = summary("loss-4-percent");
    let counts = &loss.groups[0].links[0].counts;
    assert!(counts.naks > 0 && counts.retransmissions > 0, "{counts:?}");
    assert_eq!(counts.rnr_naks, 0);
    assert_eq!(loss.violations, 0);
    assert!(loss.cut > 0);
}

#[test]
fn closes_are_told_by_their_flags() {
    let abort = summary("abort");
    let ends: Vec<_> = abort.connections.iter().map(|c| c.end.as_str()).collect();
    let fins = "client FIN, server FIN";
    assert_eq!(
        ends,
        [
            format!("client C, server C, {fins}"),
            format!("client A, server A, {fins}"),
            format!("client A, server A, {fins}"),
            format!("client C, server C, {fins}"),
        ]
    );
}

#[test]
fn two_ports_of_one_run_are_told_as_one() {
    let open = |name: &str| {
        let path = linux612().into_iter().find(|path| path.ends_with(name)).expect("the capture");
        Capture::new(File::open(path).expect("readable")).expect("a capture")
    };
    let ports = ["eth0", "eth1"].map(|port| open(&format!("linux612-failover-server-nic-down-{port}.pcap")));
    let mut merged = MergedCapture::new(ports.into()).expect("both are readable");
    let mut dissector = Dissector::new();
    let mut last = 0;
    while let Some(frame) = merged.next_frame().expect("readable to the end") {
        assert!(frame.time_ns >= last, "in the order of time");
        last = frame.time_ns;
        let report = dissector.frame(&frame);
        let bad = matches!(report.kind(), Kind::Unknown | Kind::Violation);
        assert!(!bad, "{}", report.to_line());
    }
    // The transfer goes on over the second link, in the same connection.
    let summary = dissector.summary();
    let [group] = &summary.groups[..] else { panic!("one group: {summary}") };
    let cdc: Vec<_> = group.links.iter().map(|link| (link.number.as_str(), link.counts.cdc > 0)).collect();
    assert_eq!(cdc[..2], [("1", true), ("2", true)], "{summary}");
    assert_eq!(summary.connections.iter().filter(|c| c.transport == "SMC-R").count(), 1, "{summary}");
}
