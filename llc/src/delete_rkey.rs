use alloc::vec::Vec;

use smolsmc_wire::{ParseError, Reader, Rkey, Writer};

use crate::header::{Header, MIN_LEN, RESPONSE, Version, flag};

const NEGATIVE: u8 = 0x20;

/// DELETE RKEY: RMBs that are no more, by their rkeys on the link that carries
/// the message (RFC 7609 Appendix A.3.7).
///
/// ```text
///    3  flags: 0x80 response, 0x20 negative (some rkey is unknown)
///    4  number of rkeys   5  error octet   6  reserved (2)   8  rkeys (4 each)
/// ```
///
/// In v1 there are at most 8 rkeys, and the error octet of a response is a mask
/// ([`DeleteRkey::mask_bit`]). In v2 there are at most 255, which may go on
/// past octet 44, and the error octet is the number of unknown ones.
///
/// Linux 6.12 smc_llc answers in v2 with 44 octets, the count of the request
/// and an area of zeros for the rkeys, however many it was asked about.
/// Therefore a v2 response may hold fewer rkeys than it counts: `unlisted`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DeleteRkey {
    /// A response that knew not all of the rkeys.
    pub negative: bool,
    /// In a response what was unknown: a mask in v1, a number in v2.
    pub errors: u8,
    /// The rkeys; from Linux 6.12 zeros in a v2 response.
    pub rkeys: Vec<Rkey>,
    /// Rkeys that are counted but not in the message: 0 except in a v2
    /// response, see above. The 44 octets that every message has hold nine: if
    /// fewer are listed, the others up to nine read back as zero.
    pub unlisted: u8,
}

impl DeleteRkey {
    /// The most rkeys in a v1 message.
    pub const MAX_RKEYS_V1: usize = 8;
    /// The most rkeys in a v2 message: their count has one octet.
    pub const MAX_RKEYS_V2: usize = 255;

    /// Where the rkeys begin.
    const RKEYS: usize = 8;

    /// A request to delete `rkeys`.
    #[must_use]
    pub const fn request(rkeys: Vec<Rkey>) -> Self {
        Self { negative: false, errors: 0, rkeys, unlisted: 0 }
    }

    /// The bit in the error octet of a v1 response for the rkey at `index`, 0
    /// to 7: the first has the highest bit. 0 for others.
    #[must_use]
    pub const fn mask_bit(index: usize) -> u8 {
        if index < Self::MAX_RKEYS_V1 { 0x80 >> index } else { 0 }
    }

    /// The most rkeys in a message of `version`.
    #[must_use]
    pub const fn max_rkeys(version: Version) -> usize {
        match version {
            Version::V1 => Self::MAX_RKEYS_V1,
            Version::V2(_) => Self::MAX_RKEYS_V2,
        }
    }

    /// The number of rkeys the message is about.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.rkeys.len() + self.unlisted as usize
    }

    pub(crate) fn len(&self) -> usize {
        MIN_LEN.max(Self::RKEYS + 4 * self.rkeys.len())
    }

    pub(crate) const fn flags(&self) -> u8 {
        flag(self.negative, NEGATIVE)
    }

    pub(crate) fn read(header: &Header, r: &mut Reader<'_>) -> Result<Self, ParseError> {
        let at = r.position();
        let count = r.u8()?;
        let errors = r.u8()?;
        r.skip(2)?;
        if usize::from(count) > Self::max_rkeys(header.version) {
            return Err(ParseError::value("DELETE RKEY rkey count", at, u64::from(count)));
        }
        let may_be_short = header.has(RESPONSE) && header.version != Version::V1;
        let room = u8::try_from(r.remaining() / 4).unwrap_or(u8::MAX);
        let listed = if may_be_short { count.min(room) } else { count };
        let rkeys = (0..listed).map(|_| r.u32().map(Rkey)).collect::<Result<_, _>>()?;
        Ok(Self { negative: header.has(NEGATIVE), errors, rkeys, unlisted: count - listed })
    }

    pub(crate) fn write(&self, w: &mut Writer<'_>) {
        // At most MAX_RKEYS_V2, see `Message::emit`.
        w.u8(self.count() as u8);
        w.u8(self.errors);
        w.zeros(2);
        for rkey in &self.rkeys {
            w.u32(rkey.0);
        }
    }
}
