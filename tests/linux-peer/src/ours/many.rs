//! Many connections, and that nothing of them is left.

use std::time::{Duration, Instant};

use smolsmc::{GroupSummary, SocketHandle, SocketOptions};

use super::data::{ensure_whole, receive, send};
use super::{We, both};
use crate::host::Host;
use crate::protocol::{Behaviour, Exchanged, Family, Handle, LinkGroup, Request, SmcSocket, Transfer};
use crate::scenario::{Scenario, Stage, ensure};
use crate::{Guest, Pending, Result};

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut list = Vec::new();
    for (name, play) in [
        ("three-hundred-at-once", three_hundred as fn(&Stage<'_>, We) -> Result<String>),
        ("a-thousand-by-32", a_thousand),
        ("many-messages-at-once", |stage, we| many_messages(stage, we, 16)),
        ("flood-of-messages", |stage, we| many_messages(stage, we, 255)),
    ] {
        list.extend(both(name, play).map(Scenario::slow));
    }
    list
}

/// The 256th connection makes a second group.
fn three_hundred(stage: &Stage<'_>, we: We) -> Result<String> {
    const COUNT: usize = 300;
    let guest = stage.guest(0)?;
    let mut host = Host::on(stage, |_| {})?;
    let all = meet_many(&mut host, stage, guest, we, COUNT)?;
    ensure_groups(&mut host, guest, &[45, 255])?;
    for &(socket, handle) in all.iter().step_by(7) {
        let (there, back) = (send(handle, 1, 3000), receive(Some(3000))(handle));
        let sending = guest.begin::<Transfer>(there)?;
        host.receive(socket, 1, 3000)?;
        ensure_whole(&host.during(sending)?, 3000)?;
        host.send(socket, 1, 3000)?;
        ensure_whole(&host.during(guest.begin(back)?)?, 3000)?;
    }
    close_all(&mut host, guest, &all)?;
    ensure_home(&mut host, guest)?;
    host.leave()?;
    Ok("SMC-R, 2 groups".to_owned())
}

/// So many connections by way of one listener, one after the other.
pub(super) fn meet_many(
    host: &mut Host,
    stage: &Stage<'_>,
    guest: &Guest,
    we: We,
    count: usize,
) -> Result<Vec<(SocketHandle, Handle)>> {
    let (family, port, seconds) = (Family::Smc, stage.fresh_port(), super::SECONDS);
    match we {
        We::Connect => {
            let listener = guest.listen(family, port, Behaviour::Manual)?;
            let meet = |_| {
                let socket = host.connect(port, SocketOptions::default())?;
                let accepted = host.during(guest.begin(Request::Accept { listener, seconds })?)?;
                Ok((socket, accepted))
            };
            (0..count).map(meet).collect()
        }
        We::Listen => {
            let (listener, address) = (host.listen(port)?, Stage::free_address());
            let meet = |_| {
                let options = Vec::new();
                let connect = Request::Connect { family, address, port, options };
                let handle = host.during(guest.begin(connect)?)?;
                Ok((host.accept(listener)?, handle))
            };
            (0..count).map(meet).collect()
        }
    }
}

pub(super) fn close_all(host: &mut Host, guest: &Guest, all: &[(SocketHandle, Handle)]) -> Result<()> {
    for &(socket, handle) in all {
        let closing = guest.begin::<()>(Request::Close { handle })?;
        host.close(socket);
        host.during(closing)?;
    }
    Ok(())
}

/// So many connections in the groups of both sides, counted without order.
pub(super) fn ensure_groups(host: &mut Host, guest: &Guest, counts: &[usize]) -> Result<()> {
    let groups = host.stack.groups();
    let mut ours: Vec<_> = groups.iter().map(|group| group.connections).collect();
    let theirs: Vec<LinkGroup> = host.during(guest.begin(Request::LinkGroups)?)?;
    let mut linux: Vec<_> = theirs.iter().map(|group| group.connections as usize).collect();
    ours.sort_unstable();
    linux.sort_unstable();
    ensure(ours == counts && linux == counts, || format!("we: {ours:?}, the guest: {linux:?}"))
}

/// All 255 connections of a group say something at the same time, again and
/// again, toward a kernel with 48 receives on the link. An acknowledgement does
/// not say that a receive was posted again, so RNR NAKs may come; nothing is lost.
/// With more messages unacknowledged than there are receives they are sure to come.
fn many_messages(stage: &Stage<'_>, we: We, messages: u32) -> Result<String> {
    const COUNT: usize = 255;
    const ROUNDS: u64 = 20;
    const OCTETS: u64 = 64;
    let guest = stage.guest(0)?;
    let mut host = Host::on(stage, |config| config.limits.messages = messages)?;
    let all = meet_many(&mut host, stage, guest, we, COUNT)?;
    ensure_groups(&mut host, guest, &[COUNT])?;
    let before = (*host.stack.provider_mut().counters(), host.stack.groups()[0].links[0].messages_sent);
    let mut most = 0;
    for round in 0..ROUNDS {
        for &(socket, _) in &all {
            let sent = host.send_from(socket, 1, round * OCTETS, (round + 1) * OCTETS)?;
            ensure(sent == (round + 1) * OCTETS, || format!("we sent up to {sent}"))?;
        }
        host.until("all messages to be acknowledged", |host| {
            most = most.max(host.stack.groups()[0].links[0].in_flight);
            for &(socket, _) in &all {
                if host.at(socket)?.unacknowledged() > 0 {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })?;
    }
    let messages = host.stack.groups()[0].links[0].messages_sent - before.1;
    let naks = host.stack.provider_mut().counters().naks_received.rnr - before.0.naks_received.rnr;
    ensure(messages >= ROUNDS * COUNT as u64, || format!("{messages} messages only"))?;
    for &(_, handle) in &all {
        let octets = ROUNDS * OCTETS;
        let request = receive(Some(octets))(handle);
        ensure_whole(&host.during(guest.begin(request)?)?, octets)?;
    }
    close_all(&mut host, guest, &all)?;
    ensure_home(&mut host, guest)?;
    host.leave()?;
    Ok(format!("SMC-R, {naks} RNR NAKs for {messages} messages, at most {most} unacknowledged"))
}

/// As [`ensure_gone`], and every connection has ended cleanly.
pub(super) fn ensure_home(host: &mut Host, guest: &Guest) -> Result<()> {
    ensure_gone(host, guest)?;
    let dropped: u64 = host.stack.groups().iter().map(|group| group.rings.deregistered).sum();
    ensure(dropped == 0, || format!("{dropped} of our connections did not end cleanly"))
}

/// No connection has a part of any group, on either side, and no ring is in use.
pub(super) fn ensure_gone(host: &mut Host, guest: &Guest) -> Result<()> {
    host.until("the end of all connections", |host| Ok((!host.stack.has_connections()).then_some(())))?;
    let is_home = |group: &GroupSummary| group.connections == 0 && group.rings.in_use == 0;
    let groups = host.stack.groups();
    ensure(!groups.is_empty() && groups.iter().all(is_home), || format!("we: {groups:?}"))?;
    // The guest's kernel frees a connection a moment after its close.
    let start = Instant::now();
    loop {
        let theirs: Vec<LinkGroup> = host.during(guest.begin(Request::LinkGroups)?)?;
        let busy = theirs.iter().any(|group| group.connections > 0);
        let sockets: Vec<SmcSocket> = host.during(guest.begin(Request::SmcSockets)?)?;
        let left: Vec<_> = sockets.iter().filter(|socket| socket.state != "LISTEN").collect();
        if theirs.len() == groups.len() && !busy && left.is_empty() {
            return Ok(());
        }
        let late = start.elapsed() > Duration::from_secs(30);
        ensure(!late, || format!("the guest: {theirs:?}, {} sockets: {:?}", left.len(), left.first()))?;
        host.during_time(Duration::from_millis(100));
    }
}

/// One connection of the guest: connects, exchanges, closes.
enum Life {
    Connecting(Pending<Handle>),
    Exchanging(Handle, Pending<Exchanged>),
    Closing(Pending<()>),
}

impl Life {
    fn begin(guest: &Guest, port: u16) -> Result<Self> {
        let (family, address) = (Family::Smc, Stage::free_address());
        Ok(Self::Connecting(guest.begin(Request::Connect { family, address, port, options: Vec::new() })?))
    }

    /// `None` after its end.
    fn go_on(self, guest: &Guest) -> Result<Option<Self>> {
        const OCTETS: u64 = 2000;
        Ok(match self {
            Self::Connecting(mut pending) => match pending.poll()? {
                Some(handle) => {
                    let chunk = OCTETS as usize;
                    let request = Request::Exchange {
                        handle,
                        stream: 1,
                        octets: OCTETS,
                        chunk,
                        seconds: super::SECONDS,
                    };
                    Some(Self::Exchanging(handle, guest.begin(request)?))
                }
                None => Some(Self::Connecting(pending)),
            },
            Self::Exchanging(handle, mut pending) => match pending.poll()? {
                Some(done) => {
                    let whole = done.received.octets == OCTETS && done.received.mismatch.is_none();
                    ensure(whole, || format!("the guest: {done:?}"))?;
                    Some(Self::Closing(guest.begin(Request::Close { handle })?))
                }
                None => Some(Self::Exchanging(handle, pending)),
            },
            Self::Closing(mut pending) => match pending.poll()? {
                Some(()) => None,
                None => Some(Self::Closing(pending)),
            },
        })
    }
}

fn a_thousand(stage: &Stage<'_>, we: We) -> Result<String> {
    const TOTAL: usize = 1000;
    const WIDTH: usize = 32;
    let guest = stage.guest(0)?;
    let mut host = Host::on(stage, |_| {})?;
    let port = stage.fresh_port();
    let before = guest.statistics()?;
    match we {
        We::Connect => {
            guest.listen(Family::Smc, port, Behaviour::Echo)?;
            host.churn(port, TOTAL, WIDTH, 2000)?;
        }
        We::Listen => {
            let listener = host.listen(port)?;
            let (mut begun, mut lives) = (0, Vec::new());
            host.until("many connections of the guest", |host| {
                host.echo_all(listener);
                while begun < TOTAL && lives.len() < WIDTH {
                    lives.push(Life::begin(guest, port)?);
                    begun += 1;
                }
                let went: Result<Vec<_>> = lives.drain(..).map(|life: Life| life.go_on(guest)).collect();
                lives = went?.into_iter().flatten().collect();
                Ok((begun == TOTAL && lives.is_empty()).then_some(()))
            })?;
        }
    }
    ensure_home(&mut host, guest)?;
    let after = guest.statistics()?;
    let (v2, falls) = match we {
        We::Connect => (after.server_v2 - before.server_v2, "server"),
        We::Listen => (after.client_v2 - before.client_v2, "client"),
    };
    ensure(v2 == TOTAL as u64, || format!("the guest counts {v2} as {falls}"))?;
    host.leave()?;
    Ok("SMC-R".to_owned())
}
