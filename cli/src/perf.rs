//! `smolsmc perf`: how fast it is between two processes, beside what it should be
//! held against.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::Command;

use clap::{Args, ValueEnum};
use smolsmc::Duration;
use smolsmc_perf::sections::{self, Progress, Start};
use smolsmc_perf::{Cores, Fault, Lab, MOST, Plan, Report, Section, What};

/// Measure SMC-R over shared memory beside kernel TCP, smoltcp, raw verbs and a
/// bare ring, between two processes
///
/// Starts itself once more as the far end; each process has a core of its own.
/// All columns are measured in one run, in interleaved blocks; only the ratios
/// survive a change of machine. A ratio is marked as noise if the blocks of what
/// it is held against differ by more than a factor of two. On one core the columns
/// that spin are left out. Progress goes to standard error.
#[derive(Args)]
#[command(after_help = "\
Examples:
  smolsmc perf                                    everything: some minutes
  smolsmc perf --quick                            once through, to see that it runs
  smolsmc perf --json perf.json --html perf.html  for programs, and with plots
  smolsmc perf --only round-trips --sizes 1,64,4K,1M
  smolsmc perf --only streams,messages --columns tcp-spin,bare,busy
  smolsmc perf --spin 20 --columns busy,interrupt,adaptive")]
pub(crate) struct Arguments {
    /// Octets of round trips: numbers, K and M are 1024 and 1024 times that
    #[arg(long, value_name = "N,..", value_delimiter = ',', value_parser = size)]
    sizes: Vec<usize>,

    /// What to measure [default: everything]
    #[arg(long, value_name = "TABLE,..", value_delimiter = ',')]
    only: Vec<Table>,

    /// Which columns [default: all]
    #[arg(long, value_name = "COLUMN,..", value_delimiter = ',', value_parser = column)]
    columns: Vec<What>,

    /// Interleaved blocks of each row
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1001))]
    blocks: Option<u16>,

    /// How long the adaptive mode spins, in microseconds
    #[arg(long, value_name = "US", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    spin: u32,

    /// Once through, no numbers worth keeping
    #[arg(long)]
    quick: bool,

    /// Write everything, block by block, to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Write a page with tables and plots to this file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// Be the far end of another process, which is at standard input
    #[arg(long, hide = true)]
    far_end: bool,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Table {
    RoundTrips,
    Requests,
    Streams,
    Messages,
    WakeUps,
    Idle,
    Rates,
    IdleCrowd,
    ActiveCrowd,
    BesideStreams,
    Contacts,
    Tasks,
}

impl Table {
    /// Whether somebody spins in it, whatever the columns are: that wants a core
    /// for each end.
    const fn spins(self) -> bool {
        matches!(
            self,
            Self::Rates
                | Self::IdleCrowd
                | Self::ActiveCrowd
                | Self::BesideStreams
                | Self::Contacts
                | Self::Tasks
        )
    }

    fn measure(
        self,
        lab: &mut Lab,
        start: &Start<'_>,
        plan: &Plan,
        progress: Progress<'_>,
    ) -> Result<Section, Fault> {
        match self {
            Self::RoundTrips => sections::round_trips(lab, plan, progress),
            Self::Requests => sections::requests(lab, plan, progress),
            Self::Streams => sections::streams(lab, plan, progress),
            Self::Messages => sections::messages(lab, plan, progress),
            Self::WakeUps => sections::wake_ups(lab, plan, progress),
            Self::Idle => sections::idle(lab, plan, progress),
            Self::Rates => sections::rates(lab, plan, progress),
            Self::IdleCrowd => sections::idle_crowd(start, plan, progress),
            Self::ActiveCrowd => sections::active_crowd(start, plan, progress),
            Self::BesideStreams => sections::beside_streams(start, plan, progress),
            Self::Contacts => sections::contacts(start, plan, progress),
            Self::Tasks => sections::tasks(start, plan, progress),
        }
    }
}

fn size(text: &str) -> Result<usize, String> {
    let (digits, unit) = match text.strip_suffix(['K', 'k']) {
        Some(digits) => (digits, 1 << 10),
        None => text.strip_suffix(['M', 'm']).map_or((text, 1), |digits| (digits, 1 << 20)),
    };
    let size = digits.parse::<usize>().ok().and_then(|count| count.checked_mul(unit));
    size.filter(|size| (1..=MOST).contains(size)).ok_or_else(|| "a size is 1 to 16M octets".to_owned())
}

