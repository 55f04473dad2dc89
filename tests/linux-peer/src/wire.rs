//! A wire between two NICs' sockets, with faults on the way if wanted.

use std::collections::BTreeMap;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::frames;
use crate::pcap::Pcap;
use crate::{Error, Result};

/// Which way a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the first end to the second.
    AToB,
    /// From the second end to the first.
    BToA,
}

/// What becomes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It arrives.
    Pass,
    /// It is lost.
    Drop,
    /// It arrives later; others may overtake it.
    Delay(Duration),
    /// It arrives twice.
    Twice,
}

/// Decides about each frame.
type Judge = Box<dyn FnMut(Direction, &[u8]) -> Fate + Send>;

/// What both directions share.
#[derive(Default)]
struct Between {
    judge: Mutex<Option<Judge>>,
    capture: Mutex<Option<Pcap>>,
}

/// A wire; dropping it cuts both ends.
pub struct Wire {
    between: Arc<Between>,
    ends: [UnixStream; 2],
    threads: Vec<JoinHandle<()>>,
}

impl Wire {
    /// Joins the NICs whose sockets listen at `a` and `b`.
    ///
    /// # Errors
    ///
    /// If one of them does not answer.
    pub fn join(a: &Path, b: &Path) -> Result<Self> {
        let connect = |path: &Path| UnixStream::connect(path).map_err(Error::io(path.display().to_string()));
        Self::between(connect(a)?, connect(b)?).map_err(Error::io("cannot make a wire"))
    }

    /// Joins two connected streams, whoever is at their other ends.
    ///
    /// # Errors
    ///
    /// If a stream cannot be shared between threads.
    pub fn between(a: UnixStream, b: UnixStream) -> io::Result<Self> {
        let between = Arc::new(Between::default());
        let mut threads = Vec::new();
        for (direction, from, to) in [(Direction::AToB, &a, &b), (Direction::BToA, &b, &a)] {
            let (from, to, between) = (from.try_clone()?, to.try_clone()?, between.clone());
            let (frames, queue) = mpsc::channel();
            threads.push(thread::spawn(move || take(from, direction, &between, &frames)));
            threads.push(thread::spawn(move || give(to, &queue)));
        }
        Ok(Self { between, ends: [a, b], threads })
    }

    /// From now on `judge` decides about each frame. Until then all pass.
    pub fn judge(&self, judge: impl FnMut(Direction, &[u8]) -> Fate + Send + 'static) {
        *lock(&self.between.judge) = Some(Box::new(judge));
    }

    /// All frames pass again.
    pub fn heal(&self) {
        *lock(&self.between.judge) = None;
    }

    /// Writes what comes in at either end to a new file, in place of the old one;
    /// dropped frames are in it too.
    ///
    /// # Errors
    ///
    /// If the file cannot be made.
    pub fn capture(&self, path: &Path) -> Result<()> {
        *lock(&self.between.capture) = Some(Pcap::create(path)?);
        Ok(())
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        for end in &self.ends {
            let _ = end.shutdown(Shutdown::Both);
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads frames at one end and decides about them.
fn take(mut from: UnixStream, direction: Direction, between: &Between, queue: &Sender<(Instant, Vec<u8>)>) {
    let mut frame = Vec::new();
    while let Ok(true) = frames::read(&mut from, &mut frame) {
        if let Some(capture) = lock(&between.capture).as_mut() {
            let _ = capture.frame(&frame);
        }
        let fate = lock(&between.judge).as_mut().map_or(Fate::Pass, |judge| judge(direction, &frame));
        let now = Instant::now();
        let times: &[Instant] = match fate {
            Fate::Pass => &[now],
            Fate::Drop => &[],
            Fate::Delay(delay) => &[now + delay],
            Fate::Twice => &[now, now],
        };
        for time in times {
            if queue.send((*time, frame.clone())).is_err() {
                return;
            }
        }
    }
}

/// Writes frames at the other end, each when its time has come.
fn give(mut to: UnixStream, queue: &Receiver<(Instant, Vec<u8>)>) {
    let mut waiting: BTreeMap<(Instant, u64), Vec<u8>> = BTreeMap::new();
    // Keeps the order of frames with the same time.
    let mut count = 0;
    loop {
        let next = waiting.first_key_value().map(|((time, _), _)| *time);
        let received = match next {
            None => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(time) => queue.recv_timeout(time.saturating_duration_since(Instant::now())),
        };
        match received {
            Ok((time, frame)) => {
                count += 1;
                waiting.insert((time, count), frame);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        while let Some(entry) = waiting.first_entry().filter(|e| e.key().0 <= Instant::now()) {
            if frames::write(&mut to, &entry.remove()).is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::{Direction, Fate, Wire};
    use crate::frames;

    #[test]
    fn frames_cross_both_ways_and_meet_their_fate() {
        let (mut a, end_a) = UnixStream::pair().expect("a pair");
        let (mut b, end_b) = UnixStream::pair().expect("a pair");
        let wire = Wire::between(end_a, end_b).expect("a wire");
        wire.judge(|direction, frame| match (direction, frame[0]) {
            (Direction::AToB, 1) => Fate::Drop,
            (Direction::AToB, 2) => Fate::Delay(Duration::from_millis(200)),
            (Direction::AToB, 3) => Fate::Twice,
            _ => Fate::Pass,
        });
        for number in 1..=4 {
            frames::write(&mut a, &[number]).expect("sent");
        }
        let mut frame = Vec::new();
        for wanted in [3, 3, 4, 2] {
            assert!(frames::read(&mut b, &mut frame).expect("received"));
            assert_eq!(frame, [wanted]);
        }
        frames::write(&mut b, &[1]).expect("sent");
        assert!(frames::read(&mut a, &mut frame).expect("received"));
        assert_eq!(frame, [1]);
        drop(wire);
        assert!(!frames::read(&mut a, &mut frame).expect("cut"), "dropping the wire cuts it");
    }
}
