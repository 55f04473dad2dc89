//! Two hosts on a cable, and what they say to each other: what the examples have in
//! common.

use std::error::Error;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;

use smolsmc::{
    Config, Eid, Instant, ListenOptions, ListenerHandle, Mac, PortConfig, RecvError, SocketHandle,
    SocketOptions, SoftNic, Stack,
};
use smolsmc_drive::{Clock, Host};
use smolsmc_ethernet::{Port, StreamPort};

pub(crate) type Failure = Box<dyn Error>;

const MTU: u16 = 9000;

/// A host with a NIC in software, on one end of the cable. Others open `packet:` or
/// `tap:` interfaces (`Port`), shared memory, or RDMA devices.
pub(crate) fn host(number: u8, cable: UnixStream) -> Result<Host<SoftNic, Port>, Failure> {
    let mut config = Config::new([number; 32]); // outside of an example: 32 octets of real randomness
    config.eids.push(Eid::from_ascii("EXAMPLE")?);
    let mut port = PortConfig::new(Mac([2, 0, 0, 0, 0, number]), MTU);
    port.addresses.push(([10, 9, 0, number].into(), 24));
    config.ports.push(port);
    let stack = smolsmc::soft(config, Instant::ZERO)?;
    Ok(Host { stack, devices: vec![Port::Stream(StreamPort::from_stream(cable, MTU)?)] })
}

#[expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "here time enters")]
pub(crate) fn clock() -> impl Clock {
    let start = std::time::Instant::now();
    move || Instant::from_micros(start.elapsed().as_micros() as u64)
}

fn address() -> SocketAddr {
    SocketAddr::from(([10, 9, 0, 1], 5000))
}

/// Sends back what comes, until the client has closed.
pub(crate) struct Server {
    listener: ListenerHandle,
    socket: Option<SocketHandle>,
}

impl Server {
    pub(crate) fn new(stack: &mut Stack<SoftNic>) -> Result<Self, Failure> {
        Ok(Self { listener: stack.listen(address(), ListenOptions::USUAL)?, socket: None })
    }

    /// Does what can be done; whether all is done.
    pub(crate) fn serve(&mut self, stack: &mut Stack<SoftNic>) -> Result<bool, Failure> {
        self.socket = self.socket.or_else(|| stack.accept(self.listener));
        let Some(handle) = self.socket else { return Ok(false) };
        let mut socket = stack.socket(handle)?;
        let mut octets = [0; 1024];
        loop {
            match socket.recv(&mut octets) {
                Ok(0) => {
                    socket.close();
                    return Ok(true);
                }
                // Few of them: there is room.
                Ok(len) => assert_eq!(socket.send(&octets[..len])?, len),
                Err(RecvError::WouldBlock) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Asks so many times, one after the other.
pub(crate) struct Client {
    socket: SocketHandle,
    left: u32,
    waits: bool,
}

impl Client {
    pub(crate) fn new(stack: &mut Stack<SoftNic>, rounds: u32) -> Result<Self, Failure> {
        let socket = stack.connect(address(), SocketOptions::USUAL)?;
        Ok(Self { socket, left: rounds, waits: false })
    }

    /// Does what can be done; whether all is done.
    pub(crate) fn serve(&mut self, stack: &mut Stack<SoftNic>) -> Result<bool, Failure> {
        let mut socket = stack.socket(self.socket)?;
        let Some(transport) = socket.transport() else { return Ok(false) };
        let mut answer = [0; 8];
        if self.waits {
            match socket.recv(&mut answer) {
                Ok(8) => (self.left, self.waits) = (self.left - 1, false),
                Ok(_) => return Err("the answer is cut short".into()),
                Err(RecvError::WouldBlock) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        if self.left == 0 {
            println!("all answered, over {transport}");
            socket.close();
            return Ok(true);
        }
        self.waits = socket.send(b"question")? == 8;
        Ok(false)
    }
}
