//! What Linux leaves to hardware, when it hands frames to a packet socket.
//!
//! A frame that the kernel sends itself, or that it has merged from several TCP
//! segments (GRO), has no checksum yet: the field holds the sum of the pseudo-header
//! alone. A header in front of the frame says so (`PACKET_VNET_HDR`; virtio 1.2
//! §5.1.6). In the order of the host, as packet sockets have it:
//!
//! ```text
//!   0 flags   1 gso_type   2 hdr_len   4 gso_size   6 csum_start   8 csum_offset
//! ```
//!
//! Of these three are read. A merged frame is taken as it is: the IP header in it has
//! the length of the whole, and TCP does not care where a segment ends.

/// Octets of the header. One of zeros, in front of what we send, leaves nothing to
/// anybody.
pub(crate) const HEADER_LEN: usize = 10;

/// The checksum is to be computed (`VIRTIO_NET_HDR_F_NEEDS_CSUM`).
const NEEDS_CSUM: u8 = 1;

/// Computes the checksum that the header says is missing: over all from `csum_start`
/// to the end, into the field `csum_offset` behind it. A header that does not fit its
/// frame changes nothing; whoever reads the frame then finds its checksum wrong.
pub(crate) fn complete(header: [u8; HEADER_LEN], frame: &mut [u8]) {
    let [flags, _, _, _, _, _, start @ .., a, b] = header;
    if flags & NEEDS_CSUM == 0 {
        return;
    }
    let (start, offset) = (u16::from_ne_bytes(start), u16::from_ne_bytes([a, b]));
    let Some(covered) = frame.get_mut(usize::from(start)..) else { return };
    let sum = checksum(covered);
    if let Some(field) = covered.get_mut(usize::from(offset)..).and_then(<[u8]>::first_chunk_mut) {
        *field = sum;
    }
}

/// The Internet checksum (RFC 1071), as it goes into a frame. Never zero, which UDP
/// has for "none"; in ones' complement 0xffff is as good.
fn checksum(octets: &[u8]) -> [u8; 2] {
    let (words, rest) = octets.as_chunks::<4>();
    // In whatever order the host has: the sum comes out in the same (RFC 1071 §2 B).
    // 2^16 words are far from filling 64 bits.
    let mut sum: u64 = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
    let mut last = [0; 4];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    sum += u64::from(u32::from_ne_bytes(last));
    while sum > u64::from(u16::MAX) {
        sum = (sum >> 16) + (sum & u64::from(u16::MAX));
    }
    match !(sum as u16) {
        0 => [0xff; 2],
        sum => sum.to_ne_bytes(),
    }
}

#[cfg(test)]
#[path = "offload_tests.rs"]
mod tests;
