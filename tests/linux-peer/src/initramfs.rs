//! What a guest boots into: our agent as `/init`, the modules, a console.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cpio::Archive;
use crate::error::output;
use crate::kernel::Kernel;
use crate::modules;
use crate::programs::{Extra, Program};
use crate::{Error, Result};

/// The one target that a plain Rust toolchain has; static by glibc's own archive.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Builds the initramfs and returns where it lies.
pub(crate) fn build(cache: &Path, kernel: &Kernel, programs: &[Program], extra: Extra) -> Result<PathBuf> {
    let agent = build_agent(cache)?;
    let mut archive = Archive::default();
    for folder in ["dev", "proc", "sys", "modules"] {
        archive.folder(folder);
    }
    archive.character_device("dev/console", 5, 1);
    archive.file("init", &fs::read(&agent).map_err(Error::io(agent.display().to_string()))?);
    for (place, module) in modules::load_order(&kernel.modules, extra.modules())?.iter().enumerate() {
        archive.file(&format!("modules/{place:02}-{}", module.name), &module.image);
    }
    Program::put(programs, &mut archive);
    let path = cache.join("initramfs.cpio");
    fs::write(&path, archive.finish()).map_err(Error::io(path.display().to_string()))?;
    Ok(path)
}

/// Builds the agent as a static program, in a target folder of its own.
fn build_agent(cache: &Path) -> Result<PathBuf> {
    let target = cache.join("build");
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/agent/Cargo.toml");
    let mut command = Command::new(cargo);
    command
        .args(["build", "--quiet", "--release", "--example", "linux-agent"])
        .args(["--target", TARGET, "--manifest-path", manifest, "--target-dir"])
        .arg(&target)
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        // Small is what counts: every guest unpacks it under emulation.
        .env("CARGO_PROFILE_RELEASE_LTO", "false")
        .env("CARGO_PROFILE_RELEASE_STRIP", "true");
    output(&mut command)?;
    Ok(target.join(TARGET).join("release/examples/linux-agent"))
}
