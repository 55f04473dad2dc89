//! Boots Linux guests and runs scenarios against them:
//! `cargo run --release --example linux-peer`.

use std::process::ExitCode;

use clap::Parser;
use smolsmc_linux_peer::{Options, Summary, hold, ibv, linux_to_linux, ours, run};

/// Runs SMC scenarios against real Linux kernels in QEMU. Needs Debian's apt the
/// first time; the kernel is kept under target/linux-peer, or in the folder
/// that SMOLSMC_LINUX_PEER_DIR names.
#[derive(Parser)]
struct Arguments {
    /// Only list the scenarios.
    #[arg(long)]
    list: bool,
    /// Only scenarios whose name begins so; may be given several times.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Keep captures and logs of scenarios that pass, too.
    #[arg(long)]
    keep: bool,
    /// One JSON object on standard output in place of the table.
    #[arg(long)]
    json: bool,
    /// Fetch the newest kernel even if one is kept.
    #[arg(long)]
    fetch: bool,
    /// Run nothing: boot one guest with an SMC echo, say how to reach it, and wait.
    #[arg(long)]
    hold: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.hold {
        return match hold(arguments.fetch, |line| println!("{line}")) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::from(2)
            }
        };
    }
    let mut scenarios = ours();
    scenarios.extend(linux_to_linux());
    scenarios.extend(ibv());
    if arguments.list {
        scenarios.iter().for_each(|scenario| println!("{:28} {}", scenario.name(), scenario.role()));
        return ExitCode::SUCCESS;
    }
    let options = Options { only: arguments.only, keep: arguments.keep, fresh_kernel: arguments.fetch };
    let summary = match run(&scenarios, &options, |line| eprintln!("{line}")) {
        Ok(summary) => summary,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    if arguments.json {
        match serde_json::to_string_pretty(&summary) {
            Ok(text) => println!("{text}"),
            Err(error) => eprintln!("{error}"),
        }
    } else {
        print_table(&summary);
    }
    if summary.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print_table(summary: &Summary) {
    println!("\n{:28} {:12} {:6} {:>7}  transport", "scenario", "role", "result", "seconds");
    for outcome in &summary.scenarios {
        let result = if outcome.passed { "pass" } else { "FAIL" };
        let (name, role) = (&outcome.scenario, &outcome.role);
        println!("{name:28} {role:12} {result:6} {:7.2}  {}", outcome.seconds, outcome.transport);
    }
    let boots: Vec<_> = summary.boots.iter().map(|boot| format!("{boot:.1}")).collect();
    println!("\nLinux {} ({})", summary.kernel, summary.package);
    println!("boots {} s, all {:.1} s", boots.join(" + "), summary.seconds);
    let passed = summary.scenarios.iter().filter(|outcome| outcome.passed).count();
    println!("{passed} passed, {} failed", summary.scenarios.len() - passed);
}
