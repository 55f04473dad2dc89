//! Octets that can be told from others: what was sent where is known afterwards.

/// The octet at `position` of stream number `stream`.
const fn octet(stream: u64, position: u64) -> u8 {
    let mixed = (position ^ (stream << 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 56) as u8
}

/// Fills `octets` with what stands at `position` of stream number `stream`.
pub(crate) fn fill(octets: &mut [u8], stream: u64, position: u64) {
    for (octet_here, position) in octets.iter_mut().zip(position..) {
        *octet_here = octet(stream, position);
    }
}

/// Compares; an error is a sentence about the first octet that is wrong.
pub(crate) fn verify(octets: &[u8], stream: u64, position: u64) -> Result<(), String> {
    let wrong = octets.iter().zip(position..).find(|(got, position)| **got != octet(stream, *position));
    match wrong {
        None => Ok(()),
        Some((got, position)) => {
            let sent = octet(stream, position);
            Err(format!("octet {position} of round {stream} came back as {got:#04x} and was {sent:#04x}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_place_or_stream_is_noticed() {
        let mut octets = [0; 1000];
        fill(&mut octets, 3, 500);
        assert_eq!(verify(&octets, 3, 500), Ok(()));
        assert!(verify(&octets, 3, 501).is_err() && verify(&octets, 4, 500).is_err());
        octets[7] ^= 1;
        assert!(verify(&octets, 3, 500).expect_err("bent").starts_with("octet 507 of round 3 came back"));
    }
}
