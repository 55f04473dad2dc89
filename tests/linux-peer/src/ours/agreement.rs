//! What both sides agree on: enterprise ids, limits, path MTU; and what becomes of
//! a connection when there is nothing to agree on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use smolsmc::{ConnectionError, SocketHandle, SocketOptions};

use super::contact::{PEER_DECLINED, PEER_WITHOUT_SMC, ensure_tcp, if_client_anywhere};
use super::many::{ensure_groups, ensure_home};
use super::{Met, We, both, end, exchange, meet};
use crate::frames::is_roce;
use crate::host::Host;
use crate::protocol::{Behaviour, Family, Handle, Request, Served, Transfer};
use crate::scenario::{Scenario, Stage, ensure};
use crate::{Direction, Fate, Guest, Result};

/// No common ground: an EID that the peer does not have is among the reasons.
const NO_DEVICE: u32 = 0x0303_0000;
const THEY_DECLINE: &str = "TCP (we: 0x05000000 peer declined; peer: 0x03030000 no SMC device (R or D))";

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut list: Vec<_> = both("no-ueid-theirs", no_ueid_theirs).map(Scenario::anywhere).into();
    list.extend(both("no-ueid-ours", no_ueid_ours).map(if_client_anywhere));
    list.extend(both("strict", strict));
    list.extend(
        both("strict-linux-without-smc", |stage, we| strict_refused(stage, we, Family::Tcp))
            .map(Scenario::anywhere),
    );
    list.extend(
        both("strict-no-ueid", |stage, we| strict_refused(stage, we, Family::Smc)).map(Scenario::anywhere),
    );
    list.extend(both("max-conns-16", max_conns).map(Scenario::slow));
    for (name, theirs, ours, largest) in [
        ("mtu-1500", 1500, 1500, 1024),
        ("mtu-4200", 4200, 4200, 4096),
        ("mtu-9000-and-1500", 9000, 1500, 1024),
    ] {
        let play = move |stage: &Stage<'_>, we| mtu(stage, we, theirs, ours, largest);
        // The short run has one that is not usual.
        list.extend(both(name, play).map(|scenario| if ours == 4200 { scenario } else { scenario.slow() }));
    }
    list
}

/// Without a UEID Linux never uses SMC-Rv2. As a client it says so with a
/// Decline of version 1 in place of the Proposal.
fn no_ueid_theirs(stage: &Stage<'_>, we: We) -> Result<String> {
    stage.guest(0)?.set_ueids(&[])?;
    let mut met = Met::usual(stage, we)?;
    let name = ensure_tcp(&mut met, THEY_DECLINE, Some((NO_DEVICE, 0)))?;
    met.end()?;
    Ok(format!("{name} {NO_DEVICE:#010x}"))
}

fn no_ueid_ours(stage: &Stage<'_>, we: We) -> Result<String> {
    let mut met = Met::with(stage, we, Family::Smc, true, |config| config.eids.clear())?;
    let ours = met.host.transport(met.socket)?.to_string();
    ensure(ours.starts_with("TCP (we: 0x0303"), || format!("we: {ours}"))?;
    let theirs = (PEER_DECLINED, NO_DEVICE);
    let name = ensure_tcp(&mut met, &ours, Some(theirs))?;
    met.end()?;
    Ok(format!("{name} {NO_DEVICE:#010x}"))
}

fn strict_options() -> SocketOptions {
    let mut options = SocketOptions::default();
    options.strict = true;
    options
}

/// SMC-R is demanded, and there is SMC-R.
fn strict(stage: &Stage<'_>, we: We) -> Result<String> {
    let guest = stage.guest(0)?;
    let mut host = Host::on(stage, |_| {})?;
    let port = stage.fresh_port();
    let (socket, theirs) = match we {
        We::Connect => {
            let listener = guest.listen(Family::Smc, port, Behaviour::Echo)?;
            (host.connect(port, strict_options())?, listener)
        }
        We::Listen => {
            let listener = host.listen_with(port, strict_options())?;
            let handle = host.during(guest.begin(connect(Family::Smc, port))?)?;
            let socket = host.accept(listener)?;
            host.echo_on(socket);
            (socket, handle)
        }
    };
    let mut met = Met { host, guest, we, socket, theirs };
    met.ensure_smcr()?;
    met.exchange(10_000)?;
    met.end()?;
    Ok("SMC-R".to_owned())
}

fn connect(family: Family, port: u16) -> Request {
    Request::Connect { family, address: Stage::free_address(), port, options: Vec::new() }
}

