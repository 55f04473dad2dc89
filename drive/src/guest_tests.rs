use std::collections::VecDeque;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use smolsmc_stack::Wakeup;
use smolsmc_wire::Duration;

use super::*;
use crate::driver::Token;

/// A host with descriptors, which does what is written down beforehand.
struct Script {
    polls: VecDeque<bool>,
    fds: Vec<OwnedFd>,
    wakeup: Wakeup,
}

impl Drive for Script {
    fn poll(&mut self, _now: Instant) -> PollOutcome {
        PollOutcome { progressed: self.polls.pop_front().unwrap_or(false), ..PollOutcome::default() }
    }

    fn poll_at(&mut self) -> Wakeup {
        self.wakeup
    }

    fn arm(&mut self) -> bool {
        false
    }

    fn up(&self) -> usize {
        0
    }

    fn wants_write(&self) -> bool {
        false
    }

    fn timeout(&mut self) -> Option<Duration> {
        None
    }

    fn fds<'a>(&'a mut self, into: &mut Fds<'a>) {
        self.fds.iter().for_each(|fd| into.read(fd.as_fd()));
    }
}

fn script() -> Script {
    Script { polls: VecDeque::new(), fds: Vec::new(), wakeup: Wakeup::OnInput }
}

fn event() -> OwnedFd {
    eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).unwrap()
}

fn ring(fd: &OwnedFd) {
    rustix::io::write(fd, &1_u64.to_ne_bytes()).unwrap();
}

fn is_readable(guest: &Guest) -> bool {
    poll(&mut [PollFd::new(guest, PollFlags::IN)], Some(&Timespec::default())).unwrap() > 0
}

fn turn(guest: &mut Guest, host: &mut Script) -> Next {
    guest.turn(host, &mut || Instant::ZERO).unwrap()
}

#[test]
fn it_waits_only_when_there_is_nothing_and_says_until_when() {
    let (mut guest, mut host) = (Guest::new(Mode::Interrupt).unwrap(), script());
    host.polls = [true, false, true].into();
    assert!(matches!(turn(&mut guest, &mut host), Next::Again(outcome) if outcome.progressed));
    let came_while_arming = turn(&mut guest, &mut host);
    assert!(matches!(came_while_arming, Next::Again(outcome) if outcome.progressed));
    assert_eq!(turn(&mut guest, &mut host), Next::Wait(None));
    let at = Instant::from_micros(70);
    host.wakeup = Wakeup::At(at);
    assert_eq!(turn(&mut guest, &mut host), Next::Wait(Some(at)));
    host.wakeup = Wakeup::Now;
    assert!(matches!(turn(&mut guest, &mut host), Next::Again(_)));
    guest.driver().set_mode(Mode::Busy);
    host.wakeup = Wakeup::OnInput;
    assert!(matches!(turn(&mut guest, &mut host), Next::Again(_)));
}

#[test]
fn hosts_descriptors_wake_as_they_are_now() {
    let (mut guest, mut host) = (Guest::new(Mode::Interrupt).unwrap(), script());
    host.fds.push(event());
    for change in 0..4 {
        assert_eq!(turn(&mut guest, &mut host), Next::Wait(None));
        assert!(!is_readable(&guest), "{change}");
        ring(host.fds.last().unwrap());
        assert!(is_readable(&guest), "{change}");
        match change {
            // One that is new, beside one that was readable and is gone: not to be
            // waited for any more, though it still exists.
            0 => host.fds.push(event()),
            // The same number, another descriptor.
            _ => {
                host.fds.pop();
                host.fds.push(event());
            }
        }
        if change == 0 {
            host.fds.swap_remove(0);
        }
    }
}

#[test]
fn bells_wakers_and_foreign_descriptors_wake_and_are_told() {
    let (mut guest, mut host) = (Guest::new(Mode::Interrupt).unwrap(), script());
    assert_eq!(turn(&mut guest, &mut host), Next::Wait(None));
    guest.driver().bell().ring();
    assert!(is_readable(&guest));
    assert_eq!(turn(&mut guest, &mut host), Next::Wait(None), "rung once, awake once");
    assert!(!is_readable(&guest));

    guest.driver().waker(Token(7)).wake();
    assert!(is_readable(&guest));
    assert!(matches!(turn(&mut guest, &mut host), Next::Again(_)), "somebody is ready");
    assert_eq!(guest.driver().next_ready(), Some(Token(7)));

    let foreign = event();
    guest.driver().add(foreign.as_fd(), Token(9), true, false).unwrap();
    assert_eq!(turn(&mut guest, &mut host), Next::Wait(None));
    ring(&foreign);
    assert!(is_readable(&guest));
    assert!(matches!(turn(&mut guest, &mut host), Next::Again(_)));
    assert_eq!(guest.driver().foreign().collect::<Vec<_>>(), [Token(9)]);
}