fn column(id: &str) -> Result<What, String> {
    What::of_id(id).ok_or_else(|| {
        let ids = What::ALL.map(|what| what.label().id);
        format!("the columns are {}", ids.join(", "))
    })
}

/// Runs the command; an error is one sentence.
pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    if arguments.far_end {
        return smolsmc_perf::obey_standard_input().map_err(|fault| format!("the far end: {fault}"));
    }
    let (report, failed) = measure(arguments)?;
    // What was measured before something failed is not lost.
    let shown =
        if failed.is_none() || !report.sections.is_empty() { show(arguments, &report) } else { Ok(()) };
    failed.map_or(shown, Err)
}

fn show(arguments: &Arguments, report: &Report) -> Result<(), String> {
    if let Some(path) = &arguments.json {
        write(path, &format!("{:#}\n", smolsmc_perf::json(report)))?;
    }
    if let Some(path) = &arguments.html {
        write(path, &smolsmc_perf::html(report))?;
    }
    match io::stdout().lock().write_all(smolsmc_perf::text(report).as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(format!("the output cannot be written: {error}"))
        }
        _ => Ok(()),
    }
}

fn write(path: &PathBuf, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// What was measured, and why not everything was.
fn measure(arguments: &Arguments) -> Result<(Report, Option<String>), String> {
    let cores = Cores::usual();
    let plan = plan(arguments, cores)?;
    let mut said = Said::default();
    let before = smolsmc_perf::load();
    let program = std::env::current_exe().map_err(|error| format!("where this program lies: {error}"))?;
    let command = || {
        let mut command = Command::new(&program);
        command.args(["perf", "--far-end"]);
        command
    };
    let start = Start { command: &command, cores };
    let sentence = |fault: Fault| fault.to_string();
    let spin = Duration::from_micros(arguments.spin.into());
    let mut lab = Lab::with_process(command(), cores, spin).map_err(sentence)?;
    let cache_line = match cores.count() {
        1 => None,
        _ => Some(lab.cache_line(if arguments.quick { 1000 } else { 100_000 }).map_err(sentence)?),
    };
    let (mut measured, mut failed) = (Vec::new(), None);
    for table in Table::value_variants() {
        let is_possible = cores.count() > 1 || !table.spins();
        if is_possible && (arguments.only.is_empty() || arguments.only.contains(table)) {
            match table.measure(&mut lab, &start, &plan, &mut |words| said.say(words)) {
                Ok(section) => measured.push(section),
                Err(fault) => {
                    failed = Some(sentence(fault));
                    break;
                }
            }
        }
    }
    said.end();
    let load = [before, smolsmc_perf::load()];
    Ok((
        Report { ends: "two processes", cores, cache_line, load, quick: arguments.quick, sections: measured },
        failed,
    ))
}

fn plan(arguments: &Arguments, cores: Cores) -> Result<Plan, String> {
    let mut columns = What::measurable(cores.count());
    if !arguments.columns.is_empty() {
        columns.retain(|what| arguments.columns.contains(what));
    }
    if columns.is_empty() {
        return Err("on one core ends that spin cannot be measured".to_owned());
    }
    let mut plan = if arguments.quick { Plan::quick(columns) } else { Plan::usual(columns) };
    if !arguments.sizes.is_empty() {
        plan.sizes.clone_from(&arguments.sizes);
    }
    plan.blocks = arguments.blocks.map_or(plan.blocks, usize::from);
    Ok(plan)
}

/// What was said on standard error: one line that changes on a terminal, else a
/// line for each thing.
#[derive(Default)]
struct Said {
    len: usize,
    thing: String,
}

impl Said {
    fn say(&mut self, words: &str) {
        let thing = words.split(": block").next().unwrap_or(words);
        if io::stderr().is_terminal() {
            eprint!("\r{words:<width$}", width = self.len);
            self.len = words.len();
        } else if thing != self.thing {
            eprintln!("{thing}");
            thing.clone_into(&mut self.thing);
        }
    }

    fn end(&mut self) {
        if self.len > 0 {
            eprint!("\r{:width$}\r", "", width = self.len);
            self.len = 0;
        }
    }
}
