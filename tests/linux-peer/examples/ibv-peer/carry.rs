//! Octets to an echo and back, and an echo.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};

use smolsmc::{ListenOptions, RecvError, SendError, SocketHandle, SocketOptions};
use smolsmc_linux_peer::pattern;

use crate::Ending;
use crate::host::{Host, Step};

const CHUNK: usize = 32 * 1024;

/// Handshakes at a time: with more, Linux's backlog of 128 sends SYN cookies, which
/// carry no SMC option.
const HANDSHAKES: usize = 16;

/// What a client does.
#[derive(Clone, Copy)]
pub(crate) struct Conversation {
    pub(crate) remote: SocketAddr,
    pub(crate) connections: usize,
    pub(crate) octets: u64,
    pub(crate) ending: Ending,
    /// Of the first connection's group, before there are more connections.
    pub(crate) links: usize,
}

/// One connection of a client.
struct Client {
    socket: SocketHandle,
    stream: u64,
    is_open: bool,
    sent: u64,
    received: u64,
    shut: bool,
    over: bool,
}

impl Conversation {
    pub(crate) fn hold(&self, host: &mut Host) -> Result<(), String> {
        let mut clients: Vec<Client> = Vec::new();
        host.until("the exchange", |host| {
            let mut moved = false;
            let opening = clients.iter().filter(|client| !client.is_open).count();
            let may_open = clients.is_empty() || host.links() >= self.links;
            if clients.len() < self.connections && opening < HANDSHAKES && may_open {
                clients.push(self.connect(host, clients.len() as u64)?);
                moved = true;
            }
            // All are open at once before any of them goes.
            let all_open = clients.len() == self.connections && opening == 0;
            for client in clients.iter_mut().filter(|client| !client.over && (all_open || !client.is_open)) {
                let before = client.received;
                moved |= self.step(host, client)?;
                host.came(client.received - before);
            }
            let done = all_open && clients.iter().all(|client| client.over);
            Ok(if done {
                Step::Done
            } else if moved {
                Step::Moved
            } else {
                Step::Idle
            })
        })
    }

    fn connect(&self, host: &mut Host, stream: u64) -> Result<Client, String> {
        let connected = host.stack.connect(self.remote, SocketOptions::default());
        let socket = connected.map_err(|error| format!("cannot connect: {error}"))?;
        let (is_open, shut, over) = (false, false, false);
        Ok(Client { socket, stream, is_open, sent: 0, received: 0, shut, over })
    }

    /// Whether it moved something.
    fn step(&self, host: &mut Host, client: &mut Client) -> Result<bool, String> {
        let named = |error| format!("connection {}: {error}", client.stream);
        let mut socket = host.stack.socket(client.socket).map_err(|error| named(error.to_string()))?;
        if let Some(error) = socket.error() {
            if self.ending != Ending::Fails {
                return Err(named(error.to_string()));
            }
            println!("the socket failed: {error}");
            socket.abort();
            client.over = true;
            return Ok(true);
        }
        if !client.is_open {
            client.is_open = socket.transport().is_some();
            if client.is_open {
                host.tell(client.socket);
            }
            return Ok(client.is_open);
        }
        let mut octets = [0; CHUNK];
        let mut moved = false;
        let len = (self.octets - client.sent).min(CHUNK as u64) as usize;
        if len > 0 {
            pattern::fill(client.stream, client.sent, &mut octets[..len]);
            match socket.send(&octets[..len]) {
                Ok(sent) => client.sent += sent as u64,
                Err(SendError::WouldBlock) => {}
                Err(error) if self.ending == Ending::Fails => println!("sending failed: {error}"),
                Err(error) => return Err(named(error.to_string())),
            }
            moved = true;
        } else if self.ending == Ending::Half && !client.shut {
            socket.shutdown();
            client.shut = true;
            moved = true;
        }
        match socket.recv(&mut octets) {
            Ok(0) if self.ending == Ending::Half && client.received == self.octets => {
                socket.close();
                client.over = true;
                return Ok(true);
            }
            Ok(0) if self.ending == Ending::Fails => {
                println!("the stream ended");
                socket.abort();
                client.over = true;
                return Ok(true);
            }
            Ok(0) => return Err(named(format!("the stream ended after {} octets", client.received))),
            Ok(len) => {
                if let Some(wrong) = pattern::mismatch(client.stream, client.received, &octets[..len]) {
                    return Err(named(format!("octet {wrong} is wrong")));
                }
                client.received += len as u64;
                moved = true;
            }
            Err(RecvError::WouldBlock) => {}
            Err(error) if self.ending == Ending::Fails => println!("receiving failed: {error}"),
            Err(error) => return Err(named(error.to_string())),
        }
        if client.received == self.octets {
            match self.ending {
                Ending::Close => socket.close(),
                Ending::Abort => socket.abort(),
                Ending::Half => return Ok(moved),
                // Told once, so that the peer can be ended now.
                Ending::Fails => {
                    if !client.shut {
                        println!("all octets came back");
                        client.shut = true;
                    }
                    return Ok(moved);
                }
            }
            client.over = true;
        }
        Ok(moved)
    }
}

/// One connection of an echo.
struct Echo {
    socket: SocketHandle,
    waiting: VecDeque<u8>,
    ended: bool,
}

/// Echoes until so many connections have ended.
pub(crate) fn serve(host: &mut Host, port: u16, connections: usize) -> Result<(), String> {
    let local = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
    let listener = host.stack.listen(local, ListenOptions::USUAL).map_err(|error| error.to_string())?;
    println!("listening");
    let (mut echoes, mut over) = (Vec::new(), 0);
    host.until("a connection", |host| {
        let mut moved = false;
        while let Some(socket) = host.stack.accept(listener) {
            host.tell(socket);
            echoes.push(Echo { socket, waiting: VecDeque::new(), ended: false });
            moved = true;
        }
        echoes.retain_mut(|echo| {
            let (goes_on, did) = step(host, echo);
            moved |= did;
            over += usize::from(!goes_on);
            goes_on
        });
        let done = over >= connections && echoes.is_empty();
        Ok(if done {
            Step::Done
        } else if moved {
            Step::Moved
        } else {
            Step::Idle
        })
    })?;
    host.stack.unlisten(listener);
    Ok(())
}

/// Whether it goes on, and whether it moved something.
fn step(host: &mut Host, echo: &mut Echo) -> (bool, bool) {
    let Ok(mut socket) = host.stack.socket(echo.socket) else { return (false, true) };
    let mut octets = [0; CHUNK];
    let (mut moved, mut came) = (false, 0_u64);
    if !echo.ended && echo.waiting.len() < CHUNK {
        match socket.recv(&mut octets) {
            Ok(0) => echo.ended = true,
            Ok(len) => {
                echo.waiting.extend(&octets[..len]);
                came = len as u64;
                moved = true;
            }
            Err(RecvError::WouldBlock) => {}
            Err(error) => {
                println!("receiving failed: {error}");
                echo.ended = true;
            }
        }
    }
    if let Ok(sent) = socket.send(echo.waiting.make_contiguous()) {
        echo.waiting.drain(..sent);
        moved |= sent > 0;
    }
    let done = echo.ended && (echo.waiting.is_empty() || socket.error().is_some());
    if done {
        socket.close();
    }
    host.came(came);
    (!done, moved | done)
}
