//! The QEMU process, and the promise that it never outlives us.

use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::error::output;
use crate::kernel::as_root;
use crate::{Error, Result};

const QEMU: &str = "qemu-system-x86_64";

/// Makes sure that there is a QEMU, by apt if need be.
pub(crate) fn ensure_qemu() -> Result<()> {
    if output(Command::new(QEMU).arg("--version")).is_ok() {
        return Ok(());
    }
    as_root("apt-get", &["update", "-qq"])
        .and_then(|()| {
            as_root("apt-get", &["install", "-y", "-qq", "--no-install-recommends", "qemu-system-x86"])
        })
        .map_err(|error| {
            let advice = "install it with `apt-get install qemu-system-x86`";
            Error::Machine(format!("{QEMU} is missing and could not be installed ({error}): {advice}"))
        })
}

/// A running QEMU. Dropping it kills the process and waits for it.
pub(crate) struct Machine {
    stop: Sender<()>,
    ended: Arc<Mutex<Option<String>>>,
    keeper: Option<JoinHandle<()>>,
}

impl Machine {
    /// Starts QEMU with these arguments.
    pub(crate) fn start(arguments: Vec<String>) -> Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let (report, started) = mpsc::channel();
        let ended = Arc::new(Mutex::new(None));
        let its_end = ended.clone();
        // The death signal comes when the thread that started the process ends,
        // not the process it is in: so one thread starts it and stays with it.
        let keeper = thread::spawn(move || match launch(&arguments) {
            Ok(child) => {
                let _ = report.send(Ok(()));
                keep(child, &stopped, &its_end);
            }
            Err(error) => {
                let _ = report.send(Err(error));
            }
        });
        let gone = || Error::Machine(format!("{QEMU} could not be started"));
        started.recv().map_err(|_| gone())??;
        Ok(Self { stop, ended, keeper: Some(keeper) })
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&self) -> Option<String> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.stop.send(());
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}

/// `setpriv` (util-linux, everywhere) lets the kernel kill QEMU if we are killed;
/// without it, a guest whose control port closes ends itself.
fn launch(arguments: &[String]) -> Result<Child> {
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--", QEMU])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(Error::io("setpriv"))
}

fn keep(mut child: Child, stopped: &Receiver<()>, ended: &Mutex<Option<String>>) {
    loop {
        if !matches!(stopped.recv_timeout(Duration::from_millis(50)), Err(RecvTimeoutError::Timeout)) {
            let _ = child.kill();
            let _ = child.wait();
            return;
        }
        if let Ok(Some(status)) = child.try_wait() {
            *ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(format!("QEMU ended, {status}"));
            return;
        }
    }
}
