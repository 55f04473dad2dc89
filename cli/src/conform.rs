//! `smolsmc conform`: scenarios and hostile cases against any SMC peer.

mod cases;
mod hostile;
mod lab;

use std::net::SocketAddr;

use clap::Args;
use serde_json::json;

use crate::address;
use crate::node::NodeArguments;
use cases::{CASES, Case};
use lab::Lab;

/// Try an SMC peer: scenarios that must work, and hostile ones that must do no
/// harm
///
/// The peer runs an agent that any language has: an echo, which sends back what
/// it receives and closes when it has sent back all before the end of the stream;
/// and, if it can, a sink on another port, which receives to the end and then
/// closes. Our own is `smolsmc echo 5000 --sink 5001`. On Linux:
///
///   smc_run socat -t 60 TCP-LISTEN:5000,fork,reuseaddr EXEC:cat
///
///   smc_run socat -u TCP-LISTEN:5001,fork,reuseaddr OPEN:/dev/null
#[derive(Args)]
#[command(after_help = "\
Examples:
  smolsmc conform 10.9.0.1:5000 --sink 5001 --link tap:tap0 --ip 10.9.0.2/24 --eid MYEID
  smolsmc conform --list
  smolsmc conform 10.9.0.1:5000 --only half-close --link unix:/tmp/cable --ip 10.9.0.2/24 --pcap half.pcap
  smolsmc conform 10.9.0.1:5000 --link unix:/tmp/cable --ip 10.9.0.2/24 --json | jq 'select(.pass == false)'

Over an RDMA device (--rdma ibverbs:DEVICE) cases are skipped that damage RoCE
frames or listen to them: such a device makes them by itself.

In every case that is not hostile, each frame of the peer is checked against the
rules that smolsmc decode knows. The exit status is 0 if no case failed, else 1.")]
pub(crate) struct Arguments {
    /// The address and port of the peer's echo
    #[arg(value_name = "HOST:PORT", value_parser = address::host_and_port, required_unless_present = "list")]
    remote: Option<SocketAddr>,

    /// The port of the peer's sink; without one its cases are skipped
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    sink: Option<u16>,

    /// Only the cases with this in their name; may be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,

    /// Names the cases, and does nothing
    #[arg(long, exclusive = true)]
    list: bool,

    /// Seconds to wait for anything
    #[arg(long, value_name = "S", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=3600))]
    timeout: u32,

    #[command(flatten)]
    node: Option<NodeArguments>,
}

/// Runs the command; an error is one sentence.
pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let wanted = |case: &Case| {
        arguments.only.is_empty() || arguments.only.iter().any(|part| case.name.contains(part.as_str()))
    };
    let cases: Vec<_> = CASES.iter().filter(|case| wanted(case)).collect();
    if cases.is_empty() {
        return Err("no case has such a name: smolsmc conform --list".to_owned());
    }
    if arguments.list {
        for case in cases {
            println!("{:<24} {}", case.name, case.about);
        }
        return Ok(());
    }
    let (Some(remote), Some(node)) = (arguments.remote, &arguments.node) else {
        return Err("--link and --ip are wanted".to_owned());
    };
    node.ensure_replaceable()?;
    let mut lab = Lab::new(node, remote, arguments.sink, arguments.timeout)?;
    let (mut passed, mut failed, mut skipped) = (0, Vec::new(), 0);
    for case in cases {
        if lab.node.is_stopped() {
            return Err("interrupted".to_owned());
        }
        if let Some(sentence) = lab.node.ports_ended() {
            return Err(sentence);
        }
        let is_deaf = case.needs_roce && !node.has_roce_frames();
        if is_deaf || (case.needs_sink && arguments.sink.is_none()) {
            skipped += 1;
            tell(node.json, case, 0.0, "skipped", None);
            continue;
        }
        let before = lab.node.clock().nanos();
        let result = lab.play(case);
        let seconds = (lab.node.clock().nanos() - before) as f64 / 1e9;
        match &result {
            Ok(()) => passed += 1,
            Err(_) => failed.push(case.name),
        }
        let verdict = if result.is_ok() { "pass" } else { "FAIL" };
        tell(node.json, case, seconds, verdict, result.as_ref().err());
    }
    lab.node.leave()?;
    let count = failed.len();
    if node.json {
        println!("{}", json!({ "kind": "conform", "passed": passed, "failed": count, "skipped": skipped }));
    } else {
        println!("{passed} passed, {count} failed, {skipped} skipped");
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
}

fn tell(json: bool, case: &Case, seconds: f64, verdict: &str, error: Option<&String>) {
    if json {
        let pass = match verdict {
            "pass" => Some(true),
            "skipped" => None,
            _ => Some(false),
        };
        let object = json!({
            "kind": "case", "name": case.name, "hostile": case.is_hostile, "pass": pass,
            "seconds": seconds, "error": error, "about": case.about,
        });
        println!("{object}");
    } else {
        println!(
            "{verdict:<8} {:<24} {seconds:>7.2} s  {}",
            case.name,
            error.map_or(case.about, String::as_str)
        );
    }
}
