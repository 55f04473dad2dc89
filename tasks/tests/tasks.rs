//! Two hosts on a cable, tasks on both, all on one thread.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test says so by panicking")]

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use smolsmc::{
    Config, ConnectError, ConnectionError, Duration, Eid, Instant, ListenOptions, Mac, PortConfig,
    SocketOptions, SoftNic, Transport,
};
use smolsmc_drive::{Clock, Host, Mode};
use smolsmc_ethernet::{Port, StreamPort};
use smolsmc_tasks::{Core, Executor, Stream};

const MTU: u16 = 1500;

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 9, 0, 1], port))
}

fn host(number: u8, socket: UnixStream) -> Host<SoftNic, Port> {
    let mut config = Config::new([number; 32]);
    config.eids.push(Eid::from_ascii("TASKS").unwrap());
    let mut port = PortConfig::new(Mac([2, 0, 0, 0, 0, number]), MTU);
    port.addresses.push(([10, 9, 0, number].into(), 24));
    config.ports.push(port);
    let stack = smolsmc::soft(config, Instant::ZERO).unwrap();
    Host { stack, devices: vec![Port::Stream(StreamPort::from_stream(socket, MTU).unwrap())] }
}

#[derive(Default)]
struct Ticks {
    now: Cell<u64>,
    /// At each reading.
    step: Cell<u64>,
}

type Time = Rc<Ticks>;

fn pass(time: &Ticks, micros: u64) {
    time.now.set(time.now.get() + micros);
}

fn clock(time: &Time) -> impl Clock + use<> {
    let time = Rc::clone(time);
    move || {
        pass(&time, time.step.get());
        Instant::from_micros(time.now.get())
    }
}

struct Pair<C> {
    time: Time,
    server: Executor<SoftNic, Port, C>,
    client: Executor<SoftNic, Port, C>,
}

fn pair() -> Pair<impl Clock> {
    let (one, other) = UnixStream::pair().unwrap();
    let time = Time::default();
    let made = |number, socket| Executor::new(host(number, socket), Mode::Busy, clock(&time)).unwrap();
    let (server, client) = (made(1, one), made(2, other));
    Pair { time, server, client }
}

impl<C: Clock> Pair<C> {
    /// Turns both in turn, ten microseconds of the clock at a time, until all tasks
    /// of the client are done.
    fn run(&mut self) {
        for _ in 0..2_000_000 {
            if self.client.tasks() == 0 {
                return;
            }
            pass(&self.time, 10);
            self.server.turn(Duration::ZERO).unwrap();
            self.client.turn(Duration::ZERO).unwrap();
        }
        panic!("{} tasks wait for ever", self.client.tasks());
    }
}

type ATask = Stream<SoftNic, Port>;

async fn echo(stream: ATask) {
    let mut octets = [0; 700];
    while let Ok(len @ 1..) = stream.recv(&mut octets).await {
        stream.send_all(&octets[..len]).await.unwrap();
    }
}

/// A task that accepts, and one more for each connection.
fn serve(core: &Core<SoftNic, Port>) {
    let listener = core.listen(address(5000), ListenOptions::USUAL).unwrap();
    let spawner = core.clone();
    core.spawn(async move {
        while let Ok(stream) = listener.accept().await {
            spawner.spawn(echo(stream));
        }
    });
}

async fn connected(core: &Core<SoftNic, Port>) -> ATask {
    core.connect(address(5000), SocketOptions::USUAL).await.unwrap().unwrap()
}

#[test]
fn many_tasks_on_one_thread_keep_their_octets_apart() {
    let mut pair = pair();
    serve(&pair.server.core());
    let done = Rc::new(Cell::new(0));
    for number in 0..64_u8 {
        let (core, done) = (pair.client.core(), Rc::clone(&done));
        pair.client.core().spawn(async move {
            let stream = connected(&core).await;
            assert!(matches!(stream.transport(), Some(Transport::SmcR { .. })));
            for round in 0..20 {
                let sent = vec![number ^ round; 1 + 150 * usize::from(round)];
                stream.send_all(&sent).await.unwrap();
                let mut back = vec![0; sent.len()];
                assert_eq!(stream.recv_full(&mut back).await, Ok(sent.len()));
                assert!(back == sent, "{number}");
            }
            stream.shutdown();
            assert_eq!(stream.recv(&mut [0; 1]).await, Ok(0), "the echo ends with it");
            done.set(done.get() + 1);
        });
    }
    pair.run();
    assert_eq!(done.get(), 64);
    let stats = pair.client.driver().stats();
    assert_eq!((stats.sleeps, stats.turns), (0, stats.clock_reads));
}

