//! Scenarios with our provider over libibverbs in a guest, on rxe: the contract's
//! suite, and our stack against the kernel's SMC in the other guest.

mod command;
mod ending;
mod peer;
mod removal;

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::protocol::{Handle, Ran, Request};
use crate::scenario::{Scenario, Stage, ensure};
use crate::{Guest, Result};

/// How the names of these scenarios begin.
const PREFIX: &str = "ibv-";

const CONFORMANCE: &str = "ibv-conformance";

/// Whether a scenario needs our programs in the guest.
pub(crate) fn is_one(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// Whether a scenario lets requests fail on purpose, which the kernel logs.
pub(crate) fn provokes_errors(name: &str) -> bool {
    name == CONFORMANCE
}

/// All of them.
#[must_use]
pub fn scenarios() -> Vec<Scenario> {
    let (client, server) = ("ibv client", "ibv server");
    let mut list = vec![
        Scenario::alone(CONFORMANCE, "provider", conformance)
            .within(Duration::from_secs(1800))
            .spoils_guests(),
        Scenario::alone("ibv-devices", "smolsmc devices", devices).spoils_guests(),
        Scenario::alone("ibv-refusals", "smolsmc", command::refusals),
        Scenario::pair("ibv-ping", "smolsmc ping", command::ping),
        Scenario::pair("ibv-echo", "smolsmc echo", command::echo),
        Scenario::pair("ibv-two-devices-ping", "smolsmc ping", command::ping_over_two).with_nics(2),
        Scenario::pair("ibv-two-devices-echo", "smolsmc echo", command::echo_over_two).with_nics(2),
        Scenario::pair("ibv-check", "smolsmc check", command::check).slow(),
        Scenario::pair("ibv-tool-conform", "smolsmc conform", command::conform)
            .within(Duration::from_secs(600))
            .spoils_guests()
            .slow(),
        Scenario::pair("ibv-client", client, peer::client),
        Scenario::pair("ibv-server", server, peer::server),
        Scenario::pair("ibv-bulk-client", client, peer::bulk_client),
        Scenario::pair("ibv-bulk-server", server, peer::bulk_server),
        Scenario::pair("ibv-half-close", client, peer::half_close),
        Scenario::pair("ibv-half-close-theirs", server, peer::half_close_theirs),
        Scenario::pair("ibv-fallback-client", client, peer::fallback_client).slow(),
        Scenario::pair("ibv-fallback-server", server, peer::fallback_server).slow(),
        Scenario::pair("ibv-abort", client, ending::abort),
        Scenario::pair("ibv-300-connections", client, peer::many).within(Duration::from_secs(600)).slow(),
        Scenario::pair("ibv-no-leak", client, ending::no_leak).within(Duration::from_secs(1200)).slow(),
        Scenario::pair("ibv-device-removed", client, ending::device_removed).spoils_guests(),
        Scenario::pair("ibv-peer-dies", client, ending::peer_dies).spoils_guests().slow(),
    ];
    list.extend(removal::scenarios());
    list
}

impl Guest {
    /// Lets its NICs hand up frames to a MAC that is not their own.
    pub(crate) fn let_foreign_frames_in(&self) -> Result<()> {
        /// Linux's `IFF_PROMISC`.
        const PROMISCUOUS: u32 = 0x100;
        (0..self.nic_count()).try_for_each(|nic| {
            let path = format!("/sys/class/net/eth{nic}/flags");
            let flags: String = self.ask(Request::ReadFile { path: path.clone() })?;
            let flags = u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).unwrap_or(0);
            let text = format!("{:#x}", flags | PROMISCUOUS);
            self.ask(Request::WriteFile { path, text })
        })
    }

    /// Starts a program.
    pub(crate) fn begin_program(&self, program: &str, arguments: &[&str]) -> Result<Handle> {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        self.ask(Request::BeginProgram { program: program.to_owned(), arguments })
    }

    /// Waits for the end of a program, which is killed if it takes longer.
    pub(crate) fn await_program(&self, handle: Handle, seconds: u64) -> Result<Ran> {
        let request = Request::AwaitProgram { handle, seconds: seconds as f64 };
        self.ask_within(Duration::from_secs(seconds + 20), request)
    }

    /// A second rxe device, on a network device that leads nowhere.
    fn second_rxe(&self) -> Result<()> {
        let nic = || "dummy0".to_owned();
        let address = Ipv4Addr::new(10, 77, 0, 1);
        let _: () = self.ask(Request::LinkState { nic: "lo".to_owned(), up: true })?;
        let _: () = self.ask(Request::AddAddress { nic: nic(), address, prefix: 24 })?;
        let _: () = self.ask(Request::LinkState { nic: nic(), up: true })?;
        self.ask(Request::AddRxe { name: "rxe1".to_owned(), nic: nic() })
    }
}

/// The conformance suite of `verbs`, on two rxe devices that talk to themselves.
fn conformance(stage: &Stage<'_>) -> Result<String> {
    let guest = stage.guest(0)?;
    guest.second_rxe()?;
    let program = guest.begin_program("/bin/ibv-conformance", &["--control", "rxe0", "rxe1"])?;
    let ran = guest.await_program(program, 1700)?;
    let _ = std::fs::write(stage.folder().join("conformance.txt"), &ran.output);
    let failed: Vec<_> = ran.output.lines().filter(|line| line.starts_with("FAIL")).collect();
    ensure(ran.code == Some(0), || {
        format!("exit {:?}: {} | {:?}", ran.code, failed.join(" | "), last(&ran.output))
    })?;
    Ok(format!("ibverbs: {}", last(&ran.output)))
}

/// `smolsmc devices` tells a device that is usable from one that is not, and why.
fn devices(stage: &Stage<'_>) -> Result<String> {
    let guest = stage.guest(0)?;
    guest.second_rxe()?;
    let _: () = guest.ask(Request::LinkState { nic: "dummy0".to_owned(), up: false })?;
    let program = guest.begin_program("/bin/smolsmc", &["devices"])?;
    let ran = guest.await_program(program, 60)?;
    let wanted = [
        "rxe0:1: usable, path MTU 1024",
        "10.9.0.1 RoCEv2 on eth0",
        "not usable: IPv6; SMC-Rv2 needs an IPv4 address",
        "rxe1:1: not usable: the port is down",
    ];
    let missing: Vec<_> = wanted.iter().filter(|line| !ran.output.contains(**line)).collect();
    ensure(ran.code == Some(0) && missing.is_empty(), || format!("{:?} without {missing:?}", ran.output))?;
    Ok("ibverbs: one device of two is usable".to_owned())
}

fn last(output: &str) -> &str {
    output.lines().last().unwrap_or("it said nothing")
}
