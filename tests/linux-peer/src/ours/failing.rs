//! Peers that vanish, come back as others, or cannot be reached by RoCE.

use std::time::{Duration, Instant};

use smolsmc::{Config, ConnectionError, RecvError, SocketHandle, Transport};

use super::data::{receive, send};
use super::{Met, We, accepted, both, end, exchange, meet, transport_name};
use crate::frames::is_roce;
use crate::host::{Host, entropy};
use crate::protocol::{Family, Handle, Request, Transfer};
use crate::scenario::{Scenario, Stage, ensure};
use crate::{Direction, Error, Fate, Guest, Result};

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut list: Vec<_> = both("restart", restart).into();
    list.extend(both("out-of-sync", out_of_sync).map(Scenario::slow));
    list.extend(both("rxe-replaced", rxe_replaced).map(Scenario::slow));
    for (name, lost) in [("ours", Lost::Ours), ("theirs", Lost::Theirs), ("both", Lost::Both)] {
        let name = format!("roce-blocked-{name}");
        list.extend(both(&name, move |stage, we| roce_blocked(stage, we, lost)).map(Scenario::slow));
    }
    for (name, death) in
        [("guest-killed", Death::Frozen), ("rxe-removed", Death::RxeRemoved), ("cable-pulled", Death::Cable)]
    {
        for (name, sending) in [(format!("{name}-sending"), true), (format!("{name}-receiving"), false)] {
            list.extend(
                both(&name, move |stage, we| dies(stage, we, death, sending))
                    .map(|scenario| scenario.slow().spoils_guests()),
            );
        }
    }
    list
}

/// Our process dies without a word, and is started again while Linux keeps the
/// link group and the connection.
fn restart(stage: &Stage<'_>, we: We) -> Result<String> {
    stage.guest(0)?.set_sysctl("net.smc.smcr_testlink_time", "1")?;
    let mut old = Met::with(stage, we, Family::Smc, false, |_| {})?;
    let handle = accepted(&mut old)?;
    old.ensure_there(handle)?;
    drop(old.host);
    let mut new = Met::usual(stage, we)?;
    let transport = new.ensure_smcr()?;
    let first = matches!(transport, Transport::SmcR { first_contact: true, .. });
    ensure(first, || format!("we: {transport}"))?;
    new.exchange(100_000)?;
    // TEST LINK tells Linux that nobody is at the other end of the old link.
    let received: Transfer = new.ask(receive(None)(handle))?;
    let over = received.octets == 0 && (received.end || received.errno.is_some_and(|errno| errno != 11));
    ensure(over, || format!("the guest's old connection: {received:?}"))?;
    let _: () = new.ask(Request::Close { handle })?;
    new.exchange(1000)?;
    new.end()?;
    Ok(transport_name(transport))
}

/// The same, but we call ourselves as before. A Linux server takes us for the old
/// one and asks on the old link whether its RMB is known there: its Accept, which
/// would be out of sync, never comes, but a Decline after 2 s. That connection is
/// TCP; and one after it is SMC-R again. A Linux client learns from our Accept
/// that all is new.
fn out_of_sync(stage: &Stage<'_>, we: We) -> Result<String> {
    const THEY_CANNOT: &str = "TCP (we: 0x05000000 peer declined; peer: 0x09990003";
    let guest = stage.guest(0)?;
    guest.set_sysctl("net.smc.smcr_testlink_time", "2")?;
    let entropy = entropy()?;
    let mut old = Met::by(Host::of(stage, entropy, false, |_| {})?, stage, we, Family::Smc, true)?;
    old.ensure_smcr()?;
    old.exchange(1000)?;
    let Met { mut host, socket, theirs, .. } = old;
    end(&mut host, guest, we, socket, theirs)?;
    // The group stays, without a connection; the guest has had its answer to
    // DELETE RKEY, or it would hold the next handshake up.
    settle(&mut host)?;
    drop(host);

    let mut new = Host::of(stage, entropy, false, |_| {})?;
    let (mut on_tcp, mut was_reset) = (0, false);
    let start = Instant::now();
    loop {
        let (socket, theirs) = meet(&mut new, stage, guest, we, Family::Smc, true)?;
        let transport = new.transport(socket)?;
        if let Err(error) = exchange(&mut new, guest, we, socket, theirs, 10_000) {
            // The guest's group ended in the middle of this handshake, and took it along.
            let with_group = new.at(socket)?.readiness().failed;
            let known = with_group && we == We::Connect && !was_reset;
            ensure(known, || format!("{transport}: {error}"))?;
            new.close(socket);
            was_reset = true;
            continue;
        }
        end(&mut new, guest, we, socket, theirs)?;
        if let Transport::SmcR { first_contact, .. } = transport {
            ensure(first_contact, || format!("we: {transport}"))?;
            break;
        }
        on_tcp += 1;
        let known = we == We::Connect && transport.to_string().starts_with(THEY_CANNOT);
        ensure(known, || format!("we: {transport}"))?;
        ensure(on_tcp < 10, || format!("still TCP after {:.1} s", start.elapsed().as_secs_f64()))?;
    }
    new.leave()?;
    Ok(format!("{on_tcp} on TCP, then SMC-R"))
}

