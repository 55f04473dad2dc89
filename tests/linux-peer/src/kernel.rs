//! Debian's kernels: found by apt, unpacked without being installed, kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::output;
use crate::{Error, Result};

/// Which Linux the guests run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Series {
    /// 6.12, whose SMC-Rv2.1 this stack is measured against.
    #[default]
    V6_12,
    /// 6.1, Debian 12's own: SMC-Rv2.0.
    V6_1,
}

impl Series {
    /// Packages with stable names; those of releases whose default kernel it is come last.
    const fn meta_packages(self) -> &'static [&'static str] {
        match self {
            Self::V6_12 => &["linux-image-6.12-amd64", "linux-image-amd64"],
            Self::V6_1 => &["linux-image-amd64"],
        }
    }

    /// What the package of the kernel itself begins with.
    const fn prefix(self) -> &'static str {
        match self {
            Self::V6_12 => "linux-image-6.12.",
            Self::V6_1 => "linux-image-6.1.",
        }
    }
}

/// What it ends with. Other flavours (cloud, rt) end alike but have a word before
/// it; the cloud one lacks rxe.
const SUFFIXES: [&str; 2] = ["-amd64", "-amd64-unsigned"];
/// Written last, so that half a copy is never used.
const COMPLETE: &str = "complete";

/// A kernel and its modules on this machine.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// As `uname -r` will say.
    pub release: String,
    /// Debian's package and its version.
    pub package: String,
    /// The bootable image.
    pub image: PathBuf,
    /// The root of the modules, `lib/modules/<release>`.
    pub modules: PathBuf,
}

impl Kernel {
    /// The kernel of a series under `cache`, fetched first if there is none or
    /// `fresh` is set.
    ///
    /// # Errors
    ///
    /// [`Error::Machine`], if this is not a machine with apt, or the package is not to be had.
    pub fn find(cache: &Path, series: Series, fresh: bool) -> Result<Self> {
        let root = cache.join("kernel");
        if !fresh && let Some(kernel) = kept(&root, series) {
            return Ok(kernel);
        }
        fetch(&root, series)?;
        kept(&root, series)
            .ok_or_else(|| Error::Machine(format!("no kernel in {} after fetching it", root.display())))
    }
}

/// The newest complete copy.
fn kept(root: &Path, series: Series) -> Option<Kernel> {
    let is_it = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(series.prefix());
    let copies = fs::read_dir(root).ok()?.flatten().filter(is_it).filter_map(|entry| {
        let complete = fs::metadata(entry.path().join(COMPLETE)).ok()?;
        Some((complete.modified().ok()?, entry.path()))
    });
    let (_, copy) = copies.max()?;
    let package = fs::read_to_string(copy.join(COMPLETE)).ok()?.trim().to_owned();
    let release = fs::read_dir(copy.join("lib/modules")).ok()?.flatten().next()?;
    let release = release.file_name().to_string_lossy().into_owned();
    Some(Kernel {
        image: copy.join(format!("boot/vmlinuz-{release}")),
        modules: copy.join("lib/modules").join(&release),
        release,
        package,
    })
}

fn fetch(root: &Path, series: Series) -> Result<()> {
    let (package, updated) = match package_name(series) {
        Some(name) => (name, false),
        None => {
            update_lists()?;
            let sentence = format!(
                "apt knows no {}*-amd64: add Debian 12's security suite, Debian 13 or its backports to \
                 apt's sources",
                series.prefix()
            );
            (package_name(series).ok_or(Error::Machine(sentence))?, true)
        }
    };
    let scratch = root.join(format!("fetching-{}", std::process::id()));
    fs::create_dir_all(&scratch).map_err(Error::io(scratch.display().to_string()))?;
    let downloaded = match download(&package, &scratch) {
        // Old lists name versions that the archive has dropped.
        Err(_) if !updated => {
            update_lists()?;
            let package = package_name(series).unwrap_or(package);
            download(&package, &scratch)
        }
        other => other,
    };
    let unpacked = downloaded.and_then(|archive| unpack(&archive, root));
    let _ = fs::remove_dir_all(&scratch);
    unpacked
}

