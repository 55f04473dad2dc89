//! QEMU's framing of Ethernet on a byte stream: each frame after its length, 4
//! octets big-endian (QEMU `-netdev stream`, `-netdev socket`). The buffers have
//! their size from the start; reading and writing is left to the caller.

use std::io;
use std::ops::Range;

use crate::{DownReason, MAX_FRAME_LEN};

/// Octets of the length before each frame.
pub(crate) const PREFIX_LEN: usize = 4;

/// Octets of a frame at most, with its length.
const RECORD_LEN: usize = PREFIX_LEN + MAX_FRAME_LEN;

/// Octets read at once.
const INCOMING_LEN: usize = 128 << 10;

/// Octets that wait for the socket. Beyond this the sender waits.
const OUTGOING_LEN: usize = 64 << 10;

/// What came out of the stream and is not taken yet.
#[derive(Debug)]
pub(crate) struct Incoming {
    octets: Box<[u8]>,
    /// What is read and not taken.
    filled: Range<usize>,
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// Octets.
    Some,
    /// Nothing for now.
    Nothing,
    /// The end of the stream.
    End,
}

impl Incoming {
    pub(crate) fn new() -> Self {
        Self { octets: vec![0; INCOMING_LEN].into(), filled: 0..0 }
    }

    /// Where the next whole frame lies, which is taken with that. Empty frames
    /// are passed over.
    pub(crate) fn take(&mut self) -> Result<Option<Range<usize>>, DownReason> {
        loop {
            let waiting = self.octets.get(self.filled.clone()).unwrap_or_default();
            let Some((prefix, rest)) = waiting.split_first_chunk::<PREFIX_LEN>() else { return Ok(None) };
            let announced = u32::from_be_bytes(*prefix);
            let len = announced as usize;
            if len > MAX_FRAME_LEN {
                return Err(DownReason::FrameTooLong { announced });
            }
            if rest.len() < len {
                return Ok(None);
            }
            let start = self.filled.start + PREFIX_LEN;
            self.filled.start = start + len;
            if len > 0 {
                return Ok(Some(start..start + len));
            }
        }
    }

    /// The octets of a frame from [`Incoming::take`], until the next read.
    pub(crate) fn frame(&self, at: Range<usize>) -> &[u8] {
        self.octets.get(at).unwrap_or_default()
    }

    /// Reads once. To be called when there is no whole frame: then there is room
    /// for one.
    pub(crate) fn read(
        &mut self,
        read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> Result<Read, io::Error> {
        if self.filled.is_empty() {
            self.filled = 0..0;
        } else if self.octets.len() - self.filled.end < RECORD_LEN {
            self.octets.copy_within(self.filled.clone(), 0);
            self.filled = 0..self.filled.len();
        }
        let room = self.octets.get_mut(self.filled.end..).unwrap_or_default();
        match read(room) {
            Ok(0) => Ok(Read::End),
            Ok(len) => {
                self.filled.end += len.min(room.len());
                Ok(Read::Some)
            }
            Err(error) if is_for_later(&error) => Ok(Read::Nothing),
            Err(error) => Err(error),
        }
    }
}

/// What the stream has not taken yet.
#[derive(Debug)]
pub(crate) struct Outgoing {
    octets: Box<[u8]>,
    filled: Range<usize>,
}

impl Outgoing {
    pub(crate) fn new() -> Self {
        Self { octets: vec![0; OUTGOING_LEN].into(), filled: 0..0 }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.filled.start == self.filled.end
    }

    /// Whether `frames` frames of `len` octets would find room.
    pub(crate) const fn has_room(&self, frames: usize, len: usize) -> bool {
        self.octets.len() - (self.filled.end - self.filled.start) >= frames * (PREFIX_LEN + len)
    }

    /// Makes a frame of `len` octets, which must have room, with `make`.
    pub(crate) fn put<R>(&mut self, len: usize, make: impl FnOnce(&mut [u8]) -> R) -> R {
        if self.octets.len() - self.filled.end < PREFIX_LEN + len {
            self.octets.copy_within(self.filled.clone(), 0);
            self.filled = 0..self.filled.len();
        }
        let at = self.filled.end;
        let room = self.octets.get_mut(at..at + PREFIX_LEN + len).unwrap_or_default();
        let Some((prefix, frame)) = room.split_first_chunk_mut::<PREFIX_LEN>() else { return make(room) };
        *prefix = (len as u32).to_be_bytes();
        // What the last frame here left must not shine through.
        frame.fill(0);
        self.filled.end = at + PREFIX_LEN + len;
        make(frame)
    }

    /// Writes until all is gone or the stream takes no more.
    pub(crate) fn write(&mut self, mut write: impl FnMut(&[u8]) -> io::Result<usize>) -> io::Result<()> {
        while !self.is_empty() {
            match write(self.octets.get(self.filled.clone()).unwrap_or_default()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => self.filled.start += len.min(self.filled.len()),
                Err(error) if is_for_later(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.filled = 0..0;
        Ok(())
    }
}

/// Try again later: nothing is wrong.
pub(crate) fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
#[path = "framing_tests.rs"]
mod tests;
