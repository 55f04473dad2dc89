//! What a packet socket need not hand up.

use std::io;
use std::os::fd::OwnedFd;

use socket2::{SockFilter, SockRef};

/// Linux's instructions for filters of a socket, as far as they are used.
const LOAD_HALF: u16 = 0x28;
const LOAD_BYTE: u16 = 0x30;
/// Half a word behind X.
const LOAD_HALF_BEHIND: u16 = 0x48;
/// The length of an IPv4 header into X.
const LOAD_HEADER_LEN: u16 = 0xb1;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

const ETHERTYPE: u32 = 12;
const IPV4: (u32, u32) = (0x0800, 14);
const IPV6: (u32, u32) = (0x86dd, 14);
const UDP: u32 = 17;
/// UDP's port for RoCEv2.
const ROCE: u32 = 4791;
/// Of an IPv4 header: where a fragment lies in its packet.
const FRAGMENT_OFFSET: u32 = 0x1fff;
/// More than any frame has.
const ALL: u32 = 1 << 18;

/// RoCEv2 over IPv4 and IPv6 is not handed up. Each jump names how many
/// instructions it passes over if so, and if not.
pub(crate) fn pass_over_roce(socket: &OwnedFd) -> io::Result<()> {
    let program = [
        (LOAD_HALF, 0, 0, ETHERTYPE),
        (JUMP_IF_EQUAL, 0, 7, IPV4.0),
        (LOAD_BYTE, 0, 0, IPV4.1 + 9),
        (JUMP_IF_EQUAL, 0, 10, UDP),
        (LOAD_HALF, 0, 0, IPV4.1 + 6),
        (JUMP_IF_ANY_BIT, 8, 0, FRAGMENT_OFFSET),
        (LOAD_HEADER_LEN, 0, 0, IPV4.1),
        (LOAD_HALF_BEHIND, 0, 0, IPV4.1 + 2),
        (JUMP_IF_EQUAL, 6, 5, ROCE),
        (JUMP_IF_EQUAL, 0, 4, IPV6.0),
        (LOAD_BYTE, 0, 0, IPV6.1 + 6),
        (JUMP_IF_EQUAL, 0, 2, UDP),
        (LOAD_HALF, 0, 0, IPV6.1 + 40 + 2),
        (JUMP_IF_EQUAL, 1, 0, ROCE),
        (RETURN, 0, 0, ALL),
        (RETURN, 0, 0, 0),
    ];
    SockRef::from(socket).attach_filter(&program.map(|(code, yes, no, k)| SockFilter::new(code, yes, no, k)))
}
