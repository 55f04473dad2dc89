//! Random lives of connections, in both directions at once, for minutes; then
//! nothing of them is left on either side.

use std::time::{Duration, Instant};

use smolsmc::{SocketHandle, SocketOptions};

use super::many::ensure_gone;
use crate::host::Host;
use crate::protocol::{Behaviour, Exchanged, Family, Half, Handle, Request, Transfer};
use crate::scenario::{Scenario, Stage, ensure};
use crate::{Error, Guest, Pending, Result};

/// Connections of each direction at a time.
const WIDTH: usize = 12;

pub(super) fn scenarios() -> Vec<Scenario> {
    [("random-lives-short", 10, false), ("random-lives", 600, true)]
        .map(|(name, seconds, slow)| {
            let time = Duration::from_secs(seconds);
            let scenario = Scenario::alone(name, "both", move |stage| lives(stage, time));
            let scenario = scenario.within(time + Duration::from_secs(300));
            if slow { scenario.slow() } else { scenario }
        })
        .into()
}

/// Marsaglia's xorshift, so that a run can be had again.
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % end
    }

    /// From 1 to 256 KiB, every order of magnitude as likely as another.
    fn size(&mut self) -> u64 {
        let magnitude = self.below(19);
        1 + self.below(1 << magnitude)
    }
}

/// How a connection that we began ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    Close,
    /// We say that all is said, and read to the end.
    HalfClose,
    /// Somewhere on the way.
    Abort,
    /// With octets of the echo unread.
    Unread,
}

/// A connection of ours to the guest's echo.
struct Ours {
    socket: SocketHandle,
    octets: u64,
    last: Last,
    sent: u64,
    received: u64,
}

impl Ours {
    fn begin(host: &mut Host, port: u16, draw: &mut Draw) -> Result<Self> {
        let last = match draw.below(10) {
            0 => Last::Abort,
            1 => Last::Unread,
            2..5 => Last::HalfClose,
            _ => Last::Close,
        };
        let socket = host.begin_connect(port, SocketOptions::default())?;
        Ok(Self { socket, octets: draw.size(), last, sent: 0, received: 0 })
    }

    /// Goes on; true once it has been closed.
    fn go_on(&mut self, host: &mut Host) -> Result<bool> {
        let Self { socket, octets, last, .. } = *self;
        if let Some(error) = host.at(socket)?.error() {
            return Err(Error::Scenario(format!("{last:?} of {octets}: {error}")));
        }
        if host.at(socket)?.transport().is_none() {
            return Ok(false);
        }
        if self.sent < octets {
            self.sent = host.send_from(socket, 1, self.sent, octets)?;
            if self.sent == octets && last == Last::HalfClose {
                host.shutdown(socket);
            }
        }
        match last {
            Last::Abort if self.received * 2 >= octets => {
                host.abort(socket);
                return Ok(true);
            }
            Last::Unread => {
                let unread = self.sent == octets && host.at(socket)?.readiness().readable;
                if unread {
                    host.close(socket);
                }
                return Ok(unread);
            }
            _ => {}
        }
        match host.receive_some(socket, 1, self.received)? {
            Some(0) if last != Last::HalfClose || self.received < octets => {
                return Err(Error::Scenario(format!(
                    "{last:?} of {octets}: the end after {}",
                    self.received
                )));
            }
            Some(0) => {}
            Some(more) => {
                self.received += more;
                if last == Last::HalfClose || self.received < octets {
                    return Ok(false);
                }
            }
            None => return Ok(false),
        }
        host.close(socket);
        Ok(true)
    }
}

/// A connection of the guest to our echo.
enum Theirs {
    Connecting(Pending<Handle>),
    Exchanging(Handle, u64, Pending<Exchanged>),
    /// It sends and never reads: its close is an abort.
    Sending(Handle, Pending<Transfer>),
    /// It has said all and reads to the end.
    Shutting(Handle, Pending<()>),
    Closing(Pending<()>),
}

impl Theirs {
    fn begin(guest: &Guest, port: u16) -> Result<Self> {
        let (family, address) = (Family::Smc, Stage::free_address());
        Ok(Self::Connecting(guest.begin(Request::Connect { family, address, port, options: Vec::new() })?))
    }

    fn close(guest: &Guest, handle: Handle) -> Result<Option<Self>> {
        Ok(Some(Self::Closing(guest.begin(Request::Close { handle })?)))
    }

