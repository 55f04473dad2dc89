//! What tests of commands have in common.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "no test uses all of it"
)]

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Output, Stdio};

pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smolsmc"));
    command.args(arguments);
    command
}

pub(crate) fn smolsmc(arguments: &[&str]) -> Output {
    command(arguments).stdin(Stdio::null()).output().expect("it starts")
}

pub(crate) fn text(octets: &[u8]) -> String {
    String::from_utf8(octets.to_vec()).expect("UTF-8")
}

/// One sentence on standard error, and a status that is not zero.
pub(crate) fn assert_refused(arguments: &[&str], words: &str) {
    let output = smolsmc(arguments);
    let said = text(&output.stderr);
    assert!(!output.status.success() && output.stdout.is_empty(), "{arguments:?}: {said}");
    assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
    assert!(said.starts_with("smolsmc: ") && said.contains(words), "{arguments:?}: {said}");
}

/// A socket's path that nothing else uses. Not among the build's files: such a
/// path is short.
pub(crate) fn socket_path(name: &str) -> String {
    let path = std::env::temp_dir().join(format!("smolsmc-{name}-{}", std::process::id()));
    path.to_str().expect("UTF-8").to_owned()
}

/// A file of this name that nothing else uses, and that is not there yet.
pub(crate) fn file_path(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    drop(std::fs::remove_file(&path));
    path.to_str().expect("UTF-8").to_owned()
}

/// A node that runs, and what it says.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) stderr: BufReader<ChildStderr>,
}

/// What a node that has ended has said.
pub(crate) struct Ended {
    pub(crate) success: bool,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Running {
    /// Starts a node that listens on the socket `link`, and waits until it does.
    pub(crate) fn listening(arguments: &[&str], link: &str, more: &[&str]) -> Self {
        let link = format!("unix-listen:{link}");
        let mut started = command(arguments);
        started.args(["--link", &link, "--ip", "10.9.0.1/24"]).args(more);
        let mut running = Self::start(&mut started);
        let line = running.line();
        assert!(line.ends_with("no peer has connected yet\n"), "{line}");
        running
    }

    /// Starts a node that connects to the socket `link`.
    pub(crate) fn connecting(arguments: &[&str], link: &str, more: &[&str]) -> Self {
        let link = format!("unix:{link}");
        let mut started = command(arguments);
        Self::start(started.args(["--link", &link, "--ip", "10.9.0.2/24"]).args(more))
    }

    pub(crate) fn start(command: &mut Command) -> Self {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().expect("it starts");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        Self { child, stderr }
    }

    /// The next line on standard error.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stderr.read_line(&mut line).expect("UTF-8");
        line
    }

    /// As Ctrl-C does.
    pub(crate) fn interrupt(&self) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::INT).expect("it runs");
    }

    /// Closes its standard input and waits for its end.
    pub(crate) fn end(mut self) -> Ended {
        drop(self.child.stdin.take());
        let (mut stderr, mut stdout) = (String::new(), Vec::new());
        if let Some(mut out) = self.child.stdout.take() {
            out.read_to_end(&mut stdout).expect("readable");
        }
        self.stderr.read_to_string(&mut stderr).expect("UTF-8");
        Ended { success: self.child.wait().expect("it ends").success(), stdout, stderr }
    }
}
