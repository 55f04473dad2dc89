//! Runs scenarios in their order, many per boot, and keeps what a failure needs.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::kernel::Series;
use crate::lab::make_folder;
use crate::plug::Plug;
use crate::programs::Extra;
use crate::scenario::{Stage, Topology, UEID};
use crate::{Error, Guest, GuestConfig, Lab, Result, Scenario, Wire, ibv, log_rules};

/// What to run, and how.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Names, or beginnings of names; none means all.
    pub only: Vec<String>,
    /// Slow ones too. Those that are named are run in any case.
    pub full: bool,
    /// Keep captures and logs of what passed, too.
    pub keep: bool,
    /// Which kernel. Against another than the usual one only those scenarios are
    /// run that are said to hold there too.
    pub series: Series,
    /// Fetch a kernel even if there is one.
    pub fresh_kernel: bool,
}

/// How one scenario went.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// Its name.
    pub scenario: String,
    /// Who was what.
    pub role: String,
    /// It held.
    pub passed: bool,
    /// How long it took.
    pub seconds: f64,
    /// What carried the data.
    pub transport: String,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Where captures, console and agent log are, if kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<PathBuf>,
}

/// How all went.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// `uname -r` of the guests.
    pub kernel: String,
    /// Debian's package and version.
    pub package: String,
    /// Seconds of each boot.
    pub boots: Vec<f64>,
    /// Seconds of all.
    pub seconds: f64,
    /// One for each scenario.
    pub scenarios: Vec<Outcome>,
}

impl Summary {
    /// True if nothing failed and something was run.
    #[must_use]
    pub fn passed(&self) -> bool {
        !self.scenarios.is_empty() && self.scenarios.iter().all(|outcome| outcome.passed)
    }
}

/// Runs the scenarios that are wanted; `progress` gets a line at a time.
///
/// # Errors
///
/// If this machine cannot do it at all; a scenario that fails is in the summary.
pub fn run(scenarios: &[Scenario], options: &Options, mut progress: impl FnMut(&str)) -> Result<Summary> {
    let start = Instant::now();
    if let [first, ..] = duplicates(scenarios)[..] {
        return Err(Error::Scenario(format!("two scenarios are called {first}")));
    }
    let is_usual = options.series == Series::default();
    let is_wanted = |s: &&Scenario| match &options.only[..] {
        [] if !is_usual => s.anywhere,
        [] => !s.elsewhere && (options.full || !s.slow),
        only => only.iter().any(|o| s.name.starts_with(o)),
    };
    let wanted: Vec<_> = scenarios.iter().filter(is_wanted).collect();
    let with_programs = wanted.iter().any(|scenario| ibv::is_one(scenario.name()));
    let extra = if with_programs { Extra::Programs } else { Extra::Nothing };
    let lab = Lab::prepare_with(options.series, options.fresh_kernel, extra)?;
    progress(&format!("kernel {}, ready in {:.1} s", lab.kernel().package, start.elapsed().as_secs_f64()));
    let guests = if wanted.iter().any(|s| s.topology == Topology::Pair) { 2 } else { 1 };
    let mut runner = Runner::new(lab, guests, options.keep);
    let mut outcomes = Vec::new();
    for scenario in wanted {
        let mut outcome = runner.run(scenario, &mut progress);
        if outcome.evidence.as_deref().is_some_and(shows_double_fault) {
            progress(&format!("     {}: a double fault in a guest, once more", outcome.scenario));
            outcome = runner.run(scenario, &mut progress);
        }
        let word = if outcome.passed { "pass" } else { "FAIL" };
        progress(&format!("{word} {:6.2} s  {} ({})", outcome.seconds, outcome.scenario, outcome.role));
        if let Some(failure) = &outcome.failure {
            progress(&format!("     {failure}"));
        }
        if let Some(folder) = &outcome.evidence {
            progress(&format!("     kept in {}", folder.display()));
        }
        outcomes.push(outcome);
    }
    Ok(Summary {
        kernel: runner.lab.kernel().release.clone(),
        package: runner.lab.kernel().package.clone(),
        boots: runner.boots,
        seconds: start.elapsed().as_secs_f64(),
        scenarios: outcomes,
    })
}

