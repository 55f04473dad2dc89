//! What happens to octets on their way.

use std::time::Duration;

use smolsmc::RmbeSize;

use super::{CHUNK, Met, SECONDS, We, accepted, both, transport_name};
use crate::protocol::{Family, Handle, Request, SocketOption, Transfer};
use crate::scenario::{Scenario, Stage, ensure};
use crate::{Result, pattern};

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut list: Vec<_> = both("sizes", sizes).into();
    list.extend(both("sixteen-mib", sixteen_mib).map(Scenario::slow));
    list.extend(both("ring-full-ours", ring_full_ours));
    list.extend(both("ring-full-theirs", ring_full_theirs));
    list.extend(both("slow-reader-ours", slow_reader_ours).map(Scenario::slow));
    list.extend(both("slow-reader-theirs", slow_reader_theirs).map(Scenario::slow));
    list.extend(both("ring-sizes", ring_sizes).map(Scenario::slow));
    list.extend(both("peek", peek));
    list.extend(both("cork-ours", cork_ours));
    list.extend(both("cork-theirs", cork_theirs));
    list.extend(both("autocork-ours", autocork_ours));
    list.extend(both("autocork-theirs", autocork_theirs));
    list
}

fn sizes(stage: &Stage<'_>, we: We) -> Result<String> {
    let mut met = Met::usual(stage, we)?;
    let transport = met.ensure_smcr()?;
    for octets in [1, 16, 64 << 10, 1 << 20] {
        // Each exchange begins its stream anew; so does the guest's.
        met.exchange(octets)?;
    }
    met.end()?;
    Ok(transport_name(transport))
}

/// Both ways at once, by way of an echo.
fn sixteen_mib(stage: &Stage<'_>, we: We) -> Result<String> {
    const OCTETS: u64 = 16 << 20;
    let mut met = Met::usual(stage, we)?;
    met.ensure_smcr()?;
    let start = std::time::Instant::now();
    met.exchange(OCTETS)?;
    let seconds = start.elapsed().as_secs_f64();
    met.end()?;
    Ok(format!("SMC-R, {:.1} MiB/s each way", 16.0 / seconds))
}

pub(super) fn send(handle: Handle, stream: u64, octets: u64) -> Request {
    Request::Send { handle, stream, octets, chunk: CHUNK, seconds: SECONDS }
}

pub(super) fn receive(octets: Option<u64>) -> impl Fn(u32) -> Request {
    move |handle| Request::Receive { handle, stream: 1, octets, chunk: CHUNK, seconds: SECONDS }
}

/// All octets of the stream from where the guest was, all right.
pub(super) fn ensure_whole(transfer: &Transfer, octets: u64) -> Result<()> {
    let whole = transfer.octets == octets && transfer.mismatch.is_none() && transfer.errno.is_none();
    ensure(whole, || format!("the guest: {transfer:?}"))
}

/// The guest does not read: our send ring and its RMB take so much, and no more.
fn ring_full_ours(stage: &Stage<'_>, we: We) -> Result<String> {
    let mut met = Met::with(stage, we, Family::Smc, false, |_| {})?;
    let handle = accepted(&mut met)?;
    let sent = met.host.send_until_full(met.socket, 1)?;
    ensure(sent == 128 << 10, || format!("we sent {sent}"))?;
    let socket = met.ensure_there(handle)?;
    let full = socket.rx_prod.wrap == 1 && socket.rx_prod.count == 0 && socket.rx_cons.count == 0;
    ensure(full, || format!("the guest: {socket:?}"))?;
    let received = met.ask(receive(Some(sent))(handle))?;
    ensure_whole(&received, sent)?;
    met.finish(handle)?;
    Ok("SMC-R".to_owned())
}

/// We do not read: the guest's send buffer and our RMB take so much.
fn ring_full_theirs(stage: &Stage<'_>, we: We) -> Result<String> {
    const OCTETS: u64 = 200_000;
    let mut met = Met::with(stage, we, Family::Smc, false, |_| {})?;
    let handle = accepted(&mut met)?;
    let pending = met.guest.begin::<Transfer>(send(handle, 1, OCTETS))?;
    met.host.during_time(Duration::from_millis(1000));
    let socket = met.ensure_there(handle)?;
    let full = socket.tx_prod.wrap == 1 && socket.tx_prod.count == 0 && socket.tx_cons.count == 0;
    ensure(full, || format!("the guest: {socket:?}"))?;
    met.host.receive(met.socket, 1, OCTETS)?;
    let sent = met.host.during(pending)?;
    ensure_whole(&sent, OCTETS)?;
    met.finish(handle)?;
    Ok("SMC-R".to_owned())
}

