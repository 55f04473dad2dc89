//! Connections that come and go on a link group that stands.

use std::net::SocketAddr;
use std::time::Duration;

use smolsmc::{Event, RmbeSize, SocketOptions, Transport};

use crate::clock;
use crate::hosts::{Hosts, PORT};

/// What [`contacts`] saw.
pub(crate) struct Contacts {
    /// Connections a second that stood at both ends and ended in order.
    pub(crate) per_second: f64,
    /// The slowest second's part of that, to see whether it lasts.
    pub(crate) slowest: f64,
}

/// For `time`, `concurrent` connections are being made, at any moment: as soon as
/// one stands, the client closes it and begins another; the server closes what
/// its peer has closed. SMC-R unless `plain`.
pub(crate) fn contacts(concurrent: usize, plain: bool, time: Duration) -> Contacts {
    let mut hosts = Hosts::new(RmbeSize::KIB_16);
    // It holds the link group, so that all others are later contacts.
    let _keeper = hosts.connect(false);
    while hosts.client.next_event().or(hosts.server.next_event()).is_some() {}
    let mut options = SocketOptions::default();
    options.plain_tcp = plain;
    let base = hosts.now;
    let (start, mut now) = (clock::now(), Duration::ZERO);
    let (mut wanted, mut ended, mut marks) = (concurrent, 0_u64, vec![(0.0, 0)]);
    let second = (time / 4).min(Duration::from_secs(1));
    while now < time {
        hosts.now = base + smolsmc::Duration::from_micros(now.as_micros() as u64);
        for _ in 0..core::mem::take(&mut wanted) {
            // Without a free place, as many closed ones still linger: later.
            if hosts.client.connect(SocketAddr::from(([10, 9, 0, 2], PORT)), options).is_err() {
                wanted += 1;
            }
        }
        hosts.turn();
        while let Some(event) = hosts.client.next_event() {
            match event {
                Event::Connected { socket, transport } => {
                    assert_eq!(matches!(transport, Transport::SmcR { .. }), !plain, "{transport}");
                    hosts.client.socket(socket).expect("just made").close();
                    wanted += 1;
                }
                Event::Failed { error, .. } => panic!("a contact failed: {error}"),
                _ => {}
            }
        }
        while let Some(event) = hosts.server.next_event() {
            match event {
                Event::Accepted { .. } => {
                    hosts.server.accept(hosts.listener).expect("one that was told of");
                }
                Event::PeerClosed { socket } => {
                    hosts.server.socket(socket).expect("not closed yet").close();
                    ended += 1;
                }
                Event::Failed { error, .. } => panic!("a contact failed: {error}"),
                _ => {}
            }
        }
        now = clock::now() - start;
        let (then, _) = marks[marks.len() - 1];
        if now.as_secs_f64() - then >= second.as_secs_f64() {
            marks.push((now.as_secs_f64(), ended));
        }
    }
    let rate = |a: (f64, u64), b: (f64, u64)| (b.1 - a.1) as f64 / (b.0 - a.0);
    let slowest = marks.windows(2).map(|pair| rate(pair[0], pair[1])).fold(f64::INFINITY, f64::min);
    Contacts { per_second: ended as f64 / now.as_secs_f64(), slowest }
}

/// The longest `poll` of a second while many connections send as much as they
/// can, with the usual limits: in microseconds.
pub(crate) fn longest_poll(connections: usize, time: Duration) -> f64 {
    let mut hosts = Hosts::new(RmbeSize::KIB_64);
    let sockets: Vec<_> = (0..connections).map(|_| hosts.connect(false)).collect();
    let mut buffer = vec![7; 65_536];
    let (start, mut longest) = (clock::now(), Duration::ZERO);
    while clock::now() - start < time {
        for &(client, server) in &sockets {
            let mut near = hosts.client.socket(client).expect("open");
            let _ = near.recv(&mut buffer);
            let _ = near.send(&buffer);
            let mut far = hosts.server.socket(server).expect("open");
            let _ = far.recv(&mut buffer);
            let _ = far.send(&buffer);
        }
        let before = clock::now();
        hosts.idle_poll();
        longest = longest.max(clock::now() - before);
        hosts.server_poll();
    }
    longest.as_secs_f64() * 1e6
}
