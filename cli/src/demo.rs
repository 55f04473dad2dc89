//! `smolsmc demo`: the whole of it, with no set-up.

mod lan;

use std::env;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use smolsmc::{Eid, Transport};
use smolsmc_decode::{Capture, Dissector};
use smolsmc_ethernet::Loss;

use crate::address;
use crate::ladder::Ladder;
use lan::{CLIENT, End, Flow, Lan, SERVER};

/// Watch two hosts in one process speak SMC-R over a simulated Ethernet
///
/// Needs no set-up. A connection is made and becomes SMC-R (TCP option, CLC,
/// LLC), moves octets by RDMA both ways, and is closed; a second one joins its
/// link group; a third finds no enterprise id in common and falls back to TCP.
/// Every octet is verified, everything on the wire is drawn as a ladder and
/// written to a capture. The clock is simulated: times say what came first.
#[derive(Args)]
#[command(after_help = "\
Examples:
  smolsmc demo
  smolsmc demo --loss 20                 of 1000 frames so many are lost
  smolsmc demo --pcap demo.pcap && smolsmc decode demo.pcap")]
pub(crate) struct Arguments {
    /// Where to write all frames [default: smolsmc-demo.pcap among the temporary
    /// files]
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,

    /// Octets each way on the first connection
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1..=1 << 30))]
    size: u32,

    /// Frames lost of 1000
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=200))]
    loss: u16,

    /// Which frames are lost: another number, other frames
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Enterprise id of both hosts
    #[arg(long, value_name = "EID", default_value = "DEMO", value_parser = address::eid)]
    eid: Eid,
}

/// Octets of small things.
const SMALL: u64 = 1000;

/// Rounds on the second connection.
const ROUNDS: u64 = 16;

/// The port the server listens on.
const PORT: u16 = 5000;

/// Who has nothing in common with anybody.
const STRANGER: &str = "STRANGER";

/// Runs the command; an error is one sentence.
pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let path = arguments.pcap.clone().unwrap_or_else(|| env::temp_dir().join("smolsmc-demo.pcap"));
    match play(arguments, &path, &mut io::stdout().lock()) {
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(Failure::Output(error)) => Err(format!("the output cannot be written: {error}")),
        Err(Failure::Demo(sentence)) => Err(sentence),
        Ok(()) => Ok(()),
    }
}

enum Failure {
    Demo(String),
    Output(io::Error),
}

impl From<String> for Failure {
    fn from(sentence: String) -> Self {
        Self::Demo(sentence)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

fn play(arguments: &Arguments, path: &Path, out: &mut impl Write) -> Result<(), Failure> {
    let file = File::create(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut lan = Lan::new(arguments.eid, Some(BufWriter::new(file)))?;
    lan.lose(Loss { per_mille: arguments.loss, seed: arguments.seed });
    writeln!(
        out,
        "A client, {}, and a server, {}, on a simulated Ethernet.\n",
        lan.address(CLIENT),
        lan.address(SERVER)
    )?;
    lan.listen(PORT)?;

    first_connection(&mut lan, arguments.size.into(), out)?;
    second_connection(&mut lan, out)?;
    lan.leave(CLIENT)?;
    let stranger = Eid::from_ascii(STRANGER).map_err(|error| error.to_string())?;
    lan.replace_client(stranger)?;
    fallback(&mut lan, out)?;
    lan.leave(SERVER)?;
    lan.finish_capture().map_err(|error| format!("{}: {error}", path.display()))?;

    writeln!(out, "On the wire, at the server's port (seconds of a simulated clock):\n")?;
    explain(path, out)?;
    let command = env::args().next().unwrap_or_else(|| "smolsmc".to_owned());
    writeln!(out, "\nEach frame explained:\n  {command} decode {}", path.display())?;
    Ok(())
}

fn first_connection(lan: &mut Lan, size: u64, out: &mut impl Write) -> Result<(), Failure> {
    let (client, server) = connect(lan, "1. The first connection", out)?;
    let mut flows = [Flow::new(client, server, 1, size), Flow::new(server, client, 2, size)];
    lan.carry(&mut flows)?;
    writeln!(out, "   {size} octets each way at the same time, verified")?;
    lan.shutdown(client)?;
    lan.expect_end(server)?;
    lan.carry(&mut [Flow::new(server, client, 3, SMALL)])?;
    writeln!(out, "   half closed by the client; {SMALL} more octets from the server, verified")?;
    lan.close(server)?;
    lan.expect_end(client)?;
    lan.close(client)?;
    lan.settle()?;
    writeln!(out, "   closed\n")?;
    Ok(())
}

fn second_connection(lan: &mut Lan, out: &mut impl Write) -> Result<(), Failure> {
    let (client, server) = connect(lan, "2. Another one, in the same link group", out)?;
    for round in 0..ROUNDS {
        lan.carry(&mut [Flow::new(client, server, round, SMALL)])?;
        lan.carry(&mut [Flow::new(server, client, round, SMALL)])?;
    }
    writeln!(out, "   {ROUNDS} times {SMALL} octets there and back, verified")?;
    end(lan, client, server, out)
}

fn fallback(lan: &mut Lan, out: &mut impl Write) -> Result<(), Failure> {
    let title = format!("3. The client starts anew with another enterprise id, {STRANGER}");
    let (client, server) = connect(lan, &title, out)?;
    lan.carry(&mut [Flow::new(client, server, 1, SMALL)])?;
    lan.carry(&mut [Flow::new(server, client, 2, SMALL)])?;
    writeln!(out, "   {SMALL} octets there and back on the same sockets, verified")?;
    end(lan, client, server, out)
}

fn connect(lan: &mut Lan, title: &str, out: &mut impl Write) -> Result<(End, End), Failure> {
    let (client, server) = lan.connect(PORT)?;
    writeln!(out, "{title}")?;
    for (name, end) in [("client", client), ("server", server)] {
        let transport = lan.transport(end)?;
        // What the stack says of a link group begins with the host's role in it.
        let said = match transport {
            Transport::Tcp(_) => transport.to_string(),
            _ => transport.to_string().replace(&format!("{name} of "), ""),
        };
        writeln!(out, "   {name}: {said}")?;
    }
    Ok((client, server))
}

fn end(lan: &mut Lan, client: End, server: End, out: &mut impl Write) -> Result<(), Failure> {
    lan.close(client)?;
    lan.expect_end(server)?;
    lan.close(server)?;
    lan.settle()?;
    writeln!(out, "   closed\n")?;
    Ok(())
}

/// What a bystander makes of the capture. That it finds nothing wrong is part of
/// the demonstration.
fn explain(path: &Path, out: &mut impl Write) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::Demo(format!("{}: {error}", path.display()));
    let file = File::open(path).map_err(|error| failed(&error))?;
    let mut capture = Capture::new(file).map_err(|error| failed(&error))?;
    let (mut dissector, mut ladder) = (Dissector::new(), Ladder::default());
    while let Some(frame) = capture.next_frame().map_err(|error| failed(&error))? {
        ladder.frame(&dissector.frame(&frame), out)?;
    }
    ladder.finish(out)?;
    let summary = dissector.summary();
    writeln!(out, "\n{summary}")?;
    if summary.violations + summary.unknown > 0 {
        return Err(Failure::Demo("the capture shows frames that break a rule".to_owned()));
    }
    Ok(())
}
