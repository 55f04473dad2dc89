//! Frames out of a capture file: classic pcap (both orders, micro- and
//! nanoseconds) and pcapng.

use std::io::{self, Read};

use pcap_parser::traits::{PcapNGPacketBlock, PcapReaderIterator};
use pcap_parser::{Block, IDB_MAGIC, Linktype, PcapBlockOwned, PcapError};

/// Octets of file that are buffered at first.
const BUFFER_LEN: usize = 1 << 16;

/// The largest record or block that is accepted; a longer one is taken for a
/// damaged file rather than read into memory.
pub const MAX_BLOCK_LEN: usize = 16 << 20;

/// Interfaces one pcapng section may describe.
pub const MAX_INTERFACES: usize = 4096;

/// Why a capture cannot be read (further): one sentence each.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// Nothing is in the file.
    #[error("the capture is empty: not even a file header is there")]
    Empty,
    /// The first octets are those of neither format.
    #[error("this is not a capture: neither a pcap nor a pcapng header was found")]
    Foreign,
    /// The file stops in the middle of its header or of a record.
    #[error("the capture is truncated: it ends inside the record after frame {after_frame}")]
    Truncated {
        /// Frames that were read whole.
        after_frame: u64,
    },
    /// A record or block makes no sense.
    #[error("the capture is damaged: the record after frame {after_frame} cannot be read")]
    Damaged {
        /// Frames that were read whole.
        after_frame: u64,
    },
    /// Frames are not Ethernet.
    #[error("the capture holds frames of link type {0}, and only Ethernet (1) is understood")]
    LinkType(i32),
    /// The operating system could not read the file.
    #[error("the capture cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// One captured frame.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Counts from 1, as other tools count.
    pub number: u64,
    /// When it was captured, in nanoseconds since the epoch of the file.
    pub time_ns: u64,
    /// Length on the wire in octets.
    pub original_len: usize,
    /// What was captured of it; shorter than `original_len` if it was cut.
    pub octets: &'a [u8],
}

/// Fills whole buffers, so that a pipe's short reads do not look like the end.
struct WholeReads<R>(R);

impl<R: Read> Read for WholeReads<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.0.read(rest) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(filled)
    }
}

/// How timestamps of one pcapng interface are counted.
#[derive(Clone, Copy, Debug)]
struct Interface {
    linktype: Linktype,
    units_per_second: u64,
    offset_s: i64,
    snap_len: u32,
}

/// Reads frames one after the other; memory stays below [`MAX_BLOCK_LEN`]
/// whatever the file says.
pub struct Capture<'r> {
    blocks: Box<dyn PcapReaderIterator + Send + 'r>,
    interfaces: Vec<Interface>,
    /// The file is pcapng; known from its first block on.
    has_sections: bool,
    buffered: usize,
    frames: u64,
    octets: Vec<u8>,
}

impl<'r> Capture<'r> {
    /// Opens the capture that `reader` yields.
    ///
    /// # Errors
    /// [`CaptureError::Empty`], [`CaptureError::Foreign`] or
    /// [`CaptureError::Truncated`] if it does not begin as a capture does.
    pub fn new(reader: impl Read + Send + 'r) -> Result<Self, CaptureError> {
        let blocks = pcap_parser::create_reader(BUFFER_LEN, WholeReads(reader)).map_err(|e| match e {
            PcapError::Eof => CaptureError::Empty,
            PcapError::Incomplete(_) => CaptureError::Truncated { after_frame: 0 },
            PcapError::ReadError => CaptureError::Io(io::Error::other("read failed")),
            _ => CaptureError::Foreign,
        })?;
        Ok(Self {
            blocks,
            interfaces: Vec::new(),
            has_sections: false,
            buffered: BUFFER_LEN,
            frames: 0,
            octets: Vec::new(),
        })
    }

    /// The next frame, `None` at the end of the file.
    ///
    /// # Errors
    /// [`CaptureError`] if the file ends early or makes no sense; the frames
    /// before it were right.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, CaptureError> {
        loop {
            let after_frame = self.frames;
            if self.has_sections && is_undersized_process_block(self.blocks.data()) {
                return Err(CaptureError::Damaged { after_frame });
            }
            match self.blocks.next() {
                Ok((len, block)) => {
                    self.has_sections |= matches!(block, PcapBlockOwned::NG(_));
                    let found = take_frame(block, &mut self.interfaces, &mut self.octets, after_frame);
                    self.blocks.consume(len);
                    let Some((time_ns, original_len)) = found? else { continue };
                    self.frames += 1;
                    let octets = &self.octets;
                    return Ok(Some(Frame { number: self.frames, time_ns, original_len, octets }));
                }
                Err(PcapError::Eof) => return Ok(None),
                Err(PcapError::Incomplete(_)) => self.refill()?,
                Err(PcapError::BufferTooSmall) => self.grow()?,
                Err(PcapError::UnexpectedEof) => return Err(CaptureError::Truncated { after_frame }),
                Err(PcapError::ReadError) => return Err(io::Error::other("read failed").into()),
                Err(_) => return Err(CaptureError::Damaged { after_frame }),
            }
        }
    }

    fn refill(&mut self) -> Result<(), CaptureError> {
        let after_frame = self.frames;
        self.blocks.refill().map_err(|_| CaptureError::Damaged { after_frame })
    }

    /// A record is longer than the buffer: doubles it, up to the limit.
    fn grow(&mut self) -> Result<(), CaptureError> {
        self.buffered *= 2;
        if self.buffered > MAX_BLOCK_LEN || !self.blocks.grow(self.buffered) {
            return Err(CaptureError::Damaged { after_frame: self.frames });
        }
        self.refill()
    }
}