/// No connection is left; what the guest has to say afterwards has been answered.
fn settle(host: &mut Host) -> Result<()> {
    host.until("the end of the connection", |host| Ok((!host.stack.has_connections()).then_some(())))?;
    host.during_time(Duration::from_millis(500));
    Ok(())
}

/// The guest's device goes and comes back while nobody uses it: its link group is
/// gone, and we have heard nothing. What we go on with is out of sync for a Linux
/// client, which declines; the next connection is SMC-R.
fn rxe_replaced(stage: &Stage<'_>, we: We) -> Result<String> {
    let guest = stage.guest(0)?;
    let mut host = Host::on(stage, |_| {})?;
    let (socket, theirs) = meet(&mut host, stage, guest, we, Family::Smc, true)?;
    exchange(&mut host, guest, we, socket, theirs, 1000)?;
    end(&mut host, guest, we, socket, theirs)?;
    settle(&mut host)?;
    let name = || "rxe0".to_owned();
    let _: () = host.during(guest.begin(Request::RemoveRxe { name: name() })?)?;
    let _: () = host.during(guest.begin(Request::AddRxe { name: name(), nic: "eth0".to_owned() })?)?;
    host.during_time(Duration::from_millis(500));
    let mut said = Vec::new();
    loop {
        let (socket, theirs) = meet(&mut host, stage, guest, we, Family::Smc, true)?;
        let transport = host.transport(socket)?;
        exchange(&mut host, guest, we, socket, theirs, 10_000)?;
        end(&mut host, guest, we, socket, theirs)?;
        said.push(transport_name(transport));
        if matches!(transport, Transport::SmcR { .. }) {
            break;
        }
        ensure(said.len() < 3, || format!("we: {said:?}"))?;
    }
    host.leave()?;
    Ok(said.join(", then "))
}

/// Whose RoCE frames do not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lost {
    Ours,
    Theirs,
    Both,
}

/// TCP passes, RoCE does not: the handshake ends with TCP on both sides and octets
/// intact. But a Linux client whose word alone is lost takes SMC-R as agreed on
/// and never looks for a Decline: both sides end with an error when its TEST LINK
/// fails.
fn roce_blocked(stage: &Stage<'_>, we: We, lost: Lost) -> Result<String> {
    let guest = stage.guest(0)?;
    let is_split = we == We::Listen && lost == Lost::Theirs;
    if is_split {
        guest.set_sysctl("net.smc.smcr_testlink_time", "1")?;
    }
    let mut host = Host::across(stage, |_| {})?;
    host.judge(0, move |direction, frame| {
        let blocked = match lost {
            Lost::Ours => direction == Direction::BToA,
            Lost::Theirs => direction == Direction::AToB,
            Lost::Both => true,
        };
        if blocked && is_roce(frame) { Fate::Drop } else { Fate::Pass }
    })?;
    let start = Instant::now();
    let (socket, theirs) = meet(&mut host, stage, guest, we, Family::Smc, !is_split)?;
    if is_split {
        return split(host, guest, socket, theirs, start);
    }
    exchange(&mut host, guest, we, socket, theirs, 100_000)?;
    let seconds = start.elapsed().as_secs_f64();
    let transport = host.transport(socket)?;
    ensure(matches!(transport, Transport::Tcp(_)), || format!("we: {transport}"))?;
    end(&mut host, guest, we, socket, theirs)?;
    // Linux retransmits on what is left of the link: it must be heard again.
    host.heal();
    host.leave()?;
    Ok(format!("{transport}, {seconds:.1} s"))
}

