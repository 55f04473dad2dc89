//! One end of what the latency table measures, in a guest: an echo, or the client
//! that measures how long messages take to it and back. Whatever carries them, the
//! loop and the clock are the same.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a std edge: it runs in a guest and measures real time"
)]

mod ours;
mod stream;
mod verbs;
mod work;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use rustix::thread::{CpuSet, sched_setaffinity};
use smolsmc_drive::Mode;
use smolsmc_ibv::Selector;

use stream::{Family, Stream};
use verbs::{Verbs, Words};
use work::End;

/// Messages there and back, in a guest.
#[derive(Parser)]
struct Arguments {
    /// What carries them.
    #[arg(value_enum)]
    what: What,
    /// The echo's address and port; it listens there, or the client connects to it.
    echo: SocketAddrV4,
    /// Be the client, and measure.
    #[arg(long)]
    measure: bool,
    /// Messages there and back of each kind.
    #[arg(long, default_value_t = 300)]
    rounds: u32,
    /// The RDMA device, as DEVICE[:PORT[:GID]].
    #[arg(long, default_value = "rxe0")]
    rdma: Selector,
    /// Where TCP goes, as packet:eth0.
    #[arg(long, default_value = "packet:eth0")]
    link: String,
    /// For our stack: its own address, in a subnet of 24 bits.
    #[arg(long)]
    ip: Option<Ipv4Addr>,
}

/// What carries the messages.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// The kernel's TCP, blocking.
    Tcp,
    /// The kernel's SMC-R, blocking.
    Smc,
    /// An RDMA WRITE and a SEND that tells of it, asleep until it completes.
    VerbsEvent,
    /// The same, polled.
    VerbsPoll,
    /// One SEND with all of it, polled.
    SendPoll,
    /// Our SMC-R, asleep until something comes.
    Interrupt,
    /// Our SMC-R, never asleep.
    Busy,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            println!("failed: {sentence}");
            ExitCode::FAILURE
        }
    }
}

/// Stays on the processor that the kernel leaves alone, if there is one.
fn settle() {
    const SPARE: usize = 1;
    let mut processors = CpuSet::new();
    processors.set(SPARE);
    // With one processor there is no choice.
    let _ = sched_setaffinity(None, &processors);
}

fn run(arguments: &Arguments) -> Result<(), String> {
    settle();
    match arguments.what {
        What::Tcp => streams(arguments, Family::Tcp),
        What::Smc => streams(arguments, Family::Smc),
        What::VerbsEvent => raw(arguments, Words::WriteAndSend, true),
        What::VerbsPoll => raw(arguments, Words::WriteAndSend, false),
        What::SendPoll => raw(arguments, Words::Send, false),
        What::Interrupt => stack(arguments, Mode::Interrupt),
        What::Busy => stack(arguments, Mode::Busy),
    }
}

fn play(arguments: &Arguments, end: &mut impl End) -> Result<(), String> {
    if arguments.measure { work::measure(end, arguments.rounds) } else { work::echo(end, arguments.rounds) }
}

fn meet(arguments: &Arguments, family: Family) -> Result<Stream, String> {
    if arguments.measure {
        Stream::connect(family, arguments.echo)
    } else {
        Stream::accept(family, arguments.echo)
    }
}

fn streams(arguments: &Arguments, family: Family) -> Result<(), String> {
    let mut stream = meet(arguments, family)?;
    println!("carried by {}", stream.carrier());
    play(arguments, &mut stream)
}

fn raw(arguments: &Arguments, words: Words, sleeps: bool) -> Result<(), String> {
    let mut verbs = Verbs::open(&arguments.rdma, words, sleeps)?;
    // Names go by the kernel's TCP, which stays open: its end is the other one's.
    let mut names = meet(arguments, Family::Tcp)?;
    names.send(&verbs.names()?)?;
    let mut theirs = [0; verbs::NAMES_LEN];
    names.receive(&mut theirs)?;
    verbs.connect(&theirs)?;
    // Both are ready to receive before either one sends.
    names.send(&[1])?;
    names.receive(&mut [0])?;
    println!("carried by verbs");
    play(arguments, &mut verbs)?;
    names.send(&[2])?;
    names.receive(&mut [0])
}

fn stack(arguments: &Arguments, mode: Mode) -> Result<(), String> {
    let ip = arguments.ip.ok_or("our stack needs an address of its own: --ip")?;
    let mut ours = ours::Ours::open(&arguments.rdma, &arguments.link, ip, mode)?;
    ours.meet(arguments.echo, arguments.measure)?;
    println!("carried by {}", ours.carrier());
    play(arguments, &mut ours)?;
    ours.leave()
}
