use smolsmc_decode::Capture;
use smoltcp::phy::{self, DeviceCapabilities, PacketMeta, RxToken as _, TxToken as _};

use super::*;
use crate::{Wire, pair};

fn at(micros: i64) -> Instant {
    Instant::from_micros(micros)
}

fn send<D: Device>(device: &mut D, time: i64, frame: &[u8]) {
    let token = device.transmit(at(time)).expect("room");
    token.consume(frame.len(), |room| room.copy_from_slice(frame));
}

fn receive<D: Device>(device: &mut D, time: i64) -> Vec<u8> {
    let (frame, _) = device.receive(at(time)).expect("a frame");
    frame.consume(<[u8]>::to_vec)
}

/// Time in nanoseconds and octets of every frame in a capture.
fn read_back(file: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut capture = Capture::new(file).expect("a capture");
    let mut frames = Vec::new();
    while let Some(frame) = capture.next_frame().expect("whole") {
        assert_eq!(frame.original_len, frame.octets.len());
        frames.push((frame.time_ns, frame.octets.to_vec()));
    }
    frames
}

#[test]
fn every_frame_in_and_out_is_read_back_with_its_time() {
    let (left, mut right) = pair(9000);
    let mut left = Pcap::new(left, Vec::new(), 1_700_000_000_000_000);
    let long: Vec<u8> = (0..9018).map(|i| i as u8).collect();
    send(&mut left, 5, &[1; 60]);
    assert_eq!(receive(&mut right, 0), [1; 60], "frames pass unchanged");
    send(&mut right, 0, &long);
    assert_eq!(receive(&mut left, 1_000_007), long);
    assert_eq!(left.frames(), 2);
    assert!(left.error().is_none());
    let (_, file) = left.into_parts();
    let expected = [(1_700_000_000_000_005_000, vec![1; 60]), (1_700_000_001_000_007_000, long)];
    assert_eq!(read_back(&file.expect("a file")), expected);
}

#[test]
fn answer_is_written_after_what_it_answers() {
    let (left, mut right) = pair(1500);
    let mut left = Pcap::new(left, Vec::new(), 0);
    send(&mut right, 0, &[1; 60]);
    let (frame, answer) = left.receive(at(3)).expect("a frame");
    frame.consume(|_| answer.consume(61, |room| room.fill(2)));
    let (_, file) = left.into_parts();
    assert_eq!(read_back(&file.expect("a file")), [(3000, vec![1; 60]), (3000, vec![2; 61])]);
}

#[test]
fn without_a_file_frames_pass() {
    let (left, mut right) = pair(1500);
    let mut left: Pcap<Wire, Vec<u8>> = Pcap::without(left);
    send(&mut left, 0, &[1; 60]);
    assert_eq!(receive(&mut right, 0), [1; 60]);
    assert_eq!((left.frames(), left.into_parts().1), (0, None));
}

/// A disk with room for so many octets.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(octets.len()).ok_or(io::ErrorKind::StorageFull)?;
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn full_disk_is_told_and_frames_go_on() {
    let (left, mut right) = pair(1500);
    let mut left = Pcap::new(left, Full(24 + 16 + 60), 0);
    for _ in 0..3 {
        send(&mut left, 0, &[1; 60]);
        assert_eq!(receive(&mut right, 0), [1; 60]);
    }
    left.flush();
    assert_eq!(left.frames(), 1);
    assert_eq!(left.error().expect("full").kind(), io::ErrorKind::StorageFull);
}

/// A device that keeps the meta data of what it sends, and sets it on what it
/// receives.
#[derive(Default)]
struct Marked(PacketMeta);

struct Token<'a>(&'a mut PacketMeta);

impl Device for Marked {
    type RxToken<'a> = Mark;
    type TxToken<'a> = Token<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Mark, Token<'_>)> {
        Some((Mark(self.0), Token(&mut self.0)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Token<'_>> {
        Some(Token(&mut self.0))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        DeviceCapabilities::default()
    }
}

struct Mark(PacketMeta);

impl phy::RxToken for Mark {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&[0; 60])
    }

    fn meta(&self) -> PacketMeta {
        self.0
    }
}

impl phy::TxToken for Token<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        f(&mut vec![0; len])
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        *self.0 = meta;
    }
}

#[test]
fn meta_data_passes_both_ways() {
    let mut meta = PacketMeta::default();
    meta.id = 15;
    let mut device = Pcap::new(Marked::default(), Vec::new(), 0);
    let mut token = device.transmit(at(0)).expect("a token");
    token.set_meta(meta);
    token.consume(60, |_| ());
    assert_eq!(device.device().0, meta, "out");
    let (frame, _) = device.receive(at(0)).expect("a frame");
    assert_eq!(frame.meta(), meta, "in");
}
