//! The near end: the one who measures, and gives the orders.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "here time enters")]

use std::process::Command;
use std::time::Instant;

use smolsmc_wire::Duration;

use crate::column::What;
use crate::cores::pin;
use crate::end::{End, HEADER_LEN, number, put_header};
use crate::ends::Ends;
use crate::fault::Fault;
use crate::order::{Control, Order, Report};
use crate::peer::Peer;

/// Octets of the longest frame.
pub(crate) const FRAME_LEN: usize = 1 << 20;
/// Octets of the longest message.
pub const MOST: usize = crate::raw::RING;
/// Messages of a stream before the clock starts: whole windows of all kinds.
pub(crate) const LEAD: u32 = 32;

/// All ends of this process, and somebody at the other ones.
pub struct Lab {
    near: Ends,
    peer: Peer,
    buffer: Vec<u8>,
    cores: Cores,
}

/// The cores of both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cores {
    /// Of the one who measures.
    pub near: usize,
    /// Of the other one.
    pub far: usize,
}

impl Cores {
    /// The first two there are; one twice where there is one.
    #[must_use]
    pub fn usual() -> Self {
        let usable = crate::cores::usable();
        let near = usable.first().copied().unwrap_or_default();
        Self { near, far: usable.get(1).copied().unwrap_or(near) }
    }

    /// How many they are.
    #[must_use]
    pub fn count(self) -> usize {
        if self.near == self.far { 1 } else { 2 }
    }
}

/// What many messages cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// Seconds it took, where that was measured.
    pub seconds: f64,
    /// Seconds of processor time, both ends together.
    pub cpu: f64,
}

impl Lab {
    /// With the far end in a process of its own: `command`, whose standard input
    /// will be the socket for [`obey_standard_input`](crate::obey_standard_input).
    ///
    /// # Errors
    /// [`Fault`].
    pub fn with_process(command: Command, cores: Cores, spin: Duration) -> Result<Self, Fault> {
        Self::begin(Peer::process(command)?, cores, spin)
    }

