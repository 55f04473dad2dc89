//! Urgent octets, and what Linux makes of them.

use std::time::{Duration, Instant};

use super::data::{ensure_whole, receive, send};
use super::{Met, We, accepted, both};
use crate::protocol::{Family, Handle, Request, Transfer};
use crate::scenario::{Scenario, Stage, ensure};
use crate::{Error, Result};

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut list: Vec<_> = both("urgent-theirs", urgent_theirs).into();
    list.extend(both("urgent-theirs-first", urgent_theirs_first));
    list.extend(both("urgent-ours", urgent_ours));
    list.extend(both("urgent-ours-first", urgent_ours_first));
    list.extend(both("urgent-ours-first-fetched", urgent_ours_first_fetched).map(Scenario::slow));
    list.extend(both("urgent-ours-slow-reader", urgent_ours_slow_reader).map(Scenario::slow));
    list
}

fn await_urgent(met: &mut Met<'_>) -> Result<()> {
    let socket = met.socket;
    let urgent = met.host.until("the urgent octet", |host| Ok(host.at(socket)?.recv_urgent()))?;
    ensure(urgent == b'!', || format!("urgent octet {urgent:#04x}"))
}

/// Out of band with us: the stream is without it, and the guest may send on.
fn urgent_theirs(stage: &Stage<'_>, we: We) -> Result<String> {
    let mut met = Met::with(stage, we, Family::Smc, false, |_| {})?;
    let handle = accepted(&mut met)?;
    let _: Transfer = met.ask(send(handle, 1, 100))?;
    let _: () = met.ask(Request::SendUrgent { handle, octet: b'!' })?;
    await_urgent(&mut met)?;
    let pending = met.guest.begin::<Transfer>(send(handle, 1, 5000))?;
    met.host.receive(met.socket, 1, 5100)?;
    ensure_whole(&met.host.during(pending)?, 5000)?;
    met.finish(handle)?;
    Ok("SMC-R".to_owned())
}

/// The urgent octet is the first unread one. Linux would leave it in the ring,
/// and a Linux sender waits for the empty ring: with us it does not wait.
fn urgent_theirs_first(stage: &Stage<'_>, we: We) -> Result<String> {
    let mut met = Met::with(stage, we, Family::Smc, false, |_| {})?;
    let handle = accepted(&mut met)?;
    let _: () = met.ask(Request::SendUrgent { handle, octet: b'!' })?;
    await_urgent(&mut met)?;
    let start = Instant::now();
    let pending = met.guest.begin::<Transfer>(send(handle, 1, 5000))?;
    met.host.receive(met.socket, 1, 5000)?;
    ensure_whole(&met.host.during(pending)?, 5000)?;
    let seconds = start.elapsed().as_secs_f64();
    ensure(seconds < 5.0, || format!("the guest was held up for {seconds:.1} s"))?;
    met.finish(handle)?;
    Ok("SMC-R".to_owned())
}

/// The guest's ring holds so many octets that it was told of.
fn await_arrival(met: &mut Met<'_>, handle: Handle, count: u32) -> Result<()> {
    let start = Instant::now();
    loop {
        let socket = met.ensure_there(handle)?;
        if socket.rx_prod.count == count {
            return Ok(());
        }
        let late = start.elapsed() > Duration::from_secs(30);
        ensure(!late, || format!("{count} octets have not arrived: {socket:?}"))?;
    }
}

/// With octets before it, which the guest reads first.
fn urgent_ours(stage: &Stage<'_>, we: We) -> Result<String> {
    let mut met = Met::with(stage, we, Family::Smc, false, |_| {})?;
    let handle = accepted(&mut met)?;
    let socket = met.socket;
    met.host.send(socket, 1, 100)?;
    let urged = met.host.at(socket)?.send_urgent(b'!');
    urged.map_err(|error| Error::Scenario(format!("our urgent octet: {error}")))?;
    await_arrival(&mut met, handle, 101)?;
    let received: Transfer = met.ask(receive(Some(100))(handle))?;
    ensure_whole(&received, 100)?;
    let octet: u8 = met.ask(Request::ReceiveUrgent { handle })?;
    ensure(octet == b'!', || format!("urgent octet {octet:#04x}"))?;
    let start = Instant::now();
    let sent = met.host.send_from(socket, 1, 100, 200)?;
    ensure(sent == 200, || format!("we sent up to {sent}"))?;
    let received: Transfer = met.ask(receive(Some(100))(handle))?;
    ensure_whole(&received, 100)?;
    let seconds = start.elapsed().as_secs_f64();
    ensure(seconds < 5.0, || format!("we were held up for {seconds:.1} s"))?;
    met.finish(handle)?;
    Ok("SMC-R".to_owned())
}

