//! Scenarios with Linux on both sides: they prove the harness, and say what Linux
//! does with Linux where another peer is measured against it.
//!
//! The server is always guest 0, because a link group has fixed roles.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::protocol::{Behaviour, Exchanged, Family, Half, Handle, Request, Transfer};
use crate::scenario::{Scenario, Stage, ensure};
use crate::{Fate, Guest, Result};

const ROLE: &str = "Linux-Linux";
/// No common ground: an EID that the peer does not have is among the reasons.
const NO_DEVICE: u32 = 0x0303_0000;
/// The peer's SYN or SYN-ACK had no SMC option.
const PEER_WITHOUT_SMC: u32 = 0x0301_0000;
/// The peer declined; its reason is in the diagnosis.
const PEER_DECLINED: u32 = 0x0500_0000;

/// In their order: the first needs guests that have never met.
#[must_use]
pub fn scenarios() -> Vec<Scenario> {
    let mut list = vec![
        Scenario::pair("linux-first-contact", ROLE, first_contact),
        Scenario::pair("linux-second-connection", ROLE, second_connection),
    ];
    for (name, octets) in [("1", 1), ("16", 16), ("64k", 64 << 10), ("1m", 1 << 20)] {
        let name = format!("linux-echo-{name}");
        list.push(Scenario::pair(&name, ROLE, move |stage| echo(stage, octets)));
    }
    list.extend([
        Scenario::pair("linux-half-close", ROLE, half_close),
        Scenario::pair("linux-ueid-mismatch", ROLE, ueid_mismatch),
        Scenario::pair("linux-server-without-smc", ROLE, server_without_smc),
        Scenario::pair("linux-loss", ROLE, loss_on_the_wire),
        Scenario::pair("linux-process-killed", ROLE, process_killed),
    ]);
    list
}

/// A connection between both guests, and what it takes to look at both ends.
struct Connected<'a> {
    server: &'a Guest,
    client: &'a Guest,
    listener: Handle,
    handle: Handle,
}

impl<'a> Connected<'a> {
    fn new(stage: &'a Stage<'_>, listening: Family, behaviour: Behaviour) -> Result<Self> {
        let (server, client) = (stage.guest(0)?, stage.guest(1)?);
        let port = stage.fresh_port();
        let listener = server.listen(listening, port, behaviour)?;
        let handle = client.connect(Family::Smc, Stage::address(0), port)?;
        Ok(Self { server, client, listener, handle })
    }

    /// Both sides are on SMC-R.
    fn ensure_smcr(&self) -> Result<()> {
        let at_client = self.client.diagnose(self.handle)?;
        let served = self.server.await_arrivals(self.listener, 1)?;
        ensure(served.len() == 1, || format!("the server has {} connections", served.len()))?;
        let at_server = self.server.diagnose(served[0].handle)?;
        for (side, socket) in [("client", at_client), ("server", at_server)] {
            let is_smcr = socket.mode == "SMCR" && socket.fallback.is_none() && socket.link.is_some();
            ensure(is_smcr, || format!("{side}: {socket:?}"))?;
        }
        Ok(())
    }

    /// Octets there and back, all right.
    fn ensure_echo(&self, octets: u64) -> Result<()> {
        let exchanged = self.client.exchange(self.handle, 1, octets)?;
        ensure(is_whole(&exchanged, octets), || format!("{exchanged:?}"))
    }

    /// The client closes, the server sees the end.
    fn close(self) -> Result<()> {
        self.client.close(self.handle)?;
        let served = self.server.await_served(self.listener, 1)?;
        ensure(served[0].received.end, || format!("{served:?}"))?;
        self.server.close(self.listener)
    }
}

fn is_whole(exchanged: &Exchanged, octets: u64) -> bool {
    let (sent, received) = (&exchanged.sent, &exchanged.received);
    sent.octets == octets && received.octets == octets && received.mismatch.is_none()
}

fn first_contact(stage: &Stage<'_>) -> Result<String> {
    let (server, client) = (stage.guest(0)?, stage.guest(1)?);
    let before = (server.statistics()?, client.statistics()?);
    ensure(server.link_groups()?.is_empty(), || "the server has a link group already".to_owned())?;
    let connected = Connected::new(stage, Family::Smc, Behaviour::Echo)?;
    connected.ensure_smcr()?;
    connected.ensure_echo(16)?;
    let groups = client.link_groups()?;
    let is_right = |eid: &Option<String>| eid.as_deref() == Some(Stage::ueid());
    ensure(groups.len() == 1 && !groups[0].server && is_right(&groups[0].eid), || format!("{groups:?}"))?;
    let after = (server.statistics()?, client.statistics()?);
    ensure(after.0.server_v2 == before.0.server_v2 + 1, || format!("server: {:?}", after.0))?;
    ensure(after.1.client_v2 == before.1.client_v2 + 1, || format!("client: {:?}", after.1))?;
    connected.close()?;
    Ok("SMC-R".to_owned())
}

fn second_connection(stage: &Stage<'_>) -> Result<String> {
    let first = Connected::new(stage, Family::Smc, Behaviour::Echo)?;
    let second = Connected::new(stage, Family::Smc, Behaviour::Echo)?;
    for connected in [&first, &second] {
        connected.ensure_smcr()?;
        connected.ensure_echo(1000)?;
    }
    let groups = stage.guest(0)?.link_groups()?;
    ensure(groups.len() == 1 && groups[0].connections == 2, || format!("{groups:?}"))?;
    first.close()?;
    second.close()?;
    Ok("SMC-R".to_owned())
}

