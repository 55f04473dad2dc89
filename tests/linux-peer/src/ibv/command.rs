//! `smolsmc` itself with `--rdma ibverbs:DEVICE` in guest 0, the kernel's SMC in
//! guest 1.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::protocol::{Behaviour, Family, Handle};
use crate::scenario::{Stage, ensure};
use crate::{Error, Guest, Result};

use super::peer::{Ours, address};
use super::removal::ensure_two;

const PROGRAM: &str = "/bin/smolsmc";
/// Linux's error for an address that nobody answers for.
const EHOSTUNREACH: i32 = 113;
/// How long a node may take until it listens.
const START: Duration = Duration::from_secs(20);

/// Starts a command of ours on the kernel's devices.
fn start<'a>(stage: &'a Stage<'_>, words: &[&str]) -> Result<Ours<'a>> {
    let mut all: Vec<_> = words.iter().copied().chain(["--eid", Stage::ueid()]).map(str::to_owned).collect();
    for nic in 0..stage.guest(0)?.nic_count() {
        let pairs = [
            ("--rdma", format!("ibverbs:rxe{nic}")),
            ("--link", format!("packet:eth{nic}")),
            ("--ip", format!("{}/24", address(nic))),
        ];
        all.extend(pairs.into_iter().flat_map(|(option, value)| [option.to_owned(), value]));
    }
    Ours::start_program(stage, PROGRAM, &all.iter().map(String::as_str).collect::<Vec<_>>())
}

fn their_echo(stage: &Stage<'_>) -> Result<String> {
    let port = stage.fresh_port();
    stage.guest(1)?.listen(Family::Smc, port, Behaviour::Echo)?;
    Ok(format!("{}:{port}", Stage::address(1)))
}

/// Objects among what was said.
fn objects(said: &str) -> impl Iterator<Item = Value> {
    said.lines().filter_map(|line| serde_json::from_str(line).ok())
}

/// `ping` with the kernel's echo, asleep between rounds and not.
pub(super) fn ping(stage: &Stage<'_>) -> Result<String> {
    let remote = their_echo(stage)?;
    let before = stage.guest(1)?.statistics()?.server_v2;
    for mode in ["interrupt", "busy"] {
        let words =
            ["ping", &remote, "--strict", "--json", "--size", "3000", "--count", "20", "--mode", mode];
        let said = start(stage, &words)?.end(60)?;
        let report = objects(&said).find(|object| object.get("rtt_us").is_some());
        ensure(report.is_some() && said.contains("SMC-R v2"), || format!("{mode}: {said:?}"))?;
    }
    let served = stage.guest(1)?.statistics()?.server_v2 - before;
    ensure(served == 2, || format!("the kernel counts {served} connections"))?;
    Ok("SMC-R, smolsmc ping over rxe by ibverbs".to_owned())
}

/// The kernel's connection to a node of ours that may still be starting.
fn connect(guest: &Guest, port: u16) -> Result<Handle> {
    let since = Instant::now();
    loop {
        match guest.connect(Family::Smc, Stage::free_address(), port) {
            Err(error) if error.errno() == Some(EHOSTUNREACH) && since.elapsed() < START => {}
            other => return other,
        }
    }
}

/// The kernel as a client of `echo`, which ends in order when it is asked to.
pub(super) fn echo(stage: &Stage<'_>) -> Result<String> {
    const OCTETS: u64 = 300_000;
    let port = stage.fresh_port();
    let ours = start(stage, &["echo", &port.to_string(), "--strict"])?;
    let guest = stage.guest(1)?;
    let handle = connect(guest, port)?;
    let seen = guest.diagnose(handle)?;
    ensure(seen.mode == "SMCR", || format!("the kernel: {seen:?}"))?;
    let all = guest.exchange(handle, 1, OCTETS)?;
    let whole = all.received.octets == OCTETS && all.received.mismatch.is_none();
    ensure(whole, || format!("the kernel: {all:?}"))?;
    guest.close(handle)?;
    ours.interrupt()?;
    let said = ours.end(30)?;
    ensure(said.contains("SMC-R v2"), || said.clone())?;
    Ok("SMC-R, smolsmc echo over rxe by ibverbs".to_owned())
}

/// Where a node of ours can be asked what it has.
const CONTROL: &str = "/node";

/// Until both the kernel and `smolsmc ss` show two links, on two devices.
fn await_two(stage: &Stage<'_>) -> Result<()> {
    let since = Instant::now();
    while ensure_two(stage.guest(1)?).is_err() && since.elapsed() < START {
        std::thread::sleep(Duration::from_millis(100));
    }
    ensure_two(stage.guest(1)?)?;
    let guest = stage.guest(0)?;
    for (more, wanted) in
        [("--groups", ["::ffff:10.9.0.1 ", "::ffff:10.9.0.11 "]), ("--json", ["rxe0", "rxe1"])]
    {
        let asked = guest.begin_program(PROGRAM, &["ss", "--control", CONTROL, more])?;
        let ran = guest.await_program(asked, 30)?;
        let right = ran.code == Some(0) && wanted.iter().all(|word| ran.output.contains(word));
        ensure(right, || format!("ss {more}: {}", ran.output))?;
    }
    Ok(())
}

