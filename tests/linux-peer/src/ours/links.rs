//! Link groups of two links: two ports of ours, two rxe devices of the guest.

use std::time::{Duration, Instant};

use smolsmc::{Config, GroupSummary, Transport};

use super::{Met, We, both, end, exchange, meet};
use crate::frames::is_roce;
use crate::host::{Host, add_port};
use crate::protocol::{Family, Link, LinkGroup, Request, Served};
use crate::scenario::{Scenario, Stage, ensure};
use crate::{Error, Fate, Result};

pub(super) fn scenarios() -> Vec<Scenario> {
    let with_nics = |scenario: Scenario| scenario.with_nics(2);
    let mut list: Vec<_> = both("two-links", two_links).map(with_nics).into();
    list.extend(both("nic-down-and-up-theirs", down_and_up).map(|scenario| with_nics(scenario).slow()));
    for (name, port) in [("failover-first-port", 0), ("failover-second-port", 1)] {
        // Linux retransmits on the dead link for ever.
        list.extend(
            both(name, move |stage, we| failover(stage, we, port))
                .map(|scenario| with_nics(scenario).slow().spoils_guests().is_refused()),
        );
    }
    list
}

fn two_ports(config: &mut Config) {
    add_port(config);
    config.max_links = 2;
    // What is lost on the way of the guest's octets, nothing else tells us.
    config.timers.link.test_link = smolsmc::Duration::from_secs(1);
}

/// A group with two links on both sides, and a connection on each.
struct Doubled<'a> {
    met: Met<'a>,
    second: (smolsmc::SocketHandle, crate::protocol::Handle),
}

impl<'a> Doubled<'a> {
    fn new(stage: &'a Stage<'_>, we: We) -> Result<Self> {
        let mut met = Met::across(stage, we, Family::Smc, true, two_ports)?;
        met.ensure_smcr()?;
        ensure_two(&mut met)?;
        let second = meet(&mut met.host, stage, met.guest, we, Family::Smc, true)?;
        let links = [met.socket, second.0].map(|socket| link_of(&mut met.host, socket));
        let [Ok(first), Ok(other)] = links else { return Err(Error::Scenario(format!("{links:?}"))) };
        ensure(first != other, || format!("both connections are on link {first}"))?;
        Ok(Self { met, second })
    }

    /// Octets over both connections, one after the other.
    fn exchange(&mut self, octets: u64) -> Result<()> {
        self.met.exchange(octets)?;
        let Met { host, guest, we, .. } = &mut self.met;
        exchange(host, guest, *we, self.second.0, self.second.1, octets)
    }

    fn end(mut self) -> Result<()> {
        let Met { host, guest, we, .. } = &mut self.met;
        end(host, guest, *we, self.second.0, self.second.1)?;
        self.met.end()
    }
}

impl Doubled<'_> {
    /// We close and are through. A Linux server's close() waits until its messages
    /// on the dead link are acknowledged or refused, which they are when the path is
    /// back; until then it does not get to reading a DELETE LINK either, since
    /// whoever reads them waits for the same.
    fn end_ours(self) -> Result<String> {
        let Self { met: Met { mut host, guest, socket, theirs, .. }, second } = self;
        let start = Instant::now();
        host.close(socket);
        host.close(second.0);
        host.until("the end of our connections", |host| Ok((!host.stack.has_connections()).then_some(())))?;
        let seconds = start.elapsed().as_secs_f64();
        ensure(seconds < 10.0, || format!("our closes took {seconds:.1} s"))?;
        // The path is back: what Linux still asks of our dead link is refused.
        host.heal();
        let healed = Instant::now();
        let mut open = 2;
        while open > 0 && healed.elapsed() < Duration::from_secs(15) {
            host.during_time(Duration::from_millis(500));
            open = 0;
            for listener in [theirs, second.1] {
                let served: Vec<Served> = host.during(guest.begin(Request::Served { listener })?)?;
                open += served.iter().filter(|one| !one.ended).count();
            }
        }
        let after = healed.elapsed().as_secs_f64();
        ensure(open == 0, || format!("{open} of Linux's closes hang {after:.1} s after the path is back"))?;
        host.leave()?;
        Ok(format!("we closed in {seconds:.1} s, Linux {after:.1} s after the path is back"))
    }
}

fn link_of(host: &mut Host, socket: smolsmc::SocketHandle) -> Result<u8> {
    match host.transport(socket)? {
        Transport::SmcR { link, .. } => Ok(link.0),
        other => Err(Error::Scenario(format!("we: {other}"))),
    }
}

/// Our one group, once it has so many active links.
fn await_links(host: &mut Host, count: usize) -> Result<GroupSummary> {
    host.until("our links", |host| {
        let groups = host.stack.groups();
        let right = |group: &&GroupSummary| {
            group.links.len() == count && group.links.iter().all(|link| link.is_active)
        };
        Ok(groups.iter().find(right).cloned())
    })
}

