use smolsmc_clc::option::{self, AppendError, PADDED_OPTION, SmcOption, SynKind};

use super::octets::Octets;

const NOP: u8 = 1;

/// Longer segments have no room for the option, and are cut.
const MAX_SEGMENT: usize = 128;

/// Octets that a buffer may be larger than its segment.
const MAX_SLACK: usize = 31;

/// A TCP segment with or without the SMC option.
///
/// Asserts: what is found is what a second, plainer walk over the options
/// finds; payload and a missing SYN flag decide as they must; an error means
/// that there is no whole TCP header.
pub fn option(data: &[u8]) {
    let found = option::find(data);
    let Some(header) = header_of(data) else {
        assert!(found.is_err());
        return;
    };
    assert_eq!(found, Ok(walk(header)));
    assert_eq!(option::find(header), found, "payload is not looked at");
    if let Ok(Some(SmcOption { offset, len })) = found {
        assert_eq!(&header[offset..][2..6], &option::OPTION[2..]);
        assert_eq!((header[offset], header[offset + 1]), (option::OPTION[0], len));
        assert_ne!(SynKind::from_flags(header[13]), SynKind::Other);
    }
    let mut without_syn = header.to_vec();
    without_syn[13] &= !0x02;
    assert_eq!(option::find(&without_syn), Ok(None));
    for cut in 0..header.len() {
        assert!(option::find(&header[..cut]).is_err(), "a header cut at {cut}");
    }
}

/// The TCP header at the start of `segment`, if it is whole.
fn header_of(segment: &[u8]) -> Option<&[u8]> {
    let len = usize::from(segment.get(12)? >> 4) * 4;
    segment.get(..len).filter(|_| len >= 20)
}

/// The option of a SYN by the fact sheet, index by index.
fn walk(header: &[u8]) -> Option<SmcOption> {
    if header[13] & 0x02 == 0 {
        return None;
    }
    let mut at = 20;
    while at < header.len() {
        let left = header.len() - at;
        match header[at] {
            0 => return None,
            NOP => at += 1,
            _ if left < 2 => return None,
            kind => {
                let len = usize::from(header[at + 1]);
                if len < 2 || len > left {
                    return None;
                }
                let smc = kind == 254 && len >= 6 && len % 2 == 0;
                if smc && header[at + 2..at + 6] == [0xe2, 0xd4, 0xc3, 0xd9] {
                    return Some(SmcOption { offset: at, len: header[at + 1] });
                }
                at += len;
            }
        }
    }
    None
}

/// A TCP segment that the option is to be put on.
///
/// The first octet says how much larger the buffer is and whether the segment
/// is made a bare SYN header, the next four are the sum over the rest of a
/// pseudo header.
///
/// Asserts: what is refused is untouched; otherwise the option is found, every
/// octet that does not have to change is the same, it cannot be put on twice,
/// and a right checksum stays right and a wrong one wrong by as much.
pub fn append(data: &[u8]) {
    let mut more = Octets(data);
    let (control, pseudo) = (more.u8(), more.u32());
    let mut buffer = [0; MAX_SEGMENT];
    let mut len = more.0.len().min(MAX_SEGMENT);
    buffer[..len].copy_from_slice(&more.0[..len]);
    if control & 0x80 != 0 {
        len = make_syn(&mut buffer, len);
    }
    let segment = &mut buffer[..len];
    put_on(segment, usize::from(control) & MAX_SLACK, pseudo);
    if segment.len() >= 20 {
        segment[16..18].fill(0);
        let sum = fold(u64::from(pseudo) + segment.len() as u64 + sum(segment));
        segment[16..18].copy_from_slice(&(!sum).to_be_bytes());
        put_on(segment, usize::from(control) & MAX_SLACK, pseudo);
    }
}

/// Makes the segment as long as its header, and that a multiple of four; its
/// length.
fn make_syn(buffer: &mut [u8; MAX_SEGMENT], len: usize) -> usize {
    let whole = (len & !3).clamp(20, 60);
    buffer[len.min(whole)..whole].fill(NOP);
    buffer[12] = (whole as u8 / 4) << 4 | buffer[12] & 0x0f;
    buffer[13] |= 0x02;
    whole
}

fn put_on(segment: &[u8], slack: usize, pseudo: u32) {
    const MARK: u8 = 0xa5;
    let len = segment.len();
    let mut place = [MARK; MAX_SEGMENT + MAX_SLACK];
    let buffer = &mut place[..len + slack];
    buffer[..len].copy_from_slice(segment);
    let longer = match option::append(buffer, len) {
        Ok(longer) => longer,
        Err(error) => {
            assert_eq!(buffer[..len], *segment, "{error}");
            assert!(buffer[len..].iter().all(|&octet| octet == MARK));
            assert!(!matches!(error, AppendError::BufferTooShort { .. }) || slack < PADDED_OPTION.len());
            return;
        }
    };
    assert_eq!(longer, len + PADDED_OPTION.len());
    assert!(buffer[longer..].iter().all(|&octet| octet == MARK), "octets of the caller");
    let after = &buffer[..longer];
    assert_eq!(option::find(after), Ok(Some(SmcOption { offset: len + 2, len: 6 })));
    assert_eq!(after[len..], PADDED_OPTION);
    assert_eq!(after[12], segment[12] + 0x20);
    for (at, (new, old)) in after.iter().zip(segment).enumerate() {
        let changes = matches!(at, 12 | 16 | 17) || (at >= 20 && *new == NOP);
        assert!(changes || new == old, "octet {at}");
    }
    let mut twice = [0; MAX_SEGMENT + 2 * PADDED_OPTION.len()];
    twice[..longer].copy_from_slice(after);
    assert_eq!(option::append(&mut twice, longer), Err(AppendError::Present));

    let total = |octets: &[u8]| fold(u64::from(pseudo) + octets.len() as u64 + sum(octets));
    let (old, new) = (total(segment), total(after));
    assert_eq!(old == 0xffff, new == 0xffff, "checksum {old:#06x} became {new:#06x}");
    assert_eq!(old % 0xffff, new % 0xffff, "checksum {old:#06x} became {new:#06x}");
}

fn sum(octets: &[u8]) -> u64 {
    let words = octets.chunks(2);
    words.map(|word| u64::from(word[0]) << 8 | u64::from(word.get(1).copied().unwrap_or(0))).sum()
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
