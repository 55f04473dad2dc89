//! TCP segments: the SMC option on SYNs, and CLC messages at the start of the
//! streams.

use std::net::{IpAddr, SocketAddr};

use smolsmc_clc::{Header, MAX_MESSAGE_LEN, Message, MessageType, option};
use smoltcp::wire::TcpPacket;

use crate::clc_rules;
use crate::connection::{Connection, Connections, SegmentFacts, TcpReason, Transport};
use crate::describe_clc::{clc_fields, clc_line};
use crate::group::{Groups, Side};
use crate::report::{Fields, FrameReport, Kind, fields};
use crate::stream::Arrival;

/// Reports a segment: `segment` is what was captured of its `len` octets.
pub(crate) fn tcp(
    report: &mut FrameReport,
    (src, dst): (IpAddr, IpAddr),
    segment: &[u8],
    len: usize,
    groups: &mut Groups,
    connections: &mut Connections,
) {
    report.protocol = Kind::Tcp;
    let Ok(packet) = TcpPacket::new_checked(segment) else {
        if segment.len() < len {
            report.say("TCP segment, cut");
        } else {
            report.protocol = Kind::Unknown;
            report.say("TCP segment with a damaged header");
        }
        return;
    };
    let smc_option = option::find(segment).ok().flatten();
    report.layers.insert("tcp".to_owned(), tcp_fields(&packet, segment, len, smc_option).into());
    report.route = format!("{src}:{} > {dst}:{}", packet.src_port(), packet.dst_port());
    report.say(&segment_line(&packet, len));

    let seq = packet.seq_number().0 as u32;
    let facts = SegmentFacts {
        src: SocketAddr::new(src, packet.src_port()),
        dst: SocketAddr::new(dst, packet.dst_port()),
        syn: packet.syn() && !packet.ack(),
        syn_ack: packet.syn() && packet.ack(),
        seq,
    };
    let Some((connection, side)) = connections.of_segment(facts) else { return };
    report.context.connection = Some(connection.id);
    report.context.direction = Some(match side {
        Side::Client => "client>server",
        Side::Server => "server>client",
    });
    if packet.syn() {
        synchronize(report, connection, side, facts, smc_option.is_some());
        return;
    }
    if packet.rst() {
        connection.reset_by = Some(side);
    }
    if packet.fin() {
        *connection.fin.of_mut(side) = true;
    }
    let payload = segment.get(usize::from(packet.header_len())..).unwrap_or_default();
    let cut_octets = len.saturating_sub(segment.len());
    if payload.is_empty() && cut_octets == 0 {
        return;
    }
    let arrival = connection.streams.of_mut(side).arrive(seq, payload, cut_octets);
    note_arrival(report, connection, arrival);
    if arrival.new > 0 {
        read_stream(report, connection, side, groups);
    }
}

fn segment_line(packet: &TcpPacket<&[u8]>, len: usize) -> String {
    let flags = [
        (packet.syn(), "SYN"),
        (packet.fin(), "FIN"),
        (packet.rst(), "RST"),
        (packet.psh(), "PSH"),
        (packet.ack(), "ACK"),
    ];
    let flags: Vec<_> = flags.iter().filter(|(set, _)| *set).map(|(_, name)| *name).collect();
    let octets = payload_len(packet, len);
    format!("[{}] seq {} len {octets}", flags.join(","), packet.seq_number().0 as u32)
}

/// Octets of payload in a segment of `len` octets.
fn payload_len(packet: &TcpPacket<&[u8]>, len: usize) -> usize {
    len.saturating_sub(usize::from(packet.header_len()))
}

fn tcp_fields(
    packet: &TcpPacket<&[u8]>,
    segment: &[u8],
    len: usize,
    smc: Option<option::SmcOption>,
) -> Fields {
    let mut out = fields! {
        "src_port" => packet.src_port(), "dst_port" => packet.dst_port(),
        "seq" => packet.seq_number().0 as u32, "ack" => packet.ack_number().0 as u32,
        "header_len" => packet.header_len(), "flags" => segment.get(13).copied().unwrap_or(0),
        "window" => packet.window_len(), "payload_len" => payload_len(packet, len),
    };
    if let Some(smc) = smc {
        out.extend(fields! { "smc_option_offset" => smc.offset, "smc_option_len" => smc.len });
    }
    out
}

fn synchronize(
    report: &mut FrameReport,
    connection: &mut Connection,
    side: Side,
    facts: SegmentFacts,
    has_option: bool,
) {
    if has_option {
        report.protocol = Kind::TcpOption;
        report.say("SMC option");
    }
    if connection.streams.of(side).is_synchronized() {
        report.facts.push("retransmission".to_owned());
        connection.tcp_retransmissions += 1;
        return;
    }
    if side == Side::Client {
        connection.client_isn = Some(facts.seq);
    }
    connection.streams.of_mut(side).synchronize(facts.seq);
    *connection.option.of_mut(side) = Some(has_option);
    let offered = *connection.option.of(Side::Client);
    connection.transport = match (side, offered, has_option) {
        (Side::Client, _, true) => Transport::Opening,
        (Side::Client, _, false) => Transport::Tcp(TcpReason::NotOffered),
        (Side::Server, Some(true), false) => Transport::Tcp(TcpReason::NotAccepted),
        (Side::Server, Some(false), true) => {
            // RFC 7609 §3.5.1.1 allows it to a server that cannot see SYNs.
            report.facts.push("the SYN had no SMC option".to_owned());
            return;
        }
        (Side::Server, ..) => return,
    };
}

