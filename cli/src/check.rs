//! `smolsmc check`: does SMC-R work to there, and if not, why not.

mod advice;

use std::net::SocketAddr;
use std::rc::Rc;

use clap::Args;
use serde_json::{Value, json};
use smolsmc::{Duration, Fallback, Transport};

use crate::address;
use crate::node::NodeArguments;
use crate::reach::connect;
use crate::witness::{At, Heard, Witness};

/// See whether SMC-R works to a peer, and if not, why not and what to do
///
/// Makes a connection to whatever listens there, looks on as the two hosts
/// negotiate, and closes it again without having sent an octet.
#[derive(Args)]
#[command(after_help = "\
Examples:
  smolsmc check 10.9.0.1:5000 --link tap:tap0 --ip 10.9.0.2/24 --eid MYEID
  smolsmc check 10.9.0.1:22 --link packet:eth1 --ip 10.9.0.2/24 --timeout 3
  smolsmc check 10.9.0.1:5000 --link unix:/tmp/cable --ip 10.9.0.2/24 --json | jq -r .advice

The exit status is 0 if the connection was SMC-R, else 1.")]
pub(crate) struct Arguments {
    /// The peer's address and a port on which something listens
    #[arg(value_name = "HOST:PORT", value_parser = address::host_and_port)]
    remote: SocketAddr,

    /// Seconds to wait for the connection
    #[arg(long, value_name = "S", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    timeout: u32,

    #[command(flatten)]
    node: NodeArguments,
}

/// Waited for what the peer says on the link after the connection has been
/// settled.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Runs the command; an error is one sentence.
pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let mut node = arguments.node.start()?;
    let witness = Witness::shared(arguments.node.has_roce_frames());
    node.watch(|| Box::new(At(Rc::clone(&witness))));
    let mut options = arguments.node.socket_options();
    // Whether it would be TCP is the question.
    options.strict = false;
    let before = node.clock().nanos();
    let made = connect(&mut node, arguments.remote, options, arguments.timeout);
    let settled = node.clock().nanos() - before;
    let found = match made {
        Ok((socket, transport)) => {
            node.until(LAST_WORDS, |node| node.stack.socket(socket).is_err())?;
            if let Ok(socket) = node.stack.socket(socket) {
                socket.close();
            }
            Ok(transport)
        }
        Err(why) => Err(why),
    };
    node.leave()?;
    let report = Report { arguments, found, settled, heard: &witness.borrow().heard };
    report.print();
    report.verdict()
}

/// What was found.
struct Report<'a> {
    arguments: &'a Arguments,
    found: Result<Transport, String>,
    /// Nanoseconds until it was known.
    settled: u64,
    heard: &'a Heard,
}

