//! `smolsmc decode`: explains the frames of a capture file, or those that pass a
//! link.

mod live;

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use smolsmc_decode::{Capture, Dissector, Frame, FrameReport, MergeError, MergedCapture};

use crate::ladder::Ladder;

/// Explain the frames of a capture file (pcap or pcapng), or of a link
///
/// One line per frame: what it is, what it says, which TCP connection, link
/// group, link and RMB it belongs to, whether its ICRC is right and which rule
/// it breaks. At the end a summary per connection (SMC-R or TCP, and why) and
/// per link.
#[derive(Args)]
#[command(after_help = "\
Examples:
  smolsmc decode capture.pcapng
  smolsmc decode --verbose capture.pcap | less
  smolsmc decode --ladder capture.pcap     who said what to whom, as arrows
  smolsmc decode --smc capture.pcap        leave out ARP and everything else
  smolsmc decode eth0.pcap eth1.pcap       two ports of one run, by time stamp
  tcpdump -w - -i eth0 | smolsmc decode -
  smolsmc decode --json capture.pcap | jq 'select(.kind == \"violation\")'
  smolsmc decode --smc --link packet:eth1  what passes this interface, as it does
  smolsmc decode --link unix-listen:/tmp/a --link unix:/tmp/b
                                         between two hosts, whose frames pass through

The exit status is 0 if the file was read to its end, whatever is in it, and 1
if it could not be. A link is looked at until Ctrl-C, or its end.")]
pub(crate) struct Arguments {
    /// The capture, - for standard input; several are merged by time stamp
    #[arg(value_name = "FILE", required_unless_present = "link")]
    files: Vec<PathBuf>,

    /// Instead of files, what comes from there now: packet:IFNAME (needs
    /// CAP_NET_RAW), or any other port. With two of them, each gets what comes from
    /// the other: a cable that is looked at
    #[arg(long, value_name = "PORT", conflicts_with = "files")]
    link: Vec<String>,

    /// Ends after so many frames of a link
    #[arg(long, value_name = "N", requires = "link", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// One JSON object a line: a frame each (its `kind`, context and all
    /// fields), then one per connection, link group and the capture
    #[arg(long)]
    json: bool,

    /// All fields of every frame
    #[arg(long, short)]
    verbose: bool,

    /// Only frames of SMC connections, RoCE and CLC
    #[arg(long)]
    smc: bool,

    /// Only the summary
    #[arg(long)]
    summary: bool,

    /// Arrows between two hosts, data in few words
    #[arg(long, conflicts_with_all = ["json", "verbose", "summary"])]
    ladder: bool,
}

/// Runs the command; an error is one sentence.
pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    if !arguments.link.is_empty() {
        return live::run(arguments);
    }
    let captures: Result<Vec<_>, String> = arguments.files.iter().map(|path| open(path)).collect();
    let mut out = BufWriter::new(io::stdout().lock());
    let result = MergedCapture::new(captures?)
        .map_err(Failure::Capture)
        .and_then(|mut capture| explain(arguments, &mut capture, &mut out));
    match result {
        Ok(()) => Ok(()),
        Err(Failure::Capture(MergeError { part, error, .. })) => {
            let name = arguments.files.get(part).map_or("-".into(), |path| path.display().to_string());
            Err(format!("{name}: {error}"))
        }
        // Whoever reads us, `head` say, has seen enough.
        Err(Failure::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(Failure::Output(error)) => Err(format!("the output cannot be written: {error}")),
    }
}

enum Failure {
    Capture(MergeError),
    Output(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

fn open(path: &Path) -> Result<Capture<'static>, String> {
    let name = path.display();
    let source: Box<dyn Read + Send> = if path.as_os_str() == "-" {
        Box::new(io::stdin())
    } else if path.is_dir() {
        return Err(format!("{name}: is a directory, not a capture"));
    } else {
        Box::new(File::open(path).map_err(|e| format!("{name}: {e}"))?)
    };
    Capture::new(source).map_err(|e| format!("{name}: {e}"))
}

/// Every frame up to the end or the first error, and the summary in any case.
fn explain(
    arguments: &Arguments,
    capture: &mut MergedCapture<'_>,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let mut teller = Teller::new(arguments);
    let ended = loop {
        match capture.next_frame() {
            Ok(Some(frame)) => teller.frame(&frame, out)?,
            Ok(None) => break Ok(()),
            Err(error) => break Err(Failure::Capture(error)),
        }
    };
    teller.finish(out)?;
    ended
}

/// Who tells of frames, in whatever form is wanted.
struct Teller<'a> {
    arguments: &'a Arguments,
    dissector: Dissector,
    ladder: Ladder,
}

impl<'a> Teller<'a> {
    fn new(arguments: &'a Arguments) -> Self {
        Self { arguments, dissector: Dissector::new(), ladder: Ladder::default() }
    }

    fn frame(&mut self, frame: &Frame<'_>, out: &mut impl Write) -> io::Result<()> {
        let Self { arguments, dissector, ladder } = self;
        let report = dissector.frame(frame);
        if arguments.ladder {
            ladder.frame(&report, out)
        } else if !arguments.summary && (!arguments.smc || is_smc(&report)) {
            show(arguments, &report, out)
        } else {
            Ok(())
        }
    }

    fn finish(mut self, out: &mut impl Write) -> io::Result<()> {
        if self.arguments.ladder {
            self.ladder.finish(out)?;
        }
        let summary = self.dissector.summary();
        if self.arguments.json {
            for object in summary.to_json() {
                writeln!(out, "{object}")?;
            }
        } else {
            if !self.arguments.summary {
                writeln!(out)?;
            }
            writeln!(out, "{summary}")?;
        }
        out.flush()
    }
}

fn is_smc(report: &FrameReport) -> bool {
    let context = &report.context;
    context.qp.is_some() || context.group.is_some() || context.connection.is_some()
}

fn show(arguments: &Arguments, report: &FrameReport, out: &mut impl Write) -> io::Result<()> {
    if arguments.json {
        return writeln!(out, "{}", report.to_json());
    }
    writeln!(out, "{}", report.to_line())?;
    if arguments.verbose {
        write!(out, "{}", report.to_verbose())?;
    }
    Ok(())
}
