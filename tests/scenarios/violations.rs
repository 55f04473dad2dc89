//! Each rule the decoder holds is broken once, in a copy of a real capture with
//! one frame changed: the frame is flagged with that rule, and no other frame is.

use smolsmc_decode::{Dissector, Frame, FrameReport, Kind};
use smolsmc_roce::packet::{Opcode, RocePacket};
use smolsmc_tests::vectors::{each_frame, linux612};

/// Where things are in `linux612-add-link-rejected.pcap`, by frame number.
mod at {
    pub(crate) const PROPOSAL: u64 = 8;
    pub(crate) const ACCEPT: u64 = 10;
    pub(crate) const CONFIRM: u64 = 12;
    pub(crate) const CLIENT_ACK: u64 = 13;
    pub(crate) const CONFIRM_LINK: u64 = 14;
    pub(crate) const CONFIRM_LINK_RESPONSE: u64 = 16;
    pub(crate) const FIRST_WRITE: u64 = 22;
    pub(crate) const SECOND_WRITE: u64 = 31;
    pub(crate) const SECOND_CDC: u64 = 32;
    pub(crate) const LAST_CDC: u64 = 49;
}

/// Octets before the payload of a TCP segment with timestamps in this capture.
const TCP_PAYLOAD: usize = 14 + 20 + 32;

/// Octets before the payload of a SEND.
const SEND_PAYLOAD: usize = 14 + 20 + 8 + 12;

/// Octets before the RETH of a WRITE.
const RETH: usize = SEND_PAYLOAD;

/// The capture's frames, with one of them changed and its ICRC mended.
fn with_change(number: u64, change: impl Fn(&mut Vec<u8>)) -> Vec<FrameReport> {
    let path = linux612().into_iter().find(|path| path.ends_with("linux612-add-link-rejected.pcap"));
    let mut dissector = Dissector::new();
    let mut reports = Vec::new();
    each_frame(&path.expect("the capture"), |frame| {
        let mut octets = frame.octets.to_vec();
        if frame.number == number {
            change(&mut octets);
            seal(&mut octets);
        }
        let frame = Frame { octets: &octets, original_len: octets.len(), ..*frame };
        reports.push(dissector.frame(&frame));
    });
    reports
}

/// Computes the ICRC of a RoCE frame again.
fn seal(octets: &mut [u8]) {
    let Ok(Some(packet)) = RocePacket::parse(octets) else { return };
    let mut sealed = vec![0; octets.len()];
    packet.headers().emit_with(packet.payload, &mut sealed).expect("room for it");
    octets.copy_from_slice(&sealed);
}

/// Frame `number` breaks the rule that `words` are of; all others break none,
/// unless they follow from it.
fn assert_flagged(number: u64, words: &str, change: impl Fn(&mut Vec<u8>)) {
    let reports = with_change(number, change);
    let flagged = &reports[usize::try_from(number).expect("small") - 1];
    assert_eq!(flagged.kind(), Kind::Violation, "{}", flagged.to_line());
    assert!(
        flagged.violations.iter().any(|violation| violation.contains(words)),
        "{words:?} expected, found {:?}",
        flagged.violations
    );
    let before = reports.iter().take_while(|report| report.number < number);
    assert!(before.clone().count() > 0);
    for report in before {
        assert!(report.violations.is_empty(), "{}", report.to_line());
    }
    assert_eq!(flagged.to_json()["kind"], "violation");
    assert!(flagged.to_line().contains("VIOLATION"));
}

/// Sets octets at an offset.
fn set<const N: usize>(offset: usize, octets: [u8; N]) -> impl Fn(&mut Vec<u8>) {
    move |frame| frame[offset..offset + N].copy_from_slice(&octets)
}

#[test]
fn unchanged_capture_has_no_violation() {
    for report in with_change(0, |_| {}) {
        assert!(report.violations.is_empty(), "{}", report.to_line());
    }
}

#[test]
fn wrong_icrc_is_flagged() {
    let path = linux612().into_iter().find(|path| path.ends_with("linux612-add-link-rejected.pcap"));
    let mut dissector = Dissector::new();
    let mut bad = 0;
    each_frame(&path.expect("the capture"), |frame| {
        let mut octets = frame.octets.to_vec();
        if frame.number == at::FIRST_WRITE {
            octets[100] ^= 1;
        }
        let report = dissector.frame(&Frame { octets: &octets, ..*frame });
        bad += u64::from(report.to_json()["icrc"] == "bad" && report.violations[0].starts_with("ICRC is"));
    });
    assert_eq!(bad, 1);
}

