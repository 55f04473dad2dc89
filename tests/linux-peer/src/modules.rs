//! Which kernel modules a guest needs, in an order in which each finds what it
//! needs. Debian makes `modules.dep` on installation, which we never do: the
//! modules themselves say what they depend on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use lzma_rust2::XzReader;

use crate::{Error, Result};

/// What is wanted, in this order. crc32_generic first: rxe asks for the algorithm
/// by name, which is no dependency that a module declares.
const WANTED: [&str; 15] = [
    "crc32_generic",
    "virtio_pci",
    "virtio_console",
    "failover",
    "net_failover",
    "virtio_net",
    "ib_core",
    "smc",
    "smc_diag",
    "udp_tunnel",
    "ip6_udp_tunnel",
    "ib_uverbs",
    "rdma_rxe",
    "sch_netem",
    "dummy",
];

/// A module: its name and its image, ready to be loaded.
pub(crate) struct Module {
    pub(crate) name: String,
    pub(crate) image: Vec<u8>,
}

/// All that a guest loads, dependencies before those who need them; `more` comes
/// last.
pub(crate) fn load_order(root: &Path, more: &[&str]) -> Result<Vec<Module>> {
    let mut files = BTreeMap::new();
    find(&root.join("kernel"), &mut files)?;
    let listed = fs::read_to_string(root.join("modules.builtin")).map_err(Error::io("modules.builtin"))?;
    let builtin: BTreeSet<_> = listed.lines().map(|line| module_name(Path::new(line))).collect();
    let mut order = Order { files, builtin, done: BTreeSet::new(), modules: Vec::new() };
    for name in WANTED.iter().chain(more) {
        order.take(name)?;
    }
    Ok(order.modules)
}

/// `kernel/net/smc/smc-diag.ko.xz` is `smc_diag`.
fn module_name(path: &Path) -> String {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    file.split('.').next().unwrap_or_default().replace('-', "_")
}

fn find(folder: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Error::io(folder.display().to_string()))?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            find(&path, files)?;
        } else {
            files.insert(module_name(&path), path);
        }
    }
    Ok(())
}

struct Order {
    files: BTreeMap<String, PathBuf>,
    builtin: BTreeSet<String>,
    done: BTreeSet<String>,
    modules: Vec<Module>,
}

impl Order {
    fn take(&mut self, name: &str) -> Result<()> {
        if self.builtin.contains(name) || !self.done.insert(name.to_owned()) {
            return Ok(());
        }
        let path = self.files.get(name);
        let path = path.ok_or_else(|| Error::Machine(format!("this kernel has no module {name}")))?;
        let image = read(path)?;
        for dependency in depends(&image) {
            self.take(&dependency)?;
        }
        self.modules.push(Module { name: name.to_owned(), image });
        Ok(())
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let what = || path.display().to_string();
    let file = BufReader::new(File::open(path).map_err(Error::io(what()))?);
    let mut image = Vec::new();
    let is_xz = path.extension().is_some_and(|e| e == "xz");
    let mut reader: Box<dyn Read> = if is_xz { Box::new(XzReader::new(file, false)) } else { Box::new(file) };
    reader.read_to_end(&mut image).map_err(Error::io(what()))?;
    Ok(image)
}

/// The module's own word: `depends=a,b` between NULs.
fn depends(image: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = image.windows(KEY.len()).position(|w| w == KEY) else { return Vec::new() };
    let value = &image[at + KEY.len()..];
    let end = value.iter().position(|o| *o == 0).unwrap_or(value.len());
    let text = String::from_utf8_lossy(&value[..end]);
    text.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{depends, module_name};

    #[test]
    fn a_module_says_its_name_and_what_it_needs() {
        assert_eq!(module_name(Path::new("kernel/a/smc-diag.ko.xz")), "smc_diag");
        assert_eq!(depends(b"x\0depends=ib_core,udp-tunnel\0y"), ["ib_core", "udp_tunnel"]);
        assert!(depends(b"x\0depends=\0y").is_empty());
        assert!(depends(b"no such word").is_empty());
    }
}
