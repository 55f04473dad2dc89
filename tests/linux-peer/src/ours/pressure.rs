//! Receives that run out, toward a kernel that posts 48 on a link, and toward us:
//! what the counters of both sides say.

use std::time::Duration;

use smolsmc::SocketHandle;

use super::data::{ensure_whole, receive, send};
use super::many::{close_all, ensure_groups, ensure_home, meet_many};
use super::{We, both};
use crate::host::Host;
use crate::protocol::{Handle, Request, Transfer};
use crate::scenario::{Scenario, Stage, ensure};
use crate::{Guest, Pending, Result};

/// As many as a group has.
const COUNT: usize = 255;
const ROUNDS: u64 = 20;
const OCTETS: u64 = 64;
/// The guest's processor stands still for so long, which is less than our
/// retransmission takes (134 ms): what we send meanwhile comes all at once.
const STILL: Duration = Duration::from_millis(80);

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut list = Vec::new();
    for (name, probe) in [("pressure-probed", true), ("pressure-unprobed", false)] {
        list.extend(both(name, move |stage, we| toward_linux(stage, we, probe)).map(Scenario::slow));
    }
    list.extend(both("pressure-theirs", toward_us).map(Scenario::slow));
    list
}

/// What rxe counts about receives that were not there.
#[derive(Clone, Copy, Debug)]
struct Rxe {
    rnr_sent: u64,
    rnr_received: u64,
    out_of_sequence: u64,
    duplicates: u64,
}

impl Rxe {
    fn read(host: &mut Host, guest: &Guest) -> Result<Self> {
        let mut counter = |name: &str| -> Result<u64> {
            let path = format!("/sys/class/infiniband/rxe0/ports/1/hw_counters/{name}");
            let text: String = host.during(guest.begin(Request::ReadFile { path })?)?;
            text.trim().parse().map_err(|_| crate::Error::Scenario(format!("{name}: {text:?}")))
        };
        Ok(Self {
            rnr_sent: counter("send_rnr_err")?,
            rnr_received: counter("rcvd_rnr_err")?,
            out_of_sequence: counter("out_of_seq_request")?,
            duplicates: counter("duplicate_request")?,
        })
    }

    fn since(self, before: Self) -> Self {
        Self {
            rnr_sent: self.rnr_sent - before.rnr_sent,
            rnr_received: self.rnr_received - before.rnr_received,
            out_of_sequence: self.out_of_sequence - before.out_of_sequence,
            duplicates: self.duplicates - before.duplicates,
        }
    }
}

/// All 255 connections say something while the guest stands still, so that up to
/// 255 SENDs reach its 48 receives in one go; with TEST LINK as the probe, and
/// as if the peer had more receives than we could ever use.
fn toward_linux(stage: &Stage<'_>, we: We, probe: bool) -> Result<String> {
    let guest = stage.guest(0)?;
    let mut host = Host::on(stage, |config| {
        config.limits.messages = COUNT as u32;
        if !probe {
            config.limits.peer_receives = 1 << 20;
        }
    })?;
    let all = meet_many(&mut host, stage, guest, we, COUNT)?;
    ensure_groups(&mut host, guest, &[COUNT])?;
    let before = Rxe::read(&mut host, guest)?;
    let ours = host.stack.provider_mut().counters().naks_received.rnr;
    let link = host.stack.groups()[0].links[0].clone();
    let mut most = 0;
    for round in 0..ROUNDS {
        guest.freeze(true)?;
        for &(socket, _) in &all {
            let sent = host.send_from(socket, 1, round * OCTETS, (round + 1) * OCTETS)?;
            ensure(sent == (round + 1) * OCTETS, || format!("we sent up to {sent}"))?;
        }
        host.during_time(STILL);
        most = most.max(host.stack.groups()[0].links[0].in_flight);
        guest.freeze(false)?;
        host.until("all messages to be acknowledged", |host| all_acknowledged(host, &all))?;
    }
    let naks = host.stack.provider_mut().counters().naks_received.rnr - ours;
    let now = host.stack.groups()[0].links[0].clone();
    let messages = now.messages_sent - link.messages_sent;
    ensure(messages >= ROUNDS * COUNT as u64, || format!("{messages} messages only"))?;
    let theirs = Rxe::read(&mut host, guest)?.since(before);
    for &(_, handle) in &all {
        let octets = ROUNDS * OCTETS;
        let request = receive(Some(octets))(handle);
        ensure_whole(&host.during(guest.begin(request)?)?, octets)?;
    }
    // What one side says was sent is what the other received: no frame is lost here.
    ensure(naks == theirs.rnr_sent, || format!("we received {naks} RNR NAKs: {theirs:?}"))?;
    close_all(&mut host, guest, &all)?;
    ensure_home(&mut host, guest)?;
    host.leave()?;
    let (probes, waits) = (now.work.tests_sent - link.work.tests_sent, now.work.test_waits);
    ensure((probes > 0) == probe, || format!("{probes} probes"))?;
    Ok(format!(
        "SMC-R, {messages} messages, at most {most} unacknowledged and {} unproven, {probes} probes \
         waited for {waits} times; {naks} RNR NAKs received, {} sent by rxe",
        now.work.unproven_most, theirs.rnr_sent
    ))
}

fn all_acknowledged(host: &mut Host, all: &[(SocketHandle, Handle)]) -> Result<Option<()>> {
    for &(socket, _) in all {
        if host.at(socket)?.unacknowledged() > 0 {
            return Ok(None);
        }
    }
    Ok(Some(()))
}

/// The guest sends on all 255 at once, while we look at our NIC seldom: our
/// receives are posted again before anything else is done, and do not run out.
fn toward_us(stage: &Stage<'_>, we: We) -> Result<String> {
    let guest = stage.guest(0)?;
    let mut host = Host::on(stage, |_| {})?;
    let all = meet_many(&mut host, stage, guest, we, COUNT)?;
    ensure_groups(&mut host, guest, &[COUNT])?;
    let before = Rxe::read(&mut host, guest)?;
    let ours = host.stack.provider_mut().counters().naks_sent.rnr;
    for round in 0..4 {
        let sending: Result<Vec<Pending<Transfer>>> =
            all.iter().map(|&(_, handle)| guest.begin(send(handle, 1, OCTETS))).collect();
        let sending = sending?;
        // Nobody at our end looks: what the guest can send waits in the wire.
        std::thread::sleep(STILL);
        for &(socket, _) in &all {
            host.receive_from(socket, 1, round * OCTETS, (round + 1) * OCTETS)?;
        }
        for pending in sending {
            ensure_whole(&host.during(pending)?, OCTETS)?;
        }
    }
    let naks = host.stack.provider_mut().counters().naks_sent.rnr - ours;
    let theirs = Rxe::read(&mut host, guest)?.since(before);
    ensure(naks == 0 && theirs.rnr_received == 0, || format!("we sent {naks} RNR NAKs: {theirs:?}"))?;
    close_all(&mut host, guest, &all)?;
    ensure_home(&mut host, guest)?;
    host.leave()?;
    Ok(format!("SMC-R, RNR NAKs for {} messages: we sent 0, rxe received 0", 4 * COUNT))
}
