//! Who registers a waker is woken once, when there is something to do, and
//! never waits for what is there already.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use smolsmc::{NoSuchListener, RecvError, SendError, SocketHandle, SocketOptions, Wakeup};
use smolsmc_tests::sim::{Faults, Random};
use smolsmc_wire::Duration;

use super::pair::{CLIENT, Pair, SERVER, recv_some, send_some};

/// Counts how often it is woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Count {
    fn of(self: &Arc<Self>) -> Waker {
        Arc::clone(self).into()
    }

    /// Whether it was woken since the last time, at most once.
    fn take(&self) -> bool {
        let count = self.0.swap(0, Ordering::Relaxed);
        assert!(count <= 1, "woken {count} times");
        count == 1
    }
}

fn count() -> (Arc<Count>, Waker) {
    let count = Arc::new(Count::default());
    let waker = count.of();
    (count, waker)
}

fn want_recv(pair: &mut Pair, host: usize, socket: SocketHandle, waker: &Waker) {
    pair.lan.stack(host).socket(socket).unwrap().register_recv_waker(waker);
}

fn want_send(pair: &mut Pair, host: usize, socket: SocketHandle, waker: &Waker) {
    pair.lan.stack(host).socket(socket).unwrap().register_send_waker(waker);
}

fn tcp_or_smc(plain_tcp: bool) -> SocketOptions {
    let mut options = SocketOptions::default();
    options.plain_tcp = plain_tcp;
    options
}

#[test]
fn connect_and_accept_wake() {
    for plain_tcp in [false, true] {
        let mut pair = Pair::new(71);
        let (accepted, waker) = count();
        let listener = pair.listener;
        pair.lan.stack(SERVER).register_accept_waker(listener, &waker).unwrap();
        let (connected, waker) = count();
        let client = pair.begin(tcp_or_smc(plain_tcp));
        want_send(&mut pair, CLIENT, client, &waker);
        pair.lan.run_for(Duration::from_secs(1));
        assert!(accepted.take() && connected.take());
        assert!(pair.lan.stack(SERVER).accept(listener).is_some());
        // Nobody asked again.
        pair.connect_with(tcp_or_smc(plain_tcp));
        pair.lan.run_for(Duration::from_secs(1));
        assert!(!accepted.take() && !connected.take());
        pair.lan.stack(SERVER).unlisten(listener);
        assert_eq!(pair.lan.stack(SERVER).register_accept_waker(listener, &waker), Err(NoSuchListener));
    }
}

#[test]
fn a_connection_that_waits_already_wakes_whoever_asks_late() {
    let mut pair = Pair::new(72);
    pair.begin(SocketOptions::default());
    pair.lan.run_for(Duration::from_secs(1));
    let (accepted, waker) = count();
    let listener = pair.listener;
    pair.lan.stack(SERVER).register_accept_waker(listener, &waker).unwrap();
    assert_eq!(pair.lan.stack(SERVER).poll_at(), Wakeup::Now);
    pair.lan.step();
    assert!(accepted.take());
}

#[test]
fn octets_room_the_end_and_errors_wake() {
    for plain_tcp in [false, true] {
        let mut pair = Pair::new(73);
        let (client, server) = pair.connect_with(tcp_or_smc(plain_tcp));
        let (readable, recv_waker) = count();
        want_recv(&mut pair, SERVER, server, &recv_waker);
        pair.lan.run_for(Duration::from_millis(50));
        assert!(!readable.take(), "nothing came");
        let mut sent = send_some(&mut pair.lan, (CLIENT, client), 7, 0, 10);
        pair.lan.run_for(Duration::from_millis(50));
        assert!(readable.take());
        // Again for what is there already, and was not read.
        want_recv(&mut pair, SERVER, server, &recv_waker);
        assert_eq!(pair.lan.stack(SERVER).poll_at(), Wakeup::Now);
        pair.lan.step();
        assert!(readable.take());

        let (writable, send_waker) = count();
        loop {
            match send_some(&mut pair.lan, (CLIENT, client), 7, sent, 1 << 20) {
                0 => break,
                more => sent += more,
            }
            // Longer than TCP waits before it probes a window that is shut.
            pair.lan.run_for(Duration::from_secs(3));
        }
        want_send(&mut pair, CLIENT, client, &send_waker);
        pair.lan.run_for(Duration::from_millis(50));
        assert!(!writable.take(), "there is no room");
        let mut received = 0;
        while let Some(more) = recv_some(&mut pair.lan, (SERVER, server), 7, received) {
            received += more;
            pair.lan.run_for(Duration::from_millis(5));
        }
        assert!(writable.take());

        want_recv(&mut pair, SERVER, server, &recv_waker);
        pair.lan.stack(CLIENT).socket(client).unwrap().shutdown();
        pair.lan.run_for(Duration::from_millis(100));
        assert!(readable.take(), "the end of the stream");

        let (failed, waker) = count();
        want_recv(&mut pair, CLIENT, client, &waker);
        pair.lan.stack(SERVER).socket(server).unwrap().abort();
        pair.lan.run_for(Duration::from_millis(100));
        assert!(failed.take(), "an abort");
    }
}

