//! Random traffic of random connections over random faults: what is received
//! is what was sent, and everything comes home.

use std::net::SocketAddr;

use smolsmc::{RecvError, RmbeSize, SendError, SocketHandle};
use smolsmc_tests::sim::{Faults, Lan, Random, address_of};
use smolsmc_wire::Duration;

use super::pair::{CLIENT, PORT, Pair, SERVER, pattern};

/// One direction of a connection.
#[derive(Clone, Copy)]
struct Way {
    from: (usize, SocketHandle),
    to: (usize, SocketHandle),
    stream: u64,
    len: u64,
    sent: u64,
    received: u64,
    ended: bool,
}

impl Way {
    fn go(&mut self, lan: &mut Lan, random: &mut Random) {
        if self.sent < self.len {
            let most = random.between(1, 30_000);
            let octets: Vec<u8> =
                (self.sent..self.len.min(self.sent + most)).map(|n| pattern(self.stream, n)).collect();
            match lan.stack(self.from.0).socket(self.from.1).unwrap().send(&octets) {
                Ok(sent) => self.sent += sent as u64,
                Err(SendError::WouldBlock) => {}
                Err(error) => panic!("stream {}: {error}", self.stream),
            }
            if self.sent == self.len {
                lan.stack(self.from.0).socket(self.from.1).unwrap().shutdown();
            }
        }
        // Readers sleep now and then.
        if self.ended || random.chance(0.3) {
            return;
        }
        let mut octets = vec![0; random.between(1, 40_000) as usize];
        match lan.stack(self.to.0).socket(self.to.1).unwrap().recv(&mut octets) {
            Ok(0) => {
                assert_eq!(self.received, self.len, "stream {}", self.stream);
                self.ended = true;
            }
            Ok(len) => {
                for octet in &octets[..len] {
                    assert_eq!(*octet, pattern(self.stream, self.received), "octet {}", self.received);
                    self.received += 1;
                }
            }
            Err(RecvError::WouldBlock) => {}
            Err(error) => panic!("stream {}: {error}", self.stream),
        }
    }
}

fn faults(random: &mut Random) -> Faults {
    let (loss, corrupt) = (Faults::share(random, 0.05), Faults::share(random, 0.02));
    Faults { loss, corrupt, ..Faults::unruly(random) }
}

/// Runs one seed; returns the hash of all that went over the wire.
fn run(seed: u64) -> u64 {
    let mut random = Random::new(seed);
    let codes = [random.below(4) as u8, random.below(4) as u8];
    let frames = random.pick(&[1, 7, 256]);
    let mut pair = Pair::of(seed, |host, config| {
        config.rmb_size = RmbeSize::from_code(codes[host]);
        config.send_size = RmbeSize::from_code(codes[1 - host]);
        config.limits.frames = frames;
        config.limits.completions = frames;
        config.limits.write_turn = 5000;
    });
    for host in [CLIENT, SERVER] {
        let faults = faults(&mut random);
        pair.lan.set_faults(host, faults);
    }
    let count = random.between(1, 4);
    let mut ways = Vec::new();
    let mut sockets = Vec::new();
    for stream in 0..count {
        let (client, server) = pair.connect();
        let ends = [(CLIENT, client), (SERVER, server)];
        sockets.extend(ends);
        for (from, to, stream) in [(ends[0], ends[1], 2 * stream), (ends[1], ends[0], 2 * stream + 1)] {
            let len = random.between(0, 150_000);
            ways.push(Way { from, to, stream, len, sent: 0, received: 0, ended: false });
        }
    }
    for way in ways.iter().filter(|way| way.len == 0) {
        pair.lan.stack(way.from.0).socket(way.from.1).unwrap().shutdown();
    }
    pair.lan.until(Duration::from_secs(600), "all streams", |lan| {
        ways.iter_mut().for_each(|way| way.go(lan, &mut random));
        ways.iter().all(|way| way.ended)
    });
    for (host, socket) in sockets {
        pair.close(host, socket);
    }
    pair.until_closed();
    for host in [CLIENT, SERVER] {
        pair.lan.set_faults(host, Faults::default());
    }
    pair.lan.stack(SERVER).leave();
    pair.lan.until(Duration::from_secs(30), "the end of the groups", |lan| {
        lan.stack(CLIENT).is_idle() && lan.stack(SERVER).is_idle()
    });
    pair.lan.trace_hash()
}

#[test]
fn octets_arrive_and_everything_comes_home() {
    let seeds = std::env::var("SMOLSMC_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(40);
    for seed in 0..seeds {
        run(seed);
    }
}

#[test]
fn a_seed_run_twice_is_the_same_run() {
    for seed in [1, 2, 3] {
        assert_eq!(run(seed), run(seed));
    }
}

/// Clients that open and say nothing keep no other client out.
#[test]
fn a_slow_handshake_from_one_source_leaves_room_for_another() {
    let mut lan = Lan::of(42, 3, |_, config| {
        config.limits.handshakes = 20;
        config.limits.handshakes_per_source = 8;
    });
    let local = SocketAddr::new(address_of(SERVER), PORT);
    let listener = lan.stack(SERVER).listen(local, smolsmc::ListenOptions::USUAL).unwrap();
    for _ in 0..30 {
        lan.stack(CLIENT).connect(local, smolsmc::SocketOptions::default()).unwrap();
    }
    // SYNs pass, what follows does not.
    lan.until(Duration::from_secs(1), "the SYNs", |lan| lan.stack(SERVER).has_connections());
    lan.set_faults(CLIENT, Faults { loss: 1.0, ..Faults::default() });
    lan.run_for(Duration::from_millis(100));
    let other = lan.stack(2).connect(local, smolsmc::SocketOptions::default()).unwrap();
    let mut accepted = None;
    lan.until(Duration::from_secs(3), "the other client", |lan| {
        accepted = accepted.or_else(|| lan.stack(SERVER).accept(listener));
        accepted.is_some() && lan.stack(2).socket(other).unwrap().transport().is_some()
    });
}

#[test]
fn a_listener_with_a_full_backlog_lets_clients_wait() {
    let mut pair = Pair::new(41);
    let mut options = smolsmc::ListenOptions::USUAL;
    options.backlog = 2;
    let local = SocketAddr::new(address_of(SERVER), PORT + 1);
    let listener = pair.lan.stack(SERVER).listen(local, options).unwrap();
    for _ in 0..4 {
        pair.lan.stack(CLIENT).connect(local, smolsmc::SocketOptions::default()).unwrap();
    }
    pair.lan.run_for(Duration::from_millis(500));
    let mut accepted = 0;
    pair.lan.until(Duration::from_secs(10), "the others", |lan| {
        accepted += usize::from(lan.stack(SERVER).accept(listener).is_some());
        accepted == 4
    });
}
