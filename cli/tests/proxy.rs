//! `proxy` as a user runs it: programs with ordinary TCP sockets, two proxies
//! between them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "clients are threads")]

mod common;
#[path = "common/proxies.rs"]
mod proxies;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use common::{Ended, assert_refused, smolsmc, text};
use proxies::{Proxies, free_port};
use rustix::net::sockopt::set_socket_linger;

/// So long is waited for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream.set_write_timeout(Some(PATIENCE)).expect("a socket");
    stream
}

/// A server whose connections are each served by `serve` on a thread.
fn server(serve: fn(TcpStream)) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("a connection");
            thread::spawn(move || serve(stream));
        }
    });
    address
}

/// Sends back what comes, and ends when the client has.
fn echo(mut stream: TcpStream) {
    let mut octets = vec![0; 16 << 10];
    while let Ok(len @ 1..) = stream.read(&mut octets) {
        if stream.write_all(&octets[..len]).is_err() {
            return;
        }
    }
}

/// Octets of a client that are no other's.
fn octets(client: u32, len: usize) -> Vec<u8> {
    let mut state = client.wrapping_mul(2_654_435_761).wrapping_add(1);
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(len)
    .collect()
}

/// Sends, half closes, and reads to the end.
fn round_trip(to: SocketAddr, client: u32, len: usize) {
    let mut stream = connect(to);
    let sent = octets(client, len);
    let mut writer = stream.try_clone().expect("a socket");
    let copy = sent.clone();
    let writing = thread::spawn(move || {
        writer.write_all(&copy).expect("it is taken");
        writer.shutdown(Shutdown::Write).expect("a socket");
    });
    let mut back = Vec::new();
    stream.read_to_end(&mut back).expect("an end");
    writing.join().expect("written");
    assert!(back == sent, "client {client}: {} of {len} octets came back", back.len());
}

fn assert_ended((client, server): (Ended, Ended), connections: u32) {
    assert!(client.success, "{}", client.stderr);
    assert!(server.success, "{}", server.stderr);
    let end = format!("the peer closed the socket; connections passed: {connections}\n");
    assert!(server.stderr.ends_with(&end), "{}", server.stderr);
}

#[test]
fn two_hundred_connections_at_once_keep_their_octets_apart() {
    let proxies = Proxies::start("proxy-many", server(echo), [&["--quiet"], &["--strict"]]);
    let entrance = proxies.entrance;
    // All of them stand before the first octet goes.
    let streams: Vec<_> = (0..200).map(|_| connect(entrance)).collect();
    let clients: Vec<_> = (0..200)
        .zip(streams)
        .map(|(client, mut stream)| {
            thread::spawn(move || {
                for round in 0..5 {
                    let sent = octets(client * 5 + round, 1 + 4001 * round as usize);
                    stream.write_all(&sent).expect("it is taken");
                    let mut back = vec![0; sent.len()];
                    stream.read_exact(&mut back).expect("it comes back");
                    assert!(back == sent, "client {client}, round {round}");
                }
            })
        })
        .collect();
    for client in clients {
        client.join().expect("all of it came back");
    }
    let (client, server) = proxies.end_after(200);
    let smcr =
        client.stderr.lines().filter(|line| line.contains("> 10.9.0.1:7000: SMC-R v2.1, client")).count();
    assert_eq!(smcr, 200, "{}", client.stderr);
    assert_ended((client, server), 200);
}

#[test]
fn large_streams_pass_both_ways_at_once_with_half_close() {
    let proxies = Proxies::start("proxy-large", server(echo), [&[], &["--quiet"]]);
    let entrance = proxies.entrance;
    let clients: Vec<_> =
        (0..4).map(|client| thread::spawn(move || round_trip(entrance, client, 8 << 20))).collect();
    for client in clients {
        client.join().expect("all of it came back");
    }
    round_trip(entrance, 9, 0);
    round_trip(entrance, 10, 1);
    let (client, server) = proxies.end_after(6);
    let ends: Vec<serde_json::Value> =
        text(&client.stdout).lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    assert_eq!(ends.len(), 6);
    assert_eq!(ends.iter().filter(|end| end["received"] == 8 << 20 && end["sent"] == 8 << 20).count(), 4);
    assert!(ends.iter().all(|end| end["error"].is_null()), "{ends:?}");
    assert_ended((client, server), 6);
}

