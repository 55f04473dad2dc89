//! The kernel's TCP over loopback, TCP_NODELAY: spinning or blocking.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::end::{End, HEADER_LEN, frame_len};
use crate::fault::{Alive, Fault};

const WHAT: &str = "kernel TCP over loopback";

/// One end.
#[derive(Debug)]
pub struct Tcp {
    stream: TcpStream,
    buffer: Vec<u8>,
    alive: Alive,
}

impl Tcp {
    /// Something to connect to, and its port.
    ///
    /// # Errors
    /// [`Fault::System`].
    pub fn listen() -> Result<(TcpListener, u16), Fault> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(Fault::system("a TCP port"))?;
        let port = listener.local_addr().map_err(Fault::system("a TCP port"))?.port();
        Ok((listener, port))
    }

    /// The end of one that has connected.
    ///
    /// # Errors
    /// [`Fault::System`].
    pub fn accept(listener: &TcpListener, alive: &Alive) -> Result<Self, Fault> {
        let (stream, _) = listener.accept().map_err(Fault::system("a TCP connection"))?;
        Self::new(stream, alive)
    }

    /// The end of one that connects.
    ///
    /// # Errors
    /// [`Fault::System`].
    pub fn connect(port: u16, alive: &Alive) -> Result<Self, Fault> {
        let stream = TcpStream::connect(("127.0.0.1", port)).map_err(Fault::system("a TCP connection"))?;
        Self::new(stream, alive)
    }

    fn new(stream: TcpStream, alive: &Alive) -> Result<Self, Fault> {
        stream.set_nodelay(true).map_err(Fault::system("TCP_NODELAY"))?;
        Ok(Self { stream, buffer: vec![0; 65_536], alive: alive.clone() })
    }

    /// Whether it sleeps in the kernel instead of asking again and again.
    ///
    /// # Errors
    /// [`Fault::System`].
    pub fn set_blocking(&self, blocking: bool) -> Result<(), Fault> {
        self.stream.set_nonblocking(!blocking).map_err(Fault::system("O_NONBLOCK"))
    }
}

/// Again and again, until it is not for later.
fn again(alive: &Alive, mut what: impl FnMut() -> std::io::Result<usize>) -> Result<usize, Fault> {
    loop {
        match what() {
            Ok(0) => return Err(Fault::Gone),
            Ok(len) => return Ok(len),
            Err(error) if error.kind() == ErrorKind::WouldBlock => alive.check()?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Fault::wire(WHAT)(error)),
        }
    }
}

impl End for Tcp {
    fn send(&mut self, octets: &[u8]) -> Result<(), Fault> {
        let mut sent = 0;
        while sent < octets.len() {
            sent += again(&self.alive, || self.stream.write(&octets[sent..]))?;
        }
        Ok(())
    }

    fn receive(&mut self, octets: &mut [u8]) -> Result<(), Fault> {
        let mut got = 0;
        while got < octets.len() {
            got += again(&self.alive, || self.stream.read(&mut octets[got..]))?;
        }
        Ok(())
    }

    /// One call where that is enough: there is never more than one frame.
    fn receive_frame(&mut self, frame: &mut [u8]) -> Result<usize, Fault> {
        let mut got = 0;
        while got < HEADER_LEN || got < frame_len(frame)? {
            got += again(&self.alive, || self.stream.read(&mut frame[got..]))?;
        }
        Ok(got)
    }

    /// As many as there are with each call: what is kindest to it.
    fn receive_many(&mut self, octets: &mut [u8], times: u32) -> Result<(), Fault> {
        let mut left = octets.len() * times as usize;
        while left > 0 {
            let most = left.min(self.buffer.len());
            left -= again(&self.alive, || self.stream.read(&mut self.buffer[..most]))?;
        }
        Ok(())
    }
}