/// One side on SMC-R, the other on TCP: not an octet arrives wrong, and both hear
/// of it.
fn split(
    mut host: Host,
    guest: &Guest,
    socket: SocketHandle,
    handle: Handle,
    start: Instant,
) -> Result<String> {
    const ECONNABORTED: i32 = 103;
    let sent: Transfer = host.during(guest.begin(send(handle, 1, 1 << 20))?)?;
    ensure(sent.errno == Some(ECONNABORTED), || format!("the guest: {sent:?}"))?;
    let seconds = start.elapsed().as_secs_f64();
    ensure(seconds < 30.0, || format!("the guest knew after {seconds:.1} s"))?;
    let error = host.until("our error", |host| match host.at(socket)?.recv(&mut [0; 100]) {
        Ok(octets) => Err(Error::Scenario(format!("{octets} octets arrived"))),
        Err(RecvError::WouldBlock) => Ok(None),
        Err(error) => Ok(Some(error)),
    })?;
    host.close(socket);
    host.heal();
    let _: () = host.during(guest.begin(Request::Close { handle })?)?;
    host.leave()?;
    Ok(format!("{error}, {seconds:.1} s"))
}

/// How the guest goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Death {
    /// As if its machine had died.
    Frozen,
    RxeRemoved,
    Cable,
}

/// So long may we take to notice.
const NOTICED: Duration = Duration::from_secs(15);

fn watchful(config: &mut Config) {
    // Who only receives learns of a peer's death from TEST LINK alone.
    config.timers.link.test_link = smolsmc::Duration::from_secs(1);
}

/// In the middle of a transfer: our application is told what happened, soon.
fn dies(stage: &Stage<'_>, we: We, death: Death, sending: bool) -> Result<String> {
    let mut met = Met::with(stage, we, Family::Smc, false, watchful)?;
    let handle = accepted(&mut met)?;
    let (socket, guest) = (met.socket, met.guest);
    let request = if sending { receive(None)(handle) } else { send(handle, 1, 1 << 40) };
    let _transfer = guest.begin::<Transfer>(request)?;
    let mut moved = 0;
    met.host.until("the middle of a transfer", |host| {
        if sending {
            moved = host.send_from(socket, 1, moved, u64::MAX)?;
        } else {
            moved += host.receive_some(socket, 1, moved)?.unwrap_or(0);
        }
        Ok((moved > 1 << 20).then_some(()))
    })?;
    let start = Instant::now();
    match death {
        Death::Frozen => guest.freeze(true)?,
        // The command itself may not come back.
        Death::RxeRemoved => drop(guest.begin::<()>(Request::RemoveRxe { name: "rxe0".to_owned() })?),
        Death::Cable => guest.carrier(0, false)?,
    }
    let error = met.host.until("a word about the guest's end", |host| {
        if let Some(error) = host.at(socket)?.error() {
            return Ok(Some(error));
        }
        if sending {
            moved = host.send_from(socket, 1, moved, u64::MAX).unwrap_or(moved);
        } else if let Ok(Some(more)) = host.receive_some(socket, 1, moved) {
            moved += more;
        }
        Ok(None)
    })?;
    let seconds = start.elapsed();
    ensure(seconds < NOTICED, || format!("{error} only after {:.1} s", seconds.as_secs_f64()))?;
    let typed = matches!(
        error,
        ConnectionError::LinkFailed(_) | ConnectionError::LinkDown(_) | ConnectionError::PeerAborted
    );
    ensure(typed, || format!("we: {error}"))?;
    met.host.close(socket);
    met.host.until("the end of all that was ours", |host| Ok(host.stack.is_idle().then_some(())))?;
    if death == Death::Frozen {
        guest.freeze(false)?;
    }
    Ok(format!("{error}, {:.1} s", seconds.as_secs_f64()))
}
