//! How connections come to be, over what, and why not.

use std::time::Duration;

use smolsmc::{Eid, Transport};

use super::{Met, We, both, end, exchange, meet, transport_name};
use crate::Result;
use crate::protocol::Family;
use crate::scenario::{Scenario, Stage, ensure};

/// No common ground: an EID that the peer does not have is among the reasons.
const NO_DEVICE: u32 = 0x0303_0000;
/// The peer's SYN or SYN-ACK had no SMC option.
pub(super) const PEER_WITHOUT_SMC: u32 = 0x0301_0000;
/// The peer declined; its reason is in the diagnosis.
pub(super) const PEER_DECLINED: u32 = 0x0500_0000;

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut list: Vec<_> = [
        both("first-contact", first_contact),
        both("second-connection", second_connection),
        both("connections-in-a-row", connections_in_a_row),
        both("eid-mismatch", eid_mismatch).map(if_client_anywhere),
        both("linux-without-smc", linux_without_smc).map(Scenario::anywhere),
        both("us-without-smc", us_without_smc).map(Scenario::anywhere),
        both("whatever-carries", whatever_carries).map(Scenario::elsewhere),
        both("test-link", test_link),
    ]
    .into_iter()
    .flatten()
    .collect();
    list.push(Scenario::alone("add-link-rejected-client", "client", add_link_rejected));
    list
}

/// A client of Linux 6.1 proposes nothing over rxe: what its Proposal would lead to
/// is not to be seen there.
pub(super) fn if_client_anywhere(scenario: Scenario) -> Scenario {
    if scenario.role() == We::Connect.role() { scenario.anywhere() } else { scenario }
}

fn first_contact(stage: &Stage<'_>, we: We) -> Result<String> {
    let mut met = Met::usual(stage, we)?;
    let transport = met.ensure_smcr()?;
    let first = matches!(transport, Transport::SmcR { first_contact: true, .. });
    ensure(first, || format!("we: {transport}"))?;
    met.exchange(16)?;
    met.end()?;
    Ok(transport_name(transport))
}

/// While the first is open: each side tells of its new RMB.
fn second_connection(stage: &Stage<'_>, we: We) -> Result<String> {
    let mut met = Met::usual(stage, we)?;
    met.ensure_smcr()?;
    let guest = met.guest;
    let (socket, theirs) = meet(&mut met.host, stage, guest, we, Family::Smc, true)?;
    let transport = met.host.transport(socket)?;
    let subsequent = matches!(transport, Transport::SmcR { first_contact: false, .. });
    ensure(subsequent, || format!("we: {transport}"))?;
    met.exchange(1000)?;
    exchange(&mut met.host, guest, we, socket, theirs, 100_000)?;
    met.exchange(100_000)?;
    end(&mut met.host, guest, we, socket, theirs)?;
    met.exchange(10)?;
    met.end()?;
    Ok(transport_name(transport))
}

/// RMBs come back and are used again.
fn connections_in_a_row(stage: &Stage<'_>, we: We) -> Result<String> {
    let mut met = Met::usual(stage, we)?;
    let transport = met.ensure_smcr()?;
    let guest = met.guest;
    for _ in 0..10 {
        let (socket, theirs) = meet(&mut met.host, stage, guest, we, Family::Smc, true)?;
        let transport = met.host.transport(socket)?;
        let subsequent = matches!(transport, Transport::SmcR { first_contact: false, .. });
        ensure(subsequent, || format!("we: {transport}"))?;
        exchange(&mut met.host, guest, we, socket, theirs, 5000)?;
        end(&mut met.host, guest, we, socket, theirs)?;
    }
    met.end()?;
    Ok(transport_name(transport))
}

/// The connection is TCP, the guest's kernel says `reason`, and octets are whole.
pub(super) fn ensure_tcp(met: &mut Met<'_>, ours: &str, reason: Option<(u32, u32)>) -> Result<String> {
    let transport = met.host.transport(met.socket)?;
    ensure(transport.to_string() == ours, || format!("we: {transport}"))?;
    if let Some(reason) = reason {
        let socket = met.diagnose()?;
        let right = socket.mode == "TCP" && socket.fallback == Some(reason);
        ensure(right, || format!("the guest: {socket:?}"))?;
    }
    met.exchange(100_000)?;
    Ok("TCP".to_owned())
}

fn eid_mismatch(stage: &Stage<'_>, we: We) -> Result<String> {
    let mut met = Met::with(stage, we, Family::Smc, true, |config| {
        config.eids = Eid::from_ascii("OTHEREID").into_iter().collect();
    })?;
    let (ours, theirs) = match we {
        We::Connect => {
            ("TCP (we: 0x05000000 peer declined; peer: 0x03030000 no SMC device (R or D))", (NO_DEVICE, 0))
        }
        We::Listen => ("TCP (we: 0x03030000 no SMC device (R or D))", (PEER_DECLINED, NO_DEVICE)),
    };
    let name = ensure_tcp(&mut met, ours, Some(theirs))?;
    met.end()?;
    Ok(name)
}

fn linux_without_smc(stage: &Stage<'_>, we: We) -> Result<String> {
    let mut met = Met::with(stage, we, Family::Tcp, true, |_| {})?;
    let name = ensure_tcp(&mut met, "TCP (we: 0x03010000 peer did not signal SMC)", None)?;
    met.end()?;
    Ok(name)
}

fn us_without_smc(stage: &Stage<'_>, we: We) -> Result<String> {
    let mut met = Met::with(stage, we, Family::Smc, true, |config| config.smc = false)?;
    let name = ensure_tcp(&mut met, "TCP (SMC was not asked for)", Some((PEER_WITHOUT_SMC, 0)))?;
    met.end()?;
    Ok(name)
}

/// Whatever it is that carries it, octets are intact, and both sides say the same.
fn whatever_carries(stage: &Stage<'_>, we: We) -> Result<String> {
    let mut met = Met::usual(stage, we)?;
    let ours = met.host.transport(met.socket)?;
    met.exchange(100_000)?;
    let theirs = met.diagnose()?;
    let same = matches!(ours, Transport::SmcR { .. }) == (theirs.mode == "SMCR");
    ensure(same, || format!("we: {ours}; the guest: {theirs:?}"))?;
    met.end()?;
    Ok(ours.to_string())
}

/// The guest asks every second whether we live, and we do.
fn test_link(stage: &Stage<'_>, we: We) -> Result<String> {
    stage.guest(0)?.set_sysctl("net.smc.smcr_testlink_time", "1")?;
    let mut met = Met::usual(stage, we)?;
    let transport = met.ensure_smcr()?;
    met.exchange(1000)?;
    met.host.during_time(Duration::from_secs(5));
    met.exchange(1000)?;
    met.ensure_smcr()?;
    met.end()?;
    Ok(transport_name(transport))
}

/// With two links negotiated, a server of one device offers a second link on
/// the same device, and hears no.
fn add_link_rejected(stage: &Stage<'_>) -> Result<String> {
    let mut met = Met::with(stage, We::Connect, Family::Smc, true, |config| config.max_links = 2)?;
    let transport = met.ensure_smcr()?;
    met.exchange(100_000)?;
    met.end()?;
    Ok(transport_name(transport))
}