#[test]
fn what_is_larger_than_a_ring_goes_both_ways_at_once() {
    let mut pair = pair();
    serve(&pair.server.core());
    let core = pair.client.core();
    let spawner = core.clone();
    spawner.spawn(async move {
        let stream = Rc::new(connected(&core).await);
        let writer = Rc::clone(&stream);
        core.spawn(async move {
            for part in 0..300_u32 {
                writer.send_all(&[part as u8; 1000]).await.unwrap();
            }
            writer.shutdown();
        });
        let mut octets = [0; 1000];
        for part in 0..300_u32 {
            assert_eq!(stream.recv_full(&mut octets).await, Ok(1000));
            assert!(octets.iter().all(|octet| *octet == part as u8));
        }
        assert_eq!(stream.recv_full(&mut octets).await, Ok(0));
    });
    pair.run();
}

#[test]
fn errors_are_told_to_the_task_that_waits() {
    let mut pair = pair();
    let core = pair.client.core();
    pair.client.core().spawn(async move {
        let refused = core.connect(address(1), SocketOptions::USUAL).await.unwrap();
        assert_eq!(refused.map(drop), Err(ConnectionError::Refused));
        let elsewhere = SocketAddr::from(([192, 0, 2, 1], 1));
        let unknown = core.connect(elsewhere, SocketOptions::USUAL).await;
        assert_eq!(unknown.map(drop), Err(ConnectError::NoRoute));
    });
    pair.run();

    let listener = pair.server.core().listen(address(5000), ListenOptions::USUAL).unwrap();
    pair.server.core().spawn(async move { listener.accept().await.unwrap().abort() });
    let core = pair.client.core();
    pair.client.core().spawn(async move {
        let stream = connected(&core).await;
        assert_eq!(stream.recv(&mut [0; 1]).await, Err(ConnectionError::PeerAborted));
    });
    pair.run();
}

#[test]
fn sleepers_wake_in_their_order_and_those_that_are_dropped_do_not() {
    let mut pair = pair();
    let woken = Rc::new(RefCell::new(Vec::new()));
    let core = pair.client.core();
    for millis in [30, 10, 20] {
        let (sleep, woken) = (core.sleep(Duration::from_millis(millis)), Rc::clone(&woken));
        let core = core.clone();
        pair.client.core().spawn(async move {
            sleep.await;
            woken.borrow_mut().push((millis, core.now().micros() / 1000));
        });
    }
    let given_up = core.clone();
    core.spawn(async move {
        let mut long = Box::pin(given_up.sleep(Duration::from_secs(3600)));
        std::future::poll_fn(|context| {
            assert!(long.as_mut().poll(context).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
    });
    pair.run();
    assert_eq!(*woken.borrow(), [(10, 10), (20, 20), (30, 30)]);
    // In virtual time it would sleep for an hour now.
    pair.client.driver().set_mode(Mode::Interrupt);
    core.spawn(async {});
    pair.client.run().unwrap();
}

/// Also of one that has not begun: its stream closes, and nothing keeps the stack.
#[test]
fn executor_that_goes_takes_its_tasks_along() {
    struct Tells(Rc<Cell<u32>>);
    impl Drop for Tells {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    let dropped = Rc::new(Cell::new(0));
    let mut pair = pair();
    serve(&pair.server.core());
    let core = pair.client.core();
    let (tells, spawner) = (Tells(Rc::clone(&dropped)), core.clone());
    spawner.spawn(async move {
        let _tells = tells;
        let stream = connected(&core).await;
        stream.recv(&mut [0; 1]).await.unwrap();
    });
    for _ in 0..1000 {
        pass(&pair.time, 10);
        pair.server.turn(Duration::ZERO).unwrap();
        pair.client.turn(Duration::ZERO).unwrap();
    }
    let (tells, core) = (Tells(Rc::clone(&dropped)), spawner.clone());
    spawner.spawn(async move { drop((tells, core)) });
    drop(spawner);
    drop(pair.client);
    assert_eq!(dropped.get(), 2);
}

#[test]
fn leaving_waits_until_the_peers_have_heard() {
    let mut pair = pair();
    serve(&pair.server.core());
    let core = pair.client.core();
    pair.client.core().spawn(async move { drop(connected(&core).await) });
    pair.run();
    // A task that never ends does not keep it.
    pair.client.core().spawn(std::future::pending());
    assert!(!pair.client.leave(Duration::ZERO).unwrap(), "the peer has not heard yet");
    pair.time.step.set(100);
    assert!(pair.client.leave(Duration::from_secs(10)).unwrap());
    assert!(pair.client.core().now() > Instant::ZERO);
}
