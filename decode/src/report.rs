//! What is said about one frame, as a line for people and an object for
//! machines.

use serde_json::{Map, Value};

/// Named values of a layer, in the order of the wire.
pub type Fields = Map<String, Value>;

/// Puts a list of `name => value` into [`Fields`].
macro_rules! fields {
    ($($name:literal => $value:expr),* $(,)?) => {{
        #[allow(unused_mut)]
        let mut fields = $crate::report::Fields::new();
        $( fields.insert($name.to_owned(), ::serde_json::Value::from($value)); )*
        fields
    }};
}
pub(crate) use fields;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Kind {
    /// A SYN or SYN-ACK with the SMC option.
    TcpOption,
    /// At least one CLC message ends in this segment.
    Clc,
    /// Any other TCP segment.
    Tcp,
    /// A SEND with an LLC message, or a packet of one.
    Llc,
    /// A SEND with a CDC message.
    Cdc,
    /// A packet of an RDMA WRITE.
    RdmaWrite,
    /// A packet of an RDMA READ, request or response.
    RdmaRead,
    /// A SEND that is neither LLC nor CDC, on a queue pair SMC does not own.
    Send,
    /// An ACK.
    Ack,
    /// A NAK, RNR or other.
    Nak,
    /// Another RoCE packet.
    Roce,
    /// UDP to another port.
    Udp,
    /// ICMP or `ICMPv6`.
    Icmp,
    /// ARP.
    Arp,
    /// Another IP protocol, or an IP fragment.
    Ip,
    /// Another Ethernet type.
    Ethernet,
    /// Not understood: a message type or format that the fact sheets do not know.
    Unknown,
    /// Breaks a rule; [`FrameReport::protocol`] says what it is apart from that.
    Violation,
}

impl Kind {
    /// As it stands in the output.
    pub fn name(self) -> &'static str {
        match self {
            Self::TcpOption => "tcp-option",
            Self::Clc => "clc",
            Self::Tcp => "tcp",
            Self::Llc => "llc",
            Self::Cdc => "cdc",
            Self::RdmaWrite => "rdma-write",
            Self::RdmaRead => "rdma-read",
            Self::Send => "send",
            Self::Ack => "ack",
            Self::Nak => "nak",
            Self::Roce => "roce",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
            Self::Arp => "arp",
            Self::Ip => "ip",
            Self::Ethernet => "ethernet",
            Self::Unknown => "unknown",
            Self::Violation => "violation",
        }
    }
}

/// Where a frame belongs; what is not known is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// The TCP connection, counted from 1.
    pub connection: Option<u32>,
    /// The link group, counted from 1.
    pub group: Option<u32>,
    /// The link's number in its group, "?" before CONFIRM LINK.
    pub link: Option<String>,
    /// Which way: "client>server" or "server>client".
    pub direction: Option<&'static str>,
    /// The queue pair the packet goes to.
    pub qp: Option<u32>,
    /// The alert token of a CDC message.
    pub token: Option<u32>,
    /// The RMB a WRITE goes to, and the offset in it.
    pub rmb: Option<String>,
}

/// Whether the ICRC is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icrc {
    /// Computed and equal.
    Good,
    /// Computed and different.
    Bad,
    /// Not all octets were captured.
    Unchecked,
}

impl Icrc {
    /// As it stands in the output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Unchecked => "unchecked",
        }
    }
}

/// Everything said about one frame.
#[derive(Clone, Debug)]
pub struct FrameReport {
    /// Counts from 1.
    pub number: u64,
    /// Nanoseconds since the first frame.
    pub time_ns: u64,
    /// Length on the wire in octets.
    pub len: usize,
    /// Not all of it was captured.
    pub cut: bool,
    /// What it is, rule violations apart.
    pub protocol: Kind,
    /// From where to where.
    pub route: String,
    /// One line.
    pub summary: String,
    /// Where it belongs.
    pub context: Context,
    /// Of a RoCE packet.
    pub icrc: Option<Icrc>,
    /// Facts that are no violations: retransmission, gap, stale.
    pub facts: Vec<String>,
    /// Rules it breaks.
    pub violations: Vec<String>,
    /// All fields, by layer.
    pub layers: Fields,
}

