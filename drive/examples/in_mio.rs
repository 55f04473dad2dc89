//! Two stacks in a loop around mio's `Poll`, which sleeps for both.
//!
//! `cargo run --release -p smolsmc-drive --example in_mio`

#![expect(clippy::disallowed_types, reason = "mio sleeps by it")]

mod hosts;

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use hosts::{Client, Failure, Server};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use smolsmc::{Instant, SoftNic};
use smolsmc_drive::{Clock, Guest, Host, Mode, Next};
use smolsmc_ethernet::Port;

/// A host as an event source.
struct Node {
    host: Host<SoftNic, Port>,
    guest: Guest,
    is_done: bool,
    has_left: bool,
}

impl Node {
    fn new(host: Host<SoftNic, Port>, poll: &Poll, token: usize) -> Result<Self, Failure> {
        let guest = Guest::new(Mode::Interrupt)?;
        poll.registry().register(&mut SourceFd(&guest.as_raw_fd()), Token(token), Interest::READABLE)?;
        Ok(Self { host, guest, is_done: false, has_left: false })
    }

    /// Turns until there is nothing to do; until when, then.
    fn run(
        &mut self,
        clock: &mut impl Clock,
        mut serve: impl FnMut(&mut Host<SoftNic, Port>) -> Result<bool, Failure>,
    ) -> Result<Option<Instant>, Failure> {
        loop {
            if let Next::Wait(until) = self.guest.turn(&mut self.host, clock)? {
                return Ok(until);
            }
            self.is_done = self.is_done || serve(&mut self.host)?;
            if self.is_done && !self.has_left && !self.host.stack.has_connections() {
                self.host.stack.leave();
                self.has_left = true;
            }
        }
    }
}

fn main() -> Result<(), Failure> {
    let (one, other) = UnixStream::pair()?;
    let mut poll = Poll::new()?;
    let mut server = Node::new(hosts::host(1, one)?, &poll, 1)?;
    let mut client = Node::new(hosts::host(2, other)?, &poll, 2)?;
    let mut answers = Server::new(&mut server.host.stack)?;
    let mut questions = Client::new(&mut client.host.stack, 1000)?;

    let (mut clock, mut events) = (hosts::clock(), Events::with_capacity(8));
    loop {
        // mio tells of edges: whoever is told of none may still have been served by
        // the other's turn, and an early turn costs little.
        let untils = [
            server.run(&mut clock, |host| answers.serve(&mut host.stack))?,
            client.run(&mut clock, |host| questions.serve(&mut host.stack))?,
        ];
        if server.is_done && server.host.stack.is_idle() && client.host.stack.is_idle() {
            return Ok(());
        }
        let until = untils.into_iter().flatten().min();
        let patience = until.map(|until| Duration::from_micros(until.since(clock.now()).micros()));
        match poll.poll(&mut events, patience) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => other?,
        }
    }
}
