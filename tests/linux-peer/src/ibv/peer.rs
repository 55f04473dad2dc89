//! Our stack over libibverbs in guest 0, the kernel's SMC in guest 1.

use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use crate::protocol::{Behaviour, Family, Half, Handle, Request};
use crate::scenario::{Stage, ensure};
use crate::{Error, Guest, Result};

use super::last;

/// Our program in guest 0.
pub(super) struct Ours<'a> {
    pub(super) guest: &'a Guest,
    program: Handle,
}

impl<'a> Ours<'a> {
    /// Starts it, with a port for each NIC. Its first address is
    /// [`Stage::free_address`] with a MAC of its own, beside the kernel's, whose GID
    /// it uses.
    pub(super) fn start(stage: &'a Stage<'_>, arguments: &[&str]) -> Result<Self> {
        let mut all = vec!["--eid".to_owned(), Stage::ueid().to_owned()];
        for nic in 0..stage.guest(0)?.nic_count() {
            let words = ["--rdma", "rxe", "--link", "packet:eth", "--ip"];
            let [rdma, rxe, link, eth, ip] = words.map(str::to_owned);
            all.extend([rdma, format!("{rxe}{nic}"), link, format!("{eth}{nic}"), ip, address(nic)]);
        }
        let all: Vec<_> = all.iter().map(String::as_str).chain(arguments.iter().copied()).collect();
        Self::start_program(stage, "/bin/ibv-peer", &all)
    }

    /// Starts another one of ours.
    pub(super) fn start_program(stage: &'a Stage<'_>, program: &str, arguments: &[&str]) -> Result<Self> {
        let guest = stage.guest(0)?;
        guest.let_foreign_frames_in()?;
        Ok(Self { guest, program: guest.begin_program(program, arguments)? })
    }

