//! Netlink messages, written and read by hand: a header, a fixed part and
//! attributes. All fields are in host order unless a caller writes otherwise.

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketType};

/// Asks for something.
pub(crate) const REQUEST: u16 = 0x001;
/// Asks for an acknowledgement.
pub(crate) const ACK: u16 = 0x004;
/// Asks for everything there is.
pub(crate) const DUMP: u16 = 0x300;
/// Makes an object; with [`REPLACE`], or puts it in another's place.
pub(crate) const CREATE: u16 = 0x400;
/// Takes another object's place.
pub(crate) const REPLACE: u16 = 0x100;

const HEADER_LEN: usize = 16;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const MULTI: u16 = 2;
/// The two top bits of an attribute's type are flags (nested, network order).
const TYPE_MASK: u16 = 0x3fff;
const NESTED: u16 = 0x8000;

/// What follows the header of a request.
#[derive(Debug, Default)]
pub(crate) struct Body(Vec<u8>);

impl Body {
    /// Begins with a fixed part.
    pub(crate) fn new(fixed: &[u8]) -> Self {
        let mut body = Self(fixed.to_vec());
        body.pad();
        body
    }

    fn pad(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    /// Appends an attribute.
    pub(crate) fn attribute(mut self, kind: u16, payload: &[u8]) -> Self {
        let len = (payload.len() + 4) as u16;
        self.0.extend_from_slice(&len.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(payload);
        self.pad();
        self
    }

    /// Appends a NUL-terminated string.
    pub(crate) fn string(self, kind: u16, text: &str) -> Self {
        let mut payload = text.as_bytes().to_vec();
        payload.push(0);
        self.attribute(kind, &payload)
    }

    /// Appends a nest of attributes.
    pub(crate) fn nest(self, kind: u16, inner: &Body) -> Self {
        self.attribute(kind | NESTED, &inner.0)
    }
}

/// One answer: its type and what follows the header.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) kind: u16,
    pub(crate) body: Vec<u8>,
}

/// A netlink socket, for one question at a time.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: OwnedFd,
    seq: u32,
}

impl Netlink {
    /// Opens a socket of one netlink family (`rustix::net::netlink`).
    pub(crate) fn open(protocol: Option<Protocol>) -> io::Result<Self> {
        let socket = rustix::net::socket(AddressFamily::NETLINK, SocketType::RAW, protocol)?;
        Ok(Self { socket, seq: 0 })
    }

    /// Asks, and collects the answers up to the acknowledgement or the end of the dump.
    pub(crate) fn ask(&mut self, kind: u16, flags: u16, body: &Body) -> io::Result<Vec<Message>> {
        self.seq += 1;
        let len = (HEADER_LEN + body.0.len()) as u32;
        let mut request = Vec::with_capacity(len as usize);
        request.extend_from_slice(&len.to_ne_bytes());
        request.extend_from_slice(&kind.to_ne_bytes());
        request.extend_from_slice(&(flags | REQUEST).to_ne_bytes());
        request.extend_from_slice(&self.seq.to_ne_bytes());
        request.extend_from_slice(&[0; 4]);
        request.extend_from_slice(&body.0);
        let kernel = SocketAddrNetlink::new(0, 0);
        rustix::net::sendto(&self.socket, &request, SendFlags::empty(), &kernel)?;

        let mut answers = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let (len, _) = rustix::net::recv(&self.socket, &mut buffer[..], RecvFlags::empty())?;
            if self.take(&buffer[..len], flags, &mut answers)? {
                return Ok(answers);
            }
        }
    }

    /// Splits a datagram; says whether the answer is complete.
    fn take(&self, datagram: &[u8], flags: u16, answers: &mut Vec<Message>) -> io::Result<bool> {
        let mut rest = datagram;
        while let Some(header) = rest.first_chunk::<HEADER_LEN>() {
            let len = u32_at(header, 0) as usize;
            let body = rest.get(HEADER_LEN..len).ok_or(io::ErrorKind::InvalidData)?;
            let (kind, its_flags) = (u16_at(header, 4), u16_at(header, 6));
            rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
            if u32_at(header, 8) != self.seq {
                continue;
            }
            match kind {
                ERROR | DONE => {
                    // The error of a dump comes in DONE; both begin with it, negated.
                    let error = if body.len() < 4 { 0 } else { u32_at(body, 0) as i32 };
                    return if error == 0 { Ok(true) } else { Err(io::Error::from_raw_os_error(-error)) };
                }
                _ => answers.push(Message { kind, body: body.to_vec() }),
            }
            if flags & ACK == 0 && its_flags & MULTI == 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Attributes in `octets`, as far as they are whole: (type without flags, payload).
pub(crate) fn attributes(octets: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = octets;
    std::iter::from_fn(move || {
        let header = rest.first_chunk::<4>()?;
        let len = usize::from(u16_at(header, 0));
        let payload = rest.get(4..len)?;
        let kind = u16_at(header, 2) & TYPE_MASK;
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, payload))
    })
}

/// A `u16` at an offset; 0 where there is none.
pub(crate) fn u16_at(octets: &[u8], at: usize) -> u16 {
    octets.get(at..).and_then(|o| o.first_chunk()).map_or(0, |o| u16::from_ne_bytes(*o))
}

/// A `u32` at an offset; 0 where there is none.
pub(crate) fn u32_at(octets: &[u8], at: usize) -> u32 {
    octets.get(at..).and_then(|o| o.first_chunk()).map_or(0, |o| u32::from_ne_bytes(*o))
}

/// A `u64` at an offset; 0 where there is none.
pub(crate) fn u64_at(octets: &[u8], at: usize) -> u64 {
    octets.get(at..).and_then(|o| o.first_chunk()).map_or(0, |o| u64::from_ne_bytes(*o))
}

/// Text up to the first NUL, without trailing blanks.
pub(crate) fn text(octets: &[u8]) -> String {
    let end = octets.iter().position(|o| *o == 0).unwrap_or(octets.len());
    String::from_utf8_lossy(&octets[..end]).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::{Body, attributes, text};

    #[test]
    fn attributes_are_padded_and_found_again() {
        let inner = Body::default().attribute(1, &[9]).string(2, "abc");
        let body = Body::default().string(51, "eth0").nest(4, &inner);
        assert_eq!(body.0.len() % 4, 0);
        let found: Vec<_> = attributes(&body.0).collect();
        assert_eq!(found[0], (51, &b"eth0\0"[..]));
        assert_eq!(found[1].0, 4);
        let nested: Vec<_> = attributes(found[1].1).collect();
        assert_eq!(nested, [(1, &[9][..]), (2, &b"abc\0"[..])]);
    }

    #[test]
    fn a_cut_attribute_ends_the_walk() {
        let body = Body::default().string(1, "a").string(2, "b");
        for len in 0..body.0.len() {
            assert!(attributes(&body.0[..len]).count() < 2 || len >= 14);
        }
        assert_eq!(attributes(&[0, 0, 1, 0]).count(), 0);
    }

    #[test]
    fn text_ends_at_the_nul_and_loses_its_padding() {
        assert_eq!(text(b"LABEID    \0junk"), "LABEID");
    }
}