/// Both ends act only when they are woken: if one wake-up were lost, the stream
/// would stand still.
#[test]
fn nobody_who_waits_is_forgotten() {
    for seed in 0..10 {
        let plain_tcp = seed % 3 == 0;
        let mut random = Random::new(seed);
        let mut pair = Pair::new(seed);
        let faults = Faults { loss: 0.02, jitter: Duration::from_micros(300), ..Faults::default() };
        let (client, server) = pair.connect_with(tcp_or_smc(plain_tcp));
        pair.lan.set_faults(CLIENT, faults);
        let ((writable, send_waker), (readable, recv_waker)) = (count(), count());
        want_send(&mut pair, CLIENT, client, &send_waker);
        want_recv(&mut pair, SERVER, server, &recv_waker);
        let (len, mut sent, mut received) = (400_000_u64, 0, 0);
        pair.lan.until(Duration::from_secs(600), "the stream", |lan| {
            if writable.take() {
                let mut socket = lan.stack(CLIENT).socket(client).unwrap();
                while sent < len {
                    let more = random.between(1, (len - sent).min(20_000));
                    let octets = vec![sent as u8; more as usize];
                    match socket.send(&octets) {
                        Ok(more) => sent += more as u64,
                        Err(SendError::WouldBlock) => break,
                        Err(error) => panic!("{error}"),
                    }
                }
                socket.register_send_waker(&send_waker);
            }
            if readable.take() {
                let mut socket = lan.stack(SERVER).socket(server).unwrap();
                let mut octets = vec![0; random.between(1, 30_000) as usize];
                match socket.recv(&mut octets) {
                    Ok(more) => received += more as u64,
                    Err(RecvError::WouldBlock) => panic!("woken for nothing"),
                    Err(error) => panic!("{error}"),
                }
                socket.register_recv_waker(&recv_waker);
            }
            received == len
        });
    }
}

#[test]
fn whoever_waits_for_a_listener_hears_of_its_end() {
    let mut pair = Pair::new(74);
    let (ended, waker) = count();
    let listener = pair.listener;
    pair.lan.stack(SERVER).register_accept_waker(listener, &waker).unwrap();
    pair.lan.stack(SERVER).unlisten(listener);
    assert!(ended.take());
}

/// Whether the NIC notified since it was armed.
fn is_notified(pair: &mut Pair, host: usize) -> bool {
    use smolsmc::Provider;
    let provider = pair.lan.stack(host).provider_mut();
    std::iter::from_fn(|| provider.next_notification()).count() > 0
}

/// Who sleeps in interrupt mode woke up twice for each answer: once for the
/// acknowledgement of what it had asked.
#[test]
fn an_acknowledgement_wakes_only_if_something_waits_for_it() {
    let mut pair = Pair::new(72);
    let (client, server) = pair.connect();
    is_notified(&mut pair, CLIENT);
    // After some more it asks the peer whether it keeps up (TEST LINK).
    for round in 0..15 {
        assert_eq!(pair.lan.stack(CLIENT).socket(client).unwrap().send(&[7]), Ok(1));
        // The message goes; then there is nothing to wait for but an answer.
        pair.lan.step_within(Duration::from_micros(1));
        pair.lan.stack(CLIENT).arm();
        pair.lan.run_for(Duration::from_millis(1));
        assert!(!is_notified(&mut pair, CLIENT), "{round}: nobody has sent anything");
    }
    assert_eq!(pair.lan.stack(SERVER).socket(server).unwrap().send(&[7]), Ok(1));
    pair.lan.run_for(Duration::from_millis(1));
    assert!(is_notified(&mut pair, CLIENT), "an answer wakes");

    // No room in the ring: it comes back with an acknowledgement, and nothing else.
    while pair.lan.stack(CLIENT).socket(client).unwrap().send(&[7; 4096]).is_ok() {}
    pair.lan.step_within(Duration::from_micros(1));
    pair.lan.stack(CLIENT).arm();
    pair.lan.run_for(Duration::from_millis(1));
    assert!(is_notified(&mut pair, CLIENT), "who waits for room is woken");

    // Nor does its end come without.
    let (client, _) = pair.connect();
    is_notified(&mut pair, CLIENT);
    pair.lan.stack(CLIENT).socket(client).unwrap().shutdown();
    pair.lan.step_within(Duration::from_micros(1));
    pair.lan.stack(CLIENT).arm();
    pair.lan.run_for(Duration::from_millis(1));
    assert!(is_notified(&mut pair, CLIENT), "what ends is woken");
}
