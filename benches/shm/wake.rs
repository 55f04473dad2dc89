//! What it costs to sleep: armed and woken, beside two eventfds that two threads
//! wake each other with.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use crate::end::End;
use crate::pin;
use crate::raw::Raw;
use crate::statistics::median;

fn wait(fd: BorrowedFd<'_>) {
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    poll(&mut fds, None).expect("a descriptor");
}

fn receive(raw: &mut Raw, octets: &mut [u8]) {
    while !raw.poll() {
        if !raw.arm() {
            wait(raw.fd());
        }
    }
    raw.take(octets);
}

fn ping_pong(own: &OwnedFd, peer: &OwnedFd, times: u32, is_asking: bool) {
    for _ in 0..times {
        if is_asking {
            rustix::io::write(peer, &1_u64.to_ne_bytes()).expect("room");
        }
        wait(own.as_fd());
        rustix::io::read(own, &mut [0; 8]).expect("it was rung");
        if !is_asking {
            rustix::io::write(peer, &1_u64.to_ne_bytes()).expect("room");
        }
    }
}

/// Round trips of 64 octets with both sides asleep between them.
pub(crate) fn measure(times: u32, rounds: u32) {
    println!("asleep between messages, 64 octets, medians of {rounds} interleaved blocks");
    for (name, core) in [("each its core", 1), ("one core", 0)] {
        let [mut near, mut far] = Raw::pair();
        let bell = || eventfd(0, EventfdFlags::CLOEXEC).expect("an eventfd");
        let bells = [bell(), bell()];
        let mut seen = [const { Vec::new() }; 3];
        for _ in 0..rounds {
            let mut nanos = [0.0; 2];
            for (index, nanos) in nanos.iter_mut().enumerate() {
                std::thread::scope(|scope| {
                    let (far, bells) = (&mut far, &bells);
                    scope.spawn(move || {
                        pin(core);
                        let mut octets = [7; 64];
                        if index == 0 {
                            return ping_pong(&bells[1], &bells[0], times, false);
                        }
                        for _ in 0..times {
                            receive(far, &mut octets);
                            far.send(&octets);
                        }
                    });
                    pin(0);
                    let mut octets = [7; 64];
                    let start = Instant::now();
                    if index == 0 {
                        ping_pong(&bells[0], &bells[1], times, true);
                    } else {
                        for _ in 0..times {
                            near.send(&octets);
                            receive(&mut near, &mut octets);
                        }
                    }
                    *nanos = start.elapsed().as_secs_f64() / f64::from(times) * 1e9;
                });
            }
            let [eventfds, raw] = nanos;
            seen.iter_mut().zip([eventfds, raw, raw / eventfds]).for_each(|(seen, value)| seen.push(value));
        }
        let [eventfds, raw, ratio] = seen.map(|mut seen| median(&mut seen));
        println!("{name:14} eventfds {eventfds:9.0} ns   verbs {raw:9.0} ns   {ratio:5.2}");
    }
}
