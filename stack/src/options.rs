use smolsmc_wire::RmbeSize;

/// What a socket wants, before its handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketOptions {
    /// Stay with TCP: the SYN does not carry the option.
    pub plain_tcp: bool,
    /// SMC-R or nothing: a connection that would fall back to TCP ends with
    /// [`ConnectionError::NotSmc`](crate::ConnectionError::NotSmc).
    pub strict: bool,
    /// Size of its RMB; `None` for the stack's.
    pub rmb_size: Option<RmbeSize>,
    /// Size of its send ring; `None` for the stack's.
    pub send_size: Option<RmbeSize>,
    /// Urgent octets of the peer stay in the stream, and reads stop before them.
    /// Else [`Socket::recv_urgent`](crate::Socket::recv_urgent) fetches them, and
    /// the stream is without.
    pub urgent_inline: bool,
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
    pub const USUAL: Self = Self {
        socket: SocketOptions {
            plain_tcp: false,
            strict: false,
            rmb_size: None,
            send_size: None,
            urgent_inline: false,
        },
        backlog: 128,
    };
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self::USUAL
    }
}
