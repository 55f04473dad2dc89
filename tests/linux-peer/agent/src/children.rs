//! Second agents, each a process of its own: what is killed with SIGKILL must not
//! be the init of the guest.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};

use crate::protocol::{Answer, Call, Handle, Request};
use crate::sockets::{Failure, lock};

struct Kid {
    process: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    seq: u64,
}

/// Its number, to be killed by while somebody else waits for its answer.
type Known = (Pid, Arc<Mutex<Kid>>);

/// The second agents of this one.
#[derive(Default)]
pub(crate) struct Children(Mutex<BTreeMap<Handle, Known>>);

impl Children {
    /// Starts one.
    pub(crate) fn spawn(&self, handle: Handle) -> io::Result<Handle> {
        let mut process =
            Command::new("/init").arg("child").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (Some(requests), Some(answers)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let pid = Pid::from_child(&process);
        let kid = Kid { process, requests, answers: BufReader::new(answers), seq: 0 };
        lock(&self.0).insert(handle, (pid, Arc::new(Mutex::new(kid))));
        Ok(handle)
    }

    /// Passes a request on and waits for its answer: one at a time.
    pub(crate) fn ask(&self, child: Handle, request: Request) -> Result<serde_json::Value, Failure> {
        let kid = lock(&self.0).get(&child).map(|(_, kid)| kid.clone());
        let kid = kid.ok_or_else(|| Failure::unknown("child", child))?;
        let mut kid = lock(&kid);
        kid.seq += 1;
        let call = Call { seq: kid.seq, request };
        let mut line = serde_json::to_vec(&call).map_err(io::Error::from)?;
        line.push(b'\n');
        kid.requests.write_all(&line)?;
        let mut answer = String::new();
        // The first line is its hello, with number 0.
        loop {
            answer.clear();
            if kid.answers.read_line(&mut answer)? == 0 {
                return Err(Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)));
            }
            let answer: Answer = serde_json::from_str(&answer).map_err(io::Error::from)?;
            if answer.seq == call.seq {
                return match answer.fault {
                    Some(fault) => Err(Failure(fault)),
                    None => Ok(answer.ok.unwrap_or_default()),
                };
            }
        }
    }

    /// Kills it, in the middle of a request too, and waits until it is gone.
    pub(crate) fn kill(&self, child: Handle) -> Result<(), Failure> {
        let (pid, kid) = lock(&self.0).remove(&child).ok_or_else(|| Failure::unknown("child", child))?;
        // Whoever asks it something has the lock; nobody has waited for it yet, so
        // that the number is still its own.
        kill_process(pid, Signal::KILL)?;
        lock(&kid).process.wait()?;
        Ok(())
    }
}
