//! CLC messages. Our pointers start at the message.

use serde_json::{Value, json};

use crate::form::Form;
use crate::ours::number;
use crate::rows::{Group, Pick, Row};
use crate::shown::ShownLayer;

pub(crate) const GROUPS: &[Group] = &[
    Group { name: "CLC Proposal", rows: &[HEADER, PROPOSAL] },
    Group { name: "CLC Accept", rows: &[HEADER, ACCEPT] },
    Group { name: "CLC Confirm", rows: &[HEADER, CONFIRM] },
    Group { name: "CLC Decline", rows: &[HEADER, DECLINE] },
];

/// The group of a message by tshark's `smc.clc_msg`.
pub(crate) fn group_of(code: &str) -> Option<&'static str> {
    Some(match code {
        "1" => "CLC Proposal",
        "2" => "CLC Accept",
        "3" => "CLC Confirm",
        "4" => "CLC Decline",
        _ => return None,
    })
}

const HEADER: &[Row] = &[
    Row::made("smc.clc_msg", |ours| match ours.get("type")?.as_str()? {
        "Proposal" => Some(1),
        "Accept" => Some(2),
        "Confirm" => Some(3),
        "Decline" => Some(4),
        _ => None,
    }),
    Row::number("smc.length", "/length"),
];

const PROPOSAL: &[Row] = &[
    Row::made("smc.proposal.flags", version_and_flags),
    Row::number("smc.proposal.smc.version", "/version"),
    Row::made("smc.proposal.smcv2.type", |ours| types(ours, "/v2_types")),
    Row::made("smc.proposal.smc.type", |ours| types(ours, "/v1_types")),
    Row::at("smc.proposal.sender.client.peer.id", Form::PeerId, "/peer_id"),
    Row::made("smc.proposal.eid.count", |ours| len(ours, "/eids")),
    Row::made("smc.proposal.extflags.2", |ours| {
        Some(number(ours, "/release")? << 4 | number(ours, "/seid_present")?)
    }),
    Row::number("smc.proposal.smc.version.relnum", "/release"),
    Row::number("smc.proposal.smc.seid", "/seid_present"),
    Row::at("smc.proposal.rocev2.gid.ipv4", Form::Address, "/roce_gid"),
    Row::list("smc.reserved", Form::Octets, terms_of_v21)
        .picking(Pick::Made(last_sixteen))
        .really("the terms of v2.1"),
    Row::at("smc.proposal.eid", Form::Text, "/eids"),
];

const ACCEPT: &[Row] = &[
    Row::made("smc.accept.flags", version_and_flags),
    Row::number("smc.proposal.smc.version", "/version").really("the version of an Accept"),
    Row::number("smc.proposal.first.contact", "/first_contact").really("first contact of an Accept"),
    Row::at("smc.accept.sender.server.peer.id", Form::PeerId, "/peer_id"),
    Row::at("smc.accept.server.preferred.gid", Form::Address, "/gid"),
    Row::at("smc.accept.server.preferred.mac", Form::Octets, "/mac"),
    Row::number("smc.accept.server.qp.number", "/qpn"),
    Row::number("smc.accept.server.rmb.rkey", "/rkey"),
    Row::number("smc.accept.server.tcp.conn.index", "/rmbe_index"),
    Row::number("smc.accept.server.rmb.element.alert.token", "/alert_token"),
    Row::made("smc.accept.flags.2", size_and_mtu),
    Row::number("smc.accept.rmb.buffer.size", "/rmbe_size_code"),
    Row::number("smc.accept.qp.mtu.value", "/mtu_code"),
    Row::number("smc.accept.server.rmb.virtual.address", "/rmb_address"),
    Row::number("smc.accept.initial.psn", "/psn"),
    Row::at("smc.accept.eid", Form::Text, "/eid"),
    Row::made("smc.accept.fce1.flags", direct),
    Row::number("smc.accept.v2_lg.type", "/v2_direct"),
    Row::made("smc.accept.fce.flags", os_and_release),
    Row::number("smc.accept.os.type", "/os"),
    Row::number("smc.accept.smc.version.relnum", "/release"),
    Row::at("smc.accept.peer.host.name", Form::Text, "/host_name"),
    Row::list("smc.reserved", Form::Octets, terms_of_v21)
        .picking(Pick::Made(last_sixteen))
        .really("the terms of v2.1"),
];

