//! One Linux guest: its process, its agent, its NICs' sockets.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde_json::json;

use crate::control::{Control, Pending, lock};
use crate::error::output;
use crate::machine::Machine;
use crate::protocol::{Hello, Request};
use crate::qmp::Qmp;
use crate::{Error, Kernel, Result};

/// Boots under emulation take 7 s on an idle machine.
const BOOT_PATIENCE: Duration = Duration::from_secs(120);
/// For requests that wait for nobody else.
const PATIENCE: Duration = Duration::from_secs(30);

/// A NIC of a guest.
#[derive(Debug, Clone)]
pub struct Nic {
    /// Its MAC.
    pub mac: [u8; 6],
}

/// How a guest is made.
#[derive(Debug, Clone)]
pub struct GuestConfig {
    /// Its name in files and messages.
    pub name: String,
    /// Its NICs: `eth0`, `eth1`, ...
    pub nics: Vec<Nic>,
    /// Memory in MiB.
    pub memory: u32,
    /// Processors.
    pub processors: u8,
    /// Its NICs are wired to those of the guest of this name, without anything in
    /// between. That guest must have been started.
    pub wired_to: Option<String>,
}

impl GuestConfig {
    /// Guest number `number`, from 0, with so many NICs. The MACs are
    /// `52:54:00:00:<nic>:<number + 1>`.
    #[must_use]
    pub fn numbered(number: u8, nics: u8) -> Self {
        let nics = (0..nics).map(|nic| Nic { mac: [0x52, 0x54, 0, 0, nic, number + 1] }).collect();
        Self { name: format!("guest{number}"), nics, memory: 512, processors: 1, wired_to: None }
    }

    /// With a second processor, that the kernel leaves to the one program which asks
    /// for it.
    #[must_use]
    pub fn with_spare_processor(mut self) -> Self {
        self.processors = 2;
        self
    }

    /// Wired to another guest, NIC by NIC.
    #[must_use]
    pub fn wired_to(mut self, other: &Self) -> Self {
        self.wired_to = Some(other.name.clone());
        self
    }
}

/// A running guest. Dropping it kills it.
pub struct Guest {
    config: GuestConfig,
    control: Control,
    qmp: Mutex<Qmp>,
    machine: Machine,
    sockets: PathBuf,
    console: PathBuf,
    agent_log: PathBuf,
    hello: Hello,
    boot: Duration,
}

/// A guest whose agent has not spoken yet.
pub(crate) struct Booting {
    guest: Guest,
    hello: Pending<Hello>,
    since: Instant,
}

impl Booting {
    /// Starts QEMU. Sockets go to `sockets`, whose path must be short; logs to `logs`.
    pub(crate) fn start(
        kernel: &Kernel,
        initramfs: &Path,
        config: &GuestConfig,
        sockets: &Path,
        logs: &Path,
    ) -> Result<Self> {
        let since = Instant::now();
        let sockets = sockets.to_owned();
        let console = logs.join(format!("{}-console.log", config.name));
        let agent_log = logs.join(format!("{}-agent.log", config.name));
        let machine = Machine::start(arguments(kernel, initramfs, config, &sockets, &console))?;
        let connect = |what: &str| connect(&socket(&sockets, &config.name, what), &machine);
        let (control, hello) = Control::new(&config.name, connect("control")?, &agent_log)?;
        let qmp = Mutex::new(Qmp::new(connect("qmp")?)?);
        let nobody = Hello { release: String::new(), uptime: 0.0, missing: Vec::new() };
        let guest = Guest {
            config: config.clone(),
            control,
            qmp,
            machine,
            sockets,
            console,
            agent_log,
            hello: nobody,
            boot: Duration::ZERO,
        };
        Ok(Self { guest, hello, since })
    }

    /// Waits for the agent.
    pub(crate) fn finish(self) -> Result<Guest> {
        let Self { mut guest, hello, since } = self;
        guest.hello = hello.wait(BOOT_PATIENCE).map_err(|error| guest.explain(error))?;
        guest.boot = since.elapsed();
        if guest.hello.missing.is_empty() {
            return Ok(guest);
        }
        Err(Error::Machine(format!("modules did not load: {}", guest.hello.missing.join(", "))))
    }
}

fn socket(folder: &Path, guest: &str, what: &str) -> PathBuf {
    folder.join(format!("{guest}-{what}"))
}