fn echo(stage: &Stage<'_>, octets: u64) -> Result<String> {
    let connected = Connected::new(stage, Family::Smc, Behaviour::Echo)?;
    connected.ensure_smcr()?;
    connected.ensure_echo(octets)?;
    connected.close()?;
    Ok("SMC-R".to_owned())
}

/// The client has said all and still receives all.
fn half_close(stage: &Stage<'_>) -> Result<String> {
    const OCTETS: u64 = 3000;
    let connected = Connected::new(stage, Family::Smc, Behaviour::Manual)?;
    let (client, server) = (connected.client, connected.server);
    let accepted = server.accept(connected.listener)?;
    let sent = client.send(connected.handle, 1, OCTETS)?;
    ensure(sent.octets == OCTETS, || format!("client: {sent:?}"))?;
    client.shutdown(connected.handle, Half::Write)?;
    let received = server.receive(accepted, 1, None)?;
    let is_all = received.octets == OCTETS && received.end && received.mismatch.is_none();
    ensure(is_all, || format!("server: {received:?}"))?;
    let sent = server.send(accepted, 2, OCTETS)?;
    ensure(sent.octets == OCTETS, || format!("server: {sent:?}"))?;
    server.close(accepted)?;
    let received = client.receive(connected.handle, 2, None)?;
    let is_all = received.octets == OCTETS && received.end && received.mismatch.is_none();
    ensure(is_all, || format!("client: {received:?}"))?;
    client.close(connected.handle)?;
    Ok("SMC-R".to_owned())
}

fn ueid_mismatch(stage: &Stage<'_>) -> Result<String> {
    stage.guest(1)?.set_ueids(&["OTHEREID"])?;
    let before = stage.guest(0)?.fallback_count(true, NO_DEVICE)?;
    let connected = Connected::new(stage, Family::Smc, Behaviour::Echo)?;
    let at_client = connected.client.diagnose(connected.handle)?;
    let is_declined = at_client.mode == "TCP" && at_client.fallback == Some((PEER_DECLINED, NO_DEVICE));
    ensure(is_declined, || format!("client: {at_client:?}"))?;
    let after = connected.server.fallback_count(true, NO_DEVICE)?;
    ensure(after == before + 1, || format!("the server counts {before}, then {after}"))?;
    connected.ensure_echo(100_000)?;
    connected.close()?;
    Ok(format!("TCP {NO_DEVICE:#010x}"))
}

fn server_without_smc(stage: &Stage<'_>) -> Result<String> {
    let connected = Connected::new(stage, Family::Tcp, Behaviour::Echo)?;
    let at_client = connected.client.diagnose(connected.handle)?;
    let reason = at_client.fallback.map(|(reason, _)| reason);
    let is_tcp = at_client.mode == "TCP" && reason == Some(PEER_WITHOUT_SMC);
    ensure(is_tcp, || format!("client: {at_client:?}"))?;
    connected.ensure_echo(100_000)?;
    connected.close()?;
    Ok(format!("TCP {PEER_WITHOUT_SMC:#010x}"))
}

/// Every hundredth RoCE frame is lost: retransmission makes it good.
fn loss_on_the_wire(stage: &Stage<'_>) -> Result<String> {
    let connected = Connected::new(stage, Family::Smc, Behaviour::Echo)?;
    connected.ensure_smcr()?;
    let lost = Arc::new(AtomicU32::new(0));
    let (its_lost, mut count) = (lost.clone(), 0);
    stage.wire()?.judge(move |_, frame| {
        count += usize::from(is_roce(frame));
        if !is_roce(frame) || !count.is_multiple_of(100) {
            return Fate::Pass;
        }
        its_lost.fetch_add(1, Ordering::Relaxed);
        Fate::Drop
    });
    connected.ensure_echo(300_000)?;
    stage.wire()?.heal();
    ensure(lost.load(Ordering::Relaxed) > 0, || "nothing was lost".to_owned())?;
    connected.close()?;
    Ok("SMC-R".to_owned())
}

/// IPv4 without options, UDP to port 4791.
fn is_roce(frame: &[u8]) -> bool {
    frame.get(12..15) == Some(&[0x08, 0x00, 0x45])
        && frame.get(23) == Some(&17)
        && frame.get(36..38) == Some(&4791_u16.to_be_bytes())
}

/// SIGKILL of the client's process is a normal close for the server.
fn process_killed(stage: &Stage<'_>) -> Result<String> {
    let (server, client) = (stage.guest(0)?, stage.guest(1)?);
    let port = stage.fresh_port();
    let listener = server.listen(Family::Smc, port, Behaviour::Sink(1))?;
    let child: Handle = client.ask(Request::Spawn)?;
    let within = |request| Request::InChild { child, request: Box::new(request) };
    let address = Stage::address(0);
    let connect = Request::Connect { family: Family::Smc, address, port, options: Vec::new() };
    let handle: Handle = client.ask(within(connect))?;
    let send = Request::Send { handle, stream: 1, octets: 5000, chunk: 5000, seconds: 5.0 };
    let _: Transfer = client.ask(within(send))?;
    let _: () = client.ask(Request::Kill { child })?;
    let served = server.await_served(listener, 1)?;
    let received = &served[0].received;
    let is_all = received.octets == 5000 && received.end && received.mismatch.is_none();
    ensure(is_all, || format!("{served:?}"))?;
    server.close(listener)?;
    Ok("SMC-R".to_owned())
}

#[cfg(test)]
mod tests {
    use crate::runner::duplicates;

    #[test]
    fn every_scenario_has_a_name_of_its_own() {
        assert!(duplicates(&super::scenarios()).is_empty());
    }
}