/// The urgent octet is the first unread one. An ordinary read passes it, fetched
/// or not by then, and what we send behind it arrives right and at once.
fn urgent_ours_first(stage: &Stage<'_>, we: We) -> Result<String> {
    let mut met = Met::with(stage, we, Family::Smc, false, |_| {})?;
    let handle = accepted(&mut met)?;
    let socket = met.socket;
    let urged = met.host.at(socket)?.send_urgent(b'!');
    urged.map_err(|error| Error::Scenario(format!("our urgent octet: {error}")))?;
    await_arrival(&mut met, handle, 1)?;
    met.host.send(socket, 1, 100)?;
    let start = Instant::now();
    ensure_whole(&met.ask(receive(Some(100))(handle))?, 100)?;
    let seconds = start.elapsed().as_secs_f64();
    ensure(seconds < 5.0, || format!("we were held up for {seconds:.1} s"))?;
    met.finish(handle)?;
    Ok("SMC-R".to_owned())
}

/// The urgent octet is the first unread one, and the guest fetches it out of band
/// before an ordinary read: Linux leaves it in the ring, says nothing, and would
/// read what came behind it shifted by one octet. So nothing comes behind it, as
/// from Linux, until somebody gives up; not one wrong octet is read.
fn urgent_ours_first_fetched(stage: &Stage<'_>, we: We) -> Result<String> {
    let mut met = Met::with(stage, we, Family::Smc, false, |_| {})?;
    let handle = accepted(&mut met)?;
    let socket = met.socket;
    let urged = met.host.at(socket)?.send_urgent(b'!');
    urged.map_err(|error| Error::Scenario(format!("our urgent octet: {error}")))?;
    await_arrival(&mut met, handle, 1)?;
    let octet: u8 = met.ask(Request::ReceiveUrgent { handle })?;
    ensure(octet == b'!', || format!("urgent octet {octet:#04x}"))?;
    met.host.send(socket, 1, 100)?;
    met.host.during_time(Duration::from_secs(12));
    let arrived = met.ensure_there(handle)?.rx_prod.count;
    ensure(arrived == 1, || format!("{arrived} octets have arrived"))?;
    // The other direction is not held up.
    let pending = met.guest.begin::<Transfer>(send(handle, 1, 5000))?;
    met.host.receive(socket, 1, 5000)?;
    ensure_whole(&met.host.during(pending)?, 5000)?;
    let pending = met.guest.begin::<Transfer>(receive(None)(handle))?;
    met.host.abort(socket);
    let received = met.host.during(pending)?;
    ensure(received.octets == 0, || format!("the guest read something: {received:?}"))?;
    let _: () = met.ask(Request::Close { handle })?;
    met.host.leave()?;
    Ok("SMC-R, nothing sent behind it".to_owned())
}

/// The guest reads nothing for some time: what we send behind the urgent octet
/// waits for it, and its reader is in step.
fn urgent_ours_slow_reader(stage: &Stage<'_>, we: We) -> Result<String> {
    let mut met = Met::with(stage, we, Family::Smc, false, |_| {})?;
    let handle = accepted(&mut met)?;
    let socket = met.socket;
    met.host.send(socket, 1, 100)?;
    let urged = met.host.at(socket)?.send_urgent(b'!');
    urged.map_err(|error| Error::Scenario(format!("our urgent octet: {error}")))?;
    let sent = met.host.send_from(socket, 1, 100, 200)?;
    ensure(sent == 200, || format!("we sent up to {sent}"))?;
    met.host.during_time(Duration::from_secs(12));
    let arrived = met.ensure_there(handle)?.rx_prod.count;
    ensure(arrived == 101, || format!("{arrived} octets have arrived"))?;
    for _ in 0..2 {
        ensure_whole(&met.ask(receive(Some(100))(handle))?, 100)?;
    }
    met.finish(handle)?;
    Ok("SMC-R".to_owned())
}