impl FrameReport {
    /// An empty report for the frame with this number.
    pub fn new(number: u64, time_ns: u64, len: usize, cut: bool) -> Self {
        Self {
            number,
            time_ns,
            len,
            cut,
            protocol: Kind::Ethernet,
            route: String::new(),
            summary: String::new(),
            context: Context::default(),
            icrc: None,
            facts: Vec::new(),
            violations: Vec::new(),
            layers: Fields::new(),
        }
    }

    /// What the frame is: [`Kind::Violation`] if it breaks a rule.
    pub fn kind(&self) -> Kind {
        if self.violations.is_empty() { self.protocol } else { Kind::Violation }
    }

    /// Adds `text` to the summary.
    pub fn say(&mut self, text: &str) {
        if !self.summary.is_empty() {
            self.summary.push_str("; ");
        }
        self.summary.push_str(text);
    }

    /// One line for people.
    pub fn to_line(&self) -> String {
        let mut line = format!(
            "{:>5} {:>11} {:<10} {} {}",
            self.number,
            seconds(self.time_ns),
            self.kind().name(),
            self.route,
            self.summary
        );
        let context = self.context_words();
        if !context.is_empty() {
            line.push_str(&format!("  [{}]", context.join(" ")));
        }
        match self.icrc {
            Some(Icrc::Bad) => line.push_str("  ICRC BAD"),
            Some(Icrc::Unchecked) => line.push_str("  (cut, ICRC unchecked)"),
            None if self.cut => line.push_str("  (cut)"),
            _ => {}
        }
        for fact in &self.facts {
            line.push_str(&format!("  ({fact})"));
        }
        for violation in &self.violations {
            line.push_str(&format!("  VIOLATION: {violation}"));
        }
        line
    }

    fn context_words(&self) -> Vec<String> {
        let c = &self.context;
        [
            c.connection.map(|id| format!("conn {id}")),
            c.group.map(|id| format!("group {id}")),
            c.link.as_ref().map(|number| format!("link {number}")),
            c.rmb.clone(),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// All fields, one per line and indented, for people.
    pub fn to_verbose(&self) -> String {
        let mut out = String::new();
        for (layer, value) in &self.layers {
            write_indented(&mut out, layer, value, 1);
        }
        out
    }

    /// One object for machines.
    pub fn to_json(&self) -> Value {
        let c = &self.context;
        let mut object = fields! {
            "kind" => self.kind().name(),
            "frame" => self.number,
            "time" => self.time_ns as f64 / 1e9,
            "len" => self.len,
            "cut" => self.cut,
        };
        if self.kind() != self.protocol {
            object.insert("protocol".to_owned(), self.protocol.name().into());
        }
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                object.insert(name.to_owned(), value);
            }
        };
        put("connection", c.connection.map(Value::from));
        put("group", c.group.map(Value::from));
        put("link", c.link.clone().map(Value::from));
        put("direction", c.direction.map(Value::from));
        put("qp", c.qp.map(Value::from));
        put("token", c.token.map(Value::from));
        put("rmb", c.rmb.clone().map(Value::from));
        put("icrc", self.icrc.map(|icrc| icrc.name().into()));
        put("summary", Some(self.summary.clone().into()));
        put("facts", (!self.facts.is_empty()).then(|| self.facts.clone().into()));
        put("violations", (!self.violations.is_empty()).then(|| self.violations.clone().into()));
        put("layers", Some(self.layers.clone().into()));
        Value::Object(object)
    }
}

/// `time_ns` as seconds with six decimals.
pub(crate) fn seconds(time_ns: u64) -> String {
    format!("{}.{:06}", time_ns / 1_000_000_000, time_ns % 1_000_000_000 / 1000)
}

fn write_indented(out: &mut String, name: &str, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth + 2);
    match value {
        Value::Object(fields) => {
            out.push_str(&format!("{indent}{name}\n"));
            for (name, value) in fields {
                write_indented(out, name, value, depth + 1);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for item in items {
                write_indented(out, name, item, depth);
            }
        }
        Value::String(text) => out.push_str(&format!("{indent}{name}: {text}\n")),
        other => out.push_str(&format!("{indent}{name}: {other}\n")),
    }
}
