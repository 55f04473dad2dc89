use std::cell::RefCell;
use std::io::{self, Write};

use smoltcp::phy::{self, Device, DeviceCapabilities, PacketMeta};
use smoltcp::time::Instant;

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
#[derive(Debug)]
pub struct Pcap<D, W> {
    device: D,
    recorder: RefCell<Recorder<W>>,
}

#[derive(Debug)]
struct Recorder<W> {
    /// Nobody wants a capture if there is none.
    out: Option<W>,
    error: Option<io::Error>,
    epoch_micros: u64,
    frames: u64,
}

impl<D: Device, W: Write> Pcap<D, W> {
    /// Writes the file's header to `out`, and then every frame of `device`.
    ///
    /// `epoch_micros` is what time zero of the device's clock is on the wall's, in
    /// microseconds since 1970; 0 if that does not matter.
    pub fn new(device: D, out: W, epoch_micros: u64) -> Self {
        let mut recorder = Recorder { out: Some(out), error: None, epoch_micros, frames: 0 };
        recorder.header();
        Self { device, recorder: RefCell::new(recorder) }
    }

    /// Passes frames on and writes nothing: for callers that decide at run time.
    pub fn without(device: D) -> Self {
        let recorder = Recorder { out: None, error: None, epoch_micros: 0, frames: 0 };
        Self { device, recorder: RefCell::new(recorder) }
    }

    /// The device.
    pub const fn device(&self) -> &D {
        &self.device
    }

    /// The device; frames taken from it directly are not written.
    pub const fn device_mut(&mut self) -> &mut D {
        &mut self.device
    }

    /// Frames that were written.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.recorder.borrow().frames
    }

    /// Hands what is buffered to the operating system.
    pub fn flush(&mut self) {
        let recorder = self.recorder.get_mut();
        recorder.attempt(Write::flush);
    }

    /// What went wrong with the file, if anything has; since then nothing was
    /// written.
    #[must_use]
    pub fn error(&mut self) -> Option<&io::Error> {
        self.recorder.get_mut().error.as_ref()
    }

    /// The device and the file.
    pub fn into_parts(self) -> (D, Option<W>) {
        (self.device, self.recorder.into_inner().out)
    }
}

impl<W: Write> Recorder<W> {
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

impl<D: Device, W: Write> Device for Pcap<D, W> {
    type RxToken<'a>
        = PcapRxToken<'a, D::RxToken<'a>, W>
    where
        Self: 'a;
    type TxToken<'a>
        = PcapTxToken<'a, D::TxToken<'a>, W>
    where
        Self: 'a;

    fn receive(&mut self, timestamp: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        let recorder = &self.recorder;
        let (rx, tx) = self.device.receive(timestamp)?;
        let rx = PcapRxToken { token: rx, recorder, timestamp };
        Some((rx, PcapTxToken { token: tx, recorder, timestamp }))
    }

    fn transmit(&mut self, timestamp: Instant) -> Option<Self::TxToken<'_>> {
        let token = self.device.transmit(timestamp)?;
        Some(PcapTxToken { token, recorder: &self.recorder, timestamp })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.device.capabilities()
    }
}

/// A received frame that is written when it is looked at.
#[derive(Debug)]
pub struct PcapRxToken<'a, T, W> {
    token: T,
    recorder: &'a RefCell<Recorder<W>>,
    timestamp: Instant,
}

impl<T: phy::RxToken, W: Write> phy::RxToken for PcapRxToken<'_, T, W> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        self.token.consume(|frame| {
            self.recorder.borrow_mut().frame(self.timestamp, frame);
            f(frame)
        })
    }

    fn meta(&self) -> PacketMeta {
        self.token.meta()
    }
}

/// Leave to send a frame, which is written once it is made.
#[derive(Debug)]
pub struct PcapTxToken<'a, T, W> {
    token: T,
    recorder: &'a RefCell<Recorder<W>>,
    timestamp: Instant,
}

impl<T: phy::TxToken, W: Write> phy::TxToken for PcapTxToken<'_, T, W> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        self.token.consume(len, |frame| {
            let made = f(frame);
            self.recorder.borrow_mut().frame(self.timestamp, frame);
            made
        })
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.token.set_meta(meta);
    }
}

#[cfg(test)]
#[path = "pcap_tests.rs"]
mod tests;