/// Whether a guest of a failure that is kept in `folder` ended with a double fault.
/// Seen once in hundreds of runs, with a stack pointer and flags no kernel code sets:
/// QEMU's emulation, as far as one can tell. Such a scenario has one more try.
fn shows_double_fault(folder: &Path) -> bool {
    let consoles = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut consoles = consoles.filter(|path| path.to_string_lossy().ends_with("-console.log"));
    consoles.any(|path| {
        fs::read(path).is_ok_and(|text| String::from_utf8_lossy(&text).contains("PANIC: double fault"))
    })
}

/// So long may closing all sockets of a guest take.
const CLOSING: Duration = Duration::from_secs(10);

struct Runner {
    // The wires go before the guests, and the guests before their lab.
    /// One for each NIC that two guests have.
    wires: Vec<Wire>,
    /// Into each guest's NICs.
    plugs: Vec<Vec<Plug>>,
    guests: Vec<Guest>,
    /// The first record of each guest's kernel log that is not looked at yet.
    marks: Vec<u64>,
    lab: Lab,
    guest_count: u8,
    keep: bool,
    boots: Vec<f64>,
    port: Cell<u16>,
}

impl Runner {
    fn new(lab: Lab, guest_count: u8, keep: bool) -> Self {
        let (wires, plugs, guests, marks, boots) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { wires, plugs, guests, marks, lab, guest_count, keep, boots, port: Cell::new(5000) }
    }

    fn run(&mut self, scenario: &Scenario, progress: &mut impl FnMut(&str)) -> Outcome {
        let folder = self.lab.folder().join("run").join(&scenario.name);
        let watchdog = watch(scenario);
        let mut start = Instant::now();
        let result = self.prepare(scenario, &folder, progress).and_then(|()| {
            start = Instant::now();
            let played = self.play(scenario, &folder);
            let quiet = self.clean_up(scenario, &folder);
            played.and_then(|transport| quiet.map(|()| transport))
        });
        let seconds = start.elapsed().as_secs_f64();
        drop(watchdog);
        let evidence = self.evidence(scenario, &folder, result.as_ref().err());
        if scenario.spoils || result.is_err() {
            self.wires.clear();
            self.plugs.clear();
            self.guests.clear();
        }
        Outcome {
            scenario: scenario.name.clone(),
            role: scenario.role.clone(),
            passed: result.is_ok(),
            seconds,
            transport: result.as_ref().cloned().unwrap_or_default(),
            failure: result.err().map(|error| error.to_string()),
            evidence,
        }
    }

    /// Guests that are up, idle and reset; the wire as the scenario wants it.
    fn prepare(&mut self, scenario: &Scenario, folder: &Path, progress: &mut impl FnMut(&str)) -> Result<()> {
        let _ = fs::remove_dir_all(folder);
        make_folder(folder)?;
        let fits = |guest: &Guest| guest.is_alive() && guest.nic_count() == usize::from(scenario.nics);
        if self.guests.is_empty() || !self.guests.iter().all(fits) {
            self.boot(scenario.nics, progress)?;
        }
        match (scenario.topology, &self.plugs[..]) {
            (Topology::Pair, [a, b, ..]) if self.wires.is_empty() => {
                let wire = |(a, b): (&Plug, &Plug)| {
                    let wire = Wire::between(a.attach()?, b.attach()?);
                    wire.map_err(Error::io("cannot make a wire"))
                };
                self.wires = a.iter().zip(b).map(wire).collect::<Result<_>>()?;
            }
            (Topology::Pair, _) => {}
            (Topology::Alone, _) => self.wires.clear(),
        }
        for (guest, mark) in self.guests.iter().zip(&mut self.marks) {
            guest.reset(UEID)?;
            let lines = guest.kernel_log(*mark)?;
            *mark = lines.last().map_or(*mark, |line| line.seq + 1);
            guest.begin_capture(folder)?;
        }
        Ok(())
    }

