//! One end of something that carries octets.

use crate::fault::Fault;

/// Octets of a frame's header: how long its body is, and its number, both of
/// four octets, little-endian.
pub const HEADER_LEN: usize = 8;

/// One end: returns when what was asked for is done.
pub trait End: Send {
    /// Hands over all of `octets`.
    ///
    /// # Errors
    /// [`Fault`], as for everything here.
    fn send(&mut self, octets: &[u8]) -> Result<(), Fault>;

    /// Takes as many as fit.
    ///
    /// # Errors
    /// [`Fault`].
    fn receive(&mut self, octets: &mut [u8]) -> Result<(), Fault>;

    /// Takes one frame that was sent in one piece: a header, and as many octets
    /// as it says. How long it is, header included.
    ///
    /// # Errors
    /// [`Fault`]; also of a frame that does not fit.
    fn receive_frame(&mut self, frame: &mut [u8]) -> Result<usize, Fault> {
        self.receive(&mut frame[..HEADER_LEN])?;
        let len = frame_len(frame)?;
        self.receive(&mut frame[HEADER_LEN..len])?;
        Ok(len)
    }

    /// Hands over `octets` so many times; may return before all are there.
    ///
    /// # Errors
    /// [`Fault`].
    fn send_many(&mut self, octets: &[u8], times: u32) -> Result<(), Fault> {
        (0..times).try_for_each(|_| self.send(octets))
    }

    /// Takes `times` pieces as long as `octets`, one at a time.
    ///
    /// # Errors
    /// [`Fault`].
    fn receive_many(&mut self, octets: &mut [u8], times: u32) -> Result<(), Fault> {
        (0..times).try_for_each(|_| self.receive(octets))
    }

    /// After [`End::send_many`]: does what is left to do until the other end has
    /// everything, which `done` tells.
    ///
    /// # Errors
    /// [`Fault`].
    fn finish(&mut self, _done: &mut dyn FnMut() -> bool) -> Result<(), Fault> {
        Ok(())
    }
}

/// How long the frame is whose header stands at the start of `frame`.
pub(crate) fn frame_len(frame: &[u8]) -> Result<usize, Fault> {
    let len = match frame {
        [a, b, c, d, ..] => u32::from_le_bytes([*a, *b, *c, *d]) as usize + HEADER_LEN,
        _ => usize::MAX,
    };
    if len > frame.len() {
        return Err(Fault::Wire { what: "a frame", why: format!("{len} octets do not fit") });
    }
    Ok(len)
}

/// Writes the header of a frame that fills `frame`.
pub(crate) fn put_header(frame: &mut [u8], number: u32) {
    let len = (frame.len() - HEADER_LEN) as u32;
    frame[..4].copy_from_slice(&len.to_le_bytes());
    frame[4..HEADER_LEN].copy_from_slice(&number.to_le_bytes());
}

/// The number in a frame's header.
pub(crate) fn number(frame: &[u8]) -> u32 {
    match frame {
        [_, _, _, _, a, b, c, d, ..] => u32::from_le_bytes([*a, *b, *c, *d]),
        _ => 0,
    }
}
