//! Two hosts, the second a server on port 5000.

use std::net::SocketAddr;

use smolsmc::{
    Config, ConnectionError, ListenOptions, ListenerHandle, RecvError, SendError, SocketHandle,
    SocketOptions, Transport,
};
use smolsmc_decode::{Dissector, Frame, FrameReport, Kind};
use smolsmc_tests::sim::{Lan, Random, address_of, host_config};
use smolsmc_wire::Duration;

pub(super) const CLIENT: usize = 0;
pub(super) const SERVER: usize = 1;
pub(super) const PORT: u16 = 5000;

pub(super) struct Pair {
    pub(super) lan: Lan,
    pub(super) listener: ListenerHandle,
}

/// Octet `n` of stream `stream`.
pub(super) fn pattern(stream: u64, n: u64) -> u8 {
    let mixed = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ stream.wrapping_mul(0xd1b5_4a32_d192_ed03);
    (mixed >> 32) as u8
}

impl Pair {
    pub(super) fn new(seed: u64) -> Self {
        Self::of(seed, |_, _| {})
    }

    pub(super) fn of(seed: u64, change: impl Fn(usize, &mut Config)) -> Self {
        let mut lan = Lan::of(seed, 2, change);
        lan.log = Some(Vec::new());
        let local = SocketAddr::new(address_of(SERVER), PORT);
        let listener = lan.stack(SERVER).listen(local, ListenOptions::USUAL).unwrap();
        Self { lan, listener }
    }

    pub(super) fn connect(&mut self) -> (SocketHandle, SocketHandle) {
        self.connect_with(SocketOptions::default())
    }

    /// The server begins a new life, with other entropy.
    pub(super) fn restart_server(&mut self) {
        let config = host_config(SERVER, &mut Random::new(99));
        self.lan.restart(SERVER, config);
        let local = SocketAddr::new(address_of(SERVER), PORT);
        self.listener = self.lan.stack(SERVER).listen(local, ListenOptions::USUAL).unwrap();
    }

    /// Connects, and waits until both sides know how.
    pub(super) fn connect_with(&mut self, options: SocketOptions) -> (SocketHandle, SocketHandle) {
        let client = self.begin(options);
        let listener = self.listener;
        let mut server = None;
        self.lan.until(Duration::from_secs(30), "the connection", |lan| {
            server = server.or_else(|| lan.stack(SERVER).accept(listener));
            let socket = lan.stack(CLIENT).socket(client).unwrap();
            assert_eq!(socket.error(), None);
            socket.transport().is_some() && server.is_some()
        });
        (client, server.unwrap())
    }

    pub(super) fn begin(&mut self, options: SocketOptions) -> SocketHandle {
        self.lan.stack(CLIENT).connect(SocketAddr::new(address_of(SERVER), PORT), options).unwrap()
    }

    pub(super) fn transport(&mut self, host: usize, socket: SocketHandle) -> Transport {
        self.lan.stack(host).socket(socket).unwrap().transport().unwrap()
    }

    pub(super) fn error(&mut self, host: usize, socket: SocketHandle) -> Option<ConnectionError> {
        self.lan.stack(host).socket(socket).unwrap().error()
    }

    pub(super) fn close(&mut self, host: usize, socket: SocketHandle) {
        self.lan.stack(host).socket(socket).unwrap().close();
    }

    /// Moves `len` octets from one host's socket to the other's, and looks at
    /// each of them.
    pub(super) fn transfer(&mut self, from: (usize, SocketHandle), to: (usize, SocketHandle), len: u64) {
        let (mut sent, mut received) = (0, 0);
        self.lan.until(Duration::from_secs(120), "the transfer", |lan| {
            if sent < len {
                sent += send_some(lan, from, 7, sent, len);
            }
            received += recv_some(lan, to, 7, received).unwrap_or(0);
            received == len
        });
    }

    /// Reads to the end of the stream; returns how many octets there were.
    pub(super) fn read_to_end(&mut self, at: (usize, SocketHandle)) -> u64 {
        let mut received = 0;
        self.lan.until(Duration::from_secs(30), "the end of the stream", |lan| {
            loop {
                match recv_some(lan, at, 7, received) {
                    Some(0) => return true,
                    Some(more) => received += more,
                    None => return false,
                }
            }
        });
        received
    }

    /// Steps until the peer's abort has come, which no read takes for the end of a
    /// stream.
    pub(super) fn until_aborted(&mut self, host: usize, socket: SocketHandle) {
        let aborted = Err(RecvError::Over(ConnectionError::PeerAborted));
        self.lan.until(Duration::from_secs(30), "the abort", |lan| {
            lan.stack(host).socket(socket).unwrap().recv(&mut [0]) == aborted
        });
        assert_eq!(self.error(host, socket), Some(ConnectionError::PeerAborted));
    }

    /// What a bystander, who knows nothing of the stacks, makes of all frames so
    /// far: nothing unknown, no rule broken.
    pub(super) fn explain(&self) -> Vec<FrameReport> {
        let mut dissector = Dissector::new();
        let log = self.lan.log.as_ref().unwrap();
        let mut reports = Vec::new();
        for (number, (at, octets)) in (1..).zip(log) {
            let frame = Frame { number, time_ns: at.micros() * 1000, original_len: octets.len(), octets };
            let report = dissector.frame(&frame);
            assert!(!matches!(report.kind(), Kind::Violation | Kind::Unknown), "{}", report.to_line());
            reports.push(report);
        }
        reports
    }

    /// The frames of one kind, as lines.
    pub(super) fn said(&self, kind: Kind) -> Vec<String> {
        self.explain()
            .iter()
            .filter(|report| report.kind() == kind)
            .map(|report| report.summary.clone())
            .collect()
    }

    /// Waits until nothing is left on either side but link groups.
    pub(super) fn until_closed(&mut self) {
        self.lan.until(Duration::from_secs(60), "the end of all connections", |lan| {
            !lan.stack(CLIENT).has_connections() && !lan.stack(SERVER).has_connections()
        });
    }
}

/// Sends what there is room for of the octets from `at` to `end`.
pub(super) fn send_some(lan: &mut Lan, from: (usize, SocketHandle), stream: u64, at: u64, end: u64) -> u64 {
    let octets: Vec<u8> = (at..end.min(at + 10_000)).map(|n| pattern(stream, n)).collect();
    match lan.stack(from.0).socket(from.1).unwrap().send(&octets) {
        Ok(sent) => sent as u64,
        Err(SendError::WouldBlock) => 0,
        Err(error) => panic!("{error}"),
    }
}

/// Receives some octets, which must be those from `at` on; `None` if there is
/// nothing now.
pub(super) fn recv_some(lan: &mut Lan, to: (usize, SocketHandle), stream: u64, at: u64) -> Option<u64> {
    let mut octets = [0; 10_000];
    match lan.stack(to.0).socket(to.1).unwrap().recv(&mut octets) {
        Ok(len) => {
            for (n, octet) in (at..).zip(&octets[..len]) {
                assert_eq!(*octet, pattern(stream, n), "octet {n}");
            }
            Some(len as u64)
        }
        Err(RecvError::WouldBlock) => None,
        Err(error) => panic!("{error}"),
    }
}
