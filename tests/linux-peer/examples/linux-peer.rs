//! Boots Linux guests and runs scenarios against them:
//! `cargo run --release --example linux-peer`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use smolsmc_linux_peer::{
    LatencyOptions, Options, Series, Summary, hold, ibv, latency, linux_to_linux, ours, run, table,
};

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
    /// All scenarios, those that take long too.
    #[arg(long)]
    full: bool,
    /// Keep captures and logs of scenarios that pass, too.
    #[arg(long)]
    keep: bool,
    /// One JSON object on standard output in place of the table.
    #[arg(long)]
    json: bool,
    /// Write the results there too, as a page in Markdown: docs/interop.md.
    #[arg(long, value_name = "FILE")]
    table: Option<PathBuf>,
    /// Which Linux; against 6.1 only what holds there is run.
    #[arg(long, value_name = "SERIES", default_value = "6.12", value_parser = ["6.12", "6.1"])]
    kernel: String,
    /// Fetch the newest kernel even if one is kept.
    #[arg(long)]
    fetch: bool,
    /// Run nothing: boot one guest with an SMC echo, say how to reach it, and wait.
    #[arg(long)]
    hold: bool,
    /// Run no scenario: measure how long messages take between two guests over the
    /// kernel's TCP and SMC-R, rsockets, bare verbs and our stack; as Markdown.
    #[arg(long)]
    latency: bool,
    /// For --latency: times that each line is measured.
    #[arg(long, value_name = "N", default_value_t = 9)]
    blocks: u32,
    /// For --latency: messages of each kind there and back in a block.
    #[arg(long, value_name = "N", default_value_t = 300)]
    rounds: u32,
    /// For --latency: write a page with plots there too.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
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
    if arguments.latency {
        return measure(&arguments);
    }
    let mut scenarios = ours();
    scenarios.extend(linux_to_linux());
    scenarios.extend(ibv());
    if arguments.list {
        for scenario in &scenarios {
            let when = match (scenario.is_elsewhere(), scenario.is_slow()) {
                (true, _) => ", with --kernel 6.1",
                (false, true) => ", with --full",
                (false, false) => "",
            };
            println!("{:32} {}{when}", scenario.name(), scenario.role());
        }
        return ExitCode::SUCCESS;
    }
    let Arguments { only, full, keep, fetch, .. } = arguments;
    let series = if arguments.kernel == "6.1" { Series::V6_1 } else { Series::V6_12 };
    let options = Options { only, full, keep, series, fresh_kernel: fetch };
    let summary = match run(&scenarios, &options, |line| eprintln!("{line}")) {
        Ok(summary) => summary,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    if let Some(file) = &arguments.table
        && let Err(error) = std::fs::write(file, table(&summary))
    {
        eprintln!("{}: {error}", file.display());
        return ExitCode::from(2);
    }
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

fn measure(arguments: &Arguments) -> ExitCode {
    let options = LatencyOptions { blocks: arguments.blocks.max(1), rounds: arguments.rounds.max(1) };
    let found = latency(options, |line| eprintln!("{line}"));
    let written = found.map_err(|error| error.to_string()).and_then(|found| {
        println!("{}", found.markdown());
        let Some(file) = &arguments.html else { return Ok(()) };
        std::fs::write(file, found.html()).map_err(|error| format!("{}: {error}", file.display()))
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("{sentence}");
            ExitCode::from(2)
        }
    }
}

fn print_table(summary: &Summary) {
    println!("\n{:32} {:12} {:6} {:>7}  transport", "scenario", "role", "result", "seconds");
    for outcome in &summary.scenarios {
        let result = if outcome.passed { "pass" } else { "FAIL" };
        let (name, role) = (&outcome.scenario, &outcome.role);
        println!(
            "{name:32} {role:12} {result:6} {:7.2}  {}",
            outcome.seconds,
            outcome.transport.replace('\n', "\n    ")
        );
    }
    let boots: Vec<_> = summary.boots.iter().map(|boot| format!("{boot:.1}")).collect();
    println!("\nLinux {} ({})", summary.kernel, summary.package);
    println!("boots {} s, all {:.1} s", boots.join(" + "), summary.seconds);
    let passed = summary.scenarios.iter().filter(|outcome| outcome.passed).count();
    println!("{passed} passed, {} failed", summary.scenarios.len() - passed);
}
