//! `smolsmc decode --ladder` on what two Linux kernels said to each other.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

fn vectors() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/linux612")
}

/// The drawing, without the summary behind it.
fn ladder(capture: &str) -> Vec<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_smolsmc"))
        .args(["decode", "--ladder"])
        .arg(vectors().join(capture))
        .output()
        .expect("it starts");
    assert!(output.status.success(), "{capture}: {}", String::from_utf8_lossy(&output.stderr));
    let out = String::from_utf8(output.stdout).expect("UTF-8");
    out.lines().take_while(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// The words of each arrow, without time and dashes.
fn words(lines: &[String]) -> Vec<String> {
    let arrow = |line: &String| {
        let (_, rung) = line.split_once('│')?;
        let way = if rung.ends_with("▶│") { ">" } else { "<" };
        let words = rung.trim_matches(['│', '─', '▶', '◀', ' ']);
        (!words.contains('·')).then(|| format!("{way} {words}"))
    };
    lines.iter().filter_map(arrow).collect()
}

#[test]
fn handshake_data_and_close_are_drawn_in_order() {
    let lines = ladder("linux612-half-close.pcap");
    assert!(lines[0].contains("10.9.0.2") && lines[0].ends_with("10.9.0.1"), "{}", lines[0]);
    assert!(lines[1].contains("connection 1: 10.9.0.2:54842 > 10.9.0.1:5000"), "{}", lines[1]);
    let expected = [
        "> TCP SYN + SMC option",
        "< TCP SYN-ACK + SMC option",
        "> CLC Proposal v2: SMC-R in v2, nothing in v1, EIDs \"LABEID\"",
        "< CLC Accept: first contact, QP 0x000011, RMB of 64 KiB",
        "> CLC Confirm: first contact, QP 0x000011, RMB of 64 KiB",
        "< LLC CONFIRM LINK request, link 1",
        "> LLC CONFIRM LINK response, link 1",
        "< LLC ADD LINK request, link 2",
        "> LLC ADD LINK response: refused, link 2",
        "> RDMA WRITE, 1000 octets; CDC",
        "> CDC: will write no more",
        "> TCP FIN",
        "< RDMA WRITE, 3000 octets; CDC",
        "< CDC: closed",
        "> CDC: closed, will write no more",
        "< LLC DELETE RKEY request",
    ];
    assert_eq!(words(&lines)[..expected.len()], expected);
}

#[test]
fn fallback_shows_its_reason_and_tcp_data() {
    let words = words(&ladder("linux612-eid-mismatch-fallback.pcap"));
    assert!(words.contains(&"< CLC Decline v2 0x03030000 (no SMC device (R or D))".to_owned()), "{words:#?}");
    assert!(words.contains(&"> TCP data, 1000 octets".to_owned()), "{words:#?}");
}

#[test]
fn much_data_is_few_lines() {
    let lines = ladder("linux612-failover-silent-path-eth0.pcap");
    let words = words(&lines);
    let writes: Vec<_> = words.iter().filter(|words| words.contains("RDMA WRITE")).collect();
    assert_eq!(writes.len(), 2, "one each way: {words:#?}");
    assert_eq!(writes[0], "> RDMA WRITE x11, 26000 octets; CDC x11, in 22 turns");
    assert!(words.iter().any(|words| words.ends_with("sent again")), "{words:#?}");
}

#[test]
fn every_capture_is_drawn_within_eighty_columns() {
    let mut drawn = 0;
    for entry in fs::read_dir(vectors()).expect("readable") {
        let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
        if name.ends_with(".pcap") {
            for line in ladder(&name) {
                assert!(line.chars().count() <= 80, "{name}: {line}");
            }
            drawn += 1;
        }
    }
    assert!(drawn > 30, "{drawn}");
}
