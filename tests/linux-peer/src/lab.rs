//! All that guests need on this machine, made once and kept.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::guest::Booting;
use crate::kernel::Series;
use crate::programs::Extra;
use crate::{Error, Guest, GuestConfig, Kernel, Result, initramfs, machine, programs};

/// Where the kernel is kept, if not under `target`.
const CACHE_VARIABLE: &str = "SMOLSMC_LINUX_PEER_DIR";

/// How the names of the folders for sockets begin.
const SOCKETS: &str = "smolsmc-lab-";

/// A kernel, an initramfs and a folder: ready to boot guests.
pub struct Lab {
    cache: PathBuf,
    kernel: Kernel,
    initramfs: PathBuf,
    /// A short path: a Unix socket's has 107 octets at most.
    sockets: PathBuf,
}

impl Lab {
    /// Finds or fetches QEMU and a kernel and builds the initramfs. The cache is
    /// the folder in `SMOLSMC_LINUX_PEER_DIR`, or `target/linux-peer`.
    ///
    /// # Errors
    ///
    /// One sentence about what this machine lacks.
    pub fn prepare(series: Series, fresh_kernel: bool) -> Result<Self> {
        Self::prepare_with(series, fresh_kernel, Extra::Nothing)
    }

    /// As [`prepare`](Self::prepare); guests also have programs of ours over
    /// libibverbs.
    ///
    /// # Errors
    ///
    /// One sentence about what this machine lacks.
    pub(crate) fn prepare_with(series: Series, fresh_kernel: bool, extra: Extra) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/linux-peer");
        let cache = env::var_os(CACHE_VARIABLE).map_or_else(|| PathBuf::from(default), PathBuf::from);
        make_folder(&cache)?;
        let cache = cache.canonicalize().map_err(Error::io(cache.display().to_string()))?;
        machine::ensure_qemu()?;
        let kernel = Kernel::find(&cache, series, fresh_kernel)?;
        let programs = programs::build(&cache, extra)?;
        let initramfs = initramfs::build(&cache, &kernel, &programs, extra)?;
        sweep(&env::temp_dir());
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let sockets = env::temp_dir().join(format!("{SOCKETS}{}-{number}", std::process::id()));
        make_folder(&sockets)?;
        Ok(Self { cache, kernel, initramfs, sockets })
    }

    /// The kernel that guests run.
    #[must_use]
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// The cache; logs and failures are there too.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.cache
    }

    /// Boots guests, all at once, and waits until each agent has spoken.
    ///
    /// # Errors
    ///
    /// If one does not boot: none is left running then.
    pub fn boot(&self, configs: &[GuestConfig]) -> Result<Vec<Guest>> {
        let logs = self.cache.join("logs");
        make_folder(&logs)?;
        let start = |config| Booting::start(&self.kernel, &self.initramfs, config, &self.sockets, &logs);
        let booting: Vec<_> = configs.iter().map(start).collect::<Result<_>>()?;
        booting.into_iter().map(Booting::finish).collect()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.sockets);
    }
}

/// Removes socket folders whose process was killed before it could.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((process, _)) = name.strip_prefix(SOCKETS).and_then(|rest| rest.split_once('-')) else {
            continue;
        };
        let is_number = process.bytes().all(|octet| octet.is_ascii_digit());
        if is_number && !Path::new("/proc").join(process).exists() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

pub(crate) fn make_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(Error::io(path.display().to_string()))
}
