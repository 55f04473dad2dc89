//! What tshark shows of a capture.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use serde_json::{Map, Value};

/// The layers that are compared; of the others only the name is shown.
const LAYERS: &str = "frame eth ip ipv6 udp tcp infiniband smc";

/// The oldest major version that knows SMC-Rv2.
const OLDEST: u32 = 4;

/// A tshark that can be run.
pub(crate) struct Tshark {
    version: String,
}

/// The fields of one layer by name, those of its subtrees included; of a field
/// that occurs more than once all values in order.
pub(crate) type ShownLayer = BTreeMap<String, Vec<String>>;

/// One frame.
pub(crate) struct ShownFrame {
    layers: BTreeMap<String, Vec<ShownLayer>>,
}

impl ShownFrame {
    /// All layers of this protocol, outermost first.
    pub(crate) fn layers(&self, protocol: &str) -> &[ShownLayer] {
        self.layers.get(protocol).map_or(&[], Vec::as_slice)
    }

    /// Whether tshark gave up on the frame.
    pub(crate) fn is_malformed(&self) -> bool {
        self.layers.contains_key("_ws.malformed")
    }
}

impl Tshark {
    /// Looks for tshark on the PATH.
    pub(crate) fn find() -> Result<Self, String> {
        let output = command().arg("--version").output().map_err(|e| match e.kind() {
            ErrorKind::NotFound => "tshark is not on the PATH, and this test is nothing without it: \
                 install it (Debian: apt install tshark) or leave the feature `tshark` off"
                .to_owned(),
            _ => format!("tshark cannot be run: {e}"),
        })?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = text.lines().next().unwrap_or_default().to_owned();
        let major = version.split(|c: char| !c.is_ascii_digit()).find_map(|word| word.parse::<u32>().ok());
        match major {
            Some(major) if major >= OLDEST => Ok(Self { version }),
            _ => Err(format!("tshark {OLDEST}.0 or newer is needed, and this is {version:?}")),
        }
    }

    /// As it calls itself.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// All frames of the capture in `path`.
    pub(crate) fn explain(&self, path: &Path) -> Result<Vec<ShownFrame>, String> {
        let name = path.display();
        let output = command()
            .arg("-n")
            .args(["-o", "tcp.relative_sequence_numbers:FALSE"])
            // The application's port must not decide who explains CLC.
            .args(["-o", "tcp.try_heuristic_first:TRUE"])
            // It takes every LLC message for its own, and calls it malformed.
            .args(["--disable-protocol", "rpcordma"])
            .args(["-T", "json", "--no-duplicate-keys", "-J", LAYERS])
            .arg("-r")
            .arg(path)
            .output()
            .map_err(|e| format!("tshark cannot be run: {e}"))?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            return Err(format!("tshark cannot read {name}: {}", why.trim()));
        }
        let frames: Vec<Value> = serde_json::from_slice(&output.stdout)
            .map_err(|e| format!("what tshark says of {name} is not JSON: {e}"))?;
        frames
            .iter()
            .map(|frame| frame.pointer("/_source/layers").and_then(Value::as_object))
            .map(|layers| layers.map(frame).ok_or_else(|| format!("tshark shows no layers in {name}")))
            .collect()
    }
}

/// tshark, whatever the user's own preferences are.
fn command() -> Command {
    let nobody = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no-preferences");
    let mut command = Command::new("tshark");
    command.env("HOME", &nobody).env("XDG_CONFIG_HOME", &nobody).env("LC_ALL", "C.UTF-8");
    command
}

fn frame(layers: &Map<String, Value>) -> ShownFrame {
    let layers = layers.iter().map(|(protocol, value)| {
        let objects: Vec<_> = match value {
            Value::Array(several) => several.iter().collect(),
            one => vec![one],
        };
        (protocol.clone(), objects.into_iter().map(layer).collect())
    });
    ShownFrame { layers: layers.collect() }
}

fn layer(value: &Value) -> ShownLayer {
    let mut fields = ShownLayer::new();
    collect("", value, &mut fields);
    fields
}

/// Subtrees stand beside the field they belong to; all end up in one map.
fn collect(name: &str, value: &Value, fields: &mut ShownLayer) {
    match value {
        Value::Object(tree) => tree.iter().for_each(|(name, value)| collect(name, value, fields)),
        Value::Array(several) => several.iter().for_each(|value| collect(name, value, fields)),
        Value::String(text) => fields.entry(name.to_owned()).or_default().push(text.clone()),
        other => fields.entry(name.to_owned()).or_default().push(other.to_string()),
    }
}
