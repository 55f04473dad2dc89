use smolsmc_wire::{Duration, RmbeSize};

/// What a socket wants, before its handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketOptions {
    /// Stay with TCP: the SYN does not carry the option.
    pub plain_tcp: bool,
    /// SMC-R or nothing: a connection that would fall back to TCP ends with
    /// [`ConnectionError::NotSmc`](crate::ConnectionError::NotSmc).
    pub strict: bool,
    /// The local port of a connection of ours; `None` for a free one. Two hosts
    /// that connect to each other's ports at once open one connection, which is
    /// TCP: SMC needs a server.
    pub local_port: Option<u16>,
    /// Size of its RMB; `None` for the stack's.
    pub rmb_size: Option<RmbeSize>,
    /// Size of its send ring; `None` for the stack's.
    pub send_size: Option<RmbeSize>,
    /// Urgent octets of the peer stay in the stream, and reads stop before them.
    /// Else [`Socket::recv_urgent`](crate::Socket::recv_urgent) fetches them, and
    /// the stream is without.
    pub urgent_inline: bool,
    /// Hold octets back until the send ring is full, or the cork is pulled
    /// ([`Socket::set_cork`](crate::Socket::set_cork)), or sending is shut down.
    /// On TCP: Nagle's algorithm, which is the nearest smoltcp has.
    pub cork: bool,
    /// Short segments of TCP go at once, without Nagle's algorithm: the default
    /// here. Means nothing over SMC-R, but see
    /// [`Socket::set_nodelay`](crate::Socket::set_nodelay).
    pub nodelay: bool,
    /// Over SMC-R, while a message is unacknowledged, so many waiting octets are
    /// held back at most, and half of the send ring; 0 for none, `None` for
    /// [`Config::autocork`](crate::Config::autocork).
    pub autocork: Option<u32>,
    /// A silent TCP peer is asked so often whether it is there, and given up if
    /// it does not answer. Over SMC-R the link is asked, whatever is set here
    /// ([`Timers::link`](crate::Timers::link)).
    pub keep_alive: Option<Duration>,
    /// How long the end may take after [`Socket::close`](crate::Socket::close):
    /// for what was sent to be taken, and for the peer to close too; then it is
    /// an abort. `None` for [`Timers::close`](crate::Timers::close).
    pub linger: Option<Duration>,
}

impl SocketOptions {
    /// No special wishes.
    pub const USUAL: Self = Self {
        plain_tcp: false,
        strict: false,
        local_port: None,
        rmb_size: None,
        send_size: None,
        urgent_inline: false,
        cork: false,
        nodelay: true,
        autocork: None,
        keep_alive: None,
        linger: None,
    };
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self::USUAL
    }
}

/// What a listener wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenOptions {
    /// Of every socket it accepts.
    pub socket: SocketOptions,
    /// Connections that may be in their handshake or wait to be accepted; a SYN
    /// beyond is dropped, and its sender tries again.
    pub backlog: usize,
}

impl ListenOptions {
    /// Sockets without special wishes, 128 of them waiting.
    pub const USUAL: Self = Self { socket: SocketOptions::USUAL, backlog: 128 };
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self::USUAL
    }
}
