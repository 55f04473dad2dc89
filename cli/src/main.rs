//! The `smolsmc` command: tools around the user-space SMC-R stack.

mod address;
mod check;
mod conform;
mod control;
mod decode;
mod demo;
mod devices;
mod echo;
mod ladder;
mod nc;
mod node;
mod observe;
mod pattern;
mod perf;
mod ping;
mod proxy;
mod reach;
mod relay;
mod rtt;
mod witness;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

/// Tools around smolsmc, the user-space SMC-R stack.
#[derive(Parser)]
#[command(
    version,
    arg_required_else_help = true,
    after_help = "\
Examples:
  smolsmc demo                             two hosts, SMC-R and fallback, with no set-up
  smolsmc echo 5000 --link unix-listen:/tmp/cable --ip 10.9.0.1/24
  smolsmc ping 10.9.0.1:5000 --link unix:/tmp/cable --ip 10.9.0.2/24
  tar c . | smolsmc nc 10.9.0.1 5000 --link unix:/tmp/cable --ip 10.9.0.2/24
  smolsmc proxy --to-smc 6379=10.9.0.1:6379 --link unix:/tmp/cable --ip 10.9.0.2/24
  smolsmc check 10.9.0.1:5000 --link tap:tap0 --ip 10.9.0.2/24
  smolsmc perf --html perf.html            how fast it is, beside kernel TCP and raw verbs
  smolsmc decode capture.pcap              explain every frame, one line each
  smolsmc decode --json capture.pcap | jq 'select(.kind == \"clc\")'
  smolsmc help decode                      everything about one command"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Arguments),
    Echo(echo::Arguments),
    Ping(ping::Arguments),
    Nc(nc::Arguments),
    Proxy(proxy::Arguments),
    Check(check::Arguments),
    Conform(conform::Arguments),
    Ss(observe::SsArguments),
    Stats(observe::StatsArguments),
    Decode(decode::Arguments),
    Devices(devices::Arguments),
    Perf(perf::Arguments),
}

/// The exit status for arguments that make no sense.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error),
    };
    let result = match arguments.command {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Echo(arguments) => echo::run(&arguments),
        Command::Ping(arguments) => ping::run(&arguments),
        Command::Nc(arguments) => nc::run(&arguments),
        Command::Proxy(arguments) => proxy::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Conform(arguments) => conform::run(&arguments),
        Command::Ss(arguments) => observe::ss(&arguments),
        Command::Stats(arguments) => observe::stats(&arguments),
        Command::Decode(arguments) => decode::run(&arguments),
        Command::Devices(arguments) => devices::run(&arguments),
        Command::Perf(arguments) => perf::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("smolsmc: {sentence}");
            ExitCode::FAILURE
        }
    }
}

/// Help is shown in full; what makes no sense gets one sentence, as every other
/// error does.
fn refuse(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => error.exit(),
        _ => {
            let text = error.to_string();
            let sentence: Vec<_> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
            eprintln!("smolsmc: {}", sentence.join(" ").trim_start_matches("error: "));
            ExitCode::from(USAGE)
        }
    }
}
