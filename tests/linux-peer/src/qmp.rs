//! QEMU's own control channel: captures that begin and end with a scenario, the
//! cable of a NIC, a frozen guest.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::{Error, Result};

/// A conversation with QEMU.
pub(crate) struct Qmp {
    stream: UnixStream,
    lines: BufReader<UnixStream>,
}

impl Qmp {
    /// Takes a stream over and leaves the capabilities negotiation behind.
    pub(crate) fn new(stream: UnixStream) -> Result<Self> {
        let lines = stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .and_then(|()| stream.try_clone())
            .map_err(Error::io("QMP"))?;
        let mut qmp = Self { stream, lines: BufReader::new(lines) };
        qmp.execute("qmp_capabilities", &json!({}))?;
        Ok(qmp)
    }

    /// Executes a command that has nothing to tell.
    pub(crate) fn execute(&mut self, command: &str, arguments: &Value) -> Result<()> {
        self.ask(command, arguments).map(drop)
    }

    /// The thread of this process that is processor number `index`.
    pub(crate) fn thread_of(&mut self, index: u8) -> Result<u64> {
        let all = self.ask("query-cpus-fast", &json!({}))?;
        let all = all.as_array().into_iter().flatten();
        let found = all.into_iter().find(|one| one["cpu-index"] == index);
        let thread = found.and_then(|one| one["thread-id"].as_u64());
        thread.ok_or_else(|| Error::Machine(format!("QEMU has no processor {index}")))
    }

    /// Executes a command; events and greetings are passed over.
    fn ask(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        let request = json!({ "execute": command, "arguments": arguments });
        self.stream.write_all(format!("{request}\n").as_bytes()).map_err(Error::io(command))?;
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).map_err(Error::io(command))? == 0 {
                return Err(Error::Machine(format!("QEMU is gone ({command})")));
            }
            let answer: Value =
                serde_json::from_str(&line).map_err(io::Error::from).map_err(Error::io(command))?;
            if let Some(error) = answer.get("error") {
                return Err(Error::Machine(format!("QEMU, {command}: {}", error["desc"])));
            }
            if let Some(returned) = answer.get("return") {
                return Ok(returned.clone());
            }
        }
    }

    /// Begins to write what passes a NIC to a file.
    pub(crate) fn begin_capture(&mut self, nic: usize, file: &Path) -> Result<()> {
        let file = file.display().to_string();
        let arguments = json!({
            "qom-type": "filter-dump", "id": format!("dump{nic}"), "netdev": format!("net{nic}"), "file": file,
        });
        self.execute("object-add", &arguments)
    }

    /// Ends it; the file is complete then.
    pub(crate) fn end_capture(&mut self, nic: usize) -> Result<()> {
        self.execute("object-del", &json!({ "id": format!("dump{nic}") }))
    }
}
