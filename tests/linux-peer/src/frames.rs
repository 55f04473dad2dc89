//! QEMU's framing of Ethernet on a stream socket: the length as four octets,
//! big-endian, then the frame.

use std::io::{self, Read, Write};

/// Longer ones are not Ethernet: the stream is out of step.
pub const FRAME_LEN_MAX: usize = 68 * 1024;

/// Reads one frame into `frame`; false at the end of the stream.
///
/// # Errors
///
/// What the stream says, or [`io::ErrorKind::InvalidData`] for a length that cannot be.
pub fn read(stream: &mut impl Read, frame: &mut Vec<u8>) -> io::Result<bool> {
    let mut length = [0; 4];
    match stream.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
        other => other?,
    }
    let length = u32::from_be_bytes(length) as usize;
    if length > FRAME_LEN_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} octets")));
    }
    frame.resize(length, 0);
    stream.read_exact(frame)?;
    Ok(true)
}

/// Writes one frame.
///
/// # Errors
///
/// What the stream says.
pub fn write(stream: &mut impl Write, frame: &[u8]) -> io::Result<()> {
    // One write: a reader on another core need not wake up twice.
    let mut octets = Vec::with_capacity(4 + frame.len());
    octets.extend_from_slice(&(frame.len() as u32).to_be_bytes());
    octets.extend_from_slice(frame);
    stream.write_all(&octets)
}

/// IPv4 without options, UDP to port 4791.
#[must_use]
pub fn is_roce(frame: &[u8]) -> bool {
    frame.get(12..15) == Some(&[0x08, 0x00, 0x45])
        && frame.get(23) == Some(&17)
        && frame.get(36..38) == Some(&4791_u16.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::{read, write};

    #[test]
    fn frames_come_back_in_order_and_the_end_is_seen() {
        let mut stream = Vec::new();
        for len in [60, 0, 1514] {
            write(&mut stream, &vec![len as u8; len]).expect("a Vec takes all");
        }
        let mut stream = &stream[..];
        let mut frame = Vec::new();
        for len in [60, 0, 1514] {
            assert!(read(&mut stream, &mut frame).expect("whole"));
            assert_eq!(frame, vec![len as u8; len]);
        }
        assert!(!read(&mut stream, &mut frame).expect("the end"));
    }

    #[test]
    fn a_cut_frame_and_a_mad_length_are_errors() {
        let mut frame = Vec::new();
        assert!(read(&mut &[0, 0, 0, 9, 1, 2][..], &mut frame).is_err());
        assert!(read(&mut &[0xff; 8][..], &mut frame).is_err());
    }
}