/// Whether a pcapng block is a process information block that says it is shorter
/// than what frames its body: 12 octets, which pcap-parser 0.17.0 subtracts from
/// the length of this kind of block without asking. The type's octets tell the
/// order of the section.
fn is_undersized_process_block(block: &[u8]) -> bool {
    const FRAMING_LEN: u32 = 12;
    let len = match block.first_chunk() {
        Some(&[0x01, 0, 0, 0x80, a, b, c, d]) => u32::from_le_bytes([a, b, c, d]),
        Some(&[0x80, 0, 0, 0x01, a, b, c, d]) => u32::from_be_bytes([a, b, c, d]),
        _ => return false,
    };
    len < FRAMING_LEN
}

/// Time and original length of the frame in `block`, whose octets are copied to
/// `octets`; `None` if the block holds no frame.
fn take_frame(
    block: PcapBlockOwned<'_>,
    interfaces: &mut Vec<Interface>,
    octets: &mut Vec<u8>,
    after_frame: u64,
) -> Result<Option<(u64, usize)>, CaptureError> {
    let damaged = CaptureError::Damaged { after_frame };
    let mut keep = |captured: &[u8]| {
        octets.clear();
        octets.extend_from_slice(captured);
    };
    match block {
        PcapBlockOwned::LegacyHeader(header) => {
            let units_per_second = if header.is_nanosecond_precision() { 1_000_000_000 } else { 1_000_000 };
            let linktype = Linktype(header.network.0 & 0xffff); // the high half holds FCS flags
            interfaces.push(Interface { linktype, units_per_second, offset_s: 0, snap_len: header.snaplen });
            Ok(None)
        }
        PcapBlockOwned::Legacy(record) => {
            let interface = ethernet(interfaces, 0, damaged)?;
            keep(record.data);
            let ticks = u64::from(record.ts_sec) * interface.units_per_second + u64::from(record.ts_usec);
            Ok(Some((interface.nanoseconds(ticks), (record.origlen as usize).max(record.data.len()))))
        }
        PcapBlockOwned::NG(Block::SectionHeader(_)) => {
            interfaces.clear();
            Ok(None)
        }
        PcapBlockOwned::NG(Block::InterfaceDescription(described)) => {
            if interfaces.len() >= MAX_INTERFACES {
                return Err(damaged);
            }
            interfaces.push(Interface {
                linktype: described.linktype,
                units_per_second: units_per_second(described.if_tsresol).unwrap_or(1_000_000),
                // pcap-parser 0.17.0 reads the offset as little-endian in either order.
                offset_s: match described.block_type != IDB_MAGIC {
                    true => described.if_tsoffset.swap_bytes(),
                    false => described.if_tsoffset,
                },
                snap_len: described.snaplen,
            });
            Ok(None)
        }
        PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
            let interface = ethernet(interfaces, packet.if_id as usize, damaged)?;
            keep(packet.packet_data());
            let ticks = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
            let original_len = (packet.orig_len() as usize).max(packet.packet_data().len());
            Ok(Some((interface.nanoseconds(ticks), original_len)))
        }
        PcapBlockOwned::NG(Block::SimplePacket(packet)) => {
            let interface = ethernet(interfaces, 0, damaged)?;
            // A simple packet block has no captured length: it is the lesser of
            // the original and the snap length, the rest is padding.
            let snap_len = if interface.snap_len == 0 { usize::MAX } else { interface.snap_len as usize };
            let captured = (packet.origlen as usize).min(snap_len).min(packet.data.len());
            keep(packet.data.get(..captured).unwrap_or_default());
            Ok(Some((0, packet.origlen as usize)))
        }
        PcapBlockOwned::NG(_) => Ok(None),
    }
}

/// What the option if_tsresol says: a power of 10, or with the highest bit set of
/// 2, which pcap-parser 0.17.0 does not understand. `None` above 64 bits.
fn units_per_second(resolution: u8) -> Option<u64> {
    match resolution {
        0..0x80 => 10_u64.checked_pow(resolution.into()),
        _ => 1_u64.checked_shl(u32::from(resolution) - 0x80),
    }
}

fn ethernet(
    interfaces: &[Interface],
    index: usize,
    damaged: CaptureError,
) -> Result<Interface, CaptureError> {
    let interface = interfaces.get(index).copied().ok_or(damaged)?;
    match interface.linktype {
        Linktype::ETHERNET => Ok(interface),
        Linktype(other) => Err(CaptureError::LinkType(other)),
    }
}

impl Interface {
    fn nanoseconds(&self, ticks: u64) -> u64 {
        let since_offset = u128::from(ticks) * 1_000_000_000 / u128::from(self.units_per_second);
        let since_offset = i128::try_from(since_offset).unwrap_or(i128::MAX);
        let time = since_offset.saturating_add(i128::from(self.offset_s) * 1_000_000_000);
        u64::try_from(time.max(0)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
#[path = "capture_tests.rs"]
mod tests;
