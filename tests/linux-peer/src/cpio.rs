//! The archive format of an initramfs: cpio, "newc".

/// An archive in the making.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    octets: Vec<u8>,
    entries: u32,
}

/// File types of `st_mode`.
const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const CHARACTER_DEVICE: u32 = 0o020_000;

impl Archive {
    pub(crate) fn folder(&mut self, path: &str) {
        self.entry(path, FOLDER | 0o755, (0, 0), &[]);
    }

    /// A file that may be run.
    pub(crate) fn file(&mut self, path: &str, contents: &[u8]) {
        self.entry(path, FILE | 0o755, (0, 0), contents);
    }

    pub(crate) fn character_device(&mut self, path: &str, major: u32, minor: u32) {
        self.entry(path, CHARACTER_DEVICE | 0o600, (major, minor), &[]);
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.octets
    }

    /// A magic, thirteen numbers of eight hexadecimal digits, the name, the contents.
    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), contents: &[u8]) {
        self.entries += 1;
        let name_len = path.len() as u32 + 1;
        let fields =
            [self.entries, mode, 0, 0, 1, 0, contents.len() as u32, 0, 0, device.0, device.1, name_len, 0];
        self.octets.extend_from_slice(b"070701");
        for field in fields {
            self.octets.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.octets.extend_from_slice(path.as_bytes());
        self.octets.push(0);
        self.pad();
        self.octets.extend_from_slice(contents);
        self.pad();
    }

    fn pad(&mut self) {
        self.octets.resize(self.octets.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::Archive;

    #[test]
    fn an_entry_is_laid_out_as_the_kernel_wants_it() {
        let mut archive = Archive::default();
        archive.folder("dev");
        archive.file("init", b"abcde");
        archive.character_device("dev/console", 5, 1);
        let octets = archive.finish();
        assert_eq!(&octets[..14], b"07070100000001");
        assert_eq!(octets.len() % 4, 0);
        let text = String::from_utf8_lossy(&octets);
        assert_eq!(text.matches("070701").count(), 4);
        assert!(text.ends_with("TRAILER!!!\0\0\0\0") || text.contains("TRAILER!!!\0"));
        let at = text.find("init\0").expect("the name");
        // Header of 110 and name of 5 octets, filled up to 116.
        assert_eq!(&octets[at + 6..at + 11], b"abcde");
    }
}
