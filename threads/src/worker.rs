//! The engine's thread from inside.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use slotmap::{Key, KeyData, SlotMap};
use smolsmc_drive::{Clock, Driver, Host, Token, Wakes};
use smolsmc_stack::{ListenOptions, ListenerHandle, SocketHandle, SocketOptions};
use smolsmc_verbs::Provider;
use smolsmc_wire::{Duration, Instant};
use smoltcp::phy::Device;

use crate::engine::{Ended, Job, Outfit, Question, Wish};
use crate::error::{EngineError, StreamError};
use crate::listener::{Gate, Opened};
use crate::serving::{App, Serving, Shared, Sizes, Step};

slotmap::new_key_type! {
    /// A stream or a listener; its number is what the driver tells.
    struct Place;
}

enum Slot {
    Stream(Serving),
    Door(Door),
}

/// Where connections come in.
struct Door {
    listener: ListenerHandle,
    queue: Sender<App>,
    gate: Arc<Gate>,
}

/// The longest sleep: nothing depends on it.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Streams and listeners served between two polls, at most: threads that write all
/// the time must not keep what they have written from leaving.
const SERVED_AT_ONCE: usize = 64;

pub(crate) struct Worker<P: Provider, D, C> {
    host: Host<P, D>,
    clock: C,
    driver: Driver,
    questions: Receiver<Question>,
    jobs: Receiver<Job<P>>,
    reason: Arc<OnceLock<EngineError>>,
    slots: SlotMap<Place, Slot>,
    sizes: Sizes,
    farewell: Duration,
    /// Streams whose last octets take time, and until when; the oldest first.
    closing: VecDeque<(Instant, Place)>,
    /// Since it was asked to stop: until when that may take.
    stops_at: Option<Instant>,
    /// The peers have been told.
    has_left: bool,
    now: Instant,
}

impl<P: Provider + Wakes, D: Device + Wakes, C: Clock> Worker<P, D, C> {
    pub(crate) fn new(outfit: Outfit<P>, host: Host<P, D>, mut clock: C) -> Self {
        let Outfit { options, driver, questions, jobs, reason } = outfit;
        let now = clock.now();
        Self {
            host,
            clock,
            driver,
            questions,
            jobs,
            reason,
            slots: SlotMap::with_key(),
            sizes: Sizes { inward: options.inward, outward: options.outward, spin: options.spin },
            farewell: micros(options.farewell),
            closing: VecDeque::new(),
            stops_at: None,
            has_left: false,
            now,
        }
    }

    /// Until it is asked to stop, and has said good-bye.
    pub(crate) fn run(mut self) -> Result<Ended, EngineError> {
        loop {
            self.answer();
            self.serve_ready();
            if let Some(is_clean) = self.has_ended() {
                // Set first: what is dropped with us tells it to who waits.
                self.reason.get_or_init(|| EngineError::Stopped);
                return Ok(Ended { is_clean, stats: self.driver.stats() });
            }
            self.turn()?;
        }
    }

    fn turn(&mut self) -> Result<(), EngineError> {
        let closing = self.closing.front().map(|(until, _)| *until);
        let due = closing.into_iter().chain(self.stops_at).min();
        let most = due.map_or(LONGEST_SLEEP, |due| due.since(self.now).min(LONGEST_SLEEP));
        let Self { driver, host, clock, now, .. } = self;
        let mut clock = || {
            *now = clock.now();
            *now
        };
        let turn = driver.turn(host, &mut clock, most);
        if let Err(error) = turn {
            let error = EngineError::Wait(error.to_string());
            self.reason.get_or_init(|| error.clone());
            return Err(error);
        }
        self.give_up_late();
        Ok(())
    }

    /// Streams whose end has taken too long.
    fn give_up_late(&mut self) {
        while let Some(&(_, place)) = self.closing.front().filter(|(until, _)| *until <= self.now) {
            self.closing.pop_front();
            if let Some(Slot::Stream(serving)) = self.slots.remove(place) {
                serving.abort(&mut self.host.stack);
            }
        }
    }

    /// Whoever asked for something.
    fn answer(&mut self) {
        while let Ok(question) = self.questions.try_recv() {
            match question {
                // Who does not wait any more drops what it would have got.
                Question::Connect { remote, options, answer } => {
                    drop(answer.send(self.connect(remote, options)));
                }
                Question::Listen { local, options, answer } => {
                    drop(answer.send(self.listen(local, options)));
                }
                Question::Wish { token, wish } => self.wish(token, wish),
                Question::Job => self.jobs.try_iter().take(1).for_each(|job| job(&mut self.host.stack)),
                Question::Mode(mode) => self.driver.set_mode(mode),
                Question::Stop => self.stop(),
            }
        }
    }

    fn connect(&mut self, remote: SocketAddr, options: SocketOptions) -> Result<App, StreamError> {
        if self.stops_at.is_some() {
            return Err(EngineError::Stopped.into());
        }
        let socket = self.host.stack.connect(remote, options)?;
        self.tie(socket).ok_or_else(|| EngineError::Stopped.into())
    }

