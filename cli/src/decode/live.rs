//! Frames as they pass: from one port, or between two.

#![expect(clippy::disallowed_types, reason = "an operating system is asked to wait")]

use std::io::{self, BufWriter, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use smolsmc_decode::Frame;
use smolsmc_ethernet::{DownReason, Port, wait};
use smoltcp::phy::{Device, RxToken, TxToken};
use smoltcp::time::Instant;

use super::{Arguments, Teller};
use crate::node::{Clock, stop_on_signals};

/// Frames taken from one port before the other one's turn.
const AT_ONCE: usize = 64;

/// The longest sleep, so that a signal is noticed.
const LONGEST_SLEEP: Duration = Duration::from_millis(200);

/// Looks at the links; an error is one sentence.
pub(super) fn run(arguments: &Arguments) -> Result<(), String> {
    let stop = stop_on_signals().map_err(|error| format!("signals cannot be handled: {error}"))?;
    if arguments.link.len() > 2 {
        return Err("a cable has two ends: at most two --link".to_owned());
    }
    let mut ports = Vec::new();
    for name in &arguments.link {
        ports.push(Port::open(name).map_err(|error| error.to_string())?);
    }
    for (port, name) in ports.iter().zip(&arguments.link) {
        if let Some(reason) = port.down_reason() {
            eprintln!("{name}: {reason}");
        }
    }
    let mut watch = Watch { ports, teller: Teller::new(arguments), clock: Clock::start(), frames: 0 };
    let mut out = BufWriter::new(io::stdout().lock());
    let looked = watch.look(arguments.count, &stop, &mut out);
    let ended = watch.ended(&arguments.link);
    match looked.and_then(|()| watch.teller.finish(&mut out)) {
        // Whoever reads us has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(format!("the frames cannot be shown: {error}")),
        Ok(()) => ended,
    }
}

struct Watch<'a> {
    ports: Vec<Port>,
    teller: Teller<'a>,
    clock: Clock,
    frames: u64,
}

impl Watch<'_> {
    /// Until enough frames have passed, the user has seen enough, or a port has
    /// ended.
    fn look(&mut self, count: Option<u64>, stop: &AtomicBool, out: &mut impl Write) -> io::Result<()> {
        let most = count.unwrap_or(u64::MAX);
        while self.frames < most && !stop.load(Ordering::Relaxed) {
            let mut passed = false;
            for index in 0..self.ports.len() {
                passed |= self.pass(index, most, out)?;
            }
            if self.ports.iter().any(Port::has_ended) && !passed {
                break;
            }
            if !passed {
                out.flush()?;
                wait(&self.ports, Some(LONGEST_SLEEP))?;
            }
        }
        // What was taken from one end is to arrive at the other.
        self.ports.iter_mut().for_each(Port::flush);
        Ok(())
    }

    /// Takes frames from a port, and gives them to the other one if there is one;
    /// whether there were any.
    fn pass(&mut self, index: usize, most: u64, out: &mut impl Write) -> io::Result<bool> {
        let Self { ports, teller, clock, frames } = self;
        let (head, tail) = ports.split_at_mut(1);
        let (Some(first), second) = (head.first_mut(), tail.first_mut()) else { return Ok(false) };
        let (from, mut to) = match (index, second) {
            (0, second) => (first, second),
            (_, Some(second)) => (second, Some(first)),
            (_, None) => return Ok(false),
        };
        let mut passed = false;
        for _ in 0..AT_ONCE {
            let now = Instant::from_micros(i64::try_from(clock.nanos() / 1000).unwrap_or(i64::MAX));
            // What cannot go on stays where it is, unless nobody is there to get it.
            let room = match &mut to {
                Some(to) if to.is_up() => match to.transmit(now) {
                    None => break,
                    room => room,
                },
                _ => None,
            };
            if *frames >= most {
                break;
            }
            let Some((frame, _)) = from.receive(now) else { break };
            passed = true;
            *frames += 1;
            let number = *frames;
            let time_ns = clock.nanos();
            frame.consume(|octets| {
                if let Some(room) = room {
                    room.consume(octets.len(), |frame| frame.copy_from_slice(octets));
                }
                teller.frame(&Frame { number, time_ns, original_len: octets.len(), octets }, out)
            })?;
        }
        Ok(passed)
    }

    /// A port that has ended otherwise than by its peer's wish is an error.
    fn ended(&self, names: &[String]) -> Result<(), String> {
        for (port, name) in self.ports.iter().zip(names) {
            match port.down_reason() {
                Some(reason @ DownReason::PeerClosed) => eprintln!("{name}: {reason}"),
                Some(reason) if port.has_ended() => return Err(format!("{name}: {reason}")),
                _ => {}
            }
        }
        Ok(())
    }
}
