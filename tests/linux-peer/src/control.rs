//! The way to a guest's agent: requests out, answers in, matched by number.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::marker::PhantomData;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{io, thread};

use serde::de::DeserializeOwned;

use crate::protocol::{Answer, Call, Request};
use crate::{Error, Result};

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Who waits for which answer. None once the guest is gone.
type Waiting = Arc<Mutex<Option<BTreeMap<u64, Sender<Answer>>>>>;

/// All that was said, with its time.
#[derive(Clone)]
struct Log(Arc<Mutex<File>>, Instant);

impl Log {
    fn line(&self, mark: &str, line: &str) {
        let at = self.1.elapsed().as_secs_f64();
        // A log that cannot be written is no reason to stop.
        let _ = writeln!(lock(&self.0), "{at:9.3} {mark} {}", line.trim_end());
    }
}

/// A connection with an agent.
pub(crate) struct Control {
    guest: String,
    stream: Mutex<UnixStream>,
    seq: Mutex<u64>,
    waiting: Waiting,
    log: Log,
}

/// An answer that is on its way.
pub struct Pending<T> {
    guest: String,
    request: String,
    answer: Receiver<Answer>,
    kind: PhantomData<T>,
}

impl Control {
    /// Takes a stream over; what is said goes to the file `log`. The second
    /// value is the agent's first line.
    pub(crate) fn new<T>(guest: &str, stream: UnixStream, log: &Path) -> Result<(Self, Pending<T>)> {
        let file = File::create(log).map_err(Error::io(log.display().to_string()))?;
        let log = Log(Arc::new(Mutex::new(file)), Instant::now());
        let (sender, answer) = mpsc::channel();
        let waiting: Waiting = Arc::new(Mutex::new(Some(BTreeMap::from([(0, sender)]))));
        let lines = stream.try_clone().map_err(Error::io("control port"))?;
        let (its_waiting, its_log) = (waiting.clone(), log.clone());
        thread::spawn(move || read_answers(lines, &its_waiting, &its_log));
        let guest = guest.to_owned();
        let hello = Pending { guest: guest.clone(), request: "hello".to_owned(), answer, kind: PhantomData };
        Ok((Self { guest, stream: Mutex::new(stream), seq: Mutex::new(0), waiting, log }, hello))
    }

    /// Asks, without waiting.
    pub(crate) fn begin<T>(&self, request: Request) -> Result<Pending<T>> {
        let seq = {
            let mut seq = lock(&self.seq);
            *seq += 1;
            *seq
        };
        let call = Call { seq, request };
        let mut line =
            serde_json::to_string(&call).map_err(io::Error::from).map_err(Error::io("a request"))?;
        let (sender, answer) = mpsc::channel();
        if let Some(waiting) = lock(&self.waiting).as_mut() {
            waiting.insert(seq, sender);
        }
        self.log.line(">", &line);
        let pending = Pending { guest: self.guest.clone(), request: line.clone(), answer, kind: PhantomData };
        line.push('\n');
        // A write error means that the guest is gone; the reader says so better.
        let _ = lock(&self.stream).write_all(line.as_bytes());
        Ok(pending)
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = lock(&self.stream).shutdown(std::net::Shutdown::Both);
    }
}

fn read_answers(lines: UnixStream, waiting: &Waiting, log: &Log) {
    for line in BufReader::new(lines).lines() {
        let Ok(line) = line else { break };
        log.line("<", &line);
        let Ok(answer) = serde_json::from_str::<Answer>(&line) else { continue };
        if let Some(sender) = lock(waiting).as_mut().and_then(|w| w.remove(&answer.seq)) {
            let _ = sender.send(answer);
        }
    }
    // Dropping the senders tells everybody who waits.
    *lock(waiting) = None;
}

impl<T: DeserializeOwned> Pending<T> {
    /// The answer, if it has come; `None` if not yet. To be asked no more after
    /// it has.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with the agent's reason, [`Error::Gone`].
    pub fn poll(&mut self) -> Result<Option<T>> {
        match self.answer.try_recv() {
            Ok(answer) => self.value(answer).map(Some),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(self.gone()),
        }
    }

    fn gone(&self) -> Error {
        Error::Gone { guest: self.guest.clone(), why: format!("no answer to {}", self.request) }
    }

    fn value(&self, answer: Answer) -> Result<T> {
        if let Some(fault) = answer.fault {
            return Err(Error::Refused { guest: self.guest.clone(), request: self.request.clone(), fault });
        }
        let value = answer.ok.unwrap_or_default();
        serde_json::from_value(value).map_err(io::Error::from).map_err(Error::io(self.request.clone()))
    }

    /// Waits for the answer.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with the agent's reason, [`Error::Deadline`], [`Error::Gone`].
    pub fn wait(self, within: Duration) -> Result<T> {
        let answer = self.answer.recv_timeout(within).map_err(|error| match error {
            RecvTimeoutError::Timeout => {
                Error::Deadline { what: format!("guest {}, {}", self.guest, self.request), within }
            }
            RecvTimeoutError::Disconnected => self.gone(),
        })?;
        self.value(answer)
    }
}
