//! Moves pattern data over a socket and says what arrived.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{RecvFlags, SendFlags};

use crate::pattern;
use crate::protocol::{RoundTrips, Transfer};

/// One direction of a stream of pattern data, and until when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) stream: u64,
    /// Offset in the stream to begin with.
    pub(crate) offset: u64,
    /// None: until the end of stream.
    pub(crate) octets: Option<u64>,
    /// Octets of one system call.
    pub(crate) chunk: usize,
    pub(crate) deadline: Instant,
}

/// Tells the kernel how long one call may block; an error once nothing is left.
fn allow(socket: BorrowedFd<'_>, direction: Timeout, deadline: Instant) -> Result<(), Errno> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(Errno::AGAIN);
    }
    set_socket_timeout(socket, direction, Some(left.max(Duration::from_millis(10))))
}

impl Plan {
    fn next_len(&self, done: u64) -> usize {
        let left = self.octets.map_or(u64::MAX, |octets| octets - done);
        left.min(self.chunk as u64) as usize
    }

    /// Sends.
    pub(crate) fn send(&self, socket: BorrowedFd<'_>) -> Transfer {
        let start = Instant::now();
        let mut done = Transfer::default();
        let mut chunk = vec![0; self.chunk];
        while self.octets.is_none_or(|octets| done.octets < octets) {
            let part = &mut chunk[..self.next_len(done.octets)];
            pattern::fill(self.stream, self.offset + done.octets, part);
            let sent = allow(socket, Timeout::Send, self.deadline)
                .and_then(|()| rustix::net::send(socket, part, SendFlags::NOSIGNAL));
            match sent {
                Ok(len) => done.octets += len as u64,
                Err(Errno::INTR) => {}
                Err(error) => {
                    done.errno = Some(error.raw_os_error());
                    break;
                }
            }
        }
        done.seconds = start.elapsed().as_secs_f64();
        done
    }

    /// Receives and verifies; goes on after a mismatch, so that the peer is not held up.
    pub(crate) fn receive(&self, socket: BorrowedFd<'_>) -> Transfer {
        let start = Instant::now();
        let mut done = Transfer::default();
        let mut chunk = vec![0; self.chunk];
        while self.octets.is_none_or(|octets| done.octets < octets) {
            let part = &mut chunk[..self.next_len(done.octets)];
            let received = allow(socket, Timeout::Recv, self.deadline)
                .and_then(|()| rustix::net::recv(socket, &mut part[..], RecvFlags::empty()));
            match received {
                Ok((0, _)) => {
                    done.end = true;
                    break;
                }
                Ok((len, _)) => {
                    let wrong = pattern::mismatch(self.stream, self.offset + done.octets, &part[..len]);
                    done.mismatch = done.mismatch.or(wrong);
                    done.octets += len as u64;
                }
                Err(Errno::INTR) => {}
                Err(error) => {
                    done.errno = Some(error.raw_os_error());
                    break;
                }
            }
        }
        done.seconds = start.elapsed().as_secs_f64();
        done
    }
}

/// Sends back what comes until the end of stream: (received, sent).
pub(crate) fn echo(socket: BorrowedFd<'_>) -> (Transfer, Transfer) {
    let start = Instant::now();
    let (mut received, mut sent) = (Transfer::default(), Transfer::default());
    let mut chunk = vec![0; 64 * 1024];
    'stream: loop {
        match rustix::net::recv(socket, &mut chunk[..], RecvFlags::empty()) {
            Ok((0, _)) => {
                received.end = true;
                break;
            }
            Ok((len, _)) => {
                received.octets += len as u64;
                let mut rest = &chunk[..len];
                while !rest.is_empty() {
                    match rustix::net::send(socket, rest, SendFlags::NOSIGNAL) {
                        Ok(len) => {
                            sent.octets += len as u64;
                            rest = &rest[len..];
                        }
                        Err(Errno::INTR) => {}
                        Err(error) => {
                            sent.errno = Some(error.raw_os_error());
                            break 'stream;
                        }
                    }
                }
            }
            Err(Errno::INTR) => {}
            Err(error) => {
                received.errno = Some(error.raw_os_error());
                break;
            }
        }
    }
    received.seconds = start.elapsed().as_secs_f64();
    sent.seconds = received.seconds;
    (received, sent)
}

/// Sends `count` messages to an echo, one after another.
pub(crate) fn ping_pong(socket: BorrowedFd<'_>, plan: &Plan, count: usize) -> RoundTrips {
    let mut trips = RoundTrips::default();
    let mut times = Vec::with_capacity(count);
    for turn in 0..count as u64 {
        let size = plan.chunk as u64;
        let message = Plan { offset: plan.offset + turn * size, octets: Some(size), ..*plan };
        let start = Instant::now();
        let sent = message.send(socket);
        let received = if sent.errno.is_none() { message.receive(socket) } else { sent };
        trips.mismatch = trips.mismatch.or(received.mismatch);
        trips.errno = received.errno.or(received.end.then_some(Errno::PIPE.raw_os_error()));
        if trips.errno.is_some() {
            break;
        }
        times.push(start.elapsed().as_micros() as u64);
    }
    trips.count = times.len();
    times.sort_unstable();
    let of_hundred = |part: usize| times.get((times.len() * part / 100).min(times.len().saturating_sub(1)));
    trips.min = times.first().copied().unwrap_or(0);
    trips.p50 = of_hundred(50).copied().unwrap_or(0);
    trips.p99 = of_hundred(99).copied().unwrap_or(0);
    trips.max = times.last().copied().unwrap_or(0);
    trips
}

/// Looks at what has arrived without taking it.
pub(crate) fn peek(socket: BorrowedFd<'_>, stream: u64, offset: u64, octets: usize) -> io::Result<Transfer> {
    let mut chunk = vec![0; octets];
    let (len, _) = rustix::net::recv(socket, &mut chunk[..], RecvFlags::PEEK)?;
    let mismatch = pattern::mismatch(stream, offset, &chunk[..len]);
    Ok(Transfer { octets: len as u64, mismatch, end: len == 0, ..Transfer::default() })
}