/// 4000 octets at a time, with pauses, from the smallest ring.
fn slow_reader_ours(stage: &Stage<'_>, we: We) -> Result<String> {
    const STEPS: u64 = 50;
    let mut met = Met::with(stage, we, Family::Smc, false, |config| config.rmb_size = RmbeSize::KIB_16)?;
    let handle = accepted(&mut met)?;
    let octets = STEPS * 4000;
    let pending = met.guest.begin::<Transfer>(send(handle, 1, octets))?;
    for step in 0..STEPS {
        met.host.receive_from(met.socket, 1, step * 4000, (step + 1) * 4000)?;
        met.host.during_time(Duration::from_millis(30));
    }
    let sent = met.host.during(pending)?;
    ensure_whole(&sent, octets)?;
    met.finish(handle)?;
    Ok("SMC-R".to_owned())
}

fn slow_reader_theirs(stage: &Stage<'_>, we: We) -> Result<String> {
    const STEPS: u64 = 50;
    stage.guest(0)?.set_sysctl("net.smc.rmem", "16384")?;
    let mut met = Met::with(stage, we, Family::Smc, false, |_| {})?;
    let handle = accepted(&mut met)?;
    let mut sent = 0;
    for step in 1..=STEPS {
        // What fits goes; the rest waits in our ring.
        sent = met.host.send_from(met.socket, 1, sent, (step * 4000 + 60_000).min(STEPS * 4000))?;
        met.host.during_time(Duration::from_millis(30));
        let received: Transfer = met.ask(receive(Some(4000))(handle))?;
        ensure_whole(&received, 4000)?;
    }
    met.finish(handle)?;
    Ok("SMC-R".to_owned())
}

/// Each side's ring in all sizes of the RFC, crosswise.
fn ring_sizes(stage: &Stage<'_>, we: We) -> Result<String> {
    let guest = stage.guest(0)?;
    for code in 0..=5 {
        let (ours, theirs) = (RmbeSize::from_code(code), RmbeSize::from_code(5 - code));
        guest.set_sysctl("net.smc.rmem", &theirs.octets().to_string())?;
        guest.set_sysctl("net.smc.wmem", &ours.octets().to_string())?;
        let mut met = Met::with(stage, we, Family::Smc, true, |config| {
            (config.rmb_size, config.send_size) = (ours, theirs);
        })?;
        met.exchange(1 << 20)?;
        let socket = met.diagnose()?;
        let sizes = socket.connection.as_ref().map(|c| (c.rmbe, c.peer_rmbe));
        ensure(sizes == Some((theirs.octets(), ours.octets())), || format!("{ours}, {theirs}: {socket:?}"))?;
        met.end()?;
    }
    Ok("SMC-R, 16k to 512k".to_owned())
}

/// Looked at twice and then taken, on each side.
fn peek(stage: &Stage<'_>, we: We) -> Result<String> {
    let mut met = Met::with(stage, we, Family::Smc, false, |_| {})?;
    let handle = accepted(&mut met)?;
    met.host.send(met.socket, 1, 100)?;
    for _ in 0..2 {
        let seen: Transfer = met.ask(Request::Peek { handle, stream: 1, octets: 100 })?;
        ensure(seen.octets > 0 && seen.mismatch.is_none(), || format!("the guest: {seen:?}"))?;
    }
    let received: Transfer = met.ask(receive(Some(100))(handle))?;
    ensure_whole(&received, 100)?;
    let _: Transfer = met.ask(send(handle, 1, 100))?;
    let socket = met.socket;
    for _ in 0..2 {
        met.host.until("octets to peek at", |host| {
            let mut seen = [0; 200];
            match host.at(socket)?.peek(&mut seen) {
                Ok(100) => {
                    let wrong = pattern::mismatch(1, 0, &seen[..100]);
                    ensure(wrong.is_none(), || format!("octet {wrong:?} is wrong")).map(Some)
                }
                _ => Ok(None),
            }
        })?;
    }
    met.host.receive(socket, 1, 100)?;
    met.finish(handle)?;
    Ok("SMC-R".to_owned())
}

/// Nothing arrives at the guest for a while.
fn ensure_silence(met: &mut Met<'_>, handle: Handle) -> Result<()> {
    let wait = Request::Receive { handle, stream: 1, octets: Some(1), chunk: 1, seconds: 0.3 };
    let early: Transfer = met.ask(wait)?;
    ensure(early.octets == 0, || format!("corked octets came: {early:?}"))
}