/// The package that holds the kernel, as the stable name depends on it.
fn package_name(series: Series) -> Option<String> {
    for meta in series.meta_packages() {
        let Ok(shown) = output(Command::new("apt-cache").args(["show", "--no-all-versions", meta])) else {
            continue;
        };
        let depends = shown.lines().find_map(|line| line.strip_prefix("Depends: "));
        let named =
            depends.into_iter().flat_map(|d| d.split(',')).filter_map(|d| d.split_whitespace().next());
        if let Some(name) = named.into_iter().find(|name| is_generic(name, series)) {
            return Some(name.to_owned());
        }
    }
    // Without the meta package: any generic one, signed or not; the longest
    // version string sorts as the newest well enough.
    let names = output(Command::new("apt-cache").args(["pkgnames", series.prefix()])).ok()?;
    let mut names: Vec<_> =
        names.lines().filter(|name| is_generic(name, series)).map(str::to_owned).collect();
    names.sort_by_key(|name| (name.len(), name.clone()));
    names.pop()
}

/// `linux-image-6.12.<patch>[+debN]-amd64`, or with `-<abi>`: numbers, but no
/// flavour in between.
fn is_generic(name: &str, series: Series) -> bool {
    let Some(rest) = name.strip_prefix(series.prefix()) else { return false };
    let is_number = |part: &str| part.starts_with(|first: char| first.is_ascii_digit());
    let versions = SUFFIXES.iter().filter_map(|suffix| rest.strip_suffix(suffix));
    versions.into_iter().any(|version| version.split('-').all(is_number))
}

fn update_lists() -> Result<()> {
    as_root("apt-get", &["update", "-qq"])
}

/// Runs as root, by sudo if need be and possible.
pub(crate) fn as_root(program: &str, arguments: &[&str]) -> Result<()> {
    let is_root = output(Command::new("id").arg("-u"))?.trim() == "0";
    let mut command = if is_root { Command::new(program) } else { Command::new("sudo") };
    if !is_root {
        // Never asks for a password: nobody may be there.
        command.args(["-n", program]);
    }
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    output(&mut command).map(|_| ())
}

fn download(package: &str, scratch: &Path) -> Result<PathBuf> {
    output(Command::new("apt-get").args(["download", "-qq", package]).current_dir(scratch))?;
    let files = fs::read_dir(scratch).map_err(Error::io(scratch.display().to_string()))?;
    files
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|e| e == "deb"))
        .ok_or_else(|| Error::Machine(format!("apt-get download {package} left no file")))
}

fn unpack(archive: &Path, root: &Path) -> Result<()> {
    let format = "--showformat=${Package} ${Version}";
    let package = output(Command::new("dpkg-deb").args(["-W", format]).arg(archive))?;
    let name: String = package.chars().map(|c| if c == ' ' { '_' } else { c }).collect();
    let copy = root.join(name);
    output(Command::new("dpkg-deb").arg("-x").args([archive, &copy]))?;
    fs::write(copy.join(COMPLETE), package).map_err(Error::io("cannot mark the kernel as complete"))
}

#[cfg(test)]
mod tests {
    use super::{Series, is_generic};

    #[test]
    fn only_the_generic_flavour_is_taken() {
        let is_6_12 = |name| is_generic(name, Series::V6_12);
        assert!(is_6_12("linux-image-6.12.117+deb12-amd64"));
        assert!(is_6_12("linux-image-6.12.48+deb13-amd64-unsigned"));
        assert!(!is_6_12("linux-image-6.12.117+deb12-cloud-amd64"));
        assert!(!is_6_12("linux-image-6.12.117+deb12-rt-amd64"));
        assert!(!is_6_12("linux-image-6.12.117+deb12-amd64-dbg"));
        assert!(!is_6_12("linux-image-6.1.0-37-amd64"));
        assert!(is_generic("linux-image-6.1.0-37-amd64", Series::V6_1));
        assert!(!is_generic("linux-image-6.1.0-37-cloud-amd64", Series::V6_1));
        assert!(!is_generic("linux-image-6.12.117+deb12-amd64", Series::V6_1));
    }
}
