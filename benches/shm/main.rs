//! What our stack costs over shared memory, beside the verbs under it, a bare
//! ring in the same kind of memory, and the kernel's TCP over loopback: two
//! threads, each spinning on a core of its own, in interleaved blocks.
//!
//! ```text
//!   cargo bench --bench shm
//!   cargo bench --bench shm -- --quick     once through, no numbers worth keeping
//!   cargo bench --bench shm -- round-trips, one-way or asleep: that part alone
//!   cargo bench --bench shm -- --trips WHAT SIZE TIMES   that alone: for a profiler
//! ```
//!
//! A round trip is `n` octets there and as many back. Bare ring: slots of a
//! sequence number and the octets, copied in and out. Verbs: an RDMA WRITE of
//! the octets and a SEND of 44 that tells of them, copied out at the other end.
//! Ours: `send`, `poll` and `recv` of two stacks. TCP: non-blocking, TCP_NODELAY.
//! Printed are medians of blocks, and the median of the blocks' ratios.

// A benchmark that would measure something else must stop; it reads the clock.
#![allow(clippy::panic, clippy::expect_used, clippy::disallowed_methods, clippy::disallowed_types)]

#[path = "../nic/allocations.rs"]
mod allocations;
mod bare;
mod end;
mod one_way;
mod ours;
mod raw;
mod round_trips;
mod statistics;
mod tcp;
mod wake;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use bare::Bare;
use end::End;
use ours::Ours;
use raw::Raw;
use tcp::Tcp;

const MOST: usize = 65_536;

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Bare,
    Verbs,
    Ours,
    Tcp,
}

/// One end of everything.
struct Ends {
    bare: Bare,
    raw: Raw,
    ours: Ours,
    tcp: Tcp,
}

impl Ends {
    fn of(&mut self, what: What) -> &mut dyn End {
        match what {
            What::Bare => &mut self.bare,
            What::Verbs => &mut self.raw,
            What::Ours => &mut self.ours,
            What::Tcp => &mut self.tcp,
        }
    }
}

/// What the other thread is to do.
enum Order {
    /// Another ring, for messages of another size.
    Ring(Bare),
    /// Answers that many round trips.
    Answer { what: What, size: usize, times: u32 },
    /// Takes what comes one way.
    Take { what: What, size: usize, times: u32 },
}

/// This thread's ends, and the thread that has the others.
pub(crate) struct Bench {
    near: Ends,
    tell: Sender<Order>,
    /// Seconds that taking took.
    took: Receiver<f64>,
    /// The other end has everything.
    done: Arc<AtomicBool>,
}

fn main() {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let has = |wanted: &str| args.iter().any(|arg| arg == wanted);
    let full = has("--bench") && !has("--quick");
    let parts: Vec<_> = args.iter().filter(|arg| !arg.starts_with("--")).collect();
    let wants = |part: &str| parts.is_empty() || parts.iter().any(|arg| *arg == part);
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        println!("one core: two threads that spin would wait for each other's time slice");
        return;
    }
    let mut bench = Bench::start();
    if let Some(at) = args.iter().position(|arg| arg == "--trips") {
        let what = match args.get(at + 1).expect("bare, verbs, ours or tcp").as_str() {
            "bare" => What::Bare,
            "verbs" => What::Verbs,
            "ours" => What::Ours,
            _ => What::Tcp,
        };
        let number = |n: usize| args.get(at + n).and_then(|arg| arg.parse().ok()).expect("a number");
        let times = number(3);
        bench.trips(what, number(2), times as u32, &mut Vec::with_capacity(times));
        return;
    }
    if wants("round-trips") {
        round_trips::measure(&mut bench, if full { (101, 2000) } else { (2, 20) });
    }
    if wants("one-way") {
        one_way::measure(&mut bench, if full { (31, 1) } else { (2, 100) });
    }
    drop(bench);
    if wants("asleep") {
        wake::measure(if full { 2000 } else { 20 }, if full { 21 } else { 1 });
    }
}

impl Bench {
    fn start() -> Self {
        let [bare, far_bare] = Bare::pair(MOST);
        let ([raw, far_raw], [ours, far_ours], [tcp, far_tcp]) = (Raw::pair(), Ours::pair(), Tcp::pair());
        let near = Ends { bare, raw, ours, tcp };
        let far = Ends { bare: far_bare, raw: far_raw, ours: far_ours, tcp: far_tcp };
        let ((tell, orders), (say, took)) = (channel(), channel());
        let done = Arc::new(AtomicBool::new(false));
        let far_done = Arc::clone(&done);
        std::thread::spawn(move || {
            pin(1);
            obey(far, &orders, &say, &far_done);
        });
        pin(0);
        Self { near, tell, took, done }
    }

    fn order(&self, order: Order) {
        self.tell.send(order).expect("the other thread is there");
    }

    /// Rings for messages of this size.
    fn new_ring(&mut self, size: usize) {
        let [near, far] = Bare::pair(size);
        self.near.bare = near;
        self.order(Order::Ring(far));
    }

    /// Nanoseconds of each round trip.
    fn trips(&mut self, what: What, size: usize, times: u32, nanos: &mut Vec<u64>) {
        let mut buffer = [7; MOST];
        let buffer = &mut buffer[..size];
        nanos.clear();
        self.order(Order::Answer { what, size, times: times + 1 });
        let end = self.near.of(what);
        let mut trip = || {
            end.send(buffer);
            end.receive(buffer);
        };
        // Both are there before the clock starts.
        trip();
        let mut last = Instant::now();
        for _ in 0..times {
            trip();
            let now = Instant::now();
            nanos.push((now - last).as_nanos() as u64);
            last = now;
        }
    }

    /// Seconds the receiver needs for `times` messages one way, from the first.
    fn one_way(&mut self, what: What, size: usize, times: u32) -> f64 {
        let buffer = [7; MOST];
        self.done.store(false, Ordering::Release);
        self.order(Order::Take { what, size, times: times + 1 });
        let end = self.near.of(what);
        end.send_many(&buffer[..size], times + 1);
        end.finish(&self.done);
        self.took.recv().expect("the other thread is there")
    }
}

/// What the other thread does.
fn obey(mut far: Ends, orders: &Receiver<Order>, say: &Sender<f64>, done: &AtomicBool) {
    let mut buffer = [0; MOST];
    while let Ok(order) = orders.recv() {
        match order {
            Order::Ring(bare) => far.bare = bare,
            Order::Answer { what, size, times } => {
                let (end, buffer) = (far.of(what), &mut buffer[..size]);
                for _ in 0..times {
                    end.receive(buffer);
                    end.send(buffer);
                }
            }
            Order::Take { what, size, times } => {
                let (end, buffer) = (far.of(what), &mut buffer[..size]);
                end.receive(buffer);
                let start = Instant::now();
                end.receive_many(buffer, times - 1);
                let took = start.elapsed().as_secs_f64();
                done.store(true, Ordering::Release);
                say.send(took).expect("somebody asked");
            }
        }
    }
}

/// Keeps this thread on one core.
fn pin(core: usize) {
    let mut cores = rustix::thread::CpuSet::new();
    cores.set(core);
    // Where that is not allowed the numbers are worse, not wrong.
    let _ = rustix::thread::sched_setaffinity(None, &cores);
}
