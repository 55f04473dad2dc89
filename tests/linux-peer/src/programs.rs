//! Our programs over libibverbs, and the libraries they need in a guest: those of
//! this machine, at the same places.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cpio::Archive;
use crate::error::output;
use crate::kernel::as_root;
use crate::{Error, Result};

/// What Debian calls what is needed to build (cmake, libclang and the library's
/// headers) and to run (the part of libibverbs that knows rxe).
const PACKAGES: [&str; 4] = ["cmake", "libclang-dev", "libibverbs-dev", "ibverbs-providers"];
/// What has rsockets.
const RSOCKETS_PACKAGE: &str = "librdmacm1";
/// Our programs, below the folder of what is built.
const PROGRAMS: [&str; 3] = ["smolsmc", "examples/ibv-conformance", "examples/ibv-peer"];
const LATENCY: &str = "examples/ibv-latency";
/// Where Debian has the library that makes rsockets of a program's sockets, and
/// where a guest has it.
const RSOCKETS: &str = "/usr/lib/x86_64-linux-gnu/rsocket/librspreload.so";
pub(crate) const PRELOADED: &str = "/lib/librspreload.so";
/// Where libibverbs looks for the parts that know a device.
const PROVIDERS: &str = "/usr/lib/x86_64-linux-gnu/libibverbs";
/// It reads which there are from files in this folder.
const DRIVERS: &str = "/etc/libibverbs.d/rxe.driver";

/// What guests have beside the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extra {
    Nothing,
    /// Our programs over libibverbs.
    Programs,
    /// The one that measures latency, and rsockets.
    Latency,
}

impl Extra {
    /// Modules beside the usual ones: rsockets find each other by rdma_cm.
    pub(crate) const fn modules(self) -> &'static [&'static str] {
        match self {
            Self::Latency => &["rdma_ucm"],
            Self::Nothing | Self::Programs => &[],
        }
    }

    const fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Nothing => &[],
            Self::Programs => &PROGRAMS,
            Self::Latency => &[LATENCY],
        }
    }

    fn packages(self) -> impl Iterator<Item = &'static str> {
        PACKAGES.into_iter().chain((self == Self::Latency).then_some(RSOCKETS_PACKAGE))
    }
}

/// A file of a guest.
pub(crate) struct Program {
    place: PathBuf,
    contents: Vec<u8>,
}

impl Program {
    fn read(from: &Path, place: &Path) -> Result<Self> {
        let contents = fs::read(from).map_err(Error::io(from.display().to_string()))?;
        Ok(Self { place: place.to_owned(), contents })
    }

    /// Puts all into an archive, folders before what is in them.
    pub(crate) fn put(programs: &[Self], archive: &mut Archive) {
        let relative = |path: &Path| path.strip_prefix("/").unwrap_or(path).display().to_string();
        let above = programs.iter().flat_map(|program| program.place.ancestors().skip(1));
        let folders: BTreeSet<_> = above.map(relative).filter(|folder| !folder.is_empty()).collect();
        folders.iter().for_each(|folder| archive.folder(folder));
        for program in programs {
            archive.file(&relative(&program.place), &program.contents);
        }
    }
}

/// Builds the programs, and finds what they need.
pub(crate) fn build(cache: &Path, extra: Extra) -> Result<Vec<Program>> {
    if extra == Extra::Nothing {
        return Ok(Vec::new());
    }
    ensure_packages(extra)?;
    let target = cache.join("build");
    let features = "smolsmc-cli/ibverbs,smolsmc-ibv/ibverbs,smolsmc-linux-peer/ibverbs";
    let packages =
        ["-p", "smolsmc-cli", "-p", "smolsmc-ibv", "-p", "smolsmc-linux-peer", "--features", features];
    let named = extra.programs().iter().flat_map(|name| match name.strip_prefix("examples/") {
        Some(example) => ["--example", example],
        None => ["--bin", name],
    });
    cargo(&target, &packages.into_iter().chain(named).collect::<Vec<_>>())?;
    let provider = fs::read_dir(PROVIDERS).map_err(Error::io(PROVIDERS))?.flatten().map(|entry| entry.path());
    let is_rxe =
        |path: &PathBuf| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("librxe-"));
    let provider = provider.into_iter().find(is_rxe);
    let provider = provider.ok_or_else(|| Error::Machine(format!("no librxe in {PROVIDERS}")))?;
    let mut libraries = needs(&provider)?;
    let mut programs =
        vec![Program::read(&provider, &provider)?, Program::read(Path::new(DRIVERS), Path::new(DRIVERS))?];
    if extra == Extra::Latency {
        libraries.extend(needs(Path::new(RSOCKETS))?);
        programs.push(Program::read(Path::new(RSOCKETS), Path::new(PRELOADED))?);
    }
    for name in extra.programs() {
        let program = target.join("release").join(name);
        libraries.extend(needs(&program)?);
        let name = program.file_name().unwrap_or_default();
        programs.push(Program::read(&program, &Path::new("/bin").join(name))?);
    }
    for library in libraries {
        programs.push(Program::read(&library, &library)?);
    }
    Ok(programs)
}

/// What is missing is installed.
fn ensure_packages(extra: Extra) -> Result<()> {
    let packages: Vec<_> = extra.packages().collect();
    let status =
        Command::new("dpkg-query").args(["-W", "-f", "${db:Status-Status}\n"]).args(&packages).output();
    let status = status.map_err(Error::io("dpkg-query"))?;
    let said = String::from_utf8_lossy(&status.stdout);
    if said.lines().filter(|line| *line == "installed").count() == packages.len() {
        return Ok(());
    }
    as_root("apt-get", &["update", "-qq"])?;
    let install = ["install", "-y", "-qq", "--no-install-recommends"];
    as_root("apt-get", &[&install[..], &packages].concat())
}

fn cargo(target: &Path, what: &[&str]) -> Result<()> {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");
    let mut command = Command::new(cargo);
    command
        .args(["build", "--quiet", "--release", "--manifest-path", manifest, "--target-dir"])
        .arg(target)
        .args(what)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("CARGO_PROFILE_RELEASE_LTO", "false")
        .env("CARGO_PROFILE_RELEASE_STRIP", "true");
    output(&mut command).map(|_| ())
}

/// The libraries a file is linked with, and the program that loads them.
fn needs(file: &Path) -> Result<BTreeSet<PathBuf>> {
    let said = output(Command::new("ldd").arg(file))?;
    let word = |line: &str| line.split_whitespace().find(|word| word.starts_with('/')).map(PathBuf::from);
    Ok(said.lines().filter_map(word).collect())
}
