//! How connections end.

use std::time::{Duration, Instant};

use smolsmc::{ConnectionError, SocketHandle, SocketOptions};

use super::data::{ensure_whole, receive, send};
use super::{Met, We, accepted, both, transport_name};
use crate::host::Host;
use crate::protocol::{Behaviour, Family, Half, Handle, Request, SocketOption, Transfer};
use crate::scenario::{Scenario, Stage, ensure};
use crate::{Guest, Result};

const EPIPE: i32 = 32;

pub(super) fn scenarios() -> Vec<Scenario> {
    let list = [
        ("half-close-ours", half_close_ours as fn(&Stage<'_>, We) -> Result<String>),
        ("half-close-theirs", half_close_theirs),
        ("shutdown-both-theirs", shutdown_both_theirs),
        ("both-close", both_close),
        ("unread-ours", unread_ours),
        ("unread-theirs", unread_theirs),
        ("abort-ours", abort_ours),
        ("linger-zero-theirs", linger_zero_theirs),
        ("process-killed-theirs", process_killed_theirs),
        ("unread-theirs-ring-full", unread_theirs_ring_full),
        ("killed-unread-theirs", |stage, we| killed_with_unread(stage, we, false)),
        ("killed-unread-theirs-sending", |stage, we| killed_with_unread(stage, we, true)),
        ("left-while-open", left_while_open),
        ("left-with-unread", left_with_unread),
    ];
    list.into_iter().flat_map(|(name, play)| both(name, play)).collect()
}

/// We have said all, and still receive all.
fn half_close_ours(stage: &Stage<'_>, we: We) -> Result<String> {
    const OCTETS: u64 = 3000;
    let mut met = Met::with(stage, we, Family::Smc, false, |_| {})?;
    let transport = met.host.transport(met.socket)?;
    let handle = accepted(&mut met)?;
    met.host.send(met.socket, 1, OCTETS)?;
    met.host.shutdown(met.socket);
    ensure_end(&met.ask(receive(None)(handle))?, OCTETS)?;
    let pending = met.guest.begin::<Transfer>(send(handle, 2, 100_000))?;
    met.host.receive(met.socket, 2, 100_000)?;
    ensure_whole(&met.host.during(pending)?, 100_000)?;
    let closing = met.guest.begin::<()>(Request::Close { handle })?;
    let more = met.host.receive_to_end(met.socket, 2)?;
    ensure(more == 0, || format!("we received {more} more"))?;
    met.host.close(met.socket);
    met.host.during(closing)?;
    met.host.leave()?;
    Ok(transport_name(transport))
}

/// The guest has said all, and still receives all.
fn half_close_theirs(stage: &Stage<'_>, we: We) -> Result<String> {
    const OCTETS: u64 = 3000;
    let mut met = Met::with(stage, we, Family::Smc, false, |_| {})?;
    let transport = met.host.transport(met.socket)?;
    let handle = accepted(&mut met)?;
    let _: Transfer = met.ask(send(handle, 1, OCTETS))?;
    let _: () = met.ask(Request::Shutdown { handle, half: Half::Write })?;
    let received = met.host.receive_to_end(met.socket, 1)?;
    ensure(received == OCTETS, || format!("we received {received}"))?;
    let pending = met.guest.begin::<Transfer>(receive(None)(handle))?;
    met.host.send(met.socket, 1, 100_000)?;
    met.host.close(met.socket);
    ensure_end(&met.host.during(pending)?, 100_000)?;
    let _: () = met.ask(Request::Close { handle })?;
    met.host.leave()?;
    Ok(transport_name(transport))
}

/// So many octets, all right, and then the end of the stream.
fn ensure_end(transfer: &Transfer, octets: u64) -> Result<()> {
    ensure_whole(transfer, octets)?;
    ensure(transfer.end, || format!("the guest saw no end: {transfer:?}"))
}

/// To Linux that is as good as a close: C, not D.
fn shutdown_both_theirs(stage: &Stage<'_>, we: We) -> Result<String> {
    let mut met = Met::with(stage, we, Family::Smc, false, |_| {})?;
    let handle = accepted(&mut met)?;
    let _: Transfer = met.ask(send(handle, 1, 1000))?;
    let _: () = met.ask(Request::Shutdown { handle, half: Half::Both })?;
    let received = met.host.receive_to_end(met.socket, 1)?;
    ensure(received == 1000, || format!("we received {received}"))?;
    met.finish(handle)?;
    Ok("SMC-R".to_owned())
}

/// Both at once, with all read.
fn both_close(stage: &Stage<'_>, we: We) -> Result<String> {
    let mut met = Met::with(stage, we, Family::Smc, false, |_| {})?;
    let handle = accepted(&mut met)?;
    met.host.send(met.socket, 1, 1000)?;
    ensure_whole(&met.ask(receive(Some(1000))(handle))?, 1000)?;
    let start = Instant::now();
    met.finish(handle)?;
    let seconds = start.elapsed().as_secs_f64();
    ensure(seconds < 20.0, || format!("it took {seconds:.1} s"))?;
    Ok("SMC-R".to_owned())
}

/// What the guest's application sees of an abort by us: the end of the stream,
/// and EPIPE when it sends.
fn ensure_aborted(met: &mut Met<'_>, handle: Handle) -> Result<()> {
    let received: Transfer = met.ask(receive(None)(handle))?;
    let ended = received.end && received.octets == 0;
    ensure(ended, || format!("the guest: {received:?}"))?;
    let sent: Transfer = met.ask(send(handle, 9, 1))?;
    ensure(sent.errno == Some(EPIPE), || format!("the guest: {sent:?}"))
}

/// We close with octets unread, which is an abort.
fn unread_ours(stage: &Stage<'_>, we: We) -> Result<String> {
    let mut met = Met::with(stage, we, Family::Smc, false, |_| {})?;
    let handle = accepted(&mut met)?;
    ensure_whole(&met.ask(send(handle, 1, 5000))?, 5000)?;
    met.host.receive(met.socket, 1, 1)?;
    met.host.close(met.socket);
    ensure_aborted(&mut met, handle)?;
    let _: () = met.ask(Request::Close { handle })?;
    met.host.leave()?;
    Ok("SMC-R".to_owned())
}

/// The guest does: our application is told at once.
fn unread_theirs(stage: &Stage<'_>, we: We) -> Result<String> {
    let mut met = Met::with(stage, we, Family::Smc, false, |_| {})?;
    let handle = accepted(&mut met)?;
    met.host.send(met.socket, 1, 5000)?;
    ensure_whole(&met.ask(receive(Some(1))(handle))?, 1)?;
    let closing = met.guest.begin::<()>(Request::Close { handle })?;
    let error = met.host.end_of(met.socket)?;
    ensure(error == ConnectionError::PeerAborted, || format!("we: {error}"))?;
    met.host.close(met.socket);
    met.host.during(closing)?;
    met.host.leave()?;
    Ok("SMC-R".to_owned())
}

fn abort_ours(stage: &Stage<'_>, we: We) -> Result<String> {
    let mut met = Met::with(stage, we, Family::Smc, false, |_| {})?;
    let handle = accepted(&mut met)?;
    met.host.abort(met.socket);
    ensure_aborted(&mut met, handle)?;
    let _: () = met.ask(Request::Close { handle })?;
    met.host.leave()?;
    Ok("SMC-R".to_owned())
}

/// SO_LINGER of 0 seconds is no abort over SMC: what was sent arrives, then the end.
fn linger_zero_theirs(stage: &Stage<'_>, we: We) -> Result<String> {
    let mut met = Met::with(stage, we, Family::Smc, false, |_| {})?;
    let handle = accepted(&mut met)?;
    let _: () = met.ask(Request::SetOption { handle, option: SocketOption::LingerZero })?;
    ensure_whole(&met.ask(send(handle, 1, 5000))?, 5000)?;
    let closing = met.guest.begin::<()>(Request::Close { handle })?;
    let received = met.host.receive_to_end(met.socket, 1)?;
    ensure(received == 5000, || format!("we received {received}"))?;
    met.host.close(met.socket);
    met.host.during(closing)?;
    met.host.leave()?;
    Ok("SMC-R".to_owned())
}

/// SIGKILL of the guest's process is a close like any other.
fn process_killed_theirs(stage: &Stage<'_>, we: We) -> Result<String> {
    let guest = stage.guest(0)?;
    let mut host = Host::on(stage, |_| {})?;
    let child: Handle = guest.ask(Request::Spawn)?;
    let (socket, handle) = meet_child(&mut host, stage, guest, child, we)?;
    let sent: Transfer = host.during(guest.begin(within(child, send(handle, 1, 5000)))?)?;
    ensure_whole(&sent, 5000)?;
    let killing = guest.begin::<()>(Request::Kill { child })?;
    let received = host.receive_to_end(socket, 1)?;
    ensure(received == 5000, || format!("we received {received}"))?;
    host.close(socket);
    host.during(killing)?;
    host.leave()?;
    Ok("SMC-R".to_owned())
}

/// The guest closes with octets unread while we have more to send than it can take.
fn unread_theirs_ring_full(stage: &Stage<'_>, we: We) -> Result<String> {
    let mut met = Met::with(stage, we, Family::Smc, false, |_| {})?;
    let handle = accepted(&mut met)?;
    met.host.send_until_full(met.socket, 1)?;
    let closing = met.guest.begin::<()>(Request::Close { handle })?;
    let error = met.host.end_of(met.socket)?;
    ensure(error == ConnectionError::PeerAborted, || format!("we: {error}"))?;
    let more = met.host.send_some(met.socket, 1, 0, 1);
    ensure(more.is_err(), || format!("we still send: {more:?}"))?;
    met.host.close(met.socket);
    met.host.during(closing)?;
    met.host.leave()?;
    Ok("SMC-R".to_owned())
}

/// SIGKILL of a process of the guest that has not read what we sent is an abort, also
/// in the middle of what it sends.
fn killed_with_unread(stage: &Stage<'_>, we: We, sending: bool) -> Result<String> {
    let guest = stage.guest(0)?;
    let mut host = Host::on(stage, |_| {})?;
    let child: Handle = guest.ask(Request::Spawn)?;
    let (socket, handle) = meet_child(&mut host, stage, guest, child, we)?;
    host.send(socket, 1, 5000)?;
    host.until("our octets at the guest", |host| Ok((host.at(socket)?.unacknowledged() == 0).then_some(())))?;
    if sending {
        let _sending = guest.begin::<Transfer>(within(child, send(handle, 1, 1 << 30)))?;
        host.receive(socket, 1, 1 << 20)?;
    }
    let killing = guest.begin::<()>(Request::Kill { child })?;
    let error = host.end_of(socket)?;
    ensure(error == ConnectionError::PeerAborted, || format!("we: {error}"))?;
    host.close(socket);
    host.during(killing)?;
    host.leave()?;
    Ok("SMC-R".to_owned())
}

fn within(child: Handle, request: Request) -> Request {
    Request::InChild { child, request: Box::new(request) }
}

/// Meets a process of its own in the guest.
fn meet_child(
    host: &mut Host,
    stage: &Stage<'_>,
    guest: &Guest,
    child: Handle,
    we: We,
) -> Result<(SocketHandle, Handle)> {
    let (family, port) = (Family::Smc, stage.fresh_port());
    match we {
        We::Connect => {
            let (behaviour, options) = (Behaviour::Manual, Vec::new());
            let listen = Request::Listen { family, port, backlog: 16, behaviour, options };
            let listener: Handle = guest.ask(within(child, listen))?;
            let socket = host.connect(port, SocketOptions::default())?;
            let accept = within(child, Request::Accept { listener, seconds: 30.0 });
            Ok((socket, host.during(guest.begin(accept)?)?))
        }
        We::Listen => {
            let listener = host.listen(port)?;
            let (address, options) = (Stage::free_address(), Vec::new());
            let connect = within(child, Request::Connect { family, address, port, options });
            let handle = host.during(guest.begin(connect)?)?;
            Ok((host.accept(listener)?, handle))
        }
    }
}

/// We abort what we have and leave; the guest's application notices only later
/// than our queue pairs answer. Its close must return all the same: a SEND that
/// is never acknowledged would hang it.
fn left_while_open(stage: &Stage<'_>, we: We) -> Result<String> {
    left(stage, we, 0)
}

/// The same with octets that nobody has read.
fn left_with_unread(stage: &Stage<'_>, we: We) -> Result<String> {
    left(stage, we, 5000)
}

fn left(stage: &Stage<'_>, we: We, unread: u64) -> Result<String> {
    let mut met = Met::with(stage, we, Family::Smc, false, |_| {})?;
    let handle = accepted(&mut met)?;
    if unread > 0 {
        met.host.send(met.socket, 1, unread)?;
        ensure_whole(&met.ask(send(handle, 1, unread))?, unread)?;
    }
    let Met { mut host, guest, socket, .. } = met;
    host.abort(socket);
    host.leave_at_once()?;
    drop(host);
    std::thread::sleep(Duration::from_secs(1));
    let start = Instant::now();
    let received: Transfer = guest.ask(receive(None)(handle))?;
    ensure(received.end || received.errno.is_some(), || format!("the guest: {received:?}"))?;
    guest.close(handle)?;
    let seconds = start.elapsed().as_secs_f64();
    ensure(seconds < 10.0, || format!("the guest's close took {seconds:.1} s"))?;
    Ok("SMC-R".to_owned())
}
