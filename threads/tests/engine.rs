//! Engines on two ends of a cable, and threads that block.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "blocking calls have timeouts")]
#![expect(clippy::unwrap_used, reason = "a test says so by panicking")]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use smolsmc::{Config, Eid, Mac, PortConfig, SoftNic, Transport};
use smolsmc_drive::{Host, Mode};
use smolsmc_ethernet::{Port, StreamPort};
use smolsmc_threads::{Engine, EngineError, Options, SmcListener, SmcStream, StreamError, monotonic};

const SERVER: [u8; 4] = [10, 9, 0, 1];
const MTU: u16 = 1500;
/// Nothing here takes so long.
const PATIENCE: Duration = Duration::from_secs(20);

fn address(port: u16) -> SocketAddr {
    SocketAddr::from((SERVER, port))
}

fn host(number: u8, socket: UnixStream) -> io::Result<Host<SoftNic, Port>> {
    let mut config = Config::new([number; 32]);
    config.eids.push(Eid::from_ascii("THREADS").unwrap());
    let mut port = PortConfig::new(Mac([2, 0, 0, 0, 0, number]), MTU);
    port.addresses.push(([10, 9, 0, number].into(), 24));
    config.ports.push(port);
    let stack = smolsmc::soft(config, smolsmc::Instant::ZERO).map_err(io::Error::other)?;
    Ok(Host { stack, devices: vec![Port::Stream(StreamPort::from_stream(socket, MTU)?)] })
}

struct Pair {
    server: Engine<SoftNic>,
    client: Engine<SoftNic>,
}

fn pair(options: &Options) -> Pair {
    let (one, other) = UnixStream::pair().unwrap();
    let start =
        |number, socket| Engine::start(options.clone(), monotonic(), move || host(number, socket)).unwrap();
    Pair { server: start(1, one), client: start(2, other) }
}

fn small() -> Options {
    let mut options = Options::usual();
    (options.inward, options.outward) = (3000, 5000);
    options
}

impl Pair {
    fn listen(&self) -> SmcListener {
        self.server.handle().listen(address(5000)).unwrap()
    }

    fn connected(&self) -> (SmcStream, SmcStream, SmcListener) {
        let listener = self.listen();
        let client = self.client.handle().connect(address(5000)).unwrap();
        let (server, from) = listener.accept_timeout(PATIENCE).unwrap();
        assert_eq!((from, server.peer_addr()), (client.local_addr(), client.local_addr()));
        for stream in [&client, &server] {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.set_write_timeout(Some(PATIENCE)).unwrap();
        }
        (client, server, listener)
    }
}