    fn boot(&mut self, nics: u8, progress: &mut impl FnMut(&str)) -> Result<()> {
        self.wires.clear();
        self.plugs.clear();
        self.guests.clear();
        let configs: Vec<_> =
            (0..self.guest_count).map(|number| GuestConfig::numbered(number, nics)).collect();
        self.guests = self.lab.boot(&configs)?;
        let plugs = |guest: &Guest| (0..guest.nic_count()).map(|nic| Plug::new(&guest.nic(nic))).collect();
        self.plugs = self.guests.iter().map(plugs).collect::<Result<_>>()?;
        self.marks = vec![0; self.guests.len()];
        for (number, guest) in self.guests.iter().enumerate() {
            guest.set_up(|nic| Stage::nic_address(number, nic), UEID)?;
        }
        let slowest = self.guests.iter().map(Guest::boot).max().unwrap_or_default().as_secs_f64();
        progress(&format!("{} guests up in {slowest:.1} s", self.guests.len()));
        self.boots.push(slowest);
        Ok(())
    }

    fn play(&self, scenario: &Scenario, folder: &Path) -> Result<String> {
        let stage =
            Stage { guests: &self.guests, plugs: &self.plugs, wires: &self.wires, folder, port: &self.port };
        let played = catch_unwind(AssertUnwindSafe(|| (scenario.run)(&stage)));
        played.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            Err(Error::Scenario(format!("panicked: {text}")))
        })
    }

    /// Closes what is open and listens to what the kernels have to say.
    fn clean_up(&self, scenario: &Scenario, folder: &Path) -> Result<()> {
        let mut complaints = Vec::new();
        for (guest, mark) in self.guests.iter().zip(&self.marks).filter(|(guest, _)| guest.is_alive()) {
            self.wires.iter().for_each(Wire::heal);
            // What a guest cannot close any more dies with it.
            let closed = guest.ask_within::<()>(CLOSING, crate::protocol::Request::CloseAll);
            if !scenario.spoils {
                closed?;
            }
            let lines = guest.kernel_log(*mark)?;
            guest.end_capture()?;
            let text: String =
                lines.iter().map(|l| format!("{:12} <{}> {}\n", l.micros, l.level, l.text)).collect();
            let file = folder.join(format!("{}-kernel.log", guest.name()));
            fs::write(&file, text).map_err(Error::io(file.display().to_string()))?;
            let provokes = ibv::provokes_errors(scenario.name());
            let new = match provokes {
                true => log_rules::trouble(&lines),
                false => log_rules::complaints(&lines, scenario.refused),
            };
            let new = new.into_iter();
            complaints.extend(new.map(|line| format!("{}: {line}", guest.name())));
        }
        if complaints.is_empty() {
            return Ok(());
        }
        Err(Error::Scenario(format!("the kernel complains: {}", complaints.join(" | "))))
    }

    /// Keeps the folder of a failure, with the guests' logs; removes one that passed.
    fn evidence(&self, scenario: &Scenario, folder: &Path, error: Option<&Error>) -> Option<PathBuf> {
        let kind = match error {
            Some(_) => "failures",
            None if self.keep => "kept",
            None => {
                let _ = fs::remove_dir_all(folder);
                return None;
            }
        };
        if let Some(error) = error {
            let _ = fs::write(folder.join("failure.txt"), format!("{error}\n"));
        }
        for log in self.guests.iter().flat_map(Guest::logs) {
            let _ = fs::copy(log, folder.join(log.file_name().unwrap_or_default()));
        }
        let place = self.lab.folder().join(kind).join(&scenario.name);
        let _ = fs::remove_dir_all(&place);
        let moved = make_folder(place.parent()?)
            .and_then(|()| fs::rename(folder, &place).map_err(Error::io(place.display().to_string())));
        Some(if moved.is_ok() { place } else { folder.to_owned() })
    }
}

/// Ends the process when a scenario hangs outside of the guests, where every wait
/// has its own deadline. QEMU dies with us.
fn watch(scenario: &Scenario) -> Sender<()> {
    // Boots and clean-up are within the limit too.
    let limit = scenario.limit + Duration::from_secs(180);
    let name = scenario.name.clone();
    let (sender, alive) = mpsc::channel();
    thread::spawn(move || {
        if alive.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            eprintln!("{name} hangs: given up after {} s", limit.as_secs());
            std::process::exit(3);
        }
    });
    sender
}

/// Names that occur twice: a scenario is found, and its failure kept, by its name.
pub(crate) fn duplicates(scenarios: &[Scenario]) -> Vec<&str> {
    let mut seen = BTreeSet::new();
    scenarios.iter().map(|s| s.name.as_str()).filter(|name| !seen.insert(*name)).collect()
}