/// SMC-R is demanded, and TCP is all there is: not an octet goes over it.
fn strict_refused(stage: &Stage<'_>, we: We, family: Family) -> Result<String> {
    let guest = stage.guest(0)?;
    guest.set_ueids(&[])?;
    let mut host = Host::on(stage, |_| {})?;
    let port = stage.fresh_port();
    match we {
        We::Connect => {
            let listener = guest.listen(family, port, Behaviour::Echo)?;
            let socket = host.begin_connect(port, strict_options())?;
            let error = host.end_of(socket)?;
            let right = matches!(error, ConnectionError::NotSmc { .. });
            ensure(right, || format!("we: {error}"))?;
            host.close(socket);
            // The guest's listener may not even see it: our RST comes as its ACK.
            host.during_time(Duration::from_millis(300));
            let served: Vec<Served> = host.during(guest.begin(Request::Served { listener })?)?;
            let silent = served.iter().all(|one| one.ended && one.received.octets == 0);
            ensure(silent, || format!("the guest: {served:?}"))?;
        }
        We::Listen => {
            let listener = host.listen_with(port, strict_options())?;
            // The guest may hear of it while it connects, or only afterwards.
            let connected = host.during::<Handle>(guest.begin(connect(family, port))?);
            if let Ok(handle) = connected {
                let request = Request::Receive { handle, stream: 1, octets: None, chunk: 1, seconds: 20.0 };
                let received: Transfer = host.during(guest.begin(request)?)?;
                let ended = received.octets == 0 && received.errno != Some(11);
                ensure(ended, || format!("the guest: {received:?}"))?;
            }
            host.during_time(Duration::from_millis(100));
            ensure(host.stack.accept(listener).is_none(), || "a TCP connection was accepted".to_owned())?;
        }
    }
    host.leave()?;
    let why = if family == Family::Tcp { PEER_WITHOUT_SMC } else { NO_DEVICE };
    Ok(format!("refused, {why:#010x}"))
}

/// Sixteen connections fill a group; the others find a second one.
fn max_conns(stage: &Stage<'_>, we: We) -> Result<String> {
    let guest = stage.guest(0)?;
    guest.set_sysctl("net.smc.smcr_max_conns_per_lgr", "16")?;
    let mut host = Host::on(stage, |config| config.max_conns = 16)?;
    let mut all: Vec<(SocketHandle, Handle)> = Vec::new();
    for _ in 0..20 {
        all.push(meet(&mut host, stage, guest, we, Family::Smc, true)?);
    }
    ensure_groups(&mut host, guest, &[4, 16])?;
    for &(socket, theirs) in &all {
        exchange(&mut host, guest, we, socket, theirs, 3000)?;
        end(&mut host, guest, we, socket, theirs)?;
    }
    ensure_home(&mut host, guest)?;
    host.leave()?;
    Ok("SMC-R, 16 and 4".to_owned())
}

/// Octets of a packet beside its payload: Ethernet, IP, UDP, BTH, RETH, ICRC.
const AROUND: usize = 14 + 20 + 8 + 12 + 16 + 4;

/// rxe takes the new MTU at once, but SMC learns of it only with the port's next
/// event: until then it goes on offering the old one.
fn set_mtu(guest: &Guest, mtu: u32) -> Result<()> {
    let nic = || "eth0".to_owned();
    let _: () = guest.ask(Request::Mtu { nic: nic(), mtu })?;
    let _: () = guest.ask(Request::LinkState { nic: nic(), up: false })?;
    let _: () = guest.ask(Request::LinkState { nic: nic(), up: true })?;
    std::thread::sleep(Duration::from_millis(500));
    Ok(())
}

/// Each direction's longest packet says which path MTU was agreed on.
fn mtu(stage: &Stage<'_>, we: We, theirs: u32, ours: u16, largest: usize) -> Result<String> {
    let guest = stage.guest(0)?;
    set_mtu(guest, theirs)?;
    let mut met = Met::across(stage, we, Family::Smc, true, |config| config.ports[0].ethernet_mtu = ours)?;
    met.ensure_smcr()?;
    let longest = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let seen = longest.clone();
    met.host.judge(0, move |direction, frame| {
        if is_roce(frame) {
            seen[usize::from(direction == Direction::AToB)].fetch_max(frame.len(), Ordering::Relaxed);
        }
        Fate::Pass
    })?;
    met.exchange(1 << 20)?;
    let longest = [0, 1].map(|direction: usize| longest[direction].load(Ordering::Relaxed));
    // A WRITE's first packet is the longest.
    ensure(longest == [largest + AROUND; 2], || format!("longest packets: {longest:?}"))?;
    met.end()?;
    set_mtu(guest, 1500)?;
    Ok(format!("SMC-R, path MTU {largest}"))
}