impl Report<'_> {
    fn eids(&self) -> String {
        let eids: Vec<_> = self.arguments.node.eid.iter().map(ToString::to_string).collect();
        eids.join(", ")
    }

    fn verdict(&self) -> Result<(), String> {
        let remote = self.arguments.remote;
        match &self.found {
            Ok(Transport::SmcR { .. }) => Ok(()),
            Ok(transport) => Err(format!("{remote} is reached, but not by SMC-R: {transport}")),
            Err(why) => Err(format!("{remote} is not reached: {why}")),
        }
    }

    fn advice(&self) -> Option<String> {
        match &self.found {
            Ok(Transport::Tcp(fallback)) => Some(advice::advice(*fallback, self.heard, &self.eids())),
            Ok(_) => None,
            Err(why) => Some(advice::unreached(why, &self.arguments.remote.ip().to_string(), self.heard)),
        }
    }

    /// What is known, by name, in the order it is shown.
    fn facts(&self) -> Vec<(&'static str, String)> {
        let heard = self.heard;
        let mut facts = Vec::new();
        if let Some(accept) = heard.clc("Accept", true) {
            let field = |name: &str| accept.field(name);
            facts.push(("version", format!("2.{}", field("release"))));
            facts.push(("enterprise id", format!("{} (ours: {})", field("eid"), self.eids())));
            facts.push(("peer id", field("peer_id")));
            let name = field("host_name");
            let name = if name.is_empty() { String::new() } else { format!(", host name {name}") };
            facts.push(("peer", format!("{}{name}", field("os_name"))));
            facts.push(("RoCE GID", field("gid")));
            facts.push(("RDMA MTU", mtu(accept.fields.get("mtu_code"))));
            facts.push(("peer's RMB", format!("{} KiB", kib(accept.fields.get("rmbe_size")))));
            facts.push((
                "link group",
                format!("{} connections, {} links at most", field("max_conns"), field("max_links")),
            ));
        }
        if let Some(proposal) = heard.clc("Proposal", false) {
            facts.push(("we proposed", proposal.line.clone()));
        }
        if let Some(decline) = heard.clc("Decline", true) {
            facts.push(("peer said", decline.line.clone()));
        }
        if let Some(decline) = heard.clc("Decline", false) {
            facts.push(("we said", decline.line.clone()));
        }
        let option = |has: bool| if has { "with the SMC option" } else { "without the SMC option" };
        facts.extend(heard.syn_ack.map(|has| ("SYN-ACK", option(has).to_owned())));
        if !heard.violations.is_empty() {
            facts.push(("peer broke rules", heard.violations.join("; ")));
        }
        if let (Some(syn), Some(answer)) = (heard.syn_at, heard.syn_ack_at) {
            let all = self.settled / 1000;
            facts.push(("time", format!("TCP {} us, all {all} us", answer.saturating_sub(syn))));
        }
        facts
    }

    fn print(&self) {
        if self.arguments.node.json {
            println!("{}", self.to_json());
            return;
        }
        let remote = self.arguments.remote;
        match &self.found {
            Ok(transport) => println!("{remote}: {transport}"),
            Err(why) => println!("{remote}: no connection: {why}"),
        }
        for (name, value) in self.facts() {
            println!("  {name:<16} {value}");
        }
        if let Some(advice) = self.advice() {
            println!("  {:<16} {advice}", "what to do");
        }
    }

    fn to_json(&self) -> Value {
        let smcr = matches!(self.found, Ok(Transport::SmcR { .. }));
        let Fallback { local, peer } = match self.found {
            Ok(Transport::Tcp(fallback)) => fallback,
            _ => Fallback::default(),
        };
        let code = |code: Option<smolsmc::Diagnosis>| {
            code.map(|code| json!({ "code": format!("{:#010x}", code.0), "text": code.to_string() }))
        };
        let accept = self.heard.clc("Accept", true).map(|accept| accept.fields.clone());
        let field = |name: &str| accept.as_ref().and_then(|accept| accept.get(name)).cloned();
        json!({
            "kind": "check", "remote": self.arguments.remote.to_string(), "reached": self.found.is_ok(),
            "smcr": smcr,
            "transport": self.found.as_ref().ok().map(ToString::to_string),
            "error": self.found.as_ref().err(),
            "version": field("release").filter(|_| smcr).map(|release| format!("2.{release}")),
            "eid": field("eid").filter(|_| smcr), "peer_id": field("peer_id"), "gid": field("gid"),
            "local_reason": code(local), "peer_reason": code(peer),
            "syn_ack_option": self.heard.syn_ack, "accept": accept,
            "violations": self.heard.violations, "micros": self.settled / 1000, "advice": self.advice(),
        })
    }
}

/// An RDMA MTU's code in octets (IBTA: 1 is 256, 5 is 4096).
fn mtu(code: Option<&Value>) -> String {
    match code.and_then(Value::as_u64) {
        Some(code @ 1..=5) => format!("{} octets", 128_u32 << code),
        _ => "unknown".to_owned(),
    }
}

fn kib(octets: Option<&Value>) -> u64 {
    octets.and_then(Value::as_u64).unwrap_or(0) / 1024
}
