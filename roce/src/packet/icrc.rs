//! The invariant CRC (IBTA §7.8.1, Annex A17): CRC-32 of Ethernet over eight
//! octets FF, then the packet from its IP header to its pad, in which the
//! fields that routers may change count as all ones.
//!
//! Those fields lie in the first 53 octets. Copying and masking the headers
//! would cut the packet into two runs, and the CRC is slow at its ends. But a
//! CRC is linear: to change octet k by d before it is read is the same as to
//! change the register at the start by d moved back over k octets. So the masks
//! go into the start value, one table look-up each, and the packet is read
//! once, as it lies.

use crc32fast::Hasher;

use super::{Bth, Ipv4Header, Ipv6Header, UdpHeader};

/// Octets of the ICRC at the end of a packet, least significant first.
pub const ICRC_LEN: usize = 4;

/// Octets of an IPv4 packet up to the end of its BTH.
const V4_HEAD: usize = Ipv4Header::LEN + UdpHeader::LEN + Bth::LEN;
/// Octets of an IPv6 packet up to the end of its BTH.
const V6_HEAD: usize = Ipv6Header::LEN + UdpHeader::LEN + Bth::LEN;

/// CRC-32 of the eight octets FF that stand for the LRH.
const SEED: u32 = 0x2144_df1c;

/// The ICRC of a packet: `covered` is everything from the IP header to the pad,
/// without the ICRC itself.
///
/// `None` if `covered` ends before its BTH does or is neither IPv4 nor IPv6.
#[inline]
#[must_use]
pub fn icrc(covered: &[u8]) -> Option<u32> {
    Some(icrc_from(seed(covered)?, covered))
}

/// As [`icrc`], of a packet that does not lie in one piece: `head` holds at
/// least the headers up to the BTH, `rest` what follows, in order.
#[inline]
#[must_use]
pub fn icrc_of_parts(head: &[u8], rest: &[&[u8]]) -> Option<u32> {
    let mut crc = Hasher::new_with_initial(seed(head)?);
    crc.update(head);
    for part in rest {
        crc.update(part);
    }
    Some(crc.finalize())
}

/// The ICRC of a packet whose headers gave `seed`.
#[inline]
pub(super) fn icrc_from(seed: u32, covered: &[u8]) -> u32 {
    let mut crc = Hasher::new_with_initial(seed);
    crc.update(covered);
    crc.finalize()
}

/// The start value that does the masking, from the headers up to the BTH.
#[inline]
pub(super) fn seed(head: &[u8]) -> Option<u32> {
    match head.first()? >> 4 {
        4 => Some(seed_v4(head.first_chunk()?)),
        6 => Some(seed_v6(head.first_chunk()?)),
        _ => None,
    }
}

/// Masks TOS, TTL, header checksum, UDP checksum, and octet 4 of the BTH.
#[inline]
fn seed_v4(head: &[u8; V4_HEAD]) -> u32 {
    static AT_8: [u32; 256] = moved_back(8);
    static AT_10: [u32; 256] = moved_back(10);
    static AT_11: [u32; 256] = moved_back(11);
    transport_mask::<26>(head[26], head[27], head[32])
        ^ u32::from(!head[1]) << 8
        ^ mask(&AT_8, head[8])
        ^ mask(&AT_10, head[10])
        ^ mask(&AT_11, head[11])
        ^ SEED
}

/// Masks traffic class, flow label, hop limit, UDP checksum, and octet 4 of the BTH.
///
/// Kept apart, so that the way of IPv4, the only one Linux 6.12 `smc` takes,
/// stays short enough to be inlined.
#[inline(never)]
fn seed_v6(head: &[u8; V6_HEAD]) -> u32 {
    static AT_7: [u32; 256] = moved_back(7);
    // The register takes the first four octets in as they are.
    let class_and_label = u32::from_le_bytes([!head[0] & 0x0f, !head[1], !head[2], !head[3]]);
    transport_mask::<46>(head[46], head[47], head[52]) ^ class_and_label ^ mask(&AT_7, head[7]) ^ SEED
}

/// Masks the UDP checksum, whose first octet is at `AT`, and octet 4 of the
/// BTH. They are nearly always zero: then nothing has to be looked up.
#[inline]
fn transport_mask<const AT: usize>(checksum0: u8, checksum1: u8, congestion: u8) -> u32 {
    struct Tables<const AT: usize>;
    impl<const AT: usize> Tables<AT> {
        const CHECKSUM0: &[u32; 256] = &moved_back(AT);
        const CHECKSUM1: &[u32; 256] = &moved_back(AT + 1);
        const CONGESTION: &[u32; 256] = &moved_back(AT + 6);
        const OF_ZEROS: u32 = Self::CHECKSUM0[0xff] ^ Self::CHECKSUM1[0xff] ^ Self::CONGESTION[0xff];
    }
    if checksum0 | checksum1 | congestion == 0 {
        return Tables::<AT>::OF_ZEROS;
    }
    mask(Tables::<AT>::CHECKSUM0, checksum0)
        ^ mask(Tables::<AT>::CHECKSUM1, checksum1)
        ^ mask(Tables::<AT>::CONGESTION, congestion)
}

/// What makes `octet`, at the place `table` is for, count as FF.
#[inline]
fn mask(table: &[u32; 256], octet: u8) -> u32 {
    // Always there: an octet is below 256.
    table.get(usize::from(!octet)).copied().unwrap_or_default()
}

/// For each change of the octet at `position` the change of the start value
/// that has the same effect. Evaluated by the compiler.
const fn moved_back(position: usize) -> [u32; 256] {
    let mut table = [0; 256];
    let mut bit = 0;
    while bit < 8 {
        let moved = before_zeros(1 << bit, position * 8);
        let mut change = 0;
        while change < 256 {
            if change >> bit & 1 != 0 {
                table[change] ^= moved;
            }
            change += 1;
        }
        bit += 1;
    }
    table
}

/// The register which `bits` zero bits of input turn into `register`.
const fn before_zeros(mut register: u32, bits: usize) -> u32 {
    /// CRC-32 of Ethernet, bits reflected. Its top bit is set, so the top bit
    /// of a register tells whether the last step subtracted it.
    const POLYNOMIAL: u32 = 0xedb8_8320;
    let mut step = 0;
    while step < bits {
        register = match register >> 31 {
            0 => register << 1,
            _ => (register ^ POLYNOMIAL) << 1 | 1,
        };
        step += 1;
    }
    register
}