fn ensure_two(met: &mut Met<'_>) -> Result<()> {
    let ours = await_links(&mut met.host, 2)?;
    ensure(ours.links[0].port != ours.links[1].port, || format!("we: {ours:?}"))?;
    let links: Vec<Link> = met.ask(Request::Links)?;
    let groups: Vec<LinkGroup> = met.ask(Request::LinkGroups)?;
    let is_active = |link: &&Link| link.state == 3;
    let right = links.iter().filter(is_active).count() == 2
        && links[0].device != links[1].device
        && groups.len() == 1
        && groups[0].kind == "symmetric";
    ensure(right, || format!("the guest: {groups:?} {links:?}"))
}

fn two_links(stage: &Stage<'_>, we: We) -> Result<String> {
    let mut doubled = Doubled::new(stage, we)?;
    doubled.exchange(300_000)?;
    ensure_two(&mut doubled.met)?;
    doubled.end()?;
    Ok("SMC-R, 2 links".to_owned())
}

/// In the middle of a transfer no RoCE frame of one of our ports passes any
/// more, either way: all goes on over the other port, and not an octet is lost.
/// The guest does not wait for acknowledgements (autocorking): with a message
/// that is never acknowledged it would wait for ever.
fn failover(stage: &Stage<'_>, we: We, port: usize) -> Result<String> {
    const OCTETS: u64 = 2 << 20;
    stage.guest(0)?.set_sysctl("net.smc.autocorking_size", "0")?;
    let mut doubled = Doubled::new(stage, we)?;
    doubled.exchange(10_000)?;
    let mut left = 300_u32;
    doubled.met.host.judge(port, move |_, frame| {
        if !is_roce(frame) {
            return Fate::Pass;
        }
        left = left.saturating_sub(1);
        if left == 0 { Fate::Drop } else { Fate::Pass }
    })?;
    let start = Instant::now();
    doubled.exchange(OCTETS)?;
    let seconds = start.elapsed().as_secs_f64();
    let group = await_links(&mut doubled.met.host, 1)?;
    ensure(group.links[0].port != port, || format!("we: {group:?}"))?;
    doubled.exchange(10_000)?;
    let closed = match we {
        We::Listen => {
            doubled.end()?;
            "closed at once".to_owned()
        }
        We::Connect => doubled.end_ours()?,
    };
    Ok(format!("SMC-R, moved, {seconds:.1} s, {closed}"))
}

/// So long, and a little more, an ADD LINK that comes to nothing keeps Linux busy: it
/// tries a link from its other NIC to the port whose link has gone, which ends at
/// a cable of ours that is not there. A NIC that comes up meanwhile is given none.
const ADD_LINK_IN_VAIN: Duration = Duration::from_millis(6500);

/// The guest's second NIC goes down and comes up again while both connections
/// carry octets: the link that dies takes none along, and another one takes its
/// place, of a new number. As a server we refuse REQUEST ADD LINK and stay with one
/// (tests/gaps.toml).
fn down_and_up(stage: &Stage<'_>, we: We) -> Result<String> {
    let nic = || "eth1".to_owned();
    stage.guest(0)?.set_sysctl("net.smc.autocorking_size", "0")?;
    let mut doubled = Doubled::new(stage, we)?;
    doubled.exchange(10_000)?;
    let before = numbers(&mut doubled.met.host);
    let _: () = doubled.met.ask(Request::LinkState { nic: nic(), up: false })?;
    doubled.exchange(300_000)?;
    doubled.met.host.during_time(ADD_LINK_IN_VAIN);
    let down = numbers(&mut doubled.met.host);
    let _: () = doubled.met.ask(Request::LinkState { nic: nic(), up: true })?;
    if we == We::Listen {
        doubled.met.host.during_time(Duration::from_secs(2));
        let after = numbers(&mut doubled.met.host);
        ensure(after.len() == 1, || format!("we: {after:?}"))?;
        doubled.exchange(300_000)?;
        doubled.end()?;
        return Ok(format!("SMC-R, links {before:?}, {down:?} while it is down, {after:?} for good"));
    }
    let start = Instant::now();
    let found = await_links(&mut doubled.met.host, 2)?;
    let seconds = start.elapsed().as_secs_f64();
    doubled.met.host.during_time(Duration::from_millis(500));
    let after = numbers(&mut doubled.met.host);
    ensure(after.iter().any(|number| !before.contains(number)), || format!("we: {found:?}"))?;
    ensure_two(&mut doubled.met)?;
    doubled.exchange(300_000)?;
    doubled.end()?;
    Ok(format!("SMC-R, links {before:?}, {down:?} while it is down, {after:?} {seconds:.1} s after it is up"))
}

/// The numbers of our links.
fn numbers(host: &mut Host) -> Vec<u8> {
    host.stack.groups().iter().flat_map(|group| &group.links).map(|link| link.number.0).collect()
}
