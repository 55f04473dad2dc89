//! The `smolsmc` command: tools around the user-space SMC-R stack.

mod decode;
mod ladder;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tools around smolsmc, the user-space SMC-R stack.
#[derive(Parser)]
#[command(
    version,
    arg_required_else_help = true,
    after_help = "\
Examples:
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
    Decode(decode::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Decode(arguments) => decode::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("smolsmc: {sentence}");
            ExitCode::FAILURE
        }
    }
}
