//! Other programs in the guest. What they say goes to a file, so that it is there
//! however they end.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::protocol::{Handle, Ran};
use crate::sockets::{Failure, lock};

struct Program {
    process: Child,
    said: PathBuf,
}

/// Programs that run.
#[derive(Default)]
pub(crate) struct Programs(Mutex<BTreeMap<Handle, Program>>);

impl Programs {
    /// Starts one.
    pub(crate) fn begin(&self, handle: Handle, program: &str, arguments: &[String]) -> io::Result<Handle> {
        let said = PathBuf::from(format!("/said-{handle}"));
        let file = File::create(&said)?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let process = command.spawn()?;
        lock(&self.0).insert(handle, Program { process, said });
        Ok(handle)
    }

    /// What one has said so far.
    pub(crate) fn said(&self, handle: Handle) -> Result<String, Failure> {
        let programs = lock(&self.0);
        let program = programs.get(&handle).ok_or_else(|| Failure::unknown("program", handle))?;
        Ok(read(&program.said))
    }

    /// Waits until one has ended; then, or at the deadline, it is no more.
    pub(crate) fn wait(&self, handle: Handle, patience: Duration) -> Result<Ran, Failure> {
        let mut program = lock(&self.0).remove(&handle).ok_or_else(|| Failure::unknown("program", handle))?;
        let deadline = Instant::now() + patience;
        let mut status = program.process.try_wait()?;
        while status.is_none() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
            status = program.process.try_wait()?;
        }
        if status.is_none() {
            program.process.kill()?;
            program.process.wait()?;
        }
        let output = read(&program.said);
        let _ = fs::remove_file(&program.said);
        Ok(Ran { code: status.and_then(|status| status.code()), output })
    }

    /// Sends one a signal: SIGTERM, or SIGKILL.
    pub(crate) fn signal(&self, handle: Handle, kill: bool) -> Result<(), Failure> {
        let programs = lock(&self.0);
        let program = programs.get(&handle).ok_or_else(|| Failure::unknown("program", handle))?;
        let signal = if kill { Signal::KILL } else { Signal::TERM };
        let pid = i32::try_from(program.process.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            kill_process(pid, signal).map_err(io::Error::from)?;
        }
        Ok(())
    }
}

fn read(path: &PathBuf) -> String {
    fs::read(path).map(|octets| String::from_utf8_lossy(&octets).into_owned()).unwrap_or_default()
}