    /// `None` after its end.
    fn go_on(self, guest: &Guest, draw: &mut Draw) -> Result<Option<Self>> {
        let (stream, chunk, seconds) = (1, 64 * 1024, super::SECONDS);
        match self {
            Self::Connecting(mut pending) => {
                let Some(handle) = pending.poll()? else { return Ok(Some(Self::Connecting(pending))) };
                let octets = draw.size();
                if draw.below(8) == 0 {
                    let octets = octets.min(32 << 10);
                    let request = Request::Send { handle, stream, octets, chunk, seconds };
                    return Ok(Some(Self::Sending(handle, guest.begin(request)?)));
                }
                let request = Request::Exchange { handle, stream, octets, chunk, seconds };
                Ok(Some(Self::Exchanging(handle, octets, guest.begin(request)?)))
            }
            Self::Exchanging(handle, octets, mut pending) => {
                let Some(done) = pending.poll()? else {
                    return Ok(Some(Self::Exchanging(handle, octets, pending)));
                };
                let whole = done.received.octets == octets && done.received.mismatch.is_none();
                ensure(whole, || format!("the guest, of {octets}: {done:?}"))?;
                if draw.below(3) > 0 {
                    return Self::close(guest, handle);
                }
                let request = Request::Shutdown { handle, half: Half::Write };
                Ok(Some(Self::Shutting(handle, guest.begin(request)?)))
            }
            Self::Sending(handle, mut pending) => match pending.poll()? {
                None => Ok(Some(Self::Sending(handle, pending))),
                Some(sent) => {
                    ensure(sent.errno.is_none(), || format!("the guest sends: {sent:?}"))?;
                    Self::close(guest, handle)
                }
            },
            Self::Shutting(handle, mut pending) => match pending.poll()? {
                None => Ok(Some(Self::Shutting(handle, pending))),
                Some(()) => Self::close(guest, handle),
            },
            Self::Closing(mut pending) => match pending.poll()? {
                None => Ok(Some(Self::Closing(pending))),
                Some(()) => Ok(None),
            },
        }
    }
}

fn lives(stage: &Stage<'_>, time: Duration) -> Result<String> {
    let guest = stage.guest(0)?;
    let mut host = Host::on(stage, |_| {})?;
    let mut draw = Draw(0x2545_f491_4f6c_dd1d);
    let (their_port, our_port) = (stage.fresh_port(), stage.fresh_port());
    guest.listen(Family::Smc, their_port, Behaviour::Echo)?;
    let listener = host.listen(our_port)?;
    let (mut ours, mut theirs): (Vec<Ours>, Vec<Theirs>) = (Vec::new(), Vec::new());
    let start = Instant::now();
    let (mut begun, mut last_end) = ([0_u32; 2], Instant::now());
    loop {
        let running = start.elapsed() < time;
        if !running && ours.is_empty() && theirs.is_empty() {
            break;
        }
        let stuck = last_end.elapsed() > Duration::from_secs(100);
        ensure(!stuck, || format!("stuck with {} of ours, {} of theirs", ours.len(), theirs.len()))?;
        if running && ours.len() < WIDTH && draw.below(4) == 0 {
            ours.push(Ours::begin(&mut host, their_port, &mut draw)?);
            begun[0] += 1;
        }
        if running && theirs.len() < WIDTH && draw.below(4) == 0 {
            theirs.push(Theirs::begin(guest, our_port)?);
            begun[1] += 1;
        }
        host.turn();
        host.echo_all(listener);
        let before = ours.len() + theirs.len();
        let mut still = Vec::with_capacity(ours.len());
        for mut life in ours.drain(..) {
            if !life.go_on(&mut host)? {
                still.push(life);
            }
        }
        ours = still;
        let went: Result<Vec<_>> = theirs.drain(..).map(|life| life.go_on(guest, &mut draw)).collect();
        theirs = went?.into_iter().flatten().collect();
        if ours.len() + theirs.len() < before {
            last_end = Instant::now();
        }
    }
    ensure_gone(&mut host, guest)?;
    let stats = host.stack.stats();
    let fell: u64 = stats.fallback_reasons().map(|count| count.as_client + count.as_server).sum();
    host.leave_home()?;
    Ok(format!("SMC-R, {} of ours, {} of theirs, {fell} on TCP", begun[0], begun[1]))
}
