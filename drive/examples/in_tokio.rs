//! Two stacks in tokio's event loop, each a task: `AsyncFd` sleeps for them.
//!
//! `cargo run --release -p smolsmc-drive --example in_tokio`

#![expect(clippy::disallowed_types, reason = "tokio sleeps by it")]

mod hosts;

use std::os::unix::net::UnixStream;
use std::time::Duration;

use hosts::{Client, Failure, Server};
use smolsmc::{SoftNic, Stack};
use smolsmc_drive::{Clock, Guest, Host, Mode, Next};
use smolsmc_ethernet::Port;
use tokio::io::unix::AsyncFd;

/// Drives `host` until `serve` is done and the peers have heard of the end.
async fn drive(
    mut host: Host<SoftNic, Port>,
    mut serve: impl FnMut(&mut Stack<SoftNic>) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let mut clock = hosts::clock();
    // SAFETY: a guest's descriptor is open as long as the guest is, and never becomes
    // another one.
    let mut guest = unsafe { AsyncFd::register(Guest::new(Mode::Interrupt)?)? };
    let (mut is_done, mut has_left) = (false, false);
    while !(is_done && host.stack.is_idle()) {
        match guest.get_mut().turn(&mut host, &mut clock)? {
            Next::Again(_) => {
                is_done = is_done || serve(&mut host.stack)?;
                if is_done && !has_left && !host.stack.has_connections() {
                    host.stack.leave();
                    has_left = true;
                }
                // Other tasks have their turn.
                tokio::task::yield_now().await;
            }
            Next::Wait(until) => {
                let patience = until.map_or(u64::MAX >> 20, |until| until.since(clock.now()).micros());
                tokio::select! {
                    ready = guest.readable() => ready?.clear_ready(),
                    () = tokio::time::sleep(Duration::from_micros(patience)) => {}
                }
            }
        }
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let (one, other) = UnixStream::pair()?;
    let (mut server, mut client) = (hosts::host(1, one)?, hosts::host(2, other)?);
    let mut answers = Server::new(&mut server.stack)?;
    let mut questions = Client::new(&mut client.stack, 1000)?;
    tokio::try_join!(
        drive(server, |stack| answers.serve(stack)),
        drive(client, |stack| questions.serve(stack)),
    )?;
    Ok(())
}