const CONFIRM: &[Row] = &[
    Row::made("smc.confirm.flags", version_and_flags),
    Row::number("smc.proposal.smc.version", "/version").really("the version of a Confirm"),
    Row::number("smc.confirm.first.contact", "/first_contact"),
    Row::made("smc.confirm.smc.type", |ours| Some(number(ours, "/flags")? & 3)),
    Row::at("smc.confirm.sender.client.peer.id", Form::PeerId, "/peer_id"),
    Row::at("smc.client.gid", Form::Address, "/gid"),
    Row::at("smc.confirm.client.mac", Form::Octets, "/mac"),
    Row::number("smc.confirm.client.qp.number", "/qpn"),
    Row::number("smc.confirm.client.rmb.rkey", "/rkey"),
    Row::number("smc.confirm.client.tcp.conn.index", "/rmbe_index"),
    Row::number("smc.client.rmb.element.alert.token", "/alert_token"),
    Row::made("smc.confirm.flags.2", size_and_mtu),
    Row::number("smc.confirm.rmb.buffer.size", "/rmbe_size_code"),
    Row::number("smc.confirm.qp.mtu.value", "/mtu_code"),
    Row::number("smc.client.rmb.virtual.address", "/rmb_address"),
    Row::number("smc.initial.psn", "/psn"),
    Row::at("smc.confirm.eid", Form::Text, "/eid"),
    Row::made("smc.accept.fce1.flags", direct).really("first octet of a Confirm's extension"),
    Row::number("smc.accept.v2_lg.type", "/v2_direct").really("v2_direct of a Confirm"),
    Row::made("smc.accept.fce.flags", os_and_release).really("second octet of a Confirm's extension"),
    Row::number("smc.confirm.os.type", "/os"),
    Row::number("smc.confirm.smc.version.relnum", "/release"),
    Row::at("smc.confirm.peer.host.name", Form::Text, "/host_name"),
    Row::list("smc.reserved", Form::Octets, terms_of_v21)
        .picking(Pick::Made(last_sixteen))
        .really("the terms of v2.1"),
    Row::made("smc.confirm.gid.list.entry_count", |ours| len(ours, "/gids")),
    Row::at("smc.confirm.gid.list.entry", Form::Address, "/gids"),
];

const DECLINE: &[Row] = &[
    Row::made("smc.decline.flags", version_and_flags),
    Row::number("smc.decline.smc.version", "/version"),
    Row::number("smc.decline.osync", "/out_of_sync"),
    Row::at("smc.sender.peer.id", Form::PeerId, "/peer_id"),
    Row::list("smc.peer.diag.info", Form::Number, diagnoses),
    Row::made("smc.decline.flags2", |ours| Some(number(ours, "/os")? << 4)),
    Row::number("smc.decline.os.type", "/os"),
];

/// The last octet of the header.
fn version_and_flags(ours: &Value) -> Option<u64> {
    Some(number(ours, "/version")? << 4 | number(ours, "/flags")?)
}

fn size_and_mtu(ours: &Value) -> Option<u64> {
    Some(number(ours, "/rmbe_size_code")? << 4 | number(ours, "/mtu_code")?)
}

fn direct(ours: &Value) -> Option<u64> {
    Some(number(ours, "/v2_direct")? << 7)
}

fn os_and_release(ours: &Value) -> Option<u64> {
    Some(number(ours, "/os")? << 4 | number(ours, "/release")?)
}

fn len(ours: &Value, pointer: &str) -> Option<u64> {
    Some(ours.pointer(pointer)?.as_array()?.len() as u64)
}

fn types(ours: &Value, pointer: &str) -> Option<u64> {
    match ours.pointer(pointer)?.as_str()? {
        "SmcR" => Some(0),
        "SmcD" => Some(1),
        "Neither" => Some(2),
        "Both" => Some(3),
        _ => None,
    }
}

/// The code, and from v2 on the four numbers after it; our decode shows four
/// for v1, too, where the message ends before them.
fn diagnoses(ours: &Value) -> Vec<Value> {
    let extra = ours.get("extra").and_then(Value::as_array).cloned().unwrap_or_default();
    ours.get("diagnosis").cloned().into_iter().chain(extra).collect()
}

/// The first four of the sixteen octets that are no longer reserved in v2.1.
fn terms_of_v21(ours: &Value) -> Vec<Value> {
    let terms = || {
        let (conns, links) = (number(ours, "/max_conns")?, number(ours, "/max_links")?);
        Some(json!(format!("{conns:02x}{links:02x}{:04x}", number(ours, "/feature_mask")?)))
    };
    terms().into_iter().collect()
}

/// Of the reserved areas of a message the last one of sixteen octets; of that
/// the first four.
fn last_sixteen(layer: &ShownLayer) -> Vec<String> {
    let areas = layer.get("smc.reserved").into_iter().flatten();
    let last = areas.filter_map(|text| Form::Octets.of_shown(text)).rfind(|octets| octets.len() == 32);
    last.and_then(|octets| octets.get(..8).map(str::to_owned)).into_iter().collect()
}
