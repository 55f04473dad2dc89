//! A host of our own: a stack, the ports it stands on, and how it waits. The one
//! loop that all commands are driven by.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "here time enters")]

mod arguments;
mod nic;
mod outlet;
mod rdma;
mod shm;

use std::fs::File;
use std::io::BufWriter;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde_json::{Value, json};
use smolsmc::{ConnectionError, Duration, PollOutcome, Stack, Wakeup};
use smolsmc_ethernet::{DownReason, PcapFile, Port, Watch, Watched, wait_also};
use smolsmc_shm::ShmPort;
use smoltcp::time::Instant as FrameTime;

use crate::control::Control;
use arguments::Mode;
pub(crate) use arguments::{NodeArguments, stop_on_signals};
pub(crate) use nic::Nic;
use outlet::Outlet;

/// The longest sleep: so late is a signal noticed at worst that comes between
/// looking for one and falling asleep.
pub(crate) const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// How long a node that leaves waits for its peers' last words.
const FAREWELL: Duration = Duration::from_secs(5);

/// A port as the stack sees it.
type Device = Watched<Outlet, Witnesses>;

/// Who looks at every frame: the capture, if one is wanted, and whom a command has
/// called in addition.
pub(crate) struct Witnesses {
    file: PcapFile<BufWriter<File>>,
    also: Vec<Box<dyn Watch>>,
}

impl Watch for Witnesses {
    fn received(&mut self, time: FrameTime, frame: &[u8]) {
        self.file.received(time, frame);
        self.also.iter_mut().for_each(|watch| watch.received(time, frame));
    }

    fn sending(&mut self, time: FrameTime, frame: &mut [u8]) {
        // Whoever changes it goes first: the capture has what was sent.
        self.also.iter_mut().for_each(|watch| watch.sending(time, frame));
        self.file.sending(time, frame);
    }
}

/// A host.
pub(crate) struct Node {
    pub(crate) stack: Stack<Nic>,
    devices: Vec<Device>,
    /// What else there is to know of each device.
    labels: Vec<Label>,
    mode: Mode,
    clock: Clock,
    stop: Arc<AtomicBool>,
    control: Option<Control>,
    /// What it tells of itself.
    about: Value,
}

/// A device that was opened, and its label.
pub(crate) struct Cable {
    name: String,
    device: Device,
    capture: Option<PathBuf>,
}

impl Cable {
    fn new(name: &str, port: Outlet, file: PcapFile<BufWriter<File>>, capture: Option<PathBuf>) -> Self {
        let device = Watched::over(port, Witnesses { file, also: Vec::new() });
        Self { name: name.to_owned(), device, capture }
    }
}

struct Label {
    name: String,
    capture: Option<PathBuf>,
    was_up: bool,
}

/// Time since a node's start.
#[derive(Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Nanoseconds since the start: 64 bits are good for 584 years.
    pub(crate) fn nanos(self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    pub(crate) fn now(self) -> smolsmc::Instant {
        smolsmc::Instant::from_micros(self.nanos() / 1000)
    }
}

/// What a node is for. It is served after each step of the stack, and must not
/// block.
pub(crate) trait Service {
    /// A descriptor that is readable when there is something to do beside what
    /// comes from the stack.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Does what can be done; an error is one sentence and the end.
    fn serve(&mut self, node: &mut Node) -> Result<Served, String>;
}

/// What a service has done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Served {
    /// Nothing: it waits.
    Idle,
    /// Something: there may be more.
    Busy,
    /// All of it, for good.
    Done,
}

impl Served {
    pub(crate) const fn busy_if(moved: bool) -> Self {
        if moved { Self::Busy } else { Self::Idle }
    }
}

