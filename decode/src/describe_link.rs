//! LLC and CDC messages in words and fields.

use serde_json::Value;
use smolsmc_cdc::{CdcMessage, Cursor};
use smolsmc_llc::{AddLinkExtension, Body, ConfirmRkey, HostOrder, LinkRkey, Message, RkeyMapping, Version};

use crate::report::{Fields, fields};

/// Lower-case hex, two digits an octet.
pub(crate) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// One line about an LLC message.
pub(crate) fn llc_line(message: &Message) -> String {
    let what = if message.response { "response" } else { "request" };
    let details = match &message.body {
        Body::ConfirmLink(m) => {
            format!(" link {} uid {} qp {} {}", m.link_number, m.link_uid, m.qpn, m.gid)
        }
        Body::AddLink(m) if m.rejected => " REJECTED".to_owned(),
        Body::AddLink(m) => {
            let rkeys = m.extension.as_ref().map_or(0, |x| x.rkeys.len());
            format!(
                " link {} qp {} {} psn {} mtu {} rkeys {rkeys}",
                m.link_number, m.qpn, m.gid, m.psn, m.mtu
            )
        }
        Body::AddLinkContinuation(m) => format!(" link {} rkeys left {}", m.link_number, m.remaining),
        Body::DeleteLink(m) => {
            let which = if m.all { "all".to_owned() } else { format!("link {}", m.link_number) };
            let how = if m.orderly { "orderly" } else { "at once" };
            format!(" {which} {how}, reason {:#010x} ({})", m.reason.0, m.reason)
        }
        Body::RequestAddLink(m) => {
            let gids: Vec<_> = m.gids.iter().map(ToString::to_string).collect();
            format!(" {}", gids.join(" "))
        }
        Body::ConfirmRkey(m) => format!(" {} at {:#x}{}", m.rkey, m.address, confirm_outcome(m)),
        Body::ConfirmRkeyContinuation(m) => format!(" tokens left {}", m.tokens.count()),
        Body::TestLink(_) => String::new(),
        Body::DeleteRkey(m) => {
            let rkeys: Vec<_> = m.rkeys.iter().map(ToString::to_string).collect();
            let outcome = if m.negative { " NEGATIVE" } else { "" };
            format!(" {} rkey(s) {}{outcome}", m.count(), rkeys.join(" "))
        }
        Body::Unknown(m) => format!(" type {:#04x}, {} octets", m.type_octet(), m.octets().len()),
    };
    match message.body {
        Body::Unknown(_) => format!("LLC unknown{details}"),
        _ => format!("{} {what}{details}", message.body.opcode()),
    }
}

fn confirm_outcome(m: &ConfirmRkey) -> &'static str {
    match (m.negative, m.retry) {
        (false, _) => "",
        (true, false) => " NEGATIVE",
        (true, true) => " NEGATIVE, retry",
    }
}

/// All fields of an LLC message.
pub(crate) fn llc_fields(message: &Message) -> Fields {
    let (version, order) = match message.version {
        Version::V1 => (1, "-"),
        Version::V2(HostOrder::Little) => (2, "little-endian"),
        Version::V2(HostOrder::Big) => (2, "big-endian"),
    };
    let mut out = fields! {
        "type" => message.body.opcode().to_string(),
        "version" => version,
        "host_order" => order,
        "length" => message.wire_len(),
        "response" => message.response,
    };
    out.extend(body_fields(&message.body));
    out
}

