//! How two sides meet: link groups, and the ways down to TCP.

use std::net::Ipv4Addr;

use super::Connected;
use crate::protocol::{Behaviour, Family, Request};
use crate::scenario::{Stage, ensure};
use crate::{Guest, Result};

/// No common ground: an EID that the peer does not have is among the reasons.
const NO_DEVICE: u32 = 0x0303_0000;
/// The peer's SYN or SYN-ACK had no SMC option.
const PEER_WITHOUT_SMC: u32 = 0x0301_0000;
/// The peer declined; its reason is in the diagnosis.
const PEER_DECLINED: u32 = 0x0500_0000;

pub(super) fn first_contact(stage: &Stage<'_>) -> Result<String> {
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

pub(super) fn second_connection(stage: &Stage<'_>) -> Result<String> {
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

pub(super) fn ueid_mismatch(stage: &Stage<'_>) -> Result<String> {
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

pub(super) fn server_without_smc(stage: &Stage<'_>) -> Result<String> {
    let connected = Connected::new(stage, Family::Tcp, Behaviour::Echo)?;
    let at_client = connected.client.diagnose(connected.handle)?;
    let reason = at_client.fallback.map(|(reason, _)| reason);
    let is_tcp = at_client.mode == "TCP" && reason == Some(PEER_WITHOUT_SMC);
    ensure(is_tcp, || format!("client: {at_client:?}"))?;
    connected.ensure_echo(100_000)?;
    connected.close()?;
    Ok(format!("TCP {PEER_WITHOUT_SMC:#010x}"))
}

/// Twenty at once, each with an echo of its own.
pub(super) fn many_connections(stage: &Stage<'_>) -> Result<String> {
    const COUNT: usize = 20;
    let (server, client) = (stage.guest(0)?, stage.guest(1)?);
    let port = stage.fresh_port();
    let listener = server.listen(Family::Smc, port, Behaviour::Echo)?;
    let address = Stage::address(0);
    let connect =
        || client.begin(Request::Connect { family: Family::Smc, address, port, options: Vec::new() });
    let connecting: Vec<_> = (0..COUNT).map(|_| connect()).collect::<Result<_>>()?;
    let patience = std::time::Duration::from_secs(30);
    let handles: Vec<u32> = connecting.into_iter().map(|c| c.wait(patience)).collect::<Result<_>>()?;
    for handle in &handles {
        let socket = client.diagnose(*handle)?;
        ensure(socket.mode == "SMCR", || format!("{socket:?}"))?;
        let trips = client.ping_pong(*handle, u64::from(*handle), 100, 2)?;
        ensure(trips.count == 2 && trips.mismatch.is_none(), || format!("{trips:?}"))?;
    }
    let groups = server.link_groups()?;
    ensure(groups.iter().any(|g| g.connections as usize == COUNT), || format!("{groups:?}"))?;
    handles.iter().try_for_each(|handle| client.close(*handle))?;
    server.await_served(listener, COUNT)?;
    Ok("SMC-R".to_owned())
}

/// Both sides in networks of their own, each by way of a gateway that does not
/// exist: its MAC is the peer's, so no router is needed.
pub(super) fn indirect(stage: &Stage<'_>) -> Result<String> {
    let (server, client) = (stage.guest(0)?, stage.guest(1)?);
    let networks = [Ipv4Addr::new(10, 7, 0, 0), Ipv4Addr::new(10, 8, 0, 0)];
    let inside = |network: Ipv4Addr, host: u8| {
        let [a, b, c, _] = network.octets();
        Ipv4Addr::new(a, b, c, host)
    };
    let nic = || "eth0".to_owned();
    let move_to = |number: usize, guest: &Guest, peer: &Guest| -> Result<()> {
        let (own, other) = (networks[number], networks[1 - number]);
        let (address, gateway) = (inside(own, 1), inside(own, 254));
        let old = Stage::address(number);
        let _: () = guest.ask(Request::RemoveAddress { nic: nic(), address: old, prefix: 24 })?;
        let _: () = guest.ask(Request::AddAddress { nic: nic(), address, prefix: 24 })?;
        let mac = peer.mac(0);
        let _: () = guest.ask(Request::AddNeighbour { nic: nic(), address: gateway, mac })?;
        guest.ask(Request::AddRoute { to: other, prefix: 24, via: gateway })
    };
    move_to(0, server, client)?;
    move_to(1, client, server)?;
    let port = stage.fresh_port();
    let listener = server.listen(Family::Smc, port, Behaviour::Echo)?;
    let handle = client.connect(Family::Smc, inside(networks[0], 1), port)?;
    let connected = Connected { server, client, listener, handle };
    connected.ensure_smcr()?;
    connected.ensure_echo(10_000)?;
    connected.close()?;
    Ok("SMC-R, indirect".to_owned())
}
