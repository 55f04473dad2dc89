//! Which of tshark's layers stands beside which of ours.

use serde_json::Value;

use crate::Pair;
use crate::exceptions::Kind;
use crate::form::Form;
use crate::ledger::Ledger;
use crate::ours::clc_messages;
use crate::rows_clc;
use crate::rows_link::{self, CDC_TYPE};
use crate::shown::{ShownFrame, ShownLayer};

/// Layers that occur once in a frame: tshark's name, a field of ours that is
/// there if the layer is, and the group of rows.
const SINGLE: &[(&str, &str, &str)] = &[
    ("frame", "/frame", "frame"),
    ("eth", "/ethernet", "Ethernet"),
    ("ip", "/ip/ttl", "IPv4"),
    ("ipv6", "/ip/hop_limit", "IPv6"),
    ("udp", "/udp", "UDP"),
    ("tcp", "/tcp", "TCP"),
    ("infiniband", "/bth", "RoCE"),
];

/// Compares a capture; `change` may alter our side first.
pub(crate) fn compare(ledger: &mut Ledger, pair: &Pair, change: fn(&Value) -> Value) {
    same_count(ledger, &pair.name, pair.shown.len(), pair.ours.len());
    for (n, (shown, ours)) in pair.shown.iter().zip(&pair.ours).enumerate() {
        let place = format!("{} frame {}", pair.name, n + 1);
        let ours = change(ours);
        below(ledger, &place, shown, &ours);
        clc(ledger, &place, shown, &ours);
        cdc(ledger, &place, shown, &ours);
        if let Some(message) = ours.get("llc")
            && !ledger.excuse(Kind::OnlyOurs, "llc", message)
        {
            ledger.fault(&place, "tshark shows no LLC message, we do");
        }
    }
    in_network_order(ledger, pair, change);
}

/// LLC as a big-endian host sends it, which must mean the same to us.
fn in_network_order(ledger: &mut Ledger, pair: &Pair, change: fn(&Value) -> Value) {
    let (shown, ours) = (&pair.shown_in_network_order, &pair.ours_in_network_order);
    same_count(ledger, &pair.name, shown.len(), ours.len());
    same_count(ledger, &pair.name, pair.ours.len(), ours.len());
    for (n, ((shown, ours), before)) in shown.iter().zip(ours).zip(&pair.ours).enumerate() {
        let place = format!("{} frame {} in network order", pair.name, n + 1);
        llc(ledger, &place, shown, &change(ours));
        let order = ours.pointer("/llc/host_order").and_then(Value::as_str);
        if order.is_some_and(|order| order != "big-endian") {
            ledger.fault(&place, &format!("it is in network order, and we say {order:?}"));
        }
        if without_order(ours) != without_order(before) {
            ledger.fault(&place, "we read LLC otherwise than in the order of the capture");
        }
    }
}

/// Our LLC message without the word about its octet order.
fn without_order(layers: &Value) -> Option<Value> {
    let mut message = layers.get("llc")?.clone();
    message.as_object_mut()?.remove("host_order")?;
    Some(message)
}

fn same_count(ledger: &mut Ledger, capture: &str, theirs: usize, ours: usize) {
    if theirs != ours {
        ledger.fault(capture, &format!("tshark shows {theirs} frames, we show {ours}"));
    }
}

fn below(ledger: &mut Ledger, place: &str, shown: &ShownFrame, ours: &Value) {
    if shown.is_malformed() {
        ledger.fault(place, "tshark calls it malformed");
    }
    for &(protocol, field, group) in SINGLE {
        match (shown.layers(protocol), ours.pointer(field)) {
            ([], None) => {}
            ([layer], Some(_)) => ledger.compare(place, group, layer, ours),
            (layers, field) => {
                let (theirs, we) = (layers.len(), usize::from(field.is_some()));
                ledger.fault(place, &format!("tshark shows {theirs} layer(s) {protocol}, we show {we}"));
            }
        }
    }
}

/// One frame may end several messages, and a message may take several frames.
fn clc(ledger: &mut Ledger, place: &str, shown: &ShownFrame, ours: &Value) {
    let theirs: Vec<_> =
        shown.layers("smc").iter().filter_map(|layer| Some((code(layer, CLC)?, layer))).collect();
    let messages = clc_messages(ours);
    if theirs.len() != messages.len() {
        let what = format!("tshark shows {} CLC message(s), we show {}", theirs.len(), messages.len());
        ledger.fault(place, &what);
    }
    for ((code, layer), message) in theirs.into_iter().zip(messages) {
        match rows_clc::group_of(code) {
            Some(group) => ledger.compare(place, group, layer, message),
            None => ledger.fault(place, &format!("there are no rows for CLC message {code}")),
        }
    }
}

const CLC: &str = "smc.clc_msg";
const LINK: &str = "smc.llc_msg";

fn code<'s>(layer: &'s ShownLayer, field: &str) -> Option<&'s str> {
    layer.get(field)?.first().map(String::as_str)
}

/// The messages on a link that tshark shows, with their first octets.
fn link_messages(shown: &ShownFrame) -> impl Iterator<Item = (u64, &ShownLayer)> {
    let number = |text: &str| Form::Number.of_shown(text)?.parse().ok();
    shown.layers("smc").iter().filter_map(move |layer| Some((number(code(layer, LINK)?)?, layer)))
}

fn cdc(ledger: &mut Ledger, place: &str, shown: &ShownFrame, ours: &Value) {
    let theirs: Vec<_> = link_messages(shown).collect();
    match (theirs.as_slice(), ours.get("cdc")) {
        ([], None) => {}
        ([(CDC_TYPE, layer)], Some(message)) => link_message(ledger, place, CDC_TYPE, layer, (message, ours)),
        (theirs, we) => {
            let what = format!(
                "tshark shows {} message(s) on the link, and we show CDC {}",
                theirs.len(),
                we.is_some()
            );
            ledger.fault(place, &what);
        }
    }
}

fn llc(ledger: &mut Ledger, place: &str, shown: &ShownFrame, ours: &Value) {
    let theirs: Vec<_> = link_messages(shown).filter(|(octet, _)| *octet != CDC_TYPE).collect();
    match (theirs.as_slice(), ours.get("llc")) {
        ([], None) => {}
        ([(octet, layer)], Some(message)) => link_message(ledger, place, *octet, layer, (message, ours)),
        (theirs, we) => {
            let what = format!(
                "tshark shows {} LLC message(s), we show {}",
                theirs.len(),
                usize::from(we.is_some())
            );
            ledger.fault(place, &what);
        }
    }
}

/// Our message, with the kind of the frame as one more field.
fn link_message(
    ledger: &mut Ledger,
    place: &str,
    octet: u64,
    layer: &ShownLayer,
    (message, ours): (&Value, &Value),
) {
    let mut message = message.clone();
    if let (Some(fields), Some(kind)) = (message.as_object_mut(), ours.pointer("/frame/kind")) {
        fields.insert("kind".to_owned(), kind.clone());
    }
    match rows_link::group_of(octet) {
        Some(group) => ledger.compare(place, group, layer, &message),
        None => ledger.fault(place, &format!("there are no rows for LLC message {octet:#04x}")),
    }
}
