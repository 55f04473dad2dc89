//! Several captures of one run, taken at several ports, as one.

use crate::capture::{Capture, CaptureError, Frame};

/// Yields the frames of several captures in the order of their time stamps, so
/// that links over different ports are seen together.
pub struct MergedCapture<'r> {
    parts: Vec<Part<'r>>,
    /// The part whose head was yielded last and must move on.
    used: Option<usize>,
    frames: u64,
}

struct Part<'r> {
    capture: Capture<'r>,
    head: Option<Head>,
}

/// The next frame of a part.
#[derive(Default)]
struct Head {
    time_ns: u64,
    original_len: usize,
    octets: Vec<u8>,
}

/// A capture of several cannot be read (further).
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct MergeError {
    /// Which one, counted from 0.
    pub part: usize,
    /// Why.
    pub error: CaptureError,
}

impl<'r> MergedCapture<'r> {
    /// The frames of `captures` together.
    ///
    /// # Errors
    /// [`MergeError`] if the first frame of one cannot be read.
    pub fn new(captures: Vec<Capture<'r>>) -> Result<Self, MergeError> {
        let parts = captures.into_iter().map(|capture| Part { capture, head: None }).collect();
        let mut merged = Self { parts, used: None, frames: 0 };
        for part in 0..merged.parts.len() {
            merged.advance(part)?;
        }
        Ok(merged)
    }

    /// The next frame of all, `None` when all have ended. Frames are numbered
    /// through; those of one capture keep their order.
    ///
    /// # Errors
    /// [`MergeError`] for the capture that cannot be read further.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, MergeError> {
        if let Some(part) = self.used.take() {
            self.advance(part)?;
        }
        let heads = self.parts.iter().enumerate();
        let earliest = heads
            .filter_map(|(part, Part { head, .. })| head.as_ref().map(|head| (head.time_ns, part)))
            .min();
        let Some((_, part)) = earliest else { return Ok(None) };
        self.used = Some(part);
        self.frames += 1;
        let number = self.frames;
        let head = self.parts.get(part).and_then(|part| part.head.as_ref());
        Ok(head.map(|head| Frame {
            number,
            time_ns: head.time_ns,
            original_len: head.original_len,
            octets: &head.octets,
        }))
    }

    fn advance(&mut self, index: usize) -> Result<(), MergeError> {
        let Some(part) = self.parts.get_mut(index) else { return Ok(()) };
        let mut head = part.head.take().unwrap_or_default();
        let next = part.capture.next_frame().map_err(|error| MergeError { part: index, error })?;
        part.head = next.map(|frame| {
            head.time_ns = frame.time_ns;
            head.original_len = frame.original_len;
            head.octets.clear();
            head.octets.extend_from_slice(frame.octets);
            head
        });
        Ok(())
    }
}