fn body_fields(body: &Body) -> Fields {
    match body {
        Body::ConfirmLink(m) => fields! {
            "mac" => m.mac.to_string(), "gid" => m.gid.to_string(), "qpn" => m.qpn.value(),
            "link_number" => m.link_number.0, "link_uid" => m.link_uid.to_string(),
            "max_links" => m.max_links, "max_conns" => m.max_conns,
            "no_eyecatcher" => m.no_eyecatcher.bits(),
        },
        Body::AddLink(m) => {
            let mut out = fields! {
                "rejected" => m.rejected, "reject_reason" => m.reject_reason.0,
                "mac" => m.mac.to_string(), "gid" => m.gid.to_string(), "qpn" => m.qpn.value(),
                "link_number" => m.link_number.0, "mtu_code" => m.mtu.code(), "psn" => m.psn.value(),
            };
            if let Some(extension) = &m.extension {
                out.extend(extension_fields(extension));
            }
            out
        }
        Body::AddLinkContinuation(m) => fields! {
            "link_number" => m.link_number.0, "remaining" => m.remaining,
            "rkeys" => m.rkeys.iter().map(mapping_value).collect::<Vec<_>>(),
        },
        Body::DeleteLink(m) => fields! {
            "all" => m.all, "orderly" => m.orderly, "link_number" => m.link_number.0,
            "reason" => m.reason.0, "reason_name" => m.reason.to_string(),
        },
        Body::RequestAddLink(m) => fields! {
            "gids" => m.gids.iter().map(|gid| Value::from(gid.to_string())).collect::<Vec<_>>(),
        },
        Body::ConfirmRkey(m) => fields! {
            "negative" => m.negative, "retry" => m.retry, "count" => m.others.count(),
            "rkey" => m.rkey.0, "address" => m.address, "others" => others(m.others.here()),
        },
        Body::ConfirmRkeyContinuation(m) => fields! {
            "negative" => m.negative, "count" => m.tokens.count(), "others" => others(m.tokens.here()),
        },
        Body::TestLink(m) => fields! { "user_data" => hex(&m.user_data) },
        Body::DeleteRkey(m) => fields! {
            "negative" => m.negative, "count" => m.count(), "errors" => m.errors,
            "rkeys" => m.rkeys.iter().map(|rkey| Value::from(rkey.0)).collect::<Vec<_>>(),
        },
        Body::Unknown(m) => fields! { "type_octet" => m.type_octet(), "octets" => hex(m.octets()) },
    }
}

fn extension_fields(extension: &AddLinkExtension) -> Fields {
    fields! {
        "v2_direct" => extension.v2_direct,
        "client_target_gid" => extension.client_target_gid.to_string(),
        "rkeys" => extension.rkeys.iter().map(mapping_value).collect::<Vec<_>>(),
    }
}

fn mapping_value(mapping: &RkeyMapping) -> Value {
    fields! { "current" => mapping.current.0, "new" => mapping.new.0, "address" => mapping.address }.into()
}

fn others(entries: &[LinkRkey]) -> Vec<Value> {
    let value = |e: &LinkRkey| {
        Value::from(fields! {
            "link_number" => e.link_number.0, "rkey" => e.rkey.0, "address" => e.address,
        })
    };
    entries.iter().map(value).collect()
}

/// One line about a CDC message.
pub(crate) fn cdc_line(m: &CdcMessage) -> String {
    if m.is_failover_validation() {
        return format!("CDC failover validation, seq {} token {}", m.seq, m.token);
    }
    format!(
        "CDC seq {} token {} prod {} cons {} flags {} state {}",
        m.seq,
        m.token,
        cursor(m.producer),
        cursor(m.consumer),
        m.producer_flags,
        m.state_flags
    )
}

fn cursor(cursor: Cursor) -> String {
    format!("{}/{}", cursor.wrap, cursor.count)
}

/// All fields of a CDC message.
pub(crate) fn cdc_fields(m: &CdcMessage) -> Fields {
    fields! {
        "length" => CdcMessage::LEN,
        "seq" => m.seq.0,
        "token" => m.token.0,
        "producer_wrap" => m.producer.wrap,
        "producer_count" => m.producer.count,
        "consumer_wrap" => m.consumer.wrap,
        "consumer_count" => m.consumer.count,
        "producer_flags" => m.producer_flags.bits(),
        "state_flags" => m.state_flags.bits(),
    }
}