    /// Waits until it has said something.
    pub(super) fn said(&self, word: &str, within: Duration) -> Result<()> {
        let start = Instant::now();
        loop {
            let said: String = self.guest.ask(Request::ProgramSaid { handle: self.program })?;
            if said.contains(word) {
                return Ok(());
            }
            if start.elapsed() > within || said.contains("failed: ") {
                return Err(Error::Scenario(format!("ours did not say {word:?}, but {said:?}")));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Asks it to end.
    pub(super) fn interrupt(&self) -> Result<()> {
        self.guest.ask(Request::SignalProgram { handle: self.program, kill: false })
    }

    /// Waits for its end, which must be a good one; what it said.
    pub(super) fn end(self, seconds: u64) -> Result<String> {
        let ran = self.guest.await_program(self.program, seconds)?;
        ensure(ran.code == Some(0), || format!("ours ended with {:?}: {:?}", ran.code, ran.output))?;
        Ok(ran.output)
    }
}

/// Ours on a NIC of guest 0.
pub(super) fn address(nic: usize) -> String {
    let [a, b, c, d] = Stage::free_address().octets();
    Ipv4Addr::new(a, b, c, d + nic as u8).to_string()
}

/// That so many connections of ours were carried by SMC-R, and none by TCP.
pub(super) fn ensure_smc(said: &str, count: usize) -> Result<String> {
    let right = said.lines().any(|line| line == format!("{count} over SMC-R")) && !said.contains("over TCP");
    ensure(right, || format!("not {count} over SMC-R: {said:?}"))?;
    Ok(format!("SMC-R, {count} over rxe by ibverbs"))
}

/// Our client with the kernel's echo.
pub(super) fn with_echo(
    stage: &Stage<'_>,
    family: Family,
    arguments: &[&str],
    seconds: u64,
) -> Result<String> {
    let port = stage.fresh_port();
    stage.guest(1)?.listen(family, port, Behaviour::Echo)?;
    let (address, port) = (Stage::address(1).to_string(), port.to_string());
    let mut all = vec!["connect", &address, &port];
    all.extend(arguments);
    Ours::start(stage, &all)?.end(seconds)
}

/// The kernel as a client of our echo; its end of the connection.
pub(super) fn with_our_echo<'a>(
    stage: &'a Stage<'_>,
    family: Family,
) -> Result<(Ours<'a>, &'a Guest, Handle)> {
    let port = stage.fresh_port();
    let ours = Ours::start(stage, &["serve", &port.to_string()])?;
    ours.said("listening", Duration::from_secs(60))?;
    let guest = stage.guest(1)?;
    let handle = guest.connect(family, Stage::free_address(), port)?;
    Ok((ours, guest, handle))
}

pub(super) fn client(stage: &Stage<'_>) -> Result<String> {
    ensure_smc(&with_echo(stage, Family::Smc, &["--octets", "100000"], 90)?, 1)
}

pub(super) fn server(stage: &Stage<'_>) -> Result<String> {
    serve(stage, 100_000)
}

pub(super) fn bulk_client(stage: &Stage<'_>) -> Result<String> {
    ensure_smc(&with_echo(stage, Family::Smc, &["--octets", "4000000"], 170)?, 1)
}

pub(super) fn bulk_server(stage: &Stage<'_>) -> Result<String> {
    serve(stage, 4_000_000)
}

fn serve(stage: &Stage<'_>, octets: u64) -> Result<String> {
    let (ours, guest, handle) = with_our_echo(stage, Family::Smc)?;
    let seen = guest.diagnose(handle)?;
    ensure(seen.mode == "SMCR", || format!("the kernel: {seen:?}"))?;
    let all = guest.exchange(handle, 1, octets)?;
    let whole = all.received.octets == octets && all.received.mismatch.is_none();
    ensure(whole, || format!("the kernel: {all:?}"))?;
    guest.close(handle)?;
    ensure_smc(&ours.end(60)?, 1)
}

pub(super) fn half_close(stage: &Stage<'_>) -> Result<String> {
    ensure_smc(&with_echo(stage, Family::Smc, &["--octets", "100000", "--ending", "half"], 90)?, 1)
}

pub(super) fn half_close_theirs(stage: &Stage<'_>) -> Result<String> {
    const OCTETS: u64 = 60_000;
    let (ours, guest, handle) = with_our_echo(stage, Family::Smc)?;
    let sent = guest.send(handle, 1, OCTETS)?;
    ensure(sent.octets == OCTETS, || format!("the kernel sent {sent:?}"))?;
    guest.shutdown(handle, Half::Write)?;
    let received = guest.receive(handle, 1, None)?;
    let whole = received.octets == OCTETS && received.end && received.mismatch.is_none();
    ensure(whole, || format!("the kernel received {received:?}"))?;
    guest.close(handle)?;
    ensure_smc(&ours.end(60)?, 1)
}

/// The peer's socket is TCP: there is no option in its SYN-ACK.
pub(super) fn fallback_client(stage: &Stage<'_>) -> Result<String> {
    let said = with_echo(stage, Family::Tcp, &["--octets", "100000"], 90)?;
    ensure(said.contains("1 over TCP"), || format!("not over TCP: {said:?}"))?;
    Ok("TCP".to_owned())
}

pub(super) fn fallback_server(stage: &Stage<'_>) -> Result<String> {
    let (ours, guest, handle) = with_our_echo(stage, Family::Tcp)?;
    let all = guest.exchange(handle, 1, 100_000)?;
    ensure(all.received.octets == 100_000 && all.received.mismatch.is_none(), || format!("{all:?}"))?;
    guest.close(handle)?;
    let said = ours.end(120)?;
    ensure(said.contains("1 over TCP"), || format!("not over TCP: {said:?}"))?;
    Ok("TCP".to_owned())
}

/// More than one link group holds: Linux has at most 255 connections in one.
pub(super) fn many(stage: &Stage<'_>) -> Result<String> {
    let said = with_echo(stage, Family::Smc, &["--connections", "300", "--octets", "1000"], 500)?;
    ensure_smc(&said, 300).map_err(|error| Error::Scenario(format!("{error}; last: {}", last(&said))))
}
