//! The far end as the near one knows it: a process or a thread, and the socket
//! between them.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "here time enters")]

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::cores::ProcessorTime;
use crate::far::obey;
use crate::fault::{Alive, Fault};
use crate::order::{Control, Order, Report};

/// Somebody who obeys.
pub(crate) struct Peer {
    control: Control,
    alive: Alive,
    far: Far,
}

enum Far {
    Process { child: Child, watch: Option<JoinHandle<()>> },
    Thread(Option<JoinHandle<()>>),
}

/// Milliseconds that a far end may take to say why it has failed, or to end.
const PATIENCE: u128 = 500;

impl Peer {
    /// A process: `command`, whose standard input will be the socket for [`obey`].
    pub(crate) fn process(mut command: Command) -> Result<Self, Fault> {
        let (control, socket) = UnixStream::pair().map_err(Fault::system("a socket pair"))?;
        let child = command.stdin(Stdio::from(OwnedFd::from(socket))).stdout(Stdio::null()).spawn();
        let child = child.map_err(Fault::system("a process for the far end"))?;
        let alive = Alive::default();
        let watch = Some(watch(&child, alive.clone())?);
        Ok(Self {
            control: Control::new(control, ProcessorTime::Process),
            alive,
            far: Far::Process { child, watch },
        })
    }

    /// A thread of this process.
    pub(crate) fn thread() -> Result<Self, Fault> {
        let (control, socket) = UnixStream::pair().map_err(Fault::system("a socket pair"))?;
        let alive = Alive::default();
        let its = alive.clone();
        let thread = std::thread::spawn(move || {
            // What goes wrong was told over the socket, or nobody listens.
            let _ = obey(socket, ProcessorTime::Thread, &its);
            its.end();
        });
        Ok(Self {
            control: Control::new(control, ProcessorTime::Thread),
            alive,
            far: Far::Thread(Some(thread)),
        })
    }

    /// What goes wrong in `with` is explained as well as it can be.
    pub(crate) fn explained<T>(
        &mut self,
        with: impl FnOnce(&mut Control, &Alive) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let result = with(&mut self.control, &self.alive);
        result.map_err(|fault| reason(fault, &mut self.control, &self.alive, &mut self.far))
    }

    /// Orders something, does our `part` of it, and hears what came of it: our
    /// result, the report, and our own nanoseconds of processor time.
    pub(crate) fn ordered<T>(
        &mut self,
        order: Order,
        part: impl FnOnce(&mut Control) -> Result<T, Fault>,
    ) -> Result<(T, Report, u64), Fault> {
        self.explained(|control, _| {
            control.order(order)?;
            let cpu = control.cpu();
            let result = part(control)?;
            let cpu = control.cpu() - cpu;
            Ok((result, control.next_report()?, cpu))
        })
    }
}

/// A thread that sleeps until the child ends, and tells who spins.
fn watch(child: &Child, alive: Alive) -> Result<JoinHandle<()>, Fault> {
    let pid = pidfd_open(Pid::from_child(child), PidfdFlags::empty());
    let pid = pid.map_err(Fault::system("a look at the far end"))?;
    Ok(std::thread::spawn(move || {
        let mut fds = [PollFd::new(&pid, PollFlags::IN)];
        while matches!(poll(&mut fds, None), Err(rustix::io::Errno::INTR)) {}
        alive.end();
    }))
}

/// The best there is to say of what went wrong: what the far end said before
/// anything broke, or how it ended.
fn reason(fault: Fault, control: &mut Control, alive: &Alive, far: &mut Far) -> Fault {
    if matches!(fault, Fault::Far(_) | Fault::Impossible(_) | Fault::System { .. }) {
        return fault;
    }
    // Its wire may be gone a moment before it is.
    let start = Instant::now();
    let is_patient = || {
        std::thread::sleep(std::time::Duration::from_millis(1));
        start.elapsed().as_millis() < PATIENCE
    };
    while !alive.has_ended() && !control.has_news() && is_patient() {}
    while control.has_news() {
        match control.next_report() {
            Ok(_) => {}
            Err(said @ Fault::Far(_)) => return said,
            Err(_) => break,
        }
    }
    let Far::Process { child, .. } = far else { return fault };
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Fault::Ended(status),
            Ok(None) if is_patient() => {}
            _ => return fault,
        }
    }
}

impl Far {
    fn end(&mut self) {
        match self {
            Self::Process { child, watch } => {
                // It may have ended by itself.
                let _ = child.kill();
                let _ = child.wait();
                let _ = watch.take().map(JoinHandle::join);
            }
            Self::Thread(thread) => {
                let _ = thread.take().map(JoinHandle::join);
            }
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // A thread must be told; of a process its end is enough.
        let _ = self.control.order(Order::End);
        self.alive.end();
        self.far.end();
    }
}