    /// A socket becomes a stream.
    fn tie(&mut self, handle: SocketHandle) -> Option<App> {
        let Self { host, driver, slots, sizes, .. } = self;
        let socket = host.stack.socket(handle).ok()?;
        let mut shared = None;
        slots.insert_with_key(|place| {
            let waker = waker(driver, place);
            let made = Shared::new(&socket, place.data().as_ffi(), waker, sizes);
            shared = Some(Arc::clone(&made));
            Slot::Stream(Serving::new(handle, made))
        });
        let shared = shared?;
        shared.waker.wake_by_ref();
        Some(App(shared))
    }

    fn listen(&mut self, local: SocketAddr, options: ListenOptions) -> Result<Opened, StreamError> {
        if self.stops_at.is_some() {
            return Err(EngineError::Stopped.into());
        }
        let listener = self.host.stack.listen(local, options)?;
        // What waits for the application has its place in there too.
        let (queue, taken) = bounded(options.backlog.max(1));
        let Self { driver, slots, .. } = self;
        let mut gate = None;
        slots.insert_with_key(|place| {
            let made = Gate::new(waker(driver, place));
            made.waker().wake_by_ref();
            gate = Some(Arc::clone(&made));
            Slot::Door(Door { listener, queue, gate: made })
        });
        Ok(Opened { queue: taken, gate })
    }

    fn wish(&mut self, token: u64, wish: Wish) {
        let Some(Slot::Stream(serving)) = self.slots.get(place(token)) else { return };
        let Ok(mut socket) = self.host.stack.socket(serving.socket()) else { return };
        match wish {
            Wish::Nodelay(nodelay) => socket.set_nodelay(nodelay),
            Wish::Cork(cork) => socket.set_cork(cork),
            Wish::KeepAlive(interval) => socket.set_keep_alive(interval),
            Wish::Linger(linger) => socket.set_linger(linger),
        }
        // Octets written before it go before it, and a cork may let them go now.
        serving.shared.waker.wake_by_ref();
    }

    fn serve_ready(&mut self) {
        for _ in 0..SERVED_AT_ONCE {
            let Some(Token(token)) = self.driver.next_ready() else { break };
            // What its thread asked for before it wrote goes before what it wrote.
            self.answer();
            self.serve(place(token));
        }
    }

    fn serve(&mut self, place: Place) {
        let is_stopping = self.stops_at.is_some();
        match self.slots.get_mut(place) {
            Some(Slot::Stream(serving)) => {
                let was_closing = serving.is_closing;
                match serving.serve(&mut self.host.stack, is_stopping) {
                    Step::Waits => {}
                    Step::More => serving.shared.waker.wake_by_ref(),
                    Step::Closing if was_closing => {}
                    Step::Closing => self.closing.push_back((self.now + self.farewell, place)),
                    Step::Over => drop(self.slots.remove(place)),
                }
            }
            Some(Slot::Door(door)) if door.gate.is_dropped() || is_stopping => {
                self.host.stack.unlisten(door.listener);
                self.slots.remove(place);
            }
            Some(Slot::Door(_)) => self.let_in(place),
            None => {}
        }
    }

    /// Hands connections to a listener, as many as its queue takes.
    fn let_in(&mut self, place: Place) {
        loop {
            let Some(Slot::Door(door)) = self.slots.get(place) else { return };
            if door.queue.is_full() {
                return;
            }
            let (listener, queue) = (door.listener, door.queue.clone());
            let Some(handle) = self.host.stack.accept(listener) else {
                let Some(Slot::Door(door)) = self.slots.get(place) else { return };
                // The listener is there as long as its slot is.
                let _ = self.host.stack.register_accept_waker(listener, door.gate.waker());
                return;
            };
            let Some(app) = self.tie(handle) else { continue };
            if let Err(TrySendError::Full(app) | TrySendError::Disconnected(app)) = queue.try_send(app) {
                // Nobody takes it: closed with its last handle.
                drop(app);
            }
        }
    }

    fn stop(&mut self) {
        self.stops_at.get_or_insert(self.now + self.farewell);
        let places: Vec<_> = self.slots.keys().collect();
        places.into_iter().for_each(|place| self.serve(place));
    }

    /// Whether there is nothing left to wait for, and if so, whether all of it ended
    /// in order.
    fn has_ended(&mut self) -> Option<bool> {
        let until = self.stops_at?;
        let stack = &mut self.host.stack;
        if self.slots.is_empty() && !stack.has_connections() {
            if !std::mem::replace(&mut self.has_left, true) {
                stack.leave();
            }
            if stack.is_idle() {
                return Some(true);
            }
        }
        (self.now >= until).then_some(false)
    }
}

impl<P: Provider, D, C> Drop for Worker<P, D, C> {
    /// However the thread ends, by a panic too: nobody waits for it any more.
    fn drop(&mut self) {
        let reason = self.reason.get_or_init(|| EngineError::Panicked);
        for slot in self.slots.values() {
            if let Slot::Stream(serving) = slot {
                serving.shared.abandon(reason);
            }
        }
    }
}

fn waker(driver: &Driver, place: Place) -> Waker {
    driver.waker(Token(place.data().as_ffi()))
}

fn place(token: u64) -> Place {
    KeyData::from_ffi(token).into()
}

fn micros(duration: std::time::Duration) -> Duration {
    Duration::from_micros(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}