impl Node {
    fn new(stack: Stack<Nic>, cables: Vec<Cable>, mode: Mode, clock: Clock, stop: Arc<AtomicBool>) -> Self {
        let (mut devices, mut labels) = (Vec::new(), Vec::new());
        for Cable { name, device, capture } in cables {
            let was_up = device.device().is_up();
            devices.push(device);
            labels.push(Label { name, capture, was_up });
        }
        let links: Vec<_> = labels.iter().map(|label: &Label| label.name.clone()).collect();
        let about = json!({
            "pid": std::process::id(), "uid": rustix::process::getuid().as_raw(),
            "command": std::env::args().nth(1), "links": links,
        });
        Self { stack, devices, labels, mode, clock, stop, control: None, about }
    }

    /// Whether the user wants it to end.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(crate) const fn clock(&self) -> Clock {
        self.clock
    }

    /// Lets somebody look at every frame of each port: `make` is called for each.
    pub(crate) fn watch(&mut self, mut make: impl FnMut() -> Box<dyn Watch>) {
        for device in &mut self.devices {
            device.watch_mut().also.push(make());
        }
    }

    /// Sends away whom [`Node::watch`] has called.
    pub(crate) fn watch_no_more(&mut self) {
        for device in &mut self.devices {
            device.watch_mut().also.clear();
        }
    }

    fn ports(&self) -> impl Iterator<Item = &Outlet> {
        self.devices.iter().map(Watched::device)
    }

    /// Whether no port will ever carry a frame again.
    pub(crate) fn has_ended(&self) -> bool {
        self.ports().all(Outlet::has_ended)
    }

    /// Why there is no port that carries frames now, if that is so.
    pub(crate) fn down_reason(&self) -> Option<&DownReason> {
        if self.ports().any(Outlet::is_up) { None } else { self.ports().find_map(Outlet::down_reason) }
    }

    /// Moves the stack forward.
    pub(crate) fn poll(&mut self) -> PollOutcome {
        let now = self.clock.now();
        let outcome = self.stack.poll(now, &mut self.devices);
        self.note_ports();
        if let Some(control) = &mut self.control {
            control.step(now, &self.stack, &self.about);
        }
        outcome
    }

    /// Why no port will carry frames any more, as a sentence.
    pub(crate) fn ports_ended(&self) -> Option<String> {
        let reason = self.down_reason().filter(|_| self.has_ended())?;
        let names: Vec<_> = self.labels.iter().map(|label| label.name.as_str()).collect();
        Some(format!("{}: {reason}", names.join(", ")))
    }

    /// Waits for whatever comes first: a frame, the stack's next deadline,
    /// something to read from `also`, or `most`. To be called when there was
    /// nothing to do.
    fn rest(&mut self, most: Duration, also: Option<BorrowedFd<'_>>) -> Result<(), String> {
        if self.mode == Mode::Busy {
            std::hint::spin_loop();
            return Ok(());
        }
        let waits = self.devices.iter_mut().fold(false, |waits, device| device.device_mut().arm() | waits);
        if self.stack.arm() | waits {
            return Ok(());
        }
        let next = match self.stack.poll_at() {
            // What a port does not take now must wait for the port.
            Wakeup::Now if self.ports().filter_map(Outlet::port).any(Port::wants_write) => LONGEST_SLEEP,
            Wakeup::Now => return Ok(()),
            Wakeup::At(at) => at.since(self.clock.now()),
            Wakeup::OnInput => LONGEST_SLEEP,
        };
        self.flush();
        let most = self.control.as_ref().map_or(most, |control| most.min(control.patience()));
        let nic = self.stack.provider_mut();
        nic.arm();
        let patience = nic.timeout().map_or(LONGEST_SLEEP, |timeout| timeout.min(LONGEST_SLEEP));
        let sleep = next.min(most).min(patience).micros();
        let frames = self.devices.iter().filter_map(|device| device.device().shm()).flat_map(ShmPort::fds);
        let also = also.into_iter().chain(self.control.as_ref().map(Control::descriptor));
        let also = also.chain(frames).chain(nic.descriptors());
        let ports = self.devices.iter().filter_map(|device| device.device().port());
        wait_also(ports, also, Some(std::time::Duration::from_micros(sleep)))
            .map_err(|error| format!("the ports cannot be waited for: {error}"))?;
        if let Some(control) = &mut self.control {
            control.look_now();
        }
        Ok(())
    }

    /// Serves until the service is done, the user wants an end, or no port
    /// carries frames any more.
    pub(crate) fn run(&mut self, service: &mut impl Service) -> Result<(), String> {
        while !self.is_stopped() {
            let outcome = self.poll();
            let served = service.serve(self)?;
            if served == Served::Done || self.has_ended() {
                break;
            }
            if served == Served::Idle && !outcome.progressed && !outcome.more {
                self.rest(LONGEST_SLEEP, service.descriptor())?;
            }
        }
        Ok(())
    }

    /// Polls until `done`, or `most` has passed; whether it was done.
    pub(crate) fn until(
        &mut self,
        most: Duration,
        mut done: impl FnMut(&mut Self) -> bool,
    ) -> Result<bool, String> {
        let end = self.clock.now() + most;
        loop {
            let outcome = self.poll();
            if done(self) {
                return Ok(true);
            }
            let left = end.since(self.clock.now());
            if left == Duration::ZERO || self.is_stopped() || self.has_ended() {
                return Ok(false);
            }
            if !outcome.progressed && !outcome.more {
                self.rest(left, None)?;
            }
        }
    }

    /// Says good-bye to the peers, and waits a while until they have heard.
    /// Sockets must have been closed.
    pub(crate) fn leave(mut self) -> Result<(), String> {
        self.say_goodbye()
    }

    /// [`Node::leave`], with the ports left open.
    pub(crate) fn say_goodbye(&mut self) -> Result<(), String> {
        self.until(FAREWELL, |node| !node.stack.has_connections())?;
        self.stack.leave();
        self.until(FAREWELL, |node| node.stack.is_idle())?;
        self.flush();
        Ok(())
    }

    /// Another stack takes the place of this one, which says nothing any more: as
    /// after a crash, unless it has said good-bye.
    pub(crate) fn replace_stack(
        &mut self,
        arguments: &NodeArguments,
        change: impl FnOnce(&mut smolsmc::Config),
    ) -> Result<(), String> {
        arguments.ensure_replaceable()?;
        let mtus: Vec<_> = self.ports().map(Outlet::mtu).collect();
        let mut config = arguments.config(&mtus)?;
        change(&mut config);
        self.stack = arguments.stack(config, self.clock.now())?;
        Ok(())
    }

    /// Tells the user once when a port goes down for a while, and up again.
    fn note_ports(&mut self) {
        let alone = self.devices.len() == 1;
        for (device, label) in self.devices.iter_mut().zip(&mut self.labels) {
            let port = device.device_mut();
            port.look();
            let is_up = port.is_up();
            if is_up != label.was_up {
                match port.down_reason() {
                    // The end of all of them is told by who runs the node.
                    Some(_) if port.has_ended() && alone => continue,
                    Some(reason) => eprintln!("{}: {reason}", label.name),
                    None => eprintln!("{}: the port is up", label.name),
                }
                label.was_up = is_up;
            }
        }
    }

    /// Hands the captures to the system; when that fails, says so once.
    fn flush(&mut self) {
        for (device, label) in self.devices.iter_mut().zip(&mut self.labels) {
            let file = &mut device.watch_mut().file;
            file.flush();
            if let (Some(error), Some(path)) = (file.error(), &label.capture) {
                eprintln!("{}: {error}; no more frames are written to it", path.display());
                label.capture = None;
            }
        }
    }
}

/// An error with its reasons, where there are any.
pub(crate) fn sentence(error: ConnectionError) -> String {
    let ConnectionError::NotSmc { local, peer } = error else { return error.to_string() };
    let reasons: Vec<_> = [("we", local), ("peer", peer)]
        .into_iter()
        .filter_map(|(who, why)| why.map(|why| format!("{who}: {:#010x} {why}", why.0)))
        .collect();
    format!("{error} ({})", reasons.join("; "))
}
