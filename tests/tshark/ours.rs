//! What our own decoder says of a capture.

use std::path::Path;

use serde_json::{Value, json};
use smolsmc_decode::Dissector;
use smolsmc_tests::vectors::each_frame;

/// All frames of the capture in `path`: their layers as in the decoder's JSON,
/// and a layer `frame` made of what the capture says about them.
pub(crate) fn explain(path: &Path) -> Vec<Value> {
    let mut dissector = Dissector::new();
    let mut frames = Vec::new();
    each_frame(path, |frame| {
        let report = dissector.frame(frame);
        let mut layers = report.layers.clone();
        let about = json!({
            "number": report.number, "kind": report.protocol.name(), "len": report.len,
            "captured_len": frame.octets.len(), "time_ns": frame.time_ns, "since_first_ns": report.time_ns,
        });
        layers.insert("frame".to_owned(), about);
        frames.push(layers.into());
    });
    frames
}

/// The CLC messages of a frame.
pub(crate) fn clc_messages(layers: &Value) -> Vec<&Value> {
    match layers.get("clc") {
        None => Vec::new(),
        Some(Value::Array(several)) => several.iter().collect(),
        Some(one) => vec![one],
    }
}

/// A number of `message`; a flag counts as 0 or 1.
pub(crate) fn number(message: &Value, pointer: &str) -> Option<u64> {
    match message.pointer(pointer)? {
        Value::Bool(set) => Some(u64::from(*set)),
        other => other.as_u64(),
    }
}

/// The same with every value changed and every list made longer.
pub(crate) fn spoil(value: &Value) -> Value {
    match value {
        Value::Bool(set) => (!set).into(),
        Value::Number(n) => n.as_u64().map_or(Value::Null, |n| (!n).into()),
        Value::String(text) => format!("{text}?").into(),
        Value::Array(several) => {
            let last = several.last().cloned();
            several.iter().map(spoil).chain(last).collect()
        }
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), spoil(value))).collect(),
        Value::Null => Value::Null,
    }
}