fn note_arrival(report: &mut FrameReport, connection: &mut Connection, arrival: Arrival) {
    if arrival.ahead {
        report.facts.push("ahead of a gap".to_owned());
    }
    if arrival.repeated > 0 {
        report.facts.push("retransmission".to_owned());
        connection.tcp_retransmissions += 1;
    }
}

/// Takes CLC messages from the front of what `side` has sent.
fn read_stream(report: &mut FrameReport, connection: &mut Connection, side: Side, groups: &mut Groups) {
    loop {
        let kept = connection.streams.of(side).kept();
        if kept.is_empty() {
            return;
        }
        match next_clc(connection, side) {
            NextClc::Wait => {
                report.protocol = Kind::Clc;
                report.say("part of a CLC message");
                return;
            }
            NextClc::Message(len) => {
                let octets = kept.get(..len).unwrap_or_default();
                let parsed = Message::parse(octets);
                connection.streams.of_mut(side).take(len);
                report.protocol = Kind::Clc;
                match parsed {
                    Ok(message) => {
                        connection.clc_messages += 1;
                        report.say(&clc_line(&message));
                        add_layer(report, clc_fields(&message));
                        clc_rules::apply(report, connection, side, message, groups);
                    }
                    Err(error) => report.violations.push(error.to_string()),
                }
            }
            NextClc::Application => {
                application_octets(report, connection, side);
                return;
            }
        }
    }
}

/// CLC messages of one frame: one object, or a list if there are several.
fn add_layer(report: &mut FrameReport, fields: Fields) {
    use serde_json::Value;
    let layer = report.layers.entry("clc").or_insert(Value::Null);
    match layer {
        Value::Null => *layer = fields.into(),
        Value::Array(list) => list.push(fields.into()),
        first => *first = Value::Array(vec![first.take(), fields.into()]),
    }
}

/// What the octets at the front of a stream are.
enum NextClc {
    /// A CLC message of this length is there.
    Message(usize),
    /// The beginning of one.
    Wait,
    /// The application's.
    Application,
}

fn next_clc(connection: &Connection, side: Side) -> NextClc {
    let stream = connection.streams.of(side);
    let kept = stream.kept();
    let expected = match connection.transport {
        // Both announced SMC: the stream begins with CLC whatever it looks like.
        Transport::Opening | Transport::NotSeen => true,
        // A Decline may come until the first CDC, and even after the other
        // side's own (Linux 6.12 smc_clc; fact sheet 20, "split decision").
        Transport::SmcR { .. } => true,
        Transport::Tcp(TcpReason::Declined(..)) => stream.application_octets == 0,
        Transport::SmcD | Transport::Tcp(_) => false,
    };
    let eyecatcher = [0xe2, 0xd4, 0xc3];
    let looks_like_one = kept.iter().zip(eyecatcher).all(|(&octet, expected)| octet == expected);
    if !expected || !looks_like_one {
        return NextClc::Application;
    }
    if kept.len() < Header::LEN {
        return NextClc::Wait;
    }
    match Header::parse(kept) {
        Ok(header) if header.message_len() > MAX_MESSAGE_LEN => NextClc::Application,
        Ok(header) if late(connection.transport) && header.message_type != MessageType::DECLINE => {
            NextClc::Application
        }
        Ok(header) if kept.len() >= header.message_len() => NextClc::Message(header.message_len()),
        Ok(_) => NextClc::Wait,
        Err(_) => NextClc::Application,
    }
}

/// Whether only a Decline can come now.
fn late(transport: Transport) -> bool {
    matches!(transport, Transport::SmcR { .. } | Transport::Tcp(TcpReason::Declined(..)))
}

fn application_octets(report: &mut FrameReport, connection: &mut Connection, side: Side) {
    match connection.transport {
        Transport::Opening => {
            let both = *connection.option.of(Side::Client) == Some(true)
                && *connection.option.of(Side::Server) == Some(true);
            if both && !connection.streams.of(side).gap {
                let what = "both sides announced SMC, but the stream does not begin with CLC";
                report.violations.push(what.to_owned());
            }
            connection.transport = Transport::Tcp(TcpReason::NotClc);
            connection.streams.of_mut(side).give_up();
        }
        Transport::SmcR { .. } => {
            let what = "application octets on the TCP stream of an SMC-R connection (RFC 7609 §4.5.3)";
            report.violations.push(what.to_owned());
            connection.streams.of_mut(side).pass();
        }
        Transport::Tcp(TcpReason::Declined(..)) => connection.streams.of_mut(side).pass(),
        Transport::SmcD | Transport::Tcp(_) | Transport::NotSeen => {
            connection.streams.of_mut(side).give_up();
        }
    }
}
