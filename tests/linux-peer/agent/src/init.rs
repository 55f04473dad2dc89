//! From the kernel's hand-over to the first line on the control port.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::mount::{MountFlags, mount};
use rustix::system::{RebootCommand, init_module, reboot, uname};

use crate::protocol::Hello;
use crate::serve::serve;

/// Where the virtio-serial port appears.
const PORT: &str = "/dev/vport0p1";
/// Kernel modules, named so that the alphabet is the order to load them in.
const MODULES: &str = "/modules";

/// Runs: as init when it is process 1, else as a second agent on its standard
/// input and output. Returns when the other side is gone.
pub fn run() -> io::Result<()> {
    if std::process::id() != 1 {
        return serve(io::stdin(), io::stdout(), &hello(Vec::new()));
    }
    let result = run_as_init();
    if let Err(error) = &result {
        // The console is all that is left to say it on.
        println!("agent: {error}");
    }
    // Without a harness the guest has no reason to be. Not an orderly power-off:
    // that can hang on SMC connections whose peer is gone.
    let _ = fs::write("/proc/sysrq-trigger", "b");
    result
}

fn run_as_init() -> io::Result<()> {
    for (kind, place) in [("devtmpfs", "/dev"), ("proc", "/proc"), ("sysfs", "/sys")] {
        fs::create_dir_all(place)?;
        mount(kind, place, kind, MountFlags::empty(), None)?;
    }
    let missing = load_modules()?;
    let port = open_port()?;
    serve(port.try_clone()?, port, &hello(missing))
}

fn hello(missing: Vec<String>) -> Hello {
    let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let uptime = uptime.split(' ').next().and_then(|s| s.parse().ok()).unwrap_or_default();
    Hello { release: uname().release().to_string_lossy().into_owned(), uptime, missing }
}

/// Loads what the initramfs brought; says what did not load.
fn load_modules() -> io::Result<Vec<String>> {
    let mut files: Vec<_> = fs::read_dir(MODULES)?.collect::<Result<_, _>>()?;
    files.sort_by_key(fs::DirEntry::file_name);
    let mut missing = Vec::new();
    for file in files {
        if let Err(error) = init_module(&fs::read(file.path())?, c"") {
            missing.push(format!("{}: {error}", file.file_name().to_string_lossy()));
        }
        // The memory of the image is worth more than the file.
        fs::remove_file(file.path())?;
    }
    Ok(missing)
}

/// The port comes a little after its driver.
fn open_port() -> io::Result<File> {
    for _ in 0..500 {
        if Path::new(PORT).exists() {
            return OpenOptions::new().read(true).write(true).open(PORT);
        }
        thread::sleep(Duration::from_millis(10));
    }
    Err(io::Error::new(io::ErrorKind::NotFound, format!("{PORT} did not appear")))
}

/// An orderly power-off; does not return when it succeeds.
pub(crate) fn power_off() -> io::Result<()> {
    Ok(reboot(RebootCommand::PowerOff)?)
}
