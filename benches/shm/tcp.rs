//! The kernel's TCP over loopback, spinning: non-blocking, TCP_NODELAY.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::end::End;

pub(crate) struct Tcp {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Tcp {
    pub(crate) fn pair() -> [Self; 2] {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let a = TcpStream::connect(listener.local_addr().expect("it is bound")).expect("it listens");
        let (b, _) = listener.accept().expect("a connection");
        [a, b].map(|stream| {
            stream.set_nodelay(true).expect("TCP");
            stream.set_nonblocking(true).expect("a socket");
            Self { stream, buffer: vec![0; 65_536] }
        })
    }
}

/// Again and again, until it is not for later.
fn spin(mut what: impl FnMut() -> std::io::Result<usize>) -> usize {
    loop {
        match what() {
            Ok(0) => panic!("the other end is gone"),
            Ok(len) => return len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error}"),
        }
    }
}

impl End for Tcp {
    fn send(&mut self, octets: &[u8]) {
        let mut sent = 0;
        while sent < octets.len() {
            sent += spin(|| self.stream.write(&octets[sent..]));
        }
    }

    fn receive(&mut self, octets: &mut [u8]) {
        let mut got = 0;
        while got < octets.len() {
            got += spin(|| self.stream.read(&mut octets[got..]));
        }
    }

    /// As many as there are with each call: what is kindest to it.
    fn receive_many(&mut self, octets: &mut [u8], times: u32) {
        let mut left = octets.len() * times as usize;
        while left > 0 {
            let most = left.min(self.buffer.len());
            left -= spin(|| self.stream.read(&mut self.buffer[..most]));
        }
    }
}