#[test]
fn proposal_rules() {
    let p = |offset: usize| TCP_PAYLOAD + offset;
    assert_flagged(at::PROPOSAL, "GID is zero", set(p(88), [0; 16]));
    assert_flagged(at::PROPOSAL, "UEID", set(p(120), [b'!']));
    assert_flagged(at::PROPOSAL, "max_conns 15 is below 16", set(p(104), [15]));
    assert_flagged(at::PROPOSAL, "max_links 3 is not 1 to 2", set(p(105), [3]));
    assert_flagged(at::PROPOSAL, "CLC", set(p(152), [0; 4])); // trailer
    assert_flagged(at::PROPOSAL, "both sides announced SMC", set(p(0), *b"GET "));
    assert_flagged(at::PROPOSAL, "CLC", set(p(4), [9])); // no such type
}

#[test]
fn accept_rules() {
    let a = |offset: usize| TCP_PAYLOAD + offset;
    assert_flagged(at::ACCEPT, "EID is not one of the Proposal's", set(a(64), *b"OTHER "));
    assert_flagged(at::ACCEPT, "release is newer", set(a(105), [0x2f]));
    assert_flagged(at::ACCEPT, "max_links 0", set(a(141), [0]));
    assert_flagged(at::ACCEPT, "max_conns 0 is below", set(a(140), [0]));
    assert_flagged(at::ACCEPT, "RMBE index 0", set(a(45), [0]));
    assert_flagged(at::ACCEPT, "MTU code 6 is reserved", set(a(50), [0x26]));
    assert_flagged(at::ACCEPT, "GID is zero", set(a(16), [0; 16]));
    assert_flagged(at::ACCEPT, "does not offer", |frame| {
        frame[TCP_PAYLOAD + 7] = 0x29; // SMC-D
        frame[TCP_PAYLOAD + 3] = 0xc4;
    });
}

#[test]
fn confirm_rules() {
    let c = |offset: usize| TCP_PAYLOAD + offset;
    assert_flagged(at::CONFIRM, "different EIDs", set(c(64), *b"OTHER "));
    assert_flagged(at::CONFIRM, "different releases", set(c(105), [0x20]));
    assert_flagged(at::CONFIRM, "different limits", set(c(141), [1]));
    assert_flagged(at::CONFIRM, "first-contact bit", set(c(7), [0x20]));
}

#[test]
fn handshake_out_of_turn_is_flagged() {
    // The server says Accept where the client should say Confirm.
    assert_flagged(at::CONFIRM, "Accept from the client", set(TCP_PAYLOAD + 4, [2]));
    // The client confirms at once.
    assert_flagged(at::PROPOSAL, "Confirm out of turn", |frame| {
        let confirm = confirm_message();
        frame.truncate(TCP_PAYLOAD);
        frame.extend_from_slice(&confirm);
        let total = u16::try_from(frame.len() - 14).expect("short");
        frame[16..18].copy_from_slice(&total.to_be_bytes());
    });
}

/// The capture's Confirm.
fn confirm_message() -> Vec<u8> {
    let path = linux612().into_iter().find(|path| path.ends_with("linux612-add-link-rejected.pcap"));
    let mut message = Vec::new();
    each_frame(&path.expect("the capture"), |frame| {
        if frame.number == at::CONFIRM {
            message = frame.octets[TCP_PAYLOAD..].to_vec();
        }
    });
    message
}

#[test]
fn application_octets_after_the_switch_are_flagged() {
    assert_flagged(at::CLIENT_ACK, "application octets on the TCP stream", |frame| {
        frame.extend_from_slice(b"hello");
        let total = u16::try_from(frame.len() - 14).expect("short");
        frame[16..18].copy_from_slice(&total.to_be_bytes());
    });
}

#[test]
fn link_rules() {
    let l = |offset: usize| SEND_PAYLOAD + offset;
    assert_flagged(at::CONFIRM_LINK, "link number 0", set(l(29), [0]));
    assert_flagged(at::CONFIRM_LINK, "the server asks, the client answers", set(l(3), [0x83]));
    assert_flagged(at::CONFIRM_LINK_RESPONSE, "announced as 1", set(l(29), [2]));
    assert_flagged(at::CONFIRM_LINK, "LLC message", set(l(1), [43, 0])); // length below 44
}

#[test]
fn unknown_link_message_is_kept_and_named_unknown() {
    let reports = with_change(at::CONFIRM_LINK, set(SEND_PAYLOAD, [0x6c]));
    let report = &reports[usize::try_from(at::CONFIRM_LINK).expect("small") - 1];
    assert_eq!(report.kind(), Kind::Unknown);
    assert!(report.summary.contains("type 0x6c"), "{}", report.summary);
}

#[test]
fn cursor_rules() {
    let c = |offset: usize| SEND_PAYLOAD + offset;
    let ring = 65_536u32;
    assert_flagged(at::SECOND_CDC, "is not below its ring's size", set(c(12), ring.to_be_bytes()));
    assert_flagged(at::SECOND_CDC, "is not below its ring's size", set(c(20), u32::MAX.to_be_bytes()));
    // One ring and one octet beyond what was read: 1/1001 where 0/1000 is.
    assert_flagged(at::SECOND_CDC, "beyond the space", |frame| {
        set(c(10), 1u16.to_be_bytes())(frame);
        set(c(12), 1001u32.to_be_bytes())(frame);
    });
    assert_flagged(at::SECOND_CDC, "beyond what the peer has written", set(c(20), 1001u32.to_be_bytes()));
    assert_flagged(at::SECOND_CDC, "CDC message", set(c(1), [43]));
}