#[test]
fn reset_of_a_client_reaches_the_server() {
    let (told, heard) = mpsc::channel();
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let target = listener.local_addr().expect("bound");
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream.read_exact(&mut [0; 5]).expect("hello");
        told.send(None).expect("heard");
        told.send(stream.read(&mut [0; 5]).err().map(|error| error.kind())).expect("heard");
    });
    let proxies = Proxies::start("proxy-reset-client", target, [&[], &[]]);
    let mut stream = connect(proxies.entrance);
    stream.write_all(b"hello").expect("it is taken");
    assert_eq!(heard.recv_timeout(PATIENCE), Ok(None), "it stands");
    set_socket_linger(&stream, Some(Duration::ZERO)).expect("a socket");
    drop(stream);
    assert_eq!(heard.recv_timeout(PATIENCE), Ok(Some(ErrorKind::ConnectionReset)));
    let (client, server) = proxies.end_after(1);
    assert!(client.stderr.contains("the local end: Connection reset by peer"), "{}", client.stderr);
    assert!(server.stderr.contains("connection aborted by the peer"), "{}", server.stderr);
}

/// Also while the client reads nothing and its proxy has nothing left to write.
#[test]
fn reset_of_a_server_reaches_the_client() {
    let target = server(|mut stream| {
        stream.read_exact(&mut [0; 5]).expect("hello");
        set_socket_linger(&stream, Some(Duration::ZERO)).expect("a socket");
    });
    let proxies = Proxies::start("proxy-reset-server", target, [&[], &[]]);
    let mut stream = connect(proxies.entrance);
    stream.write_all(b"hello").expect("it is taken");
    let kind = stream.read(&mut [0; 5]).expect_err("no end of stream").kind();
    assert_eq!(kind, ErrorKind::ConnectionReset);
    assert_ended(proxies.end_after(1), 1);
}

#[test]
fn nobody_behind_the_proxy_is_a_reset_and_both_say_why() {
    let target = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let proxies = Proxies::start("proxy-nobody", target, [&[], &[]]);
    let kind = connect(proxies.entrance).read(&mut [0; 5]).expect_err("no end of stream").kind();
    assert_eq!(kind, ErrorKind::ConnectionReset);
    let (_, server) = proxies.end_after(1);
    assert!(server.stderr.contains("the local end: Connection refused"), "{}", server.stderr);
}

#[test]
fn nothing_at_the_other_end_of_the_cable_is_a_reset() {
    let proxies = Proxies::start("proxy-strict", server(echo), [&["--eid", "OTHER"], &["--strict"]]);
    let kind = connect(proxies.entrance).read(&mut [0; 5]).expect_err("no end of stream").kind();
    assert_eq!(kind, ErrorKind::ConnectionReset);
    let (client, _) = proxies.end_after(1);
    assert!(
        client.stderr.contains("SMC-R was demanded; TCP is all there is (we: 0x05000000"),
        "{}",
        client.stderr
    );
}

/// A server that reads nothing stops the client, and only that one.
#[test]
fn slow_reader_stops_its_own_writer_and_nobody_else() {
    let target = server(|stream| {
        let mut first = [0];
        (&stream).read_exact(&mut first).expect("an octet");
        if first[0] == b's' {
            thread::sleep(PATIENCE);
        } else {
            (&stream).write_all(&first).expect("taken");
            echo(stream);
        }
    });
    let proxies = Proxies::start("proxy-slow", target, [&[], &[]]);
    let mut slow = connect(proxies.entrance);
    slow.set_write_timeout(Some(Duration::from_secs(2))).expect("a socket");
    slow.write_all(b"s").expect("taken");
    let mut taken = 0;
    while let Ok(len) = slow.write(&[0; 1 << 16]) {
        taken += len;
        assert!(taken < 64 << 20, "somebody keeps {taken} octets");
    }
    let before = Instant::now();
    round_trip(proxies.entrance, 1, 1 << 20);
    assert!(before.elapsed() < PATIENCE, "the others go on");
    drop(proxies.end_after(1));
}

#[test]
fn bad_input_gives_one_sentence_and_a_status() {
    let link = ["--link", "unix:/does/not/exist", "--ip", "10.9.0.2/24"];
    let refused = |more: &[&str], words: &str| assert_refused(&[&["proxy"], more, &link[..]].concat(), words);
    refused(&[], "--to-smc <[IP:]PORT=HOST:PORT>");
    refused(&["--to-smc", "6379"], "a port and a place to pass on to are wanted, such as 6379=10.9.0.1:6379");
    refused(&["--to-smc", "0=10.9.0.1:6379"], "a port is wanted, 1 to 65535");
    refused(&["--to-tcp", "x:1=10.9.0.1:6379"], "an address is wanted, such as 10.9.0.1");
    refused(&["--to-tcp", "1=redis:6379"], "an address with a port is wanted");
    let busy = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = busy.local_addr().expect("bound").port();
    refused(
        &["--to-smc", &format!("{port}=10.9.0.1:1")],
        &format!("127.0.0.1:{port}: Address already in use"),
    );
    assert!(text(&smolsmc(&["proxy", "--help"]).stdout).contains("Examples:"));
}