fn octets(seed: u32, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

fn reason(error: &io::Error) -> &StreamError {
    error.get_ref().unwrap().downcast_ref().unwrap()
}

#[test]
fn streams_go_both_ways_at_once_and_end_by_halves() {
    let mut modes = vec![Options::usual(), small()];
    for mode in [Mode::Busy, Mode::Adaptive { spin: smolsmc::Duration::from_micros(50) }] {
        let mut options = small();
        (options.mode, options.spin) = (mode, Duration::from_micros(20));
        modes.push(options);
    }
    let pairs: Vec<_> =
        modes.into_iter().map(|options| thread::spawn(move || both_ways(&pair(&options)))).collect();
    pairs.into_iter().for_each(|pair| pair.join().unwrap());
}

fn both_ways(pair: &Pair) {
    let (client, server, _listener) = pair.connected();
    assert!(matches!(client.transport(), Some(Transport::SmcR { .. })), "{client:?}");
    let ends = [(client, 1), (server, 2)].map(|(stream, seed)| {
        thread::spawn(move || {
            let (sent, wanted) = (octets(seed, 1 << 20), octets(3 - seed, 1 << 20));
            let writer = stream.try_clone().unwrap();
            let writing = thread::spawn(move || {
                (&writer).write_all(&sent).unwrap();
                writer.shutdown(Shutdown::Write).unwrap();
                let error = (&writer).write(b"x").unwrap_err();
                assert_eq!(error.kind(), ErrorKind::BrokenPipe);
            });
            let mut got = Vec::new();
            (&stream).read_to_end(&mut got).unwrap();
            assert!(got == wanted, "{} octets", got.len());
            writing.join().unwrap();
        })
    });
    ends.into_iter().for_each(|end| end.join().unwrap());
}

#[test]
fn many_threads_share_an_engine() {
    let pair = pair(&Options::usual());
    let listener = pair.listen();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || io::copy(&mut &stream, &mut &stream));
        }
    });
    let clients: Vec<_> = (0..32)
        .map(|seed| {
            let handle = pair.client.handle();
            thread::spawn(move || {
                for round in 0..3 {
                    let mut stream = handle.connect(address(5000)).unwrap();
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    let sent = octets(seed * 3 + round, 1 + 5003 * round as usize);
                    stream.write_all(&sent).unwrap();
                    let mut back = vec![0; sent.len()];
                    stream.read_exact(&mut back).unwrap();
                    assert!(back == sent);
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    let stats = pair.client.run(|stack| stack.stats()).unwrap();
    let opened = stats.first_contacts_as_client + stats.later_contacts_as_client;
    assert!(opened >= 96, "{opened}");
}

#[test]
fn who_does_not_want_to_wait_does_not() {
    let pair = pair(&Options::usual());
    let (client, mut server, listener) = pair.connected();
    let mut out = [0; 4];
    client.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    assert_eq!(client.try_clone().unwrap().read_timeout(), Some(Duration::from_millis(20)));
    assert_eq!((&client).read(&mut out).unwrap_err().kind(), ErrorKind::TimedOut);
    client.set_nonblocking(true);
    assert_eq!((&client).read(&mut out).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(client.set_read_timeout(Some(Duration::ZERO)).unwrap_err().kind(), ErrorKind::InvalidInput);
    server.write_all(b"hello").unwrap();
    client.set_nonblocking(false);
    client.set_read_timeout(None).unwrap();
    assert_eq!(client.peek(&mut out).unwrap(), 4);
    assert_eq!(((&client).read(&mut out).unwrap(), &out), (4, b"hell"));
    // Nobody reads: what there is room for goes, the rest does not.
    client.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
    let error = (&client).write_all(&octets(1, 8 << 20)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(listener.try_accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    let waited = listener.accept_timeout(Duration::from_millis(10));
    assert_eq!(waited.unwrap_err().kind(), ErrorKind::TimedOut);
}

#[test]
fn connections_that_cannot_be_say_why() {
    let pair = pair(&Options::usual());
    let handle = pair.client.handle();
    let kind = |to: [u8; 4], port| handle.connect(SocketAddr::from((to, port))).unwrap_err().kind();
    assert_eq!(kind(SERVER, 1), ErrorKind::ConnectionRefused);
    assert_eq!(kind([192, 0, 2, 1], 1), ErrorKind::HostUnreachable);
    assert_eq!(kind(SERVER, 0), ErrorKind::InvalidInput);
    let nobody = SocketAddr::from(([10, 9, 0, 77], 5000));
    let begun = Instant::now();
    let error = handle.connect_timeout(nobody, Duration::from_millis(50)).unwrap_err();
    assert_eq!((error.kind(), begun.elapsed() < PATIENCE), (ErrorKind::TimedOut, true));
    let gone = || !pair.client.run(|stack| stack.has_connections()).unwrap();
    assert!(within(gone), "who does not wait any more leaves nothing");
    let listener = pair.listen();
    let error = pair.server.handle().listen(address(5000)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    drop(listener);
    assert!(within(|| pair.server.handle().listen(address(5000)).is_ok()), "the port is free again");
    let strange = SocketAddr::from(([10, 9, 0, 3], 5000));
    assert_eq!(pair.server.handle().listen(strange).unwrap_err().kind(), ErrorKind::AddrNotAvailable);
}

/// Whether it comes true soon.
fn within(mut what: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if what() {
            return true;
        }
        thread::sleep(Duration::from_millis(1));
    }
    false
}

#[test]
fn listeners_end_takes_those_along_that_nobody_accepted() {
    let pair = pair(&Options::usual());
    let listener = pair.listen();
    let client = pair.client.handle().connect(address(5000)).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    drop(listener);
    assert_eq!((&client).read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn last_handle_closes_and_unread_octets_abort() {
    let pair = pair(&small());
    let (client, server, listener) = pair.connected();
    let sent = octets(7, 300_000);
    let clone = client.try_clone().unwrap();
    drop(client);
    let copy = sent.clone();
    let writing = thread::spawn(move || (&clone).write_all(&copy).unwrap());
    let mut got = Vec::new();
    (&server).read_to_end(&mut got).unwrap();
    writing.join().unwrap();
    assert!(got == sent, "all of it, then the end");

    let client = pair.client.handle().connect(address(5000)).unwrap();
    let (server, _) = listener.accept_timeout(PATIENCE).unwrap();
    (&client).write_all(b"unread").unwrap();
    assert_eq!(server.peek(&mut [0; 1]).unwrap(), 1, "it has come");
    drop(server);
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!((&client).read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn reading_shut_down_finds_the_end_and_the_peer_goes_on() {
    let pair = pair(&small());
    let (client, server, _listener) = pair.connected();
    let waiting = client.try_clone().unwrap();
    let waiting = thread::spawn(move || (&waiting).read(&mut [0; 1]).unwrap());
    thread::sleep(Duration::from_millis(10));
    client.shutdown(Shutdown::Read).unwrap();
    assert_eq!(waiting.join().unwrap(), 0, "who reads already is woken");
    (&server).write_all(&octets(1, 1 << 20)).unwrap();
    assert_eq!((&client).read(&mut [0; 1]).unwrap(), 0);
    (&client).write_all(b"still").unwrap();
    (&server).read_exact(&mut [0; 5]).unwrap();
}

#[test]
fn a_cork_holds_octets_back_until_it_is_pulled() {
    let pair = pair(&Options::usual());
    let (client, server, _listener) = pair.connected();
    client.set_cork(true).unwrap();
    (&client).write_all(b"held").unwrap();
    server.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert_eq!((&server).read(&mut [0; 4]).unwrap_err().kind(), ErrorKind::TimedOut);
    client.set_cork(false).unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    (&server).read_exact(&mut [0; 4]).unwrap();
    client.set_nodelay(false).unwrap();
    client.set_keep_alive(Some(Duration::from_secs(9))).unwrap();
    client.set_linger(Some(Duration::from_secs(3))).unwrap();
    let token = client.local_addr();
    let options = pair.client.run(move |stack| {
        let summary = stack.connections().into_iter().find(|summary| summary.local == token).unwrap();
        stack.socket(summary.socket).unwrap().options()
    });
    let options = options.unwrap();
    assert!(!options.nodelay && !options.cork);
    assert_eq!(options.keep_alive, Some(smolsmc::Duration::from_secs(9)));
    assert_eq!(options.linger, Some(smolsmc::Duration::from_secs(3)));
}

#[test]
fn stopped_engine_sends_what_was_written_and_wakes_who_waits() {
    let pair = pair(&small());
    let (client, server, listener) = pair.connected();
    let sent = octets(9, 4000);
    (&server).write_all(&sent).unwrap();
    let reading = server.try_clone().unwrap();
    let reading = thread::spawn(move || (&reading).read(&mut [0; 1]).unwrap_err());
    let accepting = thread::spawn(move || listener.accept().unwrap_err());
    let handle = pair.server.handle();
    thread::sleep(Duration::from_millis(20));
    let stopping = thread::spawn(move || pair.server.stop().unwrap());
    let mut got = Vec::new();
    (&client).read_to_end(&mut got).unwrap();
    assert!(got == sent);
    drop(client);
    assert!(stopping.join().unwrap().is_clean);
    let stopped = StreamError::Engine(EngineError::Stopped);
    assert_eq!(reason(&reading.join().unwrap()), &stopped);
    assert_eq!(reason(&accepting.join().unwrap()), &stopped);
    assert_eq!(reason(&(&server).write(b"x").unwrap_err()), &stopped);
    assert_eq!(reason(&handle.connect(address(1)).unwrap_err()), &stopped);
    assert_eq!(reason(&handle.listen(address(1)).unwrap_err()), &stopped);
    assert_eq!(handle.reason(), Some(EngineError::Stopped));
}

/// A peer that reads nothing does not keep an engine from stopping.
#[test]
fn stop_has_an_end() {
    let mut options = small();
    options.farewell = Duration::from_millis(100);
    let pair = pair(&options);
    let (client, server, _listener) = pair.connected();
    server.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    (&server).write_all(&octets(1, 4 << 20)).unwrap_err();
    let begun = Instant::now();
    assert!(!pair.server.stop().unwrap().is_clean);
    assert!(begun.elapsed() < PATIENCE);
    drop(client);
}

/// Nor does it keep a stream that was closed for ever.
#[test]
fn closed_stream_is_given_up_after_a_while() {
    let mut options = small();
    options.farewell = Duration::from_millis(200);
    let pair = pair(&options);
    let (client, server, _listener) = pair.connected();
    server.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    (&server).write_all(&octets(1, 4 << 20)).unwrap_err();
    drop(server);
    let mut got = Vec::new();
    thread::sleep(Duration::from_millis(400));
    let error = (&client).read_to_end(&mut got).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "it was not the whole stream");
}

#[test]
fn panic_on_the_engines_thread_leaves_nobody_waiting() {
    let pair = pair(&Options::usual());
    let (client, server, listener) = pair.connected();
    let reading = thread::spawn(move || (&server).read(&mut [0; 1]).unwrap_err());
    let accepting = thread::spawn(move || listener.accept().unwrap_err());
    thread::sleep(Duration::from_millis(10));
    let failed = pair.server.run(|_| assert_eq!(1, 2, "on purpose"));
    assert_eq!(failed, Err(EngineError::Panicked));
    let panicked = StreamError::Engine(EngineError::Panicked);
    assert_eq!(reason(&reading.join().unwrap()), &panicked);
    assert_eq!(reason(&accepting.join().unwrap()), &panicked);
    assert_eq!(pair.server.stop(), Err(EngineError::Panicked));
    drop(client);
}

#[test]
fn host_that_cannot_be_made_is_told() {
    let start = |make: fn() -> io::Result<Host<SoftNic, Port>>| {
        Engine::start(Options::usual(), monotonic(), make).map(drop).unwrap_err()
    };
    assert_eq!(start(|| Err(io::Error::other("no cable"))), EngineError::NoHost("no cable".to_owned()));
    assert_eq!(start(|| panic!("on purpose")), EngineError::Panicked);
}

#[test]
fn idle_engine_sleeps() {
    let pair = pair(&Options::usual());
    let (_client, _server, _listener) = pair.connected();
    pair.server.set_mode(Mode::Busy).unwrap();
    thread::sleep(Duration::from_millis(500));
    drop((_client, _server));
    let stats = pair.client.stop().unwrap().stats;
    assert!(stats.turns < 500, "{stats:?}");
    let stats = pair.server.stop().unwrap().stats;
    assert!(stats.turns > 1000, "{stats:?}: it was told not to sleep");
}
