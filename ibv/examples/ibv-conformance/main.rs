//! Runs the conformance suite of `verbs` on RDMA devices of this machine, each
//! talking to itself: `ibv-conformance rxe0 rxe1`. Ports are taken down and up
//! where `--control` allows it, which needs root and takes the network device
//! with it; so it is for guests.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a std edge: hardware has its own clock"
)]

mod loopback;
mod rxe;

use std::process::ExitCode;

use clap::Parser;
use smolsmc_ibv::Selector;
use smolsmc_verbs::conformance::{Outcome, cases};
use smolsmc_wire::Duration;

use loopback::Loopback;

/// Runs the conformance suite on RDMA devices that talk to themselves.
#[derive(Parser)]
struct Arguments {
    /// Devices, as DEVICE[:PORT[:GID]]; with a second one, what needs two is run
    /// as well.
    #[arg(required = true, num_args = 1..=2)]
    devices: Vec<Selector>,
    /// Only cases whose name begins so.
    #[arg(long, default_value = "")]
    only: String,
    /// Take the network devices down and up.
    #[arg(long)]
    control: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (mut passed, mut skipped, mut failed, mut known) = (0, 0, 0, 0);
    let all = cases::<Loopback>();
    for case in all.iter().filter(|case| case.name.starts_with(&arguments.only)) {
        let limit = rxe::limit(case.name).filter(|_| loopback::are_rxe(&arguments.devices));
        // Guests run under emulation; what does not come needs no such patience.
        let patience = Duration::from_secs(if limit.is_some() { 5 } else { 60 });
        let mut rig = match Loopback::new(&arguments.devices, arguments.control, patience) {
            Ok(rig) => rig,
            Err(sentence) => {
                eprintln!("{sentence}");
                return ExitCode::from(2);
            }
        };
        let start = std::time::Instant::now();
        let outcome = case.run(&mut rig);
        let seconds = start.elapsed().as_secs_f64();
        match (outcome, limit) {
            (Outcome::Passed, limit) if limit.is_none_or(|limit| !limit.always) => {
                passed += 1;
                println!("pass {seconds:6.2} s  {}", case.name);
            }
            (Outcome::Passed, limit) => {
                failed += 1;
                let reason = limit.map_or("", |limit| limit.reason);
                println!("FAIL {seconds:6.2} s  {}: passes, though it is said that {reason}", case.name);
            }
            (Outcome::Skipped(lacking), _) => {
                skipped += 1;
                println!("skip            {}: {lacking}{}", case.name, rig.why_not(lacking));
            }
            (Outcome::Failed(failure), Some(limit)) => {
                known += 1;
                println!("rxe  {seconds:6.2} s  {}: {} ({failure})", case.name, limit.reason);
            }
            (Outcome::Failed(failure), None) => {
                failed += 1;
                println!("FAIL {seconds:6.2} s  {failure}");
            }
        }
    }
    println!("{passed} passed, {known} are beyond rxe, {skipped} skipped, {failed} failed");
    if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
