//! How we do against the kernel, beside what two kernels do in the same guests.
//! Emulated guests say little about speed: only ratios are of use.

use std::time::{Duration, Instant};

use smolsmc::SocketOptions;

use super::We;
use super::data::ensure_whole;
use crate::host::Host;
use crate::protocol::{Behaviour, Family, Half, Request, RoundTrips, Served, Transfer};
use crate::scenario::{Scenario, Stage, ensure};
use crate::{Guest, Result};

/// Messages there and back.
const TRIPS: usize = 2000;
const MESSAGE: usize = 64;
/// Octets of one way.
const OCTETS: u64 = 8 << 20;
const CHUNK: usize = 64 * 1024;

pub(super) fn scenarios() -> Vec<Scenario> {
    let measure = Scenario::pair("measure", "both, and Linux", measure);
    // The wire is ours afterwards.
    vec![measure.slow().spoils_guests().within(Duration::from_secs(900))]
}

/// Half of the round trips were faster; octets a second from and to the client.
struct Measured {
    what: &'static str,
    trip: f64,
    up: f64,
    down: f64,
}

fn measure(stage: &Stage<'_>) -> Result<String> {
    let mut all = Vec::new();
    for (what, family) in [("SMC-R, two kernels", Family::Smc), ("TCP, two kernels", Family::Tcp)] {
        all.push(kernels(stage, what, family)?);
    }
    for (what, we, family) in [
        ("SMC-R, we are the client", We::Connect, Family::Smc),
        ("SMC-R, we are the server", We::Listen, Family::Smc),
        ("TCP, we are the client", We::Connect, Family::Tcp),
        ("TCP, we are the server", We::Listen, Family::Tcp),
    ] {
        let mut host = Host::on(stage, |config| config.smc = family == Family::Smc)?;
        all.push(match we {
            We::Connect => as_client(stage, &mut host, what)?,
            We::Listen => as_server(stage, &mut host, what, family)?,
        });
        host.leave()?;
    }
    let (trip, up, down) = (all[0].trip, all[0].up, all[0].down);
    let mib = |rate: f64| rate / f64::from(1 << 20);
    let line =
        |m: &Measured| format!("{} | {:.2} | {:.2} | {:.2}", m.what, m.trip / trip, m.up / up, m.down / down);
    let lines: Vec<_> = all.iter().map(line).collect();
    Ok(format!(
        "1.00 is {:.0} us there and back, {:.1} and {:.1} MiB/s\n\
         ratios to two kernels over SMC-R | round trip | up | down\n{}",
        trip * 1e6,
        mib(up),
        mib(down),
        lines.join("\n")
    ))
}

fn rate(seconds: f64) -> f64 {
    OCTETS as f64 / seconds
}

fn kernels(stage: &Stage<'_>, what: &'static str, family: Family) -> Result<Measured> {
    let (server, client) = (stage.guest(0)?, stage.guest(1)?);
    let meet = |behaviour| -> Result<_> {
        let port = stage.fresh_port();
        let listener = server.listen(family, port, behaviour)?;
        Ok((listener, client.connect(family, Stage::address(0), port)?))
    };
    let (_, handle) = meet(Behaviour::Echo)?;
    let trips = client.ping_pong(handle, 1, MESSAGE, TRIPS)?;
    client.close(handle)?;
    let (listener, handle) = meet(Behaviour::Sink(1))?;
    let start = Instant::now();
    ensure_whole(&client.send(handle, 1, OCTETS)?, OCTETS)?;
    client.shutdown(handle, Half::Write)?;
    server.await_served(listener, 1)?;
    let up = start.elapsed().as_secs_f64();
    client.close(handle)?;
    let (_, handle) = meet(Behaviour::Source { stream: 1, octets: OCTETS })?;
    let start = Instant::now();
    let received = client.receive(handle, 1, Some(OCTETS))?;
    ensure_whole(&received, OCTETS)?;
    let down = start.elapsed().as_secs_f64();
    client.close(handle)?;
    Ok(Measured { what, trip: trips.p50 as f64 / 1e6, up: rate(up), down: rate(down) })
}

