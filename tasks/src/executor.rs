//! The loop: turn, then resume whom it woke.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Waker};

use slotmap::{Key, KeyData, SlotMap};
use smolsmc_drive::{Clock, Driver, Host, Mode, Token, Wakes};
use smolsmc_stack::{ConnectError, ConnectionError, ListenError, ListenOptions, SocketOptions, Stack};
use smolsmc_verbs::Provider;
use smolsmc_wire::{Duration, Instant};
use smoltcp::phy::Device;

use crate::listener::Listener;
use crate::sleep::Sleep;
use crate::stream::Stream;

slotmap::new_key_type! {
    /// A task; its number is what the driver tells.
    struct TaskKey;
}

type Body = Pin<Box<dyn Future<Output = ()>>>;

struct Task {
    body: Body,
    waker: Waker,
}

/// Tasks resumed between two polls of the stack at most: those that wake each other
/// all the time must not keep frames waiting.
pub const TASKS_AT_ONCE: usize = 256;

/// The longest sleep: nothing depends on it.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Runs tasks over a host.
pub struct Executor<P: Provider, D, C> {
    core: Core<P, D>,
    driver: Driver,
    clock: C,
    tasks: SlotMap<TaskKey, Task>,
}

/// What tasks have of it: connections, listeners, time, and more tasks. Clones are the
/// same.
pub struct Core<P: Provider, D>(pub(crate) Rc<Inner<P, D>>);

impl<P: Provider, D> Clone for Core<P, D> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

/// Tasks are not in here: they hold it.
pub(crate) struct Inner<P: Provider, D> {
    pub(crate) host: RefCell<Host<P, D>>,
    spawned: RefCell<Vec<Body>>,
    pub(crate) alarms: RefCell<BTreeMap<(Instant, u64), Waker>>,
    pub(crate) alarms_made: Cell<u64>,
    now: Cell<Instant>,
}

impl<P: Provider + Wakes + 'static, D: Device + Wakes + 'static, C: Clock> Executor<P, D, C> {
    /// An executor that waits by `mode` when no task has anything to do.
    ///
    /// # Errors
    /// If the system has no more descriptors.
    pub fn new(host: Host<P, D>, mode: Mode, mut clock: C) -> io::Result<Self> {
        let inner = Inner {
            host: RefCell::new(host),
            spawned: RefCell::default(),
            alarms: RefCell::default(),
            alarms_made: Cell::new(0),
            now: Cell::new(clock.now()),
        };
        let core = Core(Rc::new(inner));
        Ok(Self { core, driver: Driver::new(mode)?, clock, tasks: SlotMap::with_key() })
    }

    /// For tasks, before they are.
    #[must_use]
    pub fn core(&self) -> Core<P, D> {
        self.core.clone()
    }

    /// Its driver: bells for other threads, foreign descriptors, statistics.
    pub const fn driver(&mut self) -> &mut Driver {
        &mut self.driver
    }

