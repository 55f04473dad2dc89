//! The far end: does what it is told.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "here time enters")]

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use rustix::fs::FileType;
use rustix::process::{Signal, set_parent_process_death_signal};

use crate::column::What;
use crate::cores::{ProcessorTime, pin};
use crate::end::{number, put_header};
use crate::ends::Ends;
use crate::fault::{Alive, Fault};
use crate::near::LEAD;
use crate::order::{Control, Order, Report};

/// Obeys who holds the other end of `socket` until that is all. What goes wrong
/// is told there.
///
/// # Errors
/// [`Fault`], if it cannot be told.
pub(crate) fn obey(socket: UnixStream, time: ProcessorTime, alive: &Alive) -> Result<(), Fault> {
    let mut control = Control::new(socket, time);
    match serve(&mut control, alive) {
        Err(Fault::Gone) => Err(Fault::Gone),
        Err(fault) => control.fail(&fault.to_string()),
        Ok(()) => Ok(()),
    }
}

/// Obeys as the process that was started to be the far end: the socket of who gives
/// the orders is its standard input, and it ends with its parent.
///
/// # Errors
/// [`Fault`]; also if standard input is no socket.
pub fn obey_standard_input() -> Result<(), Fault> {
    let input = std::io::stdin().as_fd().try_clone_to_owned().map_err(Fault::system("standard input"))?;
    let kind = rustix::fs::fstat(&input).map(|stat| FileType::from_raw_mode(stat.st_mode));
    if kind.ok() != Some(FileType::Socket) {
        return Err(Fault::Impossible("standard input is not the socket of a near end".to_owned()));
    }
    // If that is refused the sockets tell of the near end's death between blocks.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    obey(input.into(), ProcessorTime::Process, &Alive::default())
}

fn serve(control: &mut Control, alive: &Alive) -> Result<(), Fault> {
    match control.next_order()? {
        Order::Begin { core, tcp, spin } => {
            pin(core as usize);
            let ends = Ends::far(control, alive, tcp, spin)?;
            obey_with(ends, control)
        }
        Order::BeginCrowd { core } => {
            pin(core as usize);
            crate::crowd_far::obey(control, alive)
        }
        Order::End => Ok(()),
        order => Err(Fault::Impossible(format!("{order:?} is no beginning"))),
    }
}

fn obey_with(mut ends: Ends, control: &mut Control) -> Result<(), Fault> {
    let mut buffer = Vec::new();
    loop {
        let order = control.next_order()?;
        let (start, cpu) = (Instant::now(), control.cpu());
        match order {
            Order::Shape { size } => ends.bare.shape(size as usize),
            Order::Bounce { times } => ends.bare.bounce(false, times as u32)?,
            Order::Answer { what, size, times } => {
                buffer.resize(size as usize, 0);
                answer(&mut ends, what, &mut buffer, times)?;
            }
            Order::Serve { what, size, times } => {
                buffer.resize(crate::near::FRAME_LEN, 0);
                answer_frames(&mut ends, what, &mut buffer, size as usize, times)?;
            }
            Order::Take { what, size, times } => {
                buffer.resize(size as usize, 0);
                take(&mut ends, what, &mut buffer, times as u32, control)?;
                continue;
            }
            Order::Move { core } => pin(core as usize),
            Order::Idle { what, millis } => {
                ends.of(what)?;
                ends.ours.rest(millis)?;
            }
            Order::End => return Ok(()),
            Order::Begin { .. } | Order::BeginCrowd { .. } | Order::Host | Order::Done => {
                return Err(Fault::Impossible(format!("{order:?} has no place here")));
            }
        }
        let report = Report { nanos: start.elapsed().as_nanos() as u64, cpu: control.cpu() - cpu };
        if let Order::Answer { what, .. } | Order::Serve { what, .. } = order {
            // What was sent last may not be on its way yet.
            ends.of(what)?.finish(&mut || control.has_news())?;
            control.next_order()?;
        }
        control.report(report)?;
    }
}

fn answer(ends: &mut Ends, what: What, buffer: &mut [u8], times: u64) -> Result<(), Fault> {
    let end = ends.of(what)?;
    for _ in 0..times {
        end.receive(buffer)?;
        end.send(buffer)?;
    }
    Ok(())
}

/// Each request's number comes back in the answer.
fn answer_frames(
    ends: &mut Ends,
    what: What,
    buffer: &mut [u8],
    len: usize,
    times: u64,
) -> Result<(), Fault> {
    let end = ends.of(what)?;
    let mut answer = vec![7; len];
    for _ in 0..times {
        let got = end.receive_frame(buffer)?;
        put_header(&mut answer, number(&buffer[..got]));
        end.send(&answer)?;
    }
    Ok(())
}

/// The clock starts when the stream flows.
fn take(
    ends: &mut Ends,
    what: What,
    buffer: &mut [u8],
    times: u32,
    control: &mut Control,
) -> Result<(), Fault> {
    let end = ends.of(what)?;
    end.receive_many(buffer, LEAD)?;
    let (start, cpu) = (Instant::now(), control.cpu());
    end.receive_many(buffer, times)?;
    control.report(Report { nanos: start.elapsed().as_nanos() as u64, cpu: control.cpu() - cpu })
}
