//! CDC and LLC messages. Our pointers start at the message; its `kind` is that
//! of the frame.

use serde_json::Value;

use crate::form::Form;
use crate::ours::number;
use crate::rows::{Group, Pick, Row};

pub(crate) const GROUPS: &[Group] = &[
    Group { name: "CDC", rows: &[CDC] },
    Group { name: "CONFIRM LINK", rows: &[HEADER, CONFIRM_LINK] },
    Group { name: "ADD LINK", rows: &[HEADER, ADD_LINK] },
    Group { name: "DELETE LINK", rows: &[HEADER, DELETE_LINK] },
    Group { name: "REQUEST ADD LINK", rows: &[HEADER, REQUEST_ADD_LINK] },
    Group { name: "CONFIRM RKEY", rows: &[HEADER, CONFIRM_RKEY] },
    Group { name: "TEST LINK", rows: &[HEADER, TEST_LINK] },
    Group { name: "DELETE RKEY", rows: &[HEADER, DELETE_RKEY] },
];

/// The first octet of a CDC message.
pub(crate) const CDC_TYPE: u64 = 0xfe;

/// LLC messages by opcode, without the version in the high half.
const OPCODES: &[(u64, &str)] = &[
    (1, "CONFIRM LINK"),
    (2, "ADD LINK"),
    (4, "DELETE LINK"),
    (5, "REQUEST ADD LINK"),
    (6, "CONFIRM RKEY"),
    (7, "TEST LINK"),
    (9, "DELETE RKEY"),
];

/// The group of a message by its first octet.
pub(crate) fn group_of(first_octet: u64) -> Option<&'static str> {
    if first_octet == CDC_TYPE {
        return Some("CDC");
    }
    OPCODES.iter().find(|(code, _)| *code == first_octet & 0x0f).map(|(_, name)| *name)
}

const CDC: &[Row] = &[
    Row::made("smc.llc_msg", |ours| (ours.get("kind")?.as_str()? == "cdc").then_some(CDC_TYPE)),
    Row::number("smc.length", "/length"),
    Row::number("smc.rmbe.ctrl.seqno", "/seq"),
    Row::number("smc.rmbe.ctrl.alert.token", "/token"),
    Row::number("smc.rmbe.ctrl.prod.wrap.seq", "/producer_wrap").picking(Pick::Nth(0)),
    Row::number("smc.rmbe.ctrl.peer.prod.curs", "/producer_count").picking(Pick::Nth(0)),
    Row::number("smc.rmbe.ctrl.prod.wrap.seq", "/consumer_wrap")
        .picking(Pick::Nth(1))
        .really("consumer wrap"),
    Row::number("smc.rmbe.ctrl.peer.prod.curs", "/consumer_count")
        .picking(Pick::Nth(1))
        .really("consumer count"),
    Row::number("smc.rmbe.ctrl.conn.rw.status.flags", "/producer_flags"),
    Row::made("smc.rmbe.ctrl.write.blocked", |ours| bit(ours, "/producer_flags", 7)),
    Row::made("smc.rmbe.ctrl.urgent.pending", |ours| bit(ours, "/producer_flags", 6)),
    Row::made("smc.rmbe.ctrl.urgent.present", |ours| bit(ours, "/producer_flags", 5)),
    Row::made("smc.rmbe.ctrl.cons.update.requested", |ours| bit(ours, "/producer_flags", 4)),
    Row::made("smc.rmbe.ctrl.failover.validation", |ours| bit(ours, "/producer_flags", 3)),
    Row::number("smc.rmbe.ctrl.peer.conn.state.flags", "/state_flags"),
    Row::made("smc.rmbe.ctrl.peer.sending.done", |ours| bit(ours, "/state_flags", 7)),
    Row::made("smc.rmbe.ctrl.peer.closed.conn", |ours| bit(ours, "/state_flags", 6)),
    Row::made("smc.rmbe.ctrl.peer.abnormal.close", |ours| bit(ours, "/state_flags", 5)),
];

const HEADER: &[Row] = &[
    Row::made("smc.llc_msg", |ours| {
        let name = ours.get("type")?.as_str()?;
        let (code, _) = OPCODES.iter().find(|(_, known)| *known == name)?;
        Some(code | if number(ours, "/version")? == 2 { 0x20 } else { 0 })
    }),
    Row::number("smc.length", "/length"),
];

const CONFIRM_LINK: &[Row] = &[
    Row::made("smc.confirm.link.flags", |ours| {
        Some(number(ours, "/response")? << 7 | number(ours, "/no_eyecatcher")?)
    }),
    Row::number("smc.confirm.link.response", "/response"),
    Row::at("smc.confirm.link.sender.mac", Form::Octets, "/mac"),
    Row::at("smc.sender.gid", Form::Address, "/gid"),
    Row::number("smc.confirm.link.sender.qp.number", "/qpn"),
    Row::number("smc.confirm.link.number", "/link_number"),
    Row::list("smc.confirm.link.sender.link.userid", Form::Number, |ours| {
        let uid = ours.get("link_uid").and_then(Value::as_str);
        uid.map(|hex| format!("0x{hex}").into()).into_iter().collect()
    }),
    Row::number("smc.confirm.link.max.links", "/max_links"),
];

