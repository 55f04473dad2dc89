//! What went wrong, and whose fault it is.

use std::io;
use std::process::Command;
use std::time::Duration;

use crate::protocol::Fault;

/// Why the harness, a guest or a scenario did not do what it should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// This machine lacks something; the text says what to do.
    #[error("{0}")]
    Machine(String),
    /// A file, socket or process failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// Something took too long.
    #[error("{what}: nothing within {} s", within.as_secs_f64())]
    Deadline {
        /// What was waited for.
        what: String,
        /// How long.
        within: Duration,
    },
    /// The guest is not there any more.
    #[error("guest {guest} is gone: {why}")]
    Gone {
        /// Which.
        guest: String,
        /// What is known.
        why: String,
    },
    /// The agent could not do what it was asked.
    #[error("guest {guest}, {request}: {}", fault.text)]
    Refused {
        /// Which guest.
        guest: String,
        /// What it was asked.
        request: String,
        /// Its reason.
        fault: Fault,
    },
    /// A scenario saw something other than it should.
    #[error("{0}")]
    Scenario(String),
}

impl Error {
    /// For `map_err`: adds what was tried.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what: what.into(), source }
    }

    /// The error number of a system call in the guest, if that is what failed.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Refused { fault, .. } => fault.errno,
            _ => None,
        }
    }
}

/// Runs a command to its end; its output, or an error with what it said.
pub(crate) fn output(command: &mut Command) -> crate::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(Error::io(&name))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|l| !l.trim().is_empty()).unwrap_or("no message");
    Err(Error::Machine(format!("{name} failed: {last}")))
}