#[test]
fn full_ring_is_no_violation() {
    // Exactly one ring beyond what was read.
    let reports = with_change(at::SECOND_CDC, |frame| {
        set(SEND_PAYLOAD + 10, 1u16.to_be_bytes())(frame);
        set(SEND_PAYLOAD + 12, 1000u32.to_be_bytes())(frame);
    });
    let report = &reports[usize::try_from(at::SECOND_CDC).expect("small") - 1];
    assert!(report.violations.is_empty(), "{}", report.to_line());
}

#[test]
fn state_flag_taken_back_is_flagged() {
    let path = linux612().into_iter().find(|path| path.ends_with("linux612-half-close.pcap"));
    let mut dissector = Dissector::new();
    let (mut seen, mut flagged) = (false, 0);
    each_frame(&path.expect("the capture"), |frame| {
        let mut octets = frame.octets.to_vec();
        let is_cdc = octets.len() == SEND_PAYLOAD + 48 && octets[SEND_PAYLOAD] == 0xfe;
        if is_cdc && octets[SEND_PAYLOAD + 25] == 0xc0 && !seen {
            seen = true;
            octets[SEND_PAYLOAD + 25] = 0x40; // C without the D that went before
            seal(&mut octets);
        }
        let report = dissector.frame(&Frame { octets: &octets, ..*frame });
        flagged += report.violations.iter().filter(|v| v.contains("is clear again")).count();
    });
    assert!(seen, "the capture has a D followed by C");
    assert_eq!(flagged, 1);
}

#[test]
fn write_rules() {
    let vaddr = |add: i64| {
        move |frame: &mut Vec<u8>| {
            let field: [u8; 8] = frame[RETH..RETH + 8].try_into().expect("eight");
            let changed = u64::from_be_bytes(field).wrapping_add_signed(add);
            frame[RETH..RETH + 8].copy_from_slice(&changed.to_be_bytes());
        }
    };
    assert_flagged(at::FIRST_WRITE, "outside the RMBE", vaddr(65_536 - 999));
    assert_flagged(at::FIRST_WRITE, "before the start", vaddr(-1));
    // The second WRITE starts one octet early: that octet was not read yet.
    assert_flagged(at::SECOND_WRITE, "not read yet", vaddr(-1));
    assert_flagged(at::FIRST_WRITE, "RDMA READ toward", |frame| {
        let read = Opcode::READ_REQUEST.0;
        let reth = frame[RETH..RETH + 16].to_vec();
        frame.truncate(RETH);
        frame[RETH - 12] = read;
        frame[RETH - 11] &= !0x30;
        frame.extend_from_slice(&reth);
        frame.extend_from_slice(&[0; 4]);
        let total = u16::try_from(frame.len() - 14).expect("short");
        frame[16..18].copy_from_slice(&total.to_be_bytes());
        frame[38..40].copy_from_slice(&(total - 20).to_be_bytes());
        mend_ip_checksum(frame);
    });
}

#[test]
fn last_octet_of_the_ring_may_be_written() {
    let reports = with_change(at::FIRST_WRITE, |frame| {
        let field: [u8; 8] = frame[RETH..RETH + 8].try_into().expect("eight");
        let last = u64::from_be_bytes(field) + 65_536 - 1000;
        frame[RETH..RETH + 8].copy_from_slice(&last.to_be_bytes());
    });
    let report = &reports[usize::try_from(at::FIRST_WRITE).expect("small") - 1];
    assert!(report.violations.is_empty(), "{}", report.to_line());
}

fn mend_ip_checksum(frame: &mut [u8]) {
    frame[24..26].fill(0);
    let sum: u32 = frame[14..34].chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]]))).sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    let checksum = !u16::try_from(sum).expect("folded");
    frame[24..26].copy_from_slice(&checksum.to_be_bytes());
}

#[test]
fn decline_after_data_is_flagged() {
    // The client's FIN frame follows the last CDC; the server declines in it.
    let mut decline = vec![0; 44];
    let message = smolsmc_clc::Decline::v2(
        smolsmc_wire::PeerId::default(),
        smolsmc_clc::Diagnosis::OUT_OF_SYNC,
        smolsmc_clc::Os::LINUX,
    );
    message.emit(&mut decline).expect("room for it");
    let server_fin = at::LAST_CDC + 3;
    assert_flagged(server_fin, "Decline after data could flow", |frame| {
        frame.extend_from_slice(&decline);
        let total = u16::try_from(frame.len() - 14).expect("short");
        frame[16..18].copy_from_slice(&total.to_be_bytes());
    });
}