/// What we cork waits until the cork is pulled, or `TCP_NODELAY` is asked for.
fn cork_ours(stage: &Stage<'_>, we: We) -> Result<String> {
    let mut met = Met::with(stage, we, Family::Smc, false, |_| {})?;
    let handle = accepted(&mut met)?;
    let socket = met.socket;
    for pull in [true, false] {
        met.host.at(socket)?.set_cork(true);
        let from = if pull { 0 } else { 50 };
        let sent = met.host.send_from(socket, 1, from, from + 50)?;
        ensure(sent == from + 50, || format!("we sent up to {sent}"))?;
        ensure_silence(&mut met, handle)?;
        if pull {
            met.host.at(socket)?.set_cork(false);
        } else {
            met.host.at(socket)?.set_nodelay(true);
        }
        let received: Transfer = met.ask(receive(Some(50))(handle))?;
        ensure_whole(&received, 50)?;
    }
    met.finish(handle)?;
    Ok("SMC-R".to_owned())
}

/// The guest's cork, pulled, and then flushed by its `TCP_NODELAY`.
fn cork_theirs(stage: &Stage<'_>, we: We) -> Result<String> {
    let mut met = Met::with(stage, we, Family::Smc, false, |_| {})?;
    let handle = accepted(&mut met)?;
    let socket = met.socket;
    for (turn, flush) in [(0, SocketOption::Cork(false)), (1, SocketOption::NoDelay(true))] {
        let _: () = met.ask(Request::SetOption { handle, option: SocketOption::Cork(true) })?;
        let sent: Transfer = met.ask(send(handle, 1, 50))?;
        ensure_whole(&sent, 50)?;
        met.host.during_time(Duration::from_millis(300));
        let early = met.host.at(socket)?.readiness().readable;
        ensure(!early, || "corked octets of the guest came".to_owned())?;
        let _: () = met.ask(Request::SetOption { handle, option: flush })?;
        met.host.receive_from(socket, 1, turn * 50, (turn + 1) * 50)?;
    }
    met.finish(handle)?;
    Ok("SMC-R".to_owned())
}

/// Ten small sends in a row, and how many messages that makes.
const SMALL_SENDS: u64 = 10;
const SMALL: u64 = 100;

/// Ours, while the guest stands still and acknowledges nothing: what is under way
/// holds back the rest.
fn autocork_ours(stage: &Stage<'_>, we: We) -> Result<String> {
    let mut counts = Vec::new();
    for most in [None, Some(0)] {
        let mut met = Met::with(stage, we, Family::Smc, false, |config| {
            config.autocork = most.unwrap_or(config.autocork);
        })?;
        let handle = accepted(&mut met)?;
        let before = met.host.stack.groups()[0].links[0].messages_sent;
        met.guest.freeze(true)?;
        for turn in 0..SMALL_SENDS {
            let sent = met.host.send_from(met.socket, 1, turn * SMALL, (turn + 1) * SMALL)?;
            ensure(sent == (turn + 1) * SMALL, || format!("we sent up to {sent}"))?;
            met.host.turn();
        }
        met.guest.freeze(false)?;
        ensure_whole(&met.ask(receive(Some(SMALL_SENDS * SMALL))(handle))?, SMALL_SENDS * SMALL)?;
        counts.push(met.host.stack.groups()[0].links[0].messages_sent - before);
        met.finish(handle)?;
    }
    ensure_fewer(&counts)
}

/// The guest's: Linux holds back what comes while a message is unacknowledged.
fn autocork_theirs(stage: &Stage<'_>, we: We) -> Result<String> {
    let mut counts = Vec::new();
    for most in ["65536", "0"] {
        stage.guest(0)?.set_sysctl("net.smc.autocorking_size", most)?;
        let mut met = Met::with(stage, we, Family::Smc, false, |_| {})?;
        let handle = accepted(&mut met)?;
        let before = met.host.stack.groups()[0].links[0].messages_received;
        let (octets, chunk) = (SMALL_SENDS * SMALL, SMALL as usize);
        let request = Request::Send { handle, stream: 1, octets, chunk, seconds: SECONDS };
        let pending = met.guest.begin::<Transfer>(request)?;
        // Nobody acknowledges for a while, as far as the guest can tell.
        std::thread::sleep(Duration::from_millis(50));
        met.host.receive(met.socket, 1, octets)?;
        ensure_whole(&met.host.during(pending)?, octets)?;
        counts.push(met.host.stack.groups()[0].links[0].messages_received - before);
        met.finish(handle)?;
    }
    ensure_fewer(&counts)
}

fn ensure_fewer(counts: &[u64]) -> Result<String> {
    let &[corked, plain] = counts else { return Err(crate::Error::Scenario(format!("{counts:?}"))) };
    let right = corked < SMALL_SENDS && plain >= SMALL_SENDS;
    ensure(right, || format!("{corked} messages, without autocork {plain}"))?;
    Ok(format!("SMC-R, {SMALL_SENDS} sends in {corked} messages, without autocork {plain}"))
}
