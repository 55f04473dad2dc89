//! The engine's thread from outside: what can be asked of it.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use smolsmc_drive::{Bell, Clock, Driver, Host, Mode, Stats, Wakes};
use smolsmc_stack::{ListenOptions, SocketOptions, Stack};
use smolsmc_verbs::Provider;
use smolsmc_wire::Instant;
use smoltcp::phy::Device;

use crate::error::{EngineError, StreamError};
use crate::listener::{Opened, SmcListener};
use crate::pipe::Most;
use crate::serving::App;
use crate::stream::SmcStream;
use crate::worker::Worker;

/// Questions that may wait for the engine; who asks more waits itself.
const QUESTIONS: usize = 256;

/// How an engine is made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The thread's name.
    pub name: String,
    /// How it waits.
    pub mode: Mode,
    /// Octets between the engine and the application of each stream, in each
    /// direction; at least 1.
    pub inward: usize,
    /// The other direction.
    pub outward: usize,
    /// How long a blocking call of a stream spins before it sleeps. Nothing, unless
    /// there are cores to spare: a sleeping thread costs the engine a system call
    /// for each message.
    pub spin: Duration,
    /// How long the octets of a stream that was closed may take to leave, and the
    /// engine itself when it stops.
    pub farewell: Duration,
}

impl Options {
    /// Asleep while there is nothing to do, 64 KiB in each direction.
    #[must_use]
    pub fn usual() -> Self {
        Self {
            name: "smolsmc".to_owned(),
            mode: Mode::Interrupt,
            inward: 64 * 1024,
            outward: 64 * 1024,
            spin: Duration::ZERO,
            farewell: Duration::from_secs(5),
        }
    }
}

/// How an engine ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// All peers had heard, and everything that was written was taken, within
    /// [`Options::farewell`].
    pub is_clean: bool,
    /// What its driver has done.
    pub stats: Stats,
}

/// A thread that owns a stack. Dropped, it is stopped ([`Engine::stop`]).
pub struct Engine<P: Provider> {
    handle: Handle,
    jobs: Sender<Job<P>>,
    thread: Option<JoinHandle<Result<Ended, EngineError>>>,
}

pub(crate) type Job<P> = Box<dyn FnOnce(&mut Stack<P>) + Send>;

/// Asks an engine for connections and listeners, from any thread; as many of it as
/// are wanted.
#[derive(Clone)]
pub struct Handle {
    questions: Sender<Question>,
    bell: Bell,
    /// Why the engine ended, once it has.
    reason: Arc<OnceLock<EngineError>>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("ended", &self.reason.get()).finish_non_exhaustive()
    }
}

/// What is asked of the engine.
pub(crate) enum Question {
    Connect {
        remote: SocketAddr,
        options: SocketOptions,
        answer: Sender<Result<App, StreamError>>,
    },
    Listen {
        local: SocketAddr,
        options: ListenOptions,
        answer: Sender<Result<Opened, StreamError>>,
    },
    Wish {
        token: u64,
        wish: Wish,
    },
    /// The next job: in here only so that questions and jobs of a thread keep their
    /// order.
    Job,
    Mode(Mode),
    Stop,
}

/// What a stream may be wished to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wish {
    Nodelay(bool),
    Cork(bool),
    KeepAlive(Option<smolsmc_wire::Duration>),
    Linger(Option<smolsmc_wire::Duration>),
}

/// What a worker is made of beside its host.
pub(crate) struct Outfit<P: Provider> {
    pub(crate) options: Options,
    pub(crate) driver: Driver,
    pub(crate) questions: Receiver<Question>,
    pub(crate) jobs: Receiver<Job<P>>,
    pub(crate) reason: Arc<OnceLock<EngineError>>,
}

impl<P: Provider + Wakes + 'static> Engine<P> {
    /// Starts an engine. `make` makes its host, on its thread: neither a provider nor
    /// a device need be able to change threads.
    ///
    /// # Errors
    /// [`EngineError::NoThread`]; [`EngineError::NoHost`] with what `make` says.
    pub fn start<D: Device + Wakes>(
        options: Options,
        clock: impl Clock + Send + 'static,
        make: impl FnOnce() -> io::Result<Host<P, D>> + Send + 'static,
    ) -> Result<Self, EngineError> {
        let driver = Driver::new(options.mode).map_err(|error| EngineError::NoThread(error.to_string()))?;
        let bell = driver.bell();
        let (questions, asked) = bounded(QUESTIONS);
        let (jobs, to_do) = bounded(QUESTIONS);
        let reason = Arc::new(OnceLock::new());
        let handle = Handle { questions, bell, reason: Arc::clone(&reason) };
        let name = options.name.clone();
        let outfit = Outfit { options, driver, questions: asked, jobs: to_do, reason };
        let (told, made) = bounded(1);
        let body = move || {
            let host = match make() {
                Ok(host) => host,
                Err(error) => {
                    let error = EngineError::NoHost(error.to_string());
                    let _ = told.send(Err(error.clone()));
                    return Err(error);
                }
            };
            let worker = Worker::new(outfit, host, clock);
            let _ = told.send(Ok(()));
            worker.run()
        };
        let thread = Builder::new().name(name).spawn(body);
        let thread = thread.map_err(|error| EngineError::NoThread(error.to_string()))?;
        // `make` may panic.
        made.recv().unwrap_or(Err(EngineError::Panicked))?;
        Ok(Self { handle, jobs, thread: Some(thread) })
    }

    /// For other threads.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Lets the engine's thread do something with the stack between two turns, and
    /// waits for what comes of it: statistics, events, a provider's affairs.
    ///
    /// # Errors
    /// If the engine has ended.
    pub fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Stack<P>) -> T + Send + 'static,
    ) -> Result<T, EngineError> {
        let (told, done) = bounded(1);
        let job: Job<P> = Box::new(move |stack| drop(told.send(job(stack))));
        self.jobs.send(job).map_err(|_| self.handle.ended())?;
        self.handle.ask(Question::Job).map_err(|_| self.handle.ended())?;
        done.recv().map_err(|_| self.handle.ended())
    }

    /// Lets it wait otherwise from its next turn on.
    ///
    /// # Errors
    /// If the engine has ended.
    pub fn set_mode(&self, mode: Mode) -> Result<(), EngineError> {
        self.handle.ask(Question::Mode(mode)).map_err(|_| self.handle.ended())
    }

    /// Stops it in order: nothing is listened to any more, all streams are closed
    /// (what was written goes first), the peers are told, and the thread ends;
    /// [`Options::farewell`] is how long that may take. What threads still do with
    /// streams and listeners fails with [`EngineError::Stopped`].
    ///
    /// # Errors
    /// If it had ended otherwise before.
    pub fn stop(mut self) -> Result<Ended, EngineError> {
        self.end()
    }
}

