//! The near end of many connections with a task for each, all on one core.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "here time enters")]

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Instant;

use smolsmc_drive::{Clock, Mode};
use smolsmc_shm::{ShmNic, ShmPort};
use smolsmc_tasks::{Core, Executor, Stream};
use smolsmc_threads::monotonic;
use smolsmc_wire::Duration;

use crate::crowd::{Crowd, SIZE};
use crate::crowd_host::Kind;
use crate::fault::{Alive, Fault};
use crate::order::Order;
use crate::peer::Peer;

const WHAT: &str = "a task's connection";
/// Connections that are being made at once.
const AT_ONCE: usize = 100;
/// Turns between two questions whether the other end lives.
const LOOKS: u32 = 1024;

type Time = Box<dyn FnMut() -> smolsmc::Instant>;
type Ours = Stream<ShmNic, ShmPort>;

/// An executor, connections for its tasks, and a process at their other ends.
pub(crate) struct Many {
    executor: Executor<ShmNic, ShmPort, Time>,
    streams: Vec<Rc<Ours>>,
    peer: Peer,
    alive: Alive,
}

/// Whose turn it is, of tasks that go one after the other.
struct Baton {
    turn: Cell<usize>,
    waiting: RefCell<Vec<Option<Waker>>>,
    left: Cell<u32>,
    /// When none was left.
    end: Cell<Option<Instant>>,
}

impl Baton {
    fn new(tasks: usize, rounds: u32) -> Rc<Self> {
        let waiting = RefCell::new((0..tasks).map(|_| None).collect());
        Rc::new(Self { turn: Cell::new(0), waiting, left: Cell::new(rounds), end: Cell::new(None) })
    }

    /// Until it is this task's turn: with a wake-up always, also if it is alone.
    async fn wait(&self, me: usize) {
        let mut is_first = true;
        poll_fn(|context| {
            let is_mine = self.turn.get() == me;
            if !std::mem::take(&mut is_first) {
                return if is_mine { Poll::Ready(()) } else { Poll::Pending };
            }
            if is_mine {
                context.waker().wake_by_ref();
            } else if let Some(place) = self.waiting.borrow_mut().get_mut(me) {
                *place = Some(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    /// The next one's turn.
    fn pass(&self) {
        let mut waiting = self.waiting.borrow_mut();
        let next = (self.turn.get() + 1) % waiting.len().max(1);
        self.turn.set(next);
        if let Some(waker) = waiting.get_mut(next).and_then(Option::take) {
            waker.wake();
        }
    }

    /// Whether there is one more round.
    fn takes_one(&self) -> bool {
        let left = self.left.get();
        if left == 0 && self.end.get().is_none() {
            self.end.set(Some(Instant::now()));
        }
        self.left.set(left.saturating_sub(1));
        left > 0
    }
}

async fn trip(stream: &Ours, octets: &mut [u8; SIZE]) -> Result<(), Fault> {
    stream.send_all(octets).await.map_err(Fault::wire(WHAT))?;
    match stream.recv_full(octets).await.map_err(Fault::wire(WHAT))? {
        SIZE => Ok(()),
        _ => Err(Fault::Gone),
    }
}

impl Many {
    /// With so many connections, on a crowd that has none yet.
    pub(crate) fn new(crowd: Crowd, connections: usize) -> Result<Self, Fault> {
        let (host, alive, peer) = crowd.into_parts();
        let mut time = monotonic();
        let clock: Time = Box::new(move || time.now());
        let executor = Executor::new(host, Mode::Busy, clock).map_err(Fault::system("descriptors"))?;
        let mut many = Self { executor, streams: Vec::new(), peer, alive };
        while many.streams.len() < connections {
            // The first one alone: it brings the link group that others join.
            let there = many.streams.len();
            let more = if there == 0 { 1 } else { AT_ONCE.min(connections - there) };
            let made = Rc::new(RefCell::new(Vec::new()));
            many.run(more, |core, _| {
                let (core, made) = (core.clone(), Rc::clone(&made));
                async move {
                    let connected = core.connect(Kind::Echo.server(), Kind::Echo.options()).await;
                    let stream = connected.map_err(Fault::wire(WHAT))?.map_err(Fault::wire(WHAT))?;
                    trip(&stream, &mut [7; SIZE]).await?;
                    made.borrow_mut().push(Rc::new(stream));
                    Ok(())
                }
            })?;
            many.streams.append(&mut made.borrow_mut());
        }
        Ok(many)
    }

    /// Runs so many tasks to their end, with the other end serving meanwhile.
    fn run<F: Future<Output = Result<(), Fault>> + 'static>(
        &mut self,
        tasks: usize,
        mut task: impl FnMut(&Core<ShmNic, ShmPort>, usize) -> F,
    ) -> Result<(), Fault> {
        let core = self.executor.core();
        let failed = Rc::new(Cell::new(None));
        for number in 0..tasks {
            let (body, failed) = (task(&core, number), Rc::clone(&failed));
            core.spawn(async move {
                if let Err(fault) = body.await {
                    failed.set(Some(fault));
                }
            });
        }
        let Self { executor, peer, alive, .. } = self;
        peer.ordered(Order::Host, |control| {
            let mut turns = 0_u32;
            while executor.tasks() > 0 {
                executor.turn(Duration::ZERO).map_err(Fault::system("a turn"))?;
                if let Some(fault) = failed.take() {
                    return Err(fault);
                }
                turns = turns.wrapping_add(1);
                if turns.is_multiple_of(LOOKS) {
                    alive.check()?;
                }
            }
            control.order(Order::Done)
        })
        .map(drop)
    }

    /// Nanoseconds of a round trip, if so many tasks make them in turn: each is woken
    /// twice for one, by who had the turn before and by its answer.
    pub(crate) fn in_turn(&mut self, tasks: usize, rounds: u32) -> Result<f64, Fault> {
        let baton = Baton::new(tasks, rounds);
        let (streams, its) = (self.streams.clone(), Rc::clone(&baton));
        let start = Instant::now();
        self.run(tasks, |_, number| {
            let (stream, baton) = (streams.get(number).cloned(), Rc::clone(&its));
            async move {
                let Some(stream) = stream else { return Err(Fault::Gone) };
                let mut octets = [7; SIZE];
                loop {
                    baton.wait(number).await;
                    if !baton.takes_one() {
                        baton.pass();
                        return Ok(());
                    }
                    trip(&stream, &mut octets).await?;
                    baton.pass();
                }
            }
        })?;
        let end = baton.end.get().unwrap_or(start);
        Ok((end - start).as_nanos() as f64 / f64::from(rounds))
    }

    /// Round trips a second, if so many tasks make them all at once.
    pub(crate) fn at_once(&mut self, tasks: usize, rounds: u32) -> Result<f64, Fault> {
        let each = (rounds / tasks as u32).max(1);
        let streams = self.streams.clone();
        let start = Instant::now();
        self.run(tasks, |_, number| {
            let stream = streams.get(number).cloned();
            async move {
                let Some(stream) = stream else { return Err(Fault::Gone) };
                let mut octets = [7; SIZE];
                for _ in 0..each {
                    trip(&stream, &mut octets).await?;
                }
                Ok(())
            }
        })?;
        Ok(f64::from(each) * tasks as f64 / start.elapsed().as_secs_f64())
    }
}
