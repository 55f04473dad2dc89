//! One turn: poll, and wait as the mode says.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::Waker;

use rustix::event::{PollFlags, Timespec, epoll, poll};
use rustix::io::Errno;
use smolsmc_stack::{PollOutcome, Wakeup};
use smolsmc_wire::{Duration, Instant};

use crate::bell::Bell;
use crate::mode::{Mode, Pace};
use crate::wakes::Fds;
use crate::{Clock, Drive};

/// What the caller knows a socket or a descriptor by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token(pub u64);

/// Foreign descriptors told of in one turn at most; the kernel goes on with the
/// others next time, so that none is forgotten.
pub const FOREIGN_BATCH: usize = 64;

/// So many turns that do not sleep there are between two looks at the foreign
/// descriptors: a look is a system call.
pub const FOREIGN_EVERY: u32 = 64;

/// Drives a [`Host`](crate::Host), or whatever else is [`Drive`].
#[derive(Debug)]
pub struct Driver {
    pace: Pace,
    bell: Bell,
    /// Of the foreign descriptors: there may be many, and they stay the same.
    /// Those of the host are few, may change, and are looked at one by one.
    foreign: OwnedFd,
    foreign_count: usize,
    since_look: u32,
    /// Devices that were up when the caller was told last.
    up: usize,
    /// The least time from one wake-up by the host to the next one.
    period: Duration,
    /// So many messages wake before that; none do if it is 0.
    count: u16,
    /// The host wakes nobody, or only by so many messages, before that.
    calm_until: Instant,
    /// What of the host could end the last sleep.
    slept: Sleep,
    found: Vec<Token>,
    stats: Stats,
}

/// Longer than anybody waits.
const FOR_EVER: Duration = Duration::from_secs(1 << 40);

/// What a turn came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// What the poll did; of the second one if there were two.
    pub outcome: PollOutcome,
    /// It slept.
    pub slept: bool,
    /// It slept, and only the time ended it.
    pub timed_out: bool,
}

/// What a driver has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Turns, each of which reads the clock once.
    pub turns: u64,
    /// Times the clock was read.
    pub clock_reads: u64,
    /// Times it slept.
    pub sleeps: u64,
    /// Looks at the foreign descriptors, a system call each.
    pub foreign_looks: u64,
}

impl Driver {
    /// A driver that waits by `mode`.
    ///
    /// # Errors
    /// If the system has no more descriptors.
    pub fn new(mode: Mode) -> io::Result<Self> {
        Ok(Self {
            pace: Pace::new(mode),
            bell: Bell::new()?,
            foreign: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            foreign_count: 0,
            since_look: 0,
            up: 0,
            period: Duration::ZERO,
            calm_until: Instant::ZERO,
            count: 0,
            slept: Sleep::Deaf,
            found: Vec::with_capacity(FOREIGN_BATCH),
            stats: Stats::default(),
        })
    }