/// `ping` over two devices: the group gets its second link meanwhile.
pub(super) fn ping_over_two(stage: &Stage<'_>) -> Result<String> {
    let remote = their_echo(stage)?;
    let words = ["ping", &remote, "--strict", "--json", "--size", "3000", "--interval", "20"];
    let ours = start(stage, &[&words[..], &["--count", "100", "--control", CONTROL]].concat())?;
    ours.said("SMC-R v2", START)?;
    await_two(stage)?;
    let said = ours.end(60)?;
    let report = objects(&said).find(|object| object.get("rtt_us").is_some());
    ensure(report.is_some_and(|report| report["smcr"] == true), || said.clone())?;
    Ok("SMC-R, smolsmc ping over two rxe by ibverbs, 2 links".to_owned())
}

/// `echo` over two devices: the kernel's second connection is on the other link.
pub(super) fn echo_over_two(stage: &Stage<'_>) -> Result<String> {
    const OCTETS: u64 = 300_000;
    let port = stage.fresh_port();
    let ours = start(stage, &["echo", &port.to_string(), "--strict", "--control", CONTROL])?;
    let guest = stage.guest(1)?;
    let first = connect(guest, port)?;
    await_two(stage)?;
    let second = connect(guest, port)?;
    for (handle, stream) in [(first, 1), (second, 2)] {
        let all = guest.exchange(handle, stream, OCTETS)?;
        let whole = all.received.octets == OCTETS && all.received.mismatch.is_none();
        ensure(whole, || format!("the kernel: {all:?}"))?;
    }
    let device = |handle| Ok::<_, Error>(guest.diagnose(handle)?.link.map(|link| link.device));
    let (of_first, of_second) = (device(first)?, device(second)?);
    ensure(of_first != of_second, || format!("the kernel: both connections on {of_first:?}"))?;
    guest.close(first)?;
    guest.close(second)?;
    ours.interrupt()?;
    let said = ours.end(30)?;
    ensure(said.contains("SMC-R v2"), || said.clone())?;
    Ok("SMC-R, smolsmc echo over two rxe by ibverbs, 2 links".to_owned())
}

pub(super) fn check(stage: &Stage<'_>) -> Result<String> {
    let said = start(stage, &["check", &their_echo(stage)?])?.end(60)?;
    ensure(said.contains("SMC-R v2.1") && said.contains("Linux"), || said.clone())?;
    Ok("SMC-R v2.1 over rxe by ibverbs".to_owned())
}

/// Every case that needs no frame of ours to be damaged.
pub(super) fn conform(stage: &Stage<'_>) -> Result<String> {
    let (peer, sink) = (their_echo(stage)?, stage.fresh_port());
    stage.guest(1)?.listen(Family::Smc, sink, Behaviour::Sink(1))?;
    let said = start(stage, &["conform", &peer, "--sink", &sink.to_string(), "--json"])?.end(400)?;
    let count = |word: &str| {
        let sums = objects(&said).find(|object| object["kind"] == "conform");
        sums.and_then(|sums| sums[word].as_u64()).unwrap_or(u64::MAX)
    };
    let (passed, failed, skipped) = (count("passed"), count("failed"), count("skipped"));
    ensure(failed == 0 && passed > 20 && skipped < 10, || said.clone())?;
    Ok(format!("SMC-R over rxe by ibverbs, {passed} cases passed, 0 failed, {skipped} skipped"))
}

/// What is not there, or cannot carry SMC-R, is refused in one sentence.
pub(super) fn refusals(stage: &Stage<'_>) -> Result<String> {
    let guest = stage.guest(0)?;
    let cases = [
        ("rxe7", "there is no RDMA device rxe7: there is rxe0"),
        ("rxe0:2", "the RDMA device rxe0 has no port 2: its last one is 1"),
        ("rxe0:1:99", "rxe0:1 has no GID 99: there is 0, "),
        ("rxe0:1:0", "rxe0:1:0 is not usable: its GID "),
    ];
    for (device, words) in cases {
        let rdma = format!("ibverbs:{device}");
        let ping =
            ["ping", "10.9.0.2:5000", "--link", "packet:eth0", "--ip", "10.9.0.100/24", "--rdma", &rdma];
        let program = guest.begin_program(PROGRAM, &ping)?;
        let ran = guest.await_program(program, 30)?;
        let right = ran.code == Some(1) && ran.output.lines().count() == 1 && ran.output.contains(words);
        ensure(right, || format!("{device}: {ran:?}"))?;
    }
    Ok(format!("{} refusals, one sentence each", cases.len()))
}
