//! Many senders and one receiver whose applications do not read: its receives are
//! posted again by `poll`, whoever reads or not, so that nobody is ever told that
//! there is none (RNR NAK).

use std::net::SocketAddr;

use smolsmc::{Config, ListenOptions, SocketHandle, SocketOptions};
use smolsmc_tests::sim::{Lan, address_of};
use smolsmc_wire::{Duration, RmbeSize};

use super::pair::{PORT, recv_some, send_some};

/// The one that all send to.
const RECEIVER: usize = 0;
/// Connections of a link group, in Linux too.
const GROUP_FULL: usize = 255;

struct Incast {
    lan: Lan,
    /// Of each connection: who sends, its end, and the receiver's.
    connections: Vec<(usize, SocketHandle, SocketHandle)>,
}

impl Incast {
    /// `senders` hosts with `each` connections to the receiver.
    fn new(seed: u64, senders: usize, each: usize, change: impl Fn(usize, &mut Config)) -> Self {
        let mut lan = Lan::of(seed, senders + 1, |host, config| {
            config.rmb_size = RmbeSize::KIB_16;
            config.send_size = RmbeSize::KIB_16;
            config.autocork = 0;
            (config.limits.handshakes, config.limits.handshakes_per_source) = (1024, 1024);
            change(host, config);
        });
        let server = SocketAddr::new(address_of(RECEIVER), PORT);
        let mut options = ListenOptions::USUAL;
        options.backlog = 1024;
        let listener = lan.stack(RECEIVER).listen(server, options).unwrap();
        let mut connections = Vec::new();
        for _ in 0..each {
            for sender in 1..=senders {
                let client = lan.stack(sender).connect(server, SocketOptions::USUAL).unwrap();
                let mut accepted = None;
                lan.until(Duration::from_secs(30), "a connection", |lan| {
                    accepted = accepted.or_else(|| lan.stack(RECEIVER).accept(listener));
                    accepted.is_some() && lan.stack(sender).socket(client).unwrap().transport().is_some()
                });
                connections.push((sender, client, accepted.unwrap()));
            }
        }
        Self { lan, connections }
    }

    /// All send `len` octets in pieces of `piece`, of which the receiver's applications
    /// read nothing until no more can go.
    fn flood(&mut self, len: u64, piece: u64) {
        let Self { lan, connections } = self;
        let mut sent = vec![0; connections.len()];
        for _ in 0..2000 {
            for (stream, (sent, (host, client, _))) in (0..).zip(sent.iter_mut().zip(connections.iter())) {
                *sent += send_some(lan, (*host, *client), stream, *sent, len.min(*sent + piece));
            }
            lan.step_within(Duration::from_micros(20));
        }
        assert!(sent.iter().all(|sent| *sent > 0), "each has sent something");
        let mut received = vec![0; connections.len()];
        lan.until(Duration::from_secs(120), "all octets", |lan| {
            let mut is_done = true;
            for (stream, (host, client, server)) in (0..).zip(connections.iter()) {
                let (sent, received) = (&mut sent[stream as usize], &mut received[stream as usize]);
                *sent += send_some(lan, (*host, *client), stream, *sent, len.min(*sent + piece));
                *received += recv_some(lan, (RECEIVER, *server), stream, *received).unwrap_or(0);
                is_done &= *received == len;
            }
            is_done
        });
    }

    /// RNR NAKs, timeouts and NAKs of any kind that senders have seen.
    fn trouble(&mut self) -> (u64, u64, u64) {
        let senders = self.connections.iter().map(|(host, ..)| *host).max().unwrap_or(0);
        (1..=senders).fold((0, 0, 0), |(rnr, timeouts, sequence), host| {
            let counters = self.lan.stack(host).provider_mut().counters();
            let naks = &counters.naks_received;
            (rnr + naks.rnr, timeouts + counters.timeouts, sequence + naks.sequence)
        })
    }
}

/// As many connections as a group has, over one queue pair.
#[test]
fn readers_that_do_not_read_cause_no_rnr_nak() {
    let mut incast = Incast::new(931, 1, GROUP_FULL, |_, _| {});
    incast.flood(40_000, 400);
    assert_eq!(incast.trouble(), (0, 0, 0));
}

#[test]
fn thirty_two_senders_to_one_cause_no_rnr_nak() {
    let mut incast = Incast::new(932, 32, 4, |_, _| {});
    incast.flood(60_000, 900);
    assert_eq!(incast.trouble(), (0, 0, 0));
}

/// The same load on a receiver that posts its receives after it has dealt with a
/// message, at its own pace, with senders that take an ACK for a receive posted: what
/// the two above would look like.
#[test]
fn receives_posted_late_cause_rnr_naks() {
    let mut incast = Incast::new(931, 1, GROUP_FULL, |host, config| {
        config.limits.peer_receives = 1 << 20;
        if host == RECEIVER {
            (config.limits.receives, config.limits.completions) = (48, 1);
        }
    });
    incast.lan.set_pace(RECEIVER, Duration::from_micros(40));
    incast.flood(2000, 50);
    let (rnr, ..) = incast.trouble();
    assert!(rnr > 10, "{rnr}");
}
