//! What happens to data on its way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use super::{Connected, ensure_all, ensure_end};
use crate::frames::is_roce;
use crate::protocol::{Behaviour, Family, Half, Netem, Request, SocketOption, Transfer};
use crate::scenario::{Stage, ensure};
use crate::{Error, Fate, Result};

pub(super) fn echo(stage: &Stage<'_>, octets: u64) -> Result<String> {
    let connected = Connected::new(stage, Family::Smc, Behaviour::Echo)?;
    connected.ensure_smcr()?;
    connected.ensure_echo(octets)?;
    connected.close()?;
    Ok("SMC-R".to_owned())
}

pub(super) fn ping_pong(stage: &Stage<'_>) -> Result<String> {
    let connected = Connected::new(stage, Family::Smc, Behaviour::Echo)?;
    let trips = connected.client.ping_pong(connected.handle, 3, 16, 200)?;
    let is_right = trips.count == 200 && trips.mismatch.is_none() && trips.min > 0;
    ensure(is_right, || format!("{trips:?}"))?;
    connected.ensure_smcr()?;
    connected.close()?;
    Ok(format!("SMC-R, p50 {} us", trips.p50))
}

/// One way at a time; the server's own count says that all came.
pub(super) fn source_and_sink(stage: &Stage<'_>) -> Result<String> {
    const OCTETS: u64 = 500_000;
    let down = Connected::new(stage, Family::Smc, Behaviour::Source { stream: 7, octets: OCTETS })?;
    ensure_end(&down.client.receive(down.handle, 7, None)?, OCTETS)?;
    down.client.close(down.handle)?;
    ensure_all(&down.server.await_served(down.listener, 1)?[0].sent, OCTETS)?;

    let up = Connected::new(stage, Family::Smc, Behaviour::Sink(8))?;
    ensure_all(&up.client.send(up.handle, 8, OCTETS)?, OCTETS)?;
    up.client.shutdown(up.handle, Half::Write)?;
    ensure_end(&up.server.await_served(up.listener, 1)?[0].received, OCTETS)?;
    up.client.close(up.handle)?;
    Ok("SMC-R".to_owned())
}

/// The smallest ring at the client, one eight times as large at the server.
pub(super) fn buffer_sizes(stage: &Stage<'_>) -> Result<String> {
    stage.guest(0)?.set_sysctl("net.smc.rmem", "131072")?;
    let options = [SocketOption::ReceiveBuffer(8192), SocketOption::SendBuffer(8192)];
    let connected = Connected::with(stage, Family::Smc, Behaviour::Echo, &options)?;
    connected.ensure_echo(200_000)?;
    let socket = connected.client.diagnose(connected.handle)?;
    let sizes = socket.connection.as_ref().map(|c| (c.rmbe, c.peer_rmbe));
    ensure(sizes == Some((16 << 10, 128 << 10)), || format!("{socket:?}"))?;
    connected.close()?;
    Ok("SMC-R, 16k and 128k".to_owned())
}

pub(super) fn peek(stage: &Stage<'_>) -> Result<String> {
    let connected = Connected::new(stage, Family::Smc, Behaviour::Manual)?;
    let (server, client) = (connected.server, connected.client);
    let accepted = server.accept(connected.listener)?;
    ensure_all(&client.send(connected.handle, 1, 100)?, 100)?;
    for _ in 0..2 {
        let seen: Transfer = server.ask(Request::Peek { handle: accepted, stream: 1, octets: 100 })?;
        ensure(seen.octets > 0 && seen.mismatch.is_none(), || format!("{seen:?}"))?;
    }
    ensure_all(&server.receive(accepted, 1, Some(100))?, 100)?;
    Ok("SMC-R".to_owned())
}

/// Ordinary data first, read only once the urgent octet is there too: if it were
/// the first unread octet, Linux would leave it in the ring and the sender blocked.
pub(super) fn urgent(stage: &Stage<'_>) -> Result<String> {
    let connected = Connected::new(stage, Family::Smc, Behaviour::Manual)?;
    let (server, client) = (connected.server, connected.client);
    let accepted = server.accept(connected.listener)?;
    ensure_all(&client.send(connected.handle, 1, 100)?, 100)?;
    let _: () = client.ask(Request::SendUrgent { handle: connected.handle, octet: b'!' })?;
    retry(|| {
        let socket = server.diagnose(accepted)?;
        let arrived = socket.connection.as_ref().map(|c| c.rx_prod.count);
        ensure(arrived == Some(101), || format!("{socket:?}"))
    })?;
    ensure_all(&server.receive(accepted, 1, Some(100))?, 100)?;
    let octet: u8 = server.ask(Request::ReceiveUrgent { handle: accepted })?;
    ensure(octet == b'!', || format!("urgent octet {octet:#04x}"))?;
    ensure_all(&client.send(connected.handle, 1, 100)?, 100)?;
    ensure_all(&server.receive(accepted, 1, Some(100))?, 100)?;
    Ok("SMC-R".to_owned())
}

/// Tries until it works: what was sent may not have arrived yet.
fn retry<T>(mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let mut last = Err(Error::Scenario("never tried".to_owned()));
    for _ in 0..40 {
        last = attempt();
        if last.is_ok() {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    last
}

/// Corked data stays where it is until the cork is drawn.
pub(super) fn cork(stage: &Stage<'_>) -> Result<String> {
    let connected = Connected::new(stage, Family::Smc, Behaviour::Manual)?;
    let (server, client, handle) = (connected.server, connected.client, connected.handle);
    let accepted = server.accept(connected.listener)?;
    let set = |option| client.ask::<()>(Request::SetOption { handle, option });
    set(SocketOption::Cork(true))?;
    ensure_all(&client.send(handle, 1, 50)?, 50)?;
    let wait = Request::Receive { handle: accepted, stream: 1, octets: Some(50), chunk: 50, seconds: 0.3 };
    let early: Transfer = server.ask(wait)?;
    ensure(early.octets == 0, || format!("corked data came: {early:?}"))?;
    set(SocketOption::Cork(false))?;
    ensure_all(&server.receive(accepted, 1, Some(50))?, 50)?;
    set(SocketOption::NoDelay(true))?;
    Ok("SMC-R".to_owned())
}

/// Every hundredth RoCE frame is lost: retransmission makes it good.
pub(super) fn loss_on_the_wire(stage: &Stage<'_>) -> Result<String> {
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

/// Delay and loss in the client's own NIC, as netem makes them.
pub(super) fn netem(stage: &Stage<'_>) -> Result<String> {
    let connected = Connected::new(stage, Family::Smc, Behaviour::Echo)?;
    let calm = connected.client.ping_pong(connected.handle, 1, 16, 20)?;
    let netem = Netem { delay: 20_000, loss: 0.02, ..Netem::default() };
    let _: () = connected.client.ask(Request::SetNetem { nic: "eth0".to_owned(), netem })?;
    let slow = connected.client.ping_pong(connected.handle, 1, 16, 20)?;
    ensure(slow.count == 20 && slow.min >= calm.min + 19_000, || format!("{calm:?}, then {slow:?}"))?;
    connected.ensure_smcr()?;
    connected.close()?;
    Ok("SMC-R".to_owned())
}
