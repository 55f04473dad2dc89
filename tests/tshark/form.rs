//! How a value is written: the same value in tshark's and in our own words
//! becomes the same text.

use std::net::IpAddr;

use serde_json::Value;

/// What the text of a field stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A number, decimal or after `0x`; a flag is 0 or 1.
    Number,
    /// An IPv4 or IPv6 address; an IPv4 one may be mapped into IPv6.
    Address,
    /// Octets in hex, with or without colons.
    Octets,
    /// Characters, padded with blanks at the end.
    Text,
    /// Eight octets: a number, or instance and MAC address around an `@`.
    PeerId,
    /// Seconds with up to nine decimals, or a count of nanoseconds.
    Time,
}

impl Form {
    /// The one way to write what tshark shows as `text`; `None` if `text` has
    /// not this form.
    pub(crate) fn of_shown(self, text: &str) -> Option<String> {
        match self {
            Self::Time => nanoseconds(text),
            _ => self.of_text(text),
        }
    }

    /// The one way to write our `value`.
    pub(crate) fn of_ours(self, value: &Value) -> Option<String> {
        match value {
            Value::Bool(set) => Some(u8::from(*set).to_string()),
            Value::Number(n) => Some(n.to_string()),
            Value::String(text) => self.of_text(text),
            _ => None,
        }
    }

    fn of_text(self, text: &str) -> Option<String> {
        match self {
            Self::Number | Self::Time => number(text).map(|n| n.to_string()),
            Self::Address => text.parse::<IpAddr>().ok().map(|address| address.to_canonical().to_string()),
            Self::Octets => octets(text),
            Self::Text => Some(text.trim_end().to_owned()),
            Self::PeerId => match text.split_once('@') {
                Some((instance, mac)) => octets(&format!("{instance}{mac}")),
                None => number(text).map(|n| format!("{n:016x}")),
            },
        }
    }
}

fn number(text: &str) -> Option<u64> {
    match (text, text.strip_prefix("0x")) {
        ("True", _) => Some(1),
        ("False", _) => Some(0),
        (_, Some(hex)) => u64::from_str_radix(hex, 16).ok(),
        _ => text.parse().ok(),
    }
}

fn octets(text: &str) -> Option<String> {
    let hex: String = text.chars().filter(|&c| c != ':').collect();
    let whole = hex.len().is_multiple_of(2) && hex.chars().all(|c| c.is_ascii_hexdigit());
    whole.then(|| hex.to_ascii_lowercase())
}

fn nanoseconds(text: &str) -> Option<String> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction: u64 = format!("{fraction:0<9}").parse().ok()?;
    let seconds: u64 = seconds.parse().ok()?;
    Some((seconds * 1_000_000_000 + fraction).to_string())
}
