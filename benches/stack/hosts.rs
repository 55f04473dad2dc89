//! Two whole stacks on one cable in memory.

use std::net::SocketAddr;

use smolsmc::{
    Config, Duration, Eid, Instant, ListenOptions, ListenerHandle, Mac, PortConfig, RmbeSize, SocketHandle,
    SocketOptions, SoftNic, Stack, Transport,
};
use smolsmc_ethernet::{Wire, pair};

pub(crate) const MTU: u16 = 9000;
pub(crate) const PORT: u16 = 5000;

/// A client, a server, and a clock that only moves when it is told to.
pub(crate) struct Hosts {
    pub(crate) client: Stack<SoftNic>,
    pub(crate) server: Stack<SoftNic>,
    wires: [Wire; 2],
    pub(crate) listener: ListenerHandle,
    pub(crate) now: Instant,
}

fn host(number: u8, size: RmbeSize) -> Stack<SoftNic> {
    let mut config = Config::new([number; 32]);
    config.eids.extend(Eid::from_ascii("BENCH"));
    let mut port = PortConfig::new(Mac([2, 0, 0, 0, 0, number]), MTU);
    port.addresses.push(([10, 9, 0, number].into(), 24));
    config.ports.push(port);
    config.rmb_size = size;
    config.send_size = size;
    config.limits.connections = 20_000;
    config.limits.handshakes = 20_000;
    config.limits.handshakes_per_source = 20_000;
    config.limits.groups = 100;
    config.limits.receives = 256;
    // Each end knows what the other posts.
    config.limits.peer_receives = 256;
    config.limits.messages = 128;
    config.limits.events = 4096;
    config.timers.link.test_link = Duration::ZERO;
    smolsmc::soft(config, Instant::ZERO).expect("a sound configuration")
}

impl Hosts {
    pub(crate) fn new(size: RmbeSize) -> Self {
        let (client, mut server) = (host(1, size), host(2, size));
        let (a, b) = pair(MTU);
        let mut options = ListenOptions::USUAL;
        options.backlog = 20_000;
        let listener = server.listen(SocketAddr::from(([10, 9, 0, 2], PORT)), options).expect("a free port");
        Self { client, server, wires: [a, b], listener, now: Instant::ZERO }
    }

    /// One poll of each.
    pub(crate) fn turn(&mut self) -> bool {
        let [a, b] = &mut self.wires;
        let one = self.client.poll(self.now, core::slice::from_mut(a));
        let other = self.server.poll(self.now, core::slice::from_mut(b));
        one.progressed | other.progressed
    }

    /// A poll of the client when nothing happens.
    pub(crate) fn idle_poll(&mut self) {
        let [a, _] = &mut self.wires;
        self.client.poll(self.now, core::slice::from_mut(a));
    }

    /// A poll of the server.
    #[allow(dead_code, reason = "not every benchmark that has this file asks")]
    pub(crate) fn server_poll(&mut self) {
        let [_, b] = &mut self.wires;
        self.server.poll(self.now, core::slice::from_mut(b));
    }

    /// One connection, SMC-R unless `plain`.
    pub(crate) fn connect(&mut self, plain: bool) -> (SocketHandle, SocketHandle) {
        let mut options = SocketOptions::default();
        options.plain_tcp = plain;
        let client =
            self.client.connect(SocketAddr::from(([10, 9, 0, 2], PORT)), options).expect("a connection");
        let mut server = None;
        for _ in 0..100_000 {
            if !self.turn() {
                self.now = self.now + Duration::from_millis(1);
            }
            server = server.or_else(|| self.server.accept(self.listener));
            let transport = self.client.socket(client).ok().and_then(|socket| socket.transport());
            if let (Some(server), Some(transport)) = (server, transport) {
                assert_eq!(matches!(transport, Transport::SmcR { .. }), !plain, "{transport}");
                return (client, server);
            }
        }
        panic!("no connection");
    }

    /// `octets` there and as many back. Who has something to send polls first,
    /// then who waits for it.
    pub(crate) fn round_trip(
        &mut self,
        sockets: (SocketHandle, SocketHandle),
        octets: &[u8],
        buffer: &mut [u8],
    ) {
        let [a, b] = &mut self.wires;
        let mut client = (&mut self.client, core::slice::from_mut(a), sockets.0);
        let mut server = (&mut self.server, core::slice::from_mut(b), sockets.1);
        for (from, to) in [(0, 1), (1, 0)] {
            let (mut sent, mut received) = (0, 0);
            while received < octets.len() {
                let (near, far) =
                    if from < to { (&mut client, &mut server) } else { (&mut server, &mut client) };
                if sent < octets.len()
                    && let Ok(n) = near.0.socket(near.2).expect("open").send(&octets[sent..])
                {
                    sent += n;
                }
                near.0.poll(self.now, near.1);
                far.0.poll(self.now, far.1);
                if let Ok(n) = far.0.socket(far.2).expect("open").recv(&mut buffer[received..]) {
                    received += n;
                }
            }
        }
    }

    /// The client sends `octets`, which is the first half of half a round trip.
    #[allow(dead_code, reason = "not every benchmark that has this file asks")]
    pub(crate) fn send(&mut self, sockets: (SocketHandle, SocketHandle), octets: &[u8]) {
        let [a, _] = &mut self.wires;
        let sent = self.client.socket(sockets.0).expect("open").send(octets);
        assert_eq!(sent, Ok(octets.len()));
        self.client.poll(self.now, core::slice::from_mut(a));
    }

    /// The server receives them.
    #[allow(dead_code, reason = "not every benchmark that has this file asks")]
    pub(crate) fn receive(&mut self, sockets: (SocketHandle, SocketHandle), buffer: &mut [u8]) {
        let [_, b] = &mut self.wires;
        self.server.poll(self.now, core::slice::from_mut(b));
        let received = self.server.socket(sockets.1).expect("open").recv(buffer);
        assert_eq!(received, Ok(buffer.len()));
    }

    /// Moves `total` octets one way.
    pub(crate) fn stream(&mut self, sockets: (SocketHandle, SocketHandle), total: u64, buffer: &mut [u8]) {
        let (mut sent, mut received) = (0, 0);
        while received < total {
            let len = (total - sent).min(buffer.len() as u64) as usize;
            if len > 0
                && let Ok(n) = self.client.socket(sockets.0).expect("open").send(&buffer[..len])
            {
                sent += n as u64;
            }
            self.turn();
            if let Ok(n) = self.server.socket(sockets.1).expect("open").recv(buffer) {
                received += n as u64;
            }
        }
    }
}
