//! Two devices in one provider, two links in one group; then one device goes while
//! megabytes are on their way.

use std::thread;
use std::time::{Duration, Instant};

use crate::protocol::{Behaviour, Exchanged, Family, Link, LinkGroup, Request};
use crate::scenario::{Scenario, Stage, ensure};
use crate::{Error, Guest, Pending, Result};

use super::peer::{Ours, ensure_smc};

/// Each way over each of two connections, of which each link has one.
const OCTETS: u64 = 3_000_000;
/// How long links may take to come.
const LINKS: Duration = Duration::from_secs(30);
/// How long a transfer may take, or its end.
const TRANSFER: u64 = 100;

/// How ours tells that a link went, before how many octets had come by then.
const LEFT: &str = "1 of 2 links left after ";

/// Which device of ours goes: the one by which the group began, or the other. One of
/// the kernel's own is no scenario: there Linux may send wrong octets (docs/interop.md).
#[derive(Clone, Copy)]
struct Removal {
    device: &'static str,
}

const REMOVALS: [(&str, Removal); 2] =
    [("first", Removal { device: "rxe0" }), ("second", Removal { device: "rxe1" })];

pub(super) fn scenarios() -> Vec<Scenario> {
    let of = |(name, removal): (&str, Removal)| {
        let name = |role| format!("ibv-removal-{name}-{role}");
        [
            Scenario::pair(&name("client"), "ibv client", move |stage| removal.client(stage)),
            Scenario::pair(&name("server"), "ibv server", move |stage| removal.server(stage)),
        ]
    };
    REMOVALS.into_iter().flat_map(of).map(|scenario| scenario.with_nics(2).spoils_guests()).collect()
}

/// The kernel has one group with two active links, on two devices.
pub(super) fn ensure_two(guest: &Guest) -> Result<()> {
    let links = active_links(guest)?;
    let groups: Vec<LinkGroup> = guest.ask(Request::LinkGroups)?;
    let right = links.len() == 2 && links[0].device != links[1].device;
    let right = right && groups.len() == 1 && groups[0].kind == "symmetric";
    ensure(right, || format!("the kernel: {groups:?} {links:?}"))
}

fn active_links(guest: &Guest) -> Result<Vec<Link>> {
    const ACTIVE: u32 = 3;
    let links: Vec<Link> = guest.ask(Request::Links)?;
    Ok(links.into_iter().filter(|link| link.state == ACTIVE).collect())
}

impl Removal {
    /// In the middle of a transfer. The system is through with it once all that
    /// was made on the device is gone.
    fn go(self, stage: &Stage<'_>, ours: &Ours<'_>) -> Result<()> {
        ours.guest.ask::<()>(Request::RemoveRxe { name: self.device.to_owned() })?;
        ours.said(LEFT, LINKS)?;
        let since = Instant::now();
        loop {
            let links = active_links(stage.guest(1)?)?;
            if links.len() == 1 {
                return Ok(());
            }
            ensure(since.elapsed() < LINKS, || format!("the kernel: {links:?}"))?;
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn client(self, stage: &Stage<'_>) -> Result<String> {
        let (guest, port) = (stage.guest(1)?, stage.fresh_port());
        prepare(guest)?;
        guest.listen(Family::Smc, port, Behaviour::Echo)?;
        let (address, port, octets) = (Stage::address(1).to_string(), port.to_string(), OCTETS.to_string());
        let all = ["connect", &address, &port, "--links", "2", "--connections", "2", "--octets", &octets];
        let ours = Ours::start(stage, &all)?;
        ours.said("1 MiB came", LINKS)?;
        ensure_two(guest)?;
        self.go(stage, &ours)?;
        ended(&ours.end(TRANSFER)?)
    }

    fn server(self, stage: &Stage<'_>) -> Result<String> {
        let (guest, port) = (stage.guest(1)?, stage.fresh_port());
        prepare(guest)?;
        let ours = Ours::start(stage, &["serve", &port.to_string(), "--connections", "2"])?;
        ours.said("listening", LINKS)?;
        let first = guest.connect(Family::Smc, Stage::free_address(), port)?;
        ours.said("links: 2", LINKS)?;
        let second = guest.connect(Family::Smc, Stage::free_address(), port)?;
        let exchange = |(handle, stream)| guest.begin_exchange(handle, stream, OCTETS);
        let pending: Vec<Pending<Exchanged>> =
            [(first, 1), (second, 2)].into_iter().map(exchange).collect::<Result<_>>()?;
        ours.said("1 MiB came", LINKS)?;
        ensure_two(guest)?;
        self.go(stage, &ours)?;
        for exchanged in pending {
            let all = exchanged.wait(Duration::from_secs(TRANSFER))?;
            let whole = all.received.octets == OCTETS && all.received.mismatch.is_none();
            ensure(whole, || format!("the kernel: {all:?}"))?;
        }
        guest.close(first)?;
        guest.close(second)?;
        ended(&ours.end(TRANSFER)?)
    }
}

/// The kernel does not wait for acknowledgements (autocorking): with a message that
/// is never acknowledged it would wait for ever.
fn prepare(guest: &Guest) -> Result<()> {
    guest.set_sysctl("net.smc.autocorking_size", "0")
}

/// Both connections were whole, and the link went while there was more to come.
fn ended(said: &str) -> Result<String> {
    let carried = ensure_smc(said, 2)?;
    let words = |line: &str| line.strip_prefix(LEFT)?.strip_suffix(" octets")?.parse().ok();
    let last: u64 = said.lines().find_map(words).unwrap_or(0);
    if 0 < last && last < 2 * OCTETS {
        return Ok(format!("{carried}, of two links one left after {last} of {} octets", 2 * OCTETS));
    }
    Err(Error::Scenario(format!("no link went meanwhile: {said:?}")))
}
