//! How connections end.

use super::{Connected, ensure_all, ensure_end};
use crate::Result;
use crate::protocol::{Behaviour, Family, Half, Handle, Request, Transfer};
use crate::scenario::{Stage, ensure};

/// The client has said all and still receives all.
pub(super) fn half_close(stage: &Stage<'_>) -> Result<String> {
    const OCTETS: u64 = 3000;
    let connected = Connected::new(stage, Family::Smc, Behaviour::Manual)?;
    let (client, server) = (connected.client, connected.server);
    let accepted = server.accept(connected.listener)?;
    let sent = client.send(connected.handle, 1, OCTETS)?;
    ensure_all(&sent, OCTETS)?;
    client.shutdown(connected.handle, Half::Write)?;
    let received = server.receive(accepted, 1, None)?;
    ensure_end(&received, OCTETS)?;
    let sent = server.send(accepted, 2, OCTETS)?;
    ensure_all(&sent, OCTETS)?;
    server.close(accepted)?;
    let received = client.receive(connected.handle, 2, None)?;
    ensure_end(&received, OCTETS)?;
    client.close(connected.handle)?;
    Ok("SMC-R".to_owned())
}

/// Closing with unread data is an abort. Linux tells its application little: the
/// next read sees an end of stream, only a send fails.
pub(super) fn unread_data(stage: &Stage<'_>) -> Result<String> {
    const EPIPE: i32 = 32;
    let connected = Connected::new(stage, Family::Smc, Behaviour::Manual)?;
    let (server, client) = (connected.server, connected.client);
    let accepted = server.accept(connected.listener)?;
    ensure_all(&server.send(accepted, 1, 5000)?, 5000)?;
    ensure_all(&client.receive(connected.handle, 1, Some(1))?, 1)?;
    client.close(connected.handle)?;
    ensure_end(&server.receive(accepted, 2, None)?, 0)?;
    let sent = server.send(accepted, 1, 1)?;
    ensure(sent.errno == Some(EPIPE), || format!("{sent:?}"))?;
    server.close(accepted)?;
    Ok("SMC-R".to_owned())
}

/// The client's cable is pulled: its only link is gone, and with it the group.
pub(super) fn cable_pulled(stage: &Stage<'_>) -> Result<String> {
    const EPIPE: i32 = 32;
    let connected = Connected::new(stage, Family::Smc, Behaviour::Manual)?;
    let client = connected.client;
    client.carrier(0, false)?;
    let received = client.receive(connected.handle, 1, None)?;
    ensure(received.octets == 0 && (received.end || received.errno.is_some()), || format!("{received:?}"))?;
    let groups = client.link_groups()?;
    ensure(groups.is_empty(), || format!("{groups:?}"))?;
    let sent = client.send(connected.handle, 1, 1)?;
    ensure(sent.errno == Some(EPIPE), || format!("{sent:?}"))?;
    Ok("SMC-R".to_owned())
}

/// SIGKILL of the client's process is a normal close for the server.
pub(super) fn process_killed(stage: &Stage<'_>) -> Result<String> {
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
    ensure_end(&served[0].received, 5000)?;
    server.close(listener)?;
    Ok("SMC-R".to_owned())
}
