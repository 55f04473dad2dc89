//! Data that anybody can check: octet `n` of stream `s` is a function of both,
//! so a chunk is verified without knowing what came before it.

/// Eight octets of stream `stream`, at the offset `block * 8`.
fn block(stream: u64, block: u64) -> [u8; 8] {
    // SplitMix64's finaliser: cheap even in an emulated guest, and every bit of
    // the offset reaches every octet, so a shifted copy is never taken for right.
    let mut x = block.wrapping_add(stream.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_add(1);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (x ^ (x >> 31)).to_le_bytes()
}

/// Writes what stream `stream` has from offset `offset` on.
pub fn fill(stream: u64, offset: u64, octets: &mut [u8]) {
    let mut at = offset;
    let mut rest = octets;
    while !rest.is_empty() {
        let skip = (at % 8) as usize;
        let len = rest.len().min(8 - skip);
        let (now, later) = rest.split_at_mut(len);
        now.copy_from_slice(&block(stream, at / 8)[skip..skip + len]);
        at += len as u64;
        rest = later;
    }
}

/// The offset in the stream of the first octet that is not the stream's, if any.
#[must_use]
pub fn mismatch(stream: u64, offset: u64, octets: &[u8]) -> Option<u64> {
    let mut at = offset;
    let mut rest = octets;
    while !rest.is_empty() {
        let skip = (at % 8) as usize;
        let len = rest.len().min(8 - skip);
        let (now, later) = rest.split_at(len);
        let wanted = block(stream, at / 8);
        if let Some(wrong) = now.iter().zip(&wanted[skip..]).position(|(a, b)| a != b) {
            return Some(at + wrong as u64);
        }
        at += len as u64;
        rest = later;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{fill, mismatch};

    #[test]
    fn any_cut_of_a_stream_is_the_same_stream() {
        let mut whole = [0; 100];
        fill(7, 1000, &mut whole);
        for cut in 0..=whole.len() {
            let mut parts = [0; 100];
            fill(7, 1000, &mut parts[..cut]);
            fill(7, 1000 + cut as u64, &mut parts[cut..]);
            assert_eq!(parts, whole, "cut at {cut}");
        }
    }

    #[test]
    fn a_wrong_a_shifted_and_a_foreign_octet_are_found() {
        let mut octets = [0; 64];
        fill(1, 5, &mut octets);
        assert_eq!(mismatch(1, 5, &octets), None);
        assert!(mismatch(1, 6, &octets).is_some());
        assert!(mismatch(2, 5, &octets).is_some());
        octets[40] ^= 1;
        assert_eq!(mismatch(1, 5, &octets), Some(45));
    }
}
