//! The layers below SMC. Our pointers start at the layers of the frame.

use serde_json::Value;

use crate::form::Form;
use crate::ours::number;
use crate::rows::{Group, Pick, Row};
use crate::shown::ShownLayer;

pub(crate) const GROUPS: &[Group] = &[
    Group { name: "frame", rows: &[FRAME] },
    Group { name: "Ethernet", rows: &[ETHERNET] },
    Group { name: "IPv4", rows: &[IPV4] },
    Group { name: "IPv6", rows: &[IPV6] },
    Group { name: "UDP", rows: &[UDP] },
    Group { name: "TCP", rows: &[TCP] },
    Group { name: "RoCE", rows: &[BTH, RETH, AETH, ICRC] },
];

const FRAME: &[Row] = &[
    Row::number("frame.number", "/frame/number"),
    Row::number("frame.len", "/frame/len"),
    Row::number("frame.cap_len", "/frame/captured_len"),
    Row::at("frame.time_epoch", Form::Time, "/frame/time_ns"),
    Row::at("frame.time_relative", Form::Time, "/frame/since_first_ns"),
];

const ETHERNET: &[Row] = &[
    Row::at("eth.dst", Form::Octets, "/ethernet/dst"),
    Row::at("eth.src", Form::Octets, "/ethernet/src"),
    Row::number("eth.type", "/ethernet/type"),
];

const IPV4: &[Row] = &[
    Row::number("ip.version", "/ip/version"),
    Row::number("ip.dsfield", "/ip/tos"),
    Row::number("ip.len", "/ip/total_len"),
    Row::number("ip.id", "/ip/id"),
    Row::number("ip.flags.df", "/ip/dont_fragment"),
    Row::number("ip.flags.mf", "/ip/more_fragments"),
    Row::number("ip.frag_offset", "/ip/fragment_offset"),
    Row::number("ip.ttl", "/ip/ttl"),
    Row::number("ip.proto", "/ip/protocol"),
    Row::at("ip.src", Form::Address, "/ip/src"),
    Row::at("ip.dst", Form::Address, "/ip/dst"),
];

const IPV6: &[Row] = &[
    Row::number("ipv6.version", "/ip/version"),
    Row::number("ipv6.tclass", "/ip/traffic_class"),
    Row::number("ipv6.flow", "/ip/flow_label"),
    Row::number("ipv6.plen", "/ip/payload_len"),
    Row::number("ipv6.nxt", "/ip/next_header"),
    Row::number("ipv6.hlim", "/ip/hop_limit"),
    Row::at("ipv6.src", Form::Address, "/ip/src"),
    Row::at("ipv6.dst", Form::Address, "/ip/dst"),
];

const UDP: &[Row] = &[
    Row::number("udp.srcport", "/udp/src_port"),
    Row::number("udp.dstport", "/udp/dst_port"),
    Row::number("udp.length", "/udp/len"),
    Row::number("udp.checksum", "/udp/checksum"),
];

const TCP: &[Row] = &[
    Row::number("tcp.srcport", "/tcp/src_port"),
    Row::number("tcp.dstport", "/tcp/dst_port"),
    Row::number("tcp.seq_raw", "/tcp/seq"),
    Row::number("tcp.ack_raw", "/tcp/ack"),
    Row::number("tcp.hdr_len", "/tcp/header_len"),
    Row::number("tcp.flags", "/tcp/flags"),
    Row::made("tcp.flags.cwr", |ours| flag(ours, 0x80)),
    Row::made("tcp.flags.ece", |ours| flag(ours, 0x40)),
    Row::made("tcp.flags.urg", |ours| flag(ours, 0x20)),
    Row::made("tcp.flags.ack", |ours| flag(ours, 0x10)),
    Row::made("tcp.flags.push", |ours| flag(ours, 0x08)),
    Row::made("tcp.flags.reset", |ours| flag(ours, 0x04)),
    Row::made("tcp.flags.syn", |ours| flag(ours, 0x02)),
    Row::made("tcp.flags.fin", |ours| flag(ours, 0x01)),
    Row::number("tcp.window_size_value", "/tcp/window"),
    Row::list("tcp.options.experimental", Form::Octets, smc_option),
    Row::made("tcp.options.experimental.exid", |ours| {
        let len = number(ours, "/tcp/smc_option_len")?;
        (len >= 6 && len % 2 == 0).then_some(0xe2d4)
    }),
    Row::number("tcp.options", "/tcp/smc_option_offset")
        .picking(Pick::Made(smc_option_offset))
        .really("where the SMC option begins"),
];