const ADD_LINK: &[Row] = &[
    Row::made("smc.add.link.flags", |ours| {
        Some(number(ours, "/response")? << 7 | number(ours, "/rejected")? << 6)
    }),
    Row::number("smc.add.link.response", "/response"),
    Row::number("smc.add.link.response.rejected", "/rejected"),
    Row::number("smc.add.link.response.reject_reason", "/reject_reason"),
    Row::at("smc.add.link.sender.mac", Form::Octets, "/mac"),
    Row::at("smc.add.link.sender.gid", Form::Address, "/gid"),
    Row::number("smc.add.link.sender.qp.number", "/qpn"),
    Row::number("smc.add.link.link.number", "/link_number"),
    Row::number("smc.add.link.flags2", "/mtu_code"),
    Row::number("smc.add.link.qp.mtu.value", "/mtu_code"),
    Row::number("smc.add.link.initial.psn", "/psn"),
    Row::made("smc.add.link.flags3", |ours| Some(number(ours, "/v2_direct")? << 7)),
    Row::number("smc.add.link.direct_link", "/v2_direct"),
    Row::at("smc.add.link.client_target_gid", Form::Address, "/client_target_gid"),
    Row::made("smc.add.link.rkey_count", |ours| Some(ours.get("rkeys")?.as_array()?.len() as u64)),
    Row::list("smc.add.link.rmb.RTok.Rkey1", Form::Number, |ours| each(ours, "rkeys", "current")),
    Row::list("smc.add.link.rmb.RTok.Rkey2", Form::Number, |ours| each(ours, "rkeys", "new")),
    Row::list("smc.add.link.rmb.RTok.virt", Form::Number, |ours| each(ours, "rkeys", "address")),
];

const DELETE_LINK: &[Row] = &[
    Row::made("smc.delete.link.flags", |ours| {
        Some(number(ours, "/response")? << 7 | number(ours, "/all")? << 6 | number(ours, "/orderly")? << 5)
    }),
    Row::number("smc.delete.link.response", "/response"),
    Row::number("smc.delete.link.all", "/all"),
    Row::number("smc.delete.link.orderly", "/orderly"),
    Row::number("smc.delete.link.number", "/link_number"),
    Row::number("smc.delete.link.reason.code", "/reason"),
];

const REQUEST_ADD_LINK: &[Row] = &[
    Row::made("smc.add.link.flags", |ours| Some(number(ours, "/response")? << 7))
        .really("the flags of a REQUEST ADD LINK"),
    Row::number("smc.request.add.link.response", "/response"),
    Row::made("smc.request.add.link.gid.list.entry_count", |ours| {
        Some(ours.get("gids")?.as_array()?.len() as u64)
    }),
    Row::at("smc.request.add.link.gid.list.entry", Form::Address, "/gids"),
];

const CONFIRM_RKEY: &[Row] = &[
    Row::made("smc.confirm.rkey.flags", |ours| {
        Some(number(ours, "/response")? << 7 | number(ours, "/negative")? << 5 | number(ours, "/retry")? << 4)
    }),
    Row::number("smc.confirm.rkey.response", "/response"),
    Row::number("smc.confirm.rkey.negative.response", "/negative"),
    Row::number("smc.confirm.rkey.retry.rkey.set", "/retry"),
    Row::number("smc.confirm.rkey.number.qp", "/count"),
    Row::list("smc.confirm.rkey.new.rkey", Form::Number, |ours| own_and_others(ours, "rkey")),
    Row::list("smc.confirm.rkey.new.virt", Form::Number, |ours| own_and_others(ours, "address")),
];

const TEST_LINK: &[Row] = &[
    Row::made("smc.test.link.flags", |ours| Some(number(ours, "/response")? << 7)),
    Row::number("smc.test.link.response", "/response"),
];

const DELETE_RKEY: &[Row] = &[
    Row::made("smc.delete.rkey.flags", |ours| {
        Some(number(ours, "/response")? << 7 | number(ours, "/negative")? << 5)
    }),
    Row::number("smc.delete.rkey.response", "/response"),
    Row::number("smc.delete.rkey.negative.response", "/negative"),
    Row::number("smc.delete.rkey.count", "/count"),
    Row::number("smc.delete.rkey.count.invalid", "/errors"),
    Row::at("smc.delete.rkey.deleted", Form::Number, "/rkeys"),
];

fn bit(ours: &Value, pointer: &str, bit: u32) -> Option<u64> {
    Some(number(ours, pointer)? >> bit & 1)
}

/// One field of every entry of a list.
fn each(ours: &Value, list: &str, field: &str) -> Vec<Value> {
    let entries = ours.get(list).and_then(Value::as_array).into_iter().flatten();
    entries.filter_map(|entry| entry.get(field)).cloned().collect()
}

/// The value for the link that carries the message, and those for the others.
fn own_and_others(ours: &Value, field: &str) -> Vec<Value> {
    ours.get(field).cloned().into_iter().chain(each(ours, "others", field)).collect()
}
