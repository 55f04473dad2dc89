//! Programs that know nothing of SMC, over two proxies: `cargo test -p smolsmc-cli
//! --features programs` with redis-server, redis-cli, curl and wrk installed
//! (`.ci/run` installs them).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a server is a thread")]

mod common;
#[path = "common/proxies.rs"]
mod proxies;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use common::text;
use proxies::{Proxies, free_port};

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; .ci/run installs it"));
    assert!(output.status.success(), "{program}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn redis_is_served_and_measured() {
    let port = free_port();
    let mut server = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server is installed: .ci/run does it");
    let target = SocketAddr::from(([127, 0, 0, 1], port));
    for _ in 0..100 {
        if TcpStream::connect(target).is_ok() {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    let proxies = Proxies::start("programs-redis", target, [&["--quiet", "--strict"], &["--strict"]]);
    let entrance = proxies.entrance.port().to_string();
    let cli = |arguments: &[&str]| run("redis-cli", &[&["-p", &entrance], arguments].concat());
    assert_eq!(cli(&["ping"]), "PONG\n");
    let long = "smc".repeat(30_000);
    assert_eq!(cli(&["set", "key", &long]), "OK\n");
    assert_eq!(cli(&["get", "key"]), format!("{long}\n"));
    let benchmark = ["-p", &entrance, "-c", "50", "-n", "5000", "-t", "set,get", "-q", "-d", "500"];
    let measured = run("redis-benchmark", &benchmark);
    assert!(measured.contains("GET: ") && measured.contains("requests per second"), "{measured}");
    assert!(!measured.contains("rror"), "{measured}");
    let (client, _) = proxies.end_after(0);
    assert!(client.success && client.stderr.contains("SMC-R v2.1"), "{}", client.stderr);
    server.kill().expect("it runs");
    server.wait().expect("it ends");
}

/// Answers each request with a megabyte.
fn web_server() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || serve(&stream.expect("a connection")));
        }
    });
    address
}

const PAGE_LEN: usize = 1 << 20;

fn serve(stream: &TcpStream) {
    let (mut out, page) = (stream, vec![b'x'; PAGE_LEN]);
    let mut lines = BufReader::new(stream).lines();
    while let Some(Ok(line)) = lines.next() {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {PAGE_LEN}\r\n\r\n");
        if line.is_empty() && out.write_all(head.as_bytes()).and_then(|()| out.write_all(&page)).is_err() {
            return;
        }
    }
}

#[test]
fn curl_and_wrk_fetch_pages() {
    let proxies = Proxies::start("programs-web", web_server(), [&["--quiet", "--strict"], &["--strict"]]);
    let url = format!("http://{}/", proxies.entrance);
    let page = run("curl", &["--silent", "--fail", "--max-time", "60", &url]);
    assert!(page.len() == PAGE_LEN && page.bytes().all(|octet| octet == b'x'));
    let measured = run("wrk", &["-t", "1", "-c", "20", "-d", "2s", "--timeout", "30s", &url]);
    assert!(measured.contains("Requests/sec"), "{measured}");
    assert!(!measured.contains("Socket errors"), "{measured}");
    let (client, _) = proxies.end_after(0);
    assert!(client.success && client.stderr.contains("SMC-R v2.1"), "{}", client.stderr);
}
