//! Every way into a socket and out of it, in any order, against one count of
//! octets: on SMC-R and on TCP the same.

use smolsmc::{RecvError, RemoteSpan, RmbeSize, SendError, SocketHandle, SocketOptions, Transport};
use smolsmc_tests::sim::{Lan, Random};
use smolsmc_wire::Duration;

use super::pair::{CLIENT, Pair, SERVER, pattern};

const STREAM: u64 = 3;

/// Octets of the stream from `at` on.
fn octets(at: u64, len: u64) -> Vec<u8> {
    (at..at + len).map(|n| pattern(STREAM, n)).collect()
}

/// A pair with small rings, connected.
fn pair(seed: u64, plain_tcp: bool) -> (Pair, SocketHandle, SocketHandle) {
    let mut pair = Pair::of(seed, |host, config| {
        config.rmb_size = RmbeSize::from_code(host as u8);
        config.send_size = RmbeSize::from_code(1 - host as u8);
        config.limits.tcp_buffer = 16 * 1024;
    });
    let mut options = SocketOptions::default();
    options.plain_tcp = plain_tcp;
    let (client, server) = pair.connect_with(options);
    assert_eq!(matches!(pair.transport(CLIENT, client), Transport::Tcp(_)), plain_tcp);
    (pair, client, server)
}

fn would_block(error: SendError) -> u64 {
    assert_eq!(error, SendError::WouldBlock);
    0
}

/// Sends from octet `at` on, one way or another; returns how many.
fn send_any(lan: &mut Lan, from: SocketHandle, random: &mut Random, at: u64) -> u64 {
    let len = random.between(1, 9000);
    let all = octets(at, len);
    let mut socket = lan.stack(CLIENT).socket(from).unwrap();
    match random.below(3) {
        0 => socket.send(&all).map_or_else(would_block, |sent| sent as u64),
        1 => {
            let (one, rest) = all.split_at(random.below(len) as usize);
            let (two, three) = rest.split_at(random.below(rest.len() as u64) as usize);
            socket.send_vectored(&[one, &[], two, three]).map_or_else(would_block, |sent| sent as u64)
        }
        _ => {
            let lent = match socket.reserve(all.len()) {
                Ok(lent) => lent,
                Err(error) => return would_block(error),
            };
            assert!((1..=all.len()).contains(&lent.len()));
            let lent_len = lent.len() as u64;
            lent.copy_from_slice(&all[..lent.len()]);
            // Not all of what was filled, or more than was lent.
            let n = random.between(0, lent_len + 10);
            let sent = socket.commit(n as usize).unwrap() as u64;
            assert_eq!(sent, n.min(lent_len));
            assert_eq!(socket.commit(10), socket.reserve(1).map(|_| 0), "the loan is gone");
            sent
        }
    }
}

/// Looks at the next octets, or at a view of them, and consumes some.
fn look(lan: &mut Lan, to: SocketHandle, random: &mut Random, at: u64) -> Result<Vec<u8>, RecvError> {
    let mut socket = lan.stack(SERVER).socket(to).unwrap();
    let mut seen = vec![0; random.between(1, 20_000) as usize];
    let len = if random.chance(0.5) {
        socket.peek(&mut seen)?
    } else {
        let span = socket.readable_span()?;
        assert_eq!(span.copy_to(span.len(), &mut seen), 0);
        // The second half first: a view can be read in any order.
        let len = span.len().min(seen.len());
        let (one, two) = seen[..len].split_at_mut(len / 2);
        assert_eq!(span.copy_to(len / 2, two), len - len / 2);
        assert_eq!(span.copy_to(0, one), len / 2);
        len
    };
    assert_eq!(seen[..len], octets(at, len as u64), "seen from octet {at}");
    seen.truncate(random.between(0, len as u64) as usize);
    assert_eq!(socket.consume(seen.len()), seen.len());
    Ok(seen)
}

/// Receives from octet `at` on, one way or another; returns how many.
fn recv_any(lan: &mut Lan, to: SocketHandle, random: &mut Random, at: u64) -> u64 {
    let mut out = vec![0; random.between(1, 20_000) as usize];
    let received = match random.below(4) {
        0 => lan.stack(SERVER).socket(to).unwrap().recv(&mut out),
        1 => {
            let (one, rest) = out.split_at_mut(1);
            let half = rest.len() / 2;
            let (two, three) = rest.split_at_mut(half);
            lan.stack(SERVER).socket(to).unwrap().recv_vectored(&mut [one, &mut [], two, three])
        }
        _ => look(lan, to, random, at).map(|seen| {
            out = seen;
            out.len()
        }),
    };
    match received {
        Ok(len) => {
            assert_eq!(out[..len], octets(at, len as u64), "from octet {at}");
            len as u64
        }
        Err(error) => {
            assert_eq!(error, RecvError::WouldBlock);
            0
        }
    }
}

fn run(seed: u64, plain_tcp: bool) {
    let (mut pair, client, server) = pair(seed, plain_tcp);
    let mut random = Random::new(seed);
    let (len, mut sent, mut received) = (300_000, 0, 0);
    // The clock jumps while the reader sleeps.
    pair.lan.until(Duration::from_secs(100_000), "the stream", |lan| {
        if sent < len {
            sent += send_any(lan, client, &mut random, sent);
        }
        if random.chance(0.7) {
            received += recv_any(lan, server, &mut random, received);
        }
        sent >= len && received == sent
    });
    pair.close(CLIENT, client);
    assert_eq!(pair.read_to_end((SERVER, server)), 0);
    let mut socket = pair.lan.stack(SERVER).socket(server).unwrap();
    assert_eq!(socket.peek(&mut [0; 4]), Ok(0), "the end of the stream");
    assert_eq!(socket.recv_vectored(&mut [&mut [0; 4]]), Ok(0));
    assert!(socket.readable_span().unwrap().is_empty());
    assert_eq!(socket.consume(1), 0);
    pair.close(SERVER, server);
    pair.until_closed();
    pair.explain();
}

#[test]
fn every_way_in_and_out_is_the_same_stream() {
    for seed in 0..12 {
        for plain_tcp in [false, true] {
            run(seed, plain_tcp);
        }
    }
}

#[test]
fn nothing_is_lent_before_there_is_a_connection_and_after_its_end() {
    let mut pair = Pair::new(61);
    let client = pair.begin(SocketOptions::default());
    let mut socket = pair.lan.stack(CLIENT).socket(client).unwrap();
    assert_eq!(socket.reserve(10).err(), Some(SendError::WouldBlock));
    assert_eq!(socket.readable_span().err(), Some(RecvError::WouldBlock));
    assert_eq!(socket.peek(&mut [0]), Err(RecvError::WouldBlock));
    for plain_tcp in [false, true] {
        let mut options = SocketOptions::default();
        options.plain_tcp = plain_tcp;
        let (client, _) = pair.connect_with(options);
        let mut socket = pair.lan.stack(CLIENT).socket(client).unwrap();
        assert_eq!(socket.reserve(10).unwrap().len(), 10);
        socket.shutdown();
        assert_eq!(socket.commit(10), Err(SendError::ShutDown));
        assert_eq!(socket.reserve(10).err(), Some(SendError::ShutDown));
        assert_eq!(socket.send_vectored(&[b"more"]), Err(SendError::ShutDown));
    }
}
