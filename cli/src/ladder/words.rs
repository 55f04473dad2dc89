//! What a frame says, in the few words that fit beside an arrow.

use smolsmc_decode::{FrameReport, Kind};

/// Bits of a TCP header's flags.
const FIN: u64 = 0x01;
const SYN: u64 = 0x02;
const RST: u64 = 0x04;
const ACK: u64 = 0x10;

/// What a frame is to the ladder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// An arrow of its own, with these words.
    Event(String),
    /// A packet of an RDMA WRITE: octets of the whole, in its first packet only.
    Write(Option<u64>),
    /// A CDC message that only moves cursors.
    Cursors,
    /// TCP payload that is no CLC message.
    Octets(u64),
    /// Nothing but an acknowledgement.
    Acknowledgement,
    /// Of no SMC connection.
    Other,
}

pub(super) fn step(report: &FrameReport) -> Step {
    match report.protocol {
        Kind::Tcp | Kind::TcpOption => tcp(report),
        Kind::Clc => Step::Event(clc(report)),
        Kind::Llc => Step::Event(llc(report)),
        Kind::Cdc => cdc(report),
        Kind::RdmaWrite => Step::Write(number(report, "reth", "dma_len")),
        Kind::Ack => Step::Acknowledgement,
        Kind::Nak | Kind::RdmaRead | Kind::Send | Kind::Roce => Step::Event(last_words(report)),
        _ => Step::Other,
    }
}

fn tcp(report: &FrameReport) -> Step {
    let flags = number(report, "tcp", "flags").unwrap_or(0);
    let option = if report.protocol == Kind::TcpOption { " + SMC option" } else { "" };
    let name = match flags {
        _ if flags & RST != 0 => "RST",
        _ if flags & (SYN | ACK) == SYN | ACK => "SYN-ACK",
        _ if flags & SYN != 0 => "SYN",
        _ if flags & FIN != 0 => "FIN",
        _ => {
            return match number(report, "tcp", "payload_len") {
                None | Some(0) => Step::Acknowledgement,
                Some(octets) => Step::Octets(octets),
            };
        }
    };
    Step::Event(format!("TCP {name}{option}"))
}

fn clc(report: &FrameReport) -> String {
    let qp = number(report, "clc", "qpn");
    match (text(report, "clc", "type"), qp) {
        (Some(name), Some(qp)) => {
            let contact =
                if is_set(report, "clc", "first_contact") { "first contact" } else { "subsequent contact" };
            let size = number(report, "clc", "rmbe_size").unwrap_or(0) / 1024;
            format!("CLC {name}: {contact}, QP {qp:#08x}, RMB of {size} KiB")
        }
        _ => last_words(report),
    }
}

fn llc(report: &FrameReport) -> String {
    let Some(name) = text(report, "llc", "type") else { return last_words(report) };
    let kind = if is_set(report, "llc", "response") { "response" } else { "request" };
    let refused = ["rejected", "negative"].into_iter().any(|field| is_set(report, "llc", field));
    let refused = if refused { ": refused" } else { "" };
    let link = match number(report, "llc", "link_number") {
        _ if is_set(report, "llc", "all") => ", all links".to_owned(),
        Some(link) => format!(", link {link}"),
        None => String::new(),
    };
    let reason = match text(report, "llc", "reason_name") {
        Some(reason) if refused.is_empty() => format!(" ({})", reason.split(',').next().unwrap_or(reason)),
        _ => String::new(),
    };
    format!("LLC {name} {kind}{refused}{link}{reason}")
}

/// Flags of a CDC message and what they mean, RFC 7609 Appendix A.4.
fn cdc(report: &FrameReport) -> Step {
    let state = number(report, "cdc", "state_flags").unwrap_or(0);
    let producer = number(report, "cdc", "producer_flags").unwrap_or(0);
    let meanings = [
        (state & 0x20 != 0, "aborted"),
        (state & 0x40 != 0, "closed"),
        (state & 0x80 != 0, "will write no more"),
        (producer & 0x20 != 0, "an urgent octet"),
        (producer & 0x08 != 0, "goes on over this link"),
    ];
    let meant: Vec<_> = meanings.iter().filter(|(set, _)| *set).map(|(_, meaning)| *meaning).collect();
    if meant.is_empty() { Step::Cursors } else { Step::Event(format!("CDC: {}", meant.join(", "))) }
}

/// What stands last in the report's line.
fn last_words(report: &FrameReport) -> String {
    report.summary.rsplit("; ").next().unwrap_or_default().to_owned()
}

fn number(report: &FrameReport, layer: &str, field: &str) -> Option<u64> {
    report.layers.get(layer)?.get(field)?.as_u64()
}

fn text<'a>(report: &'a FrameReport, layer: &str, field: &str) -> Option<&'a str> {
    report.layers.get(layer)?.get(field)?.as_str()
}

fn is_set(report: &FrameReport, layer: &str, field: &str) -> bool {
    report.layers.get(layer).and_then(|fields| fields.get(field)?.as_bool()).unwrap_or(false)
}
