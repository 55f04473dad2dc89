//! Ends that are not orderly, and what is left afterwards.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::protocol::{Behaviour, Family, Request};
use crate::scenario::{Stage, ensure};
use crate::{Guest, Result};

use super::peer::{Ours, ensure_smc, with_echo};

/// What a peer's death takes: TEST LINK after its time of silence, and the wait
/// for its answer.
const DEATH: Duration = Duration::from_secs(100);

/// We reset; the kernel's end is told.
pub(super) fn abort(stage: &Stage<'_>) -> Result<String> {
    ensure_smc(&with_echo(stage, Family::Smc, &["--octets", "30000", "--ending", "abort"], 90)?, 1)
}

/// A connection whose octets have come back, and which waits for its failure.
fn to_fail<'a>(stage: &'a Stage<'_>) -> Result<Ours<'a>> {
    let port = stage.fresh_port();
    stage.guest(1)?.listen(Family::Smc, port, Behaviour::Echo)?;
    let (address, port) = (Stage::address(1).to_string(), port.to_string());
    let ours = Ours::start(stage, &["connect", &address, &port, "--octets", "30000", "--ending", "fails"])?;
    ours.said("all octets came back", Duration::from_secs(90))?;
    Ok(ours)
}

/// The device goes under a connection: it fails at once, and the system, which
/// waits until the device's users have let go, gets rid of it.
pub(super) fn device_removed(stage: &Stage<'_>) -> Result<String> {
    let ours = to_fail(stage)?;
    let _: () = ours.guest.ask(Request::RemoveRxe { name: "rxe0".to_owned() })?;
    let said = ours.end(30)?;
    ensure(said.contains("the socket failed"), || format!("no failure: {said:?}"))?;
    ensure_smc(&said, 1)
}

/// The peer falls silent.
pub(super) fn peer_dies(stage: &Stage<'_>) -> Result<String> {
    let ours = to_fail(stage)?;
    stage.guest(1)?.freeze(true)?;
    let noticed = ours.said("the socket failed", DEATH);
    // Back among the living, to be asked for its kernel's log.
    stage.guest(1)?.freeze(false)?;
    noticed?;
    ensure_smc(&ours.end(60)?, 1)
}

fn objects(guest: &Guest) -> Result<BTreeMap<String, u64>> {
    guest.ask(Request::RdmaObjects { name: "rxe0".to_owned() })
}

/// Connect, transfer, close, 1000 times in one process: the device has as many
/// objects as before.
pub(super) fn no_leak(stage: &Stage<'_>) -> Result<String> {
    let port = stage.fresh_port();
    stage.guest(1)?.listen(Family::Smc, port, Behaviour::Echo)?;
    let (address, port) = (Stage::address(1).to_string(), port.to_string());
    let all = ["--linger", "8", "connect", &address, &port, "--octets", "2000", "--cycles", "1000"];
    let ours = Ours::start(stage, &all)?;
    ours.said("ready", Duration::from_secs(60))?;
    let before = objects(ours.guest)?;
    ours.said("done", Duration::from_secs(1000))?;
    let after = objects(ours.guest)?;
    ensure(before == after, || format!("before {before:?}, after {after:?}"))?;
    ensure(before.contains_key("qp"), || format!("nothing was counted: {before:?}"))?;
    let carried = ensure_smc(&ours.end(60)?, 1000)?;
    Ok(format!("{carried}; before and after {before:?}"))
}