/// QEMU makes its sockets a moment after it starts.
fn connect(path: &Path, machine: &Machine) -> Result<UnixStream> {
    let start = Instant::now();
    loop {
        match UnixStream::connect(path) {
            Ok(stream) => return Ok(stream),
            Err(error) => {
                if let Some(why) = machine.ended() {
                    return Err(Error::Machine(why));
                }
                if start.elapsed() > PATIENCE {
                    return Err(Error::Io { what: path.display().to_string(), source: error });
                }
            }
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn arguments(
    kernel: &Kernel,
    initramfs: &Path,
    config: &GuestConfig,
    sockets: &Path,
    console: &Path,
) -> Vec<String> {
    let at = |what: &str| socket(sockets, &config.name, what).display().to_string();
    let memory = config.memory.to_string();
    let (image, initramfs) = (kernel.image.display().to_string(), initramfs.display().to_string());
    // Addresses of the kernel at their place, so that traces can be compared; a
    // panic ends the machine instead of hanging it.
    let mut words = "console=ttyS0 panic=-1 nokaslr mitigations=off tsc=reliable no_timer_check \
                 random.trust_cpu=on cryptomgr.notests rcupdate.rcu_expedited=1 quiet loglevel=4"
        .to_owned();
    if config.processors > 1 {
        words += " irqaffinity=0 isolcpus=1";
    }
    let mut list: Vec<String> = ["-M", "q35,accel=tcg", "-cpu", "max", "-nodefaults", "-no-user-config"]
        .into_iter()
        .chain(["-display", "none", "-no-reboot", "-nic", "none", "-m", &memory])
        .chain(["-kernel", &image, "-initrd", &initramfs, "-append", &words])
        .map(str::to_owned)
        .collect();
    let mut add = |option: &str, value: String| list.extend([option.to_owned(), value]);
    add("-smp", config.processors.to_string());
    add("-chardev", format!("file,id=console,path={}", console.display()));
    add("-serial", "chardev:console".to_owned());
    add("-qmp", format!("unix:{},server=on,wait=off", at("qmp")));
    add("-chardev", format!("socket,id=control,path={},server=on,wait=off", at("control")));
    add("-device", "virtio-serial-pci".to_owned());
    add("-device", "virtserialport,chardev=control,name=smolsmc".to_owned());
    for (number, nic) in config.nics.iter().enumerate() {
        let mac = nic.mac.map(|octet| format!("{octet:02x}")).join(":");
        let eth = format!("eth{number}");
        let (server, path) = match &config.wired_to {
            Some(other) => ("off", socket(sockets, other, &eth).display().to_string()),
            None => ("on", at(&eth)),
        };
        add("-netdev", format!("stream,id=net{number},server={server},addr.type=unix,addr.path={path}"));
        add("-device", format!("virtio-net-pci,id=nic{number},netdev=net{number},mac={mac},romfile="));
    }
    list
}

impl Guest {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// The MAC of a NIC; zeros if there is no such NIC.
    #[must_use]
    pub fn mac(&self, nic: usize) -> [u8; 6] {
        self.config.nics.get(nic).map_or([0; 6], |nic| nic.mac)
    }

    /// How many NICs it has.
    #[must_use]
    pub fn nic_count(&self) -> usize {
        self.config.nics.len()
    }

    /// The Unix socket of NIC `eth<number>`: QEMU listens there, takes one
    /// connection at a time, and listens again when that ends.
    #[must_use]
    pub fn nic(&self, number: usize) -> PathBuf {
        socket(&self.sockets, &self.config.name, &format!("eth{number}"))
    }

    /// What the agent said first.
    #[must_use]
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// From the start of QEMU to the agent's first line.
    #[must_use]
    pub fn boot(&self) -> Duration {
        self.boot
    }

    /// Its console, and all that was said with its agent.
    pub(crate) fn logs(&self) -> [&Path; 2] {
        [&self.console, &self.agent_log]
    }

    /// Asks the agent something that waits for nobody else.
    ///
    /// # Errors
    ///
    /// As [`Pending::wait`].
    pub fn ask<T: DeserializeOwned>(&self, request: Request) -> Result<T> {
        self.ask_within(PATIENCE, request)
    }

    /// Asks the agent, with a deadline.
    ///
    /// # Errors
    ///
    /// As [`Pending::wait`].
    pub fn ask_within<T: DeserializeOwned>(&self, within: Duration, request: Request) -> Result<T> {
        self.begin(request)?.wait(within).map_err(|error| self.explain(error))
    }

    /// Asks the agent without waiting for the answer.
    ///
    /// # Errors
    ///
    /// If the request cannot be written as JSON.
    pub fn begin<T>(&self, request: Request) -> Result<Pending<T>> {
        self.control.begin(request)
    }

    /// A guest that is gone is explained by how QEMU ended.
    fn explain(&self, error: Error) -> Error {
        let Error::Gone { guest, why } = error else { return error };
        // The port closes a moment before the process has ended.
        for _ in 0..20 {
            if let Some(end) = self.machine.ended() {
                return Error::Gone { guest, why: format!("{why}; {end}") };
            }
            thread::sleep(Duration::from_millis(50));
        }
        Error::Gone { guest, why }
    }

    /// True while QEMU runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.machine.ended().is_none()
    }

    /// Pulls or plugs the cable of a NIC, as the guest sees it.
    ///
    /// # Errors
    ///
    /// What QEMU says.
    pub fn carrier(&self, nic: usize, up: bool) -> Result<()> {
        lock(&self.qmp).execute("set_link", &json!({ "name": format!("nic{nic}"), "up": up }))
    }

    /// Freezes the guest, as if it had died, or lets it go on.
    ///
    /// # Errors
    ///
    /// What QEMU says.
    pub fn freeze(&self, frozen: bool) -> Result<()> {
        lock(&self.qmp).execute(if frozen { "stop" } else { "cont" }, &json!({}))
    }

    /// A processor runs only while nothing else wants to on this machine: one that
    /// spins would hold up the threads it waits for by a time slice each.
    ///
    /// # Errors
    ///
    /// What QEMU says, or util-linux' `chrt`.
    pub fn yields(&self, processor: u8) -> Result<()> {
        let thread = lock(&self.qmp).thread_of(processor)?.to_string();
        output(Command::new("chrt").args(["--idle", "--pid", "0", &thread])).map(drop)
    }

    /// Begins to capture what passes each NIC, to `<folder>/<guest>-eth<n>.pcap`.
    pub(crate) fn begin_capture(&self, folder: &Path) -> Result<()> {
        let mut qmp = lock(&self.qmp);
        (0..self.nic_count()).try_for_each(|nic| {
            qmp.begin_capture(nic, &folder.join(format!("{}-eth{nic}.pcap", self.config.name)))
        })
    }

    /// Ends the captures.
    pub(crate) fn end_capture(&self) -> Result<()> {
        let mut qmp = lock(&self.qmp);
        (0..self.nic_count()).try_for_each(|nic| qmp.end_capture(nic))
    }
}