    /// With the far end in a thread of this process.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn with_thread(cores: Cores, spin: Duration) -> Result<Self, Fault> {
        Self::begin(Peer::thread()?, cores, spin)
    }

    fn begin(mut peer: Peer, cores: Cores, spin: Duration) -> Result<Self, Fault> {
        pin(cores.near);
        let near = peer.explained(|control, alive| Ends::near(control, alive, cores.far, spin))?;
        Ok(Self { near, peer, buffer: vec![7; MOST], cores })
    }

    /// Orders something, and does our part of it.
    fn ordered<T>(
        &mut self,
        order: Order,
        part: impl FnOnce(&mut Ends, &mut [u8], &mut Control) -> Result<T, Fault>,
    ) -> Result<(T, Report, u64), Fault> {
        let Self { near, peer, buffer, .. } = self;
        peer.ordered(order, |control| part(near, buffer, control))
    }

    /// Where the ends run, unless they were moved.
    #[must_use]
    pub const fn cores(&self) -> Cores {
        self.cores
    }

    /// Lets both ends run on one core, or on two.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn move_far(&mut self, cores: usize) -> Result<(), Fault> {
        let core = if cores == 1 { self.cores.near } else { self.cores.far };
        self.ordered(Order::Move { core: core as u64 }, |_, _, _| Ok(())).map(drop)
    }

    /// What an idle connection costs for so many milliseconds.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn idle(&mut self, what: What, millis: u32) -> Result<Cost, Fault> {
        let order = Order::Idle { what, millis: millis.into() };
        let ((), report, cpu) = self.ordered(order, |near, _, _| {
            near.of(what)?;
            near.ours.rest(millis.into())
        })?;
        Ok(Cost { seconds: report.nanos as f64 / 1e9, cpu: (cpu + report.cpu) as f64 / 1e9 })
    }

    /// Requests at random moments, `rate` a second, of which the nanoseconds from
    /// when each was due to the end of its answer; who answers waits as `what`
    /// says, and the processor time is its own.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn paced(
        &mut self,
        what: What,
        size: usize,
        times: u32,
        rate: u32,
        nanos: &mut Vec<u64>,
    ) -> Result<Cost, Fault> {
        nanos.clear();
        nanos.reserve(times as usize);
        let order = Order::Answer { what, size: size as u64, times: times.into() };
        let ((), report, _) = self.ordered(order, |near, buffer, control| {
            near.of(What::Busy)?;
            let mut due = Due::new(rate);
            let start = Instant::now();
            let (mut sent, mut got) = (0, 0);
            let mut waiting = std::collections::VecDeque::with_capacity(times as usize);
            while nanos.len() < times as usize {
                let now = start.elapsed().as_nanos() as u64;
                if sent < times && now >= due.next {
                    near.ours.send(&buffer[..size])?;
                    waiting.push_back(due.next);
                    due.advance();
                    sent += 1;
                }
                got += near.ours.receive_some(&mut buffer[..size - got])?;
                if got == size {
                    got = 0;
                    let now = start.elapsed().as_nanos() as u64;
                    nanos.extend(waiting.pop_front().map(|due| now - due));
                }
            }
            control.order(Order::Done)
        })?;
        Ok(Cost { seconds: report.nanos as f64 / 1e9, cpu: report.cpu as f64 / 1e9 })
    }

    /// Nanoseconds that one cache line needs from one end's core to the other's:
    /// half of a word's round trip.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn cache_line(&mut self, times: u32) -> Result<f64, Fault> {
        self.shape(64)?;
        let order = Order::Bounce { times: times.into() };
        let (nanos, ..) = self.ordered(order, |near, _, _| {
            let start = Instant::now();
            near.bare.bounce(true, times)?;
            Ok(start.elapsed().as_nanos() as f64)
        })?;
        Ok(nanos / f64::from(times) / 2.0)
    }

    /// Makes the bare ring's slots fit messages of `size` octets.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn shape(&mut self, size: usize) -> Result<(), Fault> {
        self.near.bare.clear();
        self.near.bare.shape(size);
        self.ordered(Order::Shape { size: size as u64 }, |_, _, _| Ok(())).map(drop)
    }

    /// Nanoseconds of each round trip of `size` octets.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn trips(
        &mut self,
        what: What,
        size: usize,
        times: u32,
        nanos: &mut Vec<u64>,
    ) -> Result<Cost, Fault> {
        nanos.clear();
        let warm = lead(times);
        let order = Order::Answer { what, size: size as u64, times: u64::from(times + warm) };
        let ((), report, cpu) = self.ordered(order, |near, buffer, control| {
            let (end, buffer) = (near.of(what)?, &mut buffer[..size]);
            timed(nanos, warm, times, |_| {
                end.send(buffer)?;
                end.receive(buffer)
            })?;
            control.order(Order::Done)
        })?;
        Ok(Cost { seconds: 0.0, cpu: (cpu + report.cpu) as f64 / 1e9 * part(times, warm) })
    }

    /// Nanoseconds of each request of `size` octets in a frame, answered by a
    /// frame of `answer` octets; headers not counted.
    ///
    /// # Errors
    /// [`Fault`]; also if an answer is not the request's.
    pub fn requests(
        &mut self,
        what: What,
        (size, answer): (usize, usize),
        times: u32,
        nanos: &mut Vec<u64>,
    ) -> Result<Cost, Fault> {
        nanos.clear();
        let warm = lead(times);
        let order = Order::Serve { what, size: (answer + HEADER_LEN) as u64, times: u64::from(times + warm) };
        let ((), report, cpu) = self.ordered(order, |near, buffer, control| {
            let end = near.of(what)?;
            let (request, frame) = buffer.split_at_mut(size + HEADER_LEN);
            timed(nanos, warm, times, |n| {
                put_header(request, n);
                end.send(request)?;
                let len = end.receive_frame(&mut frame[..FRAME_LEN])?;
                if number(frame) == n && len == answer + HEADER_LEN {
                    return Ok(());
                }
                Err(Fault::Far(format!("answer {} of {len} octets to request {n}", number(frame))))
            })?;
            control.order(Order::Done)
        })?;
        Ok(Cost { seconds: 0.0, cpu: (cpu + report.cpu) as f64 / 1e9 * part(times, warm) })
    }

    /// What `times` messages one way cost, counted at the receiver.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn one_way(&mut self, what: What, size: usize, times: u32) -> Result<Cost, Fault> {
        let order = Order::Take { what, size: size as u64, times: times.into() };
        let ((), report, cpu) = self.ordered(order, |near, buffer, control| {
            let end = near.of(what)?;
            end.send_many(&buffer[..size], times + LEAD)?;
            end.finish(&mut || control.has_news())
        })?;
        let cpu = cpu as f64 * part(times, LEAD) + report.cpu as f64;
        Ok(Cost { seconds: report.nanos as f64 / 1e9, cpu: cpu / 1e9 })
    }
}

/// Rounds before the clock starts: both are there then.
fn lead(times: u32) -> u32 {
    (times / 20).clamp(1, 50)
}

/// The part of the whole that was measured.
fn part(times: u32, lead: u32) -> f64 {
    f64::from(times) / f64::from(times + lead)
}

/// Nanoseconds of each of `times` rounds, after some that do not count.
fn timed(
    nanos: &mut Vec<u64>,
    warm: u32,
    times: u32,
    mut round: impl FnMut(u32) -> Result<(), Fault>,
) -> Result<(), Fault> {
    nanos.reserve(times as usize);
    (0..warm).try_for_each(&mut round)?;
    let mut last = Instant::now();
    for n in 0..times {
        round(n)?;
        let now = Instant::now();
        nanos.push((now - last).as_nanos() as u64);
        last = now;
    }
    Ok(())
}

/// Moments with exponential gaps, the same ones in each block.
struct Due {
    next: u64,
    mean: f64,
    state: u64,
}

impl Due {
    fn new(rate: u32) -> Self {
        Self { next: 0, mean: 1e9 / f64::from(rate), state: 1 }
    }

    fn advance(&mut self) {
        // A linear congruential generator (Knuth's MMIX) is random enough for gaps.
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let part = ((self.state >> 11) as f64 + 1.0) / (1_u64 << 53) as f64;
        self.next += (-part.ln() * self.mean) as u64;
    }
}
