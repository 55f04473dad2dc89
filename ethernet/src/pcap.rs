use std::io::{self, Write};

use smoltcp::phy::Device;
use smoltcp::time::Instant;

use crate::{Watch, Watched};

/// Octets of a frame that are written at most; the usual limit of capture tools.
const SNAP_LEN: u32 = 262_144;

/// Ethernet, in the numbering of capture files.
const LINKTYPE_ETHERNET: u32 = 1;

/// Microseconds, and our order of octets.
const MAGIC: u32 = 0xa1b2_c3d4;

/// A device whose frames, in and out, are written to a capture: classic pcap with
/// microseconds. Frames pass unchanged.
///
/// A frame's time is what [`Device::receive`] or [`Device::transmit`] was told,
/// counted from `epoch`. Give it something buffered, and [`Pcap::flush`] it when
/// there is time. When writing fails, the frames go on and nothing more is written:
/// ask [`Pcap::error`].
pub type Pcap<D, W> = Watched<D, PcapFile<W>>;

/// Writes frames to a capture: what [`Pcap`] does with them.
#[derive(Debug)]
pub struct PcapFile<W> {
    /// Nobody wants a capture if there is none.
    out: Option<W>,
    error: Option<io::Error>,
    epoch_micros: u64,
    frames: u64,
}

impl<D: Device, W: Write> Watched<D, PcapFile<W>> {
    /// Writes the file's header to `out`, and then every frame of `device`.
    ///
    /// `epoch_micros` is what time zero of the device's clock is on the wall's, in
    /// microseconds since 1970; 0 if that does not matter.
    pub fn new(device: D, out: W, epoch_micros: u64) -> Self {
        Self::over(device, PcapFile::new(out, epoch_micros))
    }

    /// Passes frames on and writes nothing: for callers that decide at run time.
    pub fn without(device: D) -> Self {
        Self::over(device, PcapFile::none())
    }

    /// Frames that were written.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.watch().borrow().frames
    }

    /// Hands what is buffered to the operating system.
    pub fn flush(&mut self) {
        self.watch_mut().flush();
    }

    /// What went wrong with the file, if anything has; since then nothing was
    /// written.
    #[must_use]
    pub fn error(&mut self) -> Option<&io::Error> {
        self.watch_mut().error()
    }

    /// The device and the file.
    pub fn into_parts(self) -> (D, Option<W>) {
        let (device, file) = self.into_device_and_watch();
        (device, file.out)
    }
}

impl<W: Write> Watch for PcapFile<W> {
    fn received(&mut self, time: Instant, frame: &[u8]) {
        self.frame(time, frame);
    }

    fn sending(&mut self, time: Instant, frame: &mut [u8]) {
        self.frame(time, frame);
    }
}

impl<W: Write> PcapFile<W> {
    /// Writes the file's header to `out`; `epoch_micros` as in [`Pcap::new`].
    pub fn new(out: W, epoch_micros: u64) -> Self {
        let mut file = Self { out: Some(out), error: None, epoch_micros, frames: 0 };
        file.header();
        file
    }

    /// Writes nothing.
    #[must_use]
    pub const fn none() -> Self {
        Self { out: None, error: None, epoch_micros: 0, frames: 0 }
    }

    /// Hands what is buffered to the operating system.
    pub fn flush(&mut self) {
        self.attempt(Write::flush);
    }

    /// What went wrong with the file, if anything has.
    #[must_use]
    pub const fn error(&self) -> Option<&io::Error> {
        self.error.as_ref()
    }

    fn attempt(&mut self, write: impl FnOnce(&mut W) -> io::Result<()>) {
        let (Some(out), None) = (&mut self.out, &self.error) else { return };
        if let Err(error) = write(out) {
            self.error = Some(error);
        }
    }

    fn header(&mut self) {
        let mut header = [0; 24];
        let (version_major, version_minor) = (2_u16, 4_u16);
        header[..4].copy_from_slice(&MAGIC.to_le_bytes());
        header[4..6].copy_from_slice(&version_major.to_le_bytes());
        header[6..8].copy_from_slice(&version_minor.to_le_bytes());
        header[16..20].copy_from_slice(&SNAP_LEN.to_le_bytes());
        header[20..].copy_from_slice(&LINKTYPE_ETHERNET.to_le_bytes());
        self.attempt(|out| out.write_all(&header));
    }

    fn frame(&mut self, time: Instant, frame: &[u8]) {
        if self.out.is_none() || self.error.is_some() {
            return;
        }
        let since_epoch = u64::try_from(time.total_micros()).unwrap_or(0).saturating_add(self.epoch_micros);
        let original_len = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        let captured_len = original_len.min(SNAP_LEN);
        let mut header = [0; 16];
        header[..4].copy_from_slice(&((since_epoch / 1_000_000) as u32).to_le_bytes());
        header[4..8].copy_from_slice(&((since_epoch % 1_000_000) as u32).to_le_bytes());
        header[8..12].copy_from_slice(&captured_len.to_le_bytes());
        header[12..].copy_from_slice(&original_len.to_le_bytes());
        let captured = frame.get(..captured_len as usize).unwrap_or(frame);
        self.attempt(|out| out.write_all(&header).and_then(|()| out.write_all(captured)));
        self.frames += u64::from(self.error.is_none());
    }
}

#[cfg(test)]
#[path = "pcap_tests.rs"]
mod tests;
