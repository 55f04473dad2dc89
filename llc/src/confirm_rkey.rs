use smolsmc_wire::{ParseError, Reader, Rkey, Writer};

use crate::header::{Header, flag};
use crate::rkey::Others;

const NEGATIVE: u8 = 0x20;
const RETRY: u8 = 0x10;

/// CONFIRM RKEY: a new RMB and its rkey on each link (RFC 7609 Appendix
/// A.3.5). The response repeats the request.
///
/// ```text
///    3  flags: 0x80 response, 0x20 negative, 0x10 retry
///    4  number of other tokens   5  rkey (4)   9  address (8)
///   17  two entries (13 each: link number, rkey, address)   43  reserved
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConfirmRkey {
    /// A response that refuses the RMB.
    pub negative: bool,
    /// With `negative`: links are being changed, try again.
    pub retry: bool,
    /// The RMB's rkey on the link that carries the message.
    pub rkey: Rkey,
    /// Its address on that link.
    pub address: u64,
    /// The same for the other links: how many there are, and the first two.
    /// Those that are missing follow in CONFIRM RKEY CONTINUATION. Linux 6.12
    /// smc_llc sends at most two, and refuses a count above three.
    pub others: Others<2>,
}

impl ConfirmRkey {
    pub(crate) const fn flags(&self) -> u8 {
        flag(self.negative, NEGATIVE) | flag(self.retry, RETRY)
    }

    pub(crate) fn read(header: &Header, r: &mut Reader<'_>) -> Result<Self, ParseError> {
        let count = r.u8()?;
        Ok(Self {
            negative: header.has(NEGATIVE),
            retry: header.has(RETRY),
            rkey: Rkey(r.u32()?),
            address: r.u64()?,
            others: Others::read(count, r)?,
        })
    }

    pub(crate) fn write(&self, w: &mut Writer<'_>) {
        w.u8(self.others.count());
        w.u32(self.rkey.0);
        w.u64(self.address);
        self.others.write(w);
    }
}

/// CONFIRM RKEY CONTINUATION: the tokens that did not fit in CONFIRM RKEY, for
/// groups of more than three links (RFC 7609 Appendix A.3.6).
///
/// ```text
///    3  flags: 0x80 response, 0x20 negative
///    4  number of tokens left   5  three entries (13 each)
/// ```
///
/// Linux 6.12 has no more than three links, never sends this message and
/// ignores it on receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConfirmRkeyContinuation {
    /// A response that refuses the RMB.
    pub negative: bool,
    /// The tokens still to be told, this message included, and the first three.
    pub tokens: Others<3>,
}

impl ConfirmRkeyContinuation {
    pub(crate) const fn flags(&self) -> u8 {
        flag(self.negative, NEGATIVE)
    }

    pub(crate) fn read(header: &Header, r: &mut Reader<'_>) -> Result<Self, ParseError> {
        let count = r.u8()?;
        Ok(Self { negative: header.has(NEGATIVE), tokens: Others::read(count, r)? })
    }

    pub(crate) fn write(&self, w: &mut Writer<'_>) {
        w.u8(self.tokens.count());
        self.tokens.write(w);
    }
}