/// One of the flags of a segment.
fn flag(ours: &Value, flag: u64) -> Option<u64> {
    Some(u64::from(number(ours, "/tcp/flags")? & flag != 0))
}

/// Kind, length and identifier, as our two fields say they must be.
fn smc_option(ours: &Value) -> Vec<Value> {
    let len = number(ours, "/tcp/smc_option_len");
    len.map(|len| format!("fe{len:02x}e2d4c3d9").into()).into_iter().collect()
}

/// Octets from the start of the TCP header to the option with the identifier.
fn smc_option_offset(layer: &ShownLayer) -> Vec<String> {
    const HEADER_LEN: usize = 20;
    let octets = |name| layer.get(name).and_then(|values| Form::Octets.of_shown(values.first()?));
    let (Some(all), Some(smc)) = (octets("tcp.options"), octets("tcp.options.experimental")) else {
        return Vec::new();
    };
    all.find(&smc).map(|at| (HEADER_LEN + at / 2).to_string()).into_iter().collect()
}

const BTH: &[Row] = &[
    Row::number("infiniband.bth.opcode", "/bth/opcode"),
    Row::number("infiniband.bth.se", "/bth/solicited"),
    Row::number("infiniband.bth.m", "/bth/migrated"),
    Row::number("infiniband.bth.padcnt", "/bth/pad"),
    Row::number("infiniband.bth.p_key", "/bth/pkey"),
    Row::made("infiniband.reserved", |ours| {
        Some(number(ours, "/bth/fecn")? << 7 | number(ours, "/bth/becn")? << 6)
    })
    .really("FECN and BECN"),
    Row::number("infiniband.bth.destqp", "/bth/dest_qpn"),
    Row::number("infiniband.bth.a", "/bth/ack_request"),
    Row::number("infiniband.bth.psn", "/bth/psn"),
];

const RETH: &[Row] = &[
    Row::number("infiniband.reth.va", "/reth/vaddr"),
    Row::number("infiniband.reth.r_key", "/reth/rkey"),
    Row::number("infiniband.reth.dmalen", "/reth/dma_len"),
];

const AETH: &[Row] = &[
    Row::number("infiniband.aeth.syndrome", "/aeth/syndrome"),
    Row::made("infiniband.aeth.syndrome.reserved", |ours| Some(number(ours, "/aeth/syndrome")? >> 7)),
    Row::made("infiniband.aeth.syndrome.opcode", |ours| match ours.pointer("/aeth/kind")?.as_str()? {
        "ack" => Some(0),
        "rnr-nak" => Some(1),
        "reserved" => Some(2),
        "nak" => Some(3),
        _ => None,
    }),
    Row::made("infiniband.aeth.syndrome.credit_count", |ours| low_bits_if(ours, "ack")),
    Row::made("infiniband.aeth.syndrome.error_code", |ours| low_bits_if(ours, "nak")),
    Row::number("infiniband.aeth.msn", "/aeth/msn"),
];

fn low_bits_if(ours: &Value, kind: &str) -> Option<u64> {
    let syndrome = number(ours, "/aeth/syndrome")?;
    (ours.pointer("/aeth/kind")?.as_str()? == kind).then_some(syndrome & 0x1f)
}

const ICRC: &[Row] =
    &[Row::at("infiniband.invariant.crc", Form::Octets, "/icrc/octets").picking(Pick::Made(icrc))];

/// The octets as carried: tshark shows them as one number.
fn icrc(layer: &ShownLayer) -> Vec<String> {
    let values = layer.get("infiniband.invariant.crc").cloned().unwrap_or_default();
    values.iter().map(|text| text.trim_start_matches("0x").to_owned()).collect()
}