fn as_client(stage: &Stage<'_>, host: &mut Host, what: &'static str) -> Result<Measured> {
    let guest = stage.guest(0)?;
    let meet = |host: &mut Host, behaviour| -> Result<_> {
        let port = stage.fresh_port();
        let listener = guest.listen(Family::Smc, port, behaviour)?;
        Ok((listener, host.connect(port, SocketOptions::default())?))
    };
    let (_, socket) = meet(host, Behaviour::Echo)?;
    let mut trips = Vec::with_capacity(TRIPS);
    for turn in 0..TRIPS as u64 {
        let (from, to) = (turn * MESSAGE as u64, (turn + 1) * MESSAGE as u64);
        let start = Instant::now();
        let sent = host.send_from(socket, 1, from, to)?;
        ensure(sent == to, || format!("we sent up to {sent}"))?;
        host.receive_from(socket, 1, from, to)?;
        trips.push(start.elapsed().as_secs_f64());
    }
    trips.sort_by(f64::total_cmp);
    host.close(socket);
    let (listener, socket) = meet(host, Behaviour::Sink(1))?;
    let start = Instant::now();
    host.send(socket, 1, OCTETS)?;
    host.shutdown(socket);
    let served: Vec<Served> = ended(host, guest, listener)?;
    ensure_whole(&served[0].received, OCTETS)?;
    let up = start.elapsed().as_secs_f64();
    host.close(socket);
    let (_, socket) = meet(host, Behaviour::Source { stream: 1, octets: OCTETS })?;
    let start = Instant::now();
    host.receive(socket, 1, OCTETS)?;
    let down = start.elapsed().as_secs_f64();
    host.close(socket);
    Ok(Measured { what, trip: trips[TRIPS / 2], up: rate(up), down: rate(down) })
}

fn ended(host: &mut Host, guest: &Guest, listener: u32) -> Result<Vec<Served>> {
    let request = Request::AwaitServed { listener, count: 1, ended: true, seconds: super::SECONDS };
    host.during(guest.begin(request)?)
}

fn as_server(stage: &Stage<'_>, host: &mut Host, what: &'static str, family: Family) -> Result<Measured> {
    let (guest, port, seconds) = (stage.guest(0)?, stage.fresh_port(), super::SECONDS);
    let listener = host.listen(port)?;
    let meet = |host: &mut Host| -> Result<_> {
        let (address, options) = (Stage::free_address(), Vec::new());
        let handle = host.during(guest.begin(Request::Connect { family, address, port, options })?)?;
        Ok((host.accept(listener)?, handle))
    };
    let close = |host: &mut Host, handle| host.during::<()>(guest.begin(Request::Close { handle })?);
    let (socket, handle) = meet(host)?;
    host.echo_on(socket);
    let request = Request::PingPong { handle, stream: 1, size: MESSAGE, count: TRIPS, seconds };
    let trips: RoundTrips = host.during(guest.begin(request)?)?;
    ensure(trips.count == TRIPS && trips.mismatch.is_none(), || format!("{trips:?}"))?;
    close(host, handle)?;
    let (socket, handle) = meet(host)?;
    let start = Instant::now();
    let request = Request::Send { handle, stream: 1, octets: OCTETS, chunk: CHUNK, seconds };
    let sending = guest.begin::<Transfer>(request)?;
    host.receive(socket, 1, OCTETS)?;
    let up = start.elapsed().as_secs_f64();
    ensure_whole(&host.during(sending)?, OCTETS)?;
    host.close(socket);
    close(host, handle)?;
    let (socket, handle) = meet(host)?;
    let start = Instant::now();
    let octets = Some(OCTETS);
    let request = Request::Receive { handle, stream: 1, octets, chunk: CHUNK, seconds };
    let receiving = guest.begin::<Transfer>(request)?;
    host.send(socket, 1, OCTETS)?;
    ensure_whole(&host.during(receiving)?, OCTETS)?;
    let down = start.elapsed().as_secs_f64();
    host.close(socket);
    close(host, handle)?;
    Ok(Measured { what, trip: trips.p50 as f64 / 1e6, up: rate(up), down: rate(down) })
}
