//! Sockets of the kernel, by way of the C library: what is loaded before it may
//! make them something else, as rsockets do.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd;

use socket2::{Domain, Socket, Type};

use crate::work::End;

/// Linux's number of its own for SMC sockets.
const AF_SMC: i32 = 43;

/// What kind of socket.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Tcp,
    Smc,
}

/// A connection.
pub(crate) struct Stream(Socket);

fn said(what: &'static str) -> impl FnOnce(io::Error) -> String {
    move |error| format!("{what}: {error}")
}

/// Without flags beside the type, which not everybody takes who stands in for the
/// kernel.
fn open(family: Family) -> Result<Socket, String> {
    let domain = match family {
        Family::Tcp => Domain::IPV4,
        Family::Smc => Domain::from(AF_SMC),
    };
    Socket::new_raw(domain, Type::STREAM, None).map_err(said("socket"))
}

impl Stream {
    pub(crate) fn connect(family: Family, echo: SocketAddrV4) -> Result<Self, String> {
        let socket = open(family)?;
        socket.connect(&echo.into()).map_err(said("connect"))?;
        Self::at_once(socket)
    }

    /// The first connection that comes.
    pub(crate) fn accept(family: Family, echo: SocketAddrV4) -> Result<Self, String> {
        let listener = open(family)?;
        listener.set_reuse_address(true).map_err(said("SO_REUSEADDR"))?;
        let anywhere = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, echo.port());
        listener.bind(&anywhere.into()).map_err(said("bind"))?;
        listener.listen(1).map_err(said("listen"))?;
        println!("listening");
        let (socket, _) = listener.accept_raw().map_err(said("accept"))?;
        Self::at_once(socket)
    }

    /// Small messages are not held back.
    fn at_once(socket: Socket) -> Result<Self, String> {
        socket.set_tcp_nodelay(true).map_err(said("TCP_NODELAY"))?;
        Ok(Self(socket))
    }

    /// Whether the descriptor is a socket of the kernel's.
    pub(crate) fn carrier(&self) -> &'static str {
        let link = fs::read_link(format!("/proc/self/fd/{}", self.0.as_raw_fd()));
        match link.is_ok_and(|link| link.to_string_lossy().starts_with("socket:")) {
            true => "a socket of the kernel",
            false => "no socket of the kernel",
        }
    }
}

impl End for Stream {
    fn send(&mut self, octets: &[u8]) -> Result<(), String> {
        self.0.write_all(octets).map_err(said("send"))
    }

    fn receive(&mut self, octets: &mut [u8]) -> Result<(), String> {
        self.0.read_exact(octets).map_err(said("receive"))
    }
}