    /// How it waits.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.pace.mode()
    }

    /// Waits otherwise from the next turn on.
    pub const fn set_mode(&mut self, mode: Mode) {
        self.pace = Pace::new(mode);
    }

    /// Lets the host end a sleep once in `period` at most, or earlier when `count`
    /// messages wait; by default at once. What comes meanwhile is dealt with together:
    /// fewer wake-ups for more latency. Bells, wakers, foreign descriptors and the stack's
    /// own deadlines wake as ever. A count of 0 is none, and one only shared memory knows:
    /// there the peer counts for who sleeps. With other providers the period alone counts.
    pub const fn moderate(&mut self, period: Duration, count: u16) {
        (self.period, self.count) = (period, count);
        self.calm_until = Instant::ZERO;
    }

    /// What it has done so far.
    #[must_use]
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    /// For other threads.
    #[must_use]
    pub fn bell(&self) -> Bell {
        self.bell.clone()
    }

    /// A waker for a socket of the stack, or for anything: it lets
    /// [`Driver::next_ready`] yield `token`, once however often it is woken.
    /// Make it once for a socket, and clone it.
    #[must_use]
    pub fn waker(&self, token: Token) -> Waker {
        self.bell.waker(token)
    }

    /// The next one whose waker was woken: the cost is in the number of those,
    /// not of all there are.
    pub fn next_ready(&mut self) -> Option<Token> {
        self.bell.next_ready()
    }

    /// Waits for a foreign descriptor as well; it is told of as long as it is
    /// ready. To be removed before it is closed.
    ///
    /// # Errors
    /// What epoll_ctl(2) says, as of one that is there already or is a plain file.
    pub fn add(&mut self, fd: BorrowedFd<'_>, token: Token, read: bool, write: bool) -> io::Result<()> {
        let mut flags = epoll::EventFlags::empty();
        flags.set(epoll::EventFlags::IN, read);
        flags.set(epoll::EventFlags::OUT, write);
        epoll::add(&self.foreign, fd, epoll::EventData::new_u64(token.0), flags)?;
        self.foreign_count += 1;
        Ok(())
    }

    /// Waits for it no more.
    ///
    /// # Errors
    /// What epoll_ctl(2) says, as of one that is not there.
    pub fn remove(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        epoll::delete(&self.foreign, fd)?;
        self.foreign_count -= 1;
        Ok(())
    }

    /// The foreign descriptors that were ready in the last turn.
    pub fn foreign(&self) -> impl Iterator<Item = Token> {
        self.found.iter().copied()
    }

    /// Polls `host` once; if nothing came, waits as the mode says, for `most` at
    /// most. The clock is read once.
    ///
    /// # Errors
    /// What poll(2) and epoll_wait(2) say, apart from a signal, which ends a sleep.
    pub fn turn(
        &mut self,
        host: &mut impl Drive,
        clock: &mut impl Clock,
        most: Duration,
    ) -> io::Result<Turn> {
        let (now, outcome, goes_on) = self.begin(host, clock)?;
        if goes_on {
            return Ok(Turn { outcome, ..Turn::default() });
        }
        self.sleep(host, now, most)
    }

    /// The one reading of the clock, the first poll, and whether to go on without a
    /// sleep.
    #[inline]
    fn begin(
        &mut self,
        host: &mut impl Drive,
        clock: &mut impl Clock,
    ) -> io::Result<(Instant, PollOutcome, bool)> {
        self.found.clear();
        self.stats.turns += 1;
        self.stats.clock_reads += 1;
        let now = clock.now();
        if !matches!(std::mem::replace(&mut self.slept, Sleep::Deaf), Sleep::Deaf) {
            self.calm_until = now + self.period;
        }
        let outcome = host.poll(now);
        let goes_on = self.came(outcome, now) || !self.pace.sleeps(now);
        if goes_on {
            self.look_sometimes()?;
        }
        Ok((now, outcome, goes_on))
    }

    fn came(&mut self, outcome: PollOutcome, now: Instant) -> bool {
        let came = outcome.progressed || outcome.more || outcome.readiness_changed;
        if came {
            self.pace.event(now);
        }
        came
    }

    /// Arms, polls once more, and sleeps if there is still nothing: what comes
    /// before arming is seen by the poll, what comes after it wakes.
    fn sleep(&mut self, host: &mut impl Drive, now: Instant, most: Duration) -> io::Result<Turn> {
        let (outcome, patience) = self.doze(host, now, most, self.count)?;
        let Some(patience) = patience else { return Ok(Turn { outcome, ..Turn::default() }) };
        let foreign = (self.foreign_count > 0).then_some(&self.foreign);
        let woken = Self::wait(&self.bell, foreign, (host, self.slept), patience);
        let heard = woken.as_ref().is_ok_and(|woken| woken.bell);
        self.bell.rouse(heard);
        let woken = woken?;
        if woken.timed_out && matches!(self.slept, Sleep::Counting) {
            // The calm goes on to its end, and no new one begins.
            self.slept = Sleep::Deaf;
        }
        if woken.foreign {
            self.look()?;
        }
        Ok(Turn { outcome, slept: true, timed_out: woken.timed_out })
    }

    /// Arms and polls once more; how long to sleep, if there is still nothing. Then the
    /// bell is to be roused afterwards. In a calm, `count` messages wake.
    fn doze(
        &mut self,
        host: &mut impl Drive,
        now: Instant,
        most: Duration,
        count: u16,
    ) -> io::Result<(PollOutcome, Option<Duration>)> {
        let calm = self.calm_until.since(now);
        let is_calm = calm > Duration::ZERO;
        let (slept, waits) = match is_calm {
            _ if !self.bell.doze() => (Sleep::Deaf, true),
            false => (Sleep::Armed, host.arm()),
            true if count == 0 => (Sleep::Deaf, false),
            true => host.arm_after(count).map_or((Sleep::Deaf, false), |waits| (Sleep::Counting, waits)),
        };
        let outcome = host.poll(now);
        // The stack may have no socket that a device's end would be told to.
        let is_other = host.up() != std::mem::replace(&mut self.up, host.up());
        let came = self.came(outcome, now) || is_other;
        let patience = match host.poll_at() {
            // What a device does not take now must wait for the device.
            Wakeup::Now if host.wants_write() => Some(most),
            Wakeup::Now => None,
            Wakeup::At(at) => Some(at.since(now).min(most)),
            Wakeup::OnInput => Some(most),
        };
        let patience = patience.map(|patience| host.timeout().map_or(patience, |most| patience.min(most)));
        let patience = patience.filter(|_| !waits && !came && !self.bell.has_ready());
        let patience = patience.map(|patience| if is_calm { patience.min(calm) } else { patience });
        if patience.is_some() {
            self.stats.sleeps += 1;
            self.slept = slept;
        } else {
            self.bell.rouse(false);
            self.look_sometimes()?;
        }
        Ok((outcome, patience))
    }

    /// A turn that leaves the sleep to somebody else; for how long, if there is nothing.
    pub(crate) fn turn_to_doze(
        &mut self,
        host: &mut impl Drive,
        clock: &mut impl Clock,
    ) -> io::Result<(PollOutcome, Option<Instant>, bool)> {
        let (now, outcome, goes_on) = self.begin(host, clock)?;
        if goes_on {
            return Ok((outcome, None, false));
        }
        let (outcome, patience) = self.doze(host, now, FOR_EVER, 0)?;
        let until = patience.filter(|patience| *patience < FOR_EVER).map(|patience| now + patience);
        Ok((outcome, until, patience.is_some()))
    }

    /// Whether the sleep that begins now is one that the host may end.
    pub(crate) const fn is_armed(&self) -> bool {
        matches!(self.slept, Sleep::Armed)
    }

    /// The sleep of somebody else is over.
    pub(crate) fn rouse(&mut self) -> io::Result<()> {
        self.bell.rouse(true);
        if self.foreign_count > 0 { self.look() } else { Ok(()) }
    }

    /// What to sleep on beside the host's.
    pub(crate) fn own_fds<'a>(&'a self, into: &mut Fds<'a>) {
        into.read(self.bell.as_fd());
        into.read(self.foreign.as_fd());
    }

    fn wait(
        bell: &Bell,
        foreign: Option<&OwnedFd>,
        (host, slept): (&mut impl Drive, Sleep),
        patience: Duration,
    ) -> io::Result<Woken> {
        let mut fds = Fds::default();
        fds.read(bell.as_fd());
        if let Some(foreign) = foreign {
            fds.read(foreign.as_fd());
        }
        match slept {
            Sleep::Armed => host.fds(&mut fds),
            Sleep::Counting => host.counting_fds(&mut fds),
            Sleep::Deaf => {}
        }
        let micros = patience.micros();
        let timeout = Timespec {
            tv_sec: i64::try_from(micros / 1_000_000).unwrap_or(i64::MAX),
            tv_nsec: (micros % 1_000_000 * 1000) as _,
        };
        let count = match poll(&mut fds.polled, Some(&timeout)) {
            Ok(count) => count,
            Err(Errno::INTR) => return Ok(Woken::default()),
            Err(error) => return Err(error.into()),
        };
        let is_ready = |at: usize| fds.polled.get(at).is_some_and(|fd| fd.revents().contains(PollFlags::IN));
        Ok(Woken { bell: is_ready(0), foreign: foreign.is_some() && is_ready(1), timed_out: count == 0 })
    }

    /// While it does not sleep, the foreign descriptors have their turn too.
    fn look_sometimes(&mut self) -> io::Result<()> {
        self.since_look += 1;
        if self.foreign_count > 0 && self.since_look >= FOREIGN_EVERY {
            self.look()?;
        }
        Ok(())
    }

    fn look(&mut self) -> io::Result<()> {
        self.since_look = 0;
        self.stats.foreign_looks += 1;
        let mut events = [const { MaybeUninit::uninit() }; FOREIGN_BATCH];
        match epoll::wait(&self.foreign, &mut events, Some(&Timespec::default())) {
            Ok((events, _)) => self.found.extend(events.iter().map(|event| Token(event.data.u64()))),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

/// What of the host can end a sleep.
#[derive(Clone, Copy, Debug)]
enum Sleep {
    /// Nothing.
    Deaf,
    /// So many messages.
    Counting,
    /// Whatever there is.
    Armed,
}

#[derive(Default)]
struct Woken {
    bell: bool,
    foreign: bool,
    timed_out: bool,
}

#[cfg(test)]
#[path = "driver_tests.rs"]
mod tests;