    /// Tasks that are not done.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.tasks.len() + self.core.0.spawned.borrow().len()
    }

    /// Runs until all tasks are done.
    ///
    /// # Errors
    /// As [`Driver::turn`].
    pub fn run(&mut self) -> io::Result<()> {
        while self.tasks() > 0 {
            self.turn(LONGEST_SLEEP)?;
        }
        Ok(())
    }

    /// Resumes those who were woken, polls the stack once, and sleeps if there was
    /// nothing, for `most` at most: one round of [`Executor::run`].
    ///
    /// # Errors
    /// As [`Driver::turn`].
    pub fn turn(&mut self, most: Duration) -> io::Result<()> {
        self.adopt();
        for _ in 0..TASKS_AT_ONCE {
            let Some(Token(token)) = self.driver.next_ready() else { break };
            self.resume(KeyData::from_ffi(token).into());
        }
        self.adopt();
        let inner = &*self.core.0;
        let now = inner.now.get();
        let first = inner.alarms.borrow().first_key_value().map(|((at, _), _)| at.since(now));
        let most = first.map_or(most, |first| first.min(most));
        let Self { driver, clock, .. } = self;
        let mut clock = || {
            let now = clock.now();
            inner.now.set(now);
            now
        };
        let turn = driver.turn(&mut *inner.host.borrow_mut(), &mut clock, most);
        if turn?.slept {
            inner.now.set(self.clock.now());
        }
        self.ring_alarms();
        Ok(())
    }

    /// Tasks that were spawned get their places.
    fn adopt(&mut self) {
        let spawned = std::mem::take(&mut *self.core.0.spawned.borrow_mut());
        for body in spawned {
            let driver = &self.driver;
            self.tasks.insert_with_key(|key| {
                let waker = driver.waker(Token(key.data().as_ffi()));
                waker.wake_by_ref();
                Task { body, waker }
            });
        }
    }

    fn resume(&mut self, key: TaskKey) {
        // It may be done, and have been woken again before.
        let Some(Task { body, waker }) = self.tasks.get_mut(key) else { return };
        if body.as_mut().poll(&mut Context::from_waker(waker)).is_ready() {
            self.tasks.remove(key);
        }
    }

    fn ring_alarms(&self) {
        let inner = &self.core.0;
        let mut alarms = inner.alarms.borrow_mut();
        while let Some(first) = alarms.first_entry().filter(|first| first.key().0 <= inner.now.get()) {
            first.remove().wake();
        }
    }

    /// Says good-bye to the peers once all sockets are closed, and waits so long at most
    /// until they have heard; whether they have.
    ///
    /// # Errors
    /// As [`Driver::turn`].
    pub fn leave(&mut self, most: Duration) -> io::Result<bool> {
        let end = self.core.now() + most;
        let mut has_left = false;
        loop {
            let left = end.since(self.core.now());
            let (has_connections, is_idle) =
                self.core.with(|stack| (stack.has_connections(), stack.is_idle()));
            if (has_left && is_idle) || left == Duration::ZERO {
                return Ok(is_idle);
            }
            if !has_connections && !has_left {
                self.core.with(Stack::leave);
                has_left = true;
            }
            self.turn(left)?;
        }
    }
}

impl<P: Provider, D, C> Drop for Executor<P, D, C> {
    /// Tasks hold the core, and so must not be in it.
    fn drop(&mut self) {
        self.tasks.clear();
        loop {
            let spawned = std::mem::take(&mut *self.core.0.spawned.borrow_mut());
            if spawned.is_empty() {
                return;
            }
        }
    }
}

impl<P: Provider, D> Core<P, D> {
    /// One more task; it begins with the next turn.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.0.spawned.borrow_mut().push(Box::pin(task));
    }

    /// The time of the last turn.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.0.now.get()
    }

    /// Something else with the stack: statistics, events.
    ///
    /// # Panics
    /// If `f` uses a stream or a core: the stack is lent to it.
    pub fn with<T>(&self, f: impl FnOnce(&mut Stack<P>) -> T) -> T {
        f(&mut self.0.host.borrow_mut().stack)
    }

    /// Connects, and is done when the connection stands, be it SMC-R or TCP.
    ///
    /// # Errors
    /// [`ConnectError`] inside of the outer one; [`ConnectionError`] of what went wrong
    /// later.
    pub async fn connect(
        &self,
        remote: SocketAddr,
        options: SocketOptions,
    ) -> Result<Result<Stream<P, D>, ConnectionError>, ConnectError> {
        let handle = self.with(|stack| stack.connect(remote, options))?;
        let stream = Stream::new(self.clone(), handle);
        Ok(stream.open().await.map(|()| stream))
    }

    /// Listens on `local`; an unspecified address stands for all of its kind.
    ///
    /// # Errors
    /// [`ListenError`].
    pub fn listen(&self, local: SocketAddr, options: ListenOptions) -> Result<Listener<P, D>, ListenError> {
        let handle = self.with(|stack| stack.listen(local, options))?;
        Ok(Listener::new(self.clone(), handle))
    }

    /// Is done after so long.
    #[must_use]
    pub fn sleep(&self, duration: Duration) -> Sleep<P, D> {
        Sleep::new(self.clone(), self.now() + duration)
    }
}