impl<P: Provider> Engine<P> {
    fn end(&mut self) -> Result<Ended, EngineError> {
        let Some(thread) = self.thread.take() else { return Err(EngineError::Stopped) };
        if self.handle.questions.send(Question::Stop).is_ok() {
            self.handle.bell.ring();
        }
        thread.join().unwrap_or(Err(EngineError::Panicked))
    }
}

impl<P: Provider> Drop for Engine<P> {
    fn drop(&mut self) {
        // There is nobody to tell; who wants to know calls `stop`.
        let _ = self.end();
    }
}

impl Handle {
    /// Connects, and waits until the connection stands, be it SMC-R or TCP.
    ///
    /// # Errors
    /// As [`std::net::TcpStream::connect`]; if the engine has ended.
    pub fn connect(&self, remote: SocketAddr) -> io::Result<SmcStream> {
        self.connect_with(remote, SocketOptions::USUAL, None)
    }

    /// [`Handle::connect`] that waits so long at most.
    ///
    /// # Errors
    /// Those, and [`io::ErrorKind::TimedOut`].
    pub fn connect_timeout(&self, remote: SocketAddr, most: Duration) -> io::Result<SmcStream> {
        self.connect_with(remote, SocketOptions::USUAL, Some(most))
    }

    /// [`Handle::connect`] with options, and a time limit if one is given.
    ///
    /// # Errors
    /// Those, and [`io::ErrorKind::TimedOut`].
    pub fn connect_with(
        &self,
        remote: SocketAddr,
        options: SocketOptions,
        most: Option<Duration>,
    ) -> io::Result<SmcStream> {
        let (answer, answered) = bounded(1);
        self.ask(Question::Connect { remote, options, answer })?;
        // The engine does not wait before it answers.
        let app = answered.recv().map_err(|_| StreamError::from(self.ended()))??;
        let stream = SmcStream::new(app, self.clone());
        stream.wait_open(Most::of(most))?;
        Ok(stream)
    }

    /// Listens on `local`; an unspecified address stands for all of its kind.
    ///
    /// # Errors
    /// As [`std::net::TcpListener::bind`]; if the engine has ended.
    pub fn listen(&self, local: SocketAddr) -> io::Result<SmcListener> {
        self.listen_with(local, ListenOptions::USUAL)
    }

    /// [`Handle::listen`] with options.
    ///
    /// # Errors
    /// Those.
    pub fn listen_with(&self, local: SocketAddr, options: ListenOptions) -> io::Result<SmcListener> {
        let (answer, answered) = bounded(1);
        self.ask(Question::Listen { local, options, answer })?;
        let opened = answered.recv().map_err(|_| StreamError::from(self.ended()))??;
        let listener = SmcListener::new(opened, local, self.clone());
        Ok(listener.ok_or_else(|| StreamError::from(self.ended()))?)
    }

    pub(crate) fn wish(&self, token: u64, wish: Wish) -> Result<(), StreamError> {
        self.ask(Question::Wish { token, wish })
    }

    fn ask(&self, question: Question) -> Result<(), StreamError> {
        self.questions.send(question).map_err(|_| StreamError::from(self.ended()))?;
        self.bell.ring();
        Ok(())
    }

    /// Why the engine has ended, if it has.
    #[must_use]
    pub fn reason(&self) -> Option<EngineError> {
        self.reason.get().cloned()
    }

    fn ended(&self) -> EngineError {
        self.reason().unwrap_or(EngineError::Stopped)
    }
}

/// The system's monotonic clock, from its first reading on.
#[expect(clippy::disallowed_methods, reason = "here time enters, for who asks for it")]
pub fn monotonic() -> impl Clock + Send + 'static {
    let start = std::time::Instant::now();
    move || Instant::from_micros(u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX))
}
